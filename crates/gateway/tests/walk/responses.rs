//! `/v1/responses`: mapped to chat where the engine lacks it, passed on where it has it.

use crate::harness::{Plan, World, code, events};
use madang_testkit::{FakeEngineOptions, SseEvent};
use madang_types::{ErrorCode, Outcome, Tokens};
use serde_json::{Value, json};

const DOOR: &str = "/v1/responses";

async fn mapped() -> World {
    World::start(Plan {
        engine: FakeEngineOptions {
            responses: false,
            ..FakeEngineOptions::default()
        },
        replica: "responses = \"mapped\"".into(),
        ..Plan::default()
    })
    .await
}

fn body(more: Value) -> String {
    let mut body = json!({"model": "m", "input": "안녕", "max_output_tokens": 3});
    let more = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    body.to_string()
}

async fn stream(world: &World) -> Vec<SseEvent> {
    let body = body(json!({"stream": true}));
    events(world.send(DOOR, &[], &body).await).await
}

/// The types of the events, which are also their names.
fn names(events: &[SseEvent]) -> Vec<String> {
    let name = |event: &SseEvent| {
        let json = event.json().unwrap();
        assert_eq!(event.event.as_deref(), json["type"].as_str());
        event.event.clone().unwrap()
    };
    events.iter().map(name).collect()
}

#[tokio::test]
async fn a_plain_answer_is_mapped() {
    let world = mapped().await;
    let instructions = json!({"instructions": "be brief", "metadata": {"a": "b"}});
    let answer = world.post(DOOR, &body(instructions)).await;
    let json = answer.json().unwrap();
    assert_eq!(
        (answer.status, &json["object"]),
        (200, &json!("response")),
        "{json}"
    );
    assert_eq!(json["status"], "incomplete");
    assert_eq!(json["model"], "m");
    assert_eq!(json["metadata"], json!({"a": "b"}));
    assert_eq!(json["output"][0]["content"][0]["text"], "서울은 대한민국의");
    let record = world.record().await;
    let id = record.id.to_string();
    assert_eq!(
        json["id"],
        format!("resp_{}", id.trim_start_matches("req_"))
    );
    assert_eq!(json["usage"]["output_tokens"], 3);
    assert_eq!(record.tokens.output, Tokens(3));
    assert_eq!(record.bytes_out, answer.body.len() as u64);
    let asked = world.engines[0].requests().remove(0);
    assert_eq!(asked.path, "/v1/chat/completions");
    let asked: Value = serde_json::from_slice(&asked.body).unwrap();
    assert_eq!(
        asked["messages"][0],
        json!({"role": "system", "content": "be brief"})
    );
    assert_eq!(
        asked["max_tokens"]
            .as_u64()
            .or(asked["max_completion_tokens"].as_u64()),
        Some(3)
    );
}

#[tokio::test]
async fn a_streamed_answer_is_mapped_in_order() {
    let world = mapped().await;
    for behaviour in ["normal", "odd-frames", "split:5", "no-usage"] {
        world.behave(behaviour);
        let events = stream(&world).await;
        let expected = [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.incomplete",
        ];
        assert_eq!(names(&events), expected, "{behaviour}");
        for (number, event) in events.iter().enumerate() {
            assert_eq!(event.json().unwrap()["sequence_number"], number);
        }
        let last = events.last().unwrap().json().unwrap();
        let usage = &last["response"]["usage"];
        assert_eq!(usage.is_null(), behaviour == "no-usage", "{usage}");
    }
    for record in world.records(4).await {
        assert_eq!(record.outcome, Outcome::Finished);
        assert!(record.tokens.output.0 == 3 && record.streamed);
    }
}

#[tokio::test]
async fn a_mapped_stream_begins_before_the_engines_first_token() {
    let world = mapped().await;
    world.script(&[": is working\n\n"]);
    world.behave("stall-after:1");
    let body = body(json!({"stream": true}));
    let mut stream = world.send(DOOR, &[], &body).await.sse();
    for expected in ["response.created", "response.in_progress"] {
        let event = stream.next_event().await.unwrap().unwrap();
        assert_eq!(event.event.as_deref(), Some(expected));
    }
    drop(stream);
    world.assert_idle("a mapped stream that was left").await;
}

