//! The ledger's rows: nobody changes them by the way, and whoever did behind the rules is found out.

use super::url;
use madang_ledger::{Entry, Leg, Phase, Subject};
use madang_store::conformance::sample::{LEASE, SITE, entry, grant, won};
use madang_store::{ENTRIES_APPEND_COUNT_MAX, Ledger, PostgresOptions, PostgresStore};
use madang_testkit::{Database, Link, Postgres, Way};
use madang_types::{RequestId, Unit};

/// Two grants, a direct, a posted, a voided and an open reservation: entries 1 to 8.
fn entries() -> Vec<Entry> {
    let take = |amount| vec![won(LEASE, SITE, amount).unwrap()];
    let tokens = Leg {
        unit: Unit::OutputTokens,
        ..won(SITE, "project:hanbit:search", 9).unwrap()
    };
    let mut direct = entry(3, Phase::Direct, take(30));
    direct.legs.push(tokens);
    direct.subject = Subject::Request(RequestId(3));
    vec![
        grant(1, 100).unwrap(),
        grant(2, 50).unwrap(),
        direct,
        entry(4, Phase::Reserve, take(20)),
        entry(4, Phase::Post, take(15)),
        entry(5, Phase::Reserve, take(10)),
        entry(5, Phase::Void, Vec::new()),
        entry(6, Phase::Reserve, take(7)),
    ]
}

/// The name of the last of many budgets.
const LAST: &str = "the-last-of-them";

/// As many as may be written at once.
const MANY: u128 = ENTRIES_APPEND_COUNT_MAX as u128;

/// So many budgets that writing them takes more than one piece on the way to the server.
fn many_budgets() -> Vec<Entry> {
    let budget = |id: u128| {
        let name = if id == MANY {
            LAST.to_owned()
        } else {
            format!("budget-{id}")
        };
        let subject = Subject::Budget(name.parse().unwrap());
        Entry {
            subject,
            ..grant(1_000 + id, 1).unwrap()
        }
    };
    (1..=MANY).map(budget).collect()
}

/// A gateway that is cut off while it has the ledger, when the server has given it, or in the middle of what it writes, holds it:
/// the others need not wait as long as a statement may take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_cut_off_while_it_has_the_ledger_does_not_keep_it() {
    // The server's answer to whoever waited for the ledger, and the gateway's last row.
    for word in ["SELECT 1\0", LAST] {
        let server = Postgres::shared().unwrap();
        let database = server.database().unwrap();
        let link = Link::to(database.socket()).await.unwrap();
        let far = PostgresOptions::default();
        let near = PostgresOptions {
            statement_wait_ms_max: far.statement_wait_ms_max / 2,
            ..PostgresOptions::default()
        };
        let far = PostgresStore::open(&url(&database.url_at(link.address())), &far).unwrap();
        let near = PostgresStore::open(&url(&database.url()), &near).unwrap();
        link.set(Way::SilentAt(word.as_bytes()));
        let cut = tokio::spawn(async move { far.entries_append(many_budgets()).await });
        link.silent().await;
        for told in near.entries_append(entries()).await.unwrap() {
            told.unwrap();
        }
        link.set(Way::Refused);
        assert!(cut.await.unwrap().is_err(), "{word}: it is written");
        assert_eq!(near.ledger_verify().await.unwrap().findings, []);
    }
}

struct World {
    store: PostgresStore,
    database: Database,
    _server: Postgres,
}

impl World {
    async fn new() -> Self {
        let server = Postgres::shared().unwrap();
        let database = server.database().unwrap();
        let store =
            PostgresStore::open(&url(&database.url()), &PostgresOptions::default()).unwrap();
        for told in store.entries_append(entries()).await.unwrap() {
            told.unwrap();
        }
        for table in TABLES {
            let copy = format!("CREATE TABLE madang.kept_{table} AS SELECT * FROM madang.{table}");
            database.sql(&copy).unwrap();
        }
        Self {
            store,
            database,
            _server: server,
        }
    }

    /// Does it without the triggers; `false` where PostgreSQL itself does not let it.
    fn behind(&self, sql: &str) -> bool {
        let all =
            format!("SET search_path TO madang; SET session_replication_role = replica; {sql}");
        self.database.sql(&all).is_ok()
    }

    async fn findings(&self) -> Vec<String> {
        let report = self.store.ledger_verify().await.unwrap();
        let told = |finding: &madang_ledger::Finding| format!("{}: {finding}", finding.place());
        report.findings.iter().map(told).collect()
    }

    fn restore(&self) {
        for table in TABLES {
            let back = format!("TRUNCATE {table}; INSERT INTO {table} SELECT * FROM kept_{table}");
            assert!(self.behind(&back), "{back}");
        }
    }
}

const TABLES: [&str; 3] = ["ledger_accounts", "ledger_entries", "ledger_balances"];

