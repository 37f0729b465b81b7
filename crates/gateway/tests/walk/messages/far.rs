//! Anthropic's dialect spoken to an upstream, for the callers of every door.

use super::*;

#[tokio::test]
async fn chat_reaches_an_upstream_that_speaks_messages() {
    let far = super::far().await;
    let body = far_chat(json!({"max_tokens": 3, "user": "u", "messages": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "안녕"}]}));
    let answer = far.world.post(CHAT, &body).await;
    let json = answer.json().unwrap();
    assert_eq!(answer.status, 200, "{json}");
    assert_eq!(json["object"], "chat.completion");
    assert_eq!(
        json["choices"][0]["message"]["content"],
        "서울은 대한민국의"
    );
    assert_eq!(json["choices"][0]["finish_reason"], "length");
    assert_eq!(header(&answer.headers, "x-madang-jurisdiction"), "US");
    let expected = json!({"model": "claude", "max_tokens": 3, "system": "Be brief.", "metadata": {"user_id": "u"},
        "messages": [{"role": "user", "content": "안녕"}]});
    assert_eq!(far.asked(), expected);
    let headers = far.upstream.requests().pop().unwrap().headers;
    assert_eq!(headers["x-api-key"], KEY);
    assert_eq!(headers["anthropic-version"], "2023-06-01");
    assert!(!headers.contains_key("authorization"));
    let record = far.record(1).await;
    assert_eq!(record.endpoint, Endpoint::Chat);
    assert_eq!(record.tokens.output, Tokens(3));
    assert_eq!(record.tokens.cached, Tokens(2));
    assert!(!record.tokens.estimated);
    let usage = &json["usage"];
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 2);
    assert_eq!(
        usage["prompt_tokens"].as_u64().unwrap(),
        record.tokens.uncached.0 + record.tokens.cached.0
    );
}

#[tokio::test]
async fn a_streamed_chat_reaches_it_too() {
    let far = super::far().await;
    for (number, behaviour) in ["normal", "odd-frames", "split:7"].into_iter().enumerate() {
        far.upstream.set_behaviour(behaviour.parse().unwrap());
        let usage = number == 0;
        let mut body: Value = serde_json::from_str(&streamed(json!({"max_tokens": 3}))).unwrap();
        body["model"] = json!("far");
        if usage {
            body["stream_options"] = json!({"include_usage": true});
        }
        let events = events(far.world.send(CHAT, &[], &body.to_string()).await).await;
        assert!(events.last().unwrap().is_done(), "{behaviour}");
        let chunks: Vec<Value> = events
            .iter()
            .filter_map(|event| event.json().ok())
            .collect();
        let text: String = chunks
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
            .collect();
        assert_eq!(text, "서울은 대한민국의", "{behaviour}");
        let counts: Vec<&Value> = chunks
            .iter()
            .filter(|chunk| chunk["usage"].is_object())
            .collect();
        assert_eq!(counts.len(), usize::from(usage), "{behaviour}");
        let record = far.record(number + 1).await;
        assert_eq!(
            (record.outcome, record.tokens.output),
            (Outcome::Finished, Tokens(3))
        );
        assert!(!record.tokens.estimated && record.streamed, "{behaviour}");
        assert!(far.asked().get("stream_options").is_none());
    }
}

