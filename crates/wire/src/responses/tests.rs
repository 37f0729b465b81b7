//! The Responses mapping: requests, refusals, answers and streams as data, and what must hold for every input.

use super::{Echo, Ids, ResponsesStream, StreamEnd, to_chat, to_response};
use proptest::prelude::*;
use serde_json::{Value, json};

fn ids() -> Ids {
    Ids {
        response_id: "resp_1".to_owned(),
        created_at_s: 1_700_000_000,
    }
}

fn echo_of(request: &Value) -> Echo {
    to_chat(request.to_string().as_bytes()).unwrap().echo
}

fn cases(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

/// The events of a stream as (name, data); checks the framing and the sequence numbers.
fn parsed(events: &[Vec<u8>]) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for (number, event) in events.iter().enumerate() {
        let text = std::str::from_utf8(event).unwrap();
        let (name, data) = text.strip_suffix("\n\n").unwrap().split_once('\n').unwrap();
        let name = name.strip_prefix("event: ").unwrap().to_owned();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(
            (&data["type"], &data["sequence_number"]),
            (&json!(name), &json!(number))
        );
        all.push((name, data));
    }
    all
}

fn run(chunks: &[Vec<u8>], echo: &Echo, end: StreamEnd<'_>) -> Vec<(String, Value)> {
    let mut stream = ResponsesStream::new(ids(), echo.clone());
    let mut out = Vec::new();
    for chunk in chunks {
        stream.push(chunk, &mut out);
    }
    stream.finish(end, &mut out);
    parsed(&out)
}

fn bytes(chunks: &Value) -> Vec<Vec<u8>> {
    chunks
        .as_array()
        .unwrap()
        .iter()
        .map(|chunk| chunk.to_string().into_bytes())
        .collect()
}

#[test]
fn requests_as_data() {
    for case in cases(include_str!("testdata/requests.json")) {
        let mapped = to_chat(case["request"].to_string().as_bytes()).unwrap();
        let chat: Value = serde_json::from_slice(&mapped.body).unwrap();
        assert_eq!(chat, case["chat"], "{}", case["name"]);
        assert_eq!(mapped.stream, case["request"]["stream"] == true);
    }
}

#[test]
fn refusals_name_the_field() {
    for case in cases(include_str!("testdata/refusals.json")) {
        let mut request = json!({"model": "m", "input": "hi"});
        for (key, value) in case["request"].as_object().unwrap() {
            request[key] = value.clone();
        }
        let error = to_chat(request.to_string().as_bytes()).unwrap_err();
        let expected = (
            case["field"].as_str().unwrap(),
            case["code"].as_str().unwrap(),
        );
        assert_eq!((error.field.as_str(), error.code.as_str()), expected);
    }
    for (body, field) in [
        ("[]", "body"),
        ("{\"input\":\"x\"}", "model"),
        ("{\"model\":\"m\"}", "input"),
        ("{", "body"),
    ] {
        assert_eq!(to_chat(body.as_bytes()).unwrap_err().field, field);
    }
}

#[test]
fn unknown_fields_keep_their_bytes() {
    let body = br#"{"seed":18446744073709551615,"input":"x","top_k":1.50,"model":"m","x":{"b":1,"a":[ 2]}}"#;
    let mapped = to_chat(body).unwrap();
    let expected = concat!(
        r#"{"model":"m","messages":[{"role":"user","content":"x"}],"#,
        r#""seed":18446744073709551615,"top_k":1.50,"x":{"b":1,"a":[ 2]}}"#
    );
    assert_eq!(std::str::from_utf8(&mapped.body).unwrap(), expected);
}

#[test]
fn answers_and_streams_as_data() {
    for case in cases(include_str!("testdata/answers.json")) {
        let echo = echo_of(&case["request"]);
        let response = to_response(case["answer"].to_string().as_bytes(), &ids(), &echo).unwrap();
        let response: Value = serde_json::from_slice(&response).unwrap();
        let name = &case["name"];
        for (key, value) in case["response"].as_object().unwrap() {
            assert_eq!(&response[key], value, "{name}: {key}");
        }
        assert_eq!(response["store"], false);
        let events = run(&bytes(&case["chunks"]), &echo, StreamEnd::Completed);
        let names: Vec<Value> = events
            .iter()
            .map(|(name, _)| json!(name.trim_start_matches("response.")))
            .collect();
        assert_eq!(&Value::Array(names), &case["events"], "{name}");
        assert_eq!(
            events.last().unwrap().1["response"],
            response,
            "{name}: the stream ends with the same response"
        );
    }
}

