//! The fleet as the API shows it and loads it again.

use crate::bench::Bench;
use madang_testkit::eventually;
use serde_json::json;

#[tokio::test]
async fn the_fleet_is_shown_as_it_stands() {
    let bench = Bench::start().await;
    let op = bench.operator.as_str();
    assert!(eventually(|| bench.control.replicas().iter().any(|r| r.state == "up")).await);
    let status = bench.get("/api/v1/status", op).await;
    assert_eq!(status.json["generation"], 1);
    assert_eq!(status.json["pools"][0]["members"][0]["replica"], "r1");
    let replica = bench.get("/api/v1/replicas/r1", op).await;
    assert_eq!(
        (&replica.json["state"], &replica.json["slots"]),
        (&json!("up"), &json!(4))
    );
    assert_eq!(replica.json["address"], json!(bench.engine.url()));
    let sites = bench.get("/api/v1/sites", op).await;
    assert_eq!(sites.json["data"][0]["id"], "here");
    assert_eq!(sites.json["data"][0]["nodes"][0]["accelerator"], "cpu");
    assert_eq!(sites.json["data"][0]["replicas_count"], 1);
    let models = bench.get("/api/v1/models", op).await;
    assert_eq!(models.json["data"][0]["sites"], json!(["here"]));
    assert_eq!(models.json["data"][0]["available"], true);
    let logs = bench.get("/api/v1/replicas/r1/logs?lines=5", op).await;
    assert_eq!(
        logs.json,
        json!({"replica": "r1", "lines": []}),
        "it was not launched here"
    );
}

#[tokio::test]
async fn a_reload_takes_the_file_whole_or_lists_its_problems() {
    let bench = Bench::start().await;
    let op = bench.operator.as_str();
    let good = std::fs::read_to_string(&bench.fleet_file).unwrap();
    let tenant = "\n[[tenant]]\nid = \"nara\"\n";
    std::fs::write(&bench.fleet_file, format!("{good}{tenant}")).unwrap();
    let loaded = bench.post("/api/v1/reload", op, json!({})).await;
    assert_eq!(
        (loaded.status, &loaded.json["generation"]),
        (200, &json!(2)),
        "{}",
        loaded.text
    );
    assert_eq!(
        bench.get("/api/v1/tenants/nara", op).await.json["origin"],
        "fleet"
    );

    std::fs::write(
        &bench.fleet_file,
        format!("{good}\n[[tenant]]\nid = \"a b\"\nweigth = 2\n"),
    )
    .unwrap();
    let broken = bench.post("/api/v1/reload", op, json!({})).await;
    assert_eq!(
        (broken.status, broken.code()),
        (422, "fleet_invalid"),
        "{}",
        broken.text
    );
    let error = &broken.json["error"];
    assert_eq!(error["file"], json!(bench.fleet_file.display().to_string()));
    let problems = error["problems"].as_array().unwrap();
    assert!(problems.len() >= 2, "{}", broken.text);
    let near = problems
        .iter()
        .find(|p| p["code"] == "unknown_key")
        .unwrap();
    let line = good.lines().count() + 4;
    assert_eq!((&near["line"], &near["column"]), (&json!(line), &json!(1)));
    assert!(near["remedy"].as_str().unwrap().contains("weight"));
    assert_eq!(
        bench.get("/api/v1/status", op).await.json["generation"],
        2,
        "the last good one stays"
    );

    std::fs::remove_file(&bench.fleet_file).unwrap();
    let gone = bench.post("/api/v1/reload", op, json!({})).await;
    assert_eq!((gone.status, gone.code()), (422, "fleet_invalid"));
}
