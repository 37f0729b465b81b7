//! Tool-call repair: the texts models print, as data, and what must hold for every text and every split into chunks.

use super::{CALL_TEXT_BYTES_MAX, Repair, RepairStream, ToolMode, repair_answer, repair_request};
use proptest::prelude::*;
use serde_json::{Value, json};

fn request(tool_choice: Option<Value>) -> Vec<u8> {
    let mut request = json!({
        "model": "m",
        "messages": [{"role": "user", "content": "부산 날씨 알려줘"}],
        "tools": [
            {"type": "function", "function": {"name": "get_weather", "parameters": {
                "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}},
            {"type": "function", "function": {"name": "get_time"}},
        ],
    });
    if let Some(choice) = tool_choice {
        request["tool_choice"] = choice;
    }
    request.to_string().into_bytes()
}

fn auto() -> Repair {
    repair_request(&request(None)).unwrap()
}

fn answer(text: &str, finish_reason: &str) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": finish_reason, "logprobs": null,
                     "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
    })
}

fn chunk(index: u64, delta: &Value, finish_reason: Option<&str>) -> Vec<u8> {
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
           "choices": [{"index": index, "delta": delta, "finish_reason": finish_reason}]})
    .to_string()
    .into_bytes()
}

/// The events of an engine that sends `text` cut into `pieces`.
fn chunks(index: u64, pieces: &[String], finish_reason: &str) -> Vec<Vec<u8>> {
    let mut all = vec![chunk(
        index,
        &json!({"role": "assistant", "content": null}),
        None,
    )];
    all.extend(
        pieces
            .iter()
            .map(|piece| chunk(index, &json!({"content": piece}), None)),
    );
    all.push(chunk(index, &json!({}), Some(finish_reason)));
    all
}

fn run(repair: &Repair, input: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut stream = RepairStream::new(repair, "seed");
    let mut out = Vec::new();
    for data in input {
        stream.push(data, &mut out);
    }
    stream.finish(&mut out);
    out
}

/// What a client puts together from a stream: text, calls (name, arguments, id), finish reason.
fn gathered(events: &[Vec<u8>], index: u64) -> (String, Vec<Value>, Option<String>) {
    let mut text = String::new();
    let mut calls = Vec::new();
    let mut reason = None;
    for event in events {
        let event: Value = serde_json::from_slice(event).unwrap();
        for choice in event["choices"].as_array().unwrap() {
            if choice["index"] != index {
                continue;
            }
            text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
            for call in choice["delta"]["tool_calls"]
                .as_array()
                .into_iter()
                .flatten()
            {
                let mut call = call.clone();
                call.as_object_mut().unwrap().remove("index");
                calls.push(call);
            }
            if let Some(given) = choice["finish_reason"].as_str() {
                assert_eq!(reason, None, "a second finish reason");
                reason = Some(given.to_owned());
            }
        }
    }
    (text, calls, reason)
}

/// Cuts after every `every` characters.
fn cut(text: &str, every: usize) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars
        .chunks(every.max(1))
        .map(|piece| piece.iter().collect())
        .collect()
}

