//! What of awards stood idle, by the API: measured by nobody, little used, and taken back with notice.

use crate::bench::Bench;
use crate::jobs::{job, made, until};
use madang_testkit::eventually_async;
use madang_types::{Role, RunOutcome};
use serde_json::{Value, json};

const IDLE: &str = "/api/v1/reports/idle?after_s=0";
const AWARD: &str = "/api/v1/allocations/hours";

/// A machine of two accelerators that are measured each second, the programme `ours`, its tenant `alpha`, and 10 hours for it.
async fn bench() -> Bench {
    let bench = Bench::start().await;
    let fleet = std::fs::read_to_string(&bench.fleet_file).unwrap();
    let jobs = "jobs = { executor = \"local\" }";
    let measured = "jobs = { executor = \"local\", device_variable = \"CUDA_VISIBLE_DEVICES\" }";
    let fleet = fleet
        .replace(jobs, measured)
        .replace("per_node = 1", "per_node = 2");
    std::fs::write(
        &bench.fleet_file,
        format!("{fleet}\n[jobs]\nmeasure_ms = 1000\n"),
    )
    .unwrap();
    bench.control.reload().await.unwrap();
    for (path, body) in [
        ("/api/v1/programmes", json!({"id": "ours"})),
        (
            "/api/v1/tenants",
            json!({"id": "alpha", "programme": "ours"}),
        ),
        (
            "/api/v1/budgets",
            json!({"programme": "ours", "unit": "accelerator_ms", "amount": 36_000_000}),
        ),
        (
            "/api/v1/allocations",
            json!({
                "id": "hours", "tenant": "alpha", "unit": "accelerator_ms", "amount": 36_000_000, "until": "2100-01-01T00:00:00Z",
            }),
        ),
    ] {
        let made = bench.post(path, &bench.operator, body).await;
        assert_eq!(made.status, 201, "{path}: {}", made.text);
    }
    bench
}

async fn report(bench: &Bench, key: &str) -> Value {
    let answer = bench.get(IDLE, key).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json
}

/// What is told of a run of `alpha` that was never at work.
fn says_whose_it_is_and_how_busy(run: &Value) {
    let told_of = [
        &run["tenant"],
        &run["programme"],
        &run["nodes"],
        &run["ended"],
    ];
    let expected = [
        json!("alpha"),
        json!("ours"),
        json!("here-cpu"),
        json!(false),
    ];
    assert_eq!(told_of, expected.each_ref(), "{run}");
    let busy = run["busy_permille"].as_u64().unwrap();
    assert!((10..=20).contains(&busy), "of whole milliseconds: {run}");
    assert_eq!(run["allocations"], json!(["hours"]));
    assert_eq!(run["idle_since"], run["began_at"], "it was never at work");
}

#[tokio::test]
async fn what_is_held_and_little_used_is_told_per_award_and_nothing_of_what_nobody_measured() {
    let bench = bench().await;
    let (_, key) = bench.key("alpha").await;
    for name in ["unmeasured", "idle"] {
        let id = made(&bench, &key, job(name)).await;
        until(&bench, &id, "running").await;
    }
    let idle: madang_types::RunId = "2-1".parse().unwrap();
    bench.paper.busy.lock().unwrap().insert(idle, 20);
    let is_told = async || report(&bench, &bench.operator).await["runs"][0]["run"] == "2-1";
    assert!(
        eventually_async(is_told).await,
        "{}",
        report(&bench, &bench.operator).await
    );
    let told = report(&bench, &bench.operator).await;
    assert_eq!(
        told["runs"].as_array().unwrap().len(),
        1,
        "nobody measures the other: {told}"
    );
    let run = &told["runs"][0];
    says_whose_it_is_and_how_busy(run);
    let award = &told["awards"][0];
    let [measured, idle_ms] =
        [&award["measured_ms"], &award["idle_ms"]].map(|ms| ms.as_u64().unwrap());
    assert!(measured > 0 && idle_ms >= measured * 97 / 100, "{award}");
    assert_eq!(
        (&award["allocation"], &award["used"]),
        (&json!("hours"), &json!(0)),
        "neither is over"
    );
    let of_runs = run["measured_ms"].as_u64().unwrap();
    assert_eq!(measured, of_runs, "{told}");
    let machines = &told["machines"][0];
    assert_eq!(machines["nodes"], "here-cpu");

    bench.paper.end(idle, RunOutcome::Completed);
    until(&bench, "2", "completed").await;
    let over = report(&bench, &bench.operator).await;
    assert_eq!(over["runs"][0]["ended"], true, "{over}");
    assert!(over["awards"][0]["used"].as_i64().unwrap() > 0, "{over}");
    let csv = bench
        .get(&format!("{IDLE}&format=csv"), &key_of_admin(&bench).await)
        .await;
    let lines: Vec<&str> = csv.text.lines().collect();
    assert_eq!(lines.len(), 2, "{}", csv.text);
    assert!(
        lines[0].starts_with("allocation,programme,tenant,unit,accelerator,promised,used"),
        "{}",
        csv.text
    );
    assert!(
        lines[1].starts_with("hours,ours,alpha,accelerator_ms,,"),
        "{}",
        csv.text
    );
}

