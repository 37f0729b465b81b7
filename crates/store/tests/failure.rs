//! Bad days of a disk and of its neighbours: the store says what is wrong, keeps what it confirmed, and goes on
//! when the disk does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use madang_ledger::{Applied, Entry, Phase};
use madang_store::conformance::sample::{LEASE, SITE, entry, full, grant, key, plain, won};
use madang_store::{
    Ledger, SqliteOptions, SqliteStore, Store, StoreError, UsageFilter, UsageGroup,
};
use madang_types::{Micros, RequestId};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::task::JoinSet;

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a scratch folder can be made");
    let path = folder.path().join("books.sqlite");
    (folder, path)
}

/// Each record waits for its own transaction, so that it meets what the database meets.
fn without_journal() -> SqliteOptions {
    SqliteOptions {
        busy_wait_ms_max: 50,
        journal_half_bytes: 0,
        ..SqliteOptions::default()
    }
}

/// Appends `count` records at once; gives the ids that were confirmed and the reasons of the others.
async fn append_many(
    store: &Arc<SqliteStore>,
    from: u128,
    count: u128,
) -> (BTreeSet<u128>, Vec<StoreError>) {
    let mut writes = JoinSet::new();
    for id in from..from + count {
        let store = store.clone();
        let mut record = full(id, Micros(1)).expect("the sample is sound");
        record.decision = Some("x".repeat(2_000));
        writes.spawn(async move { (id, store.usage_append(record).await) });
    }
    let (mut kept, mut refused) = (BTreeSet::new(), Vec::new());
    for (id, result) in writes.join_all().await {
        match result {
            Ok(()) => drop(kept.insert(id)),
            Err(error) => refused.push(error),
        }
    }
    (kept, refused)
}

async fn ids(store: &SqliteStore) -> BTreeSet<u128> {
    let list = store
        .usage_list(UsageFilter::default(), None, 1000)
        .await
        .expect("the disk is sound");
    list.iter().map(|record| record.id.0).collect()
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers() {
    let (_folder, path) = scratch();
    let store = Arc::new(SqliteStore::open_with(&path, &without_journal()).unwrap());
    let (mut confirmed, refused) = append_many(&store, 0, 50).await;
    assert_eq!(refused, []);
    store.file_pages_limit(Some(60)).await.unwrap();
    let mut reasons = Vec::new();
    for round in 1..8 {
        let (kept, refused) = append_many(&store, round * 50, 50).await;
        confirmed.extend(kept);
        reasons.extend(refused);
        assert_eq!(
            ids(&store).await,
            confirmed,
            "nothing of a refused batch is kept, all of a confirmed one is"
        );
    }
    assert!(!reasons.is_empty());
    for reason in reasons {
        let text = reason.to_string();
        assert!(
            text.starts_with("the store is unavailable: cannot ") && text.contains("full"),
            "{text}"
        );
    }
    store.file_pages_limit(None).await.unwrap();
    let (kept, refused) = append_many(&store, 900, 50).await;
    assert_eq!((kept.len(), refused), (50, vec![]));
}

#[tokio::test]
async fn a_lock_of_another_program_is_waited_for_then_told() {
    let (_folder, path) = scratch();
    let store = SqliteStore::open_with(&path, &without_journal()).unwrap();
    store
        .usage_append(plain(1, Micros(1)).unwrap())
        .await
        .unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = store
        .usage_append(plain(2, Micros(1)).unwrap())
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("locked"), "{refused}");
    assert!(
        store.usage_get(RequestId(1)).await.unwrap().is_some(),
        "reads do not wait for writers"
    );
    other.execute_batch("COMMIT").unwrap();
    store
        .usage_append(plain(2, Micros(1)).unwrap())
        .await
        .unwrap();
    assert_eq!(ids(&store).await, BTreeSet::from([1, 2]));
}

/// Confirmed once it is synced, or a moment before.
const SYNC_MS_MAX: [u64; 2] = [0, 10];

#[tokio::test]
async fn a_database_that_takes_nothing_refuses_and_recovers_behind_the_journal() {
    for sync_ms_max in SYNC_MS_MAX {
        refuse_and_recover_behind_the_journal(sync_ms_max).await;
    }
}