#[test]
fn the_response_repeats_the_request() {
    let request = json!({
        "model": "asked-for", "input": "x", "instructions": "Be brief.", "temperature": 0.25, "top_p": 0.5,
        "max_output_tokens": 64, "metadata": {"k": "v"}, "user": "u", "parallel_tool_calls": false,
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": true}],
        "tool_choice": {"type": "function", "name": "f"}, "reasoning": {"effort": "low"}, "store": true,
        "text": {"format": {"type": "json_object"}, "verbosity": "low"}, "top_logprobs": 2,
    });
    let answer = json!({"model": "engine-name", "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]});
    let response = to_response(answer.to_string().as_bytes(), &ids(), &echo_of(&request)).unwrap();
    let response: Value = serde_json::from_slice(&response).unwrap();
    for (key, value) in request.as_object().unwrap() {
        match key.as_str() {
            "input" => assert!(response.get(key).is_none()),
            "store" => assert_eq!(response[key], false),
            _ => assert_eq!(&response[key], value, "{key}"),
        }
    }
    assert_eq!(
        (&response["usage"], &response["object"]),
        (&Value::Null, &json!("response"))
    );
}

#[test]
fn failures_end_the_stream_as_failed() {
    let echo = echo_of(&json!({"model": "m", "input": "x"}));
    let text = br#"{"choices":[{"index":0,"delta":{"content":"Hel"}}]}"#.to_vec();
    let broken = StreamEnd::Failed {
        code: "upstream_broken",
        message: "the engine went away",
    };
    let check = |chunks: &[Vec<u8>], end, code: &str| {
        let events = run(chunks, &echo, end);
        let (name, data) = events.last().unwrap();
        assert_eq!(
            (name.as_str(), data["response"]["error"]["code"].as_str()),
            ("response.failed", Some(code))
        );
        assert_eq!(data["response"]["status"], "failed");
    };
    check(std::slice::from_ref(&text), broken, "upstream_broken");
    check(&[], broken, "upstream_broken");
    check(
        std::slice::from_ref(&text),
        StreamEnd::Completed,
        "server_error",
    );
    check(
        &[text.clone(), b"{".to_vec()],
        StreamEnd::Completed,
        "server_error",
    );
    check(
        &[text, br#"{"error":{"code":"oops","message":"x"}}"#.to_vec()],
        StreamEnd::Completed,
        "oops",
    );
}

fn deltas() -> impl Strategy<Value = Value> {
    prop_oneof![
        ".{0,6}".prop_map(|text| json!({"content": text})),
        ".{0,6}".prop_map(|text| json!({"reasoning_content": text})),
        ".{0,3}".prop_map(|text| json!({"refusal": text})),
        (0_u64..3, prop::option::of("[a-z]{1,3}"), prop::option::of(".{0,4}"), prop::option::of("[a-z]{0,3}")).prop_map(
            |(index, name, arguments, id)| {
                json!({"tool_calls": [{"index": index, "id": id, "function": {"name": name, "arguments": arguments}}]})
            }
        ),
        Just(json!({})),
    ]
}

/// What the SDKs check while they read: items and parts are added before they grow, indexes count up, every item ends
/// once with what its deltas made, and the last response holds the items.
fn check_order(events: &[(String, Value)]) {
    assert_eq!(
        (events[0].0.as_str(), events[1].0.as_str()),
        ("response.created", "response.in_progress")
    );
    let mut items: Vec<Value> = Vec::new();
    let mut grown: Vec<String> = Vec::new();
    let mut done: Vec<Option<Value>> = Vec::new();
    for (name, data) in &events[2..events.len() - 1] {
        let at = usize::try_from(data["output_index"].as_u64().unwrap()).unwrap();
        match name.as_str() {
            "response.output_item.added" => {
                assert_eq!(at, items.len());
                items.push(data["item"].clone());
                grown.push(String::new());
                done.push(None);
            }
            "response.output_item.done" => {
                assert!(done[at].is_none());
                assert_eq!(data["item"]["id"], items[at]["id"]);
                done[at] = Some(data["item"].clone());
            }
            _ => {
                assert_eq!(data["item_id"], items[at]["id"]);
                assert!(done[at].is_none());
                if name.ends_with(".delta") {
                    grown[at].push_str(data["delta"].as_str().unwrap());
                }
            }
        }
    }
    for (item, grown) in done.iter().zip(&grown) {
        let item = item.as_ref().unwrap();
        let text: String = match item["content"].as_array() {
            None => item["arguments"].as_str().unwrap().to_owned(),
            Some(parts) => parts
                .iter()
                .map(|part| part["text"].as_str().or(part["refusal"].as_str()).unwrap())
                .collect(),
        };
        assert_eq!(&text, grown);
    }
    let last = &events.last().unwrap().1["response"]["output"];
    assert_eq!(
        last,
        &Value::Array(done.into_iter().map(Option::unwrap).collect())
    );
}

proptest! {
    #[test]
    fn every_stream_is_in_order(deltas in prop::collection::vec(deltas(), 0..12), reason in prop::sample::select(vec!["stop", "length", "tool_calls"])) {
        let echo = echo_of(&json!({"model": "m", "input": "x"}));
        let mut chunks: Vec<Vec<u8>> = deltas
            .iter()
            .map(|delta| json!({"choices": [{"index": 0, "delta": delta}]}).to_string().into_bytes())
            .collect();
        chunks.push(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}).to_string().into_bytes());
        check_order(&run(&chunks, &echo, StreamEnd::Completed));
    }

    #[test]
    fn nothing_panics(data in prop::collection::vec(any::<u8>(), 0..200), case in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let requests = cases(include_str!("testdata/requests.json"));
        let mut body = case.get(&requests)["request"].to_string().into_bytes();
        let place = at.index(body.len());
        body[place] = byte;
        let echo = to_chat(&body).map(|mapped| mapped.echo).unwrap_or_default();
        drop(to_chat(&data));
        let answers = cases(include_str!("testdata/answers.json"));
        let mut answer = case.get(&answers)["answer"].to_string().into_bytes();
        let place = at.index(answer.len());
        answer[place] = byte;
        for text in [&answer, &data] {
            drop(to_response(text, &ids(), &echo));
        }
        let mut stream = ResponsesStream::new(ids(), echo);
        let mut out = Vec::new();
        for chunk in [&data, &answer] {
            stream.push(chunk, &mut out);
        }
        stream.finish(StreamEnd::Completed, &mut out);
        stream.finish(StreamEnd::Completed, &mut out);
    }
}
