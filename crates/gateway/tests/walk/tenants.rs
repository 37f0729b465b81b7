//! Two tenants side by side: whatever one of them names, it gets nothing of the other's and pays for itself alone.

use crate::harness::{CHAT, Plan, World, chat, events, header, key_put, streamed};
use http::Method;
use madang_core::Input;
use madang_core::recording::Step;
use madang_testkit::{HttpAnswer, eventually, http_send};
use madang_types::{Outcome, Role};
use serde_json::{Value, json};

/// A chat that names another tenant, its key and its request wherever a client can name anything.
fn naming(request: &str) -> (Vec<(&'static str, &str)>, Value) {
    let headers = vec![
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

/// The same long prompt of two tenants, twice of the first, and once more with a salt of the caller's own: the `cache_salt` that the
/// engine saw of each, and whether the core was told that an earlier one began alike.
async fn prompts_again(model: &str) -> Vec<(Option<String>, bool)> {
    let world = World::start(Plan {
        model: model.into(),
        record: true,
        ..Plan::default()
    })
    .await;
    let other = key_put(&*world.store, Some("other"), Role::Member, |_| {}).await;
    world.gateway.people_refresh().await.unwrap();
    let long = "a story that goes on and on. ".repeat(200);
    let message = json!({"messages": [{"role": "user", "content": long}]});
    let mut own = message.clone();
    own["cache_salt"] = json!("mine");
    let mut salts = Vec::new();
    for (key, body) in [
        (&world.key, &message),
        (&other, &message),
        (&world.key, &message),
        (&world.key, &own),
        (&other, &own),
    ] {
        let headers = [
            ("x-api-key", key.as_str()),
            ("content-type", "application/json"),
        ];
        let url = format!("{}{CHAT}", world.url);
        let sent = http_send(Method::POST, &url, &headers, chat(body.clone())).await;
        let answer = sent.unwrap().collect().await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        let arrived = world.engines[0].requests().pop().unwrap().body;
        let arrived: Value = serde_json::from_slice(&arrived).unwrap();
        salts.push(arrived["cache_salt"].as_str().map(str::to_owned));
    }
    let recording = world.close().await;
    let steps = recording.lines().map(serde_json::from_str);
    let prefixes = steps.filter_map(|step: Result<Step, _>| match step.unwrap().input {
        Input::RequestSubmit(submit) => Some(submit.prefix.blocks),
        _ => None,
    });
    let prefixes: Vec<Vec<u64>> = prefixes.collect();
    assert!(prefixes.len() == 5 && prefixes.iter().all(|blocks| blocks.len() > 3));
    let known = |at: usize| {
        prefixes[..at]
            .iter()
            .any(|other| other[0] == prefixes[at][0])
    };
    salts
        .into_iter()
        .enumerate()
        .map(|(at, salt)| (salt, known(at)))
        .collect()
}

#[tokio::test]
async fn what_a_prompt_began_with_is_known_again_to_its_own_tenant_alone() {
    let seen = prompts_again("").await;
    let known: Vec<bool> = seen.iter().map(|(_, known)| *known).collect();
    assert_eq!(known, [false, false, true, false, false]);
    let salts: Vec<&str> = seen
        .iter()
        .filter_map(|(salt, _)| salt.as_deref())
        .collect();
    assert_eq!((salts.len(), salts[0]), (5, salts[2]));
    for (one, other) in [(0, 1), (0, 3), (1, 4), (3, 4)] {
        assert_ne!(salts[one], salts[other], "{one} {other}");
    }
    assert!(salts.iter().all(|salt| !salt.contains("mine")), "{salts:?}");
}

#[tokio::test]
async fn tenants_who_trust_each_other_may_share_what_engines_know() {
    let seen = prompts_again("prefix_cache = \"shared\"").await;
    let expected = [None, None, None, Some("mine"), Some("mine")];
    let known = [false, true, true, false, true];
    for ((seen, salt), known) in seen.iter().zip(expected).zip(known) {
        assert_eq!((seen.0.as_deref(), seen.1), (salt, known));
    }
}
