use super::*;
use crate::{Folder, Reader};

fn settings() -> Settings {
    Settings {
        checkpoint_ms_max: 20,
        journal_half_bytes: HALF_BYTES_MIN,
        ..Settings::new("madang.example/test")
    }
}

/// No checkpoint comes by itself.
fn unhurried() -> Settings {
    Settings {
        checkpoint_ms_max: 3_600_000,
        checkpoint_leaves: usize::MAX,
        ..settings()
    }
}

fn open(folder: &Path) -> AuditLog {
    AuditLog::open(folder, &settings()).unwrap()
}

fn leaf(number: u64) -> Vec<u8> {
    format!("leaf {number}").into_bytes()
}

/// Appends leaves and checks their indexes.
fn fill(log: &AuditLog, from: u64, to: u64) {
    let answers: Vec<_> = (from..to)
        .map(|number| log.hand_over(leaf(number)).unwrap())
        .collect();
    for (index, answer) in (from..to).zip(answers) {
        assert_eq!(answer.blocking_recv().unwrap(), Ok(Appended { index }));
    }
}

/// Waits for a checkpoint over all that was confirmed.
fn checkpoint(log: &AuditLog) {
    let mut state = log.shared.lock();
    while state.checkpoint_size < state.size {
        state.hurry = true;
        log.shared.sequencer.notify_one();
        state = wait(&log.shared.progress, state, None);
    }
}

/// The leaves of a log that verifies.
fn leaves(folder: &Path) -> Vec<Vec<u8>> {
    let key = open_key(folder);
    let reader = Reader::open(Folder::new(folder), key).unwrap();
    let mut leaves = Vec::new();
    reader.verify(|_, leaf| leaves.push(leaf.to_vec())).unwrap();
    leaves
}

fn open_key(folder: &Path) -> VerifierKey {
    let text = std::fs::read_to_string(folder.join("log.key")).unwrap();
    crate::SigningKey::from_secret_text(&text)
        .unwrap()
        .verifier()
        .clone()
}

fn expected(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(leaf).collect()
}

/// What a crash at this moment leaves.
fn crash(folder: &Path) -> tempfile::TempDir {
    let crashed = tempfile::tempdir().unwrap();
    copy(folder, crashed.path());
    crashed
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn an_empty_log_has_a_checkpoint_that_verifies() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    assert_eq!(leaves(folder.path()), expected(0));
}

#[test]
fn leaves_stand_in_the_order_of_their_indexes_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let mut size = 0;
    for more in [1, 0, 254, 1, 1, 600, 3000] {
        let log = open(folder.path());
        assert_eq!(log.status().size, size);
        fill(&log, size, size + more);
        size += more;
        drop(log);
        assert_eq!(leaves(folder.path()), expected(size));
    }
}

#[test]
fn a_checkpoint_comes_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    fill(&log, 0, 3);
    let mut state = log.shared.lock();
    while state.checkpoint_size < 3 {
        state = wait(&log.shared.progress, state, None);
    }
    drop(state);
    assert_eq!(leaves(folder.path()), expected(3));
    assert_eq!(
        log.status(),
        Status {
            size: 3,
            checkpoint_size: 3,
            waiting: 0,
            trouble: None
        }
    );
}

#[test]
fn leaves_that_nobody_waits_for_are_logged_in_their_order_and_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let wait_for = |size| {
        let mut state = log.shared.lock();
        while state.checkpoint_size < size {
            state = wait(&log.shared.progress, state, None);
        }
    };
    // The journal's thread sleeps soundly, and after the second it looks for more by itself.
    log.append_later(leaf(0)).unwrap();
    wait_for(1);
    log.append_later(leaf(1)).unwrap();
    fill(&log, 2, 3);
    log.append_later(leaf(3)).unwrap();
    wait_for(4);
    let long = vec![0; LEAF_BYTES_MAX + 1];
    let refused = log.append_later(long);
    assert_eq!(refused, Err(AuditError::LeafTooLong(LEAF_BYTES_MAX + 1)));
    log.append_later(leaf(4)).unwrap();
    drop(log);
    assert_eq!(leaves(folder.path()), expected(5));
}

#[test]
fn what_was_confirmed_is_in_the_tree_after_a_crash_at_any_time() {
    let folder = tempfile::tempdir().unwrap();
    let log = AuditLog::open(folder.path(), &unhurried()).unwrap();
    fill(&log, 0, 300);
    checkpoint(&log);
    fill(&log, 300, 700);
    let crashed = crash(folder.path());
    drop(log);
    assert_eq!(leaves(crashed.path()), expected(300));
    let again = open(crashed.path());
    assert_eq!(again.status().checkpoint_size, 700);
    fill(&again, 700, 701);
    drop(again);
    assert_eq!(leaves(crashed.path()), expected(701));
}

