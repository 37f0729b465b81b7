//! Anthropic's dialect, both ways: through a door that speaks it, and in `far` at an upstream that speaks it.

mod far;

use crate::harness::{CHAT, Plan, World, chat, code, events, header, streamed};
use madang_testkit::{FakeEngine, FakeEngineOptions, HttpAnswer, SseEvent};
use madang_types::{Endpoint, ErrorCode, Outcome, Tokens, UsageRecord};
use serde_json::{Value, json};

const DOOR: &str = "/v1/messages";
const KEY: &str = "sk-ant-canary-0123456789";

/// A world whose model `far` is at an upstream that speaks Anthropic's dialect, and whose model `m` is our own.
struct Far {
    world: World,
    upstream: FakeEngine,
}

async fn far() -> Far {
    let upstream = FakeEngine::start(FakeEngineOptions {
        engine: "anthropic".into(),
        model: "claude".into(),
        key: Some(KEY.into()),
        ..FakeEngineOptions::default()
    })
    .await;
    let world = World::start(Plan::default()).await;
    std::fs::write(world.folder.path().join("far.key"), format!("{KEY}\n")).unwrap();
    let more = format!(
        "[[upstream]]\nid = \"far\"\ndialect = \"anthropic\"\nurl = \"{}\"\ncountry = \"US\"\noperator_country = \"US\"\nkey_file = \"far.key\"\nmodels = [{{ id = \"far\", upstream_model = \"claude\" }}]\n",
        upstream.url()
    );
    world.fleet_apply(&format!("{}\n{more}", world.fleet()));
    Far { world, upstream }
}

impl Far {
    fn asked(&self) -> Value {
        let asked = self.upstream.requests().pop().unwrap();
        assert_eq!(asked.path, DOOR);
        serde_json::from_slice(&asked.body).unwrap()
    }

    async fn record(&self, count: usize) -> UsageRecord {
        self.world.records(count).await.pop().unwrap()
    }
}

fn ask(model: &str, more: Value) -> String {
    let mut body =
        json!({"model": model, "max_tokens": 3, "messages": [{"role": "user", "content": "안녕"}]});
    let more = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    body.to_string()
}

fn far_chat(mut more: Value) -> String {
    more["model"] = json!("far");
    chat(more)
}

/// The type of an error in Anthropic's shape, and its code.
fn told(answer: &HttpAnswer) -> (u16, String, String) {
    let json = answer.json().unwrap();
    assert_eq!(json["type"], "error", "{json}");
    assert_eq!(
        header(&answer.headers, "request-id"),
        header(&answer.headers, "x-madang-request-id")
    );
    let word = |name: &str| json["error"][name].as_str().unwrap_or_default().to_owned();
    (answer.status, word("type"), word("code"))
}

fn names(events: &[SseEvent]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event.event.as_deref().unwrap_or_default())
        .collect()
}

fn deltas(events: &[SseEvent], key: &str) -> String {
    let text = |event: &SseEvent| event.json().ok()?["delta"][key].as_str().map(str::to_owned);
    events.iter().filter_map(text).collect()
}

#[tokio::test]
async fn messages_reach_an_engine_that_speaks_chat() {
    let world = World::of(1).await;
    let answer = world
        .post(DOOR, &ask("m", json!({"system": "Be brief."})))
        .await;
    let json = answer.json().unwrap();
    assert_eq!(answer.status, 200, "{json}");
    assert_eq!(
        json["content"],
        json!([{"type": "text", "text": "서울은 대한민국의"}])
    );
    assert_eq!(
        (&json["type"], &json["stop_reason"]),
        (&json!("message"), &json!("max_tokens"))
    );
    let record = world.record().await;
    let id = record.id.to_string();
    assert_eq!(json["id"], format!("msg_{}", id.trim_start_matches("req_")));
    assert_eq!(header(&answer.headers, "request-id"), id);
    assert_eq!(json["usage"]["output_tokens"], 3);
    assert_eq!(
        json["usage"]["cache_read_input_tokens"],
        record.tokens.cached.0
    );
    assert_eq!(json["usage"]["input_tokens"], record.tokens.uncached.0);
    assert_eq!(
        (record.endpoint, record.tokens.output),
        (Endpoint::Messages, Tokens(3))
    );
    let asked = world.engines[0].requests().remove(0);
    assert_eq!(asked.path, CHAT);
    assert!(!asked.headers.contains_key("anthropic-version"));
    let asked: Value = serde_json::from_slice(&asked.body).unwrap();
    assert_eq!(
        asked["messages"][0],
        json!({"role": "system", "content": "Be brief."})
    );
}

