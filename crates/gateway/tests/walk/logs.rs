//! What is logged and what is sent on: ids and traces, never content, never keys.

use crate::harness::{CHAT, World, captured, chat, code, header, streamed};
use madang_testkit::Recorded;
use madang_types::Outcome;
use serde_json::json;

const PROMPT: &str = "prompt-secret-91f3";
/// What the engine says; a part of each fake answer.
const ANSWER: &str = "대한민국의";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn logs_hold_no_content_and_no_key() {
    let logged = captured();
    let said = format!("{{\"error\":{{\"message\":\"{PROMPT} is bad\"}}}}");
    let (refuses, busy) = (format!("status:400:{said}"), format!("status:503:{said}"));
    let page = format!("status:400:<html>{PROMPT}");
    let (fails, errs) = (format!("status:500:{said}"), format!("status:200:{said}"));
    let mut ids = Vec::new();
    let mut secrets = vec!["wrong-secret-77aa".to_owned()];
    for behaviour in [
        "normal",
        "cut:3",
        "close",
        "wrong-json",
        "error-event:2",
        &refuses,
        &busy,
        &fails,
        &errs,
        &page,
    ] {
        // An engine that failed too often is left alone: each world is a new one.
        let world = World::of(2).await;
        world.behave(behaviour);
        for stream in [false, true] {
            let more = json!({
                "stream": stream,
                "messages": [{"role": "user", "content": PROMPT}],
                "metadata": {"note": PROMPT},
            });
            world.chat(more).await;
        }
        for body in [
            format!("{{\"model\":\"{PROMPT}\"}}"),
            PROMPT.to_owned(),
            format!("{{\"model\":\"m\",\"messages\":\"{PROMPT}\"}}"),
        ] {
            world.post(CHAT, &body).await;
        }
        let url = format!("{}{CHAT}", world.url);
        let wrong = Some("mdg_wrongwrong12_wrong-secret-77aa");
        let answer = madang_testkit::http_post_json(&url, wrong, chat(json!({}))).await;
        assert_eq!(answer.unwrap().status, 401);
        assert!(
            world.engines.iter().all(|e| !e.requests().is_empty()),
            "{behaviour}"
        );
        ids.extend(world.records(5).await.into_iter().map(|record| record.id));
        secrets.push(world.key.rsplit('_').next().unwrap().to_owned());
    }
    secrets.extend([PROMPT.to_owned(), ANSWER.to_owned()]);
    let log = logged.text();
    let ours: Vec<&str> = log.lines().filter(|line| line.contains("madang")).collect();
    for id in ids {
        assert!(log.contains(&id.to_string()), "{id} is not in the log");
    }
    for secret in secrets {
        let lines: Vec<&&str> = ours.iter().filter(|line| line.contains(&secret)).collect();
        assert!(lines.is_empty(), "{secret}: {lines:#?}");
    }
}

#[tokio::test]
async fn an_engines_words_in_an_event_of_no_shape_are_not_logged() {
    let logged = captured();
    let world = World::of(1).await;
    let event = format!("event: error\ndata: {{\"message\":\"{PROMPT}\"}}\n\n");
    world.script(&["data: {\"choices\":[]}\n\n", &event]);
    let events = world.stream(json!({})).await;
    let last = events.last().unwrap().json().unwrap();
    let told = last["error"]["message"].as_str().unwrap();
    assert!(told.contains(PROMPT), "the caller reads it: {told}");
    let log = logged.text();
    let ours = log.lines().filter(|line| line.contains("madang_"));
    let failed: Vec<&str> = ours
        .filter(|line| line.contains("attempt failed"))
        .collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(!failed[0].contains(PROMPT), "{failed:?}");
}

#[tokio::test]
async fn a_stream_that_madang_ends_is_no_failed_attempt() {
    let logged = captured();
    let world = World::of(1).await;
    let body = streamed(json!({"user": "fake-behaviour=stall-after:2"}));
    let mut stream = world.send(CHAT, &[], &body).await.sse();
    stream.next_event().await.unwrap().unwrap();
    world.gateway.cut();
    let (events, _) = stream.to_end().await;
    let last = events.last().unwrap().json().unwrap();
    assert_eq!(code(&last), "draining");
    let log = logged.text();
    assert!(log.contains("stream cut, as Madang stops"), "{log}");
    assert!(!log.contains("attempt failed"), "{log}");
}

async fn sent_on(headers: &[(&str, &str)]) -> (Recorded, String) {
    let world = World::of(1).await;
    let answer = world.send(CHAT, headers, &chat(json!({}))).await;
    let id = header(&answer.headers, "x-madang-request-id");
    answer.collect().await.unwrap();
    assert_eq!(world.record().await.outcome, Outcome::Finished);
    (world.engines[0].requests().remove(0), id)
}

#[tokio::test]
async fn an_engine_gets_the_trace_and_the_id_and_nothing_else_of_the_callers() {
    let callers = [
        ("traceparent", PARENT),
        ("tracestate", "rojo=1"),
        ("cookie", "id=1"),
        ("x-request-id", "the-callers"),
        ("x-madang-request-id", "the-callers"),
        ("x-forwarded-for", "10.0.0.1"),
        ("openai-organization", "org"),
        ("user-agent", "curl"),
        ("x-fake-behaviour", "stall"),
    ];
    let (request, id) = sent_on(&callers).await;
    let mut names: Vec<&str> = request
        .headers
        .keys()
        .map(http::HeaderName::as_str)
        .collect();
    names.sort_unstable();
    let expected = [
        "content-length",
        "content-type",
        "host",
        "traceparent",
        "tracestate",
        "x-request-id",
    ];
    assert_eq!(names, expected);
    assert_eq!(header(&request.headers, "x-request-id"), id);
    assert_eq!(header(&request.headers, "tracestate"), "rojo=1");
    let child = header(&request.headers, "traceparent");
    assert_eq!(child[..36], PARENT[..36], "the same trace");
    assert_ne!(child[36..52], PARENT[36..52], "a span of our own");
    assert_eq!(child[52..], PARENT[52..], "the same flags");

    let (request, _) = sent_on(&[]).await;
    assert_eq!(header(&request.headers, "traceparent").len(), PARENT.len());
    assert!(request.headers.get("tracestate").is_none());
}
