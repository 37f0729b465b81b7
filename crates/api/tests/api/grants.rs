//! What a programme grants and on what terms, and what a project may spend: what makes no sense is named and moves nothing.

use crate::bench::Bench;
use serde_json::{Value, json};

const PROGRAMMES: &str = "/api/v1/programmes";
const PROJECTS: &str = "/api/v1/projects";
const ALLOCATIONS: &str = "/api/v1/allocations";

/// A bench with a programme for the year 2100, its tenant `alpha`, and 1,000 µ₩ to grant.
async fn bench() -> Bench {
    let bench = Bench::start().await;
    let op = bench.operator.clone();
    let programme = json!({
        "id": "ours", "until": "2101-01-01T00:00:00+09:00", "eligibility": "창업 7년 이내 기업",
        "residency_floor": "domestic_private",
    });
    for (path, body) in [
        (PROGRAMMES, programme),
        (
            "/api/v1/tenants",
            json!({"id": "alpha", "programme": "ours"}),
        ),
        (
            "/api/v1/budgets",
            json!({"programme": "ours", "amount": 1_000}),
        ),
        (
            PROJECTS,
            json!({"id": "web", "tenant": "alpha", "limit_micro_won": 500}),
        ),
    ] {
        let made = bench.post(path, &op, body).await;
        assert_eq!(made.status, 201, "{}", made.text);
    }
    bench
}

/// A grant of 100 in January of 2100, but for what is given.
fn grant(changed: Value) -> Value {
    let mut body = json!({
        "id": "alpha-2100", "tenant": "alpha", "amount": 100, "from": "2100-01-01T00:00:00Z",
        "until": "2100-02-01T00:00:00Z",
    });
    for (field, value) in changed.as_object().unwrap() {
        body[field] = value.clone();
    }
    body
}

fn parts(parts: &[(&str, i64)]) -> Value {
    let part =
        |(day, amount): &(&str, i64)| json!({"from": format!("{day}T00:00:00Z"), "amount": amount});
    let parts: Vec<Value> = parts.iter().map(part).collect();
    grant(json!({ "tranches": parts }))
}

/// None of these is granted, and all that the programme has is still there afterwards.
async fn refused<const N: usize>(rows: [(Value, &str, &str); N]) {
    let bench = bench().await;
    let op = bench.operator.as_str();
    for (body, code, expected) in rows {
        let answer = bench.post(ALLOCATIONS, op, body.clone()).await;
        assert_eq!(answer.code(), code, "{body}: {}", answer.text);
        assert!(answer.text.contains(expected), "{body}: {}", answer.text);
        assert!(!answer.json["error"]["remedy"].as_str().unwrap().is_empty());
    }
    let none = bench.get(ALLOCATIONS, op).await;
    assert_eq!(none.json["data"], json!([]));
    let all = bench
        .post(ALLOCATIONS, op, grant(json!({"amount": 1_000})))
        .await;
    assert_eq!(all.status, 201, "{}", all.text);
    let again = grant(json!({"id": "second", "until": "2100-01-02T00:00:00Z"}));
    let overlaps = bench.post(ALLOCATIONS, op, again).await;
    let told = overlaps.text;
    assert!(
        told.contains("overlaps the allocation 'alpha-2100'"),
        "{told}"
    );
}

#[tokio::test]
async fn grants_that_make_no_sense_are_refused_and_move_nothing() {
    let conflict = |changed, expected| (grant(changed), "conflict", expected);
    let invalid = |changed, expected| (grant(changed), "field_invalid", expected);
    let until = |until: &str| json!({ "until": until });
    let rows = [
        conflict(json!({"amount": 0}), "not within 1"),
        conflict(json!({"amount": -1}), "not within 1"),
        conflict(json!({"amount": i64::MAX}), "not within 1"),
        conflict(json!({"amount": 1_001}), "1000 thousandths"),
        conflict(until("2100-01-01T00:00:00Z"), "ends before it begins"),
        conflict(until("2101-01-01T00:00:00Z"), "ends after its programme"),
        invalid(json!({"amount": 1.5}), "amount"),
        invalid(json!({"unit": "won"}), "unit"),
        invalid(json!({"tenant": "nobody"}), "nobody"),
        invalid(
            json!({"tranches": [{"from": "soon", "amount": 100}]}),
            "tranches",
        ),
    ];
    refused(rows).await;
}

