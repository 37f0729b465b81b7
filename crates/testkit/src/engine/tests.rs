//! The engine against the clients of this crate.

use crate::*;
use serde_json::{Value, json};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(20);

async fn engine() -> FakeEngine {
    FakeEngine::start(FakeEngineOptions::default()).await
}

fn chat(more: Value) -> String {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "안녕하세요, what is this?"}], "max_tokens": 3});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    body.to_string()
}

fn told(behaviour: &str, stream: bool) -> String {
    chat(
        json!({"stream": stream, "user": format!("fake-behaviour={behaviour}"), "stream_options": {"include_usage": true}}),
    )
}

fn url(engine: &FakeEngine, path: &str) -> String {
    format!("{}{path}", engine.url())
}

async fn stream(engine: &FakeEngine, body: String) -> (Vec<SseEvent>, Option<anyhow::Error>) {
    let stream = http_stream(&url(engine, "/v1/chat/completions"), None, body)
        .await
        .unwrap();
    stream.sse().to_end().await
}

#[tokio::test]
async fn a_plain_answer_is_recorded_byte_for_byte() {
    let engine = engine().await;
    let body = chat(json!({"n": 2}));
    let answer = http_post_json(&url(&engine, "/v1/chat/completions"), None, body.clone())
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, engine.last_answer_bytes());
    assert!(answer.text().contains("18446744073709551616"));
    let json = answer.json().unwrap();
    assert_eq!(json["choices"].as_array().unwrap().len(), 2);
    assert_eq!(
        json["choices"][0]["message"]["content"],
        "서울은 대한민국의"
    );
    assert_eq!(json["usage"]["completion_tokens"], 6);
    assert_eq!(json["usage"]["prompt_tokens_details"]["cached_tokens"], 2);
    let served = engine.served().remove(0);
    assert!(served.complete && !served.client_gone);
    assert_eq!(json["usage"]["prompt_tokens"], served.prompt_tokens);
    assert_eq!(served.output_tokens, 6);
    assert_eq!(engine.requests()[0].body, body);
    assert!(eventually(|| engine.in_flight() == 0).await);
}

#[tokio::test]
async fn a_stream_comes_in_events_with_usage_and_done() {
    let engine = engine().await;
    let (events, error) = stream(&engine, told("normal", true)).await;
    assert!(error.is_none());
    // role, three tokens, finish, usage, done
    assert_eq!(events.len(), 7);
    assert!(events[6].is_done());
    assert_eq!(events[5].json().unwrap()["usage"]["completion_tokens"], 3);
    let (bare, _) = stream(&engine, chat(json!({"stream": true}))).await;
    assert_eq!(bare.len(), 6);
    assert!(bare.iter().all(|event| !event.data.contains("usage")));
}

#[tokio::test]
async fn all_doors_answer_json() {
    let engine = engine().await;
    for (path, body) in [
        (
            "/v1/completions",
            json!({"model": "m", "prompt": [1, 2, 3], "logprobs": 1}),
        ),
        ("/v1/embeddings", json!({"model": "m", "input": ["a", "b"]})),
        (
            "/v1/embeddings",
            json!({"model": "m", "input": "a", "encoding_format": "base64"}),
        ),
        ("/v1/responses", json!({"model": "m", "input": "a"})),
        (
            "/v1/chat/completions",
            json!({"model": "m", "messages": [], "logprobs": true}),
        ),
        (
            "/v1/chat/completions",
            json!({"model": "m", "messages": [], "tool_choice": "required", "tools": [{"function": {"name": "f"}}]}),
        ),
    ] {
        let answer = http_post_json(&url(&engine, path), None, body.to_string())
            .await
            .unwrap();
        assert_eq!(answer.status, 200, "{path}");
        assert!(
            answer.json().unwrap()["usage"].is_object(),
            "{path}: {}",
            answer.text()
        );
        let mut body = body;
        body["stream"] = json!(true);
        let stream = http_stream(&url(&engine, path), None, body.to_string())
            .await
            .unwrap();
        let (events, error) = stream.sse().to_end().await;
        assert!(error.is_none(), "{path}");
        for event in events.iter().filter(|event| !event.is_done()) {
            let json = event.json().unwrap();
            assert_eq!(event.event.as_deref(), json["type"].as_str(), "{path}");
        }
    }
}