#[test]
fn printed_calls_as_data() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("testdata/texts.json")).unwrap();
    let repair = auto();
    for case in cases {
        let text = case["text"].as_str().unwrap();
        let expected: Vec<(String, Value)> = case["calls"]
            .as_array()
            .unwrap()
            .iter()
            .map(|call| (call[0].as_str().unwrap().to_owned(), call[1].clone()))
            .collect();
        let given = answer(text, "stop").to_string().into_bytes();
        let repaired = repair_answer(&repair, &given, "seed");
        for every in [1, 3, 1000] {
            let (streamed_text, calls, reason) =
                gathered(&run(&repair, &chunks(0, &cut(text, every), "stop")), 0);
            if expected.is_empty() {
                assert_eq!(repaired, given, "{text}");
                assert_eq!(
                    (streamed_text.as_str(), reason.as_deref()),
                    (text, Some("stop")),
                    "{text}"
                );
                assert!(calls.is_empty(), "{text}");
                continue;
            }
            assert_eq!(
                (streamed_text.as_str(), reason.as_deref()),
                ("", Some("tool_calls")),
                "{text}"
            );
            let whole: Value = serde_json::from_slice(&repaired).unwrap();
            let message = &whole["choices"][0]["message"];
            assert_eq!(message["content"], Value::Null, "{text}");
            assert_eq!(whole["choices"][0]["finish_reason"], "tool_calls");
            assert_eq!(message["tool_calls"].as_array().unwrap(), &calls, "{text}");
            let found: Vec<(String, Value)> = calls
                .iter()
                .map(|call| {
                    let function = &call["function"];
                    let arguments = function["arguments"].as_str().unwrap();
                    (
                        function["name"].as_str().unwrap().to_owned(),
                        serde_json::from_str(arguments).unwrap(),
                    )
                })
                .collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}

#[test]
fn a_repaired_answer_changes_nothing_else() {
    let text = "{\"name\": \"get_weather\", \"arguments\": {\"city\": \"부산\", \"big\": 12345678901234567890}}";
    let given = format!(
        "{{\"z\":1.50,\"choices\":[{{\"message\":{{\"role\":\"assistant\",\"content\":{},\"x\":[1, 2]}},\
         \"finish_reason\":\"length\",\"index\":0}}],\"usage\":{{\"prompt_tokens\":18446744073709551615}}}}",
        serde_json::to_string(text).unwrap(),
    );
    let expected = "{\"z\":1.50,\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":null,\"x\":[1, 2],\
        \"tool_calls\":[{\"id\":\"call_s_0_0\",\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\
        \"arguments\":\"{\\\"city\\\":\\\"부산\\\",\\\"big\\\":12345678901234567890}\"}}]},\
        \"finish_reason\":\"tool_calls\",\"index\":0}],\"usage\":{\"prompt_tokens\":18446744073709551615}}";
    let repaired = repair_answer(&auto(), given.as_bytes(), "s");
    assert_eq!(String::from_utf8(repaired).unwrap(), expected);
}

#[test]
fn auto_passes_the_body_and_none_takes_the_tools_away() {
    let body = request(None);
    let repair = repair_request(&body).unwrap();
    assert_eq!((repair.body, repair.mode), (body, ToolMode::Auto));
    let repair = repair_request(&request(Some(json!("none")))).unwrap();
    let sent: Value = serde_json::from_slice(&repair.body).unwrap();
    assert!(sent.get("tools").is_none() && sent.get("tool_choice").is_none());
    assert_eq!(repair.mode, ToolMode::NoCall);
    let bare = br#"{"messages":[] , "model":"m"}"#;
    assert_eq!(repair_request(bare).unwrap().body, bare);
}

#[test]
fn a_demanded_call_becomes_a_schema() {
    let repair = repair_request(&request(Some(json!("required")))).unwrap();
    let sent: Value = serde_json::from_slice(&repair.body).unwrap();
    assert_eq!(sent["tool_choice"], "none");
    assert_eq!(sent["tools"].as_array().unwrap().len(), 2);
    let schema = &sent["response_format"]["json_schema"]["schema"];
    let names: Vec<&Value> = schema["anyOf"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["properties"]["name"]["enum"][0])
        .collect();
    assert_eq!(names, ["get_weather", "get_time"]);
    // The name decides the arguments, so it must be written before them.
    let text = String::from_utf8(repair.body).unwrap();
    assert!(text.find("\"name\":{\"type\"").unwrap() < text.find("\"arguments\":{").unwrap());

    let named = json!({"type": "function", "function": {"name": "get_time"}});
    let repair = repair_request(&request(Some(named))).unwrap();
    assert_eq!(repair.mode, ToolMode::Named("get_time".to_owned()));
    assert_eq!(repair.offered.len(), 1);
    let sent: Value = serde_json::from_slice(&repair.body).unwrap();
    let properties = &sent["response_format"]["json_schema"]["schema"]["properties"];
    assert_eq!(properties["name"]["enum"], json!(["get_time"]));
    assert_eq!(properties["arguments"]["additionalProperties"], false);
}

#[test]
fn definitions_of_a_tool_move_to_the_root() {
    let parameters = json!({"type": "object", "properties": {"at": {"$ref": "#/$defs/Place"}},
        "$defs": {"Place": {"type": "object", "properties": {"in": {"$ref": "#/$defs/Place"}}}}});
    let body = json!({"model": "m", "messages": [], "tool_choice": "required", "tools": [
        {"type": "function", "function": {"name": "go", "parameters": parameters}}]});
    let repair = repair_request(body.to_string().as_bytes()).unwrap();
    let sent: Value = serde_json::from_slice(&repair.body).unwrap();
    let schema = &sent["response_format"]["json_schema"]["schema"];
    assert_eq!(
        schema["properties"]["arguments"]["properties"]["at"]["$ref"],
        "#/$defs/d0_Place"
    );
    assert_eq!(
        schema["$defs"]["d0_Place"]["properties"]["in"]["$ref"],
        "#/$defs/d0_Place"
    );
}

#[test]
fn refusals_name_the_field() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("testdata/refusals.json")).unwrap();
    for case in cases {
        let error = repair_request(case["request"].to_string().as_bytes()).unwrap_err();
        assert_eq!(
            (error.field.as_str(), error.code.as_str()),
            (
                case["field"].as_str().unwrap(),
                case["code"].as_str().unwrap()
            )
        );
    }
}

