//! Batch jobs by the API: submitted, run on machines that are not there, paid.

use crate::bench::{Answer, Bench};
use madang_testkit::eventually_async;
use madang_types::{RunOutcome, Unit};
use serde_json::{Value, json};

const JOBS: &str = "/api/v1/jobs";

pub fn job(name: &str) -> Value {
    json!({"name": name, "command": ["true"], "resources": {}, "time_limit_ms": 3_600_000})
}

pub async fn made(bench: &Bench, key: &str, body: Value) -> String {
    let made = bench.post(JOBS, key, body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.text_of("id")
}

/// Waits until a job stands so.
pub async fn until(bench: &Bench, id: &str, state: &str) -> Answer {
    let path = format!("{JOBS}/{id}");
    let is_so = async || bench.get(&path, &bench.operator).await.json["state"] == state;
    let shown = bench.get(&path, &bench.operator).await;
    assert!(eventually_async(is_so).await, "{state}: {}", shown.text);
    bench.get(&path, &bench.operator).await
}

/// Waits until the executor of a job's first run was told of it, which is after it counts as running.
pub async fn begun(bench: &Bench, id: &str) {
    let path = format!("{JOBS}/{id}/runs");
    let told = async || {
        let runs = bench.get(&path, &bench.operator).await;
        runs.json["data"][0]["state"] == "running"
    };
    assert!(eventually_async(told).await, "its executor is told");
}

#[tokio::test]
async fn a_job_waits_runs_prints_and_ends() {
    let bench = Bench::start().await;
    let (_, key) = bench.tenant("alpha").await;
    let first = made(&bench, &key, job("first")).await;
    begun(&bench, &first).await;
    let second = made(&bench, &key, job("second")).await;
    let path = format!("{JOBS}/{second}");
    let queued = async || bench.get(&path, &key).await.json["waits"]["ahead"] == 0;
    assert!(eventually_async(queued).await, "it is next");
    let waits = bench.get(&path, &key).await;
    assert!(waits.json["waits"]["starts_at"].is_string());
    let log = bench.get(&format!("{JOBS}/{first}/log?from=2"), &key).await;
    assert_eq!(log.text, "rst");
    assert_eq!(log.headers["x-madang-log-next"], "5");
    assert_eq!(log.headers["x-madang-log-end"], "false");
    bench
        .paper
        .end("1-1".parse().unwrap(), RunOutcome::Completed);
    until(&bench, &first, "completed").await;
    until(&bench, &second, "running").await;
    let runs = bench.get(&format!("{JOBS}/{first}/runs"), &key).await;
    assert_eq!(runs.json["data"][0]["outcome"], "completed");
    let list = bench.get(&format!("{JOBS}?state=running"), &key).await;
    assert_eq!(list.json["data"][0]["id"], second);
}

#[tokio::test]
async fn a_run_that_is_about_to_begin_has_printed_nothing() {
    let bench = Bench::start().await;
    let (_, key) = bench.tenant("alpha").await;
    let gate = bench.paper.gate.lock().await;
    let id = made(&bench, &key, job("first")).await;
    until(&bench, &id, "running").await;
    let path = format!("{JOBS}/{id}/log");
    let log = bench.get(&path, &key).await;
    assert_eq!((log.status, log.text.as_str()), (200, ""));
    assert_eq!(log.headers["x-madang-log-end"], "false");
    drop(gate);
    let printed = async || bench.get(&path, &key).await.text == "first";
    assert!(eventually_async(printed).await);
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_its_name() {
    let bench = Bench::start().await;
    let (_, key) = bench.tenant("alpha").await;
    let check = async |field: &str, value: Value, code: &str, message: &str| {
        let mut body = job("x");
        body[field] = value;
        let refused = bench.post(JOBS, &key, body).await;
        assert_eq!(refused.code(), code, "{}", refused.text);
        assert!(refused.text.contains(message), "{}", refused.text);
    };
    let eight = json!({"count": 8, "per_node": 8});
    check(
        "resources",
        eight,
        "job_impossible",
        "here-cpu at here: 1 accelerators in one machine",
    )
    .await;
    let other = json!({"accelerator": ["h200"]});
    check(
        "resources",
        other,
        "job_impossible",
        "its accelerators are cpu",
    )
    .await;
    check("time_limit_ms", json!(1), "field_invalid", "time_limit_ms").await;
    check("data_class", json!("classified"), "policy_denied", "here").await;
    check("after", json!([{"job": "99"}]), "field_invalid", "job 99").await;
    check(
        "secrets",
        json!({"TOKEN": "hub"}),
        "field_invalid",
        "there is no secret 'hub'",
    )
    .await;
    check("colour", json!("red"), "field_invalid", "colour").await;
    let list = bench.get(JOBS, &key).await;
    assert_eq!(list.json["data"], json!([]));
}

#[tokio::test]
async fn a_job_without_a_budget_waits_and_what_it_used_is_taken() {
    let bench = Bench::start().await;
    let programme = json!({"id": "ours"});
    let tenant = json!({"id": "alpha", "programme": "ours"});
    let budget = json!({"programme": "ours", "unit": "accelerator_ms", "amount": 7_200_000});
    for (path, body) in [
        ("/api/v1/programmes", programme),
        ("/api/v1/tenants", tenant),
        ("/api/v1/budgets", budget),
    ] {
        let made = bench.post(path, &bench.operator, body).await;
        assert_eq!(made.status, 201, "{}", made.text);
    }
    let (_, key) = bench.key("alpha").await;
    let id = made(&bench, &key, job("paid")).await;
    let path = format!("{JOBS}/{id}");
    let refused = async || {
        let shown = bench.get(&path, &key).await;
        let why = "no budget: nothing that 'alpha' was granted pays now for accelerators 'cpu'";
        shown.text.contains(why)
    };
    assert!(eventually_async(refused).await, "it waits for its budget");
    let grant = json!({
        "id": "hours", "tenant": "alpha", "unit": "accelerator_ms", "amount": 7_200_000,
        "until": "2100-01-01T00:00:00Z",
    });
    let granted = bench
        .post("/api/v1/allocations", &bench.operator, grant)
        .await;
    assert_eq!(granted.status, 201, "{}", granted.text);
    begun(&bench, &id).await;
    let bank = bench.control.gateway().purses.bank();
    let left = async || {
        let purse = "allocation:hours".parse().unwrap();
        bank.purse_left(purse, Unit::AcceleratorMs).await.unwrap()
    };
    assert_eq!(left().await, 3_600_000, "an hour is set aside");
    bench
        .paper
        .end("1-1".parse().unwrap(), RunOutcome::Completed);
    until(&bench, &id, "completed").await;
    let runs = bench.get(&format!("{path}/runs"), &key).await;
    let used = runs.json["data"][0]["accelerator_ms"].as_i64().unwrap();
    let taken = 7_200_000 - left().await;
    assert!((used - taken).abs() <= 1, "{used} used, {taken} taken");
}

#[tokio::test]
async fn a_run_is_followed_and_paid_whose_machines_left_the_fleet() {
    let bench = Bench::start().await;
    let (_, key) = bench.tenant("alpha").await;
    let price = json!({"accelerator": "cpu", "won_per_hour": "360000000"});
    let priced = bench
        .post("/api/v1/accelerator-prices", &bench.operator, price)
        .await;
    assert_eq!(priced.status, 201, "{}", priced.text);
    let id = made(&bench, &key, job("first")).await;
    begun(&bench, &id).await;
    let fleet = std::fs::read_to_string(&bench.fleet_file).unwrap();
    let without = fleet.replace("jobs = { executor = \"local\" }\n", "");
    assert_ne!(fleet, without);
    std::fs::write(&bench.fleet_file, without).unwrap();
    bench.control.reload().await.unwrap();
    let log = bench.get(&format!("{JOBS}/{id}/log"), &key).await;
    assert_eq!(log.text, "first");
    bench
        .paper
        .end("1-1".parse().unwrap(), RunOutcome::Completed);
    until(&bench, &id, "completed").await;
    let runs = bench.get(&format!("{JOBS}/{id}/runs"), &key).await;
    let run = &runs.json["data"][0];
    assert_eq!(
        (&run["site"], &run["accelerator"]),
        (&json!("here"), &json!("cpu"))
    );
    assert!(run["micro_won"].as_i64().unwrap() > 0, "{run}");
}

#[tokio::test]
async fn runs_are_told_in_pages() {
    let bench = Bench::start().await;
    let (_, key) = bench.tenant("alpha").await;
    let mut array = job("array");
    array["array"] = json!({"tasks": 3});
    let id = made(&bench, &key, array).await;
    for index in 0..3 {
        let run = format!("{id}.{index}-1").parse().unwrap();
        let began = async || {
            let runs = bench.get(&format!("{JOBS}/{id}/runs"), &key).await;
            runs.json["data"][index]["state"] == "running"
        };
        assert!(eventually_async(began).await, "{run}");
        bench.paper.end(run, RunOutcome::Completed);
    }
    until(&bench, &id, "completed").await;
    let page = async |asked: &str| {
        let runs = bench.get(&format!("{JOBS}/{id}/runs?{asked}"), &key).await;
        assert_eq!(runs.status, 200, "{}", runs.text);
        let ids = runs.json["data"].as_array().unwrap().iter();
        ids.map(|run| run["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(page("limit=2").await, ["1.0-1", "1.1-1"]);
    assert_eq!(page("limit=2&after=1.1-1").await, ["1.2-1"]);
    assert_eq!(page("after=1.2-1").await, [""; 0]);
    for (asked, code) in [
        ("after=2-1", "not_found"),
        ("after=x", "field_invalid"),
        ("limit=0", "field_invalid"),
    ] {
        let refused = bench.get(&format!("{JOBS}/{id}/runs?{asked}"), &key).await;
        assert_eq!(refused.code(), code, "{}", refused.text);
    }
}
