//! What counts as a thing to fetch.

use super::{ImageData, named_urls, with_images};
use crate::body::RequestBody;
use proptest::prelude::*;
use serde_json::{Value, json};

fn check(body: &str, expected: &[&str]) {
    let body = RequestBody::parse(body.to_owned().into(), 64).unwrap();
    let mut found: Vec<String> = named_urls(&body)
        .into_iter()
        .map(|named| named.url)
        .collect();
    found.sort();
    assert_eq!(found, expected, "{body:?}");
}

static IMAGE: std::sync::LazyLock<ImageData> = std::sync::LazyLock::new(|| ImageData {
    media_type: "image/png",
    base64: "AA==".into(),
});

/// What becomes of a part once its images are there; the rest of the body stays as it is.
fn check_filled(part: &Value, expected: &Value) {
    let with = |part: &Value| {
        json!({"messages": [{"content": [{"text": "a"}, part, part]}], "n": 1.0}).to_string()
    };
    let body = RequestBody::parse(with(part).into(), 64).unwrap();
    let urls = named_urls(&body);
    let images = urls.iter().filter(|named| named.is_image());
    let filled = with_images(&body, images.map(|named| (named, &*IMAGE)));
    let value = |json: &[u8]| serde_json::from_slice::<Value>(json).unwrap();
    assert_eq!(value(&filled), value(with(expected).as_bytes()));
    assert!(filled.ends_with(br#"],"n":1.0}"#));
}

#[test]
fn images_stand_where_their_urls_stood() {
    let (url, data) = ("https://a/x.png", "data:image/png;base64,AA==");
    check_filled(
        &json!({"type": "image_url", "image_url": {"url": url, "detail": "low"}}),
        &json!({"type": "image_url", "image_url": {"url": data, "detail": "low"}}),
    );
    check_filled(
        &json!({"type": "input_image", "image_url": url}),
        &json!({"type": "input_image", "image_url": data}),
    );
    let source = json!({"type": "base64", "media_type": "image/png", "data": "AA=="});
    check_filled(
        &json!({"type": "image", "source": {"type": "url", "url": url}}),
        &json!({"type": "image", "source": source}),
    );
    // Neither is an image's, and of two URLs nobody knows which one is meant.
    for other in [
        json!({"type": "document", "source": {"type": "url", "url": url}}),
        json!({"type": "file", "file": {"file_url": url}}),
    ] {
        check_filled(&other, &other);
    }
    let twice = r#"{"messages":[{"content":[{"type":"image","source":{"url":"https://a","url":"https://b"}}]}]}"#;
    let body = RequestBody::parse(twice.to_owned().into(), 64).unwrap();
    assert!(named_urls(&body).iter().all(|named| !named.is_image()));
    check(twice, &["https://a", "https://b"]);
}

#[test]
fn what_an_answer_cited_is_not_fetched_again() {
    let echo =
        |part: Value| json!({"messages": [{"role": "assistant", "content": [part]}]}).to_string();
    check(
        &echo(
            json!({"type": "web_search_tool_result", "content": [{"type": "web_search_result", "url": "https://no"}]}),
        ),
        &[],
    );
    check(
        &echo(
            json!({"type": "output_text", "annotations": [{"type": "url_citation", "url": "https://no"}]}),
        ),
        &[],
    );
    check(
        r#"{"input":[{"type":"web_search_call","action":{"type":"open_page","url":"https://no"}}]}"#,
        &[],
    );
    check(
        r#"{"tools":[{"function":{"parameters":{"properties":{"url":{"type":"string"},"a_url":{"default":{"url":"https://no"}}}}}}]}"#,
        &[],
    );
}

#[test]
fn chat() {
    let with = |part: &str| {
        format!(
            r#"{{"messages":[{{"role":"user","content":[{{"type":"text","text":"http://no"}},{part}]}}]}}"#
        )
    };
    for (part, expected) in [
        (
            r#"{"type":"image_url","image_url":{"url":"https://a/x.png"}}"#,
            &["https://a/x.png"][..],
        ),
        (
            r#"{"type":"image_url","image_url":"file:///etc/passwd"}"#,
            &["file:///etc/passwd"],
        ),
        (
            r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}"#,
            &[],
        ),
        (
            r#"{"type":"image_url","image_url":{"url":"DATA:image/png;base64,AA=="}}"#,
            &[],
        ),
        (
            r#"{"type":"image_url","image_url":{"url":" data:,"}}"#,
            &[" data:,"],
        ),
        (
            r#"{"type":"image_url","image\u005furl":{"\u0075rl":"http://169.254.169.254/"}}"#,
            &["http://169.254.169.254/"],
        ),
        (
            r#"{"type":"video_url","video_url":{"url":"http://v"}}"#,
            &["http://v"],
        ),
        (
            r#"{"type":"file","file":{"file_url":"http://f"}}"#,
            &["http://f"],
        ),
        (
            r#"{"type":"image_url","image_url":{"url":"\ud800"}}"#,
            &[""],
        ),
        (
            r#"{"type":"image_url","image_url":["http://a",{"url":"http://b"}]}"#,
            &["http://a", "http://b"],
        ),
    ] {
        check(&with(part), expected);
    }
    check(r#"{"messages":"http://x","input":7,"url":"http://x"}"#, &[]);
}

#[test]
fn responses_and_tools() {
    let body = r#"{"input":[{"type":"input_image","image_url":"http://i"},
        {"role":"user","content":[{"type":"input_file","file_url":"http://f"}]},
        {"type":"function_call","arguments":"{\"url\":\"http://no\"}"},
        {"type":"function_call_output","output":[{"type":"input_image","image_url":"http://o"}]}],
        "tools":[{"type":"mcp","server_url":"https://m"},
        {"type":"image_generation","input_image_mask":{"image_url":"http://k"}}]}"#;
    check(
        body,
        &["http://f", "http://i", "http://k", "http://o", "https://m"],
    );
    check(
        r#"{"input":[{"type":"computer_call_output","output":{"type":"computer_screenshot","image_url":"http://s"}}]}"#,
        &["http://s"],
    );
}

#[test]
fn messages() {
    let body = r#"{"mcp_servers":[{"type":"url","url":"https://m"}],"messages":[
        {"role":"assistant","content":[{"type":"tool_use","id":"t","name":"get","input":{"url":"http://no"}}]},
        {"role":"user","content":[
            {"type":"image","source":{"type":"url","url":"http://i"}},
            {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="}},
            {"type":"document","source":{"type":"content","content":[{"type":"image","source":{"type":"url","url":"http://d"}}]}},
            {"type":"tool_result","tool_use_id":"t","content":[{"type":"image","source":{"type":"url","url":"http://r"}}]}]}]}"#;
    check(body, &["http://d", "http://i", "http://r", "https://m"]);
}

proptest! {
    #[test]
    fn any_body_is_read(value in crate::fixtures::value()) {
        if let Ok(body) = RequestBody::parse(format!("{{\"messages\":[{value}],\"input\":{value}}}").into(), 64) {
            let found = named_urls(&body);
            prop_assert!(found.iter().all(|named| !named.url.starts_with("data:")));
            let images = found.iter().filter(|named| named.is_image()).map(|named| (named, &*IMAGE));
            let filled = with_images(&body, images).into();
            let filled = RequestBody::parse(filled, 64).unwrap();
            prop_assert!(named_urls(&filled).iter().all(|named| !named.is_image()));
        }
    }
}