async fn refuse_and_recover_behind_the_journal(sync_ms_max: u64) {
    let (_folder, path) = scratch();
    let store = Arc::new(SqliteStore::open(&path).unwrap());
    store.usage_sync_ms_max_set(sync_ms_max);
    store.file_pages_limit(Some(60)).await.unwrap();
    let (mut confirmed, mut reasons) = (BTreeSet::new(), Vec::new());
    for round in 1..8 {
        let (kept, refused) = append_many(&store, round * 50, 50).await;
        confirmed.extend(kept);
        reasons.extend(refused);
        // A read has the backlog moved; it would rather fail than leave out what was confirmed.
        match store.usage_list(UsageFilter::default(), None, 1000).await {
            Ok(list) => {
                let found = list.iter().map(|record| record.id.0).collect();
                assert_eq!(confirmed, found);
            }
            Err(reason) => reasons.push(reason),
        }
    }
    assert!(!reasons.is_empty());
    for reason in reasons {
        let text = reason.to_string();
        assert!(
            text.starts_with("the store is unavailable: cannot ") && text.contains("full"),
            "{text}"
        );
    }
    store.file_pages_limit(None).await.unwrap();
    assert_eq!(ids(&store).await, confirmed);
    let (kept, refused) = append_many(&store, 900, 50).await;
    assert_eq!((kept.len(), refused), (50, vec![]));
    confirmed.extend(kept);
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(ids(&store).await, confirmed);
}

#[tokio::test]
async fn a_lock_of_another_program_does_not_hold_up_the_journal() {
    for sync_ms_max in SYNC_MS_MAX {
        lock_beside_the_journal(sync_ms_max).await;
    }
}

async fn lock_beside_the_journal(sync_ms_max: u64) {
    let (_folder, path) = scratch();
    let options = SqliteOptions {
        busy_wait_ms_max: 50,
        ..SqliteOptions::default()
    };
    let store = SqliteStore::open_with(&path, &options).unwrap();
    store.usage_sync_ms_max_set(sync_ms_max);
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    store
        .usage_append(plain(1, Micros(1)).unwrap())
        .await
        .unwrap();
    let refused = store.usage_get(RequestId(1)).await.unwrap_err();
    assert!(refused.to_string().contains("locked"), "{refused}");
    other.execute_batch("COMMIT").unwrap();
    store
        .usage_append(plain(2, Micros(1)).unwrap())
        .await
        .unwrap();
    assert_eq!(ids(&store).await, BTreeSet::from([1, 2]));
}

