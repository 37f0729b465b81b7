//! Sums and records.

use crate::bench::Bench;
use madang_testkit::eventually;
use serde_json::{Value, json};

fn groups(answer: &Value) -> Vec<(String, u64)> {
    let rows = answer["data"].as_array().unwrap().iter();
    let group = |row: &Value| {
        let requests = row["requests"].as_u64().unwrap();
        (row["group"].as_str().unwrap().to_owned(), requests)
    };
    rows.map(group).collect()
}

fn pairs(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
    expected
        .iter()
        .map(|(g, n)| ((*g).to_owned(), *n))
        .collect()
}

async fn with_records() -> (Bench, String) {
    let bench = Bench::start().await;
    let (_, alpha) = bench.tenant("alpha").await;
    bench.tenant("beta").await;
    // Hours of one night, from midnight in Seoul on: 0 to 8 are the day before in UTC.
    for (hour, tenant, model) in [
        (0, "alpha", Some("m")),
        (1, "alpha", None),
        (2, "beta", Some("m")),
        (10, "alpha", Some("m")),
        (30, "beta", Some("n")),
    ] {
        bench.record(hour, tenant, model).await;
    }
    (bench, alpha)
}

#[tokio::test]
async fn usage_is_summed_by_group_and_bounds() {
    let (bench, alpha) = with_records().await;
    let op = bench.operator.clone();
    let check = async |key: &str, query: &str, expected: &[(&str, u64)]| {
        let answer = bench.get(&format!("/api/v1/usage{query}"), key).await;
        assert_eq!(
            groups(&answer.json),
            pairs(expected),
            "{query}: {}",
            answer.text
        );
    };
    check(&op, "", &[("", 5)]).await;
    check(&op, "?by=model", &[("-", 1), ("m", 3), ("n", 1)]).await;
    check(&op, "?by=tenant", &[("alpha", 3), ("beta", 2)]).await;
    check(&op, "?by=day", &[("2026-11-21", 4), ("2026-11-22", 1)]).await;
    check(
        &op,
        "?by=day&offset_s=0",
        &[("2026-11-20", 3), ("2026-11-21", 2)],
    )
    .await;
    check(&op, "?by=tenant&model=m", &[("alpha", 2), ("beta", 1)]).await;
    check(
        &op,
        "?from=2026-11-21T01:00:00%2B09:00&until=2026-11-21T02:00:00%2B09:00",
        &[("", 1)],
    )
    .await;
    check(
        &op,
        "?tenant=beta&by=day",
        &[("2026-11-21", 1), ("2026-11-22", 1)],
    )
    .await;
    check(&alpha, "?by=tenant", &[("alpha", 3)]).await;
    check(&alpha, "", &[("", 3)]).await;
    check(&alpha, "?tenant=alpha&by=model", &[("-", 1), ("m", 2)]).await;
}

#[tokio::test]
async fn usage_comes_as_csv_too() {
    let (bench, _) = with_records().await;
    let csv = bench
        .get("/api/v1/usage?by=tenant&format=csv", &bench.operator)
        .await;
    assert!(
        csv.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/csv")
    );
    let lines: Vec<&str> = csv.text.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 3, "{}", csv.text);
    assert_eq!(lines[1], "alpha,3,3,30,15,21,0,300,600");
}

#[tokio::test]
async fn requests_are_paged_from_the_newest() {
    let (bench, alpha) = with_records().await;
    let op = bench.operator.clone();
    let page = async |key: &str, query: &str| {
        let answer = bench.get(&format!("/api/v1/requests?{query}"), key).await;
        let rows = answer.json["data"].as_array().unwrap().clone();
        let ids: Vec<String> = rows
            .iter()
            .map(|r| r["id"].as_str().unwrap().to_owned())
            .collect();
        (ids, answer.json["next_before"].as_str().map(str::to_owned))
    };
    let (all, none) = page(&op, "").await;
    assert_eq!((all.len(), none), (5, None));
    let (mut walked, mut before) = page(&op, "limit=2").await;
    while let Some(id) = before {
        let (more, next) = page(&op, &format!("limit=2&before={id}")).await;
        walked.extend(more);
        before = next;
    }
    assert_eq!(walked, all);
    let (own, _) = page(&alpha, "model=m").await;
    assert_eq!(own.len(), 2);
    let foreign = bench
        .get(&format!("/api/v1/requests?before={}", all[0]), &alpha)
        .await;
    assert_eq!((foreign.code(), foreign.param()), ("not_found", "before"));

    let one = bench
        .get(&format!("/api/v1/requests/{}", own[0]), &alpha)
        .await;
    assert_eq!(one.json["arrived_at"], "2026-11-21T01:00:00.000000Z");
    assert_eq!(
        one.json["tokens"],
        json!({"uncached": 10, "cached": 5, "output": 7, "estimated": false})
    );
    assert!(one.json["cost_krw"].is_null() && one.json["energy_millijoules"].is_null());
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let bench = Bench::start().await;
    let check = async |path: &str, code: &str, param: &str| {
        let answer = bench.get(&format!("/api/v1/{path}"), &bench.operator).await;
        assert_eq!(
            (answer.code(), answer.param()),
            (code, param),
            "{path}: {}",
            answer.text
        );
    };
    check("usage?by=colour", "field_invalid", "by").await;
    check("usage?from=yesterday", "field_invalid", "from").await;
    check("usage?offset_s=90000", "field_invalid", "offset_s").await;
    check("usage?format=xml", "field_invalid", "format").await;
    check("usage?colour=red", "field_invalid", "colour").await;
    check("usage?by=day&by=model", "field_duplicate", "by").await;
    check("usage?tenant=nobody", "not_found", "tenant").await;
    check(
        "usage?from=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z",
        "field_invalid",
        "until",
    )
    .await;
    check("requests?limit=0", "field_invalid", "limit").await;
    check("requests?limit=1001", "field_invalid", "limit").await;
    check("requests?before=7", "field_invalid", "before").await;
    check(
        "requests?before=req_00000000000000000000000000000abc",
        "not_found",
        "before",
    )
    .await;
    check("replicas/r1/logs?lines=0", "field_invalid", "lines").await;
    check("replicas/r1/logs?lines=10001", "field_invalid", "lines").await;
}

#[tokio::test]
async fn a_served_request_is_found_by_the_id_of_its_answer() {
    let bench = Bench::start().await;
    let (key_id, key) = bench.tenant("alpha").await;
    let gateway = bench.control.gateway();
    let serves = || {
        gateway
            .status()
            .iter()
            .any(|p| p.members.iter().any(|m| m.available))
    };
    assert!(eventually(serves).await);
    let body =
        json!({"model": "m", "messages": [{"role": "user", "content": "안녕"}], "max_tokens": 3});
    let answer = bench.post("/v1/chat/completions", &key, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let id = answer.headers["x-madang-request-id"].to_str().unwrap();
    let record = bench.get(&format!("/api/v1/requests/{id}"), &key).await;
    assert_eq!(record.json["tenant"], "alpha");
    assert_eq!(record.json["key"], json!(key_id));
    assert_eq!(record.json["replica"], "r1");
    assert_eq!(record.json["outcome"], "finished");
    assert_eq!(record.json["tokens"]["output"], 3);
    assert!(!record.text.contains("안녕"));
}
