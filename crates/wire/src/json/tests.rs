use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;
use crate::fixtures;

const DEPTH_MAX: u32 = 100;

fn scan(text: &[u8]) -> Result<(), Fault> {
    let mut scanner = Scanner::new(text, DEPTH_MAX);
    scanner.value(0)?;
    match scanner.skip_space() {
        None => Ok(()),
        Some(_) => scanner.fault("rest"),
    }
}

#[test]
fn refuses_what_is_no_json_and_says_where() {
    let cases: &[(&str, usize)] = &[
        ("", 0),
        ("  ", 2),
        ("nul", 0),
        ("[1,]", 3),
        ("[1 2]", 3),
        ("[1", 2),
        ("{\"a\" 1}", 5),
        ("{\"a\":1,}", 7),
        ("{a:1}", 1),
        ("{\"a\":1", 6),
        ("[1}", 2),
        ("{\"a\":1]", 6),
        ("01", 1),
        ("1.", 2),
        ("-", 1),
        ("+1", 0),
        ("1e", 2),
        (".5", 0),
        ("\"abc", 4),
        ("\"a\nb\"", 2),
        ("\"\\x\"", 1),
        ("\"\\u12g4\"", 1),
        ("\"\\", 1),
        ("'a'", 0),
        ("NaN", 0),
        ("\u{feff}1", 0),
        ("// no\n1", 0),
    ];
    for (text, at) in cases {
        let fault = scan(text.as_bytes()).expect_err(text);
        assert_eq!(
            (fault.at, matches!(fault.kind, FaultKind::Syntax(_))),
            (*at, true),
            "{text}: {fault:?}"
        );
    }
}

#[test]
fn depth_is_bounded_and_needs_no_stack() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let depth_max = DEPTH_MAX as usize;
    assert_eq!(scan(nested(depth_max).as_bytes()), Ok(()));
    assert_eq!(
        scan(nested(depth_max + 1).as_bytes()),
        Err(Fault {
            at: depth_max,
            kind: FaultKind::TooDeep
        })
    );
    // Mixed containers across the words of the level stack.
    for depth in [63, 64, 65, 127, 128, 129, 200, 1000] {
        let text = "{\"a\":[".repeat(depth) + &"]}".repeat(depth);
        assert_eq!(
            Scanner::new(text.as_bytes(), u32::MAX).value(0),
            Ok(0..text.len()),
            "{depth}"
        );
        let wrong = "{\"a\":[".repeat(depth) + &"]}".repeat(depth - 1) + "}]";
        assert!(
            Scanner::new(wrong.as_bytes(), u32::MAX).value(0).is_err(),
            "{depth}"
        );
    }
    let open = vec![b'['; 4 << 20];
    assert_eq!(
        Scanner::new(&open, u32::MAX)
            .value(0)
            .map_err(|fault| fault.at),
        Err(open.len())
    );
}

#[test]
fn numbers_are_read_strictly() {
    let cases: &[(&str, Option<u64>)] = &[
        ("0", Some(0)),
        ("7", Some(7)),
        ("7.0", Some(7)),
        ("7.00", Some(7)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("-1", None),
        ("-0", None),
        ("1.5", None),
        ("1.", None),
        ("1e3", None),
        ("\"7\"", None),
        ("", None),
        ("null", None),
    ];
    for (text, expected) in cases {
        assert_eq!(Value(text.as_bytes()).unsigned(), *expected, "{text}");
    }
}

#[test]
fn keys_are_compared_by_meaning_and_the_last_wins() {
    let object = Value(br#"{"a":1,"\u0061":2,"b":3}"#);
    assert_eq!(object.get("a"), Some(Value(b"2")));
    assert_eq!(object.get("c"), None);
}

/// How many values a walk over everything sees.
fn walk(value: Value<'_>, depth: u32) -> usize {
    let inner: usize = if depth == 0 {
        0
    } else {
        value
            .items()
            .chain(value.entries().map(|(_, value)| value))
            .map(|inner| walk(inner, depth - 1))
            .sum()
    };
    let _ = (
        value.kind(),
        value.text(),
        value.unsigned(),
        value.boolean(),
    );
    inner + 1
}

fn count(value: &serde_json::Value) -> usize {
    1 + match value {
        serde_json::Value::Array(items) => items.iter().map(count).sum(),
        serde_json::Value::Object(entries) => entries.values().map(count).sum(),
        _ => 0,
    }
}

proptest! {
    #[test]
    fn accepts_what_serde_json_accepts(text in fixtures::value()) {
        prop_assert_eq!(scan(text.as_bytes()), Ok(()));
        prop_assert!(serde_json::from_str::<&RawValue>(&text).is_ok());
    }

    #[test]
    fn refuses_what_serde_json_refuses(text in fixtures::value(), at in any::<prop::sample::Index>(), with in "[\\[\\]{}\",:0-9a\\\\ \n\u{1}-]{0,2}") {
        let at = text.char_indices().map(|(at, _)| at).nth(at.index(text.chars().count())).unwrap_or_default();
        let len = text[at..].chars().next().map_or(0, char::len_utf8);
        let broken = format!("{}{with}{}", &text[..at], &text[at + len..]);
        prop_assert_eq!(scan(broken.as_bytes()).is_ok(), serde_json::from_str::<&RawValue>(&broken).is_ok(), "{}", broken);
    }

    #[test]
    fn the_cursor_sees_every_value(text in fixtures::value()) {
        // Repeated keys and huge numbers are lost in a serde_json value.
        if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
            let seen = walk(Value::of(text.as_bytes()), u32::MAX);
            prop_assert!(seen >= count(&value), "{} < {}", seen, count(&value));
        }
    }

    #[test]
    fn the_cursor_takes_any_bytes(text in prop::collection::vec(prop::sample::select(b"[]{}\",:\\u0d8null1.-e \n\xff".to_vec()), 0..64)) {
        prop_assert!(walk(Value::of(&text), 8) > 0);
    }
}