/// What the official SDKs raise on: an event `error` with an object `error` beside its facts.
fn assert_error(events: &[SseEvent], expected: &str, what: &str) {
    let last = events.last().unwrap();
    let json = last.json().unwrap();
    assert_eq!(last.event.as_deref(), Some("error"), "{what}: {json}");
    assert_eq!(
        (code(&json), &json["code"]),
        (expected, &json!(expected)),
        "{what}"
    );
    assert!(json["error"]["message"].is_string() && json["message"].is_string());
    let names = names(&events[..events.len() - 1]);
    let ended = |name: &String| {
        ["completed", "incomplete", "failed"]
            .iter()
            .any(|end| name == &format!("response.{end}"))
    };
    assert!(!names.iter().any(ended), "{what}: {names:?}");
    assert_eq!(names[0], "response.created", "{what}");
}

#[tokio::test]
async fn a_broken_mapped_stream_ends_in_the_callers_protocol() {
    let role = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"서울\"}}]}\n\n";
    for (behaviour, expected) in [
        ("cut:3", ErrorCode::EngineCut),
        ("cut-clean:3", ErrorCode::EngineCut),
        ("error-event:3", ErrorCode::EngineCut),
        ("error-event:0", ErrorCode::EngineCut),
        ("wrong-json", ErrorCode::EngineAnswerInvalid),
        ("huge-event:9000000", ErrorCode::EngineAnswerInvalid),
    ] {
        let world = mapped().await;
        world.behave(behaviour);
        assert_error(&stream(&world).await, expected.as_str(), behaviour);
        let record = world.record().await;
        assert_eq!(
            (record.outcome, record.error),
            (Outcome::EngineCut, Some(expected))
        );
        world.assert_idle(behaviour).await;
    }
    // An end without a reason, and an object within that is none.
    for pieces in [
        [role, "data: [DONE]\n\n"],
        [role, "data: {\"choices\":[{]}\n\n"],
    ] {
        let world = mapped().await;
        world.script(&pieces);
        let expected = ErrorCode::EngineAnswerInvalid;
        assert_error(&stream(&world).await, expected.as_str(), pieces[1]);
        let record = world.record().await;
        assert_eq!(
            (record.outcome, record.error),
            (Outcome::EngineCut, Some(expected))
        );
    }
}

#[tokio::test]
async fn what_the_mapping_cannot_carry_is_refused_with_its_name() {
    let world = mapped().await;
    for (more, field) in [
        (
            json!({"input": [{"type": "item_reference", "id": "x"}]}),
            "input",
        ),
        (json!({"tools": [{"type": "web_search"}]}), "tools"),
    ] {
        let answer = world.post(DOOR, &body(more.clone())).await;
        let json = answer.json().unwrap();
        assert_eq!(answer.status, 400, "{more}: {json}");
        let param = json["error"]["param"].as_str().unwrap();
        assert!(param.starts_with(field), "{param}");
    }
    assert!(world.engines[0].requests().is_empty());
    world.assert_idle("a mapping that was refused").await;
}

#[tokio::test]
async fn an_engine_that_has_it_is_left_to_it() {
    let world = World::start(Plan {
        replica: "responses = \"native\"".into(),
        ..Plan::default()
    })
    .await;
    let mut plain = world.send(DOOR, &[], &body(json!({}))).await;
    let first = plain.next_chunk().await.unwrap().unwrap();
    assert_eq!(first, world.engines[0].last_answer_bytes());
    let mut stream = world
        .send(DOOR, &[], &body(json!({"stream": true})))
        .await
        .sse();
    let (events, error) = stream.to_end().await;
    assert!(error.is_none());
    assert_eq!(stream.bytes, world.engines[0].last_answer_bytes());
    assert_eq!(names(&events).last().unwrap(), "response.completed");
    for record in world.records(2).await {
        assert_eq!(
            (record.outcome, record.tokens.output),
            (Outcome::Finished, Tokens(3))
        );
        assert!(!record.tokens.estimated);
    }
    world.behave("cut:5");
    let body = body(json!({"stream": true}));
    let broken = events_of(&world, &body).await;
    assert_error(&broken, "engine_cut", "native");
}

async fn events_of(world: &World, body: &str) -> Vec<SseEvent> {
    events(world.send(DOOR, &[], body).await).await
}
