//! Starts: many at once, and those that cannot be.

use super::{all_ids, options, refusal, url};
use madang_store::conformance::jobs::job;
use madang_store::conformance::sample::{full, key, plain, programme, tenant};
use madang_store::{
    Bank, JobBook, JobWish, JobsChange, PostgresOptions, PostgresStore, Store, StoreError,
};
use madang_testkit::Postgres;
use madang_types::{JobState, Micros, ProgrammeBudget, Stop, Unit};
use std::os::unix::fs::PermissionsExt;
use tokio::task::JoinSet;

#[tokio::test]
async fn many_gateways_start_at_once_and_share_the_books() {
    let server = Postgres::shared().unwrap();
    let database = server.database().unwrap();
    let mut opens = JoinSet::new();
    for gateway in 0..6_u128 {
        let at = url(&database.url());
        let open = move || {
            let folder = tempfile::tempdir().unwrap();
            let store = PostgresStore::open(&at, &options(folder.path())).unwrap();
            (gateway, folder, store)
        };
        opens.spawn_blocking(open);
    }
    let stores = opens.join_all().await;
    let applied = "SELECT version, name FROM madang.schema_migrations ORDER BY 1";
    assert_eq!(
        database.sql(applied).unwrap(),
        "1|books\n2|floors\n3|projects\n4|ledger\n5|bank\n6|terms\n7|classes\n8|jobs\n9|accelerator_prices\n10|rates\n11|job_terms\n12|secrets\n13|power\n14|busy\n15|energy\n16|jobs_open\n17|untold\n18|power_orders"
    );
    for (gateway, _, store) in &stores {
        for number in 0..10 {
            let id = gateway * 100 + number;
            store
                .usage_append(plain(id, Micros(1)).unwrap())
                .await
                .unwrap();
            // The same record by two gateways is there once.
            store
                .usage_append(plain(999, Micros(1)).unwrap())
                .await
                .unwrap();
        }
    }
    for (_, _, store) in &stores {
        // Each moves its own backlog before it reads.
        all_ids(store).await.unwrap();
    }
    for (_, _, store) in &stores {
        assert_eq!(all_ids(store).await.unwrap().len(), 61);
    }
    let (_, _, first) = &stores[0];
    first.key_insert(key("k1").unwrap()).await.unwrap();
    let (_, _, second) = &stores[1];
    let revoked = second.key_revoke("k1".parse().unwrap(), Micros(7)).await;
    let again = first.key_revoke("k1".parse().unwrap(), Micros(8)).await;
    assert_eq!(revoked, again);
}

/// Each job that comes and each wish gives another number, and what the driver writes does not.
#[tokio::test]
async fn every_job_and_wish_is_seen_by_who_drives() {
    let server = Postgres::shared().unwrap();
    let database = server.database().unwrap();
    let open = || PostgresStore::open(&url(&database.url()), &PostgresOptions::default()).unwrap();
    let (one, other) = (open(), open());
    let mut last = other.jobs_revision().await.unwrap();
    let mut check = async |what: &str, changes: bool| {
        let now = other.jobs_revision().await.unwrap();
        assert_eq!(now != last, changes, "{what}");
        last = now;
    };
    let mut job = one.job_insert(job("demo").unwrap()).await.unwrap();
    check("a job", true).await;
    one.job_wish(job.id, JobWish::Hold).await.unwrap();
    check("a wish", true).await;
    let held = one.term_hold("gw-1".parse().unwrap(), Micros(0), Micros(9));
    let term = held.await.unwrap().unwrap();
    job.state = JobState::Running;
    let (jobs, runs) = (vec![job], Vec::new());
    let written = one.jobs_write(term, JobsChange { jobs, runs }).await;
    written.unwrap();
    other.jobs_open(None).await.unwrap();
    check("the driver and reads", false).await;
}