#[test]
fn choices_are_held_apart() {
    let repair = auto();
    let call = cut("{\"name\":\"get_time\",\"arguments\":{}}", 4);
    let text = cut("It is noon in Busan now.", 4);
    let first = chunks(0, &call, "stop");
    let second = chunks(1, &text, "stop");
    let mut input = Vec::new();
    for at in 0..first.len().max(second.len()) {
        input.extend(first.get(at).cloned());
        input.extend(second.get(at).cloned());
    }
    input.push(b"[DONE]".to_vec());
    let mut out = run(&repair, &input);
    assert_eq!(out.pop().unwrap(), b"[DONE]");
    assert_eq!(gathered(&out, 0).1[0]["function"]["name"], "get_time");
    assert_eq!(gathered(&out, 1).0, "It is noon in Busan now.");
}

#[test]
fn several_choices_in_one_chunk_are_split_only_while_needed() {
    let both = |zero: &str, one: &str| {
        json!({"id": "c", "choices": [
            {"index": 0, "delta": {"content": zero}, "finish_reason": null},
            {"index": 1, "delta": {"content": one}, "finish_reason": null}]})
        .to_string()
        .into_bytes()
    };
    let input = vec![
        both("Hel", "{\"name\": \"get_"),
        both("lo", "time\", "),
        both("!", "\"arguments\": {}}"),
    ];
    let mut all = input.clone();
    all.push(chunk(0, &json!({}), Some("stop")));
    all.push(chunk(1, &json!({}), Some("stop")));
    let out = run(&auto(), &all);
    assert_eq!(
        gathered(&out, 0),
        ("Hello!".to_owned(), vec![], Some("stop".to_owned()))
    );
    assert_eq!(gathered(&out, 1).1.len(), 1);
    let plain = vec![both("Hel", "Guten "), both("lo", "Tag")];
    let out = run(&auto(), &plain);
    assert_eq!(
        out.last(),
        plain.last(),
        "once both pass, chunks are not split"
    );
}

#[test]
fn a_text_that_is_no_call_is_not_held() {
    let mut stream = RepairStream::new(&auto(), "s");
    for piece in ["Hello", " {\"name\":", "```json\n"] {
        let data = chunk(0, &json!({"content": piece}), None);
        let mut out = Vec::new();
        stream.push(&data, &mut out);
        assert_eq!(out, [data]);
    }
    // A fence of another language, and a name that is not offered, are let go as soon as they show.
    for (pieces, held) in [
        (["```", "py", "thon\n"], 1),
        (["{\"name\"", ": \"", "Joke"], 2),
    ] {
        let mut stream = RepairStream::new(&auto(), "s");
        let mut out = Vec::new();
        let input: Vec<_> = pieces
            .iter()
            .map(|piece| chunk(0, &json!({"content": piece}), None))
            .collect();
        for (n, data) in input.iter().enumerate() {
            stream.push(data, &mut out);
            assert_eq!(out.len(), if n < held { 0 } else { n + 1 }, "{pieces:?}");
        }
        assert_eq!(out, input);
    }
}

