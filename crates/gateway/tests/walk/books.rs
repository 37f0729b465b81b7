//! One record for each request, with what it used and how it ended, in durable hands before the last byte leaves.

use crate::harness::{CHAT, Gate, Plan, World, chat, code, events, header, streamed};
use madang_store::Store;
use madang_testkit::{Behaviour, FakeEngine, eventually};
use madang_types::{
    DataClass, Endpoint, ErrorCode, Outcome, Priority, RequestId, TokenUse, Tokens, UsageRecord,
};
use serde_json::{Value, json};
use std::time::Duration;

/// Long enough for what must not happen to happen, where it would.
const A_WHILE: Duration = Duration::from_millis(50);

const EMBEDDER: &str = "[[model]]\nid = \"e\"\nkind = \"embedding\"\ncontext_tokens = 512\n[[replica]]\nid = \"re\"\nsite = \"home\"\nmodel = \"e\"\nupstream_model = \"m\"\nurl = \"{URL}\"\nengine = \"vllm\"\nslots = 2\n";

fn with_embedder() -> Plan {
    Plan {
        more: EMBEDDER.into(),
        ..Plan::default()
    }
}

async fn check_record(path: &str, body: Value, endpoint: Endpoint) {
    let world = World::start(with_embedder()).await;
    let body = body.to_string();
    let claims = [
        ("x-madang-data-class", "sensitive"),
        ("x-madang-priority", "batch"),
    ];
    let mut stream = world.send(path, &claims, &body).await;
    let headers = std::mem::take(&mut stream.headers);
    let answer = stream.collect().await.unwrap();
    assert_eq!(answer.status, 200, "{body}: {}", answer.text());
    let engines = [&world.engines[0], &world.spare];
    let served = engines.map(FakeEngine::served).concat().remove(0);
    let record = world.record().await;
    let UsageRecord {
        first_token_us,
        per_token_us,
        total_us,
        queued_us,
        ..
    } = record;
    let is_stream = served.stream;
    let expected = UsageRecord {
        id: header(&headers, "x-madang-request-id").parse().unwrap(),
        endpoint,
        model: Some(header(&headers, "x-madang-model").parse().unwrap()),
        site: Some("home".parse().unwrap()),
        replica: Some(header(&headers, "x-madang-replica").parse().unwrap()),
        outcome: Outcome::Finished,
        status: 200,
        error: None,
        streamed: is_stream,
        attempts: 1,
        data_class: DataClass::Sensitive,
        priority: Priority::Batch,
        tokens: TokenUse {
            uncached: Tokens(served.prompt_tokens - served.cached_tokens),
            cached: Tokens(served.cached_tokens),
            output: Tokens(served.output_tokens),
            estimated: false,
        },
        bytes_in: body.len() as u64,
        bytes_out: answer.body.len() as u64,
        cost: None,
        energy: None,
        decision: Some(header(&headers, "x-madang-decision")),
        ..record.clone()
    };
    assert_eq!(record, expected, "{body}");
    assert_eq!(served.request_id, Some(record.id.to_string()));
    assert_eq!(header(&headers, "x-madang-jurisdiction"), "KR");
    assert_eq!(record.tenant.as_str(), "demo");
    assert!(first_token_us.unwrap() <= total_us && queued_us <= total_us);
    assert_eq!(per_token_us.is_some(), is_stream, "{body}");
    world.assert_idle(path).await;
}