#[tokio::test]
async fn pages_about_the_engine() {
    for (kind, gauge) in [
        ("vllm", "vllm:num_requests_running{"),
        ("sglang", "sglang:num_running_reqs{"),
        ("llama.cpp", "\nllamacpp:requests_processing 0"),
    ] {
        let options = FakeEngineOptions {
            engine: kind.to_owned(),
            ..Default::default()
        };
        let engine = FakeEngine::start(options).await;
        assert_eq!(
            http_get(&url(&engine, "/health"), None)
                .await
                .unwrap()
                .status,
            200
        );
        let metrics = http_get(&url(&engine, "/metrics"), None).await.unwrap();
        assert!(metrics.text().contains(gauge), "{}", metrics.text());
        let models = http_get(&url(&engine, "/v1/models"), None).await.unwrap();
        assert_eq!(models.json().unwrap()["data"][0]["id"], "m");
        engine.set_behaviour(Behaviour::Loading);
        assert_eq!(
            http_get(&url(&engine, "/health"), None)
                .await
                .unwrap()
                .status,
            503
        );
    }
}

#[tokio::test]
async fn refusals() {
    let options = FakeEngineOptions {
        key: Some("k".to_owned()),
        ..Default::default()
    };
    let engine = FakeEngine::start(options).await;
    let chats = url(&engine, "/v1/chat/completions");
    for (key, body, status) in [
        (None, chat(json!({})), 401),
        (Some("other"), chat(json!({})), 401),
        (Some("k"), chat(json!({})), 200),
        (Some("k"), chat(json!({"model": "x"})), 404),
        (Some("k"), "{".to_owned(), 400),
        (Some("k"), told("status:429", false), 429),
        (Some("k"), told("loading", false), 503),
    ] {
        let answer = http_post_json(&chats, key, body.clone()).await.unwrap();
        assert_eq!(answer.status, status, "{body}");
        answer.json().unwrap();
    }
}

/// Whether the head comes, and how the body ends.
#[derive(Debug, PartialEq)]
enum Fate {
    NoHead,
    Cut,
    Whole,
}

#[tokio::test]
async fn broken_answers_break_as_told() {
    let engine = engine().await;
    for (behaviour, streamed, fate, complete) in [
        ("close", true, Fate::NoHead, false),
        ("reset", true, Fate::NoHead, false),
        ("cut:2", true, Fate::Cut, false),
        ("cut:0", false, Fate::Cut, false),
        ("cut-reset:2", true, Fate::Cut, false),
        ("cut-clean:2", true, Fate::Whole, false),
        ("cut-clean:2", false, Fate::Whole, false),
        ("length:10", false, Fate::Cut, false),
        ("length:10", true, Fate::Cut, false),
        ("length:-10", false, Fate::Whole, false),
        ("error-event:2", true, Fate::Whole, false),
        ("wrong-json", true, Fate::Whole, false),
        ("wrong-json", false, Fate::Whole, false),
        ("huge-event:200000", true, Fate::Whole, false),
        ("no-usage", true, Fate::Whole, true),
        ("absurd-usage", false, Fate::Whole, true),
        ("slow-headers:0", true, Fate::Whole, true),
        ("split:1", true, Fate::Whole, true),
        ("split:3", false, Fate::Whole, true),
        ("odd-frames", true, Fate::Whole, true),
        ("slow:1:1", true, Fate::Whole, true),
    ] {
        let answer = http_stream(
            &url(&engine, "/v1/chat/completions"),
            None,
            told(behaviour, streamed),
        )
        .await;
        let found = match answer {
            Err(_) => Fate::NoHead,
            Ok(stream) => match stream.collect().await {
                Err(_) => Fate::Cut,
                Ok(_) => Fate::Whole,
            },
        };
        assert_eq!(found, fate, "{behaviour} streamed: {streamed}");
        assert!(eventually(|| engine.in_flight() == 0).await);
        assert_eq!(
            engine.served().pop().unwrap().complete,
            complete,
            "{behaviour} streamed: {streamed}"
        );
    }
}

