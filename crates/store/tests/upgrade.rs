//! Books of every released schema, with rows, are opened by this program and read back whole.
//!
//! A new schema adds its number here and its rows in `released/`, beside its migration.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use madang_ledger::{AcceleratorPrice, EnergyNote, EnergyStand, EngineClaimed, EngineEnergy};
use madang_store::conformance::bank::Books;
use madang_store::conformance::jobs::{job, run};
use madang_store::conformance::sample::{full, key, plain, programme, project, tenant};
use madang_store::{
    PostgresOptions, PostgresStore, PowerBook, SqliteStore, UsageFilter, UsageGroup, UsageSum,
};
use madang_testkit::{Database, Postgres};
use madang_types::{
    Allocation, BusySource, DataClass, DataFlag, DataFlags, JobId, JobState, MicroWon, Micros,
    NodesHeld, Period, PowerEvent, PowerEventKind, Preempted, ProgrammeBudget, ProgrammeJobs,
    ProgrammeTerms, RunBusy, RunPlace, RunStop, SecretId, SecretRow, Stop, StopWhy, Unit,
    WhenEnded, Zone,
};
use std::path::Path;

/// The migrations of each database, in their order: a schema was released with each.
const MIGRATIONS: &[&str] = &[
    "books",
    "floors",
    "projects",
    "ledger",
    "bank",
    "terms",
    "classes",
    "jobs",
    "accelerator_prices",
    "rates",
    "job_terms",
    "secrets",
    "power",
    "busy",
    "energy",
    "jobs_open",
    "untold",
    "power_orders",
];

/// The SQL that makes the books of a released schema, as the program of that time has.
fn books(database: &str, version: usize) -> String {
    let migrations = &MIGRATIONS[..version];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: String| std::fs::read_to_string(root.join(path)).unwrap();
    let mut sql = String::from(
        "CREATE TABLE schema_migrations (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL,
         applied_at BIGINT NOT NULL);\n",
    );
    for (version, name) in (1..).zip(migrations) {
        let step = read(format!("migrations/{database}/{version:04}_{name}.sql"));
        let checksum = blake3::hash(step.as_bytes()).to_hex();
        sql.push_str(&step);
        sql.push_str(&format!(
            "INSERT INTO schema_migrations VALUES ({version}, '{name}', '{checksum}', 0);\n"
        ));
    }
    // Rows as they first could be: a schema that adds nothing to these tables has those of the one before it.
    let rows = |version| format!("tests/released/{version:04}.{database}.sql");
    let latest = (1..=version).rev().map(rows);
    let mut latest = latest.filter(|path| root.join(path).exists());
    sql + &read(latest.next().unwrap())
}

/// All that the released rows are, as this program has them: what a schema did not know yet reads as what it meant.
async fn check<T: Books + PowerBook>(store: &T, version: usize) {
    let mut usage = [full(2, Micros(2)).unwrap(), plain(1, Micros(1)).unwrap()];
    if version < 3 {
        usage[0].project = None;
    }
    let all = UsageFilter::default;
    assert_eq!(store.usage_list(all(), None, 9).await.unwrap(), usage);
    let days = UsageGroup::Day { offset_s: 0 };
    let sum = UsageSum {
        group: "1970-01-01".into(),
        requests: 2,
        finished: 1,
        uncached_tokens: 21,
        cached_tokens: 15,
        output_tokens: 20,
        estimated: 1,
        bytes_in: 114,
        bytes_out: 215,
    };
    assert_eq!(store.usage_sum(all(), days).await.unwrap(), [sum]);

    let (mut one_tenant, mut one_key) = (tenant("demo", 5).unwrap(), key("k1").unwrap());
    let mut stops = Vec::new();
    if version < 2 {
        one_tenant.data_flags = DataFlags::NONE;
    } else {
        one_key.class_floor = DataClass::Classified;
        one_key.data_flags = DataFlag::Minor.into();
        stops.push(Stop {
            scope: "country:US".parse().unwrap(),
            reason: "점검 1".into(),
            set_by: "op".parse().unwrap(),
            set_at: Micros(1),
        });
    }
    let mut one_programme = programme("open", 4).unwrap();
    let mut projects = Vec::new();
    if version >= 6 {
        one_programme.terms = ProgrammeTerms {
            period: Period {
                from: Some(Micros(-7)),
                until: Some(Micros(8)),
            },
            eligibility: "창업 7년 이내 기업".into(),
            residency_floor: Some(Zone::DomesticPrivate),
            jobs: ProgrammeJobs::default(),
        };
        if version >= 11 {
            one_programme.terms.jobs = ProgrammeJobs {
                when_ended: WhenEnded::Stop,
                preempted: Preempted::Free,
            };
        }
        projects.push(project("demo", "web").unwrap());
        projects[0].won_limit = Some(MicroWon(9));
    }
    assert_eq!(store.programme_list().await.unwrap(), [one_programme]);
    assert_eq!(store.project_list(None).await.unwrap(), projects);
    assert_eq!(store.tenant_list().await.unwrap(), [one_tenant]);
    assert_eq!(store.key_list(None).await.unwrap(), [one_key]);
    assert_eq!(store.stop_list().await.unwrap(), stops);
    check_grants(store, version).await;
    check_jobs(store, version).await;
    check_hours(store, version).await;
    check_secrets(store, version).await;
    check_power(store, version).await;
    check_busy(store, version).await;
    check_goes_on(store).await;
}