#[test]
fn the_hold_is_bounded() {
    let mut stream = RepairStream::new(&auto(), "s");
    let mut out = Vec::new();
    let long = "a".repeat(1000);
    stream.push(
        &chunk(
            0,
            &json!({"content": "{\"name\":\"get_time\",\"arguments\":{\"x\":\""}),
            None,
        ),
        &mut out,
    );
    let mut pushed = 1;
    while out.is_empty() {
        stream.push(&chunk(0, &json!({"content": long}), None), &mut out);
        pushed += 1;
        assert!(pushed * 1000 < CALL_TEXT_BYTES_MAX + 3000);
    }
    assert_eq!(out.len(), pushed);
}

#[test]
fn a_cut_stream_and_an_error_release_what_was_held() {
    let held = chunk(
        0,
        &json!({"content": "{\"name\":\"get_time\",\"argu"}),
        None,
    );
    assert_eq!(
        run(&auto(), std::slice::from_ref(&held)),
        std::slice::from_ref(&held)
    );
    let error = br#"{"error":{"message":"engine died"}}"#.to_vec();
    assert_eq!(run(&auto(), &[held.clone(), error.clone()]), [held, error]);
}

fn texts() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "```json\n",
        "```",
        "\n",
        " ",
        "<tool_call>",
        "</tool_call>",
        "[",
        "]",
        ",",
        "{",
        "}",
        "\"name\":",
        "\"get_weather\"",
        "\"get_time\"",
        ",\"arguments\":",
        "{\"city\":\"부산\"}",
        "{}",
        "\"parameters\":",
        "{\"name\": \"get_time\", \"arguments\": {}}",
        "{\"name\":\"get_weather\",\"arguments\":{\"city\":\"a\\\"b\"}}",
        "{\"type\":\"function\",\"function\":",
        "hello",
        "안녕",
        "`",
        "<tool",
        "\\",
    ]);
    prop_oneof![
        prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat()),
        ".{0,60}",
    ]
}

proptest! {
    #[test]
    fn any_split_gives_the_same_answer(text in texts(), cuts in prop::collection::vec(1_usize..9, 1..40), stop in any::<bool>()) {
        let repair = auto();
        let reason = if stop { "stop" } else { "content_filter" };
        let mut pieces = Vec::new();
        let mut rest: Vec<char> = text.chars().collect();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let tail = rest.split_off((*cut).min(rest.len()));
            pieces.push(rest.into_iter().collect::<String>());
            rest = tail;
        }
        let input = chunks(0, &pieces, reason);
        let out = run(&repair, &input);
        let (streamed, calls, ended) = gathered(&out, 0);
        let given = answer(&text, reason).to_string().into_bytes();
        let whole = repair_answer(&repair, &given, "seed");
        if whole == given {
            prop_assert_eq!(&out, &input, "without a call every chunk leaves as it came");
            prop_assert_eq!(streamed, text);
        } else {
            let whole: Value = serde_json::from_slice(&whole).unwrap();
            prop_assert_eq!(whole["choices"][0]["message"]["tool_calls"].as_array().unwrap(), &calls);
            prop_assert_eq!(ended.as_deref(), Some("tool_calls"));
            prop_assert_eq!(streamed, "");
        }
    }

    #[test]
    fn nothing_panics(data in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = request(Some(json!("required")));
        let place = at.index(body.len());
        body[place] = byte;
        let repair = repair_request(&body).unwrap_or_else(|_| auto());
        drop(repair_request(&data));
        let mut given = answer("{\"name\":\"get_time\",\"arguments\":{}}", "stop").to_string().into_bytes();
        let place = at.index(given.len());
        given[place] = byte;
        repair_answer(&repair, &given, "s");
        repair_answer(&repair, &data, "s");
        run(&repair, &[data, given]);
    }
}
