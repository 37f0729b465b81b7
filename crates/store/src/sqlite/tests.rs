//! What only the inside can see: settings, plans, rows that nobody of ours wrote, batches.

use super::connect::{self, Settings};
use super::writer::{Job, Write, Writer};
use super::*;
use crate::JobFilter;
use crate::conformance::sample::{SEOUL_MIDNIGHT, full, key, plain};
use crate::settlement::Line;
use madang_types::JobState;
use rusqlite::Connection;
use std::path::PathBuf;

const SETTINGS: Settings = Settings {
    busy_wait_ms_max: 1_000,
    file_pages_max: None,
};

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("books.sqlite");
    (folder, path)
}

fn check_pragma(conn: &Connection, name: &str, expected: i64) {
    let found: i64 = conn
        .pragma_query_value(None, name, |row| row.get(0))
        .unwrap();
    assert_eq!(found, expected, "{name}");
}

#[test]
fn settings_are_in_force() {
    let (_folder, path) = scratch();
    for conn in [
        connect::open(&path, SETTINGS).unwrap(),
        connect::reopen(&path, SETTINGS).unwrap(),
    ] {
        let mode: String = conn
            .pragma_query_value(None, "journal_mode", |row| row.get(0))
            .unwrap();
        assert_eq!(mode, "wal");
        check_pragma(&conn, "synchronous", 2);
        check_pragma(&conn, "wal_autocheckpoint", 1000);
        check_pragma(&conn, "journal_size_limit", 64 << 20);
        check_pragma(&conn, "busy_timeout", 1_000);
        check_pragma(&conn, "foreign_keys", 1);
        check_pragma(&conn, "cache_size", -16_384);
        check_pragma(&conn, "page_size", 4096);
        check_pragma(&conn, "application_id", 0x4d44_4e47);
    }
    let reader = connect::open_reader(&path, SETTINGS).unwrap();
    assert!(reader.execute("DELETE FROM usage", []).is_err());
}

#[test]
fn a_file_that_is_gone_is_not_made_anew_behind_the_books() {
    let (_folder, path) = scratch();
    let refused = connect::reopen(&path, SETTINGS).unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
    assert!(!path.exists());
}

fn check_plan(conn: &Connection, sql: &str, expected: &[&str]) {
    let plan: Vec<String> = conn
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .unwrap()
        .raw_query()
        .mapped(|row| row.get(3))
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(plan, expected, "{sql}");
}

#[test]
fn lists_need_no_sort() {
    let (_folder, path) = scratch();
    let conn = connect::open(&path, SETTINGS).unwrap();
    let order = "ORDER BY arrived_at DESC, id DESC LIMIT 9";
    check_plan(
        &conn,
        &format!("SELECT decision FROM usage {order}"),
        &["SCAN usage USING INDEX usage_by_arrival"],
    );
    check_plan(
        &conn,
        &format!(
            "SELECT decision FROM usage WHERE arrived_at >= 1 AND arrived_at < 2 AND (arrived_at, id) < (2, x'00') {order}"
        ),
        &["SEARCH usage USING INDEX usage_by_arrival (arrived_at>? AND arrived_at<?)"],
    );
    check_plan(
        &conn,
        &format!("SELECT decision FROM usage WHERE tenant = 'a' AND arrived_at >= 1 {order}"),
        &["SEARCH usage USING INDEX usage_by_tenant (tenant=? AND arrived_at>?)"],
    );
}

#[test]
fn jobs_that_are_over_are_in_nobodys_way() {
    let (_folder, path) = scratch();
    let conn = connect::open(&path, SETTINGS).unwrap();
    let states = vec![JobState::Pending, JobState::Running];
    let open = JobFilter {
        states,
        ..JobFilter::default()
    };
    let check_list = |filter: &JobFilter, expected: &str| {
        check_plan(&conn, &jobs::list_sql(filter), &[expected]);
    };
    check_list(&open, "SEARCH jobs USING INDEX jobs_open (id<?)");
    let of_tenant = JobFilter {
        tenant: Some("demo".parse().unwrap()),
        ..open
    };
    check_list(
        &of_tenant,
        "SEARCH jobs USING INDEX jobs_open_by_tenant (tenant=? AND id<?)",
    );
    let runs = [
        "SEARCH jobs USING INDEX jobs_open (id>?)",
        "SEARCH job_runs USING PRIMARY KEY (job=?)",
    ];
    check_plan(&conn, &jobs::runs_sql(), &runs);
    let untold = "SEARCH job_runs USING INDEX job_runs_untold ((job,task,number)>(?,?,?))";
    check_plan(&conn, &jobs::untold_sql(), &[untold]);
    let used = [
        "SEARCH job_runs USING INDEX job_runs_used (used_at>?)",
        "SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)",
        // Of the sums, not of the runs.
        "USE TEMP B-TREE FOR GROUP BY",
        "USE TEMP B-TREE FOR ORDER BY",
    ];
    check_plan(&conn, &jobs::used_sql(), &used);
}

