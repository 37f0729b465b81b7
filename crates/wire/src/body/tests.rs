use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;
use crate::fixtures;

const DEPTH_MAX: u32 = 64;

fn parse(text: &str) -> Result<RequestBody, BodyError> {
    RequestBody::parse(Bytes::copy_from_slice(text.as_bytes()), DEPTH_MAX)
}

#[track_caller]
fn body(text: &str) -> RequestBody {
    parse(text).expect("a body")
}

#[test]
fn refuses_bodies_with_a_reason() {
    let not_json = |line, column, message| BodyError::NotJson {
        line,
        column,
        message,
    };
    let cases = [
        ("", BodyError::Empty),
        (" \n ", BodyError::Empty),
        ("[1]", BodyError::NotObject { found: "an array" }),
        ("\"x\"", BodyError::NotObject { found: "a string" }),
        ("null", BodyError::NotObject { found: "null" }),
        ("hello", not_json(1, 1, "expected `{`")),
        ("model=x", not_json(1, 1, "expected `{`")),
        ("{\"a\":1", not_json(1, 7, "the text ends inside an object")),
        ("{\"a\":1}x", not_json(1, 8, "something follows the object")),
        (
            "{\"a\":1}\n{}",
            not_json(2, 1, "something follows the object"),
        ),
        ("{\n \"가나\": x}", not_json(2, 8, "expected a value")),
        (
            "{\"a\":1,}",
            not_json(1, 8, "expected a key in double quotes"),
        ),
        (
            "\u{feff}{}",
            not_json(
                1,
                1,
                "a byte order mark stands before the object: send UTF-8 without one",
            ),
        ),
        (
            "{\"a\":1,\"b\":2,\"a\":3}",
            BodyError::Duplicate { field: "a".into() },
        ),
        (
            "{\"a\":1,\"\\u0061\":3}",
            BodyError::Duplicate { field: "a".into() },
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text).map(|_| ()), Err(expected), "{text}");
    }
}

#[test]
fn refuses_what_is_not_utf8() {
    let bytes = Bytes::from_static(b"{\"a\":\"\xff\"}");
    assert_eq!(
        RequestBody::parse(bytes, DEPTH_MAX).map(|_| ()),
        Err(BodyError::NotUtf8 { offset: 6 })
    );
}

#[test]
fn depth_counts_the_outermost_object() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let inner_max = DEPTH_MAX as usize - 1;
    assert!(parse(&nested(inner_max)).is_ok());
    assert_eq!(
        parse(&nested(inner_max + 1)).map(|_| ()),
        Err(BodyError::TooDeep {
            depth_max: DEPTH_MAX
        })
    );
    let open = format!("{{\"a\":{}", "[".repeat(32 << 20));
    assert_eq!(
        parse(&open).map(|_| ()),
        Err(BodyError::TooDeep {
            depth_max: DEPTH_MAX
        })
    );
    assert_eq!(
        parse(&"[".repeat(32 << 20)).map(|_| ()),
        Err(BodyError::NotObject { found: "an array" })
    );
    assert!(RequestBody::parse(Bytes::from_static(b"{}"), 0).is_err());
}

#[test]
fn the_number_of_fields_is_bounded() {
    let many = |count: usize| {
        let pairs: Vec<String> = (0..count).map(|at| format!("\"f{at}\":{at}")).collect();
        format!("{{{}}}", pairs.join(","))
    };
    assert!(parse(&many(FIELDS_MAX)).is_ok());
    let refused = parse(&many(FIELDS_MAX + 1)).map(|_| ());
    assert_eq!(
        refused,
        Err(BodyError::TooManyFields {
            fields_max: FIELDS_MAX
        })
    );
}

#[test]
fn fields_are_read_by_type() {
    let body = body(
        r#"{"model":"m\u00e9","stream":true,"n":2,"none":null,"neg":-1,"half":1.5,"big":18446744073709551616,
            "lone":"\ud800","list":[1, 2],"zero":0.0}"#,
    );
    assert_eq!(body.string("model").unwrap().as_deref(), Some("mé"));
    assert_eq!(body.boolean("stream"), Ok(Some(true)));
    assert_eq!(body.unsigned("n"), Ok(Some(2)));
    assert_eq!(body.unsigned("zero"), Ok(Some(0)));
    assert_eq!(body.raw("list"), Some("[1, 2]"));
    for name in ["none", "absent"] {
        assert_eq!(body.string(name), Ok(None));
        assert_eq!(body.boolean(name), Ok(None));
        assert_eq!(body.unsigned(name), Ok(None));
        assert!(!body.has(name));
    }
    assert!(body.has("list"));
    assert_eq!(body.names().count(), 10);
    let found = |error: FieldError| error.to_string();
    assert_eq!(
        body.string("n").map_err(found),
        Err("`n` must be a string, found a number".into())
    );
    assert_eq!(
        body.boolean("model").map_err(found),
        Err("`model` must be a boolean, found a string".into())
    );
    let whole = "must be a whole number from 0 to 18446744073709551615, found";
    assert_eq!(
        body.unsigned("neg").map_err(found),
        Err(format!("`neg` {whole} a negative number"))
    );
    assert_eq!(
        body.unsigned("half").map_err(found),
        Err(format!(
            "`half` {whole} a number with a fraction or an exponent"
        ))
    );
    assert_eq!(
        body.unsigned("big").map_err(found),
        Err(format!("`big` {whole} a larger number"))
    );
    assert_eq!(
        body.unsigned("list").map_err(found),
        Err(format!("`list` {whole} an array"))
    );
    let lone = "`lone` must be a string, found a string with half of a surrogate pair";
    assert_eq!(body.string("lone").map_err(found), Err(lone.into()));
}

