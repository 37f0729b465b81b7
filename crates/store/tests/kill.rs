//! `kill -9` and a disk that fails in earnest, in a child process: this same program, told so by the environment.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the child says what was confirmed")]

use madang_ledger::{Applied, Entry, EntryId, Phase};
use madang_store::conformance::sample::{LEASE, SITE, entry, full, grant, won};
use madang_store::{Ledger, SqliteOptions, SqliteStore, Store, UsageFilter, UsageGroup};
use madang_types::{Micros, RequestId};
use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const FOLDER: &str = "MADANG_TEST_STORE_FOLDER";
const ROUND: &str = "MADANG_TEST_STORE_ROUND";
const ROUNDS: u64 = 16;
const WRITERS: u64 = 8;
/// The rounds in which the child at the end of the disk has a journal; in the second it confirms before it syncs.
const JOURNALED: u64 = 1;
const SYNCED_LATER: u64 = 2;

/// Runs the test `name` of this program in a child, with the file-size signal ignored so that writes past a limit fail.
fn child(name: &str, folder: &Path, round: u64) -> Child {
    Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" --exact \"$1\" --nocapture"])
        .arg(std::env::current_exe().expect("a running program has a path"))
        .arg(name)
        .env(FOLDER, folder)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh can be started")
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

/// The child's part: appends for as long as it lives and prints each id once it is confirmed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_appends() {
    let Some(folder) = child_folder() else { return };
    let round: u128 = std::env::var(ROUND).unwrap().parse().unwrap();
    let store = SqliteStore::open(&folder.join("books.sqlite")).unwrap();
    // In every second round records are confirmed before they are synced.
    store.usage_sync_ms_max_set(if round.is_multiple_of(2) { 10 } else { 0 });
    let shared = Arc::new(store);
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..u128::from(WRITERS) {
        let store = shared.clone();
        writers.spawn(async move {
            for number in 0..20_000 {
                let id = (round << 64) + (writer << 32) + number;
                store
                    .usage_append(full(id, Micros(1)).unwrap())
                    .await
                    .unwrap();
                println!("wrote {id:032x}");
            }
        });
        let store = shared.clone();
        writers.spawn(async move { append_entries(&store, (round << 64) + (writer << 32)).await });
    }
    writers.join_all().await;
}

/// Grants, reserves and posts, and prints each id once its last phase is confirmed. One reservation in four stays open, and one
/// in four ends in the same call.
async fn append_entries(store: &SqliteStore, first: u128) {
    let reserve = |id| entry(id, Phase::Reserve, vec![won(LEASE, SITE, 5).unwrap()]);
    let post = |id| entry(id, Phase::Post, vec![won(LEASE, SITE, 4).unwrap()]);
    for number in 0..20_000 {
        let id = first + number;
        let calls: Vec<Vec<Entry>> = match number % 4 {
            0 => vec![vec![grant(id, 15).unwrap()]],
            1 => vec![vec![reserve(id)]],
            2 => vec![vec![reserve(id), post(id)]],
            _ => vec![vec![reserve(id)], vec![post(id)]],
        };
        for call in calls {
            for told in store.entries_append(call).await.unwrap() {
                assert!(matches!(told, Ok(Applied::New(_))), "{told:?}");
            }
        }
        println!("entered {id:032x}");
    }
}

fn confirmed(line: &str, word: &str) -> Option<u128> {
    let hex = line.strip_prefix(word)?.strip_suffix('\n')?;
    u128::from_str_radix(hex, 16).ok()
}

/// Ids that were confirmed.
#[derive(Default)]
struct Confirmed {
    records: BTreeSet<u128>,
    entries: BTreeSet<u128>,
}

impl Confirmed {
    fn line(&mut self, line: &str) {
        self.records.extend(confirmed(line, "wrote "));
        self.entries.extend(confirmed(line, "entered "));
    }
}

/// Lets a child write until the `after`th id is seen (or a moment of its start), kills it, and gives all that it said.
async fn run_and_kill(folder: &Path, round: u64, random: u64) -> Confirmed {
    let mut child = child("child_appends", folder, round);
    let mut output = BufReader::new(child.stdout.take().expect("the output is piped"));
    let mut seen = Confirmed::default();
    if random.is_multiple_of(4) {
        tokio::time::sleep(Duration::from_micros(random / 4 % 40_000)).await;
    } else {
        let after = usize::try_from(random / 4 % 400).expect("a small number");
        let mut line = String::new();
        while seen.records.len() + seen.entries.len() < after
            && output.read_line(&mut line).expect("the pipe can be read") > 0
        {
            seen.line(&line);
            line.clear();
        }
    }
    child.kill().expect("the child is ours");
    child.wait().expect("the child is ours");
    let mut rest = String::new();
    output
        .read_to_string(&mut rest)
        .expect("the pipe can be read");
    rest.split_inclusive('\n').for_each(|line| seen.line(line));
    seen
}

/// What was confirmed of the ledger is there, and all that is there follows the rules: each once, sums zero.
async fn check_ledger(store: &SqliteStore, confirmed: &BTreeSet<u128>, told: &str) {
    for id in confirmed {
        let phases = store.entry(EntryId(*id)).await.expect("the disk is sound");
        let phases: Vec<Phase> = phases.iter().map(|row| row.entry.phase).collect();
        let expected: &[Phase] = match id % 4 {
            0 => &[Phase::Direct],
            1 => &[Phase::Reserve],
            _ => &[Phase::Reserve, Phase::Post],
        };
        assert_eq!(phases, expected, "{id:x} ({told})");
    }
    let report = store.ledger_verify().await.expect("the disk is sound");
    assert_eq!(report.findings, [], "{told}");
}

