//! The forms of answers, errors and pages.

use super::{CHAT, WAIT_MAX, chat, events, metric, options, plain, post, start, until, words};
use madang_rehearsal::Options;
use madang_testkit::{RawClient, RawEnd, http_get, http_post_json, http_send};
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_plain_answer_has_its_words_and_its_usage() {
    let engine = start(options("tiny", 100.0)).await;
    let answer = plain(&engine, chat("Hello, yard!", &json!({ "max_tokens": 7 }))).await;
    let body = answer.json().unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(
        body["choices"][0]["message"]["content"]
            .as_str()
            .unwrap()
            .split(' ')
            .count(),
        7
    );
    assert_eq!(body["choices"][0]["finish_reason"], "length");
    let usage = json!({ "prompt_tokens": 3, "completion_tokens": 7, "total_tokens": 10, "prompt_tokens_details": { "cached_tokens": 0 } });
    assert_eq!(body["usage"], usage);
    let again = plain(&engine, chat("Hello, yard!", &json!({ "max_tokens": 7 })))
        .await
        .json()
        .unwrap();
    assert_eq!(body["choices"], again["choices"]);

    let body = r#"{"prompt":"abcdefgh","max_tokens":9,"x_output_tokens":2}"#.to_owned();
    let answer = post(&engine, "/v1/completions", body, None)
        .await
        .unwrap()
        .collect()
        .await
        .unwrap()
        .json()
        .unwrap();
    assert_eq!(answer["object"], "text_completion");
    assert_eq!(
        answer["choices"][0]["text"]
            .as_str()
            .unwrap()
            .split(' ')
            .count(),
        2
    );
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn a_stream_has_an_event_for_each_token_and_usage_where_it_is_asked_for() {
    let engine = start(options("tiny", 100.0)).await;
    for include_usage in [true, false] {
        let rest = json!({ "max_tokens": 150, "stream": true, "stream_options": { "include_usage": include_usage } });
        let events = events(&engine, chat("abcd", &rest), None).await.unwrap();
        assert_eq!(words(&events), 150);
        assert!(events.last().unwrap().is_done());
        let first = events[0].json().unwrap();
        assert_eq!(
            (&first["object"], &first["choices"][0]["delta"]["role"]),
            (&json!("chat.completion.chunk"), &json!("assistant"))
        );
        assert_eq!(
            events[149].json().unwrap()["choices"][0]["finish_reason"],
            "length"
        );
        assert_eq!(
            events[148].json().unwrap()["choices"][0]["finish_reason"],
            json!(null)
        );
        let usage = events.len() == 152;
        assert_eq!(usage, include_usage, "{} events", events.len());
        if include_usage {
            let event = events[150].json().unwrap();
            assert_eq!(
                (&event["choices"], &event["usage"]["completion_tokens"]),
                (&json!([]), &json!(150))
            );
        }
    }
}

#[tokio::test]
async fn drawn_lengths_follow_the_seed() {
    let lengths = async |seed| {
        let mut options = options("tiny", 1_000.0);
        (options.seed, options.output_tokens_mean) = (seed, Some(40));
        let engine = start(options).await;
        let mut lengths = Vec::new();
        for _ in 0..20 {
            let body = plain(&engine, chat("a", &json!({ "max_tokens": 10_000 })))
                .await
                .json()
                .unwrap();
            lengths.push(body["usage"]["completion_tokens"].as_u64().unwrap());
        }
        lengths
    };
    let first = lengths(1).await;
    assert_eq!(first, lengths(1).await);
    assert_ne!(first, lengths(2).await);
    assert!(
        (300..2_000).contains(&first.iter().sum::<u64>()),
        "{first:?}"
    );
}

#[tokio::test]
async fn bad_input_gets_the_protocols_errors() {
    let engine = start(options("tiny", 100.0)).await;
    let check = async |method: http::Method, path: &str, body: &str, status: u16, words: &str| {
        let url = format!("{}{path}", engine.url());
        let answer = http_send(method, &url, &[], body.to_owned())
            .await
            .unwrap()
            .collect()
            .await
            .unwrap();
        let error = answer.json().unwrap()["error"].clone();
        assert_eq!(answer.status, status, "{path} {body}");
        assert!(
            error["message"].as_str().unwrap().contains(words),
            "{path} {body}: {error}"
        );
        assert!(
            error["type"].as_str().unwrap().ends_with("_error"),
            "{error}"
        );
    };
    use http::Method;
    check(Method::POST, CHAT, "nonsense", 400, "not a request").await;
    check(Method::POST, CHAT, "{}", 400, "messages").await;
    check(
        Method::POST,
        CHAT,
        &chat("a", &json!({ "model": "other" })),
        404,
        "`other` does not exist",
    )
    .await;
    check(
        Method::POST,
        CHAT,
        &chat("a", &json!({ "x_prompt_tokens": 1_000_000 })),
        400,
        "maximum context length",
    )
    .await;
    check(Method::POST, "/v1/completions", "{}", 400, "prompt").await;
    check(Method::GET, CHAT, "", 405, "Not Allowed").await;
    check(Method::GET, "/v1/other", "", 404, "Not Found").await;
    check(
        Method::POST,
        CHAT,
        &"x".repeat(17 << 20),
        413,
        "longer than",
    )
    .await;
    let answer = post(&engine, CHAT, chat("a", &json!({})), Some("no-such"))
        .await
        .unwrap();
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn more_requests_than_the_bound_are_refused() {
    let mut options = options("tiny", 100.0);
    options.requests_max = 1;
    let engine = start(options).await;
    let held = chat("a", &json!({ "stream": true }));
    let held = post(&engine, CHAT, held, Some("endless")).await.unwrap();
    let answer = plain(&engine, chat("a", &json!({}))).await;
    let error = answer.json().unwrap()["error"]["message"].clone();
    assert_eq!(
        (answer.status, error),
        (503, json!("too many requests at once"))
    );
    drop(held);
}

#[tokio::test]
async fn a_head_has_a_bound() {
    let engine = start(options("tiny", 1.0)).await;
    let mut client = RawClient::connect(&engine.url()).await.unwrap();
    client
        .send(b"GET /health HTTP/1.1\r\nhost: a\r\n")
        .await
        .unwrap();
    let sent = client
        .send_endlessly(
            b"x-filler: 0123456789012345678901234567890123456789\r\n",
            64 << 20,
        )
        .await;
    assert!(sent < 64 << 20);
    let read = client.read_to_close(WAIT_MAX).await;
    assert_ne!(read.end, RawEnd::Open);
}

#[tokio::test]
async fn the_model_and_its_health_are_told() {
    let engine = start(options("tiny", 100.0)).await;
    let models = http_get(&format!("{}/v1/models", engine.url()), None)
        .await
        .unwrap()
        .json()
        .unwrap();
    assert_eq!(
        (
            &models["data"][0]["id"],
            &models["data"][0]["max_model_len"]
        ),
        (&json!("m"), &json!(100_000))
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
async fn the_metrics_page_counts_what_was_served() {
    let engine = start(options("tiny", 100.0)).await;
    plain(
        &engine,
        chat("a", &json!({ "max_tokens": 10, "x_prompt_tokens": 5_000 })),
    )
    .await;
    plain(
        &engine,
        chat(
            "a",
            &json!({ "max_tokens": 10, "x_prompt_tokens": 5_000, "x_output_tokens": 5 }),
        ),
    )
    .await;
    for (name, label, expected) in [
        ("vllm:num_requests_running", "model_name=\"m\"", 0.0),
        ("vllm:num_requests_waiting", "", 0.0),
        ("vllm:kv_cache_usage_perc", "", 0.0),
        ("vllm:gpu_cache_usage_perc", "", 0.0),
        ("vllm:num_preemptions_total", "", 0.0),
        ("vllm:prompt_tokens_total", "", 10_000.0),
        ("vllm:generation_tokens_total", "", 15.0),
        ("vllm:prefix_cache_queries_total", "", 10_000.0),
        ("vllm:prefix_cache_hits_total", "", 4_608.0),
        (
            "vllm:request_success_total",
            "finished_reason=\"length\"",
            1.0,
        ),
        (
            "vllm:request_success_total",
            "finished_reason=\"stop\"",
            1.0,
        ),
        (
            "vllm:request_success_total",
            "finished_reason=\"abort\"",
            0.0,
        ),
        ("vllm:time_to_first_token_seconds_count", "", 2.0),
        (
            "vllm:time_to_first_token_seconds_bucket",
            "le=\"+Inf\"",
            2.0,
        ),
        ("vllm:time_per_output_token_seconds_count", "", 13.0),
        ("vllm:e2e_request_latency_seconds_count", "", 2.0),
    ] {
        let value = metric(&engine, name, label).await;
        assert!((value - expected).abs() < 1e-9, "{name} {label}: {value}");
    }
    assert!(metric(&engine, "process_start_time_seconds", "").await > 1.7e9);
}

#[tokio::test]
async fn a_restart_forgets_all_and_cuts_what_runs() {
    let engine = start(options("tiny", 0.1)).await;
    let long = json!({ "max_tokens": 50_000, "stream": true });
    let mut stream = post(&engine, CHAT, chat("a", &long), None)
        .await
        .unwrap()
        .sse();
    stream.next_event().await.unwrap().unwrap();
    let plain = tokio::spawn({
        let url = format!("{}{CHAT}", engine.url());
        async move { http_post_json(&url, None, chat("b", &json!({ "max_tokens": 50_000 }))).await }
    });
    until(&engine, "vllm:num_requests_running", |count| count > 1.0).await;
    let before = metric(&engine, "process_start_time_seconds", "").await;
    let answer = http_post_json(&format!("{}/rehearsal/restart", engine.url()), None, "")
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    while let Ok(event) = stream.next_event().await {
        assert!(!event.unwrap().is_done());
    }
    assert!(plain.await.unwrap().is_err());
    assert!(metric(&engine, "process_start_time_seconds", "").await > before);
    assert_eq!(
        metric(&engine, "vllm:num_requests_running", "").await as u64,
        0
    );
    assert_eq!(
        metric(&engine, "vllm:prompt_tokens_total", "").await as u64,
        0
    );
}

#[tokio::test]
async fn nobody_is_answered_while_weights_are_read() {
    // Fifty seconds of the model's time, half a second on the wall.
    let begun = Instant::now();
    let engine = start(Options {
        load: Duration::from_secs(50),
        ..options("tiny", 100.0)
    })
    .await;
    let served = async |begun: Instant| {
        while http_get(&format!("{}/health", engine.url()), None)
            .await
            .is_err()
        {
            assert!(begun.elapsed() < WAIT_MAX, "it never serves");
        }
        assert!(begun.elapsed() >= Duration::from_millis(500));
    };
    served(begun).await;
    let begun = Instant::now();
    let answer = http_post_json(&format!("{}/rehearsal/restart", engine.url()), None, "")
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    served(begun).await;
}

#[tokio::test]
async fn stopping_closes_connections_and_the_port() {
    let engine = start(options("tiny", 0.1)).await;
    let url = engine.url();
    let body = chat("a", &json!({ "max_tokens": 50_000, "stream": true }));
    let mut stream = post(&engine, CHAT, body, None).await.unwrap().sse();
    stream.next_event().await.unwrap().unwrap();
    engine.stop().await;
    while let Ok(Some(event)) = stream.next_event().await {
        assert!(!event.is_done());
    }
    assert!(http_get(&format!("{url}/health"), None).await.is_err());
}