/// The books take what comes after the upgrade.
async fn check_goes_on(store: &dyn Books) {
    let all = UsageFilter::default;
    let next = plain(3, Micros(3)).unwrap();
    store.usage_append(next).await.unwrap();
    assert_eq!(store.usage_list(all(), None, 9).await.unwrap().len(), 3);
}

/// Budgets and allocations: of a schema that knew no classes, all of them for any model.
async fn check_grants(store: &dyn Books, version: usize) {
    let rows = match version {
        ..6 => 0,
        6 => 1,
        7.. => 2,
    };
    let classes = [None, Some("large".parse().unwrap())];
    let amounts = [(900, 500, 400), (70, 1_000, 70)];
    let all = (1..).zip(classes.into_iter().zip(amounts)).take(rows);
    let (mut budgets, mut granted) = (Vec::new(), Vec::new());
    for (number, (class, (amount, cap, part))) in all {
        budgets.push(ProgrammeBudget {
            programme: "open".parse().unwrap(),
            unit: Unit::Tokens,
            class: class.clone(),
            amount,
            concentration_permille_max: cap,
        });
        granted.push(Allocation {
            id: format!("demo-{number}").parse().unwrap(),
            programme: "open".parse().unwrap(),
            tenant: "demo".parse().unwrap(),
            unit: Unit::Tokens,
            tranches: match class {
                None => ["5:100", "6:300"].map(|part| part.parse().unwrap()).into(),
                Some(_) => Vec::new(),
            },
            class,
            amount: part,
            hard: true,
            from: Micros(5),
            until: Micros(9),
            created_at: Micros(4),
            recalled_at: None,
        });
    }
    assert_eq!(store.budget_list().await.unwrap(), budgets);
    assert_eq!(store.allocation_list((None, None)).await.unwrap(), granted);
}

/// Prices of accelerator time.
async fn check_hours(store: &dyn Books, version: usize) {
    let price = |site: Option<&str>, hour| AcceleratorPrice {
        accelerator: "h200".parse().unwrap(),
        site: site.map(|site| site.parse().unwrap()),
        from: Micros(5),
        hour: MicroWon(hour),
    };
    let prices = match version {
        ..9 => Vec::new(),
        9.. => vec![price(None, 4_500_000_000), price(Some("pohang"), 0)],
    };
    assert_eq!(store.accelerator_price_list().await.unwrap(), prices);
}

/// Secrets of jobs: a tenant's own, and a project's.
async fn check_secrets(store: &dyn Books, version: usize) {
    let row = |project: Option<&str>, version, sealed: &str, at| SecretRow {
        id: SecretId {
            tenant: "demo".parse().unwrap(),
            project: project.map(|project| project.parse().unwrap()),
            name: "TOKEN".parse().unwrap(),
        },
        version,
        seal_key: "k1".into(),
        sealed: sealed.into(),
        set_by: "op".parse().unwrap(),
        set_at: Micros(at),
    };
    let secrets = match version {
        ..12 => Vec::new(),
        12.. => vec![
            row(None, 2, "sealed 봉인", 5),
            row(Some("web"), 1, "sealed", 6),
        ],
    };
    let found = store.secret_list("demo".parse().unwrap()).await.unwrap();
    assert_eq!(found, secrets);
}

