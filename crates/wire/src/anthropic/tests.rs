//! The two mappings: requests, refusals, answers and streams as data, and what must hold for every input. The data was
//! written by hand after the pages that each case names.

use super::door::{MessagesStream, to_chat, to_message};
use super::upstream::{ChatStream, to_completion, to_messages};
use super::{AnswerError, betas_sent, error_body};
use crate::{AnswerKind, EngineUsage, ErrorFields, MapError, SseSplitter, error, usage};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

const CREATED_AT_S: u64 = 1_700_000_000;

macro_rules! cases {
    ($name:literal) => {
        serde_json::from_str::<Vec<Value>>(include_str!(concat!(
            "../../fixtures/anthropic/",
            $name
        )))
        .unwrap()
    };
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn parsed(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

#[test]
fn requests_as_data() {
    for case in cases!("upstream_requests.json") {
        let mapped = to_messages(&bytes(&case["chat"]), 4096).unwrap();
        assert_eq!(parsed(&mapped), case["messages"], "{}", case["name"]);
    }
    for case in cases!("door_requests.json") {
        let mapped = to_chat(&bytes(&case["messages"])).unwrap();
        assert_eq!(parsed(&mapped.body), case["chat"], "{}", case["name"]);
        assert_eq!(mapped.thinking, case["thinking"] == true);
    }
}

/// Each case's fields put over `base`; nulls leave a field out.
fn check_refusals(
    cases: Vec<Value>,
    base: &Value,
    map: impl Fn(&[u8]) -> Result<Vec<u8>, MapError>,
) {
    for case in cases {
        let mut request = base.clone();
        for (key, value) in case["request"].as_object().unwrap() {
            request[key] = value.clone();
        }
        let error = map(&bytes(&request)).unwrap_err();
        let found = json!([error.field, error.code.as_str()]);
        assert_eq!(found, json!([case["field"], case["code"]]), "{request}");
    }
    assert_eq!(map(b"[]").unwrap_err().field, "body");
    assert_eq!(map(b"{").unwrap_err().field, "body");
}

#[test]
fn refusals_name_the_field() {
    let base =
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]});
    check_refusals(cases!("upstream_refusals.json"), &base, |body| {
        to_messages(body, 1)
    });
    check_refusals(cases!("door_refusals.json"), &base, |body| {
        to_chat(body).map(|chat| chat.body)
    });
}

/// Joins chunks as the official SDK does.
fn joined_chunks(chunks: &[Vec<u8>]) -> Value {
    let mut message = json!({"role": null, "content": null, "refusal": null});
    let (mut reason, mut stop, mut usage) = (Value::Null, Value::Null, Value::Null);
    for chunk in chunks {
        let chunk = parsed(chunk);
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["created"], CREATED_AT_S);
        usage = chunk.get("usage").cloned().unwrap_or(usage);
        for choice in list(&chunk["choices"]) {
            if !choice["finish_reason"].is_null() {
                (reason, stop) = (
                    choice["finish_reason"].clone(),
                    choice["stop_reason"].clone(),
                );
            }
            for (key, value) in choice["delta"].as_object().unwrap() {
                join(&mut message, key, value);
            }
        }
    }
    json!({"message": message, "finish_reason": reason, "stop_reason": stop, "usage": usage})
}

fn join(message: &mut Value, key: &str, value: &Value) {
    match (key, value) {
        ("content", Value::String(text)) if text.is_empty() => {}
        ("role", _) => message["role"] = value.clone(),
        ("tool_calls", _) => {
            let part = &value[0];
            let known = message.as_object_mut().unwrap();
            let calls = known.entry(key).or_insert_with(|| json!([]));
            let at = usize::try_from(part["index"].as_u64().unwrap()).unwrap();
            if part["id"].is_string() {
                let mut call = part.clone();
                call.as_object_mut().unwrap().remove("index");
                assert_eq!(list(calls).len(), at);
                calls.as_array_mut().unwrap().push(call);
                return;
            }
            let more = part["function"]["arguments"].as_str().unwrap();
            let arguments = &mut calls[at]["function"]["arguments"];
            *arguments = json!(format!("{}{more}", arguments.as_str().unwrap()));
        }
        (_, Value::Array(items)) => {
            let known = message.as_object_mut().unwrap();
            let all = known.entry(key).or_insert_with(|| json!([]));
            all.as_array_mut().unwrap().extend(items.iter().cloned());
        }
        (_, text) => {
            let before = message[key].as_str().unwrap_or_default();
            message[key] = json!(format!("{before}{}", text.as_str().unwrap()));
        }
    }
}

