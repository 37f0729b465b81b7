//! Generated JSON for the property tests of this crate.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// White space as encoders and people write it.
pub(crate) fn space() -> impl Strategy<Value = String> {
    select(vec!["", "", "", " ", "\n", "\t", "\r\n  ", "  "]).prop_map(str::to_owned)
}

/// The inside of a JSON string: any characters, escapes, surrogate pairs, and halves of such pairs.
fn string_inner() -> impl Strategy<Value = String> {
    let plain = any::<char>().prop_map(|char| match char {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        char if char < ' ' => format!("\\u{:04x}", u32::from(char)),
        char => char.to_string(),
    });
    let escapes = vec![
        "\\n",
        "\\t",
        "\\r",
        "\\b",
        "\\f",
        "\\/",
        "\\\\",
        "\\\"",
        "\\u0041",
        "\\uD55C",
        "\\ud83d\\ude00",
        "\\ud800",
        "\\udc00x",
        "안녕하세요",
        "a plain stretch that is longer than one block of the scanner",
    ];
    vec(
        prop_oneof![3 => plain, 2 => select(escapes).prop_map(str::to_owned)],
        0..12,
    )
    .prop_map(|pieces| pieces.concat())
}

fn number() -> impl Strategy<Value = String> {
    "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?"
}

/// Any JSON value's text, with white space anywhere it is allowed and repeated keys.
pub(crate) fn value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        string_inner().prop_map(|inner| format!("\"{inner}\"")),
        number(),
        select(vec![
            "true",
            "false",
            "null",
            "[]",
            "{}",
            "[ ]",
            "{\n}",
            "18446744073709551616"
        ])
        .prop_map(str::to_owned),
    ];
    scalar.prop_recursive(5, 48, 6, |inner| {
        let item = (space(), inner.clone(), space())
            .prop_map(|(before, text, after)| before + &text + &after)
            .boxed();
        let pair = (space(), "\"[a-c]\"", space(), item.clone())
            .prop_map(|(before, key, after, item)| format!("{before}{key}{after}:{item}"));
        prop_oneof![
            vec(item, 1..6).prop_map(|items| format!("[{}]", items.join(","))),
            vec(pair, 1..6).prop_map(|pairs| format!("{{{}}}", pairs.join(","))),
        ]
    })
}

/// A body's pairs: distinct keys, some of them the ones that edits name, and values.
pub(crate) fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    let key = prop_oneof![
        select(vec![
            "model",
            "stream",
            "stream_options",
            "n",
            "messages",
            "모델",
            "a\\\"b",
            "x\\u0041"
        ])
        .prop_map(str::to_owned),
        "[a-z_]{1,8}",
    ];
    vec((key, value()), 0..8).prop_map(|mut pairs| {
        let mut seen = std::collections::BTreeSet::new();
        pairs.retain(|(key, _)| seen.insert(key.clone()));
        pairs
    })
}

/// A body made of pairs, with white space that follows from `spaces`.
pub(crate) fn body_text(pairs: &[(String, String)], spaces: &[String]) -> String {
    let mut spaces = spaces.iter().cycle();
    let mut space = || spaces.next().cloned().unwrap_or_default();
    let inner: Vec<String> = pairs
        .iter()
        .map(|(key, value)| {
            format!(
                "{}\"{key}\"{}:{}{value}{}",
                space(),
                space(),
                space(),
                space()
            )
        })
        .collect();
    format!(
        "{}{{{}{}}}{}",
        space(),
        inner.join(","),
        if pairs.is_empty() {
            space()
        } else {
            String::new()
        },
        space()
    )
}