/// What was said of a site's power.
async fn check_power(store: &dyn PowerBook, version: usize) {
    let event = |id, kind, until, reason: &str| PowerEvent {
        id,
        site: "pohang".parse().unwrap(),
        kind,
        from: Micros(5),
        until,
        reason: reason.into(),
        set_by: "op".parse().unwrap(),
        set_at: Micros(4),
        order: None,
    };
    let cap = PowerEventKind::Cap { watts: 700_000 };
    let cut = PowerEventKind::Cut {
        milli: 250,
        baseline_watts: Some(900_000),
    };
    let events = match version {
        ..13 => Vec::new(),
        13.. => {
            let order = (version >= 18).then(|| "kpx/ev-1/0".to_owned());
            let cut = event(2, cut, Some(Micros(9)), "");
            vec![event(1, cap, None, "여름 1"), PowerEvent { order, ..cut }]
        }
    };
    assert_eq!(store.power_list(Micros(8)).await.unwrap(), events);
    let note = EnergyNote {
        measured_mj: 700,
        modelled_mj: 50,
        engines: [(
            "e1".parse().unwrap(),
            EngineEnergy {
                mj: 600,
                span_us: 60,
                idle_watts: 100,
            },
        )]
        .into(),
        runs_mj: 100,
        rest_mj: 50,
        returned_mj: -3,
        claims: [(
            "e1".parse().unwrap(),
            EngineClaimed {
                busy_us: 40,
                by: [("project:demo:web".parse().unwrap(), 9)].into(),
            },
        )]
        .into(),
        stand: Some(EnergyStand {
            at: Micros(59),
            loads: [("rest".to_owned(), 20)].into(),
            meters: [("feed".to_owned(), (200, Some(9_000)))].into(),
            runs: [("1-1".parse().unwrap(), 100)].into(),
            ..EnergyStand::default()
        }),
    };
    let notes = store.energy_list().await.unwrap();
    let notes: Vec<EnergyNote> = notes.into_iter().map(|row| row.note).collect();
    assert_eq!(notes, if version < 15 { vec![] } else { vec![note] });
}

/// How busy a run was, and what was held.
async fn check_busy(store: &dyn Books, version: usize) {
    let run = "1-1".parse().unwrap();
    let busy = RunBusy {
        measured_at: Micros(9),
        measured_ms: 800,
        busy_ms: 20,
        samples: 2,
        source: (version >= 17).then_some(BusySource::Nvml),
        ..RunBusy::new(run, Micros(3))
    };
    let held = NodesHeld {
        nodes: "pohang-h200".parse().unwrap(),
        capacity_ms: 900,
        held_ms: 800,
    };
    let (busy, held) = match version {
        ..14 => (Vec::new(), Vec::new()),
        14.. => (vec![busy], vec![held]),
    };
    assert_eq!(store.busy_of(vec![run]).await.unwrap(), busy);
    let all = (Micros(0), Micros(i64::MAX));
    assert_eq!(store.nodes_held(all).await.unwrap(), held);
}

async fn check_jobs(store: &dyn Books, version: usize) {
    let (mut jobs, mut runs) = (Vec::new(), Vec::new());
    if version >= 8 {
        let mut running = job("demo").unwrap();
        (running.id, running.state) = (JobId(1), JobState::Running);
        running.spec.name = "train".into();
        runs.push(run("1-1".parse().unwrap()).unwrap());
        if version >= 11 {
            runs[0].place = Some(RunPlace {
                site: "pohang".parse().unwrap(),
                accelerator: "h200".into(),
            });
        }
        jobs.push(running);
    }
    assert_eq!(store.jobs_open(None).await.unwrap(), jobs);
    assert_eq!(store.runs_open(None).await.unwrap(), runs);
    let other = "gw-2".parse().unwrap();
    let held = store.term_hold(other, Micros(8), Micros(9)).await.unwrap();
    assert_eq!(held.is_none(), version >= 8);
}

/// Books that such SQL made, opened by this program.
fn sqlite(sql: &str) -> (tempfile::TempDir, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("books.sqlite");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(sql).unwrap();
    old.pragma_update(None, "application_id", 0x4d44_4e47)
        .unwrap();
    drop(old);
    let store = SqliteStore::open(&path).unwrap();
    (folder, store)
}

/// The same in a database of its own.
fn postgres(server: &Postgres, sql: &str) -> (Database, PostgresStore) {
    let database = server.database().unwrap();
    let schema = "CREATE SCHEMA madang; SET search_path TO madang;\n";
    database.sql(&format!("{schema}{sql}")).unwrap();
    let url = database.url().parse().unwrap();
    let store = PostgresStore::open(&url, &PostgresOptions::default()).unwrap();
    (database, store)
}

#[tokio::test]
async fn sqlite_opens_every_released_schema() {
    for version in 1..=MIGRATIONS.len() {
        let (_folder, store) = sqlite(&books("sqlite", version));
        check(&store, version).await;
    }
}

