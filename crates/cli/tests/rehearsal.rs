//! Broken engines behind the real program, with real processes and sockets: nothing hangs, every client gets a whole answer or an
//! error with a code, the books hold each request once, and nothing is held afterwards.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![expect(clippy::print_stdout, reason = "a failed test shows what was printed")]

mod harness;

use harness::engine::Engine;
use harness::fleet::{fleet, url_replica};
use harness::{Madang, Place, WAIT_MAX, chat_body, wait_for};
use madang_store::sqlite::SqliteStore;
use madang_store::{Store, UsageFilter};
use madang_testkit::{SseEvent, http_get, http_stream};
use madang_types::{Outcome, UsageRecord};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Small, so that an engine that never ends is ended; large enough for a busy machine.
const LIMITS: &str = "
[limits]
attempts_max = 3
first_byte_ms_max = 3000
stream_idle_ms_max = 3000
request_ms_max = 8000
queue_wait_ms_max = 30000
stream_bytes_max = 65536
answer_bytes_max = 65536
";
/// What the engines take, so that a new one is known to be like the others.
const COSTS: &str = "context_tokens = 8192
costs = { step_us = 4000, uncached_ns = 20000, cached_ns = 2000, output_ns = 20000, kv_ps = 2000, context_double_tokens = 0 }";
/// A twentieth of what the small engine does: requests are under way beside each other.
const SPEED: &[&str] = &["--speed", "0.05"];
/// Requests of a flood.
const FLOOD: u64 = 60;

/// What one client saw.
#[derive(Debug)]
struct Seen {
    /// The request's id.
    id: String,
    /// Whole, with its `[DONE]` where it was streamed.
    whole: bool,
    /// The code of the error, if there was one.
    code: String,
}

