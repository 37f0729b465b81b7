use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::fixtures;

fn body(text: &str) -> RequestBody {
    RequestBody::parse(Bytes::copy_from_slice(text.as_bytes()), 128).expect("a body")
}

/// Bodies and what they ask for.
fn asked() -> Vec<(&'static str, Features)> {
    let none = Features::default;
    vec![
        ("{}", none()),
        (
            r#"{"stream":true,"stream_options":{"include_usage":true},"n":2,"logprobs":true,"stop":["a"],"max_tokens":5,
                "max_completion_tokens":4}"#,
            Features {
                stream: true,
                include_usage: true,
                n: Some(2),
                logprobs: true,
                stop: true,
                max_tokens: Some(5),
                max_completion_tokens: Some(4),
                ..none()
            },
        ),
        (
            r#"{"stream":null,"n":null,"logprobs":false,"stop":null,"tools":[],"stream_options":{}}"#,
            none(),
        ),
        (
            r#"{"logprobs":5}"#,
            Features {
                logprobs: true,
                ..none()
            },
        ),
        (
            r#"{"tools":[{}],"tool_choice":"required"}"#,
            Features {
                tools: true,
                tool_choice: ToolChoice::Required,
                ..none()
            },
        ),
        (
            r#"{"functions":[{}],"tool_choice":{"type":"function","function":{"name":"f"}}}"#,
            Features {
                tools: true,
                tool_choice: ToolChoice::Named("f".into()),
                ..none()
            },
        ),
        (
            r#"{"tool_choice":{"type":"function","name":"g"}}"#,
            Features {
                tool_choice: ToolChoice::Named("g".into()),
                ..none()
            },
        ),
        (
            r#"{"tool_choice":{"type":"web_search"}}"#,
            Features {
                tool_choice: ToolChoice::Other,
                ..none()
            },
        ),
    ]
}

/// The same for formats, parts and inputs.
fn asked_inside() -> Vec<(&'static str, Features)> {
    let none = Features::default;
    vec![
        (
            r#"{"response_format":{"type":"json_schema"}}"#,
            Features {
                response_format: ResponseFormat::JsonSchema,
                ..none()
            },
        ),
        (
            r#"{"text":{"format":{"type":"json_object"}}}"#,
            Features {
                response_format: ResponseFormat::JsonObject,
                ..none()
            },
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}},{"type":"input_audio"},{"type":"file"}]},
                {"role":"assistant","content":null},{"role":"assistant"}]}"#,
            Features {
                image_parts: true,
                audio_parts: true,
                file_parts: true,
                ..none()
            },
        ),
        (
            r#"{"input":[{"role":"user","content":[{"type":"input_image"}]},{"type":"reasoning","content":null}],
                "previous_response_id":"r","store":false,"background":true,"max_output_tokens":9}"#,
            Features {
                image_parts: true,
                previous_response_id: true,
                store: Some(false),
                background: true,
                max_output_tokens: Some(9),
                ..none()
            },
        ),
        (r#"{"prompt":[[1,2],[3]]}"#, none()),
        (r#"{"prompt":["a"],"input":"b"}"#, none()),
        // With messages, the other two are unknown fields and the engine's.
        (
            r#"{"messages":[{"role":"user","content":"x"}],"prompt":{"id":1}}"#,
            none(),
        ),
    ]
}