#[tokio::test]
async fn odd_frames_and_torn_pieces_read_the_same() {
    let engine = engine().await;
    let data = |events: Vec<SseEvent>| -> Vec<Value> {
        let mut all: Vec<Value> = events
            .iter()
            .filter_map(|event| event.json().ok())
            .collect();
        // each answer has its own number
        all.iter_mut().for_each(|json| json["id"] = Value::Null);
        all
    };
    let (plain, _) = stream(&engine, told("normal", true)).await;
    let plain = data(plain);
    assert_eq!(plain.len(), 6);
    for behaviour in ["odd-frames", "split:1", "split:7"] {
        let (events, error) = stream(&engine, told(behaviour, true)).await;
        assert!(error.is_none());
        assert_eq!(data(events), plain, "{behaviour}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_slot() {
    let options = FakeEngineOptions {
        slots: 1,
        ..Default::default()
    };
    let engine = FakeEngine::start(options).await;
    for behaviour in ["endless", "stall-after:2", "slow:0:100000"] {
        let answer = http_stream(
            &url(&engine, "/v1/chat/completions"),
            None,
            told(behaviour, true),
        )
        .await;
        let mut events = answer.unwrap().sse();
        events.next_event().await.unwrap().unwrap();
        assert_eq!(engine.in_flight(), 1);
        drop(events);
        assert!(eventually(|| engine.in_flight() == 0).await, "{behaviour}");
        let served = engine.served().pop().unwrap();
        assert!(served.client_gone && !served.complete, "{behaviour}");
    }
}

#[tokio::test]
async fn requests_beyond_the_slots_wait() {
    let options = FakeEngineOptions {
        slots: 1,
        ..Default::default()
    };
    let engine = FakeEngine::start(options).await;
    let chats = url(&engine, "/v1/chat/completions");
    let held = http_stream(&chats, None, told("stall-after:1", true))
        .await
        .unwrap();
    let second = tokio::spawn(async move { http_post_json(&chats, None, chat(json!({}))).await });
    assert!(eventually(|| engine.in_flight() == 2).await);
    let metrics = http_get(&url(&engine, "/metrics"), None)
        .await
        .unwrap()
        .text();
    assert!(
        metrics.contains("vllm:num_requests_waiting{engine=\"0\",model_name=\"m\"} 1"),
        "{metrics}"
    );
    drop(held);
    assert_eq!(second.await.unwrap().unwrap().status, 200);
}

#[tokio::test]
async fn the_log_has_a_line_for_each_generation() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("served.jsonl");
    let options = FakeEngineOptions {
        served_log: Some(log.clone()),
        ..Default::default()
    };
    let engine = FakeEngine::start(options).await;
    let chats = url(&engine, "/v1/chat/completions");
    for (id, behaviour) in [("a", "normal"), ("b", "cut:1"), ("c", "status:500")] {
        let headers = [("x-madang-request-id", id)];
        let answer = http_send(http::Method::POST, &chats, &headers, told(behaviour, true))
            .await
            .unwrap();
        answer.collect().await.ok();
    }
    assert!(eventually(|| engine.served_id("c").is_some()).await);
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let brief: Vec<_> = lines
        .iter()
        .map(|l| (l["request_id"].as_str().unwrap(), l["complete"] == true))
        .collect();
    assert_eq!(brief, [("a", true), ("b", false)]);
    assert_eq!(lines[0]["output_tokens"], 3);
}

#[tokio::test]
async fn a_unix_socket_serves_and_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let listen = Listen::Unix(folder.path().join("e.sock"));
    for _ in 0..2 {
        let engine = FakeEngine::start(FakeEngineOptions {
            listen: listen.clone(),
            ..Default::default()
        })
        .await;
        let answer =
            http_post_json(&url(&engine, "/v1/chat/completions"), None, chat(json!({}))).await;
        assert_eq!(answer.unwrap().status, 200);
        engine.stop().await;
    }
}

#[tokio::test]
async fn a_stopped_engine_comes_back_on_its_port() {
    let first = engine().await;
    let port = first.address().rsplit(':').next().unwrap().parse().unwrap();
    let held = http_stream(
        &url(&first, "/v1/chat/completions"),
        None,
        told("endless", true),
    )
    .await
    .unwrap();
    first.stop().await;
    assert!(held.collect().await.is_err());
    let again = FakeEngine::start(FakeEngineOptions {
        listen: Listen::Port(port),
        ..Default::default()
    })
    .await;
    assert_eq!(
        http_get(&url(&again, "/health"), None)
            .await
            .unwrap()
            .status,
        200
    );
}

#[tokio::test]
async fn the_raw_client_sends_what_it_is_given() {
    let engine = engine().await;
    let mut slow = RawClient::connect(engine.url()).await.unwrap();
    let head = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
    assert_eq!(slow.send_slowly(head, 5, Duration::ZERO).await, head.len());
    let read = slow.read_until(b"\r\n\r\n", WAIT).await;
    assert_eq!((read.status(), read.end), (Some(200), RawEnd::Open));

    // chunked body, two requests in one connection
    let body = chat(json!({}));
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    slow.send(request.repeat(2).as_bytes()).await.unwrap();
    slow.close_sending().await.unwrap();
    let read = slow.read_to_close(WAIT).await;
    assert_eq!(read.end, RawEnd::Closed);
    assert_eq!(engine.requests_to("/v1/chat/completions")[0].body, body);

    let mut nonsense = RawClient::connect(engine.url()).await.unwrap();
    nonsense.send(b"nonsense\r\n\r\n").await.unwrap();
    assert_ne!(nonsense.read_to_close(WAIT).await.end, RawEnd::Open);

    let mut endless = RawClient::connect(engine.url()).await.unwrap();
    endless.send(b"GET / HTTP/1.1\r\n").await.unwrap();
    assert!(
        endless
            .send_endlessly(b"x-header: 0123456789\r\n", 100_000_000)
            .await
            < 100_000_000
    );
}
