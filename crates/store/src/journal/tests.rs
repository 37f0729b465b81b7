//! Each test in both ways: a record is confirmed once it is synced, or a moment before.

use super::*;
use crate::conformance::sample::full;
use madang_types::Micros;
use std::sync::mpsc::{Receiver, channel};

/// Room for a few records in each half.
const HALF_BYTES: u64 = 4096;

fn halves(half_bytes: u64) -> JournalSize {
    JournalSize {
        half_bytes,
        turn_bytes: half_bytes,
    }
}

fn record(id: u128) -> Line {
    Line::Settled(Box::new(full(id, Micros(1)).unwrap().into()))
}

/// Sooner than this nothing is synced unless somebody waits for it.
const LATER_MS: u64 = 5;

fn start(path: &Path, sync_ms_max: u64) -> (Journal, Backlog, Vec<u128>, Receiver<()>) {
    let (opened, left) = open(path, halves(HALF_BYTES))
        .unwrap()
        .expect("nobody has it");
    let (asked, asks) = channel();
    let ask = move || {
        // Nobody listens where a test does not look at it.
        asked.send(()).ok();
    };
    let (journal, backlog) = Journal::start(opened, ask).unwrap();
    journal.sync_ms_max_set(sync_ms_max);
    (journal, backlog, ids(&left), asks)
}

fn ids(lines: &[Line]) -> Vec<u128> {
    let id = |line: &Line| match line {
        Line::Settled(settlement) => settlement.record.id.0,
        other => unreachable!("{other:?}"),
    };
    lines.iter().map(id).collect()
}

/// Whether the journal kept it.
fn append(journal: &Journal, id: u128) -> bool {
    match journal.append(record(id)).unwrap() {
        Appended::Kept => true,
        Appended::Waits(answer) => answer.blocking_recv().unwrap(),
        Appended::Refused(_) => false,
    }
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = path_of(&folder.path().join("books.sqlite"));
    (folder, path)
}

#[test]
fn what_was_confirmed_is_found_again_until_the_database_has_it() {
    for sync_ms_max in [0, LATER_MS] {
        let (_folder, path) = scratch();
        let (journal, backlog, left, asks) = start(&path, sync_ms_max);
        assert_eq!(left, []);
        assert!(append(&journal, 1) && append(&journal, 2));
        assert!(journal.has_backlog());
        asks.recv()
            .expect("the backlog is to be taken after a moment");
        assert_eq!(ids(&backlog.take()), [1, 2]);
        assert!(
            journal.has_backlog(),
            "what was only taken may still be lost"
        );
        drop(journal);
        backlog.close();
        let (journal, backlog, left, _) = start(&path, sync_ms_max);
        assert_eq!(left, [1, 2]);
        assert!(append(&journal, 3));
        backlog.moved(backlog.take().len());
        assert!(!journal.has_backlog());
        drop(journal);
        backlog.close();
        assert!(!path.exists(), "nothing is left to keep");
    }
}

#[test]
fn a_half_is_not_written_over_before_the_database_has_it() {
    for sync_ms_max in [0, LATER_MS] {
        let (_folder, path) = scratch();
        let (journal, backlog, ..) = start(&path, sync_ms_max);
        let mut kept: Vec<u128> = (1..100).take_while(|id| append(&journal, *id)).collect();
        assert!((4..20).contains(&kept.len()), "{kept:?}");
        assert_eq!(ids(&backlog.take()), kept);
        assert!(!append(&journal, 100), "taken is not kept");
        backlog.moved(kept.len());
        for id in 101..200 {
            assert!(append(&journal, id));
            kept = ids(&backlog.take());
            backlog.moved(kept.len());
            assert_eq!(kept, [id]);
        }
        assert!(append(&journal, 200));
        drop(journal);
        backlog.close();
        let (_journal, _, left, _) = start(&path, sync_ms_max);
        assert!(left.is_sorted() && left.last() == Some(&200), "{left:?}");
    }
}