#[tokio::test]
async fn postgres_opens_every_released_schema() {
    let server = Postgres::shared().unwrap();
    for version in 1..=MIGRATIONS.len() {
        let (_database, store) = postgres(&server, &books("postgres", version));
        check(&store, version).await;
    }
}

/// Runs as schema 10 kept them: one that is over, whose error says what looks like its own times, and one that is being stopped for
/// others.
const RUNS_BEFORE_11: &str = r#"
INSERT INTO job_runs (job, task, number, record) VALUES (1, -1, 2,
    '{"run":"1-2","nodes":"n","pieces":[],"accelerator_milli":8000,"state":"ended","makes_room":false,"created_at":2,"started_at":3000000,"end":{"outcome":{"not_kept":{"why":"\u0000 \"started_at\":9,\"ended_at\":9"}},"started_at":3000000,"ended_at":5000000,"energy":null},"charge":null}');
INSERT INTO job_runs (job, task, number, record) VALUES (1, -1, 3,
    '{"run":"1-3","nodes":"n","pieces":[],"accelerator_milli":8000,"state":"stopping","makes_room":true,"created_at":2,"started_at":4,"end":null,"charge":null}');
"#;

/// What they had of accelerators is known, and why the other is stopped.
async fn check_before_11(store: &dyn Books) {
    let used = store.jobs_used(Micros(0)).await.unwrap();
    assert_eq!(used.len(), 1);
    assert_eq!(used[0].accelerator_ms, 16_000);
    assert_eq!(store.jobs_used(Micros(4_000_001)).await.unwrap(), []);
    let runs = store.runs_open(None).await.unwrap();
    let stop = RunStop {
        why: StopWhy::Room,
        at: Micros(0),
    };
    let stops: Vec<Option<RunStop>> = runs.iter().map(|run| run.stop).collect();
    assert_eq!(stops, [None, None, Some(stop)]);
}

#[tokio::test]
async fn runs_of_earlier_schemas_count_and_are_stopped_as_they_were() {
    let sql = |database| books(database, 10) + RUNS_BEFORE_11;
    let (_folder, store) = sqlite(&sql("sqlite"));
    check_before_11(&store).await;
    let server = Postgres::shared().unwrap();
    let (_database, store) = postgres(&server, &sql("postgres"));
    check_before_11(&store).await;
}

/// Runs as schema 16 kept them: one that was given up, and one whose cluster is away; the other that is over says what looks like that.
const RUNS_BEFORE_17: &str = r#"
INSERT INTO job_runs (job, task, number, record) VALUES (1, -1, 2,
    '{"run":"1-2","nodes":"n","pieces":[],"accelerator_milli":8000,"state":"ended","created_at":2,"started_at":3,"unseen_since":5,"end":{"outcome":{"lost":{"why":"away"}},"started_at":3,"ended_at":5,"energy":null},"charge":null}');
INSERT INTO job_runs (job, task, number, record) VALUES (1, -1, 3,
    '{"run":"1-3","nodes":"n","pieces":[],"accelerator_milli":8000,"state":"running","created_at":2,"started_at":4,"unseen_since":5,"end":null,"charge":null}');
INSERT INTO job_runs (job, task, number, record) VALUES (1, -1, 4,
    '{"run":"1-4","nodes":"n","pieces":[],"accelerator_milli":8000,"state":"ended","created_at":2,"started_at":3,"end":{"outcome":{"lost":{"why":"\"unseen_since\":5,\"end\":{\"outcome\""}},"started_at":3,"ended_at":5,"energy":null},"charge":null}');
"#;

async fn check_before_17(store: &dyn Books) {
    let untold = store.runs_untold(None).await.unwrap();
    let untold: Vec<String> = untold.iter().map(|run| run.run.to_string()).collect();
    assert_eq!(untold, ["1-2"]);
}

#[tokio::test]
async fn runs_that_an_earlier_program_gave_up_are_asked_about_yet() {
    let sql = |database| books(database, 16) + RUNS_BEFORE_17;
    let (_folder, store) = sqlite(&sql("sqlite"));
    check_before_17(&store).await;
    let server = Postgres::shared().unwrap();
    let (_database, store) = postgres(&server, &sql("postgres"));
    check_before_17(&store).await;
}

#[test]
fn every_migration_has_released_rows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for database in ["sqlite", "postgres"] {
        let files = std::fs::read_dir(root.join("migrations").join(database)).unwrap();
        assert_eq!(files.count(), MIGRATIONS.len(), "{database}");
    }
}