#[test]
fn a_row_that_nobody_of_ours_wrote_is_damage_and_is_named() {
    let (_folder, path) = scratch();
    let conn = connect::open(&path, SETTINGS).unwrap();
    for (column, value, told) in [
        ("outcome", "'lost'", "column outcome holds 'lost'"),
        ("tenant", "'a b'", "column tenant holds 'a b'"),
        ("status", "70000", "column status holds '70000'"),
        ("bytes_in", "-1", "column bytes_in holds '-1'"),
        ("error", "'no_such'", "column error holds 'no_such'"),
    ] {
        let record = full(1, SEOUL_MIDNIGHT).unwrap();
        usage::append(&conn, &record).unwrap();
        conn.execute(&format!("UPDATE usage SET {column} = {value}"), [])
            .unwrap();
        let damaged = usage::get(&conn, record.id).unwrap_err();
        assert!(matches!(damaged, StoreError::Damaged(_)), "{damaged}");
        assert!(damaged.to_string().contains(told), "{damaged}");
        conn.execute("DELETE FROM usage", []).unwrap();
    }
}

/// Queues the writes before the writer starts, so that they are one batch for certain.
fn one_batch(path: &Path, writes: Vec<Write>) -> Vec<Result<(), StoreError>> {
    let (queue, jobs) = mpsc::channel(writes.len());
    let mut answers = Vec::new();
    for write in writes {
        let (reply, answer) = oneshot::channel();
        queue.try_send(Job { write, reply }).ok().unwrap();
        answers.push(answer);
    }
    drop(queue);
    let conn = Some(connect::open(path, SETTINGS).unwrap());
    Writer {
        path: path.into(),
        settings: SETTINGS,
        conn,
        batch_max: 512,
        backlog: Backlog::default(),
    }
    .run(jobs);
    answers
        .into_iter()
        .map(|answer| answer.blocking_recv().unwrap().map(drop))
        .collect()
}

fn line(record: UsageRecord) -> Write {
    Write::Line(Line::Settled(Box::new(record.into())))
}

#[test]
fn a_bad_write_of_a_batch_fails_alone() {
    let (_folder, path) = scratch();
    let good = |id| line(plain(id, Micros(1)).unwrap());
    let mut over = plain(2, Micros(1)).unwrap();
    over.bytes_in = u64::MAX;
    let insert = || Write::KeyInsert(Box::new(key("k1").unwrap()));
    let results = one_batch(
        &path,
        vec![
            good(1),
            line(over),
            insert(),
            insert(),
            Write::KeyRevoke("absent".parse().unwrap(), Micros(1)),
            good(3),
        ],
    );
    let kinds: Vec<&str> = results
        .iter()
        .map(|result| match result {
            Ok(()) => "ok",
            Err(StoreError::Invalid(_)) => "invalid",
            Err(StoreError::Exists(_)) => "exists",
            Err(StoreError::Absent(_)) => "absent",
            Err(StoreError::Unavailable(_) | StoreError::Damaged(_)) => "medium",
        })
        .collect();
    assert_eq!(kinds, ["ok", "invalid", "ok", "exists", "absent", "ok"]);
    let conn = connect::open_reader(&path, SETTINGS).unwrap();
    let rows: u32 = conn
        .query_row("SELECT count(*) FROM usage", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 2);
}

#[test]
fn a_batch_that_the_disk_refuses_leaves_nothing() {
    let (_folder, path) = scratch();
    let mut writes = vec![
        Write::KeyInsert(Box::new(key("k1").unwrap())),
        Write::FilePagesMax(Some(1)),
    ];
    let mut long = full(1, Micros(1)).unwrap();
    long.decision = Some("x".repeat(100_000));
    writes.push(line(long));
    writes.push(Write::KeyInsert(Box::new(key("k2").unwrap())));
    for result in one_batch(&path, writes) {
        let error = result.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        assert!(error.to_string().contains("disk is full"), "{error}");
    }
    let conn = connect::open_reader(&path, SETTINGS).unwrap();
    assert_eq!(people::keys(&conn, None).unwrap(), []);
}