async fn all_ids(store: &SqliteStore) -> Vec<u128> {
    let (mut ids, mut before): (Vec<u128>, Option<RequestId>) = (Vec::new(), None);
    loop {
        let page = store
            .usage_list(UsageFilter::default(), before, 1000)
            .await
            .expect("the disk is sound");
        let Some(last) = page.last() else { return ids };
        before = Some(last.id);
        ids.extend(page.iter().map(|record| record.id.0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_confirmed_is_lost_by_kill_9() {
    let seed = match std::env::var("MADANG_TEST_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => RandomState::new().hash_one(0),
    };
    eprintln!("seed {seed}: MADANG_TEST_SEED={seed} cargo test -p madang-store --test kill");
    let mut random = seed;
    let folder = tempfile::tempdir().unwrap();
    let mut promised = Confirmed::default();
    for round in 1..=ROUNDS {
        let Confirmed { records, entries } =
            run_and_kill(folder.path(), round, splitmix(&mut random)).await;
        promised.records.extend(records);
        promised.entries.extend(entries);
        let path = folder.path().join("books.sqlite");
        let store = SqliteStore::open(&path).unwrap();
        let kept = all_ids(&store).await;
        let distinct: HashSet<u128> = kept.iter().copied().collect();
        assert_eq!(
            kept.len(),
            distinct.len(),
            "none is there twice (round {round}, seed {seed})"
        );
        let told = format!("round {round}, seed {seed}");
        check_ledger(&store, &promised.entries, &told).await;
        let lost: Vec<_> = promised
            .records
            .iter()
            .filter(|id| !distinct.contains(id))
            .collect();
        assert!(
            lost.is_empty(),
            "lost {lost:x?} (round {round}, seed {seed})"
        );
        let sums = store
            .usage_sum(UsageFilter::default(), UsageGroup::All)
            .await
            .unwrap();
        assert_eq!(sums[0].requests, u64::try_from(kept.len()).unwrap());
        drop(store);
        let conn = rusqlite::Connection::open(&path).unwrap();
        let sound: String = conn
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(sound, "ok");
    }
    assert!(
        !promised.records.is_empty() && !promised.entries.is_empty(),
        "the children wrote something (seed {seed})"
    );
}

/// The child's part: the kernel refuses to let files grow, then allows it again.
#[tokio::test]
async fn child_meets_the_end_of_the_disk() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Some(folder) = child_folder() else { return };
    let path = folder.join("books.sqlite");
    // With a journal a record is confirmed before the database meets the limit: there a read is what is refused first.
    let round: u64 = std::env::var(ROUND).unwrap().parse().unwrap();
    let journaled = round >= JOURNALED;
    let options = SqliteOptions {
        journal_half_bytes: if journaled { 1 << 20 } else { 0 },
        ..SqliteOptions::default()
    };
    let store = SqliteStore::open_with(&path, &options).unwrap();
    store.usage_sync_ms_max_set(if round == SYNCED_LATER { 10 } else { 0 });
    let whole = getrlimit(Resource::Fsize);
    let bytes = std::fs::metadata(folder.join("books.sqlite-wal"))
        .unwrap()
        .len();
    setrlimit(
        Resource::Fsize,
        Rlimit {
            current: Some(bytes + 100_000),
            ..whole
        },
    )
    .unwrap();
    let mut confirmed = BTreeSet::new();
    let mut refused = 0;
    for id in 0..200 {
        match store.usage_append(full(id, Micros(1)).unwrap()).await {
            Ok(()) => drop(confirmed.insert(id)),
            Err(error) => {
                assert!(
                    matches!(error, madang_store::StoreError::Unavailable(_)),
                    "{error}"
                );
                refused += 1;
            }
        }
        if journaled && id % 20 == 0 && store.usage_get(RequestId(id)).await.is_err() {
            refused += 1;
        }
    }
    assert!(refused > 0 && !confirmed.is_empty());
    let same = |ids: Vec<u128>| ids.into_iter().rev().eq(confirmed.iter().copied());
    assert!(journaled || same(all_ids(&store).await));
    setrlimit(Resource::Fsize, whole).unwrap();
    assert!(same(all_ids(&store).await));
    for id in 1000..1050 {
        store
            .usage_append(full(id, Micros(1)).unwrap())
            .await
            .unwrap();
        confirmed.insert(id);
    }
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    assert!(all_ids(&store).await.into_iter().rev().eq(confirmed));
    println!("the child came to its end");
}

#[test]
fn a_disk_that_fails_in_earnest_refuses_and_recovers() {
    for round in [0, JOURNALED, SYNCED_LATER] {
        meet_the_end_of_the_disk(round);
    }
}

fn meet_the_end_of_the_disk(round: u64) {
    let folder = tempfile::tempdir().expect("a scratch folder can be made");
    let output = child("child_meets_the_end_of_the_disk", folder.path(), round)
        .wait_with_output()
        .expect("the child is ours");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("the child came to its end"),
        "{text}"
    );
}