fn chat_stream(events: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, &'static str> {
    let mut stream = ChatStream::new(CREATED_AT_S, true);
    let mut out = Vec::new();
    for event in events {
        stream.push(event, &mut out);
    }
    stream.finish(&mut out);
    stream.failure().map_or(Ok(out), Err)
}

#[test]
fn an_upstreams_answers_and_streams_as_data() {
    for case in cases!("upstream_answers.json") {
        let name = &case["name"];
        let completion = to_completion(&bytes(&case["message"]), CREATED_AT_S).unwrap();
        assert_eq!(parsed(&completion), case["completion"], "{name}");
        let events: Vec<Vec<u8>> = list(&case["events"]).iter().map(bytes).collect();
        let joined = joined_chunks(&chat_stream(&events).unwrap());
        let choice = &case["completion"]["choices"][0];
        for key in ["message", "finish_reason", "stop_reason"] {
            assert_eq!(joined[key], choice[key], "{name}: {key}");
        }
        assert_eq!(joined["usage"], case["completion"]["usage"], "{name}");
    }
}

#[test]
fn the_books_read_an_upstreams_counts() {
    for case in cases!("upstream_answers.json") {
        let usage = &case["completion"]["usage"];
        let number = |value: &Value| value.as_u64().unwrap();
        let expected = EngineUsage {
            prompt_tokens: number(&usage["prompt_tokens"]),
            cached_tokens: Some(number(&usage["prompt_tokens_details"]["cached_tokens"])),
            output_tokens: number(&usage["completion_tokens"]),
        };
        let whole = usage::from_answer(AnswerKind::Messages, &bytes(&case["message"]));
        assert_eq!(whole.usage, Some(expected), "{}", case["name"]);
        assert!(!whole.suspicious && !whole.error);
        assert_eq!(
            whole.finish_reason.as_deref(),
            case["message"]["stop_reason"].as_str()
        );

        let (mut counted, mut output, mut finished) = (None::<EngineUsage>, 0, 0);
        for event in list(&case["events"]) {
            let facts = usage::from_event(AnswerKind::Messages, &bytes(event));
            assert!(!facts.suspicious && !facts.error, "{event}");
            counted = facts.usage.or(facts.prompt_usage).or(counted);
            if let (Some(tokens), Some(usage)) = (facts.output_tokens, &mut counted) {
                usage.output_tokens = tokens;
            }
            output += facts.output_bytes;
            finished += u32::from(facts.finished);
        }
        let counted = counted.unwrap();
        assert_eq!(
            (counted.prompt_tokens, counted.output_tokens, finished),
            (expected.prompt_tokens, expected.output_tokens, 1)
        );
        assert!(output <= whole.output_bytes, "{}", case["name"]);
    }
    let error = usage::from_event(
        AnswerKind::Messages,
        br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
    );
    assert!(error.error);
    let absurd = br#"{"type":"message_delta","delta":{},"usage":{"output_tokens":-1}}"#;
    assert!(usage::from_event(AnswerKind::Messages, absurd).suspicious);
}

/// The message that a stream's events make, joined as the official SDK does; checks their framing and order.
fn joined_events(events: &[Vec<u8>]) -> Value {
    let mut message = Value::Null;
    let mut inputs = std::collections::BTreeMap::<usize, String>::new();
    let mut open = None;
    let mut last = String::new();
    for event in events {
        let text = std::str::from_utf8(event).unwrap();
        let (name, data) = text.strip_suffix("\n\n").unwrap().split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        last = name.strip_prefix("event: ").unwrap().to_owned();
        assert_eq!(data["type"], json!(last));
        let index = || usize::try_from(data["index"].as_u64().unwrap()).unwrap();
        match last.as_str() {
            "message_start" => message = data["message"].clone(),
            "content_block_start" => {
                assert_eq!((open, index()), (None, list(&message["content"]).len()));
                open = Some(index());
                let block = data["content_block"].clone();
                message["content"].as_array_mut().unwrap().push(block);
            }
            "content_block_delta" => {
                assert_eq!(open, Some(index()));
                let block = &mut message["content"][index()];
                for (key, part) in data["delta"].as_object().unwrap() {
                    match key.as_str() {
                        "type" => {}
                        "partial_json" => {
                            inputs
                                .entry(index())
                                .or_default()
                                .push_str(part.as_str().unwrap());
                        }
                        key => {
                            let before = block[key].as_str().unwrap();
                            block[key] = json!(format!("{before}{}", part.as_str().unwrap()));
                        }
                    }
                }
            }
            "content_block_stop" => assert_eq!(open.take(), Some(index())),
            "message_delta" => {
                assert_eq!(open, None);
                for key in ["stop_reason", "stop_sequence"] {
                    message[key] = data["delta"][key].clone();
                }
                message["usage"] = data["usage"].clone();
            }
            other => assert!(matches!(other, "ping" | "message_stop"), "{other}"),
        }
    }
    assert_eq!(last, "message_stop");
    for (index, input) in inputs {
        message["content"][index]["input"] = serde_json::from_str(&input).unwrap();
    }
    message
}

