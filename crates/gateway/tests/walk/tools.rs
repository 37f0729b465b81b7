//! Tool calls that a small model prints as text, made into tool calls on the way.

use crate::harness::{CHAT, Plan, World, chat, events, streamed};
use madang_testkit::{Behaviour, SseEvent};
use madang_types::Outcome;
use serde_json::{Value, json};

const CALL: &str = r#"{"name": "weather", "arguments": {"city": "서울", "days": 2}}"#;

async fn world() -> World {
    World::start(Plan {
        model: "tools = \"repair\"".into(),
        replica: "responses = \"mapped\"".into(),
        ..Plan::default()
    })
    .await
}

fn offer(more: Value) -> Value {
    let mut fields = json!({"tools": [{"type": "function", "function": {
        "name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    }}]});
    fields
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    fields
}

/// The engine answers with this text from now on.
fn say(world: &World, text: &str) {
    let body = json!({
        "id": "x", "object": "chat.completion", "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
    });
    let body = body.to_string();
    world.engines[0].set_behaviour(Behaviour::Status { code: 200, body });
}

/// The engine streams this text from now on, in pieces of so many characters.
fn stream(world: &World, text: &str, piece: usize) {
    let event = |json: Value| format!("data: {json}\n\n");
    let chunk = |delta: Value, reason: Value| {
        event(json!({"id": "x", "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}))
    };
    let text: Vec<char> = text.chars().collect();
    let mut pieces = vec![chunk(
        json!({"role": "assistant", "content": ""}),
        Value::Null,
    )];
    for part in text.chunks(piece) {
        let part: String = part.iter().collect();
        pieces.push(chunk(json!({"content": part}), Value::Null));
    }
    pieces.push(chunk(json!({}), json!("stop")));
    pieces.push(event(json!({"id": "x", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}})));
    pieces.push("data: [DONE]\n\n".into());
    world.engines[0].set_behaviour(Behaviour::Script { pieces });
}

#[tokio::test]
async fn a_printed_call_becomes_a_call() {
    let world = world().await;
    for choice in [
        json!("auto"),
        json!("required"),
        json!({"type": "function", "function": {"name": "weather"}}),
    ] {
        say(&world, CALL);
        let body = offer(json!({"tool_choice": choice}));
        let json = world.chat(body).await.json().unwrap();
        let message = &json["choices"][0]["message"];
        let call = &message["tool_calls"][0];
        assert_eq!(json["choices"][0]["finish_reason"], "tool_calls", "{json}");
        assert_eq!(
            (&message["content"], &call["type"]),
            (&Value::Null, &json!("function"))
        );
        assert_eq!(call["function"]["name"], "weather");
        let arguments: Value =
            serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
        assert_eq!(arguments, json!({"city": "서울", "days": 2}));
        assert!(call["id"].as_str().unwrap().starts_with("call_"));
        let asked: Value =
            serde_json::from_slice(&world.engines[0].requests().pop().unwrap().body).unwrap();
        assert_eq!(
            asked["response_format"].is_null(),
            choice == "auto",
            "{asked}"
        );
    }
    for record in world.records(3).await {
        assert_eq!(
            (record.outcome, record.tokens.output.0),
            (Outcome::Finished, 4)
        );
    }
}

#[tokio::test]
async fn another_text_comes_back_byte_for_byte() {
    let world = world().await;
    for text in [
        "서울입니다.",
        "{\"name\": \"other\", \"arguments\": {}}",
        "",
    ] {
        say(&world, text);
        let answer = world.chat(offer(json!({}))).await;
        assert_eq!(answer.body, world.engines[0].last_answer_bytes(), "{text}");
    }
    world.behave("normal");
    let answer = world.chat(json!({})).await;
    assert_eq!(answer.body, world.engines[0].last_answer_bytes());
}

fn deltas(events: &[SseEvent]) -> Vec<Value> {
    assert!(events.last().unwrap().is_done());
    let json = |event: &SseEvent| event.json().unwrap();
    events[..events.len() - 1].iter().map(json).collect()
}

async fn ask(world: &World, more: Value) -> Vec<SseEvent> {
    events(world.send(CHAT, &[], &streamed(offer(more))).await).await
}

#[tokio::test]
async fn a_streamed_call_becomes_a_call_and_a_text_passes() {
    let world = world().await;
    for piece in [1, 7, 1000] {
        stream(&world, CALL, piece);
        let chunks = deltas(&ask(&world, json!({})).await);
        let calls: Vec<&Value> = chunks
            .iter()
            .map(|c| &c["choices"][0]["delta"]["tool_calls"][0])
            .filter(|c| !c.is_null())
            .collect();
        assert_eq!(calls[0]["function"]["name"], "weather", "{chunks:?}");
        let arguments: String = calls
            .iter()
            .filter_map(|c| c["function"]["arguments"].as_str())
            .collect();
        let arguments: Value = serde_json::from_str(&arguments).unwrap();
        assert_eq!(arguments, json!({"city": "서울", "days": 2}));
        assert_eq!(
            chunks.last().unwrap()["choices"][0]["finish_reason"],
            "tool_calls"
        );
        assert!(
            chunks.iter().all(|c| c["usage"].is_null()),
            "nobody asked for usage"
        );

        stream(&world, "서울은 {\"수도\"}", piece);
        let chunks = deltas(&ask(&world, json!({})).await);
        let text: String = chunks
            .iter()
            .filter_map(|c| c["choices"][0]["delta"]["content"].as_str())
            .collect();
        assert_eq!(text, "서울은 {\"수도\"}");
    }
    let wished = json!({"stream_options": {"include_usage": true}});
    let chunks = deltas(&ask(&world, wished).await);
    assert_eq!(chunks.last().unwrap()["usage"]["completion_tokens"], 4);
    for record in world.records(7).await {
        assert_eq!(
            (record.outcome, record.tokens.output.0),
            (Outcome::Finished, 4)
        );
        assert!(!record.tokens.estimated);
    }
}

#[tokio::test]
async fn what_is_held_back_is_not_lost_where_the_stream_breaks() {
    let world = world().await;
    let start = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"{\\\"name\\\": \\\"wea\"}}]}\n\n";
    world.script(&[start]);
    let events = ask(&world, json!({})).await;
    let last = events.last().unwrap().json().unwrap();
    assert_eq!(crate::harness::code(&last), "engine_cut");
    let record = world.record().await;
    assert_eq!(record.outcome, Outcome::EngineCut);
    assert!(record.tokens.estimated && record.tokens.output.0 > 0);
}

#[tokio::test]
async fn a_mapped_response_gets_its_call_too() {
    let world = world().await;
    let body = |stream: bool| {
        json!({"model": "m", "input": "날씨?", "stream": stream, "tools": [{"type": "function", "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}]})
        .to_string()
    };
    say(&world, CALL);
    let json = world
        .post("/v1/responses", &body(false))
        .await
        .json()
        .unwrap();
    assert_eq!(json["output"][0]["type"], "function_call", "{json}");
    assert_eq!(json["output"][0]["name"], "weather");
    stream(&world, CALL, 5);
    let sent = world.send("/v1/responses", &[], &body(true)).await;
    let events = events(sent).await;
    let names: Vec<&str> = events.iter().map(|e| e.event.as_deref().unwrap()).collect();
    assert!(
        names.contains(&"response.function_call_arguments.done"),
        "{names:?}"
    );
    assert_eq!(names.last(), Some(&"response.completed"));
}

#[tokio::test]
async fn a_model_with_tools_of_its_own_is_left_alone() {
    let world = World::start(Plan {
        model: "prefix_cache = \"shared\"".into(),
        ..Plan::default()
    })
    .await;
    let body = chat(offer(json!({"tool_choice": "required"})));
    let answer = world.post(CHAT, &body).await;
    assert_eq!(world.engines[0].requests()[0].body, body);
    assert_eq!(answer.body, world.engines[0].last_answer_bytes());
    assert!(answer.text().contains("tool_calls"));
}
