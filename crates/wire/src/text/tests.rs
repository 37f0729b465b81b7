use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn size(kind: AnswerKind, text: &str) -> TextSize {
    let body = RequestBody::parse(Bytes::copy_from_slice(text.as_bytes()), 64).expect("a body");
    assert!(prompt_bytes(&body, kind) >= prompt_size(&body, kind).bytes);
    prompt_size(&body, kind)
}

const fn text(bytes: u64, non_ascii_bytes: u64, token_ids: u64, messages: u64) -> TextSize {
    TextSize {
        bytes,
        non_ascii_bytes,
        token_ids,
        messages,
    }
}

const CASES: &[(AnswerKind, &str, TextSize)] = &[
    (
        AnswerKind::Chat,
        r#"{"messages":[{"role":"user","content":"hello"}]}"#,
        text(5, 0, 0, 1),
    ),
    (
        AnswerKind::Chat,
        r#"{"messages":[{"role":"user","content":"안녕"}]}"#,
        text(6, 6, 0, 1),
    ),
    (
        AnswerKind::Chat,
        r#"{"messages":[{"role":"user","content":"\uc548\ub155\n!"}]}"#,
        text(8, 6, 0, 1),
    ),
    (
        AnswerKind::Chat,
        r#"{"messages":[{"role":"user","content":"\ud83d\ude00\u00e9\u0041"}]}"#,
        text(7, 6, 0, 1),
    ),
    (
        AnswerKind::Chat,
        r#"{"messages":[{"role":"system","content":"ab"},{"role":"user","content":[{"type":"text","text":"cde"},
               {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}}]}]}"#,
        text(5, 0, 0, 2),
    ),
    (
        AnswerKind::Chat,
        r#"{"messages":[{"role":"assistant","content":null,"tool_calls":[{"a":1}]},{"role":"tool","content":"ok"}]}"#,
        text(9, 0, 0, 2),
    ),
    (
        AnswerKind::Chat,
        r#"{"messages":[],"tools":[{"type":"function"}]}"#,
        text(21, 0, 0, 0),
    ),
    (
        AnswerKind::Completions,
        r#"{"prompt":"once","suffix":"end"}"#,
        text(7, 0, 0, 0),
    ),
    (
        AnswerKind::Completions,
        r#"{"prompt":["ab","c"]}"#,
        text(3, 0, 0, 0),
    ),
    (
        AnswerKind::Completions,
        r#"{"prompt":[1,2,3]}"#,
        text(0, 0, 3, 0),
    ),
    (
        AnswerKind::Embeddings,
        r#"{"input":[[1,2],[3]]}"#,
        text(0, 0, 3, 0),
    ),
    (
        AnswerKind::Embeddings,
        r#"{"input":"query"}"#,
        text(5, 0, 0, 0),
    ),
    (
        AnswerKind::Responses,
        r#"{"instructions":"be","input":"hello"}"#,
        text(7, 0, 0, 0),
    ),
    (
        AnswerKind::Responses,
        r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"hi"}]},
               {"type":"function_call_output","call_id":"c","output":"42"}]}"#,
        text(4, 0, 0, 2),
    ),
    (AnswerKind::Chat, r#"{"messages":7}"#, text(0, 0, 0, 0)),
];

#[test]
fn counts_the_text_that_a_model_reads() {
    for (kind, body, expected) in CASES {
        assert_eq!(size(*kind, body), *expected, "{body}");
    }
}

#[test]
fn estimates_are_never_nothing() {
    let cases = [
        (0, 0, 1),
        (1, 0, 1),
        (4, 0, 1),
        (5, 0, 2),
        (400, 0, 100),
        (3, 3, 1),
        (30, 30, 10),
        (10, 20, 4),
        (34, 30, 11),
    ];
    for (bytes, non_ascii, tokens) in cases {
        assert_eq!(
            estimate_tokens(bytes, non_ascii),
            tokens,
            "{bytes} {non_ascii}"
        );
    }
    assert!(estimate_tokens(u64::MAX, u64::MAX) < u64::MAX);
    assert_eq!(TextSize::default().tokens_estimated(), 1);
    assert_eq!(
        TextSize {
            token_ids: 7,
            ..TextSize::default()
        }
        .tokens_estimated(),
        7
    );
    assert_eq!(
        TextSize {
            bytes: 8,
            messages: 1,
            ..TextSize::default()
        }
        .tokens_estimated(),
        6
    );
}

proptest! {
    #[test]
    fn a_string_counts_as_its_decoded_bytes(text in ".{0,300}", escape in any::<bool>()) {
        let plain = serde_json::to_string(&text).unwrap();
        let json = if escape {
            text.encode_utf16().fold("\"".to_owned(), |json, unit| json + &format!("\\u{unit:04x}")) + "\""
        } else {
            plain
        };
        let mut size = TextSize::default();
        size.add(Value(json.as_bytes()));
        prop_assert_eq!(size.bytes, text.len() as u64);
        prop_assert_eq!(size.non_ascii_bytes, text.bytes().filter(|byte| *byte >= 0x80).count() as u64);
    }
}
