//! `kill -9` at any moment: what a client saw finished is in the books once, with the engine's own counts, and the
//! books hold nothing finished that no engine served; in SQLite and in PostgreSQL. Rounds: `MADANG_KILL_ROUNDS`;
//! moments: `MADANG_TEST_SEED`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![expect(clippy::print_stdout, reason = "a failed test shows what was printed")]

mod harness;

use harness::books::{records, served};
use harness::fleet::{fleet, url_replica};
use harness::random::Random;
use harness::{Madang, Place, chat_body};
use http::Method;
use madang_ledger::Account;
use madang_store::conformance::bank::Books;
use madang_store::{PostgresOptions, PostgresStore, SqliteStore};
use madang_testkit::{Database, FakeEngine, FakeEngineOptions, Postgres, http_stream};
use madang_types::{MicroWon, Outcome, Unit, UsageRecord};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;

const ROUNDS: u64 = 6;
const CLIENTS: u64 = 12;

/// Ids of requests whose answer came to its end.
type Finished = Vec<String>;

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
    check_ledger(&*open(), &records).await;
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
    check_ledger(&*open(), &records).await;
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

/// That the ledger follows its rules, and says of each request what its record says.
async fn check_ledger(books: &dyn Books, records: &[UsageRecord]) {
    let report = books.ledger_verify().await.unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
    let (mut charged, mut orphans) = (0, 0);
    for record in records {
        let rows = books.entry(record.id.into()).await.unwrap();
        let legs: Vec<_> = rows.iter().flat_map(|row| &row.entry.legs).collect();
        let sum = |unit| -> i64 {
            let of = legs.iter().filter(|leg| leg.unit == unit);
            of.map(|leg| leg.amount).sum()
        };
        let tokens = record.tokens;
        let expected = [tokens.uncached, tokens.cached, tokens.output];
        let expected = expected.map(|tokens| i64::try_from(tokens.0).unwrap());
        let units = [Unit::UncachedTokens, Unit::CachedTokens, Unit::OutputTokens];
        assert_eq!(units.map(sum), expected, "{record:?}");
        let cost = record.cost.unwrap_or_default();
        assert_eq!(MicroWon(sum(Unit::MicroWon)), cost, "{record:?}");
        charged += cost.0;
        orphans += usize::from(record.outcome == Outcome::Orphaned);
    }
    let site = Account::Site("here".parse().unwrap());
    let earned = books.balance(site).await.unwrap();
    let earned = earned.iter().find(|(unit, _)| *unit == Unit::MicroWon);
    assert_eq!(earned.map_or(0, |(_, balance)| balance.total_in), charged);
    let purse = format!("allocation:{GRANT}").parse().unwrap();
    let left = books.purse_left(purse, Unit::MicroWon);
    assert_eq!(left.await.unwrap(), GRANTED - charged);
    println!(
        "{orphans} of {} were under way at a kill and are settled",
        records.len()
    );
    assert!(orphans > 0, "no kill met a request that was written down");
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

const GRANT: &str = "demo-2026";
/// A million won.
const GRANTED: i64 = 1_000_000_000_000;

/// The tenant of the first key pays from a grant, and tokens have a price.
async fn grant(madang: &Madang) {
    let post = Method::POST;
    madang
        .operate(
            post.clone(),
            "/api/v1/programmes",
            json!({"id": "startups"}),
        )
        .await;
    madang
        .operate(
            Method::PATCH,
            "/api/v1/tenants/demo",
            json!({"programme": "startups"}),
        )
        .await;
    let price = json!({"model": "m", "uncached": "350", "cached": "90", "output": "1400"});
    madang.operate(post.clone(), "/api/v1/prices", price).await;
    let budget = json!({"programme": "startups", "amount": GRANTED});
    madang
        .operate(post.clone(), "/api/v1/budgets", budget)
        .await;
    let grant =
        json!({"id": GRANT, "tenant": "demo", "amount": GRANTED, "until": "2100-01-01T00:00:00Z"});
    madang.operate(post, "/api/v1/allocations", grant).await;
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

/// The request's id where its answer was whole; an error where the server is gone.
async fn ask(url: &str, key: &str, streamed: bool) -> anyhow::Result<Option<String>> {
    let answer = http_stream(url, Some(key), chat_body("count for me", 16, streamed)).await?;
    let id = answer
        .headers
        .get("x-madang-request-id")
        .map(|id| id.to_str().unwrap().to_owned());
    let whole = if streamed {
        let (events, cut) = answer.sse().to_end().await;
        if let Some(cut) = cut
            && !events.iter().any(|event| event.is_done())
        {
            return Err(cut);
        }
        events.last().is_some_and(|event| event.is_done())
    } else {
        answer.collect().await?.status == 200
    };
    Ok(id.filter(|_| whole))
}

fn compare(finished: &Finished, records: &[UsageRecord], served: &BTreeMap<String, Value>) {
    let mut books: BTreeMap<String, &UsageRecord> = BTreeMap::new();
    for record in records {
        assert!(
            books.insert(record.id.to_string(), record).is_none(),
            "{} is in the books twice",
            record.id
        );
    }
    for id in finished {
        let record = books
            .get(id)
            .unwrap_or_else(|| panic!("{id} was answered to its end and is not in the books"));
        assert_eq!(record.outcome, Outcome::Finished, "{id}");
    }
    for (id, record) in books
        .iter()
        .filter(|(_, record)| record.outcome == Outcome::Finished)
    {
        let line = served
            .get(id)
            .unwrap_or_else(|| panic!("{id} is in the books and no engine served it"));
        let tokens = record.tokens;
        let prompt = tokens.uncached.0 + tokens.cached.0;
        assert!(!tokens.estimated, "{id}");
        assert_eq!(
            [Some(prompt), Some(tokens.cached.0), Some(tokens.output.0)],
            ["prompt_tokens", "cached_tokens", "output_tokens"].map(|name| line[name].as_u64()),
            "{id}"
        );
    }
    println!(
        "{} answers seen whole, {} records, {} served",
        finished.len(),
        records.len(),
        served.len()
    );
}
