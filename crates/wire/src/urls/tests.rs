//! What counts as a thing to fetch.

use super::fetch_urls;
use crate::body::RequestBody;
use proptest::prelude::*;

fn check(body: &str, expected: &[&str]) {
    let body = RequestBody::parse(body.to_owned().into(), 64).unwrap();
    let mut found = fetch_urls(&body);
    found.sort();
    assert_eq!(found, expected, "{body:?}");
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
        "tools":[{"type":"mcp","server_url":"https://m"}]}"#;
    check(body, &["http://f", "http://i", "http://o", "https://m"]);
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
            prop_assert!(fetch_urls(&body).iter().all(|url| !url.starts_with("data:")));
        }
    }
}
