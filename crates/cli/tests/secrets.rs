//! Secrets of jobs by the commands: they reach the job that names them, and nothing else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::fleet::{HEAD, url_replica};
use harness::{Madang, Place, wait_for};
use http::Method;
use madang_testkit::{FakeEngine, FakeEngineOptions};
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const NODES: &str = r#"
[[nodes]]
id = "here"
site = "here"
accelerator = "cpu"
per_node = 1
count = 1
jobs = { executor = "local" }
"#;

const SECRET: &str = "sesame-7f3a-öffne-dich";

async fn up() -> (Place, Madang, FakeEngine) {
    let place = Place::new();
    let engine = FakeEngine::start(FakeEngineOptions::default()).await;
    let fleet = HEAD.to_owned() + NODES + &url_replica("a", engine.url());
    place.write("fleet.toml", fleet);
    let madang = place.up_with(&[]).await;
    (place, madang, engine)
}

async fn call(
    madang: &Madang,
    key: &str,
    (method, path): (Method, &str),
    body: Value,
) -> (u16, Value) {
    let body = ("application/json", body.to_string());
    let answer = madang.call(key, (method, path), body).await;
    (answer.status, answer.json().unwrap_or_default())
}

async fn put(madang: &Madang, key: &str, body: Value) -> (u16, Value) {
    call(madang, key, (Method::POST, "/api/v1/secrets"), body).await
}

async fn submit(madang: &Madang, key: &str, secrets: Value) -> (u16, Value) {
    let command = [
        "sh",
        "-c",
        "printf %s \"$TOKEN\" >token; cat token | wc -c; echo end",
    ];
    let job = json!({"name": "uses", "command": command, "resources": {}, "time_limit_ms": 60_000, "secrets": secrets});
    call(madang, key, (Method::POST, "/api/v1/jobs"), job).await
}

/// Waits until a job is over; how it stands then.
async fn over(madang: &Madang, id: &str) -> Value {
    let operator = madang.operator_key();
    wait_for(&format!("job {id} is over"), async || {
        let path = format!("/api/v1/jobs/{id}");
        let (_, shown) = call(madang, &operator, (Method::GET, &path), json!({})).await;
        (!shown["ended_at"].is_null()).then_some(shown)
    })
    .await
}