#[test]
fn a_torn_tail_of_the_journal_was_never_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    let log = AuditLog::open(folder.path(), &unhurried()).unwrap();
    fill(&log, 0, 5);
    let crashed = crash(folder.path());
    let path = crashed.path().join("journal");
    let mut journal = std::fs::read(&path).unwrap();
    let frame = leaf(0).len() + FRAME_HEAD_BYTES;
    journal[frame * 4 + 20] ^= 1;
    std::fs::write(&path, journal).unwrap();
    let again = open(crashed.path());
    assert_eq!(again.status().size, 4);
    fill(&again, 4, 6);
    drop(again);
    assert_eq!(leaves(crashed.path()), expected(6));
}

#[test]
fn halves_turn_while_leaves_come() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let long = vec![b'x'; LEAF_BYTES_MAX];
    for index in 0..10 {
        assert_eq!(log.append_blocking(long.clone()), Ok(Appended { index }));
    }
    assert_eq!(
        log.append_blocking(vec![0; LEAF_BYTES_MAX + 1]),
        Err(AuditError::LeafTooLong(LEAF_BYTES_MAX + 1))
    );
    drop(log);
    assert_eq!(leaves(folder.path()), vec![long; 10]);
}

#[test]
fn one_process_appends() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    assert!(matches!(
        AuditLog::open(folder.path(), &settings()),
        Err(AuditError::InUse(_))
    ));
    fill(&log, 0, 1);
}

#[test]
fn confirmation_before_the_sync_loses_nothing_with_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        sync_ms_max: Some(5),
        ..unhurried()
    };
    let log = AuditLog::open(folder.path(), &settings).unwrap();
    fill(&log, 0, 40);
    let crashed = crash(folder.path());
    drop(open(crashed.path()));
    assert_eq!(leaves(crashed.path()), expected(40));
    drop(log);
    assert_eq!(leaves(folder.path()), expected(40));
}

#[test]
fn confirmation_before_the_sync_loses_no_more_than_that_with_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        sync_ms_max: Some(3_600_000),
        checkpoint_ms_max: 1,
        checkpoint_leaves: 1,
        ..settings()
    };
    let log = AuditLog::open(folder.path(), &settings).unwrap();
    // Three fill a half; the sync comes with its end.
    let long = vec![b'x'; 40_000];
    for index in 0..5 {
        assert_eq!(log.append_blocking(long.clone()), Ok(Appended { index }));
    }
    let mut state = log.shared.lock();
    while state.checkpoint_size < 3 {
        state = wait(&log.shared.progress, state, None);
    }
    assert_eq!((state.checkpoint_size, state.size), (3, 5));
    drop(state);
    let crashed = crash(folder.path());
    // The second half was never synced.
    let path = crashed.path().join("journal");
    let mut journal = std::fs::read(&path).unwrap();
    let half = journal.len() / 2;
    journal[half..].fill(0);
    std::fs::write(&path, journal).unwrap();
    drop(open(crashed.path()));
    assert_eq!(leaves(crashed.path()), vec![long.clone(); 3]);
    drop(log);
    assert_eq!(leaves(folder.path()), vec![long; 5]);
}

#[test]
fn where_many_leaves_wait_a_checkpoint_covers_whole_tiles_and_leaves_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        checkpoint_leaves: 600,
        ..unhurried()
    };
    let log = AuditLog::open(folder.path(), &settings).unwrap();
    let mut confirmed = 0;
    for (more, covered) in [(600, 512), (511, 512), (1, 1024), (600, 1536)] {
        fill(&log, confirmed, confirmed + more);
        confirmed += more;
        let mut state = log.shared.lock();
        while state.checkpoint_size < covered {
            state = wait(&log.shared.progress, state, None);
        }
        assert_eq!((state.checkpoint_size, state.size), (covered, confirmed));
        drop(state);
        let partial = |kind: &str| {
            folder
                .path()
                .join(format!("tile/{kind}/{:03}.p", covered / 256))
        };
        assert!(!partial("entries").exists() && !partial("0").exists());
    }
    drop(log);
    assert_eq!(leaves(folder.path()), expected(confirmed));
}

