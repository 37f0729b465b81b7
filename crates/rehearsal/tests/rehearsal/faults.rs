//! Each fault does what docs/rehearsal.md says.

use super::{CHAT, WAIT_MAX, chat, events, metric, options, plain, post, start, words};
use madang_rehearsal::Rehearsal;
use madang_testkit::{HttpAnswer, RawClient, RawEnd, http_get};
use serde_json::{Value, json};
use std::time::Duration;

/// After this silence a connection counts as stalled. A slow machine makes it longer, never shorter.
const SILENCE: Duration = Duration::from_millis(300);

fn stream() -> Value {
    json!({ "max_tokens": 10, "stream": true, "stream_options": { "include_usage": true } })
}

async fn answer(engine: &Rehearsal, rest: &Value, fault: &str) -> anyhow::Result<HttpAnswer> {
    post(engine, CHAT, chat("a", rest), Some(fault))
        .await?
        .collect()
        .await
}

/// A connection over which that request is sent.
async fn raw(engine: &Rehearsal, rest: &Value, fault: &str) -> RawClient {
    let body = chat("a", rest);
    let mut client = RawClient::connect(&engine.url())
        .await
        .expect("a connection");
    let length = body.len();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: a\r\nx-rehearsal-fault: {fault}\r\ncontent-length: {length}\r\n\r\n"
    );
    let sent = client.send(format!("{head}{body}").as_bytes()).await;
    sent.expect("a connection");
    client
}

#[tokio::test]
async fn errors_have_their_status() {
    let engine = start(options("tiny", 100.0)).await;
    for (fault, status) in [("error-500", 500), ("error-503", 503), ("error-429", 429)] {
        for rest in [json!({}), stream()] {
            let answer = answer(&engine, &rest, fault).await.unwrap();
            assert_eq!(answer.status, status);
            assert_eq!(
                answer.json().unwrap()["error"]["message"],
                "a rehearsed fault"
            );
            assert_eq!(answer.header("retry-after"), (status == 429).then_some("1"));
        }
    }
    assert_eq!(
        metric(&engine, "vllm:prompt_tokens_total", "").await as u64,
        0
    );
}

#[tokio::test]
async fn cuts_close_where_they_say() {
    let engine = start(options("tiny", 100.0)).await;
    for (fault, rest, tokens) in [
        ("refuse-connection", json!({}), None),
        ("refuse-connection", stream(), None),
        ("cut-before", json!({}), Some(0)),
        ("cut-before", stream(), Some(0)),
        ("cut-mid", json!({}), Some(0)),
        ("cut-mid", stream(), Some(5)),
        ("cut", stream(), Some(5)),
    ] {
        let read = raw(&engine, &rest, fault)
            .await
            .read_to_close(WAIT_MAX)
            .await;
        assert_ne!(read.end, RawEnd::Open, "{fault}");
        let text = read.text();
        assert_eq!(read.status(), tokens.map(|_| 200), "{fault}: {text}");
        assert!(
            !text.contains("[DONE]") && !text.ends_with("0\r\n\r\n"),
            "{fault}: {text}"
        );
        assert_eq!(
            text.matches("\"content\":").count(),
            tokens.unwrap_or(0) + usize::from(fault == "cut-mid" && rest == json!({})),
            "{fault}: {text}"
        );
        assert!(answer(&engine, &rest, fault).await.is_err(), "{fault}");
    }
}

#[tokio::test]
async fn stalls_stay_open_and_free_what_they_held() {
    let engine = start(options("tiny", 100.0)).await;
    for (fault, rest, events) in [
        ("stall", json!({}), None),
        ("stall", stream(), None),
        ("stall-mid", json!({}), Some(1)),
        ("stall-mid", stream(), Some(5)),
    ] {
        let mut client = raw(&engine, &rest, fault).await;
        let mut text = String::new();
        let began = std::time::Instant::now();
        while text.matches("\"content\":").count() < events.unwrap_or(0) {
            text.push_str(&client.read_to_close(SILENCE).await.text());
            assert!(began.elapsed() < WAIT_MAX, "{fault}: {text}");
        }
        let read = client.read_to_close(SILENCE).await;
        assert_eq!(
            (read.end, read.text().as_str()),
            (RawEnd::Open, ""),
            "{fault}"
        );
        assert_eq!(
            text.starts_with("HTTP/1.1 200"),
            events.is_some(),
            "{fault}: {text}"
        );
        assert!(
            text.matches("\"content\":").count() == events.unwrap_or(0) && !text.contains("[DONE]"),
            "{fault}: {text}"
        );
    }
    assert_eq!(plain(&engine, chat("a", &json!({}))).await.status, 200);
}

