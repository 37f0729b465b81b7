//! What a waiting client sees: its place, the predicted wait, and, in a stream, how the queue moves.

use crate::harness::{CHAT, Plan, World, chat, code, header, streamed};
use http::Method;
use madang_testkit::{HttpStream, SseStream, eventually, http_send};
use madang_types::{ErrorCode, Outcome};
use serde_json::json;

/// The urgent wait, however long it may take; others are refused at once where it would take too long.
const URGENT: (&str, &str) = ("x-madang-priority", "critical");

async fn one_slot(limits: &str) -> World {
    World::start(Plan {
        slots: 1,
        limits: limits.into(),
        ..Plan::default()
    })
    .await
}

/// A stream that holds the slot until it is dropped.
async fn hold(world: &World) -> SseStream {
    let held = streamed(json!({"user": "fake-behaviour=stall-after:2"}));
    let mut held = world.send(CHAT, &[], &held).await.sse();
    held.next_event().await.unwrap().unwrap();
    held
}

async fn until_waiting(world: &World, count: u32) {
    assert!(eventually(|| world.gateway.status()[0].waiting == count).await);
}

/// A stream whose head came while it waits: nothing else can have sent it.
async fn waits(world: &World) -> HttpStream {
    let stream = world.send(CHAT, &[], &streamed(json!({}))).await;
    assert_eq!(world.gateway.status()[0].waiting, 1);
    assert_eq!(stream.status, 200);
    for (name, expected) in [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("x-madang-queue-place", "0"),
        ("x-madang-model", "m"),
        ("x-madang-replica", ""),
    ] {
        assert_eq!(header(&stream.headers, name), expected, "{name}");
    }
    assert!(header(&stream.headers, "x-madang-request-id").starts_with("req_"));
    stream
}

#[tokio::test]
async fn a_waiting_stream_begins_with_its_place() {
    let world = one_slot("queue_notice_ms = 20").await;
    let held = hold(&world).await;
    let mut stream = waits(&world).await;
    let first = stream.next_chunk().await.unwrap().unwrap();
    let first = String::from_utf8_lossy(&first);
    assert!(
        first.starts_with(": madang queue place=0") && first.ends_with("\n\n"),
        "{first}"
    );
    drop(held);
    let mut stream = stream.sse();
    let (events, error) = stream.to_end().await;
    assert!(error.is_none(), "{error:?}");
    assert!(events.last().unwrap().is_done());
    assert!(
        events
            .iter()
            .all(|event| event.is_done() || event.json().is_ok())
    );
    let record = world.records(2).await.remove(1);
    assert_eq!((record.outcome, record.status), (Outcome::Finished, 200));
    assert!(record.queued_us > 0 && record.streamed);
    assert_eq!(record.tokens.output.0, 4);
    world.assert_idle("a stream that waited").await;
}

#[tokio::test]
async fn what_ends_a_waiting_stream_is_its_last_event() {
    let world = one_slot("queue_notice_ms = 20\nqueue_wait_ms_max = 200").await;
    let held = hold(&world).await;
    for (path, body) in [
        (CHAT, streamed(json!({}))),
        (
            "/v1/responses",
            json!({"model": "m", "input": "hello", "stream": true}).to_string(),
        ),
    ] {
        let mut stream = world.send(path, &[URGENT], &body).await.sse();
        assert_eq!(stream.status(), 200);
        let (events, error) = stream.to_end().await;
        assert!(error.is_none(), "{error:?}");
        let [event] = events.as_slice() else {
            panic!("{events:?}");
        };
        assert_eq!(event.event.as_deref(), (path != CHAT).then_some("error"));
        let json = event.json().unwrap();
        assert_eq!(code(&json), "queue_timeout");
        assert_eq!(json["error"]["retry_after_ms"], 1_000, "{json}");
    }
    drop(held);
    let records = world.records(3).await;
    for record in records.iter().filter(|record| record.attempts == 0) {
        assert_eq!((record.outcome, record.status), (Outcome::TimedOut, 200));
        assert_eq!(record.error, Some(ErrorCode::QueueTimeout));
    }
    world.assert_idle("refused streams").await;
}