fn messages_stream(chunks: &[Vec<u8>], thinking: bool) -> Result<Vec<Vec<u8>>, &'static str> {
    let mut stream = MessagesStream::new("msg_1".to_owned(), thinking);
    let mut out = Vec::new();
    for chunk in chunks {
        stream.push(chunk, &mut out);
    }
    stream.finish(&mut out);
    stream.failure().map_or(Ok(out), Err)
}

#[test]
fn an_engines_answers_and_streams_as_data() {
    for case in cases!("door_answers.json") {
        let thinking = case["thinking"] == true;
        let message = to_message(&bytes(&case["completion"]), "msg_1", thinking).unwrap();
        assert_eq!(parsed(&message), case["message"], "{}", case["name"]);
        let chunks: Vec<Vec<u8>> = list(&case["chunks"]).iter().map(bytes).collect();
        let events = messages_stream(&chunks, thinking).unwrap();
        assert_eq!(joined_events(&events), case["message"], "{}", case["name"]);
    }
}

#[test]
fn broken_answers_are_told() {
    let call = |reason: &str| {
        json!({"choices": [{"finish_reason": reason, "message": {"tool_calls": [
            {"id": "c", "function": {"name": "f", "arguments": "{\"a\":"}}]}}]})
    };
    let of = |answer: &Value| to_message(&bytes(answer), "msg_1", false);
    assert_eq!(of(&call("tool_calls")), Err(AnswerError::Arguments));
    let cut = parsed(&of(&call("length")).unwrap());
    assert_eq!(cut["content"][0]["input"], json!({}));
    assert_eq!(cut["stop_reason"], "max_tokens");
    assert_eq!(of(&json!({"choices": []})), Err(AnswerError::NoMessage));
    assert_eq!(to_message(b"x", "msg_1", false), Err(AnswerError::NotJson));
    assert_eq!(to_completion(b"{}", 0), Err(AnswerError::NoMessage));
    assert_eq!(to_completion(b"[", 0), Err(AnswerError::NotJson));

    let start = br#"{"type":"message_start","message":{}}"#.to_vec();
    let stray =
        br#"{"type":"content_block_delta","index":3,"delta":{"type":"text_delta","text":"x"}}"#
            .to_vec();
    assert!(
        chat_stream(std::slice::from_ref(&start))
            .unwrap_err()
            .contains("ended before")
    );
    assert!(
        chat_stream(&[start, stray])
            .unwrap_err()
            .contains("before its start")
    );
    let text = br#"{"choices":[{"delta":{"content":"x"}}]}"#.to_vec();
    assert!(
        messages_stream(&[text], false)
            .unwrap_err()
            .contains("ended before")
    );
}

#[test]
fn errors_have_anthropics_shape() {
    let fields = ErrorFields {
        message: "no such model",
        kind: "invalid_request_error",
        param: Some("model"),
        code: "model_not_found",
        request_id: "req_1",
        remedy: Some("Use another."),
        doc: "docs/errors/model_not_found.md",
        retry_after_ms: None,
        reasons: &[],
    };
    let expected = json!({"type": "error", "request_id": "req_1", "error": {"type": "not_found_error",
        "message": "no such model", "code": "model_not_found", "param": "model", "remedy": "Use another.",
        "doc": "docs/errors/model_not_found.md"}});
    assert_eq!(parsed(error_body(&fields).as_bytes()), expected);
    let event = error::stream_error_event(AnswerKind::Messages, &fields);
    let data = event.strip_prefix(b"event: error\ndata: ").unwrap();
    assert_eq!(parsed(data), expected);
    for (kind, expected) in [
        ("server_error", "api_error"),
        ("rate_limit_error", "rate_limit_error"),
        ("authentication_error", "authentication_error"),
        ("permission_error", "permission_error"),
        ("BadRequestError", "invalid_request_error"),
        ("overloaded_error", "overloaded_error"),
    ] {
        let fields = ErrorFields {
            kind,
            ..ErrorFields::default()
        };
        assert_eq!(
            parsed(error_body(&fields).as_bytes())["error"]["type"],
            expected
        );
    }
}