#[tokio::test]
async fn a_queue_that_stays_full_is_told() {
    let (_folder, path) = scratch();
    let options = SqliteOptions {
        queue_writes_max: 4,
        batch_writes_max: 2,
        queue_wait_ms_max: 50,
        busy_wait_ms_max: 25_000,
        ..without_journal()
    };
    let store = Arc::new(SqliteStore::open_with(&path, &options).unwrap());
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let writes = tokio::spawn({
        let store = store.clone();
        async move {
            let mut writes = JoinSet::new();
            for id in 0..50 {
                let store = store.clone();
                writes.spawn(async move {
                    (id, store.usage_append(plain(id, Micros(1)).unwrap()).await)
                });
            }
            let mut results = Vec::new();
            while let Some(result) = writes.join_next().await {
                results.push(result.unwrap());
                if results.len() == 44 {
                    // Two in the writer's hands and four in the queue are all that may still wait.
                    other.execute_batch("COMMIT").unwrap();
                }
            }
            results
        }
    });
    let results = writes.await.unwrap();
    let (kept, refused): (Vec<_>, Vec<_>) =
        results.into_iter().partition(|(_, result)| result.is_ok());
    assert!((5..=6).contains(&kept.len()), "{} were kept", kept.len());
    assert_eq!(
        ids(&store).await,
        kept.into_iter().map(|(id, _)| id).collect()
    );
    for (_, reason) in refused {
        let text = reason.unwrap_err().to_string();
        assert!(
            text.contains("4 writes wait and none was taken within 0.05 s"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn one_file_opened_by_many_at_once_stays_whole() {
    let (_folder, path) = scratch();
    let mut opens = JoinSet::new();
    for id in 0..8 {
        let path = path.clone();
        opens.spawn_blocking(move || {
            let options = SqliteOptions {
                busy_wait_ms_max: 25_000,
                ..SqliteOptions::default()
            };
            (id, SqliteStore::open_with(&path, &options).unwrap())
        });
    }
    let stores = opens.join_all().await;
    let mut writes = JoinSet::new();
    for (id, store) in stores {
        writes.spawn(async move {
            for n in 0..10 {
                store
                    .usage_append(plain(id * 100 + n, Micros(1)).unwrap())
                    .await
                    .unwrap();
            }
            store
        });
    }
    let stores = writes.join_all().await;
    for store in &stores {
        // Each moves its own backlog, if it has one, before it reads.
        ids(store).await;
    }
    for store in &stores {
        let sums = store
            .usage_sum(UsageFilter::default(), UsageGroup::All)
            .await
            .unwrap();
        assert_eq!(sums[0].requests, 80);
    }
}

/// A hundred entries, each of which brings an account of its own.
fn hundred(first: u128) -> Vec<Entry> {
    let entry = |id| {
        let site = format!("site:s{id}");
        let legs = vec![
            won(LEASE, SITE, 1).expect("an account"),
            won(SITE, &site, 1).expect("an account"),
        ];
        entry(id, Phase::Direct, legs)
    };
    (first..first + 100).map(entry).collect()
}

#[tokio::test]
async fn a_full_disk_keeps_no_half_of_an_entry() {
    let (_folder, path) = scratch();
    let store = SqliteStore::open(&path).unwrap();
    let granted = store.entries_append(vec![grant(0, 1_000_000).unwrap()]);
    assert!(granted.await.unwrap()[0].is_ok());
    store.file_pages_limit(Some(100)).await.unwrap();
    let mut first = 1;
    let refused = loop {
        match store.entries_append(hundred(first)).await {
            Ok(_) => first += 100,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
    assert!(refused.to_string().contains("disk is full"), "{refused}");
    let report = store.ledger_verify().await.unwrap();
    assert_eq!(
        (report.findings, u128::from(report.entries)),
        (Vec::new(), first)
    );

    store.file_pages_limit(None).await.unwrap();
    let told = store.entries_append(hundred(first)).await.unwrap();
    assert!(told.iter().all(|told| matches!(told, Ok(Applied::New(_)))));
    let report = store.ledger_verify().await.unwrap();
    assert_eq!(
        (report.findings, u128::from(report.entries)),
        (Vec::new(), first + 100)
    );
}

fn check_refused(path: &Path, told: &str) {
    let refused = SqliteStore::open(path)
        .err()
        .expect("it is refused")
        .to_string();
    assert!(refused.contains(told), "{refused}");
}

#[test]
fn what_cannot_be_opened_is_named() {
    let (folder, path) = scratch();
    check_refused(&folder.path().join("no/books.sqlite"), "no/books.sqlite");
    check_refused(folder.path(), "cannot open /");
    std::fs::write(
        &path,
        "not a database, and long enough to be looked at".repeat(100),
    )
    .unwrap();
    check_refused(&path, "the store is damaged");
    let foreign = folder.path().join("foreign.sqlite");
    let other = rusqlite::Connection::open(&foreign).unwrap();
    other.execute_batch("CREATE TABLE theirs (x)").unwrap();
    check_refused(&foreign, "foreign.sqlite is another program's database");
    let newer = folder.path().join("newer.sqlite");
    drop(SqliteStore::open(&newer).unwrap());
    let other = rusqlite::Connection::open(&newer).unwrap();
    other
        .execute_batch("INSERT INTO schema_migrations VALUES (99, 'next', '', 0)")
        .unwrap();
    check_refused(
        &newer,
        "the database has schema version 99 and this program knows 18",
    );
}

#[cfg(unix)]
#[tokio::test]
async fn a_closed_store_is_one_private_file() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = scratch();
    let store = SqliteStore::open(&path).unwrap();
    store.key_insert(key("k1").unwrap()).await.unwrap();
    let mode = |name: &str| {
        let file = folder.path().join(name);
        std::fs::metadata(file).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(
        (mode("books.sqlite"), mode("books.sqlite-wal")),
        (0o600, 0o600)
    );
    drop(store);
    let files: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|f| f.unwrap().file_name())
        .collect();
    assert_eq!(files, ["books.sqlite"]);
}
