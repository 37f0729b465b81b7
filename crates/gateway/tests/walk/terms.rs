//! What a key is for and how fast it may go: refused before anything is queued, and told in headers.

use crate::harness::{CHAT, Plan, World, chat, code, header, key_put, streamed};
use http::Method;
use madang_gateway::clock;
use madang_testkit::{HttpAnswer, http_get, http_send};
use madang_types::{Endpoint, ErrorCode, KeyTerms, Outcome, Project, Role};
use serde_json::{Value, json};

const EMBEDDER: &str = "[[model]]\nid = \"embed-ko\"\nkind = \"embedding\"\ncontext_tokens = 512\n[[replica]]\nid = \"re\"\nsite = \"home\"\nmodel = \"embed-ko\"\nupstream_model = \"m\"\nurl = \"{URL}\"\nengine = \"vllm\"\nslots = 2\n";

async fn world() -> World {
    World::start(Plan {
        more: EMBEDDER.into(),
        ..Plan::default()
    })
    .await
}

/// Another key of the tenant, with these terms.
async fn key_with(world: &World, terms: KeyTerms) -> String {
    let edit = |key: &mut madang_types::KeyRecord| key.terms = terms.clone().into();
    let key = key_put(&*world.store, Some("demo"), Role::Member, edit).await;
    world.gateway.people_refresh().await.unwrap();
    key
}

async fn post(world: &World, (path, key): (&str, &str), body: String) -> HttpAnswer {
    let headers = [("x-api-key", key), ("content-type", "application/json")];
    let url = format!("{}{path}", world.url);
    let answer = http_send(Method::POST, &url, &headers, body).await.unwrap();
    answer.collect().await.unwrap()
}

/// The fields that a refusal has in either dialect.
fn refusal(answer: &HttpAnswer) -> (u16, String) {
    let json = answer.json().unwrap();
    (answer.status, code(&json).to_owned())
}

fn number(answer: &HttpAnswer, name: &str) -> u64 {
    header(&answer.headers, name).parse().unwrap()
}