#[test]
fn only_harmless_betas_go_out() {
    for (values, expected) in [
        (&[][..], None),
        (&["files-api-2025-04-14"], None),
        (
            &[
                "structured-outputs-2025-11-13, mcp-client-2025-04-04",
                "context-1m-2025-08-07",
            ],
            Some("context-1m-2025-08-07,structured-outputs-2025-11-13"),
        ),
        (
            &[
                "interleaved-thinking-2025-05-14,interleaved-thinking-2025-05-14",
                ", ,",
            ],
            Some("interleaved-thinking-2025-05-14"),
        ),
    ] {
        let sent = betas_sent(values.iter().map(|value| value.as_bytes()));
        assert_eq!(sent.as_deref(), expected, "{values:?}");
    }
}

/// Content blocks that both APIs can say.
fn blocks() -> impl Strategy<Value = Vec<Value>> {
    let input = proptest::collection::btree_map(".{0,6}", ".{0,12}", 0..4);
    let call = ("[a-z]{1,8}", "[a-z_]{1,8}", input).prop_map(
        |(id, name, input)| json!({"type": "tool_use", "id": id, "name": name, "input": input}),
    );
    let text = ".{1,40}".prop_map(|text| json!({"type": "text", "text": text}));
    (
        proptest::option::of(text),
        proptest::collection::vec(call, 0..4),
    )
        .prop_map(|(text, calls)| text.into_iter().chain(calls).collect())
}

proptest! {
    #[test]
    fn what_both_can_say_comes_back(blocks in blocks(), question in ".{1,40}", system in proptest::option::of(".{1,20}")) {
        let reason = if blocks.iter().any(|block| block["type"] == "tool_use") { "tool_use" } else { "end_turn" };
        let answer = json!({"id": "msg_1", "model": "m", "content": blocks, "stop_reason": reason,
            "usage": {"input_tokens": 3, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 0, "output_tokens": 4}});
        let completion = to_completion(&bytes(&answer), 0).unwrap();
        let back = parsed(&to_message(&completion, "msg_1", true).unwrap());
        for key in ["model", "content", "stop_reason", "usage"] {
            prop_assert_eq!(&back[key], &answer[key]);
        }
        let mut chat = json!({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": question}]});
        if let Some(system) = system {
            let first = json!({"role": "system", "content": system});
            chat["messages"].as_array_mut().unwrap().insert(0, first);
        }
        let messages = to_messages(&bytes(&chat), 1).unwrap();
        prop_assert_eq!(parsed(&to_chat(&messages).unwrap().body), chat);
    }

    #[test]
    fn cuts_make_no_difference(case in 0..6_usize, cuts in proptest::collection::vec(1..40_usize, 1..20)) {
        let case = &cases!("upstream_answers.json")[case];
        let text: String = list(&case["events"])
            .iter()
            .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()))
            .collect();
        let mut splitter = SseSplitter::new(1 << 20);
        let (mut rest, mut events) = (Bytes::from(text), Vec::new());
        for cut in cuts.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            splitter.push(rest.split_to(cut.min(rest.len())), &mut events).unwrap();
        }
        let datas: Vec<Vec<u8>> = events.iter().map(|event| event.data().unwrap().into_owned()).collect();
        let whole: Vec<Vec<u8>> = list(&case["events"]).iter().map(bytes).collect();
        prop_assert_eq!(chat_stream(&datas), chat_stream(&whole));
    }

    #[test]
    fn nothing_panics(text in crate::fixtures::value(), raw in proptest::collection::vec(any::<u8>(), 0..60), kind in 0..8_usize) {
        let kinds = ["message_start", "content_block_start", "content_block_delta", "content_block_stop",
            "message_delta", "message_stop", "ping", "x"];
        let shaped = format!(r#"{{"type":"{}","index":{text},"message":{text},"content_block":{text},"delta":{text},
            "content":{text},"messages":[{text},{{"role":"user","content":{text}}}],"model":{text},"max_tokens":1,
            "system":{text},"tools":[{text}],"choices":[{text},{{"delta":{text},"message":{text}}}],"usage":{text}}}"#, kinds[kind]);
        for body in [raw.as_slice(), text.as_bytes(), shaped.as_bytes()] {
            drop(to_messages(body, 1));
            drop(to_chat(body));
            drop(to_completion(body, 0));
            drop(to_message(body, "m", true));
            drop(chat_stream(&[body.to_vec(), body.to_vec()]));
            drop(messages_stream(&[body.to_vec(), body.to_vec()], true));
            drop(usage::from_answer(AnswerKind::Messages, body));
            drop(usage::from_event(AnswerKind::Messages, body));
        }
    }
}

#[test]
fn deep_nesting_is_read_without_recursion() {
    let deep = format!("{}1{}", r#"{"message":"#.repeat(20_000), "}".repeat(20_000));
    let event = usage::from_event(AnswerKind::Messages, deep.as_bytes());
    let answer = usage::from_answer(AnswerKind::Messages, deep.as_bytes());
    assert_eq!((event.usage, answer.usage), (None, None));
}