#[tokio::test]
async fn tools_go_both_ways() {
    let far = super::far().await;
    let tool = json!({"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}});
    let body = far_chat(json!({"tools": [tool], "tool_choice": "required"}));
    let answer = far.world.post(CHAT, &body).await.json().unwrap();
    let call = &answer["choices"][0]["message"]["tool_calls"][0]["function"];
    assert_eq!(call["arguments"], r#"{"city": "서울"}"#, "{answer}");
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");

    let tool = json!({"name": "get_weather", "input_schema": {"type": "object"}});
    let more = json!({"tools": [tool], "tool_choice": {"type": "any"}});
    let answer = far
        .world
        .post(DOOR, &ask("m", more.clone()))
        .await
        .json()
        .unwrap();
    assert_eq!(
        answer["content"][0]["input"],
        json!({"city": "서울"}),
        "{answer}"
    );
    assert_eq!(answer["stop_reason"], "tool_use");
    let mut streamed = more;
    streamed["stream"] = json!(true);
    let events = events(far.world.send(DOOR, &[], &ask("m", streamed)).await).await;
    assert_eq!(deltas(&events, "partial_json"), r#"{"city": "서울"}"#);
    assert_eq!(deltas(&events, "stop_reason"), "tool_use");
}

#[tokio::test]
async fn responses_reach_it_by_way_of_chat() {
    let far = super::far().await;
    let body = json!({"model": "far", "input": "안녕", "max_output_tokens": 3});
    let answer = far
        .world
        .post("/v1/responses", &body.to_string())
        .await
        .json()
        .unwrap();
    assert_eq!(
        answer["output"][0]["content"][0]["text"], "서울은 대한민국의",
        "{answer}"
    );
    assert_eq!(answer["usage"]["input_tokens_details"]["cached_tokens"], 2);
    let body = json!({"model": "far", "input": "안녕", "max_output_tokens": 3, "stream": true});
    let events = events(
        far.world
            .send("/v1/responses", &[], &body.to_string())
            .await,
    )
    .await;
    assert_eq!(names(&events).last(), Some(&"response.incomplete"));
    let last = events.last().unwrap().json().unwrap();
    assert_eq!(last["response"]["usage"]["output_tokens"], 3);
    assert_eq!(far.record(2).await.tokens.output, Tokens(3));
}

#[tokio::test]
async fn messages_pass_an_upstream_byte_for_byte() {
    let far = super::far().await;
    let more = json!({"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}], "top_k": 7,
        "a_field_of_tomorrow": [1.50]});
    let body = ask("far", more).replace("1.5", "1.50e+00");
    let betas = [
        ("anthropic-version", "2026-10-21"),
        (
            "anthropic-beta",
            "files-api-2025-04-14,context-1m-2025-08-07",
        ),
        ("x-other", "secret"),
    ];
    let answer = far
        .world
        .send(DOOR, &betas, &body)
        .await
        .collect()
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, far.upstream.last_answer_bytes());
    let asked = far.upstream.requests().pop().unwrap();
    assert_eq!(asked.body, body.replace("\"far\"", "\"claude\""));
    assert_eq!(asked.headers["anthropic-version"], "2026-10-21");
    assert_eq!(asked.headers["anthropic-beta"], "context-1m-2025-08-07");
    assert!(!asked.headers.contains_key("x-other"));
    let record = far.record(1).await;
    assert_eq!(
        (record.endpoint, record.tokens.output),
        (Endpoint::Messages, Tokens(3))
    );

    let body = ask("far", json!({"stream": true}));
    let answer = far
        .world
        .send(DOOR, &[], &body)
        .await
        .collect()
        .await
        .unwrap();
    assert_eq!(answer.body, far.upstream.last_answer_bytes());
    let record = far.record(2).await;
    assert_eq!(
        (record.outcome, record.tokens.output),
        (Outcome::Finished, Tokens(3))
    );
    assert_eq!(record.tokens.cached, Tokens(2));
}

#[tokio::test]
async fn an_upstreams_failures_are_told_in_the_callers_words() {
    let far = super::far().await;
    let refusal = r#"status:400:{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long"}}"#;
    far.upstream.set_behaviour(refusal.parse().unwrap());
    let answer = far.world.post(CHAT, &far_chat(json!({}))).await;
    let json = answer.json().unwrap();
    assert_eq!(answer.status, 400);
    assert_eq!(json["error"]["message"], "prompt is too long");
    assert!(json.get("type").is_none(), "{json}");
    let answer = far.world.post(DOOR, &ask("far", json!({}))).await;
    assert_eq!(answer.body, far.upstream.last_answer_bytes());
    assert_eq!(far.record(2).await.outcome, Outcome::EngineRefused);

    for (behaviour, expected) in [
        ("status:529", (502, ErrorCode::EngineUnreachable)),
        ("status:401", (502, ErrorCode::EngineFailed)),
        ("status:402", (502, ErrorCode::EngineFailed)),
        ("status:302", (502, ErrorCode::EngineFailed)),
        ("status:500", (502, ErrorCode::EngineFailed)),
        ("wrong-json", (502, ErrorCode::EngineAnswerInvalid)),
        ("close", (502, ErrorCode::EngineUnreachable)),
    ] {
        // A fresh one, since failures in a row rest a member.
        let far = super::far().await;
        far.upstream.set_behaviour(behaviour.parse().unwrap());
        let answer = far.world.post(CHAT, &far_chat(json!({}))).await;
        let json = answer.json().unwrap();
        assert_eq!(
            (answer.status, code(&json)),
            (expected.0, expected.1.as_str()),
            "{behaviour}"
        );
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!text.contains(KEY), "{text}");
        assert!(
            behaviour != "status:302" || text.contains("redirects are not followed"),
            "{text}"
        );
    }
    for chunks in [3, 4] {
        let far = super::far().await;
        far.upstream
            .set_behaviour(format!("error-event:{chunks}").parse().unwrap());
        let mut body: Value = serde_json::from_str(&streamed(json!({}))).unwrap();
        body["model"] = json!("far");
        let events = events(far.world.send(CHAT, &[], &body.to_string()).await).await;
        let last = events.last().unwrap().json().unwrap();
        assert_eq!(last["error"]["code"], "engine_cut", "{last}");
        assert!(
            last["error"]["message"]
                .as_str()
                .unwrap()
                .contains("Overloaded")
        );
        let record = far.record(1).await;
        assert_eq!(record.outcome, Outcome::EngineCut);
        // The prompt was counted by the upstream, what came of the answer by us.
        assert_eq!(
            (record.tokens.cached, record.tokens.estimated),
            (Tokens(2), true)
        );
        assert!(record.tokens.output >= Tokens(chunks - 3), "{record:?}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_a_mapped_stream_frees_the_upstream() {
    let far = super::far().await;
    far.upstream.set_behaviour("stall-after:4".parse().unwrap());
    far.world.behave("stall-after:4");
    let mut body: Value = serde_json::from_str(&streamed(json!({}))).unwrap();
    body["model"] = json!("far");
    let mut streams = [
        far.world.send(CHAT, &[], &body.to_string()).await,
        far.world
            .send(DOOR, &[], &ask("m", json!({"stream": true})))
            .await,
    ];
    for stream in &mut streams {
        assert!(stream.next_chunk().await.unwrap().is_some());
    }
    drop(streams);
    for record in far.world.records(2).await {
        assert_eq!(record.outcome, Outcome::ClientGone);
    }
    far.world.assert_idle("after both have left").await;
    assert!(madang_testkit::eventually(|| far.upstream.in_flight() == 0).await);
}
