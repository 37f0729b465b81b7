//! What only the inside can see: plans, triggers, rows that somebody changed behind the rules.

use super::rows::list_sql;
use super::*;
use crate::conformance::sample::{LEASE, SITE, entry, grant, won};
use madang_ledger::{Leg, Phase, Subject};
use madang_types::{Micros, RequestId};
use rusqlite::params_from_iter;
use rusqlite::types::Value;
use std::path::PathBuf;

const SETTINGS: Settings = Settings {
    busy_wait_ms_max: 1_000,
    file_pages_max: None,
};

/// Two grants, a direct, a posted, a voided and an open reservation: entries 1 to 8.
fn entries() -> Vec<Entry> {
    let take = |amount| vec![won(LEASE, SITE, amount).unwrap()];
    let tokens = Leg {
        unit: Unit::OutputTokens,
        ..won(SITE, "project:hanbit:search", 9).unwrap()
    };
    let mut direct = entry(3, Phase::Direct, take(30));
    direct.legs.push(tokens);
    let request = Subject::Request(RequestId(3));
    vec![
        grant(1, 100).unwrap(),
        grant(2, 50).unwrap(),
        Entry {
            subject: request,
            ..direct
        },
        entry(4, Phase::Reserve, take(20)),
        entry(4, Phase::Post, take(15)),
        entry(5, Phase::Reserve, take(10)),
        entry(5, Phase::Void, Vec::new()),
        entry(6, Phase::Reserve, take(7)),
    ]
}

fn books() -> (tempfile::TempDir, PathBuf, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("books.sqlite");
    let conn = connect::open(&path, SETTINGS).unwrap();
    let mut page = page::Page::default();
    for told in page.append(&conn, &entries()).unwrap() {
        assert!(matches!(told, Ok(Applied::New(_))), "{told:?}");
    }
    page.finish(&conn).unwrap();
    (folder, path, conn)
}

/// Does it without the triggers, which are there again afterwards.
fn behind(conn: &Connection, sql: &str) {
    let triggers: Vec<(String, String)> = conn
        .prepare(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND name GLOB 'ledger_*'",
        )
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(triggers.len(), 8);
    for (name, _) in &triggers {
        conn.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
    }
    conn.execute_batch(sql).unwrap();
    for (_, trigger) in &triggers {
        conn.execute_batch(trigger).unwrap();
    }
}

/// The first thing that a report finds after each of these begins so, and it knows what to do.
fn check(cases: &[(&str, &str)]) {
    for (sql, expected) in cases {
        let (_folder, path, conn) = books();
        behind(&conn, sql);
        let report = SqliteLedger::open(&path).unwrap().verify().unwrap();
        let first = report.findings.first().expect(sql);
        let found = format!("{}: {first}", first.place());
        assert!(found.starts_with(expected), "{sql}: {found}");
        assert!(first.remedy().ends_with("verifies") || first.remedy().contains("by its ids"));
    }
}

#[test]
fn untouched_books_have_no_findings() {
    let (_folder, path, conn) = books();
    behind(&conn, "");
    let report = SqliteLedger::open(&path).unwrap().verify().unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(
        (report.entries, report.legs, report.open_reservations),
        (8, 12, 1)
    );
}

