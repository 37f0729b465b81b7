use super::*;
use proptest::prelude::*;

fn check(kind: AnswerKind, data: &str, expected: (&[(u64, u64, ChannelKind, &str)], Ends)) {
    let found = event_pieces(kind, data.as_bytes());
    let short: Vec<_> = found
        .pieces
        .iter()
        .map(|piece| {
            let Channel { item, part, kind } = piece.channel;
            assert!(data[piece.span.clone()].starts_with('"'), "{data}");
            (item, part, kind, piece.text.as_ref())
        })
        .collect();
    assert_eq!((short.as_slice(), found.ends), expected, "{data}");
}

#[test]
fn pieces_are_found_with_their_channel() {
    use AnswerKind::{Chat, Completions, Messages, Responses};
    use ChannelKind::{Arguments, Reasoning, Text};
    check(
        Chat,
        r#"{"choices":[{"delta":{"content":"a\"b"},"index":1,"finish_reason":null}]}"#,
        (&[(1, 0, Text, "a\"b")], Ends::Nothing),
    );
    check(
        Chat,
        r#"{"choices":[{"index":0,"delta":{"reasoning_content":"r","tool_calls":[{"index":2,"function":{"arguments":"{\"a"}}]}}]}"#,
        (
            &[(0, 0, Reasoning, "r"), (0, 2, Arguments, "{\"a")],
            Ends::Nothing,
        ),
    );
    check(
        Chat,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"},{"index":1,"delta":{}}]}"#,
        (&[], Ends::Items(vec![0])),
    );
    check(
        Completions,
        r#"{"choices":[{"index":0,"text":"x","finish_reason":"length"}]}"#,
        (&[(0, 0, Text, "x")], Ends::Items(vec![0])),
    );
    check(
        Responses,
        r#"{"type":"response.output_text.delta","output_index":1,"content_index":2,"delta":"x"}"#,
        (&[(1, 2, Text, "x")], Ends::Nothing),
    );
    check(
        Responses,
        r#"{"type":"response.output_text.done","text":"x"}"#,
        (&[], Ends::All),
    );
    check(
        Messages,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a"}}"#,
        (&[(1, 0, Arguments, "{\"a")], Ends::Nothing),
    );
    check(
        Messages,
        r#"{"type":"content_block_stop","index":1}"#,
        (&[], Ends::All),
    );
    check(Messages, r#"{"type":"ping"}"#, (&[], Ends::Nothing));
    check(Chat, "[DONE]", (&[], Ends::Nothing));
}

proptest! {
    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for kind in [AnswerKind::Chat, AnswerKind::Completions, AnswerKind::Responses, AnswerKind::Messages] {
            for piece in event_pieces(kind, &bytes).pieces {
                prop_assert!(piece.span.end <= bytes.len());
            }
        }
    }
}
