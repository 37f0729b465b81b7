//! Accelerator time of one kind: budgets, grants and the report, by the API.

use crate::bench::Bench;
use serde_json::{Value, json};

const BUDGETS: &str = "/api/v1/budgets";
const ALLOCATIONS: &str = "/api/v1/allocations";

/// A bench with machines of `h200`, with the programme `ours` and its tenant `alpha`.
async fn bench() -> Bench {
    let bench = Bench::start().await;
    let fleet = std::fs::read_to_string(&bench.fleet_file).unwrap();
    let nodes = "[[nodes]]\nid = \"gpus\"\nsite = \"here\"\naccelerator = \"h200\"\nper_node = 8\ncount = 4\n";
    std::fs::write(&bench.fleet_file, format!("{fleet}\n{nodes}")).unwrap();
    for (path, body, status) in [
        ("/api/v1/reload", json!({}), 200),
        ("/api/v1/programmes", json!({"id": "ours"}), 201),
        (
            "/api/v1/tenants",
            json!({"id": "alpha", "programme": "ours"}),
            201,
        ),
    ] {
        let made = bench.post(path, &bench.operator, body).await;
        assert_eq!(made.status, status, "{path}: {}", made.text);
    }
    bench
}

fn budget(kind: Value, amount: i64) -> Value {
    json!({"programme": "ours", "unit": "accelerator_ms", "accelerator": kind, "amount": amount})
}

fn grant(id: &str, kind: Value, amount: i64) -> Value {
    json!({
        "id": id, "tenant": "alpha", "unit": "accelerator_ms", "accelerator": kind, "amount": amount,
        "until": "2100-01-01T00:00:00Z",
    })
}

#[tokio::test]
async fn a_kind_that_no_machine_has_and_one_of_what_is_no_accelerator_time_are_refused() {
    let bench = bench().await;
    let op = bench.operator.as_str();
    let of = |unit: &str, key: &str, name: &str| json!({"programme": "ours", "unit": unit, key: name, "amount": 9});
    let hours = "accelerator_ms";
    for (path, body, code, told) in [
        (
            BUDGETS,
            budget(json!("h20"), 9),
            "field_invalid",
            "did you mean 'h200'?",
        ),
        (
            BUDGETS,
            budget(json!("cpu"), 9),
            "field_invalid",
            "accelerator",
        ),
        (
            BUDGETS,
            budget(json!("a b"), 9),
            "field_invalid",
            "accelerator",
        ),
        (
            BUDGETS,
            of("tokens", "accelerator", "h200"),
            "conflict",
            "leave accelerator out",
        ),
        (
            BUDGETS,
            of("micro_won", "accelerator", "h200"),
            "conflict",
            "leave accelerator out",
        ),
        (
            BUDGETS,
            of(hours, "model_class", "h200"),
            "field_invalid",
            "model_class",
        ),
        (
            ALLOCATIONS,
            grant("a", json!("h20"), 9),
            "field_invalid",
            "did you mean 'h200'?",
        ),
        (
            ALLOCATIONS,
            grant("a", json!("h200"), 9),
            "conflict",
            "no budget in accelerator_ms of accelerators 'h200'",
        ),
    ] {
        let answer = bench.post(path, op, body.clone()).await;
        assert_eq!(answer.code(), code, "{body}: {}", answer.text);
        assert!(answer.text.contains(told), "{body}: {}", answer.text);
    }
    for path in [BUDGETS, ALLOCATIONS] {
        assert_eq!(bench.get(path, op).await.json["data"], json!([]));
    }
}

#[tokio::test]
async fn a_price_of_an_hour_is_set_from_now_on_and_not_for_the_past() {
    let bench = bench().await;
    let (op, path) = (bench.operator.as_str(), "/api/v1/accelerator-prices");
    let price = |won: &str, from: Value| json!({"accelerator": "h200", "site": "here", "won_per_hour": won, "from": from});
    for (body, code, told) in [
        (
            price("4500.0000001", Value::Null),
            "field_invalid",
            "won_per_hour",
        ),
        (price("-1", Value::Null), "field_invalid", "won_per_hour"),
        (price("1000000001", Value::Null), "conflict", "not within 0"),
        (
            price("4500", json!("2020-01-01T00:00:00Z")),
            "conflict",
            "in the past",
        ),
        (
            json!({"accelerator": "h200"}),
            "field_missing",
            "won_per_hour",
        ),
    ] {
        let answer = bench.post(path, op, body.clone()).await;
        assert_eq!(answer.code(), code, "{body}: {}", answer.text);
        assert!(answer.text.contains(told), "{body}: {}", answer.text);
    }
    let made = bench.post(path, op, price("4500.5", Value::Null)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.json["won_per_hour"], "4500.5");
    let listed = bench.get(path, op).await;
    assert_eq!(listed.json["data"], json!([made.json]));
    // Models without a price go on being served: they have a card of their own.
    assert_eq!(
        bench.get("/api/v1/prices", op).await.json["data"],
        json!([])
    );
}

#[tokio::test]
async fn a_kind_stands_beside_any_in_budgets_grants_and_the_report() {
    let bench = bench().await;
    let op = bench.operator.as_str();
    for body in [budget(Value::Null, 1_000), budget(json!("h200"), 300)] {
        let set = bench.post(BUDGETS, op, body.clone()).await;
        assert_eq!(set.status, 201, "{body}: {}", set.text);
        let (kind, class) = (&set.json["accelerator"], &set.json["model_class"]);
        assert_eq!((kind, class), (&body["accelerator"], &Value::Null));
    }
    let over = bench.post(ALLOCATIONS, op, grant("a", json!("h200"), 301));
    let told = "would hold 301 accelerator_ms of accelerators 'h200' of 300";
    let over = over.await;
    assert!(over.text.contains(told), "{}", over.text);
    for (id, kind) in [("a", json!("h200")), ("b", Value::Null)] {
        let made = bench
            .post(ALLOCATIONS, op, grant(id, kind.clone(), 300))
            .await;
        assert_eq!(made.status, 201, "{}", made.text);
        assert_eq!(
            (&made.json["accelerator"], &made.json["left"]),
            (&kind, &json!(300))
        );
    }
    let report = "/api/v1/programmes/ours/report";
    let told = bench.get(report, op).await;
    let row = |line: &Value| {
        json!([
            line["accelerator"],
            line["model_class"],
            line["budget"],
            line["granted"]
        ])
    };
    let rows: Vec<Value> = told.json["units"]
        .as_array()
        .unwrap()
        .iter()
        .map(row)
        .collect();
    let expected = [
        json!([null, null, 1_000, 300]),
        json!(["h200", null, 300, 300]),
    ];
    assert_eq!(rows, expected);
    let page = bench.get(&format!("{report}?format=html"), op).await;
    assert!(page.text.contains("· h200"), "{}", page.text);
}
