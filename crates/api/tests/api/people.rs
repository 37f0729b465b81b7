//! Programmes, tenants and keys: what is made, changed and removed takes effect at once.

use crate::bench::Bench;
use serde_json::json;

#[tokio::test]
async fn a_tenant_is_made_changed_removed_and_made_again() {
    let bench = Bench::start().await;
    let op = bench.operator.as_str();
    let body = json!({"id": "nara", "programme": "startups-2026", "weight": 3, "class_floor": "sensitive"});
    let made = bench.post("/api/v1/tenants", op, body.clone()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.json["origin"], "api");
    let again = bench.post("/api/v1/tenants", op, body.clone()).await;
    assert_eq!((again.status, again.code()), (409, "conflict"));

    let changed = bench
        .patch(
            "/api/v1/tenants/nara",
            op,
            json!({"weight": 9, "programme": null}),
        )
        .await;
    assert_eq!((changed.status, &changed.json["weight"]), (200, &json!(9)));
    assert!(changed.json["programme"].is_null());
    assert_eq!(
        changed.json["class_floor"], "sensitive",
        "what is left out stays"
    );
    let same = bench.patch("/api/v1/tenants/nara", op, json!({})).await;
    assert_eq!(same.json, changed.json);

    let (_, key) = bench.key("nara").await;
    assert_eq!(bench.get("/api/v1/tenants/nara", &key).await.status, 200);
    let removed = bench.delete("/api/v1/tenants/nara", op).await;
    assert!(removed.json["disabled_at"].is_string());
    assert_eq!(
        bench.get("/api/v1/models", &key).await.code(),
        "key_revoked"
    );
    assert_eq!(
        bench.delete("/api/v1/tenants/nara", op).await.json,
        removed.json
    );
    let late = bench
        .patch("/api/v1/tenants/nara", op, json!({"weight": 1}))
        .await;
    assert_eq!(late.code(), "conflict");
    let late = bench
        .post("/api/v1/keys", op, json!({"tenant": "nara"}))
        .await;
    assert_eq!((late.code(), late.param()), ("field_invalid", "tenant"));

    let back = bench.post("/api/v1/tenants", op, body).await;
    assert_eq!(back.status, 201);
    assert_eq!(back.json["created_at"], made.json["created_at"]);
    assert_eq!(
        bench.get("/api/v1/models", &key).await.code(),
        "key_revoked",
        "old keys stay refused"
    );
    let (_, key) = bench.key("nara").await;
    assert_eq!(bench.get("/api/v1/models", &key).await.status, 200);
}

#[tokio::test]
async fn a_programme_that_is_removed_takes_its_tenants_keys_along() {
    let bench = Bench::start().await;
    let op = bench.operator.as_str();
    let made = bench
        .post(
            "/api/v1/programmes",
            op,
            json!({"id": "public", "weight": 2}),
        )
        .await;
    assert_eq!((made.status, &made.json["weight"]), (201, &json!(2)));
    let again = bench
        .post("/api/v1/programmes", op, json!({"id": "public"}))
        .await;
    assert_eq!(again.code(), "conflict");
    bench
        .post(
            "/api/v1/tenants",
            op,
            json!({"id": "nara", "programme": "public"}),
        )
        .await;
    let (_, key) = bench.key("nara").await;
    assert_eq!(bench.get("/api/v1/models", &key).await.status, 200);
    bench.delete("/api/v1/programmes/public", op).await;
    assert_eq!(
        bench.get("/api/v1/models", &key).await.code(),
        "key_revoked"
    );
    let back = bench
        .post("/api/v1/programmes", op, json!({"id": "public"}))
        .await;
    assert_eq!(
        (back.status, &back.json["created_at"]),
        (201, &made.json["created_at"])
    );
    assert_eq!(bench.get("/api/v1/models", &key).await.status, 200);
}

#[tokio::test]
async fn rows_of_the_fleet_file_are_changed_there() {
    let bench = Bench::start().await;
    let op = bench.operator.as_str();
    let hanbit = bench.get("/api/v1/tenants/hanbit", op).await;
    assert_eq!(hanbit.json["origin"], "fleet");
    let answers = [
        bench
            .patch("/api/v1/tenants/hanbit", op, json!({"weight": 5}))
            .await,
        bench.delete("/api/v1/tenants/hanbit", op).await,
        bench.delete("/api/v1/programmes/startups-2026", op).await,
        bench
            .post("/api/v1/tenants", op, json!({"id": "hanbit"}))
            .await,
    ];
    for answer in answers {
        assert_eq!(
            (answer.status, answer.code()),
            (409, "conflict"),
            "{}",
            answer.text
        );
    }
    assert_eq!(
        bench.get("/api/v1/tenants/hanbit", op).await.json,
        hanbit.json
    );
}

