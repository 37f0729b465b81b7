//! `kill -9` and a disk that fails in earnest, in a child process: this same program, told so by the environment.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use madang_audit::{AuditError, AuditLog, Folder, Reader, Settings, VerifierKey};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

const FOLDER: &str = "MADANG_TEST_AUDIT_FOLDER";
const ROUND: &str = "MADANG_TEST_AUDIT_ROUND";
const ROUNDS: u64 = 16;
const WRITERS: u64 = 8;

/// Small halves and many checkpoints, so that a kill meets each of them.
fn settings() -> Settings {
    Settings {
        checkpoint_ms_max: 3,
        checkpoint_leaves: 40,
        journal_half_bytes: 128 << 10,
        ..Settings::new("madang.example/test")
    }
}

/// Halves that a limit on files' sizes cuts.
fn wide() -> Settings {
    Settings {
        journal_half_bytes: 1 << 20,
        ..settings()
    }
}

/// Runs the test `name` of this program in a child, with the file-size signal ignored so that writes past a limit fail.
fn child(name: &str, folder: &Path, round: u64, before: &str) -> Child {
    Command::new("sh")
        .args([
            "-c",
            &format!("trap '' XFSZ; {before} exec \"$0\" --exact \"$1\" --nocapture"),
        ])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(FOLDER, folder)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// All that a child says until its end.
fn output(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The folder, where this process is the child.
fn child_folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The child's part: appends for as long as it lives and prints each leaf once it is confirmed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_appends() {
    let Some(folder) = child_folder() else { return };
    let round = std::env::var(ROUND).unwrap();
    let log = Arc::new(AuditLog::open(&folder, &settings()).unwrap());
    println!("key {}", log.verifier());
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (log, round) = (log.clone(), round.clone());
        writers.spawn(async move {
            for number in 0..20_000 {
                let leaf = format!("{round}-{writer}-{number}");
                let appended = log.append(leaf.clone().into_bytes()).await.unwrap();
                println!("wrote {} {leaf}", appended.index);
            }
        });
    }
    writers.join_all().await;
}

fn confirmed(line: &str) -> Option<(u64, String)> {
    let (index, leaf) = line
        .strip_prefix("wrote ")?
        .strip_suffix('\n')?
        .split_once(' ')?;
    Some((index.parse().ok()?, leaf.to_owned()))
}

/// Lets a child write until the `after`th leaf is seen, kills it, and gives all that it said.
fn run_and_kill(folder: &Path, round: u64, random: u64) -> (Option<String>, Vec<(u64, String)>) {
    let mut child = child("child_appends", folder, round, "");
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let after = usize::try_from(random % 700).unwrap();
    let (mut key, mut said) = (None, Vec::new());
    let mut line = String::new();
    while said.len() <= after && output.read_line(&mut line).unwrap() > 0 {
        key = key.or_else(|| Some(line.trim_end().strip_prefix("key ")?.to_owned()));
        said.extend(confirmed(&line));
        line.clear();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    said.extend(rest.split_inclusive('\n').filter_map(confirmed));
    (key, said)
}

#[test]
fn nothing_confirmed_is_lost_or_doubled_by_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let seed = RandomState::new().hash_one(0);
    println!("seed {seed}");
    let mut state = seed;
    let mut confirmed: HashMap<u64, String> = HashMap::new();
    let mut key: Option<VerifierKey> = None;
    let mut size_before = 0;
    for round in 0..ROUNDS {
        let (said_key, said) = run_and_kill(folder.path(), round, splitmix(&mut state));
        let said_key = said_key.map(|key| key.parse().unwrap());
        assert!(
            said_key.is_none() || key.is_none() || key == said_key,
            "the key changed"
        );
        key = key.or(said_key);
        for (index, leaf) in said {
            assert_eq!(
                confirmed.insert(index, leaf),
                None,
                "two leaves were confirmed as {index}, seed {seed}"
            );
        }
        // What the outside sees at once holds, and the next start brings the rest.
        let opened = Reader::open(Folder::new(folder.path()), key.clone().unwrap()).unwrap();
        opened.verify(|_, _| {}).unwrap();
        drop(AuditLog::open(folder.path(), &settings()).unwrap());
        let reader = Reader::open(Folder::new(folder.path()), key.clone().unwrap()).unwrap();
        reader.prove_consistency(opened.checkpoint()).unwrap();
        assert!(reader.checkpoint().size >= size_before, "seed {seed}");
        size_before = reader.checkpoint().size;
        let (mut found, mut leaves) = (0, HashMap::new());
        reader
            .verify(|index, leaf| {
                let leaf = String::from_utf8(leaf.to_vec()).unwrap();
                let said = confirmed.get(&index);
                assert!(
                    said.is_none_or(|said| *said == leaf),
                    "leaf {index} changed, seed {seed}"
                );
                found += usize::from(said.is_some());
                assert_eq!(
                    leaves.insert(leaf, index),
                    None,
                    "a leaf is doubled, seed {seed}"
                );
            })
            .unwrap();
        assert_eq!(
            found,
            confirmed.len(),
            "confirmed leaves are lost, seed {seed}"
        );
    }
    assert!(
        confirmed.len() > 1000,
        "{} leaves are too few to say anything",
        confirmed.len()
    );
}