#[tokio::test]
async fn tranches_that_make_no_sense_are_refused_and_move_nothing() {
    let [first, tenth, last, after] = ["2100-01-01", "2100-01-10", "2100-01-31", "2100-02-01"];
    let bad = |tranches: &[(&str, i64)], expected| (parts(tranches), "conflict", expected);
    let most = i64::MAX;
    let rows = [
        bad(&[(first, 50), (tenth, 49)], "are 99 in all"),
        bad(&[(first, 50), (last, 40), (tenth, 10)], "put them in order"),
        bad(&[(first, 50), (first, 50)], "put them in order"),
        bad(&[(tenth, 100)], "the first tranche comes when"),
        bad(&[(first, 50), (after, 50)], "tranche 2 comes when"),
        bad(&[(first, 101), (tenth, -1)], "tranche 2 is -1"),
        bad(&[(first, 100), (tenth, 0)], "tranche 2 is 0"),
        bad(&[(first, most), (tenth, most)], "in all"),
        bad(&[(first, 4); 25], "25 tranches"),
    ];
    refused(rows).await;
}

#[tokio::test]
async fn a_grant_in_parts_says_what_has_come_and_when_the_next_part_does() {
    let bench = bench().await;
    let parts = json!([
        {"from": "2020-01-01T00:00:00.000000Z", "amount": 100},
        {"from": "2100-01-10T00:00:00.000000Z", "amount": 150},
        {"from": "2100-01-20T00:00:00.000000Z", "amount": 50},
    ]);
    let body = grant(json!({"amount": 300, "from": null, "tranches": parts}));
    let made = bench.post(ALLOCATIONS, &bench.operator, body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.json["from"], "2020-01-01T00:00:00.000000Z");
    assert_eq!(made.json["tranches"], parts);
    let stands = |view: &Value| {
        let fields = ["left", "unreleased", "next_tranche_at"];
        fields.map(|field| view[field].clone())
    };
    let path = format!("{ALLOCATIONS}/alpha-2100");
    let found = bench.get(&path, &bench.operator).await;
    let expected = [json!(300), json!(200), json!("2100-01-10T00:00:00.000000Z")];
    assert_eq!(stands(&found.json), expected);
    let recalled = bench.delete(&path, &bench.operator).await;
    assert_eq!(stands(&recalled.json), [json!(0), json!(0), Value::Null]);
    let all = bench
        .post(
            ALLOCATIONS,
            &bench.operator,
            grant(json!({"id": "b", "amount": 1_000})),
        )
        .await;
    assert_eq!(all.status, 201, "{}", all.text);
}

#[tokio::test]
async fn terms_of_a_programme_are_kept_changed_and_refused_where_they_make_no_sense() {
    let bench = bench().await;
    let op = bench.operator.as_str();
    let path = format!("{PROGRAMMES}/ours");
    let found = bench.get(&path, op).await;
    assert_eq!(found.json["until"], "2100-12-31T15:00:00.000000Z");
    assert_eq!(found.json["eligibility"], "창업 7년 이내 기업");
    assert_eq!(found.json["residency_floor"], "domestic_private");
    assert_eq!(found.json["jobs_when_ended"], "run_on");
    assert_eq!(found.json["jobs_preempted"], "charged");
    let rows = [
        (json!({"from": "2101-01-01T00:00:00+09:00"}), "until"),
        (json!({"from": "2200-01-01T00:00:00Z"}), "until"),
        (json!({"until": "tomorrow"}), "until"),
        (json!({"eligibility": "가".repeat(1_001)}), "eligibility"),
        (json!({"eligibility": "a\u{7}"}), "eligibility"),
        (json!({"eligibility": null}), "eligibility"),
        (json!({"residency_floor": "moon"}), "residency_floor"),
        (json!({"residency_floor": "GovIsolated"}), "residency_floor"),
        (json!({"jobs_when_ended": "linger"}), "jobs_when_ended"),
        (json!({"jobs_preempted": "gratis"}), "jobs_preempted"),
        (json!({"weight": 0}), "weight"),
        (json!({"tenants": 5}), "tenants"),
    ];
    for (body, param) in rows {
        let answer = bench.patch(&path, op, body.clone()).await;
        let told = (answer.code(), answer.param());
        assert_eq!(told, ("field_invalid", param), "{body}: {}", answer.text);
        let mut made = body;
        made["id"] = json!("another");
        made["until"] = made
            .get("until")
            .cloned()
            .unwrap_or(json!("2100-12-31T15:00:00Z"));
        let answer = bench.post(PROGRAMMES, op, made.clone()).await;
        assert_eq!(answer.code(), "field_invalid", "{made}: {}", answer.text);
    }
    assert_eq!(bench.get(&path, op).await.json, found.json);
    let body = json!({"until": null, "residency_floor": null, "eligibility": "", "weight": 3});
    let changed = bench.patch(&path, op, body).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    for field in ["until", "residency_floor"] {
        assert_eq!(changed.json[field], Value::Null);
    }
    assert_eq!(bench.patch(&path, op, json!({})).await.json, changed.json);
    for _ in 0..2 {
        let body = json!({"jobs_when_ended": "stop", "jobs_preempted": "free"});
        let changed = bench.patch(&path, op, body).await;
        assert_eq!(changed.json["jobs_when_ended"], "stop", "{}", changed.text);
        assert_eq!(changed.json["jobs_preempted"], "free");
    }
    let leaf = r#"{"programme":{"programme":"ours","jobs_when_ended":"stop","jobs_preempted":"free","by":""#;
    let leaves = bench.leaves().await;
    assert_eq!(leaves.matches(leaf).count(), 1, "{leaves}");
    let fleets = bench
        .patch("/api/v1/programmes/startups-2026", op, json!({"weight": 2}))
        .await;
    assert_eq!(fleets.code(), "conflict", "{}", fleets.text);
}

