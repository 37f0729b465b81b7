//! Files and batches: what is sent comes back, every line has one result, and is a request like any other.

mod files;
mod lines;
mod whose;

use crate::harness::World;
use http::Method;
use madang_testkit::{HttpAnswer, http_send};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const BOUNDARY: &str = "a-line-that-no-file-has";

/// A request of `key`, with a body.
pub async fn call(
    world: &World,
    (method, path): (Method, &str),
    headers: &[(&str, &str)],
    body: impl Into<bytes::Bytes>,
) -> HttpAnswer {
    let mut all = vec![("x-api-key", world.key.as_str())];
    all.retain(|(name, _)| headers.iter().all(|(other, _)| other != name));
    all.extend(headers);
    let url = format!("{}{path}", world.url);
    let sent = http_send(method, &url, &all, body).await.unwrap();
    sent.collect().await.unwrap()
}

pub async fn get(world: &World, path: &str) -> Value {
    let answer = call(world, (Method::GET, path), &[], "").await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json().unwrap()
}

/// A form with these parts, in their order; the one named `file` is a file.
pub fn form(parts: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in parts {
        let file = if *name == "file" {
            "; filename=\"in.jsonl\"\r\ncontent-type: application/jsonl"
        } else {
            ""
        };
        text += &format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n{value}\r\n"
        );
    }
    text + &format!("--{BOUNDARY}--\r\n")
}

pub async fn upload(world: &World, parts: &[(&str, &str)], headers: &[(&str, &str)]) -> HttpAnswer {
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let mut all = vec![("content-type", kind.as_str())];
    all.extend(headers);
    call(world, (Method::POST, "/v1/files"), &all, form(parts)).await
}

/// Sends lines and gives their file's id.
pub async fn file_of(world: &World, lines: &str) -> String {
    let answer = upload(world, &[("purpose", "batch"), ("file", lines)], &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json().unwrap()["id"].as_str().unwrap().to_owned()
}

/// A chat line with these fields beside the ordinary ones.
pub fn line(custom_id: &str, more: Value) -> String {
    let body: Value = serde_json::from_str(&crate::harness::chat(more)).unwrap();
    let line = json!({
        "custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body,
    });
    line.to_string() + "\n"
}

/// Asks for a batch of chats.
pub async fn batch_of(world: &World, file: &str, headers: &[(&str, &str)]) -> HttpAnswer {
    let body = json!({
        "input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h",
        "metadata": {"night": "one"},
    });
    let mut all = vec![("content-type", "application/json")];
    all.extend(headers);
    call(world, (Method::POST, "/v1/batches"), &all, body.to_string()).await
}

/// Asks for a batch of these lines; gives its id.
pub async fn begin(world: &World, lines: &str, headers: &[(&str, &str)]) -> String {
    let answer = batch_of(world, &file_of(world, lines).await, headers).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json().unwrap()["id"].as_str().unwrap().to_owned()
}

/// The batch once this holds of it.
pub async fn until(world: &World, id: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let mut looks = 0;
    loop {
        let batch = get(world, &format!("/v1/batches/{id}")).await;
        if holds(&batch) {
            return batch;
        }
        looks += 1;
        assert!(looks < 6000, "{batch:#}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The batch once it is over.
pub async fn over(world: &World, id: &str) -> Value {
    let over = |batch: &Value| {
        let status = batch["status"].as_str().unwrap();
        ["completed", "failed", "expired", "cancelled"].contains(&status)
    };
    until(world, id, over).await
}

/// The lines of a file by `custom_id`, each of which is there once.
pub async fn results(world: &World, file: &Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let Some(file) = file.as_str() else {
        return found;
    };
    let path = format!("/v1/files/{file}/content");
    let answer = call(world, (Method::GET, &path), &[], "").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    for line in answer.text().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let id = line["custom_id"].as_str().unwrap().to_owned();
        assert!(found.insert(id, line).is_none(), "twice: {}", answer.text());
    }
    found
}

/// What a batch has of outputs and of errors.
pub async fn both(
    world: &World,
    batch: &Value,
) -> (BTreeMap<String, Value>, BTreeMap<String, Value>) {
    let output = results(world, &batch["output_file_id"]).await;
    let errors = results(world, &batch["error_file_id"]).await;
    assert!(output.keys().all(|id| !errors.contains_key(id)));
    let counts = &batch["request_counts"];
    assert_eq!(counts["completed"], output.len());
    assert_eq!(counts["failed"], errors.len());
    (output, errors)
}
