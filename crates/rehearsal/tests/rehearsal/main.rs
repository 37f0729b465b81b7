//! The rehearsed engine over real sockets. Times are compared by order only: what must come later, or not before.

mod faults;
mod load;
mod model;
mod protocol;

use madang_rehearsal::{Options, Rehearsal, serve};
use madang_testkit::{HttpAnswer, HttpStream, SseEvent, http_send};
use madang_twin::engine::Profile;
use madang_types::ModelId;
use serde_json::{Value, json};
use std::time::Duration;

/// Long, so that a busy machine fails no test.
const WAIT_MAX: Duration = Duration::from_secs(60);
const CHAT: &str = "/v1/chat/completions";

/// That profile as model `m` at that speed.
fn options(profile: &str, speed: f64) -> Options {
    let profile = Profile::named(profile)
        .expect("a profile of the model")
        .clone();
    let mut options = Options::new(profile, ModelId::new("m").expect("a name"));
    options.speed = speed;
    options
}

async fn start(options: Options) -> Rehearsal {
    serve(options).await.expect("a free port")
}

/// A chat request with that text, `rest` added to it.
fn chat(text: &str, rest: &Value) -> String {
    let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": text }] });
    let fields = rest.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(fields);
    body.to_string()
}

async fn post(
    engine: &Rehearsal,
    path: &str,
    body: String,
    fault: Option<&str>,
) -> anyhow::Result<HttpStream> {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(fault.map(|fault| ("x-rehearsal-fault", fault)));
    http_send(
        http::Method::POST,
        &format!("{}{path}", engine.url()),
        &headers,
        body,
    )
    .await
}

async fn plain(engine: &Rehearsal, body: String) -> HttpAnswer {
    let answer = post(engine, CHAT, body, None).await.expect("an answer");
    answer.collect().await.expect("a whole answer")
}

/// All events of a stream; an error where it is cut off.
async fn events(
    engine: &Rehearsal,
    body: String,
    fault: Option<&str>,
) -> anyhow::Result<Vec<SseEvent>> {
    let mut stream = post(engine, CHAT, body, fault).await?.sse();
    let mut events = Vec::new();
    while let Some(event) = stream.next_event().await? {
        events.push(event);
    }
    Ok(events)
}

/// Tokens in those events: each has one word.
fn words(events: &[SseEvent]) -> usize {
    let content = |event: &SseEvent| {
        Some(
            event.json().ok()?["choices"][0]["delta"]["content"]
                .as_str()?
                .len(),
        )
    };
    events
        .iter()
        .filter(|event| content(event).is_some())
        .count()
}

/// A value of the metrics page; `label` is a part of the sample's labels.
async fn metric(engine: &Rehearsal, name: &str, label: &str) -> f64 {
    let page = madang_testkit::http_get(&format!("{}/metrics", engine.url()), None)
        .await
        .expect("a page")
        .text();
    let line = page
        .lines()
        .find(|line| line.starts_with(name) && !line.starts_with('#') && line.contains(label));
    let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    value.expect("the page has that sample")
}

/// Waits until a value of the metrics page is as told; for a minute at most.
async fn until(engine: &Rehearsal, name: &str, holds: impl Fn(f64) -> bool) {
    let began = std::time::Instant::now();
    while !holds(metric(engine, name, "").await) {
        assert!(began.elapsed() < WAIT_MAX, "{name} stays as it is");
    }
}
