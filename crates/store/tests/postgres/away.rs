//! A server that goes away: killed under load, cut off for long, come back.

use super::{all_ids, options, url};
use madang_store::conformance::sample::{full, key, plain};
use madang_store::{PostgresOptions, PostgresStore, Store, StoreError};
use madang_testkit::Postgres;
use madang_types::{Micros, RequestId};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinSet;

const WRITERS: u128 = 8;

/// Each writes until it is told to stop; gives the ids that were confirmed and how many were not.
fn load(
    store: &Arc<PostgresStore>,
    round: u128,
    stop: &Arc<AtomicBool>,
) -> JoinSet<(Vec<u128>, usize)> {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (store, stop) = (Arc::clone(store), Arc::clone(stop));
        writers.spawn(async move {
            let (mut kept, mut refused) = (Vec::new(), 0);
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let id = (round << 64) + (writer << 32) + number;
                match store.usage_append(full(id, Micros(1)).unwrap()).await {
                    Ok(()) => kept.push(id),
                    Err(StoreError::Unavailable(_)) => refused += 1,
                    Err(error) => assert_eq!(error, StoreError::Absent(String::new())),
                }
            }
            (kept, refused)
        });
    }
    writers
}

/// Kills the server under load, again and again; what was confirmed is there, once. With a journal nothing is refused.
async fn kill_under_load(journaled: bool) {
    let mut server = Postgres::own(&[]).unwrap();
    let database = server.database().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path());
    if !journaled {
        options.journal = None;
    }
    let store = Arc::new(PostgresStore::open(&url(&database.url()), &options).unwrap());
    store.usage_sync_ms_max_set(10);
    let (mut confirmed, mut refused) = (BTreeSet::new(), 0);
    for round in 1..=3 {
        let stop = Arc::new(AtomicBool::new(false));
        let writers = load(&store, round, &stop);
        let (killed, told) = tokio::sync::oneshot::channel();
        let handle = tokio::task::spawn_blocking(move || {
            server.kill().unwrap();
            killed.send(()).unwrap();
            server.start().unwrap();
            server
        });
        told.await.unwrap();
        server = handle.await.unwrap();
        stop.store(true, Ordering::Relaxed);
        for (kept, lost) in writers.join_all().await {
            confirmed.extend(kept);
            refused += lost;
        }
        let kept = settled_ids(&store).await;
        let distinct: BTreeSet<u128> = kept.iter().copied().collect();
        assert_eq!(
            kept.len(),
            distinct.len(),
            "none is there twice (round {round})"
        );
        let lost: Vec<_> = confirmed.difference(&distinct).collect();
        assert!(lost.is_empty(), "lost {lost:x?} (round {round})");
    }
    assert!(confirmed.len() > 100, "{} were written", confirmed.len());
    assert!(!journaled || refused == 0, "{refused} were refused");
}

/// All ids once the store has found its server again, by itself.
async fn settled_ids(store: &PostgresStore) -> Vec<u128> {
    for _ in 0..100 {
        match all_ids(store).await {
            Ok(ids) => return ids,
            Err(StoreError::Unavailable(_)) => {}
            Err(other) => assert_eq!(other, StoreError::Absent(String::new())),
        }
    }
    assert_eq!(
        all_ids(store).await,
        Ok(Vec::new()),
        "it does not come back"
    );
    Vec::new()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_confirmed_is_lost_by_the_servers_kill_9() {
    kill_under_load(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_confirmed_is_lost_by_the_servers_kill_9_without_a_journal() {
    kill_under_load(false).await;
}

/// While the server is away records are taken until the spool is full, then refused; all that were taken are delivered
/// once, by this program or by the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_fills_the_spool_and_gets_it_when_it_is_back() {
    let mut server = Postgres::own(&[]).unwrap();
    let database = server.database().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = PostgresOptions {
        spool_bytes_max: 1 << 20,
        ..options(folder.path())
    };
    let at = url(&database.url());
    let store = PostgresStore::open(&at, &options).unwrap();
    store.usage_sync_ms_max_set(10);
    store.key_insert(key("k1").unwrap()).await.unwrap();
    server.kill().unwrap();
    let mut confirmed = Vec::new();
    let refused = loop {
        let id = confirmed.len() as u128;
        match store.usage_append(full(id, Micros(1)).unwrap()).await {
            Ok(()) => confirmed.push(id),
            Err(error) => break error,
        }
    };
    let text = refused.to_string();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{text}");
    assert!(text.contains("cannot reach postgres://madang@/"), "{text}");
    assert!(
        (2_000..9_000).contains(&confirmed.len()),
        "{}",
        confirmed.len()
    );
    // What is asked of the server is refused; nobody is told less than was confirmed.
    assert!(store.usage_get(RequestId(0)).await.is_err());
    assert!(store.key_get("k1".parse().unwrap()).await.is_err());
    server.start().unwrap();
    let mut found = settled_ids(&store).await;
    found.sort_unstable();
    assert_eq!(found, confirmed);
    assert!(
        store
            .key_get("k1".parse().unwrap())
            .await
            .unwrap()
            .is_some()
    );

    // Away again, and this program ends: the next one delivers.
    server.kill().unwrap();
    for id in 1_000_000..1_000_100 {
        store
            .usage_append(plain(id, Micros(1)).unwrap())
            .await
            .unwrap();
        confirmed.push(id);
    }
    drop(store);
    assert!(PostgresStore::open(&at, &options).is_err());
    server.start().unwrap();
    for _ in 0..2 {
        let store = PostgresStore::open(&at, &options).unwrap();
        let mut found = all_ids(&store).await.unwrap();
        found.sort_unstable();
        assert_eq!(found, confirmed);
    }
    assert!(
        !folder.path().join("records").exists(),
        "nothing is left to keep"
    );
}
