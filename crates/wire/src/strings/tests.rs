use super::*;
use proptest::prelude::*;

fn check(json: &str, expected: &[(&str, &str, u32)]) {
    let found: Vec<_> = json_texts(json.as_bytes()).collect();
    let short: Vec<_> = found
        .iter()
        .filter(|text| text.kind != JsonTextKind::Key)
        .map(|text| {
            let key = std::str::from_utf8(text.key).unwrap_or_default();
            (key, text.text.as_ref(), text.run)
        })
        .collect();
    assert_eq!(short, expected, "{json}");
}

#[test]
fn strings_know_their_key_and_their_run() {
    check("{}", &[]);
    check(
        r#"{"a":"b","c" : "d\u0041\n"}"#,
        &[("a", "b", 0), ("c", "dA\n", 0)],
    );
    check(
        r#"{"m":[{"content":"x"},{"content":[{"type":"text","text":"1"},{"text":"2"}]},"y"],"n":-1.5e3}"#,
        &[
            ("content", "x", 1),
            ("type", "text", 2),
            ("text", "1", 2),
            ("text", "2", 2),
            ("", "y", 3),
            ("n", "-1.5e3", 4),
        ],
    );
    check(r#"{"half":"\ud800"}"#, &[("half", r"\ud800", 0)]);
    // No JSON: whatever looks like a string, and no panic.
    check(r#"{"a":"b"#, &[("a", "b", 0)]);
}

#[test]
fn a_replaced_string_changes_its_span_only() {
    let json = r#"{ "a" : "one\n", "b":[ "two" ,3] }"#;
    let spans: Vec<_> = json_texts(json.as_bytes())
        .filter(|text| text.text.contains('o'))
        .map(|text| (text.span, text.text.replace('o', "\"0")))
        .collect();
    let replaced = json_replaced(json.as_bytes(), &spans);
    assert_eq!(
        String::from_utf8_lossy(&replaced),
        r#"{ "a" : "\"0ne\n", "b":[ "tw\"0" ,3] }"#
    );
}

proptest! {
    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut end = 0;
        for text in json_texts(&bytes) {
            prop_assert!(text.span.start >= end && text.span.end <= bytes.len());
            end = text.span.end;
        }
    }

    #[test]
    fn every_string_is_found(values in proptest::collection::vec(".*", 0..8)) {
        let json = serde_json::json!({ "values": values, "nested": [{ "deep": values }] }).to_string();
        let found: Vec<String> = json_texts(json.as_bytes())
            .filter(|text| text.kind == JsonTextKind::String)
            .map(|text| text.text.into_owned())
            .collect();
        prop_assert_eq!(found, [values.clone(), values].concat());
    }
}