#[tokio::test]
async fn an_engines_refusal_after_the_head_is_an_event_in_its_own_words() {
    let world = one_slot("queue_notice_ms = 20").await;
    let held = hold(&world).await;
    let stream = waits(&world).await;
    world.behave(r#"status:400:{"error":{"message":"too long","type":"bad","code":"context_length_exceeded"}}"#);
    drop(held);
    let (events, _) = stream.sse().to_end().await;
    let json = events[0].json().unwrap();
    assert_eq!((events.len(), code(&json)), (1, "context_length_exceeded"));
    assert_eq!(json["error"]["message"], "too long");
    let record = world.records(2).await.remove(1);
    assert_eq!(
        (record.outcome, record.status),
        (Outcome::EngineRefused, 200)
    );
}

#[tokio::test]
async fn a_waiting_stream_that_is_left_gives_back_its_place() {
    let world = one_slot("queue_notice_ms = 20").await;
    let held = hold(&world).await;
    let stream = waits(&world).await;
    drop(stream);
    until_waiting(&world, 0).await;
    drop(held);
    let records = world.records(2).await;
    assert!(
        records
            .iter()
            .all(|record| record.outcome == Outcome::ClientGone)
    );
    world.assert_idle("a stream that left").await;
}

#[tokio::test]
async fn without_notices_the_head_waits_too() {
    let world = one_slot("queue_notice_ms = 0").await;
    let held = hold(&world).await;
    let body = streamed(json!({}));
    let (stream, ()) = tokio::join!(world.send(CHAT, &[], &body), async {
        until_waiting(&world, 1).await;
        drop(held);
    });
    assert_eq!(header(&stream.headers, "x-madang-replica"), "r1");
    assert_eq!(header(&stream.headers, "x-madang-queue-place"), "0");
    let mut stream = stream.sse();
    stream.to_end().await;
    assert_eq!(stream.comments, Vec::<String>::new());
}

#[tokio::test]
async fn whole_answers_and_refusals_say_where_they_stood() {
    let world = one_slot("queue_wait_ms_max = 200").await;
    let held = hold(&world).await;
    let body = chat(json!({}));
    let answer = world.send(CHAT, &[URGENT], &body).await;
    let answer = answer.collect().await.unwrap();
    assert_eq!(
        (answer.status, answer.header("x-madang-queue-place")),
        (503, Some("0"))
    );
    let retry = ["retry-after", "retry-after-ms"].map(|name| answer.header(name).unwrap());
    let [seconds, ms] = retry.map(|text| text.parse::<u64>().unwrap());
    assert_eq!(seconds, ms.div_ceil(1000));
    let (answer, ()) = tokio::join!(world.send(CHAT, &[URGENT], &body), async {
        until_waiting(&world, 1).await;
        drop(held);
    });
    let answer = answer.collect().await.unwrap();
    assert_eq!(
        (answer.status, answer.header("x-madang-queue-place")),
        (200, Some("0"))
    );
    let answer = world.chat(json!({})).await;
    assert_eq!(
        (answer.status, answer.header("x-madang-queue-place")),
        (200, None)
    );
}

#[tokio::test]
async fn one_key_does_not_take_all() {
    let world = one_slot("connections_key_max = 1").await;
    let held = hold(&world).await;
    let answer = world.chat(json!({})).await;
    assert_eq!(
        (answer.status, code(&answer.json().unwrap())),
        (429, "key_busy")
    );
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(answer.text().contains("limits.connections_key_max"));
    // What asks no model is not counted.
    let bearer = format!("Bearer {}", world.key);
    let url = format!("{}/v1/models", world.url);
    let list = http_send(Method::GET, &url, &[("authorization", &bearer)], "").await;
    assert_eq!(list.unwrap().status, 200);
    drop(held);
    let freed = eventually(|| world.gateway.requests_count() == 0).await;
    assert!(freed);
    world.records(2).await;
    assert_eq!(world.chat(json!({})).await.status, 200);
    let records = world.records(3).await;
    assert_eq!(records[1].error, Some(ErrorCode::KeyBusy));
}