/// Files below a folder that hold these bytes.
fn holders(folder: &Path, bytes: &[u8], found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            holders(&path, bytes, found);
        } else if let Ok(text) = std::fs::read(&path)
            && text.windows(bytes.len()).any(|part| part == bytes)
        {
            found.push(path.display().to_string());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_reaches_its_job_and_nothing_else() {
    let (place, mut madang, _engine) = up().await;
    let (status, row) = put(&madang, &madang.key, json!({"name": "T", "value": "old"})).await;
    assert_eq!((status, &row["version"]), (201, &json!(1)), "{row}");
    let (_, row) = put(&madang, &madang.key, json!({"name": "T", "value": SECRET})).await;
    assert_eq!(
        (&row["version"], &row["tenant"]),
        (&json!(2), &json!("demo"))
    );
    assert!(!row.to_string().contains("sesame"), "{row}");
    let key_file = place.data().join("secrets.key");
    assert_eq!(std::fs::metadata(key_file).unwrap().mode() & 0o777, 0o600);
    // A Madang that starts anew opens it.
    madang.kill().await;
    madang = place.up_with(&[]).await;
    let (status, job) = submit(&madang, &madang.key, json!({"TOKEN": "T"})).await;
    assert_eq!(status, 201, "{job}");
    assert_eq!(job["secrets"], Value::Null, "{job}");
    let id = job["id"].as_str().unwrap().to_owned();
    let done = over(&madang, &id).await;
    assert_eq!(done["state"], "completed", "{done}");
    let log = place.run(&["job", "logs", &id]).await.expect_code(0);
    assert_eq!(log.out, format!("{}\nend\n", SECRET.len()));
    let listed = place.run(&["secret", "list"]).await.expect_code(0);
    assert!(
        listed.out.contains("T ") && !listed.out.contains("sesame"),
        "{}",
        listed.out
    );
    assert_eq!(madang.stop().await, 0);
    assert!(!madang.said().contains("sesame"), "{}", madang.said());
    let mut found = Vec::new();
    holders(&place.data(), SECRET.as_bytes(), &mut found);
    // Only what the program itself wrote into its folder.
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].ends_with("token"), "{found:?}");
    let (leaf, mut logged) = (
        r#""secret":{"tenant":"demo","name":"T","version":2"#,
        Vec::new(),
    );
    holders(&place.data().join("audit"), leaf.as_bytes(), &mut logged);
    assert!(!logged.is_empty(), "it is in the audit log who put it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_its_tenants_or_projects_and_is_missed_when_it_is_gone() {
    let (place, mut madang, _engine) = up().await;
    let operator = madang.operator_key();
    let made = json!({"id": "web", "tenant": "demo"});
    madang.operate(Method::POST, "/api/v1/projects", made).await;
    let made = json!({"tenant": "demo", "project": "web"});
    let made = madang.operate(Method::POST, "/api/v1/keys", made).await;
    let web = made["key"].as_str().unwrap().to_owned();
    // A project's key is for the project's secrets, and others do not have them.
    let (status, _) = put(&madang, &web, json!({"name": "T", "value": "mine"})).await;
    assert_eq!(status, 403);
    let of_web = json!({"name": "T", "project": "web", "value": "mine"});
    assert_eq!(put(&madang, &web, of_web).await.0, 201);
    assert_eq!(
        submit(&madang, &madang.key, json!({"TOKEN": "T"})).await.0,
        400
    );
    let (status, job) = submit(&madang, &web, json!({"TOKEN": "T"})).await;
    assert_eq!(status, 201, "{job}");
    let done = over(&madang, job["id"].as_str().unwrap()).await;
    assert_eq!(done["state"], "completed", "{done}");
    let log = place
        .run(&["job", "logs", job["id"].as_str().unwrap()])
        .await;
    assert_eq!(log.out, "4\nend\n");

    // Held back until its secret is gone.
    let block = json!({"name": "long", "command": ["sleep", "600"], "resources": {}, "time_limit_ms": 600_000});
    let (_, long) = call(&madang, &madang.key, (Method::POST, "/api/v1/jobs"), block).await;
    let (_, job) = submit(&madang, &web, json!({"TOKEN": "T"})).await;
    let path = "/api/v1/secrets/demo/T?project=web";
    let (status, gone) = call(&madang, &web, (Method::DELETE, path), json!({})).await;
    assert_eq!((status, &gone["name"]), (200, &json!("T")), "{gone}");
    assert_eq!(
        call(&madang, &web, (Method::DELETE, path), json!({}))
            .await
            .0,
        404
    );
    place
        .run(&["job", "cancel", long["id"].as_str().unwrap()])
        .await
        .expect_code(0);
    let id = job["id"].as_str().unwrap();
    let done = over(&madang, id).await;
    assert_eq!(done["state"], "failed", "{done}");
    let path = format!("/api/v1/jobs/{id}/runs");
    let (_, runs) = call(&madang, &operator, (Method::GET, &path), json!({})).await;
    let told = runs.to_string();
    assert!(told.contains("there is no secret 'T'"), "{told}");
    assert_eq!(madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_secret_is_refused() {
    let (_place, mut madang, _engine) = up().await;
    for (name, value, expected) in [("a-b", "x", 400), ("T", "", 400), ("T", "a\0b", 400)] {
        let (status, answer) =
            put(&madang, &madang.key, json!({"name": name, "value": value})).await;
        assert_eq!(status, expected, "{answer}");
    }
    let long = "x".repeat(32 * 1024);
    let (status, _) = put(&madang, &madang.key, json!({"name": "LONG", "value": long})).await;
    assert_eq!(status, 201);
    let (status, _) = put(
        &madang,
        &madang.key,
        json!({"name": "L", "value": long + "x"}),
    )
    .await;
    assert_eq!(status, 400);
    let (status, refused) = submit(&madang, &madang.key, json!({"TOKEN": "T"})).await;
    assert_eq!(
        (status, &refused["error"]["param"]),
        (400, &json!("secrets")),
        "{refused}"
    );
    assert_eq!(madang.stop().await, 0);
}
