//! What only the inside can see: plans, triggers, blocks, rows that somebody changed behind the rules.

mod changes;

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
    fill(&conn);
    (folder, path, conn)
}

fn fill(conn: &Connection) {
    let mut page = page::Page::default();
    for told in page.append(conn, &entries()).unwrap() {
        assert!(matches!(told, Ok(Applied::New(_))), "{told:?}");
    }
    page.finish(conn).unwrap();
}

/// Does it without the triggers, which are there again afterwards.
fn behind(conn: &Connection, sql: &str) {
    behind_with(conn, |conn| conn.execute_batch(sql).unwrap());
}

/// The same.
fn behind_with(conn: &Connection, change: impl FnOnce(&Connection)) {
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
    change(conn);
    for (_, trigger) in &triggers {
        conn.execute_batch(trigger).unwrap();
    }
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