#[tokio::test]
async fn a_record_says_what_was_served() {
    let prompt = json!({"model": "m", "prompt": "once", "max_tokens": 3});
    let response = json!({"model": "m", "input": "hi", "max_output_tokens": 3});
    let with = |mut body: Value, more: Value| {
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    let talk: Value = serde_json::from_str(&chat(json!({}))).unwrap();
    let stream = json!({"stream": true});
    let counted = json!({"stream": true, "stream_options": {"include_usage": true}});
    check_record(CHAT, talk.clone(), Endpoint::Chat).await;
    check_record(CHAT, with(talk.clone(), json!({"n": 3})), Endpoint::Chat).await;
    check_record(CHAT, with(talk.clone(), stream.clone()), Endpoint::Chat).await;
    check_record(CHAT, with(talk, counted), Endpoint::Chat).await;
    let door = "/v1/completions";
    check_record(door, prompt.clone(), Endpoint::Completions).await;
    check_record(door, with(prompt, stream), Endpoint::Completions).await;
    check_record("/v1/responses", response, Endpoint::Responses).await;
    let text = json!({"model": "e", "input": ["하나", "two"]});
    check_record("/v1/embeddings", text, Endpoint::Embeddings).await;
}

#[tokio::test]
async fn a_count_that_is_not_the_engines_is_marked() {
    for behaviour in ["no-usage", "absurd-usage"] {
        for stream in [false, true] {
            let world = World::of(1).await;
            world.behave(behaviour);
            let answer = world.chat(json!({"stream": stream, "max_tokens": 8})).await;
            assert_eq!(answer.status, 200);
            let record = world.record().await;
            let what = format!("{behaviour}, stream {stream}: {:?}", record.tokens);
            assert!(record.tokens.estimated, "{what}");
            assert!((4..=8).contains(&record.tokens.output.0), "{what}");
            assert!((1..=40).contains(&record.tokens.uncached.0), "{what}");
            assert_eq!(record.outcome, Outcome::Finished, "{what}");
        }
    }
}

#[tokio::test]
async fn a_client_that_left_is_booked_with_what_it_was_sent() {
    let world = World::of(1).await;
    world.behave("endless");
    let mut stream = world.send(CHAT, &[], &streamed(json!({}))).await.sse();
    for _ in 0..4 {
        stream.next_event().await.unwrap().unwrap();
    }
    drop(stream);
    let record = world.record().await;
    assert_eq!(
        (record.outcome, record.status, record.error),
        (Outcome::ClientGone, 499, None)
    );
    assert!(record.tokens.estimated && record.tokens.output.0 >= 3);
    assert!(record.bytes_out > 0 && record.streamed && record.attempts == 1);
    world.assert_idle("a stream that was left").await;
}

#[tokio::test]
async fn a_client_that_left_the_queue_is_booked_too() {
    let world = World::start(Plan {
        slots: 1,
        ..Plan::default()
    })
    .await;
    world.behave("stall-after:2");
    let mut held = world.send(CHAT, &[], &streamed(json!({}))).await.sse();
    held.next_event().await.unwrap().unwrap();
    let body = chat(json!({}));
    tokio::select! {
        _ = world.send(CHAT, &[], &body) => unreachable!("it waits"),
        waits = eventually(|| world.gateway.status()[0].waiting == 1) => assert!(waits),
    }
    let record = world.record().await;
    assert_eq!(record.outcome, Outcome::ClientGone);
    assert_eq!((record.attempts, record.replica), (0, None));
    assert_eq!(world.gateway.requests_count(), 1);
    drop(held);
    world.records(2).await;
    world.assert_idle("a queue that was left").await;
}

#[tokio::test]
async fn what_is_refused_is_booked_once() {
    let world = World::of(1).await;
    let check = async |body: &str, expected: ErrorCode, model: Option<&str>| {
        let answer = world.post(CHAT, body).await;
        let id: RequestId = header(&answer.headers, "x-madang-request-id")
            .parse()
            .unwrap();
        let record = world.store.usage_get(id).await.unwrap().unwrap();
        assert_eq!(
            (record.outcome, record.error),
            (Outcome::Refused, Some(expected))
        );
        assert_eq!(
            (answer.status, record.status),
            (expected.status(), expected.status())
        );
        assert_eq!(record.model, model.map(|m| m.parse().unwrap()));
        assert_eq!((record.attempts, record.tokens), (0, TokenUse::default()));
        assert_eq!(record.bytes_in, body.len() as u64);
    };
    check("{", ErrorCode::BodyNotJson, None).await;
    check(r#"{"model":"n"}"#, ErrorCode::ModelNotFound, None).await;
    check(r#"{"model":"m"}"#, ErrorCode::FieldMissing, Some("m")).await;
    world.records(3).await;
}

#[tokio::test]
async fn the_record_stands_before_the_last_byte_leaves() {
    let world = World::of(1).await;
    world.store.set(Gate::Held);
    let mut stream = world.send(CHAT, &[], &streamed(json!({}))).await.sse();
    // The role, four tokens and the end of the choice do not wait for the books.
    for _ in 0..6 {
        assert!(!stream.next_event().await.unwrap().unwrap().is_done());
    }
    world.store.until_waiting(1).await;
    let early = tokio::time::timeout(A_WHILE, stream.next_event()).await;
    assert!(early.is_err(), "the last event came before the record");
    world.store.set(Gate::Open);
    assert!(stream.next_event().await.unwrap().unwrap().is_done());
    let id = header(stream.headers(), "x-madang-request-id");
    let record = world.store.usage_get(id.parse().unwrap()).await.unwrap();
    assert_eq!(record.unwrap().outcome, Outcome::Finished);

    world.store.set(Gate::Held);
    let mut plain = Box::pin(world.chat(json!({})));
    tokio::select! {
        _ = &mut plain => unreachable!("the answer came before the record"),
        () = world.store.until_waiting(2) => {}
    }
    assert!(tokio::time::timeout(A_WHILE, &mut plain).await.is_err());
    world.store.set(Gate::Open);
    let answer = plain.await;
    let id = header(&answer.headers, "x-madang-request-id");
    let record = world.store.usage_get(id.parse().unwrap()).await.unwrap();
    assert_eq!(record.unwrap().outcome, Outcome::Finished);
    world.records(2).await;
}

#[tokio::test]
async fn a_client_that_leaves_while_its_record_is_written_leaves_one_record() {
    for stream in [false, true] {
        let world = World::of(1).await;
        world.store.set(Gate::Held);
        let body = chat(json!({"stream": stream}));
        tokio::select! {
            () = async {
                world.send(CHAT, &[], &body).await.collect().await.unwrap();
            } => unreachable!("the answer ended before its record"),
            () = world.store.until_waiting(1) => {}
        }
        // The client is gone; the edge has to notice before the store opens.
        world.store.until_waiting(2).await;
        world.store.set(Gate::Open);
        let record = world.record().await;
        assert_eq!(record.outcome, Outcome::Finished, "stream {stream}");
        let text = world.close().await;
        assert!(text.is_empty());
    }
}

#[tokio::test]
async fn what_cannot_be_booked_is_not_given() {
    let world = World::of(1).await;
    world.store.set(Gate::Broken);
    let events = events(world.send(CHAT, &[], &streamed(json!({}))).await).await;
    let last = events.last().unwrap();
    assert_eq!(code(&last.json().unwrap()), "store_unavailable");
    assert!(events.iter().all(|event| !event.is_done()));
    let asked = world.engines[0].requests().len();

    // For a moment nothing new is served.
    let answer = world.chat(json!({})).await;
    assert_eq!(
        (answer.status, code(&answer.json().unwrap())),
        (503, "store_unavailable")
    );
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(world.engines[0].requests().len(), asked);
    let ready = madang_testkit::http_get(&format!("{}/readyz", world.url), None).await;
    assert_eq!(ready.unwrap().status, 503);

    assert!(eventually(|| !world.gateway.books.resting()).await);
    let answer = world.chat(json!({})).await;
    assert_eq!(
        (answer.status, code(&answer.json().unwrap())),
        (503, "store_unavailable")
    );
    assert!(!answer.text().contains("choices"));
    assert_eq!(world.engines[0].requests().len(), asked + 1);

    world.store.set(Gate::Open);
    assert!(eventually(|| !world.gateway.books.resting()).await);
    assert_eq!(world.chat(json!({})).await.status, 200);
    world.records(1).await;
    world.assert_idle("books that failed").await;
}

/// Nobody pays for more than was asked for, whatever an engine counts.
#[tokio::test]
async fn an_engine_that_counts_more_than_was_asked_for_is_not_believed() {
    for (told, expected) in [(9, (9, false)), (10, (9, true)), (1_000_000, (9, true))] {
        let world = World::of(1).await;
        let body = json!({
            "id": "x", "object": "chat.completion", "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": told, "total_tokens": 9 + told},
        });
        let body = body.to_string();
        world.engines[0].set_behaviour(Behaviour::Status { code: 200, body });
        assert_eq!(world.chat(json!({"max_tokens": 9})).await.status, 200);
        let tokens = world.record().await.tokens;
        assert_eq!((tokens.output.0, tokens.estimated), expected, "{told}");
    }
}
