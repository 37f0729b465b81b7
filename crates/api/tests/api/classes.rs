//! Tokens for one class of models: by the API, from the fleet file to the report.

use crate::bench::{Answer, Bench};
use madang_testkit::eventually;
use serde_json::{Value, json};

const BUDGETS: &str = "/api/v1/budgets";
const ALLOCATIONS: &str = "/api/v1/allocations";

/// A bench whose model is of that class, with the programme `ours` and its tenant `alpha`.
async fn bench(class: &str) -> Bench {
    let bench = Bench::start().await;
    apply(&bench, class).await;
    for (path, body) in [
        ("/api/v1/programmes", json!({"id": "ours"})),
        (
            "/api/v1/tenants",
            json!({"id": "alpha", "programme": "ours"}),
        ),
    ] {
        let made = bench.post(path, &bench.operator, body).await;
        assert_eq!(made.status, 201, "{}", made.text);
    }
    bench
}

/// Loads the fleet with its model's class changed to this one.
async fn apply(bench: &Bench, class: &str) {
    let fleet = std::fs::read_to_string(&bench.fleet_file).unwrap();
    let lines = fleet
        .lines()
        .filter(|line| !line.starts_with("model_class"));
    let lines = lines.flat_map(|line| match line {
        "context_tokens = 4096" => vec![line.to_owned(), format!("model_class = \"{class}\"")],
        _ => vec![line.to_owned()],
    });
    let fleet: Vec<String> = lines.collect();
    std::fs::write(&bench.fleet_file, fleet.join("\n")).unwrap();
    let loaded = bench
        .post("/api/v1/reload", &bench.operator, json!({}))
        .await;
    assert_eq!(loaded.status, 200, "{}", loaded.text);
    let models = bench.get("/api/v1/models", &bench.operator).await;
    assert_eq!(models.json["data"][0]["model_class"], class);
}

fn budget(class: Value, amount: i64) -> Value {
    json!({"programme": "ours", "unit": "tokens", "model_class": class, "amount": amount})
}

fn grant(id: &str, class: Value, amount: i64) -> Value {
    json!({
        "id": id, "tenant": "alpha", "unit": "tokens", "model_class": class, "amount": amount,
        "until": "2100-01-01T00:00:00Z",
    })
}

/// None of these may be written, and nothing is.
async fn refused<const N: usize>(rows: [(&str, Value, &str, &str); N]) {
    let bench = bench("large").await;
    let op = bench.operator.as_str();
    for (path, body, code, expected) in rows {
        let answer = bench.post(path, op, body.clone()).await;
        assert_eq!(answer.code(), code, "{body}: {}", answer.text);
        assert!(answer.text.contains(expected), "{body}: {}", answer.text);
        assert!(!answer.json["error"]["remedy"].as_str().unwrap().is_empty());
    }
    for path in [BUDGETS, ALLOCATIONS] {
        assert_eq!(bench.get(path, op).await.json["data"], json!([]));
    }
}

#[tokio::test]
async fn a_class_that_no_model_has_or_that_is_no_name_is_refused() {
    let bad = |class: Value| (BUDGETS, budget(class, 9), "field_invalid", "model_class");
    let (near, hint) = (json!("larg"), "did you mean 'large'?");
    refused([
        (BUDGETS, budget(near.clone(), 9), "field_invalid", hint),
        (ALLOCATIONS, grant("a", near, 9), "field_invalid", hint),
        bad(json!("zzz")),
        bad(json!("very/large")),
        bad(json!("")),
        bad(json!("x".repeat(97))),
        bad(json!(7)),
    ])
    .await;
}

#[tokio::test]
async fn a_class_of_what_is_no_tokens_and_one_without_a_budget_are_refused() {
    let (mut won, mut hours) = (budget(json!("large"), 9), grant("a", json!("large"), 9));
    won["unit"] = json!("micro_won");
    hours["unit"] = json!("accelerator_ms");
    let none = "no budget in tokens for models of the class 'large'";
    let negative = budget(json!("large"), -1);
    refused([
        (BUDGETS, won, "conflict", "tokens alone"),
        (ALLOCATIONS, hours, "conflict", "tokens alone"),
        (BUDGETS, negative, "conflict", "not within 0"),
        (ALLOCATIONS, grant("a", json!("large"), 9), "conflict", none),
    ])
    .await;
}

