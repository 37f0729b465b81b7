//! Every way in which an engine can fail, plain and streamed, alone and beside a sound one.

use crate::harness::{CHAT, Plan, World, chat, code};
use futures_util::future::join_all;
use madang_testkit::SseEvent;
use madang_types::{ErrorCode, Outcome, UsageRecord};
use serde_json::{Value, json};

/// What came of a request: the status, the code that the client was told, the outcome, attempts.
type Fate = (u16, &'static str, Outcome, u32);

const OK: Fate = (200, "", Outcome::Finished, 1);
const ELSEWHERE: Fate = (200, "", Outcome::Finished, 2);
const UNREACHABLE: Fate = (502, "engine_unreachable", Outcome::EngineFailed, 1);
const INVALID: Fate = (502, "engine_answer_invalid", Outcome::EngineFailed, 1);
const CUT: Fate = (200, "engine_cut", Outcome::EngineCut, 1);
const CUT_WHOLE: Fate = (502, "engine_cut", Outcome::EngineCut, 1);
const FAILED: Fate = (502, "engine_failed", Outcome::EngineFailed, 1);
const NO_FIRST_BYTE: Fate = (504, "engine_first_byte_timeout", Outcome::TimedOut, 1);
const UNSOUND: Fate = (200, "engine_answer_invalid", Outcome::EngineCut, 1);

/// The first engine behaves so; what comes of it with no other engine, and with a sound one beside it.
struct Row {
    behaviour: &'static str,
    limits: &'static str,
    alone: Fate,
    beside: Fate,
}

fn row(behaviour: &'static str, alone: Fate, beside: Fate) -> Row {
    Row {
        behaviour,
        limits: "",
        alone,
        beside,
    }
}

fn limited(limits: &'static str, row: Row) -> Row {
    Row { limits, ..row }
}

/// What the client saw.
struct Seen {
    status: u16,
    code: String,
    message: String,
    done: bool,
}

async fn ask(world: &World, stream: bool) -> Seen {
    let answer = world
        .send(CHAT, &[], &chat(json!({"stream": stream})))
        .await;
    let status = answer.status;
    let (error, done) = if stream && status == 200 {
        let (events, cut) = answer.sse().to_end().await;
        assert!(cut.is_none(), "our own stream ends cleanly: {cut:?}");
        let done = events.last().is_some_and(SseEvent::is_done);
        let errors: Vec<Value> = events
            .iter()
            .filter_map(|event| event.json().ok())
            .filter(|json| !json["error"].is_null())
            .collect();
        assert!(errors.len() <= 1, "{errors:?}");
        assert_eq!(done, errors.is_empty(), "an error or the end, not both");
        (errors.first().cloned().unwrap_or_default(), done)
    } else {
        let json = answer.collect().await.unwrap().json().unwrap();
        (json, status == 200)
    };
    Seen {
        status,
        code: code(&error).to_owned(),
        message: error["error"]["message"].to_string(),
        done,
    }
}

async fn check(row: &Row, stream: bool, engines: usize) {
    let expected = if engines == 1 { row.alone } else { row.beside };
    let (status, told, outcome, attempts) = expected;
    let what = format!("{} stream {stream} engines {engines}", row.behaviour);
    let world = World::start(Plan {
        engines,
        // A second attempt beside a late first is another test's matter: this machine may be what is late.
        limits: format!("hedge_percent_max = 0\n{}", row.limits),
        ..Plan::default()
    })
    .await;
    world.engines[0].set_behaviour(row.behaviour.parse().unwrap());
    let seen = ask(&world, stream).await;
    let UsageRecord {
        outcome: found_outcome,
        attempts: found_attempts,
        error,
        status: found_status,
        replica,
        ..
    } = world.record().await;
    let found = (
        seen.status,
        seen.code.as_str(),
        found_outcome,
        found_attempts,
    );
    assert_eq!(found, expected, "{what}: {}", seen.message);
    assert_eq!(found_status, status, "{what}");
    assert_eq!(seen.done, outcome == Outcome::Finished, "{what}");
    let booked = error.map(ErrorCode::as_str).unwrap_or_default();
    if !told.is_empty() || outcome == Outcome::Finished {
        assert_eq!(booked, told, "{what}");
    }
    if outcome == Outcome::TimedOut {
        assert!(seen.message.contains("limits."), "{what}: {}", seen.message);
    }
    let last = format!("r{attempts}");
    assert_eq!(replica.unwrap().as_str(), last, "{what}");
    let later = world.engines.get(1).map_or(0, |e| e.requests().len());
    assert_eq!(later, usize::from(attempts == 2), "{what}");
    world.assert_idle(&what).await;
}

async fn check_all(rows: Vec<Row>, stream: bool) {
    for some in rows.chunks(8) {
        join_all(
            some.iter()
                .flat_map(|row| [check(row, stream, 1), check(row, stream, 2)]),
        )
        .await;
    }
}

/// Failures before any byte of the answer, the same plain and streamed.
fn before_the_answer() -> Vec<Row> {
    let refused = (400, "", Outcome::EngineRefused, 1);
    let said = (400, "engine_refused", Outcome::EngineRefused, 1);
    let odd = (418, "engine_refused", Outcome::EngineRefused, 1);
    let first_byte = "first_byte_ms_max = 200";
    vec![
        row("normal", OK, OK),
        row("slow-headers:0", OK, OK),
        row("slow:1:1", OK, OK),
        row("no-usage", OK, OK),
        row("absurd-usage", OK, OK),
        row("split:1", OK, OK),
        row("odd-frames", OK, OK),
        row("status:500", FAILED, FAILED),
        row("status:301", FAILED, FAILED),
        row("status:400", refused, refused),
        row("status:400:<html>", said, said),
        row("status:418:{}", odd, odd),
        row("status:401", FAILED, ELSEWHERE),
        row("status:403", FAILED, ELSEWHERE),
        row("status:429", UNREACHABLE, ELSEWHERE),
        row("status:502:<html>", UNREACHABLE, ELSEWHERE),
        row("status:503", UNREACHABLE, ELSEWHERE),
        row("loading", UNREACHABLE, ELSEWHERE),
        row("close", UNREACHABLE, ELSEWHERE),
        row("reset", UNREACHABLE, ELSEWHERE),
        limited(first_byte, row("stall", NO_FIRST_BYTE, NO_FIRST_BYTE)),
    ]
}

#[tokio::test]
async fn plain_answers() {
    let idle = (504, "engine_idle_timeout", Outcome::TimedOut, 1);
    let late = (504, "request_timeout", Outcome::TimedOut, 1);
    let large = (502, "answer_too_large", Outcome::EngineFailed, 1);
    let (first_byte, small) = ("first_byte_ms_max = 1000", "answer_bytes_max = 5000");
    let mut rows = before_the_answer();
    rows.extend([
        limited(first_byte, row("stall-after:0", idle, ELSEWHERE)),
        limited(first_byte, row("stall-after:1", idle, ELSEWHERE)),
        limited("request_ms_max = 300", row("stall-after:1", late, late)),
        limited("request_ms_max = 300", row("stall", late, late)),
        row("cut:0", CUT_WHOLE, ELSEWHERE),
        row("cut:2", CUT_WHOLE, ELSEWHERE),
        row("cut-reset:2", CUT_WHOLE, ELSEWHERE),
        row("cut-clean:0", INVALID, ELSEWHERE),
        row("cut-clean:2", INVALID, ELSEWHERE),
        row("length:10", CUT_WHOLE, ELSEWHERE),
        row("length:-10", INVALID, ELSEWHERE),
        row("wrong-json", INVALID, ELSEWHERE),
        row("error-event:2", OK, OK),
        row("status:200:[]", INVALID, ELSEWHERE),
        row("status:200:{}", OK, OK),
        row(
            "status:200:{\"error\":{\"message\":\"no\"}}",
            INVALID,
            ELSEWHERE,
        ),
        row("huge-event:200000", OK, OK),
        limited(small, row("huge-event:6000", large, large)),
        limited(small, row("endless", large, large)),
    ]);
    check_all(rows, false).await;
}

#[tokio::test]
async fn streamed_answers() {
    let idle = (200, "engine_idle_timeout", Outcome::TimedOut, 1);
    let late = (200, "request_timeout", Outcome::TimedOut, 1);
    // The engine's own words, which have no code of ours.
    let said = (200, "", Outcome::EngineCut, 1);
    let first_byte = "first_byte_ms_max = 200";
    let long = (200, "answer_too_large", Outcome::EngineFailed, 1);
    let mut rows = before_the_answer();
    rows.extend([
        limited("stream_bytes_max = 20000", row("endless", long, long)),
        limited(
            first_byte,
            row("stall-after:0", NO_FIRST_BYTE, NO_FIRST_BYTE),
        ),
        limited("stream_idle_ms_max = 200", row("stall-after:1", idle, idle)),
        limited("stream_idle_ms_max = 200", row("stall-after:4", idle, idle)),
        limited("request_ms_max = 1500", row("stall-after:2", late, late)),
        limited("request_ms_max = 1500", row("endless", late, late)),
        row("cut:0", UNREACHABLE, ELSEWHERE),
        row("cut:1", CUT, CUT),
        row("cut:3", CUT, CUT),
        row("cut-reset:3", CUT, CUT),
        row("cut-clean:0", UNREACHABLE, ELSEWHERE),
        row("cut-clean:3", CUT, CUT),
        row("error-event:0", said, said),
        row("error-event:3", said, said),
        row("wrong-json", UNSOUND, UNSOUND),
        row("length:10", INVALID, ELSEWHERE),
        row("status:200:{}", INVALID, ELSEWHERE),
        row("huge-event:200000", CUT, CUT),
        row("huge-event:9000000", UNSOUND, UNSOUND),
    ]);
    check_all(rows, true).await;
}

#[tokio::test]
async fn an_event_named_error_never_looks_complete() {
    // The SDKs raise on an object with `error` alone, and would take what came for the whole answer.
    for (data, words) in [
        (
            r#"{"message":"out of memory"}"#,
            "the engine failed: out of memory",
        ),
        (r#"{"detail":"no"}"#, "the engine failed: no"),
        (r#"{"error":null}"#, "did not say why"),
        ("Internal Server Error", "did not say why"),
        ("", "did not say why"),
    ] {
        let world = World::of(1).await;
        let event = format!("event: error\ndata: {data}\n\n");
        let piece = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
        world.script(&[piece, &event, "data: [DONE]\n\n"]);
        let events = world.stream(json!({})).await;
        assert_eq!(events.len(), 2, "{data}: {events:?}");
        let last = events[1].json().unwrap();
        assert_eq!(code(&last), "engine_cut", "{data}");
        let message = last["error"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{data}: {message}");
        let record = world.record().await;
        let ended = (record.outcome, record.error);
        assert_eq!(
            ended,
            (Outcome::EngineCut, Some(ErrorCode::EngineCut)),
            "{data}"
        );
    }
}

#[tokio::test]
async fn a_page_of_an_engines_is_an_error_of_ours_with_its_status() {
    let world = World::of(1).await;
    let page = format!("<html>{}", "x".repeat(1_000));
    world.behave(&format!("status:413:{page}"));
    for stream in [false, true] {
        let answer = world.chat(json!({"stream": stream})).await;
        assert_eq!(answer.status, 413);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("x-madang-replica"), Some("r1"));
        let error = answer.json().unwrap()["error"].clone();
        assert_eq!(error["code"], "engine_refused");
        let said = format!(
            "the replica 'r1' answered 413 Payload Too Large: {}",
            &page[..500]
        );
        assert_eq!(error["message"], said);
        assert!(error["remedy"].is_string());
    }
}

#[tokio::test]
async fn an_engines_own_refusal_passes_unchanged() {
    for (engine, stream) in [("vllm", false), ("llama.cpp", false), ("vllm", true)] {
        let mut plan = Plan::default();
        plan.engine.engine = engine.into();
        let world = World::start(plan).await;
        world.behave("status:422");
        let answer = world.chat(json!({"stream": stream})).await;
        assert_eq!(answer.status, 422);
        assert_eq!(answer.body, world.engines[0].last_answer_bytes());
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("x-madang-replica"), Some("r1"));
    }
}

#[tokio::test]
async fn an_engine_that_is_gone_is_gone_elsewhere() {
    let mut world = World::of(2).await;
    // A pooled connection is open when the engine goes.
    assert_eq!(world.chat(json!({})).await.status, 200);
    assert_eq!(world.chat(json!({})).await.status, 200);
    world.engines.remove(0).stop().await;
    for _ in 0..4 {
        let answer = world.chat(json!({})).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-madang-replica"), Some("r2"));
    }
    world.assert_idle("an engine that went").await;
}

#[tokio::test]
async fn streams_read_to_their_end_leave_their_connection_for_the_next() {
    let world = World::of(1).await;
    for _ in 0..10 {
        let events = world.stream(json!({})).await;
        assert!(events.last().unwrap().is_done());
    }
    let connections = world.engines[0].connections();
    // Each lane has its own, and the next stream may begin before the last one's connection is back.
    assert!(connections <= 5, "{connections} connections for 10 streams");
}
