//! A disk that takes long for each sync: requests wait for it, are refused with a reason once it takes too long, and the books stay true.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::books::{records, served};
use harness::fleet::{fleet, url_replica};
use harness::load::{Finished, ask, check_ledger, compare, grant};
use harness::{Madang, Place, wait_for};
use madang_store::SqliteStore;
use madang_testkit::{FakeEngine, FakeEngineOptions};
use std::process::Command;
use tokio::task::JoinSet;

const SYNC_FILE: &str = "sync_ms";
const CLIENTS: usize = 8;

/// What the linker has loaded first into every command of this place: syncs take as long as the place's file says.
fn slow(place: &mut Place) {
    let library = place.path("slow_sync.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/slow_sync.c");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-O1", source, "-ldl", "-o"])
        .arg(&library);
    assert!(compiler.status().unwrap().success());
    sync_takes(place, 0);
    place.env("SLOW_SYNC_FILE", place.path(SYNC_FILE));
    place.env("LD_PRELOAD", library);
}

fn sync_takes(place: &Place, ms: u64) {
    // In place of the old file, whole: it is read at any time.
    let next = place.write("next_sync_ms", ms.to_string());
    std::fs::rename(next, place.path(SYNC_FILE)).unwrap();
}

/// So many requests at once, each answered: those that were served whole.
async fn ask_all(madang: &Madang) -> Finished {
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (url, key) = (madang.at("/v1/chat/completions"), madang.key.clone());
        clients.spawn(async move { ask(&url, &key, number % 2 == 0).await.unwrap() });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_disk_is_waited_for_then_told_and_the_books_stay_true() {
    let mut place = Place::new();
    slow(&mut place);
    let served_log = place.path("served.jsonl");
    let engine = FakeEngine::start(FakeEngineOptions {
        served_log: Some(served_log.clone()),
        ..FakeEngineOptions::default()
    })
    .await;
    let mut madang = place.up(&fleet(&[url_replica("a", engine.url())])).await;
    grant(&madang).await;

    let mut finished = ask_all(&madang).await;
    assert_eq!(finished.len(), CLIENTS);
    sync_takes(&place, 300);
    finished.extend(ask_all(&madang).await);
    assert_eq!(finished.len(), 2 * CLIENTS, "a slow disk is waited for");

    // Longer than anybody waits for it.
    sync_takes(&place, 15_000);
    let answer = madang.chat().await.unwrap();
    let answered = answer.json().unwrap();
    let error = &answered["error"];
    assert_eq!(answer.status, 503, "{error}");
    let codes = [
        "audit_unavailable",
        "store_unavailable",
        "budget_unreachable",
    ];
    assert!(codes.contains(&error["code"].as_str().unwrap()), "{error}");
    assert!(!error["remedy"].as_str().unwrap().is_empty());

    sync_takes(&place, 0);
    wait_for("requests are served again", async || {
        let again = ask_all(&madang).await;
        let all = again.len() == CLIENTS;
        finished.extend(again);
        all.then_some(())
    })
    .await;
    assert_eq!(madang.stop().await, 0);
    let books = SqliteStore::open(&place.data().join("madang.sqlite")).unwrap();
    let records = records(&books).await;
    compare(&finished, &records, &served(&served_log));
    assert_eq!(
        check_ledger(&books, &records).await,
        0,
        "nothing was left behind"
    );
}