#[test]
fn a_leg_that_was_changed_is_found() {
    check(&[
        (
            "UPDATE ledger_legs SET amount = 31 WHERE seq = 3 AND leg = 0",
            "balance of lease:gw-1:7:allocation:hanbit in micro_won: it says in 150, out 45, reserved 7; the entries come to in 150, out 46",
        ),
        (
            "UPDATE ledger_legs SET amount = 140 WHERE seq = 3 AND leg = 0",
            "entry 4 (id 00000000000000000000000000000004): lease:gw-1:7:allocation:hanbit has 10 micro_won left, 10 less",
        ),
        (
            "UPDATE ledger_legs SET amount = 0 WHERE seq = 3 AND leg = 0",
            "entry 3 (id 00000000000000000000000000000003): a leg moves at least 1, this one 0",
        ),
        (
            "UPDATE ledger_legs SET amount = 21 WHERE seq = 5",
            "entry 5 (id 00000000000000000000000000000004): lease:gw-1:7:allocation:hanbit had 20 micro_won set aside",
        ),
        (
            "UPDATE ledger_legs SET to_account = 1 WHERE seq = 3 AND leg = 0",
            "balance of site:pohang in micro_won: it says in 45, out 0, reserved 0; the entries come to in 15,",
        ),
        (
            "UPDATE ledger_legs SET to_account = 99 WHERE seq = 3 AND leg = 0",
            "entry 3: there is no account number 99",
        ),
        (
            "UPDATE ledger_legs SET from_account = to_account WHERE seq = 3 AND leg = 0",
            "entry 3 (id 00000000000000000000000000000003): a leg moves from one account to another",
        ),
        (
            "UPDATE ledger_legs SET unit = 2 WHERE seq = 3 AND leg = 1",
            "balance of project:hanbit:search in output_tokens: it says in 9,",
        ),
        (
            "UPDATE ledger_legs SET unit = 8 WHERE seq = 3 AND leg = 1",
            "entry 3: column unit holds '8'",
        ),
        (
            "UPDATE ledger_legs SET seq = 6 WHERE seq = 3 AND leg = 1",
            "balance of project:hanbit:search in output_tokens: it says in 9,",
        ),
    ]);
}

#[test]
fn what_is_missing_or_too_much_is_found() {
    check(&[
        (
            "DELETE FROM ledger_legs WHERE seq = 3 AND leg = 0",
            "entry 3: leg 0 is missing",
        ),
        (
            "DELETE FROM ledger_legs WHERE seq = 3",
            "entry 3 (id 00000000000000000000000000000003): an entry has 1 to 16 legs",
        ),
        (
            "INSERT INTO ledger_legs VALUES (7, 0, 1, 1, 1, 2)",
            "entry 7 (id 00000000000000000000000000000005): an entry has 1 to 16 legs, a void has none; this one has 1",
        ),
        (
            "INSERT INTO ledger_legs VALUES (9, 0, 1, 1, 1, 2)",
            "leg 0 of entry 9: the leg belongs to no entry",
        ),
        (
            "DELETE FROM ledger_entries WHERE seq = 3",
            "leg 0 of entry 3: the leg belongs to no entry",
        ),
        (
            "INSERT INTO ledger_entries SELECT -1, zeroblob(16), 4, at, 3, NULL FROM ledger_entries WHERE seq = 7",
            "entry 0: it stands where 1 should be",
        ),
        (&gone("= 3"), "entry 3: missing in the order of writing"),
        (
            &gone("< 3"),
            "entries 1 to 2: missing in the order of writing",
        ),
        (
            &gone("= 8"),
            "balance of lease:gw-1:7:allocation:hanbit in micro_won: it says in 150, out 45, reserved 7",
        ),
        (
            &format!(
                "INSERT INTO ledger_entries VALUES (9, randomblob(16), 1, 1, 3, NULL); {LEGS_OF_9}"
            ),
            "balance of lease:gw-1:7:allocation:hanbit in micro_won: it says in 150, out 45,",
        ),
        (
            &format!(
                "INSERT INTO ledger_entries SELECT 9, id, 2, at, about, subject FROM ledger_entries WHERE seq = 3; {LEGS_OF_9}"
            ),
            "id 00000000000000000000000000000003: its entries do not go together: direct at 3 reserve at 9",
        ),
    ]);
}

const LEGS_OF_9: &str = "INSERT INTO ledger_legs VALUES (9, 0, 1, 5, 4, 5); INSERT INTO ledger_account_entries VALUES (0, 4, 9), (0, 5, 9)";

/// Takes whole entries away, with all that belongs to them.
fn gone(which: &str) -> String {
    ["ledger_entries", "ledger_legs", "ledger_account_entries"]
        .map(|table| format!("DELETE FROM {table} WHERE seq {which};"))
        .concat()
}