/// Each change of who may do what gives another number, and nothing else does.
#[tokio::test]
async fn every_change_of_people_is_seen_by_the_others() {
    let server = Postgres::shared().unwrap();
    let database = server.database().unwrap();
    let open = || PostgresStore::open(&url(&database.url()), &PostgresOptions::default()).unwrap();
    let (one, other) = (open(), open());
    let mut last = other.people_revision().await.unwrap();
    let mut check = async |what: &str, changes: bool| {
        let now = other.people_revision().await.unwrap();
        assert_eq!(now != last, changes, "{what}");
        last = now;
    };
    one.usage_append(plain(1, Micros(1)).unwrap())
        .await
        .unwrap();
    one.key_list(None).await.unwrap();
    check("records and reads", false).await;
    one.programme_put(programme("open", 1).unwrap())
        .await
        .unwrap();
    check("a programme", true).await;
    one.tenant_put(tenant("demo", 1).unwrap()).await.unwrap();
    check("a tenant", true).await;
    one.key_insert(key("k1").unwrap()).await.unwrap();
    check("a key", true).await;
    one.key_revoke("k1".parse().unwrap(), Micros(1))
        .await
        .unwrap();
    check("a revocation", true).await;
    one.key_put(key("k1").unwrap()).await.unwrap();
    check("a key made anew", true).await;
    let stop = Stop {
        scope: "country:US".parse().unwrap(),
        reason: String::new(),
        set_by: "op".parse().unwrap(),
        set_at: Micros(1),
    };
    one.stop_put(stop.clone()).await.unwrap();
    check("a stop", true).await;
    one.stop_delete(stop.scope).await.unwrap();
    check("a lifted stop", true).await;
    let budget = ProgrammeBudget {
        programme: "startups".parse().unwrap(),
        unit: Unit::MicroWon,
        class: None,
        amount: 1_000,
        concentration_permille_max: 1_000,
    };
    one.budget_put(budget, Micros(1)).await.unwrap();
    check("a budget", true).await;
    one.run_begin("gw-1".parse().unwrap(), Micros(1))
        .await
        .unwrap();
    check("a run", false).await;
}

fn check_refused(text: &str, options: &PostgresOptions, told: &[&str]) {
    let refused = refusal(text, options);
    for word in told {
        assert!(refused.contains(word), "no {word:?} in: {refused}");
    }
    assert!(!refused.contains("s3cret"), "{refused}");
}

#[test]
fn what_cannot_be_opened_is_told_with_what_mends_it() {
    let server = Postgres::shared().unwrap();
    let database = server.database().unwrap();
    let at = database.url();
    let plain = PostgresOptions::default();
    let elsewhere = at.replace(database.name(), "nowhere");
    let no_database = [
        "reach postgres://madang@/",
        "\"nowhere\" does not exist",
        "CREATE DATABASE",
    ];
    check_refused(&elsewhere, &plain, &no_database);
    let nobody = "postgres://a:s3cret@127.0.0.1:9/m";
    let told = ["cannot reach postgres://a@127.0.0.1:9/m", "refused"];
    check_refused(nobody, &plain, &told);

    let role = format!("poor_{}", database.name());
    database.sql(&format!("CREATE ROLE {role} LOGIN")).unwrap();
    let poor = at.replace("postgres://madang@", &format!("postgres://{role}@"));
    let told = ["permission denied", "the user must own the database"];
    check_refused(&poor, &plain, &told);
    database
        .sql(&format!("CREATE SCHEMA madang AUTHORIZATION {role}"))
        .unwrap();
    drop(PostgresStore::open(&url(&poor), &plain).unwrap());
    database
        .sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"))
        .unwrap();

    drop(PostgresStore::open(&url(&at), &plain).unwrap());
    let newer = "INSERT INTO madang.schema_migrations VALUES (99, 'next', '', 0)";
    database.sql(newer).unwrap();
    let told = ["the database has schema version 99 and this program knows 18"];
    check_refused(&at, &plain, &told);
    database
        .sql("DELETE FROM madang.schema_migrations WHERE version = 99")
        .unwrap();
    let edited = "UPDATE madang.schema_migrations SET checksum = 'x' WHERE version = 1";
    database.sql(edited).unwrap();
    check_refused(&at, &plain, &["0001_books was applied with other text"]);
}

