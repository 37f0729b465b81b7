//! What comes follows the model: never before its time, in its order, from its cache; and what is given up is free.

use super::{CHAT, chat, events, metric, options, plain, post, start, until, words};
use madang_testkit::http_get;
use madang_twin::engine::{Division, Engine, EngineEvent, EngineRequest, PartKind, Profile};
use serde_json::json;
use std::sync::Arc;

#[tokio::test]
async fn nothing_comes_before_the_models_time() {
    const SPEED: f64 = 50.0;
    let options = options("h100x2-32b", SPEED);
    let mut model = Engine::new(options.profile.clone());
    let (prompt_tokens, output_tokens) = (30_000, 40);
    model.submit(
        0,
        EngineRequest {
            tag: 1,
            prompt_tokens,
            output_tokens,
            blocks: Arc::from([]),
            block_tokens: 512,
        },
    );
    let mut told = Vec::new();
    let mut events_ns = Vec::new();
    while let Some(at_ns) = model.next_at_ns() {
        model.advance(at_ns, &mut told);
        events_ns.extend(told.drain(..).map(|event| (at_ns, event)));
    }
    let [
        (first_ns, EngineEvent::FirstToken { .. }),
        (last_ns, EngineEvent::Finished { .. }),
    ] = events_ns[..]
    else {
        panic!("{events_ns:?}")
    };
    let engine = start(options).await;
    let rest =
        json!({ "max_tokens": output_tokens, "x_prompt_tokens": prompt_tokens, "stream": true });
    let events = events(&engine, chat("a", &rest), None).await.unwrap();
    let model_ns = |at: usize| events[at].at.as_nanos() as f64 * SPEED;
    assert!(model_ns(0) >= first_ns as f64, "{} {first_ns}", model_ns(0));
    assert!(model_ns(39) >= last_ns as f64, "{} {last_ns}", model_ns(39));
    assert!(events[0].at < events[39].at);
    assert_eq!(words(&events), 40);
    // The same on the engine's own page, which counts from the request's arrival in the model.
    let ttft_s = metric(&engine, "vllm:time_to_first_token_seconds_sum", "").await;
    assert!(ttft_s * SPEED * 1e9 >= first_ns as f64 && ttft_s <= events[0].at.as_secs_f64());
}

#[tokio::test]
async fn one_slot_serves_one_after_the_other() {
    let mut options = options("h100-8b", 20.0);
    options.profile.slots = 1;
    let engine = start(options).await;
    let stream = json!({ "max_tokens": 20, "x_prompt_tokens": 8_000, "stream": true });
    let first = post(&engine, CHAT, chat("a", &stream), None).await.unwrap();
    let first_sent = first.sent_at;
    let mut first = first.sse();
    assert!(first.next_event().await.unwrap().is_some());
    // The first has the slot: the second cannot begin before it has ended.
    let second = post(&engine, CHAT, chat("b", &stream), None).await.unwrap();
    let second_sent = second.sent_at;
    let mut first_end = None;
    while let Some(event) = first.next_event().await.unwrap() {
        first_end = Some(event.at);
    }
    let mut second = second.sse();
    let begun = second_sent + second.next_event().await.unwrap().unwrap().at;
    assert!(begun > first_sent + first_end.unwrap());
}

#[tokio::test]
async fn kv_that_goes_over_a_link_is_on_the_page() {
    let mut options = options("tiny", 100.0);
    let kind = PartKind {
        profile: options.profile.clone(),
        count: 1,
        accelerators: 1,
    };
    options.profile = Profile::of_parts(Division {
        prefill: kind.clone(),
        decode: kind,
        link_bytes_s: 1e9,
        link_latency_us: 100,
    });
    let engine = start(options).await;
    for _ in 0..2 {
        let answer = plain(&engine, chat("a", &json!({ "max_tokens": 5 }))).await;
        assert_eq!(answer.json().unwrap()["usage"]["completion_tokens"], 5);
    }
    plain(&engine, chat("a", &json!({ "max_tokens": 1 }))).await;
    let sent = metric(&engine, "vllm:nixl_xfer_time_seconds_count", "").await;
    assert_eq!(sent as u64, 2);
}

