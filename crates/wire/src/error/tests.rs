use super::*;
use crate::sse::SseSplitter;

const FIELDS: ErrorFields<'_> = ErrorFields {
    message: "the engine went away \"mid-answer\"",
    kind: "server_error",
    param: None,
    code: "upstream_cut",
    request_id: "req_1",
    remedy: Some("ask again"),
    doc: "docs/errors/upstream_cut.md",
    retry_after_ms: None,
    reasons: &[],
};

#[test]
fn a_body_has_openais_shape() {
    assert_eq!(
        error_body(&FIELDS),
        "{\"error\":{\"message\":\"the engine went away \\\"mid-answer\\\"\",\"type\":\"server_error\",\"param\":null,\
         \"code\":\"upstream_cut\",\"request_id\":\"req_1\",\"remedy\":\"ask again\",\
         \"doc\":\"docs/errors/upstream_cut.md\"}}"
    );
    let bare = error_body(&ErrorFields {
        remedy: None,
        param: Some("model"),
        ..FIELDS
    });
    assert!(
        bare.contains("\"param\":\"model\"") && !bare.contains("remedy"),
        "{bare}"
    );
}

#[test]
fn an_event_says_when_to_try_again() {
    let fields = ErrorFields {
        retry_after_ms: Some(1_500),
        ..FIELDS
    };
    for kind in [
        AnswerKind::Chat,
        AnswerKind::Responses,
        AnswerKind::Messages,
    ] {
        let event = stream_error_event(kind, &fields);
        let text = std::str::from_utf8(&event).unwrap();
        let (_, data) = text.split_once("data: ").unwrap();
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["error"]["retry_after_ms"], 1_500, "{text}");
    }
}

/// What both SDKs do with an event: raise when the data is an object with a truthy `error`.
#[test]
fn a_broken_stream_makes_the_sdks_raise() {
    for kind in [
        AnswerKind::Chat,
        AnswerKind::Completions,
        AnswerKind::Embeddings,
        AnswerKind::Responses,
    ] {
        let mut events = Vec::new();
        let mut splitter = SseSplitter::new(4096);
        splitter
            .push(stream_error_event(kind, &FIELDS), &mut events)
            .unwrap();
        assert_eq!((events.len(), splitter.finish()), (1, None));
        let data: serde_json::Value = serde_json::from_slice(&events[0].data().unwrap()).unwrap();
        assert_eq!(data["error"]["message"], FIELDS.message);
        assert_eq!(data["error"]["code"], FIELDS.code);
        let responses = kind == AnswerKind::Responses;
        assert_eq!(events[0].event_name(), responses.then_some("error"));
        if responses {
            assert_eq!(
                (&data["type"], &data["message"]),
                (&"error".into(), &FIELDS.message.into())
            );
            assert_eq!(
                (&data["code"], &data["sequence_number"]),
                (&FIELDS.code.into(), &0.into())
            );
        }
        assert!(crate::usage::from_event(kind, &events[0].data().unwrap()).error);
    }
}

fn found(
    message: &str,
    kind: Option<&str>,
    code: Option<&str>,
    param: Option<&str>,
) -> EngineError {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    EngineError {
        message: message.to_owned(),
        kind: owned(kind),
        code: owned(code),
        param: owned(param),
        ..EngineError::default()
    }
}

#[test]
fn engine_errors_are_read_in_every_shape() {
    let cases = [
        (
            r#"{"error":{"message":"no such model","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#,
            Some(found(
                "no such model",
                Some("invalid_request_error"),
                Some("model_not_found"),
                Some("model"),
            )),
        ),
        (
            r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#,
            Some(found(
                "Loading model",
                Some("unavailable_error"),
                Some("503"),
                None,
            )),
        ),
        (
            r#"{"object":"error","message":"bad","type":"BadRequestError","param":null,"code":400}"#,
            Some(found("bad", Some("BadRequestError"), Some("400"), None)),
        ),
        (
            r#"{"error":"overloaded"}"#,
            Some(found("overloaded", None, None, None)),
        ),
        (
            r#"{"detail":"Not Found"}"#,
            Some(found("Not Found", None, None, None)),
        ),
        (
            r#"{"detail":[{"loc":["body","messages",0,"role"],"msg":"field required","type":"value_error"}]}"#,
            Some(found("field required", None, None, Some("messages.0.role"))),
        ),
        (
            r#"{"message":"Unauthorized","code":401}"#,
            Some(found("Unauthorized", None, Some("401"), None)),
        ),
        (r#"{"choices":[]}"#, None),
        (r#"{"error":null}"#, None),
        (r#"{"error":true}"#, None),
        (r#"{"detail":[]}"#, None),
        ("Bad Gateway", None),
        ("", None),
    ];
    for (body, expected) in cases {
        assert_eq!(engine_error(body.as_bytes()), expected, "{body}");
    }
}

#[test]
fn a_prompt_that_does_not_fit_is_recognised() {
    let bodies = [
        r#"{"error":{"code":400,"message":"the request exceeds the available context size, try increasing it",
            "type":"exceed_context_size_error","n_prompt_tokens":5000,"n_ctx":4096}}"#,
        r#"{"object":"error","message":"This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",
            "type":"BadRequestError","param":null,"code":400}"#,
        r#"{"error":{"message":"too long","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
        r#"{"object":"error","message":"The input (5000 tokens) is longer than the model's context length (4096 tokens).","code":400}"#,
    ];
    for body in bodies {
        assert!(
            engine_error(body.as_bytes()).unwrap().is_context_exceeded(),
            "{body}"
        );
    }
    let first = engine_error(bodies[0].as_bytes()).unwrap();
    assert_eq!(
        (first.prompt_tokens, first.context_tokens),
        (Some(5000), Some(4096))
    );
    assert!(
        !engine_error(br#"{"error":"busy"}"#)
            .unwrap()
            .is_context_exceeded()
    );
}

#[test]
fn a_long_message_is_cut_between_characters() {
    let body = format!("{{\"error\":\"a{}\"}}", "가".repeat(5000));
    let message = engine_error(body.as_bytes()).unwrap().message;
    assert!(message.len() <= MESSAGE_BYTES_MAX && message.len() > MESSAGE_BYTES_MAX - 4);
}