#[test]
fn a_database_of_another_encoding_is_refused() {
    let server = Postgres::shared().unwrap();
    let database = server.database().unwrap();
    let latin = format!("latin_{}", database.name());
    let make =
        format!("CREATE DATABASE {latin} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0");
    database.sql(&make).unwrap();
    let at = database.url().replace(database.name(), &latin);
    let at = at.replace("latin_latin_", "latin_");
    let refused = refusal(&at, &PostgresOptions::default());
    database.sql(&format!("DROP DATABASE {latin}")).unwrap();
    assert!(refused.contains("encoding is SQL_ASCII"), "{refused}");
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join(".s.PGSQL.5432");
    let _silent = std::os::unix::net::UnixListener::bind(socket).unwrap();
    let at = folder.path().display().to_string().replace('/', "%2F");
    let options = PostgresOptions {
        connect_wait_ms_max: 100,
        ..PostgresOptions::default()
    };
    let refused = refusal(&format!("postgres://a@{at}/m"), &options);
    assert!(refused.contains("cannot reach postgres://a@/"), "{refused}");
}

#[test]
fn the_password_comes_from_the_url_or_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let hba = folder.path().join("hba");
    std::fs::write(
        &hba,
        "local all madang trust\nlocal all all scram-sha-256\n",
    )
    .unwrap();
    let read_by_all = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), read_by_all).unwrap();
    let server = Postgres::own(&[&format!("hba_file={}", hba.display())]).unwrap();
    let database = server.database().unwrap();
    database
        .sql("CREATE ROLE ada LOGIN PASSWORD 's3cret'; CREATE SCHEMA madang AUTHORIZATION ada")
        .unwrap();
    let at = database
        .url()
        .replace("postgres://madang@", "postgres://ada@");
    let plain = PostgresOptions::default();
    check_refused(&at, &plain, &["PGPASSFILE or ?passfile=PATH"]);
    let wrong = at.replace("ada@", "ada:s3cret2@");
    check_refused(
        &wrong,
        &plain,
        &["password authentication failed", "passfile"],
    );
    drop(PostgresStore::open(&url(&at.replace("ada@", "ada:s3cret@")), &plain).unwrap());

    let file = folder.path().join("pass");
    std::fs::write(&file, "*:*:*:ada:s3cret\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let named = format!("{at}?passfile={}", file.display());
    drop(PostgresStore::open(&url(&named), &plain).unwrap());
    let given = PostgresOptions {
        password_file: Some(file),
        ..plain
    };
    drop(PostgresStore::open(&url(&at), &given).unwrap());
}

/// PostgreSQL's text cannot hold a NUL: the record is refused alone, and holds up nobody.
#[tokio::test]
async fn text_with_a_nul_is_refused() {
    let server = Postgres::shared().unwrap();
    let database = server.database().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = PostgresStore::open(&url(&database.url()), &options(folder.path())).unwrap();
    let mut record = full(1, Micros(1)).unwrap();
    record.decision = Some("a\0b".into());
    let refused = store.usage_append(record).await;
    assert!(
        matches!(refused, Err(StoreError::Invalid(_))),
        "{refused:?}"
    );
    let mut one = key("k1").unwrap();
    one.label = "\0".into();
    let refused = store.key_insert(one).await;
    assert!(
        matches!(refused, Err(StoreError::Invalid(_))),
        "{refused:?}"
    );
    store
        .usage_append(full(2, Micros(1)).unwrap())
        .await
        .unwrap();
    assert_eq!(all_ids(&store).await, Ok(vec![2]));
}