#[test]
fn an_entry_that_was_changed_is_found() {
    check(&[
        (
            "UPDATE ledger_entries SET phase = 2 WHERE seq = 3",
            "balance of lease:gw-1:7:allocation:hanbit in micro_won: it says in 150, out 45, reserved 7; the entries come to in 150, out 15, reserved 37",
        ),
        (
            "UPDATE ledger_entries SET phase = 3 WHERE seq = 7",
            "entry 7 (id 00000000000000000000000000000005): an entry has 1 to 16 legs",
        ),
        ("UPDATE ledger_entries SET phase = 9 WHERE seq = 3", "entry 3: column phase holds '9'"),
        ("UPDATE ledger_entries SET about = 0 WHERE seq = 3", "entry 3: column about holds '0'"),
        ("UPDATE ledger_entries SET subject = 'x' WHERE seq = 3", "entry 3: cannot read a row: Invalid column type"),
        ("UPDATE ledger_entries SET id = x'07' WHERE seq = 3", "entry 3: cannot read a row: Conversion error"),
        (
            "UPDATE ledger_entries SET id = zeroblob(16) WHERE seq = 5",
            "entry 5 (id 00000000000000000000000000000000): there is no reserve with this id",
        ),
        (
            "UPDATE ledger_entries SET id = (SELECT id FROM ledger_entries WHERE seq = 3) WHERE seq = 8",
            "id 00000000000000000000000000000003: its entries do not go together: direct at 3 reserve at 8",
        ),
        (
            "UPDATE ledger_entries SET seq = 90 WHERE seq = 4; UPDATE ledger_entries SET seq = 4 WHERE seq = 5;
             UPDATE ledger_entries SET seq = 5 WHERE seq = 90",
            "entry 4 (id 00000000000000000000000000000004): there is no reserve with this id",
        ),
    ]);
}

#[test]
fn what_stands_beside_the_entries_is_compared() {
    let site = "balance of site:pohang in micro_won: it says in";
    check(&[
        (
            "UPDATE ledger_balances SET total_in = 46 WHERE account = 'site:pohang' AND unit = 1",
            &format!("{site} 46, out 0, reserved 0; the entries come to in 45,"),
        ),
        (
            "UPDATE ledger_balances SET reserved_out = 0 WHERE account GLOB 'lease:*'",
            "balance of lease:gw-1:7:allocation:hanbit in micro_won: it says in 150, out 45, reserved 0;",
        ),
        (
            "UPDATE ledger_balances SET unit = 9 WHERE account = 'site:pohang' AND unit = 1",
            "balance of 'site:pohang': column unit holds '9'",
        ),
        (
            "DELETE FROM ledger_balances WHERE account = 'site:pohang' AND unit = 1",
            "all balances in micro_won: they sum to -45, not to zero",
        ),
        (
            "INSERT INTO ledger_balances VALUES ('site:busan', 1, 5, 5, 0)",
            "balance of site:busan in micro_won: it says in 5,",
        ),
        (
            "UPDATE ledger_accounts SET name = 'site:busan' WHERE name = 'site:pohang'",
            &format!("{site} 45, out 0, reserved 0; the entries come to in 0,"),
        ),
        (
            "UPDATE ledger_accounts SET name = 'nobody' WHERE name = 'site:pohang'",
            "account number 5: column name holds 'nobody'",
        ),
        (
            "DELETE FROM ledger_accounts WHERE name = 'site:pohang'",
            "entry 3: there is no account number 5",
        ),
        (
            "UPDATE ledger_account_entries SET seq = 7 WHERE account = 4 AND seq = 4",
            "list of the entries of lease:gw-1:7:allocation:hanbit: it does not hold",
        ),
        (
            "UPDATE ledger_account_entries SET block = 1 WHERE account = 4 AND seq = 4",
            "list of the entries of lease:gw-1:7:allocation:hanbit: it does not hold",
        ),
        (
            "DELETE FROM ledger_account_entries WHERE account = 5",
            "list of the entries of site:pohang: it does not hold",
        ),
        (
            "INSERT INTO ledger_account_entries VALUES (0, 77, 7)",
            "list of account number 77: there is no such account",
        ),
    ]);
}

#[test]
fn changed_tables_are_found() {
    check(&[
        (
            "DROP INDEX ledger_entries_by_id; CREATE INDEX ledger_entries_by_id ON ledger_entries (id, phase)",
            "index ledger_entries_by_id: not as the ledger was made",
        ),
        (
            "DROP INDEX ledger_entries_by_time",
            "index ledger_entries_by_time: not as",
        ),
        (
            "CREATE TRIGGER more AFTER INSERT ON ledger_legs BEGIN UPDATE ledger_balances SET total_in = 0; END",
            "trigger more: not as the ledger was made",
        ),
        (
            "ALTER TABLE ledger_legs ADD COLUMN note TEXT",
            "table ledger_legs: not as",
        ),
    ]);
    let (_folder, path, conn) = books();
    conn.execute_batch("DROP TRIGGER ledger_legs_update")
        .unwrap();
    let report = SqliteLedger::open(&path).unwrap().verify().unwrap();
    assert_eq!(report.findings_count, 1, "{:?}", report.findings);
}