/// The child's part at the end of the disk: writes past the limit on files' sizes fail.
#[test]
fn child_meets_the_limit() {
    let Some(folder) = child_folder() else { return };
    let log = AuditLog::open(&folder, &wide());
    println!(
        "opened {}",
        log.err().map_or("well".into(), |error| error.to_string())
    );
}

/// A log that cannot be opened, for want of room, and then can.
fn meet_the_limit(folder: &Path) {
    let said = output(child("child_meets_the_limit", folder, 0, "ulimit -f 64;"));
    assert!(
        said.contains("opened the audit log cannot be written: ") && said.contains("free space"),
        "{said}"
    );
    drop(AuditLog::open(folder, &settings()).unwrap());
}

#[test]
fn a_disk_without_room_for_the_journal_refuses_to_open() {
    meet_the_limit(tempfile::tempdir().unwrap().path());
}

#[test]
fn an_end_while_the_journal_is_emptied_leaves_a_log_that_opens() {
    let folder = tempfile::tempdir().unwrap();
    let log = AuditLog::open(folder.path(), &wide()).unwrap();
    for _ in 0..60 {
        log.append_blocking(vec![b'x'; 40_000]).unwrap();
    }
    drop(log);
    // The half that would be zeroed first is the newer.
    let journal = std::fs::read(folder.path().join("journal")).unwrap();
    let index = |at: usize| u64::from_le_bytes(journal[at + 8..at + 16].try_into().unwrap());
    assert!(index(0) > index(journal.len() / 2));
    meet_the_limit(folder.path());
}

/// A limit on files' sizes stands for a full disk that gets room again.
fn limit_files(bytes: Option<u64>) {
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    setrlimit(Resource::Fsize, limit).unwrap();
}

/// The child's part: the disk takes nothing for a while.
#[test]
fn child_meets_a_disk_that_is_full_for_a_while() {
    let Some(folder) = child_folder() else { return };
    let log = AuditLog::open(&folder, &settings()).unwrap();
    println!("key {}", log.verifier());
    for number in 0..5 {
        log.append_blocking(format!("before {number}").into_bytes())
            .unwrap();
    }
    limit_files(Some(16));
    let refused = log.append_blocking(b"during".to_vec()).unwrap_err();
    println!("refused {refused}");
    assert!(log.status().trouble.is_some());
    limit_files(None);
    let mut tries = 0;
    while let Err(error) = log.append_blocking(b"after".to_vec()) {
        assert!(matches!(error, AuditError::Unavailable(_)), "{error}");
        tries += 1;
        assert!(tries < 10_000_000, "it does not recover: {error}");
        std::thread::yield_now();
    }
    drop(log);
    println!("recovered");
}

#[test]
fn a_disk_that_is_full_for_a_while_refuses_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let name = "child_meets_a_disk_that_is_full_for_a_while";
    let said = output(child(name, folder.path(), 0, ""));
    assert!(
        said.contains("refused the audit log cannot be written: its journal fails")
            && said.contains("recovered"),
        "{said}"
    );
    let key = said
        .lines()
        .find_map(|line| line.strip_prefix("key "))
        .unwrap();
    let reader = Reader::open(Folder::new(folder.path()), key.parse().unwrap()).unwrap();
    let mut leaves = Vec::new();
    reader
        .verify(|_, leaf| leaves.push(String::from_utf8(leaf.to_vec()).unwrap()))
        .unwrap();
    let expected: Vec<String> = (0..5)
        .map(|number| format!("before {number}"))
        .chain(["after".into()])
        .collect();
    assert_eq!(leaves, expected);
}