/// A bench where `alpha` was granted all 300 tokens for large models, and 1,000 are there for any; and a key of its.
async fn granted() -> (Bench, String) {
    let bench = bench("large").await;
    let op = bench.operator.as_str();
    for body in [budget(Value::Null, 1_000), budget(json!("large"), 300)] {
        let set = bench.post(BUDGETS, op, body.clone()).await;
        assert_eq!(set.status, 201, "{body}: {}", set.text);
        assert_eq!(set.json["model_class"], body["model_class"]);
    }
    let large = |amount| grant("large", json!("large"), amount);
    let over = bench.post(ALLOCATIONS, op, large(301)).await;
    let told = "would hold 301 tokens for models of the class 'large'";
    assert!(over.text.contains(told), "{}", over.text);
    let made = bench.post(ALLOCATIONS, op, large(300)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.json["model_class"], "large");
    let pools = || bench.control.gateway().status();
    let serves = || {
        pools()
            .iter()
            .any(|pool| pool.members.iter().any(|m| m.available))
    };
    assert!(eventually(serves).await);
    let (_, key) = bench.key("alpha").await;
    (bench, key)
}

async fn ask(bench: &Bench, key: &str) -> Answer {
    let messages = json!([{"role": "user", "content": "hi"}]);
    let body = json!({"model": "m", "max_tokens": 2, "messages": messages});
    bench.post("/v1/chat/completions", key, body).await
}

async fn left(bench: &Bench) -> Option<i64> {
    let found = bench
        .get("/api/v1/allocations/large", &bench.operator)
        .await;
    found.json["left"].as_i64()
}

#[tokio::test]
async fn a_class_is_spent_on_its_models_and_has_its_row_in_the_report() {
    let (bench, key) = granted().await;
    assert_eq!(ask(&bench, &key).await.status, 200);
    let report = "/api/v1/programmes/ours/report";
    let told = bench.get(report, &bench.operator).await;
    let lines = told.json["units"].as_array().unwrap();
    let row = |line: &Value| json!([line["model_class"], line["budget"], line["granted"]]);
    let rows: Vec<Value> = lines.iter().map(row).collect();
    assert_eq!(rows, [json!([null, 1_000, 0]), json!(["large", 300, 300])]);
    let delivered = lines[1]["delivered"].as_i64().unwrap();
    assert!(delivered > 0, "{}", told.text);
    assert_eq!(left(&bench).await, Some(300 - delivered));
    let page = format!("{report}?format=html");
    let page = bench.get(&page, &bench.operator).await;
    assert!(page.text.contains("Tokens · large"), "{}", page.text);
}

#[tokio::test]
async fn what_was_granted_for_a_class_that_no_model_has_any_more_stays_and_can_be_taken_back() {
    let (bench, key) = granted().await;
    let op = bench.operator.as_str();
    apply(&bench, "huge").await;
    let refused = ask(&bench, &key).await;
    let told = (refused.status, refused.code());
    assert_eq!(told, (402, "allocation_missing"), "{}", refused.text);
    let class = "a model of the class 'huge'";
    assert!(refused.text.contains(class), "{}", refused.text);
    assert_eq!(left(&bench).await, Some(300));
    let more = bench.post(ALLOCATIONS, op, grant("b", json!("large"), 1));
    let more = more.await;
    let told = (more.code(), more.param());
    assert_eq!(told, ("field_invalid", "model_class"), "{}", more.text);
    let recalled = bench.delete("/api/v1/allocations/large", op).await;
    assert_eq!(recalled.status, 200, "{}", recalled.text);
    let lowered = bench.post(BUDGETS, op, budget(json!("large"), 0)).await;
    assert_eq!(lowered.status, 201, "{}", lowered.text);
}