#[tokio::test]
async fn usage_is_left_out_or_wrong() {
    let engine = start(options("tiny", 100.0)).await;
    for (fault, expected) in [("no-usage", json!(null)), ("wrong-usage", json!(21))] {
        let body = answer(&engine, &json!({ "max_tokens": 10 }), fault)
            .await
            .unwrap()
            .json()
            .unwrap();
        assert_eq!(body["usage"]["completion_tokens"], expected);
        assert_eq!(
            body["choices"][0]["message"]["content"]
                .as_str()
                .unwrap()
                .split(' ')
                .count(),
            10
        );
        let events = events(&engine, chat("a", &stream()), Some(fault))
            .await
            .unwrap();
        assert_eq!(words(&events), 10);
        let told: Vec<Value> = events
            .iter()
            .filter_map(|event| Some(event.json().ok()?.get("usage")?["completion_tokens"].clone()))
            .collect();
        assert_eq!(
            told,
            if expected.is_null() {
                vec![]
            } else {
                vec![expected]
            }
        );
    }
}

#[tokio::test]
async fn json_is_broken_and_the_rest_is_whole() {
    let engine = start(options("tiny", 100.0)).await;
    let answer = answer(&engine, &json!({ "max_tokens": 10 }), "bad-json")
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.json().is_err());
    let events = events(&engine, chat("a", &stream()), Some("bad-json"))
        .await
        .unwrap();
    assert_eq!(words(&events), 10);
    let broken = events
        .iter()
        .filter(|event| !event.is_done() && event.json().is_err())
        .count();
    assert_eq!(broken, 1);
    assert!(events.last().unwrap().is_done());
}

#[tokio::test]
async fn the_length_promises_more_than_comes() {
    let engine = start(options("tiny", 100.0)).await;
    for rest in [json!({ "max_tokens": 10 }), stream()] {
        let read = raw(&engine, &rest, "wrong-length")
            .await
            .read_to_close(WAIT_MAX)
            .await;
        assert_ne!(read.end, RawEnd::Open);
        let text = read.text();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let length = head
            .to_lowercase()
            .split("content-length: ")
            .nth(1)
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .parse::<usize>()
            .unwrap();
        assert!(length > body.len(), "{length} {}", body.len());
        assert!(body.contains("[DONE]") == (rest == stream()));
    }
}

#[tokio::test]
async fn an_endless_answer_ends_with_its_client() {
    let engine = start(options("tiny", 100.0)).await;
    let mut stream = post(&engine, CHAT, chat("a", &stream()), Some("endless"))
        .await
        .unwrap()
        .sse();
    for _ in 0..30 {
        let event = stream.next_event().await.unwrap().unwrap();
        assert_eq!(
            event.json().unwrap()["choices"][0]["finish_reason"],
            json!(null)
        );
    }
    let mut plain = post(
        &engine,
        CHAT,
        chat("a", &json!({ "max_tokens": 1 })),
        Some("endless"),
    )
    .await
    .unwrap();
    for _ in 0..5 {
        assert!(plain.next_chunk().await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_slow_answer_takes_ten_times_as_long() {
    let engine = start(options("tiny", 1.0)).await;
    // 1,000 prompt tokens take the model 1.3 ms, 9 further tokens 1.8 ms.
    let rest = json!({ "max_tokens": 10, "x_prompt_tokens": 1_000, "stream": true });
    let events = events(&engine, chat("a", &rest), Some("slow"))
        .await
        .unwrap();
    assert_eq!(words(&events), 10);
    assert!(
        events[0].at >= Duration::from_millis(12),
        "{:?}",
        events[0].at
    );
    assert!(
        events[9].at >= Duration::from_millis(28),
        "{:?}",
        events[9].at
    );
    let sent = std::time::Instant::now();
    answer(
        &engine,
        &json!({ "max_tokens": 10, "x_prompt_tokens": 1_000 }),
        "slow",
    )
    .await
    .unwrap();
    assert!(sent.elapsed() >= Duration::from_millis(28));
}

#[tokio::test]
async fn a_plan_breaks_some_requests_and_hides_metrics() {
    let mut options = options("tiny", 100.0);
    options.faults = "error-503=0.5,no-metrics".parse().unwrap();
    let engine = start(options).await;
    let mut broken = 0;
    for _ in 0..100 {
        let status = plain(&engine, chat("a", &json!({ "max_tokens": 1 })))
            .await
            .status;
        broken += usize::from(status == 503);
        assert!(matches!(status, 200 | 503));
    }
    // The seed is fixed: this is the same in every run.
    assert!((30..70).contains(&broken), "{broken}");
    let metrics = http_get(&format!("{}/metrics", engine.url()), None)
        .await
        .unwrap();
    assert_eq!(metrics.status, 404);
}

#[tokio::test]
async fn the_body_asks_for_a_fault_where_a_gateway_takes_the_header() {
    let engine = start(options("tiny", 100.0)).await;
    for (fault, status) in [("error-503", 503), ("no-usage", 200), ("nothing", 400)] {
        let rest = json!({ "x_rehearsal_fault": fault });
        assert_eq!(
            plain(&engine, chat("a", &rest)).await.status,
            status,
            "{fault}"
        );
    }
}