#[tokio::test]
async fn a_key_is_for_its_models_and_doors_alone() {
    let world = world().await;
    let chats = key_with(
        &world,
        KeyTerms {
            models: ["m".parse().unwrap()].into(),
            ..KeyTerms::default()
        },
    )
    .await;
    let embeds = key_with(
        &world,
        KeyTerms {
            endpoints: [Endpoint::Embeddings].into(),
            ..KeyTerms::default()
        },
    )
    .await;
    let embed = || json!({"model": "embed-ko", "input": "가"}).to_string();
    let unknown = chat(json!({"model": "embed-kr"}));
    let check = async |key: &str, path: &str, body: String, expected: (u16, &str)| {
        let answer = post(&world, (path, key), body.clone()).await;
        let got = refusal(&answer);
        assert_eq!((got.0, got.1.as_str()), expected, "{path} {body}");
        answer
    };
    let door = (403, "endpoint_not_permitted");
    let model = (403, "model_not_permitted");
    let refused = check(&chats, "/v1/embeddings", embed(), model).await;
    assert_eq!(refused.json().unwrap()["error"]["param"], "model");
    check(&embeds, CHAT, chat(json!({})), door).await;
    check(&embeds, CHAT, "not even JSON".into(), door).await;
    check(&embeds, "/v1/messages", chat(json!({})), door).await;
    check(&embeds, "/v1/messages/count_tokens", chat(json!({})), door).await;
    let other = chat(json!({"model": "embed-ko"}));
    check(&chats, "/v1/messages/count_tokens", other, model).await;
    let absent = check(&chats, CHAT, unknown, (404, "model_not_found")).await;
    assert!(!absent.text().contains("embed-ko"), "{}", absent.text());
    assert!(world.engines[0].requests().is_empty() && world.spare.requests().is_empty());
    for record in world.records(5).await {
        assert_eq!((record.outcome, record.attempts), (Outcome::Refused, 0));
    }
    assert_eq!(
        post(&world, (CHAT, &chats), chat(json!({}))).await.status,
        200
    );
    assert_eq!(
        post(&world, ("/v1/embeddings", &embeds), embed())
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn the_list_of_models_is_what_the_key_is_for() {
    let world = world().await;
    let listed = async |terms: KeyTerms| {
        let key = key_with(&world, terms).await;
        let list = http_get(&format!("{}/v1/models", world.url), Some(&key)).await;
        let json = list.unwrap().json().unwrap();
        let rows = json["data"].as_array().unwrap().iter();
        rows.map(|row| format!("{} {}", row["id"], row["endpoints"]))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let all = listed(KeyTerms::default()).await;
    assert!(all.contains("embed-ko") && all.contains("\"m\""), "{all}");
    let chat_only = listed(KeyTerms {
        endpoints: [Endpoint::Chat].into(),
        ..KeyTerms::default()
    });
    assert_eq!(chat_only.await, "\"m\" [\"chat\"]");
    let embedder = listed(KeyTerms {
        models: ["embed-ko".parse().unwrap()].into(),
        ..KeyTerms::default()
    });
    assert_eq!(embedder.await, "\"embed-ko\" [\"embeddings\"]");
}

#[tokio::test]
async fn requests_beyond_the_rate_are_refused_and_told_when_to_come_back() {
    let world = World::of(1).await;
    let terms = KeyTerms {
        rate_requests_per_min: Some(2),
        ..KeyTerms::default()
    };
    let key = key_with(&world, terms).await;
    for left in [1, 0] {
        let answer = post(&world, (CHAT, &key), chat(json!({}))).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(number(&answer, "x-ratelimit-limit-requests"), 2);
        assert_eq!(number(&answer, "x-ratelimit-remaining-requests"), left);
        assert!(answer.header("x-ratelimit-limit-tokens").is_none());
    }
    let body = chat(json!({"stream": true}));
    for path in [CHAT, "/v1/messages"] {
        let body = if path == CHAT {
            body.clone()
        } else {
            chat(json!({"max_tokens": 9}))
        };
        let refused = post(&world, (path, &key), body).await;
        assert_eq!(refusal(&refused), (429, "rate_limited".into()), "{path}");
        assert!(refused.json().unwrap()["error"]["message"].is_string());
        let wait_ms = number(&refused, "retry-after-ms");
        assert!((1..=30_000).contains(&wait_ms), "{wait_ms}");
        assert_eq!(number(&refused, "retry-after"), wait_ms.div_ceil(1_000));
        assert_eq!(number(&refused, "x-ratelimit-remaining-requests"), 0);
        let reset = header(&refused.headers, "x-ratelimit-reset-requests");
        assert!(reset.ends_with('s'), "{reset}");
    }
    assert_eq!(world.engines[0].requests().len(), 2);
    assert_eq!(
        world.chat(json!({})).await.status,
        200,
        "another key goes on"
    );
    let records = world.records(5).await;
    let limited = records
        .iter()
        .filter(|r| r.error == Some(ErrorCode::RateLimited));
    assert_eq!(limited.count(), 2);
}

/// Lets the answer, a short call of a tool, have so many tokens; gives the status.
async fn ask(world: &World, key: &str, max_tokens: u64) -> u16 {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let body = chat(json!({"max_tokens": max_tokens, "tools": tools, "tool_choice": "required"}));
    post(world, (CHAT, key), body).await.status
}

#[tokio::test]
async fn tokens_that_were_not_used_come_back() {
    let world = World::of(1).await;
    let terms = KeyTerms {
        rate_tokens_per_min: Some(10_000),
        ..KeyTerms::default()
    };
    let key = key_with(&world, terms).await;
    // Each is estimated at nearly the whole minute's, and uses few.
    for _ in 0..3 {
        assert_eq!(ask(&world, &key, 9_000).await, 200);
    }
    // One that is under way holds its estimate; streamed, it also tells it.
    world.behave("stall-after:2");
    let headers = [("x-api-key", key.as_str())];
    let url = format!("{}{CHAT}", world.url);
    let body = streamed(json!({"max_tokens": 9_000}));
    let held = http_send(Method::POST, &url, &headers, body).await.unwrap();
    let remaining = header(&held.headers, "x-ratelimit-remaining-tokens");
    assert!(remaining.parse::<u64>().unwrap() < 1_000, "{remaining}");
    world.behave("normal");
    let refused = post(&world, (CHAT, &key), chat(json!({"max_tokens": 9_000}))).await;
    assert_eq!(refusal(&refused), (429, "rate_limited".into()));
    assert!(
        refused.text().contains("rate_tokens_per_min"),
        "{}",
        refused.text()
    );
    assert_eq!(number(&refused, "x-ratelimit-limit-tokens"), 10_000);
    // Its client leaves: what it had not used is back once it is in the books.
    drop(held);
    world.records(5).await;
    assert_eq!(ask(&world, &key, 9_000).await, 200);
}

#[tokio::test]
async fn what_never_ran_uses_no_tokens() {
    let world = World::start(Plan {
        limits: "queue_wait_ms_max = 50".into(),
        ..Plan::default()
    })
    .await;
    let terms = KeyTerms {
        rate_tokens_per_min: Some(10_000),
        ..KeyTerms::default()
    };
    let key = key_with(&world, terms).await;
    let down = madang_core::ReplicaHealth::Down;
    world.gateway.replica_report(&"r1".parse().unwrap(), down);
    for _ in 0..3 {
        assert_eq!(ask(&world, &key, 9_000).await, 503);
    }
}

#[tokio::test]
async fn a_keys_project_is_in_the_books_and_in_the_cores_inputs() {
    let world = World::start(Plan {
        record: true,
        ..Plan::default()
    })
    .await;
    let project = Project {
        id: "web".parse().unwrap(),
        tenant: "demo".parse().unwrap(),
        label: String::new(),
        won_limit: None,
        created_at: clock::now(),
        disabled_at: None,
    };
    world.gateway.project_apply(project.clone());
    let edit = |key: &mut madang_types::KeyRecord| key.project = Some(project.id.clone());
    let store = std::sync::Arc::clone(&world.store);
    madang_store::Store::project_put(&*store, project.clone())
        .await
        .unwrap();
    let key = key_put(&*store, Some("demo"), Role::Member, edit).await;
    world.gateway.people_refresh().await.unwrap();
    assert_eq!(
        post(&world, (CHAT, &key), chat(json!({}))).await.status,
        200
    );
    assert_eq!(world.chat(json!({})).await.status, 200);
    let records = world.records(2).await;
    assert_eq!(records[0].project, Some(project.id));
    assert_eq!(records[1].project, None);
    let recording = world.close().await;
    let payers: Vec<Value> = recording
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|line| line.pointer("/input/request_submit/payer").cloned())
        .collect();
    let projects: Vec<&Value> = payers.iter().map(|payer| &payer["project"]).collect();
    assert_eq!(projects, [&json!("web"), &Value::Null], "{recording}");
}