type Edit = fn(&mut BodyEdit<'_>);

const EDITS: &[(&str, Edit, &str)] = &[
    (
        r#"{"model": "a", "x" :1e400 }"#,
        |edit| _ = edit.set("model", "\"b\""),
        r#"{"model": "b", "x" :1e400 }"#,
    ),
    ("{}", |edit| _ = edit.set("a", "1"), r#"{"a":1}"#),
    (
        " {\n} ",
        |edit| _ = edit.set("a", "1").set("b", "2"),
        " {\"a\":1,\"b\":2\n} ",
    ),
    (
        "{\"a\":1\n}\n",
        |edit| _ = edit.set("b", "2"),
        "{\"a\":1,\"b\":2\n}\n",
    ),
    (
        r#"{"a":1, "b":2, "c":3}"#,
        |edit| _ = edit.remove("a"),
        r#"{"b":2, "c":3}"#,
    ),
    (
        r#"{"a":1, "b":2, "c":3}"#,
        |edit| _ = edit.remove("b"),
        r#"{"a":1, "c":3}"#,
    ),
    (
        r#"{"a":1, "b":2, "c":3 }"#,
        |edit| _ = edit.remove("c"),
        r#"{"a":1, "b":2 }"#,
    ),
    (
        r#"{ "a":1, "b":2 }"#,
        |edit| _ = edit.remove("a").remove("b"),
        "{  }",
    ),
    (
        r#"{ "a":1, "b":2 }"#,
        |edit| _ = edit.remove("a").remove("b").set("c", "3"),
        r#"{ "c":3 }"#,
    ),
    (
        r#"{"a":1,"b":2}"#,
        |edit| _ = edit.remove("a").set("a", "3"),
        r#"{"a":3,"b":2}"#,
    ),
    (
        r#"{"a":1}"#,
        |edit| _ = edit.set("a", "2").remove("a"),
        "{}",
    ),
    (
        r#"{"o":{ "x" : 1 }}"#,
        |edit| _ = edit.set_nested("o", "y", "true"),
        r#"{"o":{ "x" : 1,"y":true }}"#,
    ),
    (
        r#"{"o":{ "x" : 1 , "z":2}}"#,
        |edit| _ = edit.set_nested("o", "x", "9"),
        r#"{"o":{ "x" : 9 , "z":2}}"#,
    ),
    (
        r#"{"o":{"x":1,"x":2}}"#,
        |edit| _ = edit.set_nested("o", "x", "9"),
        r#"{"o":{"x":9,"x":9}}"#,
    ),
    (
        r#"{"o":{ }}"#,
        |edit| _ = edit.set_nested("o", "x", "9"),
        r#"{"o":{"x":9 }}"#,
    ),
    (
        r#"{"o":null}"#,
        |edit| _ = edit.set_nested("o", "x", "9"),
        r#"{"o":{"x":9}}"#,
    ),
    (
        "{}",
        |edit| _ = edit.set_nested("o", "x", "9").set_nested("o", "y", "8"),
        r#"{"o":{"x":9,"y":8}}"#,
    ),
    (
        r#"{"o":[1]}"#,
        |edit| _ = edit.set_nested("o", "x", "9"),
        r#"{"o":[1]}"#,
    ),
    (
        r#"{"o":{"x":1}}"#,
        |edit| _ = edit.remove("o").set_nested("o", "y", "9"),
        r#"{"o":{"y":9}}"#,
    ),
    (
        r#"{"\u0061":1}"#,
        |edit| _ = edit.set("a", "2"),
        r#"{"\u0061":2}"#,
    ),
    ("{}", |edit| _ = edit.set("가\"", "2"), r#"{"가\"":2}"#),
];

#[test]
fn edits_touch_only_what_they_name() {
    for (text, change, expected) in EDITS {
        let body = body(text);
        let mut edit = body.edit();
        change(&mut edit);
        assert_eq!(edit.pieces().concat(), expected.as_bytes(), "{text}");
    }
}

#[test]
fn what_stays_is_no_copy() {
    let body = body(r#"{"a":1,"o":{"x":1}}"#);
    let mut edit = body.edit();
    edit.set("a", "1")
        .remove("absent")
        .set_nested("o", "x", "1")
        .set_nested("a", "x", "2");
    let same = edit.pieces();
    assert_eq!(same, [body.bytes()]);
    assert_eq!(same[0].as_ptr(), body.bytes().as_ptr());
    let pieces = edit.set("b", "2").pieces();
    assert_eq!(pieces, [r#"{"a":1,"o":{"x":1}"#, r#","b":2"#, "}"]);
    assert_eq!(pieces[0].as_ptr(), body.bytes().as_ptr());
}

type Raws = BTreeMap<String, Box<RawValue>>;

fn raws(bytes: &[u8]) -> BTreeMap<String, String> {
    let raws: Raws = serde_json::from_slice(bytes).expect("JSON");
    raws.into_iter()
        .map(|(key, raw)| (key, raw.get().to_owned()))
        .collect()
}

#[derive(Debug, Clone)]
enum Op {
    Set(String, String),
    Remove(String),
    Nested(String, String),
}

fn op() -> impl Strategy<Value = Op> {
    let name = || {
        prop::sample::select(vec![
            "model",
            "stream",
            "stream_options",
            "n",
            "모델",
            "a\"b",
            "xA",
        ])
        .prop_map(str::to_owned)
    };
    prop_oneof![
        (name(), fixtures::value()).prop_map(|(name, text)| Op::Set(name, text)),
        name().prop_map(Op::Remove),
        (name(), fixtures::value()).prop_map(|(name, text)| Op::Nested(name, text)),
    ]
}

proptest! {
    #[test]
    fn nothing_asked_nothing_changed(pairs in fixtures::pairs(), spaces in vec(fixtures::space(), 1..9)) {
        let text = fixtures::body_text(&pairs, &spaces);
        let body = parse(&text).unwrap();
        prop_assert_eq!(body.edit().pieces().concat(), text.as_bytes());
        prop_assert_eq!(body.names().count(), pairs.len());
    }

    #[test]
    fn setting_the_model_changes_only_its_span(
        mut pairs in fixtures::pairs(), at in any::<prop::sample::Index>(), old in fixtures::value(), spaces in vec(fixtures::space(), 1..9),
    ) {
        pairs.retain(|(key, _)| key != "model");
        let at = at.index(pairs.len() + 1);
        pairs.insert(at, ("model".into(), old));
        let text = fixtures::body_text(&pairs, &spaces);
        let edited = parse(&text).unwrap().edit().set("model", "\"엔진/이름\"").pieces().concat();
        pairs[at].1 = "\"엔진/이름\"".into();
        prop_assert_eq!(std::str::from_utf8(&edited).unwrap(), fixtures::body_text(&pairs, &spaces));
        let mut expected = raws(text.as_bytes());
        expected.insert("model".into(), "\"엔진/이름\"".into());
        prop_assert_eq!(raws(&edited), expected);
    }

    #[test]
    fn any_edits_leave_every_other_value_as_it_was(
        pairs in fixtures::pairs(), spaces in vec(fixtures::space(), 1..9), ops in vec(op(), 0..6),
    ) {
        let text = fixtures::body_text(&pairs, &spaces);
        let body = parse(&text).unwrap();
        let mut edit = body.edit();
        let mut touched: BTreeMap<String, Option<String>> = BTreeMap::new();
        for op in &ops {
            match op {
                Op::Set(name, text) => { edit.set(name, text); touched.insert(name.clone(), Some(text.clone())); }
                Op::Remove(name) => { edit.remove(name); touched.insert(name.clone(), None); }
                Op::Nested(name, text) => { edit.set_nested(name, "inner", text); touched.remove(name); touched.insert(name.clone() + "?", None); }
            }
        }
        let edited = edit.pieces().concat();
        let reparsed = RequestBody::parse(edited.clone().into(), DEPTH_MAX);
        prop_assert!(reparsed.is_ok(), "{:?}", reparsed);
        let (before, after) = (raws(text.as_bytes()), raws(&edited));
        for (name, raw) in &before {
            match touched.get(name) {
                Some(expected) => prop_assert_eq!(after.get(name), expected.as_ref()),
                None if touched.contains_key(&(name.clone() + "?")) => {}
                None => prop_assert_eq!(after.get(name), Some(raw)),
            }
        }
        let order: Vec<&str> = body.names().filter(|name| after.contains_key(*name)).collect();
        let reparsed = reparsed.unwrap();
        prop_assert_eq!(reparsed.names().take(order.len()).collect::<Vec<_>>(), order);
    }

    #[test]
    fn any_bytes_are_taken(bytes in vec(any::<u8>(), 0..200), tail in "[\\[\\]{}\",:0-9a\\\\ -]{0,40}") {
        drop(RequestBody::parse(Bytes::from(bytes), DEPTH_MAX));
        drop(parse(&format!("{{\"a\":{tail}")));
    }
}
