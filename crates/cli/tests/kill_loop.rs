//! `kill -9` at any moment: what a client saw finished is in the books once, with the engine's own counts, and the
//! books hold nothing finished that no engine served; in SQLite and in PostgreSQL. Rounds: `MADANG_KILL_ROUNDS`;
//! moments: `MADANG_TEST_SEED`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "a failed test shows what was printed")]

mod harness;

use harness::books::{records, served};
use harness::fleet::{fleet, url_replica};
use harness::load::{Finished, ask, check_ledger, compare, grant};
use harness::random::Random;
use harness::{Madang, Place};
use madang_store::conformance::bank::Books;
use madang_store::{PostgresOptions, PostgresStore, SqliteStore};
use madang_testkit::{Database, FakeEngine, FakeEngineOptions, Postgres};
use madang_types::UsageRecord;
use std::time::Duration;
use tokio::task::JoinSet;

const ROUNDS: u64 = 6;
const CLIENTS: u64 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn the_books_survive_kill_9_under_load() {
    let place = Place::new();
    let path = place.data().join("madang.sqlite");
    kill_under_load(&place, (&[], Load::QUICK), || {
        Box::new(SqliteStore::open(&path).unwrap())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_survives_kill_9_under_load() {
    let place = Place::new();
    let path = place.data().join("madang.sqlite");
    let open = || -> Box<dyn Books> { Box::new(SqliteStore::open(&path).unwrap()) };
    let records = kill_under_load(&place, (&[], Load::LONG), open).await;
    check_orphans(&*open(), &records).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_in_postgres_survive_kill_9_under_load() {
    let (_server, database) = database();
    let url = database.url();
    let args = ["--store", &url];
    kill_under_load(&Place::new(), (&args, Load::QUICK), || shared(&url)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_in_postgres_survives_kill_9_under_load() {
    let (_server, database) = database();
    let url = database.url();
    let args = ["--store", &url];
    let open = || shared(&url);
    let records = kill_under_load(&Place::new(), (&args, Load::LONG), open).await;
    check_orphans(&*open(), &records).await;
}

/// That the ledger is right, and that kills met requests that had been written down.
async fn check_orphans(books: &dyn Books, records: &[UsageRecord]) {
    let orphans = check_ledger(books, records).await;
    println!("{orphans} of {} were under way at a kill", records.len());
    assert!(orphans > 0, "no kill met a request that was written down");
}

fn database() -> (Postgres, Database) {
    let server = Postgres::shared().unwrap();
    let database = server.database().unwrap();
    (server, database)
}

fn shared(url: &str) -> Box<dyn Books> {
    let options = PostgresOptions::default();
    Box::new(PostgresStore::open(&url.parse().unwrap(), &options).unwrap())
}

/// What is asked, and when the kill comes.
struct Load {
    /// Between two tokens.
    token_ms: u64,
    /// The longest time to a kill.
    kill_ms_max: u64,
    /// Whether the tenant pays from a grant.
    pays: bool,
}

impl Load {
    const QUICK: Self = Self {
        token_ms: 2,
        kill_ms_max: 500,
        pays: false,
    };
    /// Answers of several seconds, so that a kill meets many that have been written down.
    const LONG: Self = Self {
        token_ms: 150,
        kill_ms_max: 2_500,
        pays: true,
    };
}

/// `open` opens the books once Madang has ended in order. Gives all records.
async fn kill_under_load(
    place: &Place,
    (args, kind): (&[&str], Load),
    open: impl Fn() -> Box<dyn Books>,
) -> Vec<UsageRecord> {
    let mut random = Random::new();
    let rounds = std::env::var("MADANG_KILL_ROUNDS")
        .ok()
        .map_or(ROUNDS, |text| text.parse().unwrap());
    let served_log = place.path("served.jsonl");
    let engine = FakeEngine::start(FakeEngineOptions {
        served_log: Some(served_log.clone()),
        token_ms: kind.token_ms,
        ..FakeEngineOptions::default()
    })
    .await;
    let replica = url_replica("a", engine.url());

    let mut finished = Finished::new();
    for round in 0..rounds {
        // Records are synced before their answers end, or a moment later.
        let sync = if round.is_multiple_of(2) { 0 } else { 10 };
        let limits = format!("[limits]\nbooks_sync_ms_max = {sync}\n");
        place.write("fleet.toml", fleet(&[replica.clone(), limits]));
        let mut madang = place.up_with(args).await;
        if round == 0 && kind.pays {
            grant(&madang).await;
        }
        let clients = load(&madang, &mut random);
        // The wait is the test's subject: the kill comes at a moment that nothing chose.
        tokio::time::sleep(Duration::from_millis(20 + random.below(kind.kill_ms_max))).await;
        madang.kill().await;
        finished.extend(clients.join_all().await.into_iter().flatten());
    }
    let mut madang = place.up_with(args).await;
    assert_eq!(
        madang.stop().await,
        0,
        "a start after the last kill ends in order"
    );

    assert!(
        kind.pays || finished.len() as u64 >= rounds,
        "hardly anything was served: {}",
        finished.len()
    );
    let records = records(&*open()).await;
    compare(&finished, &records, &served(&served_log));
    records
}

/// Clients that ask again and again until the server is gone.
fn load(madang: &Madang, random: &mut Random) -> JoinSet<Finished> {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (url, key) = (madang.at("/v1/chat/completions"), madang.key.clone());
        let streamed = random.below(3) > 0;
        clients.spawn(async move {
            let mut finished = Finished::new();
            while let Ok(id) = ask(&url, &key, streamed).await {
                finished.extend(id);
            }
            finished
        });
    }
    clients
}
