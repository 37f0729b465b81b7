//! Bytes: the caller's reach the engine, the engine's reach the caller, and each event leaves when it came.

use crate::harness::{CHAT, Plan, World, events, streamed};
use madang_gateway::walk::inspect;
use madang_testkit::FakeEngineOptions;
use madang_wire::RequestBody;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

const CASES: u32 = 96;
/// The engine's own name for the model `m`.
const ENGINE_NAME: &str = "LG/엑사원:32b";
const OUTPUT_TOKENS_DEFAULT: &str = "output_tokens_default = 5";

/// Nothing is added to keep tenants apart in the engine's cache.
const SHARED: &str = "prefix_cache = \"shared\"";

/// An engine that gets what is not changed for its sake.
async fn plain() -> World {
    World::start(Plan {
        model: SHARED.into(),
        ..Plan::default()
    })
    .await
}

/// A field as the caller writes it and as the engine must see it.
#[derive(Clone, Debug)]
struct Field {
    key: String,
    sent: String,
    /// `None` where it is to stay as it is.
    changed: Option<&'static str>,
}

#[derive(Clone, Debug)]
struct Case {
    body: String,
    expected: String,
    stream: bool,
    usage_wished: bool,
}

fn space() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just(String::new()), 1 => "[ \t\r\n]{1,3}"]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?[1-9][0-9]{0,40}",
        "-?(0|[1-9][0-9]{0,20})\\.[0-9]{1,30}",
        "-?[1-9](\\.[0-9]{1,5})?[eE][+-]?[0-9]{1,2}",
        Just("18446744073709551616".to_owned()),
        Just("-9223372036854775809".to_owned()),
        Just("-0.0".to_owned()),
    ]
}

fn string() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[a-zA-Z0-9 :,{}\\[\\]]{1,6}",
        Just(r#"\""#.to_owned()),
        Just(r"\\".to_owned()),
        Just(r"\/".to_owned()),
        Just(r"\n\r\t\b\f".to_owned()),
        Just(r"\u0000\u00E9\u00e9".to_owned()),
        Just(r"\ud83c\udfd9".to_owned()),
        Just("서울 🏙️ \u{2028}\u{7f}".to_owned()),
        Just("data: [DONE]".to_owned()),
        Just("\"model\"".replace('"', "\\\"")),
    ];
    prop::collection::vec(part, 0..4).prop_map(|parts| format!("\"{}\"", parts.concat()))
}

fn json_text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("true"),
        Just("false"),
        Just("null"),
        Just("[]"),
        Just("{ }")
    ];
    let leaf = prop_oneof![number(), string(), word.prop_map(str::to_owned)];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let spaced = (space(), inner, space()).prop_map(|(a, text, b)| a + &text + &b);
        let item = spaced.boxed();
        let pair = (space(), string(), space(), item.clone());
        let pair = pair.prop_map(|(a, key, b, value)| format!("{a}{key}{b}:{value}"));
        prop_oneof![
            prop::collection::vec(item, 1..4).prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec(pair, 1..4).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    })
}

fn field(key: &str, sent: &str, changed: Option<&'static str>) -> Field {
    Field {
        key: format!("\"{key}\""),
        sent: sent.to_owned(),
        changed,
    }
}

/// The model's name, written in several ways; each must become the engine's.
fn model() -> impl Strategy<Value = Field> {
    let name = Some("\"LG/엑사원:32b\"");
    prop_oneof![
        Just(field("model", "\"m\"", name)),
        Just(field("model", "\"\\u006d\"", name)),
        Just(field("\\u006d\\u006Fdel", "\"m\"", name)),
    ]
}

/// A bound on the output, or none: then the default is asked for.
fn bound() -> impl Strategy<Value = Option<Field>> {
    prop_oneof![
        Just(None),
        Just(Some(field("max_tokens", "3", None))),
        Just(Some(field("max_completion_tokens", "2", None))),
        Just(Some(field("max_tokens", "null", Some("5")))),
    ]
}

