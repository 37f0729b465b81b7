//! `kill -9` while a batch runs: every line has one result all the same, the ledger is right, and nothing is asked again but what
//! was under way. Rounds: `MADANG_KILL_ROUNDS`; moments: `MADANG_TEST_SEED`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::books::records;
use harness::fleet::{fleet, url_replica};
use harness::load::{check_ledger, grant};
use harness::random::Random;
use harness::{Madang, Place, chat_body, wait_for};
use http::Method;
use madang_store::SqliteStore;
use madang_testkit::{FakeEngine, FakeEngineOptions, HttpAnswer};
use madang_types::Outcome;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const ROUNDS: u64 = 4;
const LINES: u64 = 2_000;
const IN_FLIGHT: u64 = 16;

#[tokio::test(flavor = "multi_thread")]
async fn every_line_has_one_result_through_kill_9() {
    let place = Place::new();
    let mut random = Random::new();
    let rounds = std::env::var("MADANG_KILL_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let engine = FakeEngine::start(FakeEngineOptions {
        token_ms: 1,
        ..FakeEngineOptions::default()
    })
    .await;
    let limits = format!("[limits]\nbatch_in_flight_max = {IN_FLIGHT}\n");
    place.write(
        "fleet.toml",
        fleet(&[url_replica("a", engine.url()), limits]),
    );
    let mut madang = place.up_with(&[]).await;
    grant(&madang).await;
    let batch = begin(&madang).await;
    let path = format!("/v1/batches/{batch}");
    let mut met = 0;
    for _ in 0..rounds {
        // The wait is the test's subject: the kill comes at a moment that nothing chose.
        tokio::time::sleep(Duration::from_millis(100 + random.below(600))).await;
        let found = ask(&madang, Method::GET, &path, "").await.json().unwrap();
        met += u64::from(found["status"] == "in_progress");
        madang.kill().await;
        madang = place.up_with(&[]).await;
    }
    assert!(met > 0, "no kill met the batch while it ran");
    let done = wait_for("the batch is over", async || {
        let found = ask(&madang, Method::GET, &path, "").await.json().unwrap();
        (found["status"] == "completed").then_some(found)
    })
    .await;
    assert_eq!(done["request_counts"]["total"], LINES);
    let results = results(&madang, &done).await;
    assert_eq!(madang.stop().await, 0);

    let ids: BTreeSet<u64> = results.iter().map(|line| line.0).collect();
    assert_eq!((results.len() as u64, ids.len() as u64), (LINES, LINES));
    let books = SqliteStore::open(&place.data().join("madang.sqlite")).unwrap();
    let records = records(&books).await;
    check_ledger(&books, &records).await;
    let finished: BTreeSet<String> = records
        .iter()
        .filter(|record| record.outcome == Outcome::Finished)
        .map(|record| record.id.to_string())
        .collect();
    for (_, request) in &results {
        assert!(finished.contains(request), "{request} is not in the books");
    }
    let twice = finished.len() as u64 - LINES;
    println!(
        "{twice} lines were answered and paid for twice; {met} of {rounds} kills met the batch"
    );
    assert!(twice <= rounds * IN_FLIGHT, "{twice}");
    place.run(&["ledger", "verify"]).await.expect_code(0);
}

async fn ask(madang: &Madang, method: Method, path: &str, body: &str) -> HttpAnswer {
    let body = ("application/json", body.to_owned());
    let answer = madang.call(&madang.key, (method, path), body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

/// Sends the lines and asks for the batch; gives its id.
async fn begin(madang: &Madang) -> String {
    let body: Value = serde_json::from_str(&chat_body("count for me", 8, false)).unwrap();
    let line = |n: u64| json!({"custom_id": n.to_string(), "method": "POST", "url": "/v1/chat/completions", "body": body});
    let lines: String = (0..LINES).map(|n| line(n).to_string() + "\n").collect();
    let file = madang.upload("batch", &lines).await;
    let order = json!({
        "input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h",
    });
    let batch = ask(madang, Method::POST, "/v1/batches", &order.to_string()).await;
    batch.json().unwrap()["id"].as_str().unwrap().to_owned()
}

/// Each result's line and request.
async fn results(madang: &Madang, batch: &Value) -> Vec<(u64, String)> {
    assert_eq!(batch["error_file_id"], Value::Null, "{batch:#}");
    let output = batch["output_file_id"].as_str().unwrap();
    let path = format!("/v1/files/{output}/content");
    let text = ask(madang, Method::GET, &path, "").await.text();
    let lines = text.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let request = line["response"]["request_id"].as_str().unwrap();
        let number = line["custom_id"].as_str().unwrap().parse().unwrap();
        (number, request.to_owned())
    });
    lines.collect()
}