#[tokio::test]
async fn a_key_works_from_its_making_to_its_revoking() {
    let bench = Bench::start().await;
    let op = bench.operator.as_str();
    let (id, key) = bench.tenant("alpha").await;
    let (_, other) = bench.key("alpha").await;
    assert_eq!(bench.get("/v1/models", &key).await.status, 200);

    let shown = bench.get(&format!("/api/v1/keys/{id}"), &other).await;
    assert_eq!(shown.json["state"], "active");
    let list = bench.get("/api/v1/keys", op).await;
    let secret = key.rsplit('_').next().unwrap();
    for text in [&shown.text, &list.text] {
        assert!(!text.contains(secret) && !text.contains("hash"), "{text}");
    }
    let own = bench.get("/api/v1/keys", &key).await;
    assert_eq!(
        own.json["data"].as_array().unwrap().len(),
        2,
        "not the operator's"
    );

    let revoked = bench.delete(&format!("/api/v1/keys/{id}"), op).await;
    assert_eq!(revoked.json["state"], "revoked");
    for path in ["/v1/models", "/api/v1/keys", "/openapi.json"] {
        let answer = bench.get(path, &key).await;
        assert_eq!(
            (answer.status, answer.code()),
            (401, "key_revoked"),
            "{path}"
        );
    }
    assert_eq!(
        bench.delete(&format!("/api/v1/keys/{id}"), op).await.json,
        revoked.json
    );
    assert_eq!(bench.get("/v1/models", &other).await.status, 200);
}

#[tokio::test]
async fn the_last_operator_key_in_force_is_not_revoked() {
    let bench = Bench::start().await;
    let op = bench.operator.clone();
    let first = op.split('_').nth(1).unwrap();
    let last = bench.delete(&format!("/api/v1/keys/{first}"), &op).await;
    assert_eq!((last.status, last.code()), (409, "conflict"));
    let made = bench
        .post(
            "/api/v1/keys",
            &op,
            json!({"role": "operator", "expires_days": 30}),
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    let second = made.text_of("key");
    assert_eq!(
        bench
            .delete(&format!("/api/v1/keys/{first}"), &op)
            .await
            .status,
        200
    );
    assert_eq!(bench.get("/api/v1/status", &op).await.code(), "key_revoked");
    assert_eq!(bench.get("/api/v1/status", &second).await.status, 200);
}

#[tokio::test]
async fn bad_fields_of_a_tenant_are_named() {
    let bench = Bench::start().await;
    let tenants = "/api/v1/tenants";
    let rows = [
        (json!({}), "field_missing", "id"),
        (json!({"id": "a b"}), "field_invalid", "id"),
        (json!({"id": "a", "weight": 0}), "field_invalid", "weight"),
        (
            json!({"id": "a", "class_floor": "x"}),
            "field_invalid",
            "class_floor",
        ),
        (json!({"id": "a", "owner": "x"}), "field_invalid", "owner"),
        (
            json!({"id": "a", "programme": "x"}),
            "field_invalid",
            "programme",
        ),
    ];
    refused(&bench, tenants, rows).await;
    let op = bench.operator.as_str();
    let body = json!({"id": "a", "programme": "startup-2026"});
    let near = bench.post(tenants, op, body).await;
    assert!(
        near.text.contains("did you mean 'startups-2026'?"),
        "{}",
        near.text
    );
    let large = bench
        .post(tenants, op, json!({"id": "x".repeat(70_000)}))
        .await;
    assert_eq!((large.status, large.code()), (413, "body_too_large"));
    let text = bench
        .send("POST", tenants, Some(op), Some("not json"))
        .await;
    assert_eq!((text.status, text.code()), (400, "body_not_json"));
}

#[tokio::test]
async fn bad_fields_of_a_key_are_named() {
    let bench = Bench::start().await;
    let with = |field: &str, value: serde_json::Value| {
        let mut body = json!({"tenant": "hanbit"});
        body[field] = value;
        (body, "field_invalid", field.to_owned())
    };
    let mut both = with("expires_at", json!("2100-01-01T00:00:00Z"));
    both.0["expires_days"] = json!(1);
    let rows = [
        with("role", json!("root")),
        with("label", json!("x".repeat(101))),
        with("label", json!("a\nb")),
        with("expires_days", json!(0)),
        with("expires_days", json!(3651)),
        with("expires_at", json!("soon")),
        with("expires_at", json!("2001-01-01T00:00:00Z")),
        both,
        with("tenant", json!("hanbt")),
        (
            json!({"tenant": "hanbit", "role": "operator"}),
            "field_invalid",
            "tenant".into(),
        ),
        (json!({}), "field_missing", "tenant".into()),
    ];
    refused(&bench, "/api/v1/keys", rows).await;
}

async fn refused<S: AsRef<str>, const N: usize>(
    bench: &Bench,
    path: &str,
    rows: [(serde_json::Value, &str, S); N],
) {
    for (body, code, param) in rows {
        let answer = bench.post(path, &bench.operator, body.clone()).await;
        let got = (answer.code(), answer.param());
        assert_eq!(got, (code, param.as_ref()), "{body}: {}", answer.text);
    }
}