async fn key_of_admin(bench: &Bench) -> String {
    bench.key_of("", "alpha", Role::TenantAdmin).await.1
}

#[tokio::test]
async fn a_report_of_what_is_idle_tells_each_what_is_its_own() {
    let bench = bench().await;
    for (path, body) in [
        ("/api/v1/programmes", json!({"id": "theirs"})),
        (
            "/api/v1/tenants",
            json!({"id": "beta", "programme": "theirs"}),
        ),
    ] {
        let made = bench.post(path, &bench.operator, body).await;
        assert_eq!(made.status, 201, "{}", made.text);
    }
    let awards = |report: &Value| report["awards"].as_array().unwrap().len();
    let own = bench.key_of("ours", "", Role::ProgrammeManager).await.1;
    let other = bench.key_of("theirs", "", Role::ProgrammeManager).await.1;
    let auditor = bench.key_of("", "", Role::Auditor).await.1;
    let beta = bench.key_of("", "beta", Role::TenantAdmin).await.1;
    for (key, count, sees_machines) in [
        (&own, 1, false),
        (&key_of_admin(&bench).await, 1, false),
        (&auditor, 1, true),
        (&other, 0, false),
        (&beta, 0, false),
    ] {
        let told = report(&bench, key).await;
        assert_eq!(
            (awards(&told), told["machines"].is_array()),
            (count, sees_machines),
            "{told}"
        );
    }
    let foreign = bench.get(&format!("{IDLE}&programme=ours"), &other).await;
    assert_eq!(foreign.code(), "not_found", "{}", foreign.text);
    let of_other = bench
        .get(&format!("{IDLE}&programme=theirs"), &bench.operator)
        .await;
    assert_eq!(awards(&of_other.json), 0, "{}", of_other.text);
}

#[tokio::test]
async fn a_recall_with_notice_is_seen_by_its_tenant_and_logged_and_what_runs_goes_on() {
    let bench = bench().await;
    let (_, key) = bench.key("alpha").await;
    let id = made(&bench, &key, job("long")).await;
    until(&bench, &id, "running").await;
    let manager = bench.key_of("ours", "", Role::ProgrammeManager).await.1;
    let recall = async |notice: &str| bench.delete(&format!("{AWARD}{notice}"), &manager).await;
    let refused = recall("?notice_s=31536001").await;
    assert_eq!(refused.code(), "field_invalid", "{}", refused.text);
    let first = recall("?notice_s=7200").await;
    assert_eq!(first.status, 200, "{}", first.text);
    let ends_at = first.text_of("recalled_at");
    let seen = bench.get(AWARD, &key_of_admin(&bench).await).await;
    assert_eq!(seen.text_of("recalled_at"), ends_at);
    assert!(
        seen.json["left"].as_i64().unwrap() > 0,
        "it is spent as before: {}",
        seen.text
    );
    assert_eq!(
        recall("?notice_s=9000").await.text_of("recalled_at"),
        ends_at,
        "not put off"
    );
    assert_eq!(
        bench.get(&format!("/api/v1/jobs/{id}"), &key).await.json["state"],
        "running"
    );
    assert_eq!(
        report(&bench, &manager).await["awards"][0]["recalled_at"],
        json!(ends_at)
    );
    let leaf = r#"{"recall":{"allocation":"hours","programme":"ours","tenant":"alpha","ends_us":"#;
    assert_eq!(bench.leaves().await.matches(leaf).count(), 2);
    let now = recall("").await;
    assert!(
        now.text_of("recalled_at") < ends_at,
        "brought forward: {}",
        now.text
    );
    let nothing = async || bench.get(AWARD, &manager).await.json["left"] == 0;
    assert!(
        eventually_async(nothing).await,
        "{}",
        bench.get(AWARD, &manager).await.text
    );
}