/// A log of 700 leaves that was closed, then changed by `change`; why it does not open.
fn refusal(change: impl Fn(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    fill(&log, 0, 700);
    drop(log);
    change(folder.path());
    match AuditLog::open(folder.path(), &settings()) {
        Err(error @ AuditError::Damaged { .. }) => error.to_string(),
        Err(error) => panic!("not damaged: {error}"),
        Ok(_) => panic!("it opens"),
    }
}

fn flip(path: &str) -> impl Fn(&Path) {
    move |folder| {
        let path = folder.join(path);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        std::fs::write(path, bytes).unwrap();
    }
}

fn delete(path: &str) -> impl Fn(&Path) {
    move |folder| std::fs::remove_file(folder.join(path)).unwrap()
}

fn without_checkpoint_and_journal(folder: &Path) {
    delete("checkpoint")(folder);
    delete("journal")(folder);
}

#[test]
fn a_log_that_contradicts_its_checkpoint_is_not_continued() {
    let starts = [
        (refusal(flip("checkpoint")), "checkpoint: "),
        (refusal(flip("log.key")), ""),
        (
            refusal(flip("tile/0/000")),
            "tile/0/000: it does not lead to the tile above it",
        ),
        (
            refusal(flip("tile/0/001")),
            "tile/0/001: it does not lead to the tile above it",
        ),
        (refusal(flip("tile/0/002.p/188")), "tile/entries: "),
        (refusal(flip("tile/entries/002.p/188")), "tile/entries: "),
        (
            refusal(flip("tile/1/000.p/2")),
            "checkpoint: it signs the root ",
        ),
        (refusal(delete("tile/0/000")), "tile/0/000: it is missing"),
        (
            refusal(delete("tile/entries/001")),
            "tile/entries/001: it is missing",
        ),
        (
            refusal(delete("tile/entries/002.p/188")),
            "tile/entries/002.p/188: it is missing",
        ),
        (refusal(delete("log.key")), ""),
        (
            refusal(without_checkpoint_and_journal),
            "tile/0/000: it reaches beyond the 0 leaves",
        ),
    ];
    for (found, start) in starts {
        assert!(found.starts_with(start), "{found}\nnot {start}");
        assert!(found.ends_with("restore the log from a copy"), "{found}");
    }
}

#[test]
fn a_checkpoint_set_back_is_made_good_from_the_journal_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    fill(&log, 0, 10);
    checkpoint(&log);
    let old = std::fs::read(folder.path().join("checkpoint")).unwrap();
    fill(&log, 10, 20);
    checkpoint(&log);
    let crashed = crash(folder.path());
    drop(log);
    std::fs::write(crashed.path().join("checkpoint"), &old).unwrap();
    drop(open(crashed.path()));
    assert_eq!(leaves(crashed.path()), expected(20));
    std::fs::write(crashed.path().join("checkpoint"), &old).unwrap();
    let error = AuditLog::open(crashed.path(), &settings())
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.starts_with("tile/0/000.p/20: it reaches beyond the 10 leaves"),
        "{error}"
    );
}

#[test]
fn a_log_keeps_its_name() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let other = Settings::new("madang.example/other");
    assert!(matches!(
        AuditLog::open(folder.path(), &other),
        Err(AuditError::Invalid(_))
    ));
}

#[test]
fn a_disk_that_takes_no_tiles_fills_the_journal_refuses_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    // A file where the folder of tiles should be.
    std::fs::write(folder.path().join("tile"), "").unwrap();
    let long = vec![b'x'; 40_000];
    let mut kept = 0;
    let error = loop {
        match log.append_blocking(long.clone()) {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 100);
    };
    assert!(matches!(error, AuditError::Unavailable(_)), "{error}");
    assert!(log.status().trouble.is_some());
    std::fs::remove_file(folder.path().join("tile")).unwrap();
    log_recovers(&log, &long);
    drop(log);
    assert_eq!(leaves(folder.path()).len(), kept + 1);
}

#[test]
fn a_folder_that_was_moved_away_refuses_and_is_not_begun_anew() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, away) = (parent.path().join("audit"), parent.path().join("away"));
    let log = open(&folder);
    let keys = crate::Keyring::new(&folder, 0);
    fill(&log, 0, 1);
    checkpoint(&log);
    std::fs::rename(&folder, &away).unwrap();
    // Its journal is open still, until both halves are full.
    let long = vec![b'x'; 40_000];
    let refused = (0..100).find_map(|_| log.append_blocking(long.clone()).err());
    assert!(matches!(refused, Some(AuditError::Unavailable(_))));
    let tenant = madang_types::TenantId::new("kma").unwrap();
    let refused = keys.hmac(&tenant, madang_types::Micros(0), b"");
    assert!(matches!(refused, Err(AuditError::Unavailable(_))));
    drop(log);
    assert!(!folder.exists());
    assert!(leaves(&away).starts_with(&expected(1)));
    let again = open(&away);
    assert!(again.status().size > 1);
}

/// Tries until one leaf is taken.
fn log_recovers(log: &AuditLog, leaf: &[u8]) {
    for _ in 0..10_000 {
        if log.append_blocking(leaf.to_vec()).is_ok() {
            return;
        }
        let state = log.shared.lock();
        drop(wait(
            &log.shared.progress,
            state,
            Some(Duration::from_millis(10)),
        ));
    }
    panic!("it does not recover");
}