/// Another value in a column's place, by its type.
fn others(kind: &str, column: &str) -> Vec<String> {
    let format = |text: &str| text.replace('@', column);
    let all: &[&str] = match kind {
        "bigint" => &["@ + 1", "@ - 1000"],
        "uuid" => &["'00000000-0000-0000-0000-000000000000'"],
        "ARRAY" => &[
            "@[2:]",
            "@ || 1::bigint",
            "array_prepend(@[1] + 1, @[2:])",
            "array_prepend(@[1] - 1000, @[2:])",
        ],
        _ => &["coalesce(@, '') || 'x'"],
    };
    all.iter().map(|text| format(text)).collect()
}

/// Every value changed, and every row taken away, one at a time.
#[tokio::test]
async fn any_one_change_is_found() {
    let world = World::new().await;
    assert_eq!(world.findings().await, [""; 0]);
    let columns = world.database.sql(
        "SELECT table_name || ' ' || column_name || ' ' || data_type FROM information_schema.columns
         WHERE table_schema = 'madang' AND table_name IN ('ledger_accounts', 'ledger_entries', 'ledger_balances')",
    );
    let mut tried = 0;
    let mut check = async |sql: String| {
        if world.behind(&sql) {
            assert_ne!(world.findings().await, [""; 0], "{sql}");
            world.restore();
            tried += 1;
        }
    };
    for table in TABLES {
        let rows = world
            .database
            .sql(&format!("SELECT count(*) FROM madang.{table}"));
        let rows: u32 = rows.unwrap().parse().unwrap();
        for row in 0..rows {
            let which =
                format!("ctid = (SELECT ctid FROM {table} ORDER BY {table} LIMIT 1 OFFSET {row})");
            check(format!("DELETE FROM {table} WHERE {which}")).await;
            for column in columns.as_ref().unwrap().lines() {
                let words: Vec<&str> = column.splitn(3, ' ').collect();
                if words[0] != table {
                    continue;
                }
                for other in others(words[2], words[1]) {
                    // A change that changes nothing is none: an empty list cut short.
                    check(format!(
                        "UPDATE {table} SET {0} = {other} WHERE {which} AND {0} IS DISTINCT FROM {other}; \
                         DO $$ BEGIN IF (SELECT count(*) FROM ({table} t1 FULL JOIN kept_{table} t2 ON t1 = t2) \
                         WHERE t1 IS NULL OR t2 IS NULL) = 0 THEN RAISE EXCEPTION 'same'; END IF; END $$",
                        words[1]
                    ))
                    .await;
                }
            }
        }
    }
    assert!(tried > 200, "{tried} changes were tried");
}

/// Nobody changes or deletes entries and accounts, and without what sees to that the ledger does not verify.
#[tokio::test]
async fn entries_are_not_changed_by_anybody() {
    let world = World::new().await;
    for sql in [
        "UPDATE madang.ledger_entries SET at = 2",
        "DELETE FROM madang.ledger_entries WHERE seq = 8",
        "TRUNCATE madang.ledger_entries",
        "UPDATE madang.ledger_accounts SET name = 'world'",
        "DELETE FROM madang.ledger_accounts",
    ] {
        let refused = world.database.sql(sql).unwrap_err().to_string();
        assert!(refused.contains("the ledger is never changed"), "{refused}");
    }
    for (sql, expected) in [
        (
            "DROP TRIGGER ledger_is_final ON ledger_entries",
            "ledger_entries: ledger_is_final",
        ),
        (
            "ALTER TABLE ledger_accounts DISABLE TRIGGER ledger_is_final",
            "ledger_accounts: ledger_is_final",
        ),
        (
            "DROP INDEX ledger_entries_by_id",
            "ledger_entries: ledger_entries_by_id",
        ),
    ] {
        assert!(world.behind(sql));
        let found = world.findings().await;
        assert!(
            found.iter().any(|found| found.starts_with(expected)),
            "{found:?}"
        );
    }
    let function = "CREATE OR REPLACE FUNCTION ledger_is_final() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'";
    let enabled = "ALTER TABLE ledger_accounts ENABLE TRIGGER ledger_is_final";
    assert!(world.behind(enabled) && world.behind(function));
    let found = world.findings().await;
    let expected = "ledger_accounts: ledger_is_final";
    assert!(
        found.iter().any(|found| found.starts_with(expected)),
        "{found:?}"
    );
}

/// The legs are there as rows for whoever looks.
#[tokio::test]
async fn legs_are_seen_as_rows() {
    let world = World::new().await;
    let legs = world.database.sql(
        "SELECT seq, leg, unit, amount, from_account, to_account FROM madang.ledger_legs WHERE seq = 3 ORDER BY leg",
    );
    let expected = format!("3|0|1|30|{LEASE}|{SITE}\n3|1|5|9|{SITE}|project:hanbit:search");
    assert_eq!(legs.unwrap(), expected);
}