#[test]
fn entries_are_not_changed_by_anybody() {
    let (_folder, _path, conn) = books();
    for (sql, told) in [
        (
            "UPDATE ledger_entries SET at = 2",
            "entries are never changed: write one that moves",
        ),
        (
            "DELETE FROM ledger_entries WHERE seq = 8",
            "entries are never deleted",
        ),
        (
            "UPDATE ledger_legs SET amount = 1",
            "entries are never changed",
        ),
        ("DELETE FROM ledger_legs", "entries are never deleted"),
        (
            "UPDATE ledger_accounts SET name = 'world'",
            "accounts of the ledger are never changed",
        ),
        (
            "DELETE FROM ledger_accounts",
            "accounts of the ledger are never deleted",
        ),
        (
            "UPDATE ledger_account_entries SET seq = 1",
            "entries are never changed",
        ),
        (
            "DELETE FROM ledger_account_entries",
            "entries are never deleted",
        ),
    ] {
        let refused = conn.execute(sql, []).unwrap_err().to_string();
        assert!(refused.contains(told), "{sql}: {refused}");
    }
}

#[test]
fn an_account_is_followed_from_block_to_block() {
    let folder = tempfile::tempdir().unwrap();
    let mut conn = connect::open(&folder.path().join("books.sqlite"), SETTINGS).unwrap();
    let tx = conn.transaction().unwrap();
    let mut page = page::Page::default();
    let busan = |seq: u128| seq.is_multiple_of(2000) || seq == 4095 || seq == 4097;
    for seq in 1..=2 * 4096 + 5 {
        let to = if busan(seq) { "site:busan" } else { SITE };
        let legs = vec![won("world", to, 1).unwrap()];
        let told = page
            .append(&tx, &[entry(seq, Phase::Direct, legs)])
            .unwrap();
        assert!(told[0].is_ok());
    }
    page.finish(&tx).unwrap();
    tx.commit().unwrap();
    let filter = EntryFilter {
        account: Some("site:busan".parse().unwrap()),
        ..EntryFilter::default()
    };
    for size in [1, 2, 9] {
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let found = rows::list(&conn, &filter, before, size).unwrap();
            let Some(last) = found.last() else { break };
            before = Some(last.seq);
            seen.extend(found.iter().map(|row| row.seq));
        }
        assert_eq!(
            seen,
            [8000, 6000, 4097, 4095, 4000, 2000],
            "pages of {size}"
        );
    }
    assert_eq!(verify::verify(&conn).unwrap().findings, []);
}

#[test]
fn lists_take_their_index() {
    let (_folder, _path, conn) = books();
    let request = Subject::Request(RequestId(3));
    let page = "SEARCH e USING INTEGER PRIMARY KEY (rowid<?)";
    let none = EntryFilter::default;
    for (filter, expected) in [
        (none(), vec![page]),
        (
            EntryFilter {
                subject: Some(request),
                ..none()
            },
            vec![
                "MULTI-INDEX OR",
                "INDEX 1",
                "SEARCH e USING INDEX ledger_entries_by_subject (about=? AND subject=? AND rowid<?)",
                "INDEX 2",
                "SEARCH e USING INDEX ledger_entries_by_id (id=?)",
                "USE TEMP B-TREE FOR ORDER BY",
            ],
        ),
        (
            EntryFilter {
                from: Some(Micros(1)),
                until: Some(Micros(2)),
                ..none()
            },
            vec![
                "SEARCH e USING INDEX ledger_entries_by_time (at>? AND at<?)",
                "USE TEMP B-TREE FOR ORDER BY",
            ],
        ),
    ] {
        let sql = list_sql(&filter, Some(9), &mut Vec::new());
        let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let unbound = vec![Value::Null; explain.parameter_count()];
        let plan: Vec<String> = explain
            .query_map(params_from_iter(unbound), |row| row.get(3))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(plan, expected, "{sql}");
    }
}