/// Whether the answer is streamed, and whether the caller wishes for a usage chunk.
fn manner() -> impl Strategy<Value = (bool, bool, Vec<Field>)> {
    let stream = || field("stream", "true", None);
    let options = |sent: &str, changed| field("stream_options", sent, changed);
    let wished = options("{ \"include_usage\" :true, \"z\":1e1}", None);
    let unwished = options(
        "{\"a\" : 1.0,\"include_usage\": false }",
        Some("{\"a\" : 1.0,\"include_usage\": true }"),
    );
    let null = options("null", Some("{\"include_usage\":true}"));
    prop_oneof![
        Just((false, false, vec![])),
        Just((false, false, vec![field("stream", "false", None)])),
        Just((true, false, vec![stream()])),
        Just((true, true, vec![stream(), wished])),
        Just((true, false, vec![stream(), unwished])),
        Just((true, false, vec![null, stream()])),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let unknown = prop::collection::vec(json_text(), 0..5);
    let content = (string(), json_text());
    let parts = (model(), bound(), manner(), unknown, content);
    parts
        .prop_flat_map(
            |(model, bound, (stream, usage_wished, manner), unknown, content)| {
                let messages = format!(
                    "[{{\"role\":\"user\" , \"content\":{},\"x\":{}}}]",
                    content.0, content.1
                );
                let is_bounded = bound.is_some();
                let mut fields = vec![model, field("messages", &messages, None)];
                fields.extend(bound);
                fields.extend(manner);
                for (index, text) in unknown.iter().enumerate() {
                    fields.push(field(&format!("x_{index}가"), text, None));
                }
                let count = fields.len();
                let order = Just(fields).prop_shuffle();
                let spaces = prop::collection::vec((space(), space(), space()), count);
                (
                    order,
                    spaces,
                    space(),
                    Just((stream, usage_wished, is_bounded)),
                )
            },
        )
        .prop_map(|(fields, spaces, end, flags)| written(&fields, &spaces, &end, flags))
        .prop_filter("personal data is policy's to change", is_plain)
}

/// Whether no number or text of it happens to have the form of personal data.
fn is_plain(case: &Case) -> bool {
    let body = RequestBody::parse(case.body.clone().into(), 128).unwrap();
    inspect(&body).counts().is_empty()
}

/// The body as sent and as it must arrive.
fn written(
    fields: &[Field],
    spaces: &[(String, String, String)],
    end: &str,
    (stream, usage_wished, is_bounded): (bool, bool, bool),
) -> Case {
    let (mut body, mut expected) = (String::new(), String::new());
    for (at, (field, (a, b, c))) in fields.iter().zip(spaces).enumerate() {
        let start = if at == 0 { "{" } else { "," };
        let head = format!("{start}{a}{}{b}:{c}", field.key);
        body += &format!("{head}{}", field.sent);
        expected += &format!("{head}{}", field.changed.unwrap_or(&field.sent));
    }
    if !is_bounded {
        expected += ",\"max_tokens\":5";
    }
    if stream && !fields.iter().any(|f| f.key == "\"stream_options\"") {
        expected += ",\"stream_options\":{\"include_usage\":true}";
    }
    let tail = format!("{end}}}{end}");
    Case {
        body: body + &tail,
        expected: expected + &tail,
        stream,
        usage_wished,
    }
}

/// The engine's stream without its usage chunk.
fn without_usage(stream: &str) -> String {
    let kept = stream.split_inclusive("\n\n");
    kept.filter(|event| !event.contains("\"choices\":[]"))
        .collect()
}

#[test]
fn bytes_pass_unchanged_in_both_directions() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(World::start(Plan {
        engine: FakeEngineOptions {
            model: ENGINE_NAME.into(),
            ..FakeEngineOptions::default()
        },
        replica: format!("upstream_model = \"{ENGINE_NAME}\""),
        limits: OUTPUT_TOKENS_DEFAULT.into(),
        model: SHARED.into(),
        ..Plan::default()
    }));
    let check = async |case: &Case| {
        let answer = world.post(CHAT, &case.body).await;
        let engine = &world.engines[0];
        prop_assert_eq!(answer.status, 200, "{}", answer.text());
        let arrived = engine.requests().pop().unwrap().body;
        let arrived = String::from_utf8_lossy(&arrived).into_owned();
        prop_assert_eq!(&arrived, &case.expected);
        let sent = String::from_utf8(engine.last_answer_bytes().to_vec()).unwrap();
        let expected = if case.stream && !case.usage_wished {
            without_usage(&sent)
        } else {
            sent
        };
        prop_assert_eq!(answer.text(), expected);
        Ok(())
    };
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    let result = runner.run(&case(), |case| runtime.block_on(check(&case)));
    drop(runtime.enter());
    result.unwrap();
}