#[test]
fn a_database_that_takes_nothing_stops_the_journal_and_keeps_the_order() {
    for sync_ms_max in [0, LATER_MS] {
        let (_folder, path) = scratch();
        let (journal, backlog, ..) = start(&path, sync_ms_max);
        assert!(append(&journal, 1));
        let taken = backlog.take();
        assert!(append(&journal, 2));
        backlog.put_back(taken);
        assert!(!append(&journal, 3));
        let taken = backlog.take();
        assert_eq!(ids(&taken), [1, 2]);
        backlog.moved(taken.len());
        assert!(append(&journal, 4));
    }
}

#[test]
fn a_spool_takes_on_what_the_database_does_not_until_it_is_full() {
    for sync_ms_max in [0, LATER_MS] {
        let (_folder, path) = scratch();
        let size = JournalSize {
            half_bytes: HALF_BYTES * 8,
            turn_bytes: HALF_BYTES,
        };
        let (opened, _) = open(&path, size).unwrap().unwrap();
        let (journal, backlog) = Journal::start(opened, || {}).unwrap();
        journal.sync_ms_max_set(sync_ms_max);
        let mut kept = Vec::new();
        for id in (1..1000).take_while(|id| append(&journal, *id)) {
            kept.push(id);
            backlog.put_back(backlog.take());
        }
        // The beginning of one half, and all of the other.
        assert!((40..100).contains(&kept.len()), "{}", kept.len());
        assert_eq!(ids(&backlog.take()), kept);
        assert!(!append(&journal, 1000), "taken is not kept");
        drop(journal);
        backlog.close();
        let (opened, left) = open(&path, size).unwrap().unwrap();
        assert_eq!(ids(&left), kept, "the next start finds all");
        let (journal, backlog) = Journal::start(opened, || {}).unwrap();
        assert!(append(&journal, 2000));
        backlog.moved(backlog.take().len());
        assert!(!journal.has_backlog());
    }
}

#[test]
fn one_store_has_the_journal() {
    for sync_ms_max in [0, LATER_MS] {
        let (_folder, path) = scratch();
        let (journal, ..) = start(&path, sync_ms_max);
        assert!(open(&path, halves(HALF_BYTES)).unwrap().is_none());
        assert!(append(&journal, 1));
    }
}

#[test]
fn halves_of_another_length_are_read_and_then_replaced() {
    for sync_ms_max in [0, LATER_MS] {
        let (_folder, path) = scratch();
        let (journal, backlog, ..) = start(&path, sync_ms_max);
        let kept: Vec<u128> = (1..100).take_while(|id| append(&journal, *id)).collect();
        drop(journal);
        backlog.close();
        let (opened, left) = open(&path, halves(HALF_BYTES * 3)).unwrap().unwrap();
        assert_eq!(ids(&left), kept);
        let (journal, ..) = Journal::start(opened, || {}).unwrap();
        assert!(append(&journal, 500));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), HALF_BYTES * 6);
    }
}

/// A handle that cannot be synced: a pipe has no disk.
fn unsynced() -> Arc<File> {
    let (end, _) = std::io::pipe().unwrap();
    Arc::new(File::from(std::os::fd::OwnedFd::from(end)))
}

#[test]
fn after_a_failed_sync_the_database_is_given_everything() {
    for sync_ms_max in [0, LATER_MS] {
        let (_folder, path) = scratch();
        let (Opened(mut file), _) = open(&path, halves(HALF_BYTES)).unwrap().unwrap();
        file.begin().unwrap();
        let (asked, asks) = channel();
        let ask = Arc::new(move || asked.send(()).unwrap());
        let (journal, backlog) = Journal::run((file, unsynced()), ask).unwrap();
        journal.sync_ms_max_set(sync_ms_max);
        assert_eq!(append(&journal, 1), sync_ms_max > 0);
        asks.recv().expect("the backlog is to be taken at once");
        assert!(!append(&journal, 2), "nothing more is put into the file");
        assert_eq!(ids(&backlog.take()), [1]);
    }
}
