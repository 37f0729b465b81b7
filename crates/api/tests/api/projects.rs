//! Projects, and what keys are for: scopes, rates and limits as they are made and shown.

use crate::bench::Bench;
use madang_types::{ProjectId, Role};
use serde_json::{Value, json};

const PROJECTS: &str = "/api/v1/projects";
const KEYS: &str = "/api/v1/keys";

#[tokio::test]
async fn a_project_is_made_used_disabled_and_made_again() {
    let bench = Bench::start().await;
    let (_, admin) = {
        bench.tenant("alpha").await;
        bench.key_of("", "alpha", Role::TenantAdmin).await
    };
    let body = json!({"id": "web", "label": "홈페이지"});
    let made = bench.post(PROJECTS, &admin, body.clone()).await;
    assert_eq!((made.status, &made.json["tenant"]), (201, &json!("alpha")));
    let again = bench.post(PROJECTS, &admin, body.clone()).await;
    assert_eq!((again.code(), again.param()), ("conflict", "id"));

    let (id, key) = bench.key_made(&admin, json!({"project": "web"})).await;
    assert_eq!(
        bench.get(&format!("{KEYS}/{id}"), &admin).await.json["project"],
        "web"
    );
    assert_eq!(bench.get("/v1/models", &key).await.status, 200);

    let path = "/api/v1/projects/alpha/web";
    let disabled = bench.delete(path, &admin).await;
    assert!(
        disabled.json["disabled_at"].is_string(),
        "{}",
        disabled.text
    );
    assert_eq!(bench.delete(path, &admin).await.json, disabled.json);
    assert_eq!(bench.get("/v1/models", &key).await.code(), "key_revoked");
    let late = bench.post(KEYS, &admin, json!({"project": "web"})).await;
    assert_eq!((late.code(), late.param()), ("field_invalid", "project"));

    let back = bench.post(PROJECTS, &admin, body).await;
    assert_eq!((back.status, &back.json), (201, &made.json));
    assert_eq!(bench.get("/v1/models", &key).await.status, 200);
    let list = bench
        .get("/api/v1/projects?tenant=alpha", &bench.operator)
        .await;
    assert_eq!(list.json["data"], json!([made.json]));
}

#[tokio::test]
async fn a_name_is_a_project_in_its_tenant_only() {
    let bench = Bench::start().await;
    for tenant in ["alpha", "beta"] {
        bench.tenant(tenant).await;
        let body = json!({"id": "web", "tenant": tenant});
        assert_eq!(
            bench.post(PROJECTS, &bench.operator, body).await.status,
            201
        );
    }
    let body = json!({"id": "app", "tenant": "beta"});
    bench.post(PROJECTS, &bench.operator, body).await;
    let other = bench
        .post(
            KEYS,
            &bench.operator,
            json!({"tenant": "alpha", "project": "app"}),
        )
        .await;
    assert_eq!(
        (other.code(), other.param()),
        ("field_invalid", "project"),
        "{}",
        other.text
    );
    bench
        .delete("/api/v1/projects/alpha/web", &bench.operator)
        .await;
    let beta = bench
        .get("/api/v1/projects/beta/web", &bench.operator)
        .await;
    assert!(beta.json["disabled_at"].is_null());
}

#[tokio::test]
async fn usage_is_told_apart_by_project() {
    let bench = Bench::start().await;
    let (_, member) = bench.tenant("alpha").await;
    bench.tenant("beta").await;
    for tenant in ["alpha", "beta"] {
        let body = json!({"id": "web", "tenant": tenant});
        bench.post(PROJECTS, &bench.operator, body).await;
    }
    bench.record(1, "alpha", Some("m")).await;
    let web = Some(ProjectId::new("web").unwrap());
    bench.record_of(2, ("alpha", web.clone()), Some("m")).await;
    bench.record_of(3, ("beta", web), Some("m")).await;
    let groups = async |path: &str, key: &str| {
        let sums = bench.get(path, key).await;
        let rows = sums.json["data"]
            .as_array()
            .unwrap_or_else(|| panic!("{}", sums.text));
        let group = |row: &Value| row["group"].as_str().unwrap().to_owned();
        rows.iter().map(group).collect::<Vec<_>>()
    };
    let op = bench.operator.as_str();
    let by = "/api/v1/usage?by=project";
    assert_eq!(groups(by, op).await, ["alpha/-", "alpha/web", "beta/web"]);
    assert_eq!(groups(by, &member).await, ["alpha/-", "alpha/web"]);
    assert_eq!(
        groups(&format!("{by}&project=web"), &member).await,
        ["alpha/web"]
    );
    let requests = bench.get("/api/v1/requests?project=web", &member).await;
    let data = requests.json["data"].as_array().unwrap();
    assert_eq!((data.len(), &data[0]["project"]), (1, &json!("web")));

    let nameless = bench.get("/api/v1/usage?project=web", op).await;
    assert_eq!(
        (nameless.code(), nameless.param()),
        ("field_missing", "tenant")
    );
    let unknown = bench.get("/api/v1/usage?project=app", &member).await;
    assert_eq!((unknown.status, unknown.param()), (404, "project"));
}

