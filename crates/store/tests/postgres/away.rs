//! A server that goes away: killed under load, cut off for long, come back.

use super::{all_ids, options, url};
use madang_store::conformance::sample::{full, key, plain};
use madang_store::{PostgresOptions, PostgresStore, Store, StoreError};
use madang_testkit::Postgres;
use madang_types::{Micros, RequestId};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

const WRITERS: u128 = 8;

/// The most that one writer hands over in a round.
const ROUND_RECORDS_MAX: u128 = 1_000;
/// Confirmed in each round before the server is killed.
const BEFORE_KILL: usize = 50;

/// What the writers of a round share with whoever kills.
#[derive(Default)]
struct Round {
    confirmed: AtomicUsize,
    over: AtomicBool,
}

/// Each writes until the round is over, or enough; gives the ids that were confirmed and how many were not.
fn load(
    store: &Arc<PostgresStore>,
    number: u128,
    round: &Arc<Round>,
) -> JoinSet<(Vec<u128>, usize)> {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (store, round) = (Arc::clone(store), Arc::clone(round));
        writers.spawn(async move {
            let (mut kept, mut refused) = (Vec::new(), 0);
            let from = (number << 64) + (writer << 32);
            for id in from..from + ROUND_RECORDS_MAX {
                if round.over.load(Ordering::Relaxed) {
                    break;
                }
                match store.usage_append(full(id, Micros(1)).unwrap()).await {
                    Ok(()) => {
                        round.confirmed.fetch_add(1, Ordering::Relaxed);
                        kept.push(id);
                    }
                    Err(error) => {
                        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
                        refused += 1;
                    }
                }
                // A journal takes records faster than anybody wants to read back.
                tokio::time::sleep(Duration::from_millis(1)).await;
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
    for number in 1..=3 {
        let round = Arc::<Round>::default();
        let writers = load(&store, number, &round);
        while round.confirmed.load(Ordering::Relaxed) < BEFORE_KILL {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let killing = tokio::task::spawn_blocking(move || {
            server.kill().unwrap();
            server.start().unwrap();
            server
        });
        server = killing.await.unwrap();
        round.over.store(true, Ordering::Relaxed);
        for (kept, lost) in writers.join_all().await {
            confirmed.extend(kept);
            refused += lost;
        }
        let kept = settled_ids(&store).await;
        let distinct: BTreeSet<u128> = kept.iter().copied().collect();
        assert_eq!(
            kept.len(),
            distinct.len(),
            "none is there twice (round {number})"
        );
        let lost: Vec<_> = confirmed.difference(&distinct).collect();
        assert!(lost.is_empty(), "lost {lost:x?} (round {number})");
    }
    assert!(!journaled || refused == 0, "{refused} were refused");
}

/// All ids once the store has found its server again, by itself.
async fn settled_ids(store: &PostgresStore) -> Vec<u128> {
    let mut tries = 0;
    loop {
        match all_ids(store).await {
            Ok(ids) => return ids,
            Err(error) => {
                assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
                assert!(tries < 100, "it does not come back: {error}");
                tries += 1;
            }
        }
    }
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