#[tokio::test]
async fn a_stream_of_messages_has_the_events_in_order() {
    let world = World::of(1).await;
    for (number, behaviour) in ["normal", "odd-frames", "split:5", "no-usage"]
        .into_iter()
        .enumerate()
    {
        world.behave(behaviour);
        let body = ask("m", json!({"stream": true}));
        let events = events(world.send(DOOR, &[], &body).await).await;
        let expected = [
            "message_start",
            "ping",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ];
        assert_eq!(names(&events), expected, "{behaviour}");
        assert_eq!(deltas(&events, "text"), "서울은 대한민국의");
        let record = world.records(number + 1).await.pop().unwrap();
        assert_eq!(
            (record.outcome, record.tokens.output),
            (Outcome::Finished, Tokens(3))
        );
        let counts = &events[7].json().unwrap()["usage"]["output_tokens"];
        assert_eq!(*counts, if behaviour == "no-usage" { 0 } else { 3 });
    }
}

#[tokio::test]
async fn refusals_at_the_door_have_its_shape() {
    let far = far().await;
    let invalid = "invalid_request_error";
    for (body, expected) in [
        (
            ask("no-such", json!({})),
            (404, "not_found_error", "model_not_found"),
        ),
        (
            ask("m", json!({"max_tokens": null})),
            (400, invalid, "field_invalid"),
        ),
        (
            ask("m", json!({"container": "c"})),
            (400, invalid, "feature_unsupported"),
        ),
        (
            ask("m", json!({"messages": "x"})),
            (400, invalid, "field_invalid"),
        ),
        ("{".to_owned(), (400, invalid, "body_not_json")),
    ] {
        let answer = far.world.post(DOOR, &body).await;
        let (status, kind, code) = told(&answer);
        assert_eq!((status, kind.as_str(), code.as_str()), expected, "{body}");
    }
    let old = [("anthropic-version", "2023-01-01")];
    let answer = far
        .world
        .send(DOOR, &old, &ask("m", json!({})))
        .await
        .collect()
        .await
        .unwrap();
    assert_eq!(told(&answer).2, "header_invalid");
    let url = format!("{}{DOOR}", far.world.url);
    let stranger = [("x-api-key", "mdg_x_y")];
    let answer =
        madang_testkit::http_send(http::Method::POST, &url, &stranger, ask("m", json!({})))
            .await
            .unwrap();
    let (status, kind, _) = told(&answer.collect().await.unwrap());
    assert_eq!((status, kind.as_str()), (401, "authentication_error"));

    let completion = json!({"model": "far", "prompt": "x"}).to_string();
    let answer = far.world.post("/v1/completions", &completion).await;
    assert_eq!(code(&answer.json().unwrap()), "model_endpoint_unsupported");
    let answer = far.world.post(CHAT, &far_chat(json!({"seed": 7}))).await;
    assert_eq!(answer.json().unwrap()["error"]["param"], "seed");
    assert!(far.upstream.requests().is_empty());
}

#[tokio::test]
async fn a_broken_stream_of_messages_ends_with_its_error_event() {
    let world = World::of(1).await;
    world.behave("cut:3");
    let body = ask("m", json!({"stream": true}));
    let events = events(world.send(DOOR, &[], &body).await).await;
    assert_eq!(names(&events).last(), Some(&"error"));
    let last = events.last().unwrap().json().unwrap();
    assert_eq!(
        (&last["type"], &last["error"]["type"]),
        (&json!("error"), &json!("api_error"))
    );
    assert_eq!(last["error"]["code"], "engine_cut");
    assert_eq!(world.record().await.outcome, Outcome::EngineCut);
}

#[tokio::test]
async fn tokens_are_counted_by_our_estimate() {
    let far = far().await;
    let path = "/v1/messages/count_tokens";
    for model in ["m", "far"] {
        let body =
            json!({"model": model, "messages": [{"role": "user", "content": "Hello, world"}]});
        let answer = far.world.post(path, &body.to_string()).await;
        assert_eq!(answer.json().unwrap(), json!({"input_tokens": 7}));
    }
    let answer = far
        .world
        .post(path, &json!({"model": "m"}).to_string())
        .await;
    assert_eq!(answer.json().unwrap()["error"]["code"], "field_missing");
    assert!(far.upstream.requests().is_empty() && far.world.engines[0].requests().is_empty());
}

#[tokio::test]
async fn our_own_engines_fetch_nothing() {
    let far = far().await;
    let part = |url: &str| json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]});
    for url in ["http://169.254.169.254/latest", "file:///etc/passwd"] {
        let answer = far.world.chat(part(url)).await;
        assert_eq!(code(&answer.json().unwrap()), "policy_denied");
        let source = json!({"messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "url", "url": url}}]}]});
        let answer = far.world.post(DOOR, &ask("m", source)).await;
        assert_eq!(told(&answer).2, "policy_denied");
    }
    assert!(far.world.engines[0].requests().is_empty());
    assert_eq!(
        far.world
            .chat(part("data:image/png;base64,AA=="))
            .await
            .status,
        200
    );
    let answer = far
        .world
        .post(CHAT, &far_chat(part("https://example.org/a.png")))
        .await;
    // Nor is a place that nobody knows named to others.
    assert_eq!(code(&answer.json().unwrap()), "policy_denied");
    assert!(far.upstream.requests().is_empty());
}