#[tokio::test]
async fn a_known_beginning_is_told_as_cached() {
    let engine = start(options("tiny", 100.0)).await;
    let text = "0123456789abcdef".repeat(512); // 8 KiB: 4 blocks
    let cached = async |text: &str, rest: &serde_json::Value| {
        let body = plain(&engine, chat(text, rest)).await.json().unwrap();
        body["usage"]["prompt_tokens_details"]["cached_tokens"]
            .as_u64()
            .unwrap()
    };
    let short = json!({ "max_tokens": 2 });
    assert_eq!(cached(&text, &short).await, 0);
    assert_eq!(
        cached(&format!("{text} and now another question"), &short).await,
        2_048
    );
    let mut other = text.clone();
    other.replace_range(5_000..5_001, "#");
    assert_eq!(cached(&other, &short).await, 1_024);
    assert_eq!(
        cached("a", &json!({ "max_tokens": 2, "x_prompt_tokens": 30_000 })).await,
        0
    );
    assert_eq!(
        cached("a", &json!({ "max_tokens": 2, "x_prompt_tokens": 31_000 })).await,
        29_696
    );
    // Streams tell it too.
    let rest =
        json!({ "max_tokens": 2, "stream": true, "stream_options": { "include_usage": true } });
    let events = events(&engine, chat(&text, &rest), None).await.unwrap();
    let usage = events[events.len() - 2].json().unwrap()["usage"].clone();
    // All four blocks are known; the last token of the prompt is computed all the same.
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 2_047);
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_slot() {
    let mut options = options("tiny", 0.1);
    options.profile.slots = 1;
    let engine = start(options).await;
    for stream in [true, false] {
        let long = json!({ "max_tokens": 60_000, "stream": stream });
        let url = format!("{}{CHAT}", engine.url());
        let leaves = tokio::spawn(async move {
            madang_testkit::http_post_json(&url, None, chat("a", &long)).await
        });
        until(&engine, "vllm:num_requests_running", |count| count > 0.0).await;
        // One more waits behind it and leaves, too.
        let url = format!("{}{CHAT}", engine.url());
        let waits = tokio::spawn(async move {
            madang_testkit::http_post_json(&url, None, chat("b", &json!({}))).await
        });
        until(&engine, "vllm:num_requests_waiting", |count| count > 0.0).await;
        waits.abort();
        until(&engine, "vllm:num_requests_waiting", |count| count < 1.0).await;
        leaves.abort();
        // Served only because the slot is free: the long one would take two minutes, and its
        // 60,000 tokens would come before this.
        let answer = plain(&engine, chat("c", &json!({ "max_tokens": 3 }))).await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(
        metric(&engine, "vllm:request_success_total", "abort").await as u64,
        4
    );
    assert!(metric(&engine, "vllm:generation_tokens_total", "").await < 60_000.0);
    assert_eq!(
        metric(&engine, "vllm:num_requests_running", "").await as u64,
        0
    );
}

#[tokio::test]
async fn many_streams_at_once_all_come_to_their_end() {
    let engine = Arc::new(start(options("h100-8b", 100.0)).await);
    let mut streams = tokio::task::JoinSet::new();
    for number in 0..600_usize {
        let engine = Arc::clone(&engine);
        streams.spawn(async move {
            let tokens = 20 + number % 50;
            let body = chat(
                &format!("{number}"),
                &json!({ "max_tokens": tokens, "x_prompt_tokens": 200, "stream": true }),
            );
            let events = events(&engine, body, None).await.unwrap();
            assert_eq!(words(&events), tokens);
            assert!(events.last().unwrap().is_done());
        });
    }
    while let Some(stream) = streams.join_next().await {
        stream.unwrap();
    }
    let expected: usize = (0..600).map(|number| 20 + number % 50).sum();
    assert_eq!(
        metric(&engine, "vllm:generation_tokens_total", "").await as usize,
        expected
    );
    assert_eq!(
        http_get(&format!("{}/health", engine.url()), None)
            .await
            .unwrap()
            .status,
        200
    );
}

#[tokio::test]
async fn what_is_thrown_out_for_want_of_memory_comes_to_its_end() {
    let mut options = options("tiny", 100.0);
    options.profile.kv_tokens = 2_000;
    let engine = Arc::new(start(options).await);
    let mut streams = tokio::task::JoinSet::new();
    for number in 0..6 {
        let engine = Arc::clone(&engine);
        streams.spawn(async move {
            let rest = json!({ "max_tokens": 900, "x_prompt_tokens": 300, "stream": true });
            let events = events(&engine, chat(&format!("{number}"), &rest), None)
                .await
                .unwrap();
            assert_eq!(words(&events), 900);
        });
    }
    while let Some(stream) = streams.join_next().await {
        stream.unwrap();
    }
    assert!(metric(&engine, "vllm:num_preemptions_total", "").await > 0.0);
    assert_eq!(
        metric(&engine, "vllm:generation_tokens_total", "").await as usize,
        5_400
    );
    assert_eq!(
        metric(&engine, "vllm:prompt_tokens_total", "").await as usize,
        1_800
    );
}

#[tokio::test]
async fn a_client_that_reads_slowly_holds_up_nothing_and_gets_all() {
    let engine = start(options("tiny", 1_000.0)).await;
    let body = chat("a", &json!({ "max_tokens": 30_000, "stream": true }));
    let mut slow = post(&engine, CHAT, body, None).await.unwrap().sse();
    // The model has made all of it before this client has read a byte of more than its socket holds.
    until(&engine, "vllm:e2e_request_latency_seconds_count", |count| {
        count > 0.0
    })
    .await;
    let mut tokens = 0;
    while let Some(event) = slow.next_event().await.unwrap() {
        tokens += usize::from(event.data.contains("\"content\":"));
    }
    assert_eq!(tokens, 30_000);
}
