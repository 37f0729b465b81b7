//! Two tenants side by side: whatever one of them names, it gets nothing of the other's and pays for itself alone.

use crate::harness::{CHAT, World, chat, events, header, key_put, streamed};
use http::Method;
use madang_testkit::{HttpAnswer, eventually, http_send};
use madang_types::{Outcome, Role};
use serde_json::{Value, json};

/// A chat that names another tenant, its key and its request wherever a client can name anything.
fn naming(request: &str) -> (Vec<(&'static str, &str)>, Value) {
    let headers = vec![
        ("x-madang-tenant", "other"),
        ("x-madang-project", "other"),
        ("x-madang-request-id", request),
        ("x-request-id", request),
        ("x-madang-session", "one name for both"),
        ("openai-organization", "other"),
        ("openai-project", "other"),
        ("idempotency-key", request),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
    ];
    let body = json!({
        "user": "other", "safety_identifier": "other", "metadata": {"tenant": "other", "request_id": request},
        "prompt_cache_key": "one name for both", "store": false,
    });
    (headers, body)
}

/// Every way to an object of the past that clients of these formats know.
async fn reach(world: &World, id: &str) -> Vec<HttpAnswer> {
    let mut answers = Vec::new();
    for (method, path) in [
        (Method::GET, "/v1/responses/ID"),
        (Method::DELETE, "/v1/responses/ID"),
        (Method::POST, "/v1/responses/ID/cancel"),
        (Method::GET, "/v1/responses/ID/input_items"),
        (Method::GET, "/v1/chat/completions/ID"),
        (Method::GET, "/v1/chat/completions/ID/messages"),
        (Method::DELETE, "/v1/chat/completions/ID"),
        (Method::POST, "/v1/batches/ID/cancel"),
        (Method::GET, "/v1/files/ID/content"),
        (Method::POST, "/v1/messages/batches/ID/cancel"),
    ] {
        let url = format!("{}{}", world.url, path.replace("ID", id));
        let headers = [("x-api-key", world.key.as_str())];
        let sent = http_send(method, &url, &headers, "").await.unwrap();
        answers.push(sent.collect().await.unwrap());
    }
    let earlier = json!({"model": "m", "input": "hi", "previous_response_id": id});
    answers.push(world.post("/v1/responses", &earlier.to_string()).await);
    answers
}

/// An answer without its own request's id.
fn told(answer: &HttpAnswer, but: &str) -> (u16, String) {
    let own = header(&answer.headers, "x-madang-request-id");
    let text = answer.text().replace(but, "ID");
    let text = if own.is_empty() {
        text
    } else {
        text.replace(&own, "OWN")
    };
    (answer.status, text)
}

#[tokio::test]
async fn invariant_14_no_tenant_reads_cancels_or_bills_what_is_anothers() {
    let world = World::of(1).await;
    let other = key_put(&*world.store, Some("other"), Role::Member, |_| {}).await;
    world.gateway.people_refresh().await.unwrap();
    world.behave("slow:0:40");
    let url = format!("{}{CHAT}", world.url);
    let headers = [
        ("x-api-key", other.as_str()),
        ("content-type", "application/json"),
        ("x-madang-session", "one name for both"),
    ];
    let body = streamed(json!({"max_tokens": 40}));
    let running = http_send(Method::POST, &url, &headers, body).await.unwrap();
    let request = header(&running.headers, "x-madang-request-id");
    let engine = &world.engines[0];
    assert!(eventually(|| engine.in_flight() == 1).await);

    let absent = format!("req_{:032x}", 0xabc);
    let (theirs, nobodys) = (reach(&world, &request).await, reach(&world, &absent).await);
    for (theirs, nobodys) in theirs.iter().zip(&nobodys) {
        assert!(
            matches!(theirs.status, 400 | 404 | 405),
            "{}",
            theirs.text()
        );
        assert_eq!(told(theirs, &request), told(nobodys, &absent));
    }
    let (headers, more) = naming(&request);
    let answer = world.send(CHAT, &headers, &chat(more)).await;
    let answer = answer.collect().await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let own = header(&answer.headers, "x-madang-request-id");
    assert_ne!(own, request);
    assert!(!answer.text().contains("other"), "{}", answer.text());

    // It ran on to its end, and each has paid for its own.
    let ended = events(running).await;
    assert_eq!(ended.last().unwrap().data, "[DONE]");
    let records = world.records(4).await;
    for record in &records {
        let whose = if record.id.to_string() == request {
            "other"
        } else {
            "demo"
        };
        assert_eq!(record.tenant.as_str(), whose, "{record:?}");
    }
    let theirs = records
        .iter()
        .filter(|record| record.tenant.as_str() == "other");
    let theirs: Vec<_> = theirs
        .map(|record| (record.outcome, record.tokens.output.0))
        .collect();
    assert_eq!(theirs, [(Outcome::Finished, 40)]);
}