#[test]
fn what_is_asked_for_is_found() {
    for (text, expected) in asked().into_iter().chain(asked_inside()) {
        assert_eq!(features(&body(text)), Ok(expected), "{text}");
    }
    let limits = features(&body(r#"{"max_tokens":5,"max_completion_tokens":4}"#)).unwrap();
    assert_eq!(
        (
            limits.output_tokens_max(),
            Features::default().output_tokens_max()
        ),
        (Some(4), None)
    );
}

const WRONG: &[(&str, &str)] = &[
    (
        r#"{"stream":"yes"}"#,
        "`stream` must be a boolean, found a string",
    ),
    (r#"{"n":0}"#, "`n` must be a whole number from 1, found 0"),
    (
        r#"{"n":-1}"#,
        "`n` must be a whole number from 0 to 18446744073709551615, found a negative number",
    ),
    (
        r#"{"stream_options":true}"#,
        "`stream_options` must be an object, found a boolean",
    ),
    (
        r#"{"stream_options":{"include_usage":1}}"#,
        "`stream_options.include_usage` must be a boolean, found a number",
    ),
    (
        r#"{"tools":{}}"#,
        "`tools` must be an array, found an object",
    ),
    (
        r#"{"tool_choice":1}"#,
        "`tool_choice` must be a string or an object, found a number",
    ),
    (
        r#"{"response_format":"json"}"#,
        "`response_format` must be an object, found a string",
    ),
    (
        r#"{"messages":"hi"}"#,
        "`messages` must be a non-empty array of messages, found a string",
    ),
    (
        r#"{"messages":[]}"#,
        "`messages` must be a non-empty array of messages, found an empty array",
    ),
    (
        r#"{"messages":[{"role":"user"},7]}"#,
        "`messages[1]` must be an object, found a number",
    ),
    (
        r#"{"messages":[{"content":"x"}]}"#,
        "`messages[0].role` must be a string, found nothing",
    ),
    (
        r#"{"messages":[{"role":1}]}"#,
        "`messages[0].role` must be a string, found a number",
    ),
    (
        r#"{"messages":[{"role":"a"},{"role":"b"},{"role":"c","content":5}]}"#,
        "`messages[2].content` must be a string or an array of parts, found a number",
    ),
    (
        r#"{"messages":[{"role":"a","content":[{},"x"]}]}"#,
        "`messages[0].content[1]` must be an object, found a string",
    ),
    (
        r#"{"prompt":{}}"#,
        "`prompt` must be a string or a non-empty array, found an object",
    ),
    (
        r#"{"prompt":[]}"#,
        "`prompt` must be a string or a non-empty array, found an empty array",
    ),
    (
        r#"{"prompt":["a",{}]}"#,
        "`prompt[1]` must be a string or a token id, found an object",
    ),
    (
        r#"{"input":[true]}"#,
        "`input[0]` must be a string, a token id or an input item, found a boolean",
    ),
    (
        r#"{"input":[{"content":7}]}"#,
        "`input[0].content` must be a string or an array of parts, found a number",
    ),
];

#[test]
fn wrong_types_are_named_by_path() {
    for (text, expected) in WRONG {
        assert_eq!(
            features(&body(text)).map_err(|error| error.to_string()),
            Err((*expected).into()),
            "{text}"
        );
    }
}

#[test]
fn what_an_endpoint_needs_is_required() {
    let cases = [
        (
            AnswerKind::Chat,
            "{}",
            Some("`messages` must be a non-empty array of messages, found nothing"),
        ),
        (
            AnswerKind::Chat,
            r#"{"messages":null}"#,
            Some("`messages` must be a non-empty array of messages, found null"),
        ),
        (AnswerKind::Chat, r#"{"messages":[]}"#, None),
        (
            AnswerKind::Completions,
            r#"{"input":"x"}"#,
            Some("`prompt` must be a string or a non-empty array, found nothing"),
        ),
        (AnswerKind::Embeddings, r#"{"input":"x"}"#, None),
        (AnswerKind::Responses, "{}", None),
    ];
    for (kind, text, expected) in cases {
        let found = require(&body(text), kind)
            .err()
            .map(|error| error.to_string());
        assert_eq!(found.as_deref(), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn any_body_is_taken(value in fixtures::value(), name in prop::sample::select(vec!["messages", "input", "prompt", "tools", "tool_choice", "text", "stream_options"])) {
        let body = body(&format!("{{\"{name}\":{value}}}"));
        drop(features(&body));
        for kind in [AnswerKind::Chat, AnswerKind::Completions, AnswerKind::Embeddings, AnswerKind::Responses] {
            drop(require(&body, kind));
            assert!(crate::text::prompt_size(&body, kind).tokens_estimated() > 0);
        }
    }
}