#[tokio::test]
async fn outside_of_its_programmes_period_a_tenants_requests_are_refused_and_its_books_are_read() {
    let bench = bench().await;
    let (_, key) = bench.key("alpha").await;
    let chat = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    let over = json!({"until": "2020-01-01T00:00:00Z"});
    bench
        .patch(&format!("{PROGRAMMES}/ours"), &bench.operator, over)
        .await;
    let refused = bench.post("/v1/chat/completions", &key, chat).await;
    assert_eq!(
        (refused.status, refused.code()),
        (403, "programme_closed"),
        "{}",
        refused.text
    );
    assert_eq!(bench.get(ALLOCATIONS, &key).await.status, 200);
}

#[tokio::test]
async fn a_projects_limit_is_raised_and_never_lowered() {
    let bench = bench().await;
    let op = bench.operator.as_str();
    let path = format!("{PROJECTS}/alpha/web");
    for (body, expected) in [
        (json!({"limit_micro_won": 0}), Err("not between 1 and")),
        (json!({"limit_micro_won": -5}), Err("not between 1 and")),
        (
            json!({"limit_micro_won": i64::MAX}),
            Err("not between 1 and"),
        ),
        (json!({"limit_micro_won": 499}), Err("only raised")),
        (json!({"limit_micro_won": null}), Err("never taken away")),
        (json!({"limit_micro_won": 500}), Ok(500)),
        (json!({"limit_micro_won": 700}), Ok(700)),
        (json!({"label": "홈페이지"}), Ok(700)),
    ] {
        let answer = bench.patch(&path, op, body.clone()).await;
        match expected {
            Ok(limit) => assert_eq!(answer.json["limit_micro_won"], limit, "{}", answer.text),
            Err(expected) => {
                let told = (answer.code(), answer.param());
                assert_eq!(
                    told,
                    ("field_invalid", "limit_micro_won"),
                    "{}",
                    answer.text
                );
                assert!(answer.text.contains(expected), "{body}: {}", answer.text);
            }
        }
    }
    // Nor by making it anew.
    bench.delete(&path, op).await;
    let disabled = bench
        .patch(&path, op, json!({"limit_micro_won": 900}))
        .await;
    assert_eq!(disabled.code(), "conflict");
    for (limit, status) in [(json!(1), 400), (json!(null), 400), (json!(700), 201)] {
        let body = json!({"id": "web", "tenant": "alpha", "limit_micro_won": limit});
        assert_eq!(bench.post(PROJECTS, op, body).await.status, status);
    }
    let long = json!({"id": "x".repeat(90), "tenant": "alpha", "limit_micro_won": 1});
    let refused = bench.post(PROJECTS, op, long).await;
    assert!(refused.text.contains("shorter names"), "{}", refused.text);
}
