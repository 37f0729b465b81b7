//! Rows that somebody changed behind the rules: each such change is found.

use super::*;
use crate::sqlite::migrate::{MIGRATIONS, migrate};
use madang_ledger::Finding;

/// After each of these a finding begins so, and each finding knows what to do.
fn check(cases: &[(&str, &str)]) {
    for (sql, expected) in cases {
        let (_folder, path, conn) = books();
        behind(&conn, sql);
        let report = SqliteLedger::open(&path).unwrap().verify().unwrap();
        let told = |finding: &Finding| format!("{}: {finding}", finding.place());
        let found: Vec<String> = report.findings.iter().map(told).collect();
        let is_found = found.iter().any(|found| found.starts_with(expected));
        assert!(is_found, "{sql}: {found:#?}");
        let remedies = report.findings.iter().map(Finding::remedy);
        assert!(remedies.into_iter().all(|remedy| remedy.contains("backup")));
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
            "INSERT INTO ledger_entries SELECT -1, zeroblob(16), 4, at, 3, NULL, 7 FROM ledger_entries WHERE seq = 7",
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
                "INSERT INTO ledger_entries VALUES (9, randomblob(16), 1, 1, 3, NULL, 7); {LEGS_OF_9}"
            ),
            "balance of lease:gw-1:7:allocation:hanbit in micro_won: it says in 150, out 45,",
        ),
        (
            &format!(
                "INSERT INTO ledger_entries SELECT 9, id, 2, at, about, subject, 7 FROM ledger_entries WHERE seq = 3; {LEGS_OF_9}"
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
            "UPDATE ledger_entries SET at = at + 1 WHERE seq = 3",
            "entry 3 (id 00000000000000000000000000000003): not what was written",
        ),
        (
            "UPDATE ledger_entries SET subject = zeroblob(16) WHERE seq = 3",
            "entry 3 (id 00000000000000000000000000000003): not what was written",
        ),
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

/// A row: its table, and its columns.
type Row = (&'static str, Vec<(String, Value)>);

fn rows_of(conn: &Connection, table: &'static str) -> Vec<Row> {
    let mut select = conn.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let names: Vec<String> = select.column_names().map(str::to_owned).collect();
    let read = |row: &rusqlite::Row<'_>| {
        let values = names
            .iter()
            .map(|name| Ok((name.clone(), row.get(name.as_str())?)));
        values
            .collect::<rusqlite::Result<_>>()
            .map(|columns| (table, columns))
    };
    let rows = select.query_map([], read).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// Other values in the place of this one: a little more, and much less.
fn others(value: &Value) -> Vec<Value> {
    match value {
        Value::Integer(number) => [1, -1000].map(|by| Value::Integer(number + by)).into(),
        Value::Text(text) => vec![Value::Text(format!("{text}x"))],
        Value::Blob(bytes) => vec![Value::Blob(vec![0; bytes.len()])],
        Value::Null => vec![Value::Blob(vec![0; 16])],
        Value::Real(_) => Vec::new(),
    }
}

/// Every value changed, and every row taken away, one at a time.
#[test]
fn any_one_change_is_found() {
    let sample = in_memory();
    let mut tried = 0;
    for table in [
        "ledger_accounts",
        "ledger_entries",
        "ledger_legs",
        "ledger_account_entries",
        "ledger_balances",
    ] {
        for row in rows_of(&sample, table) {
            tried += usize::from(check_one_change(&row, None));
            for (column, value) in &row.1 {
                for other in others(value) {
                    tried += usize::from(check_one_change(&row, Some((column, other))));
                }
            }
        }
    }
    assert!(tried > 300, "{tried} changes were tried");
}

fn in_memory() -> Connection {
    let mut conn = Connection::open_in_memory().unwrap();
    migrate(&mut conn, MIGRATIONS).unwrap();
    fill(&conn);
    conn
}

/// Changes one row of fresh books, or takes it away; `false` where SQLite itself does not let it.
fn check_one_change((table, columns): &Row, change: Option<(&str, Value)>) -> bool {
    let conn = in_memory();
    let is = |(place, (name, _)): (usize, &(String, Value))| format!("{name} IS ?{}", place + 2);
    let same: Vec<String> = columns.iter().enumerate().map(is).collect();
    let same = same.join(" AND ");
    let (sql, other) = match change {
        Some((column, other)) => (
            format!("UPDATE {table} SET {column} = ?1 WHERE {same}"),
            other,
        ),
        None => (
            format!("DELETE FROM {table} WHERE {same} AND ?1 IS NULL"),
            Value::Null,
        ),
    };
    let values = columns.iter().map(|(_, value)| value.clone());
    let params: Vec<Value> = std::iter::once(other).chain(values).collect();
    let mut changed = Ok(0);
    behind_with(&conn, |conn| {
        changed = conn.execute(&sql, params_from_iter(&params))
    });
    match changed {
        Ok(changed) => assert_eq!(changed, 1, "{sql} {params:?}"),
        Err(_) => return false,
    }
    let report = verify::verify(&conn).unwrap();
    assert!(report.findings_count > 0, "{sql} {params:?}");
    true
}