/// Asks, and checks that the answer is whole or an error with a code.
async fn ask(url: String, key: String, (text, tokens, streamed): (String, u64, bool)) -> Seen {
    let body = chat_body(&text, tokens, streamed);
    let url = format!("{url}/v1/chat/completions");
    let answer = http_stream(&url, Some(&key), body);
    let answer = timeout(WAIT_MAX, answer).await.expect("a head").unwrap();
    let (status, headers) = (answer.status, answer.headers.clone());
    let id = headers["x-madang-request-id"].to_str().unwrap().to_owned();
    if streamed && status == 200 {
        let mut stream = answer.sse();
        let (events, cut) = timeout(WAIT_MAX, stream.to_end()).await.expect("an end");
        assert!(cut.is_none(), "our own stream ends cleanly: {cut:?}");
        return judge(id, &events);
    }
    let answer = timeout(WAIT_MAX, answer.collect())
        .await
        .expect("an end")
        .unwrap();
    let body = answer.json().unwrap();
    let code = body["error"]["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert_eq!(status == 200, code.is_empty(), "{status}: {body}");
    assert!(status != 200 || body["choices"].is_array(), "{body}");
    let whole = status == 200;
    Seen { id, whole, code }
}

/// `[DONE]` is the last event, or an error is.
fn judge(id: String, events: &[SseEvent]) -> Seen {
    let is_error = |event: &&SseEvent| event.json().is_ok_and(|json| !json["error"].is_null());
    let last = events.last().expect("a stream is not empty");
    let errors: Vec<&SseEvent> = events.iter().filter(is_error).collect();
    let done = events.iter().filter(|event| event.is_done()).count();
    assert_eq!(done + errors.len(), 1, "one end: {errors:?}");
    assert!(last.is_done() || is_error(&last), "{last:?}");
    let code = errors.first().map(|event| event.json().unwrap());
    let code = code.map(|json| json["error"]["code"].as_str().unwrap().to_owned());
    assert!(code.as_ref().is_none_or(|code| !code.is_empty()));
    Seen {
        id,
        whole: done == 1,
        code: code.unwrap_or_default(),
    }
}

/// Many clients at once, streamed and plain, answers of that many tokens.
fn flood(madang: &Madang, what: &str, (count, tokens): (u64, u64)) -> JoinSet<Seen> {
    let mut clients = JoinSet::new();
    for number in 0..count {
        let chat = (format!("{number} {what}"), tokens, number % 2 == 0);
        clients.spawn(ask(madang.url.clone(), madang.key.clone(), chat));
    }
    clients
}

/// The fleet file with these replicas and limits.
fn file(replicas: &[String], limits: &str) -> String {
    let text = fleet(replicas)
        .replace("context_tokens = 8192", COSTS)
        .replace("slots = 64", "slots = 16");
    format!("{text}{limits}")
}

/// Everything a test did, to be compared with the books.
struct Site {
    place: Place,
    madang: Madang,
    /// Answers, with the name of their flood.
    seen: Vec<(String, Seen)>,
    since: Instant,
}

impl Site {
    async fn start(replicas: &[String], limits: &str) -> Self {
        let place = Place::new();
        let madang = place.up(&file(replicas, limits)).await;
        Self {
            place,
            madang,
            seen: Vec::new(),
            since: Instant::now(),
        }
    }

    async fn reload(&self, replicas: &[String], limits: &str) {
        self.place.write("fleet.toml", file(replicas, limits));
        self.place.run(&["reload"]).await.expect_code(0);
    }

    async fn get(&self, path: &str) -> Value {
        let key = self.madang.operator_key();
        let answer = http_get(&self.madang.at(path), Some(&key)).await.unwrap();
        answer.json().unwrap()
    }

    /// Nothing waits, nothing runs, no slot is taken.
    async fn idle(&self, what: &str) {
        wait_for(what, async || {
            let status = self.get("/api/v1/status").await;
            let held = |pool: &Value| {
                let members = pool["members"].as_array().unwrap().iter();
                let members = members.map(|m| {
                    m["running"].as_u64().unwrap() + m["kv_tokens_used"].as_u64().unwrap()
                });
                pool["waiting"].as_u64().unwrap() + members.sum::<u64>()
            };
            let held: u64 = status["pools"].as_array().unwrap().iter().map(held).sum();
            let held = held + self.madang.gauge("madang_requests_running{").await;
            let held = held + self.madang.gauge("madang_requests_waiting{").await;
            (held == 0 && status["requests_count"] == 0).then_some(())
        })
        .await;
    }

    async fn replica_is_up(&self, id: &str) {
        wait_for(id, async || {
            let replica = self.get(&format!("/api/v1/replicas/{id}")).await;
            (replica["state"] == "up").then_some(())
        })
        .await;
    }

    /// The answers that came, kept for the comparison with the books. Gives how many were whole.
    async fn take(&mut self, what: &str, clients: JoinSet<Seen>) -> u64 {
        let seen = clients.join_all().await;
        let whole = seen.iter().filter(|seen| seen.whole).count();
        let mut codes: BTreeMap<&str, u64> = BTreeMap::new();
        for seen in seen.iter().filter(|seen| !seen.whole) {
            *codes.entry(&seen.code).or_default() += 1;
        }
        println!("{what}: {whole} of {} whole, {codes:?}", seen.len());
        self.seen
            .extend(seen.into_iter().map(|seen| (what.to_owned(), seen)));
        u64::try_from(whole).unwrap()
    }

    /// Stops, and compares the books with what was seen. Gives how many requests of each flood met the replica of its name.
    async fn expect_books(mut self) -> BTreeMap<String, u64> {
        let mut met: BTreeMap<String, u64> = BTreeMap::new();
        let seconds = self.since.elapsed().as_secs();
        assert_eq!(self.madang.stop().await, 0);
        let store = SqliteStore::open(&self.place.data().join("madang.sqlite")).unwrap();
        let records = store.usage_list(UsageFilter::default(), None, 1000).await;
        let records = records.unwrap();
        let mut books: BTreeMap<String, &UsageRecord> = BTreeMap::new();
        for record in &records {
            assert!(books.insert(record.id.to_string(), record).is_none());
        }
        for (what, seen) in &self.seen {
            let record = books.get(&seen.id);
            let record = record.unwrap_or_else(|| panic!("not in the books: {seen:?}"));
            let finished = record.outcome == Outcome::Finished;
            assert_eq!(finished, seen.whole, "{seen:?} {record:?}");
            let booked = record.error.map(|code| code.as_str().to_owned());
            assert_eq!(booked.unwrap_or_default(), seen.code, "{record:?}");
            assert!(record.attempts <= 3, "{record:?}");
            let there = record
                .replica
                .as_ref()
                .is_some_and(|id| id.as_str() == what);
            *met.entry(what.clone()).or_default() += u64::from(there || record.attempts > 1);
        }
        assert_eq!(records.len(), self.seen.len(), "a record for each request");
        // A fifth of first attempts, ten at once, ten a second: limits.retry_percent_max.
        let retries: u64 = records
            .iter()
            .map(|r| u64::from(r.attempts.saturating_sub(1)))
            .sum();
        let first = u64::try_from(records.len()).unwrap();
        let budget = first / 5 + 10 + 10 * (seconds + 1) + first / 50 + 1;
        assert!(
            retries <= budget,
            "{retries} further attempts of {first}, {seconds} s"
        );
        println!("{retries} further attempts of {first} in {seconds} s; met: {met:?}");
        met
    }
}

/// A fault of one engine among three, and whether all the same every answer is whole.
const FAULTS: &[(&str, bool)] = &[
    ("no-usage", true),
    ("wrong-usage", true),
    ("no-metrics", true),
    ("bad-json", false),
    ("wrong-length", false),
    ("endless", false),
    ("stall", false),
    ("stall-mid", false),
    ("cut-before", false),
    ("cut-mid", false),
    ("error-429", false),
    ("error-503", false),
    ("error-500", false),
    ("refuse-connection", false),
    ("slow", false),
];

#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_engines_is_broken_in_every_way() {
    let sound = [Engine::start(SPEED).await, Engine::start(SPEED).await];
    let fleet_of = |bad: Option<(&str, &Engine)>| {
        let mut replicas = vec![
            url_replica("a", &sound[0].url),
            url_replica("b", &sound[1].url),
        ];
        replicas.extend(bad.map(|(fault, bad)| url_replica(fault, &bad.url)));
        replicas
    };
    let mut site = Site::start(&fleet_of(None), LIMITS).await;
    for (fault, all_whole) in FAULTS {
        let bad = Engine::start(&[SPEED, &["--fault", fault]].concat()).await;
        site.reload(&fleet_of(Some((fault, &bad))), LIMITS).await;
        site.replica_is_up(fault).await;
        let clients = flood(&site.madang, fault, (FLOOD, 12));
        let whole = site.take(fault, clients).await;
        assert!(
            whole >= FLOOD / 2,
            "{fault}: the sound ones go on serving: {whole}"
        );
        assert!(!all_whole || whole == FLOOD, "{fault}: {whole}");
        site.idle(fault).await;
        sound[0].idle().await;
        sound[1].idle().await;
        if *fault != "no-metrics" {
            bad.idle().await;
        }
    }
    let met = site.expect_books().await;
    assert!(
        met.values().all(|count| *count > 0),
        "no fault was met: {met:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn engines_are_restarted_killed_added_and_removed_in_a_flood() {
    let mut engines = Vec::new();
    for _ in 0..3 {
        engines.push(Engine::start(SPEED).await);
    }
    let replica = |number: usize, engine: &Engine| url_replica(&format!("r{number}"), &engine.url);
    let all: Vec<String> = engines
        .iter()
        .enumerate()
        .map(|(n, e)| replica(n, e))
        .collect();
    let mut site = Site::start(&all, LIMITS).await;

    let clients = flood(&site.madang, "restart", (FLOOD, 200));
    running(&engines[0]).await;
    engines[0].restart().await;
    let whole = site.take("restart", clients).await;
    assert!(whole >= FLOOD / 3, "{whole}");
    site.idle("after a restart").await;

    let clients = flood(&site.madang, "reload", (FLOOD, 200));
    running(&engines[0]).await;
    for round in 0..4 {
        let some = if round % 2 == 0 { &all[1..] } else { &all[..] };
        site.reload(some, LIMITS).await;
    }
    let whole = site.take("reload", clients).await;
    assert_eq!(whole, FLOOD, "who leaves finishes what it has");
    site.idle("after reloads").await;

    let clients = flood(&site.madang, "kill", (FLOOD, 200));
    running(&engines[1]).await;
    assert_eq!(engines[1].end(Signal::KILL).await, None);
    let whole = site.take("kill", clients).await;
    assert!(whole >= FLOOD / 3, "{whole}");
    site.idle("after a kill").await;
    for engine in [&engines[0], &engines[2]] {
        engine.idle().await;
    }
    let clients = flood(&site.madang, "two are left", (FLOOD, 4));
    site.take("two are left", clients).await;
    site.expect_books().await;
}

/// Waits until the engine computes something.
async fn running(engine: &Engine) {
    wait_for("the engine runs", async || {
        (engine.sequences().await[0] > 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_free_what_they_held() {
    let engine = Engine::start(&["--speed", "0.01"]).await;
    let replica = url_replica("a", &engine.url).replace("slots = 64", "slots = 2");
    let site = Site::start(&[replica], "").await;
    let ask = async |text: &str| {
        let url = site.madang.at("/v1/chat/completions");
        let body = chat_body(text, 4_000, true);
        http_stream(&url, Some(&site.madang.key), body)
            .await
            .unwrap()
    };
    let waiting = async || site.get("/api/v1/status").await["pools"][0]["waiting"].as_u64();
    let (one, two) = (ask("one").await, ask("two").await);
    let url = site.madang.at("/v1/chat/completions");
    let key = site.madang.key.clone();
    let queued = tokio::spawn(async move {
        let body = chat_body("three", 4_000, true);
        let answer = http_stream(&url, Some(&key), body).await.unwrap();
        answer.collect().await.unwrap();
    });
    wait_for("it waits", async || {
        (waiting().await == Some(1)).then_some(())
    })
    .await;
    queued.abort();
    wait_for("its place is free", async || {
        (waiting().await == Some(0)).then_some(())
    })
    .await;
    assert_eq!(engine.sequences().await, [2, 0], "the others run on");
    let left = Instant::now();
    drop((one, two));
    engine.idle().await;
    site.idle("slots are free").await;
    println!("free after {:?}", left.elapsed());
    assert!(left.elapsed() < Duration::from_secs(30));
}