#[tokio::test]
async fn a_body_in_the_engines_own_words_is_not_touched() {
    let world = plain().await;
    for body in [
        " {\"max_tokens\":2,\"messages\":[{\"role\":\"user\",\"content\":\"\"}],\"model\":\"m\"}\n",
        "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"max_completion_tokens\":2,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"\"}]}]}",
    ] {
        assert_eq!(world.post(CHAT, body).await.status, 200);
        assert_eq!(world.engines[0].requests().pop().unwrap().body, body);
    }
}

#[tokio::test]
async fn each_event_leaves_when_it_came() {
    let world = plain().await;
    // The engine sends this many and then nothing more: none waits for the next.
    for count in 1..=6 {
        world.behave(&format!("stall-after:{count}"));
        let mut stream = world.send(CHAT, &[], &streamed(json!({}))).await.sse();
        for at in 0..count {
            let event = stream.next_event().await.unwrap();
            assert!(event.is_some(), "event {at} of {count}");
        }
    }
    world.assert_idle("held streams").await;
}

#[tokio::test]
async fn streams_keep_every_byte_however_they_are_framed_and_torn() {
    let world = plain().await;
    let wished = json!({"stream_options": {"include_usage": true}, "n": 2, "logprobs": true, "max_tokens": 20});
    for behaviour in ["normal", "odd-frames", "split:1", "split:7", "no-usage"] {
        world.behave(behaviour);
        let mut stream = world.send(CHAT, &[], &streamed(wished.clone())).await.sse();
        let (_, error) = stream.to_end().await;
        assert!(error.is_none());
        let sent = world.engines[0].last_answer_bytes();
        assert_eq!(stream.bytes, sent, "{behaviour}");
        let kind = crate::harness::header(stream.headers(), "content-type");
        assert_eq!(kind, "text/event-stream; charset=utf-8");
    }
}

#[tokio::test]
async fn other_doors_pass_unchanged() {
    let world = plain().await;
    for (path, body) in [
        (
            "/v1/completions",
            r#"{"model" : "m","prompt":[1,2,18446744073709551616],"max_tokens":3,"echo":1.0}"#,
        ),
        (
            "/v1/completions",
            r#"{"stream":true,"stream_options":{"include_usage":true},"model":"m","prompt":"a","max_tokens":3}"#,
        ),
        (
            "/v1/responses",
            r#"{"input":"a","model":"m" ,"x":1e5,"max_output_tokens":2}"#,
        ),
        (
            "/v1/responses",
            r#"{"input":[{"role":"user","content":"a"}],"stream" : true,"model":"m","max_output_tokens":2}"#,
        ),
    ] {
        let answer = world.post(path, body).await;
        assert_eq!(answer.status, 200, "{body}");
        assert_eq!(world.engines[0].requests().pop().unwrap().body, body);
        assert_eq!(answer.body, world.engines[0].last_answer_bytes(), "{body}");
    }
    let all = events(world.send(CHAT, &[], &streamed(json!({}))).await).await;
    assert!(all.last().unwrap().is_done());
}