#[tokio::test]
async fn a_programmes_usage_is_that_of_its_tenants() {
    let bench = Bench::start().await;
    bench
        .post("/api/v1/programmes", &bench.operator, json!({"id": "ours"}))
        .await;
    let body = json!({"id": "alpha", "programme": "ours"});
    bench.post("/api/v1/tenants", &bench.operator, body).await;
    bench.tenant("beta").await;
    bench.record(1, "alpha", Some("m")).await;
    bench.record(2, "beta", Some("m")).await;
    let (_, manager) = bench.key_of("ours", "", Role::ProgrammeManager).await;
    let sums = bench.get("/api/v1/usage?by=tenant", &manager).await;
    let rows = sums.json["data"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["group"]), (1, &json!("alpha")));
    let requests = bench.get("/api/v1/requests", &manager).await;
    assert_eq!(requests.json["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_key_is_for_is_shown_and_holds_in_the_list_of_models() {
    let bench = Bench::start().await;
    let terms = json!({
        "tenant": "hanbit", "models": ["m"], "endpoints": ["chat", "chat"], "rate_requests_per_min": 60,
        "rate_tokens_per_min": 1_000_000_000, "limit_micro_won": 1_000_000_000_000_000_000_i64,
    });
    let (id, key) = bench.key_made(&bench.operator, terms.clone()).await;
    let shown = bench.get(&format!("{KEYS}/{id}"), &key).await;
    for field in [
        "models",
        "rate_requests_per_min",
        "rate_tokens_per_min",
        "limit_micro_won",
    ] {
        assert_eq!(shown.json[field], terms[field], "{field}");
    }
    assert_eq!(shown.json["endpoints"], json!(["chat"]));
    let models = bench.get("/v1/models", &key).await;
    assert_eq!(models.json["data"][0]["endpoints"], json!(["chat"]));

    let embeds = json!({"tenant": "hanbit", "endpoints": ["embeddings"]});
    let (_, key) = bench.key_made(&bench.operator, embeds).await;
    let models = bench.get("/v1/models", &key).await;
    assert_eq!(models.json["data"], json!([]), "no model here embeds");
    assert_eq!(
        bench.get("/v1/models/m", &key).await.code(),
        "model_not_found"
    );
}

#[tokio::test]
async fn bad_terms_of_a_key_are_named() {
    let bench = Bench::start().await;
    let many: Vec<String> = (0..101).map(|n| format!("m{n}")).collect();
    for (field, value) in [
        ("rate_requests_per_min", json!(0)),
        ("rate_requests_per_min", json!(-1)),
        ("rate_requests_per_min", json!(1_000_001)),
        ("rate_requests_per_min", json!(1.5)),
        ("rate_requests_per_min", json!("60")),
        ("rate_tokens_per_min", json!(1_000_000_001)),
        (
            "rate_tokens_per_min",
            json!(99_999_999_999_999_999_999_u128 as f64),
        ),
        ("limit_micro_won", json!(0)),
        ("limit_micro_won", json!(-5)),
        ("limit_micro_won", json!(i64::MAX)),
        ("models", json!(["a b"])),
        ("models", json!(["mm"])),
        ("models", json!("m")),
        ("models", json!(many)),
        ("endpoints", json!(["images"])),
        ("project", json!("web")),
        ("project", json!("a/b")),
        ("programme", json!("startups-2026")),
    ] {
        let mut body = json!({"tenant": "hanbit"});
        body[field] = value;
        let answer = bench.post(KEYS, &bench.operator, body.clone()).await;
        let named = answer.param().split('[').next().unwrap();
        assert_eq!(
            (answer.status, answer.code(), named),
            (400, "field_invalid", field),
            "{body}: {}",
            answer.text
        );
    }
    for (body, code, param) in [
        (json!({}), "field_missing", "id"),
        (json!({"id": "web"}), "field_missing", "tenant"),
        (
            json!({"id": "a/b", "tenant": "hanbit"}),
            "field_invalid",
            "id",
        ),
        (
            json!({"id": "web", "tenant": "hanbt"}),
            "field_invalid",
            "tenant",
        ),
        (
            json!({"id": "web", "tenant": "hanbit", "label": "a\nb"}),
            "field_invalid",
            "label",
        ),
        (
            json!({"id": "web", "tenant": "hanbit", "budget": 1}),
            "field_invalid",
            "budget",
        ),
    ] {
        let answer = bench.post(PROJECTS, &bench.operator, body.clone()).await;
        assert_eq!(
            (answer.code(), answer.param()),
            (code, param),
            "{body}: {}",
            answer.text
        );
    }
}
