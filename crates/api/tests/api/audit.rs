//! The audit log's files over HTTP.

use crate::bench::Bench;
use madang_gateway::clock;
use madang_testkit::eventually;
use madang_types::TenantId;
use serde_json::json;

#[tokio::test]
async fn the_logs_files_are_for_operators_and_nothing_else_is_there() {
    let bench = Bench::start().await;
    let gateway = bench.control.gateway();
    gateway.audit.note("test").await.unwrap();
    let size = gateway.audit.status().size;
    let covered = || gateway.audit.status().checkpoint_size == size;
    assert!(eventually(covered).await, "a checkpoint is written");
    let entries_path = format!("/audit/tile/entries/000.p/{size}");

    let checkpoint = bench.get("/audit/checkpoint", &bench.operator).await;
    assert_eq!(checkpoint.status, 200);
    assert_eq!(
        checkpoint.headers["content-type"],
        "text/plain; charset=utf-8"
    );
    assert!(
        checkpoint.text.starts_with(&format!("test\n{size}\n")),
        "{}",
        checkpoint.text
    );
    let entries = bench.get(&entries_path, &bench.operator).await;
    assert_eq!(entries.status, 200);
    assert!(
        entries.text.contains(r#"{"note":{"what":"test""#),
        "{}",
        entries.text
    );
    assert!(
        entries.headers["cache-control"]
            .to_str()
            .unwrap()
            .contains("immutable")
    );
    check_refusals(&bench).await;
}

#[tokio::test]
async fn a_key_is_erased_while_the_server_runs() {
    let bench = Bench::start().await;
    bench.tenant("kma").await;
    let audit = &bench.control.gateway().audit;
    let kma = TenantId::new("kma").unwrap();
    let hash = || audit.hmac(&kma, clock::now(), b"a prompt").unwrap();
    let first = hash();
    let month = month_of(&audit.folder().join("keys/kma"));
    let erase = async |body| {
        bench
            .post("/api/v1/audit/erasures", &bench.operator, body)
            .await
    };

    let said = erase(json!({ "tenant": "kma", "month": month })).await;
    assert_eq!(said.status, 201, "{}", said.text);
    let leaf = audit.status().size - 1;
    assert_eq!(
        said.json,
        json!({ "tenant": "kma", "month": month, "leaf": leaf })
    );
    let again = erase(json!({ "tenant": "kma", "month": month })).await;
    assert_eq!((again.status, again.code()), (404, "not_found"));
    assert_ne!(hash(), first, "the month goes on with another key");

    for (body, code) in [
        (json!({ "tenant": "nobody", "month": month }), "not_found"),
        (
            json!({ "tenant": "kma", "month": "2026-13" }),
            "field_invalid",
        ),
        (
            json!({ "tenant": "../kma", "month": month }),
            "field_invalid",
        ),
        (json!({ "tenant": "kma" }), "field_missing"),
    ] {
        assert_eq!(erase(body.clone()).await.code(), code, "{body}");
    }
}

/// The month of the only key there.
fn month_of(folder: &std::path::Path) -> String {
    let mut names = std::fs::read_dir(folder).unwrap();
    names
        .next()
        .unwrap()
        .unwrap()
        .file_name()
        .into_string()
        .unwrap()
}

async fn check_refusals(bench: &Bench) {
    let (_, member) = bench.tenant("someone").await;
    for path in [
        "/audit/checkpoint",
        "/audit/tile/entries/000.p/1",
        "/audit/tile/0/000.p/1",
    ] {
        assert_eq!(
            bench.get(path, &member).await.code(),
            "role_forbidden",
            "{path}"
        );
        assert_eq!(
            bench.send("GET", path, None, None).await.status,
            401,
            "{path}"
        );
        assert_eq!(
            bench
                .send("POST", path, Some(&bench.operator), None)
                .await
                .status,
            405,
            "{path}"
        );
    }
    for path in [
        "/audit",
        "/audit/log.key",
        "/audit/journal",
        "/audit/keys/kma/2026-11",
        "/audit/tile/../log.key",
        "/audit/tile/%2e%2e/log.key",
        "/audit/tile/..%2flog.key",
        "/audit/tile/0/000",
        "/audit/tile/entries/000.p/99",
    ] {
        let answer = bench.get(path, &bench.operator).await;
        assert_eq!(
            (answer.status, answer.code()),
            (404, "url_not_found"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn whoever_gives_a_gateway_up_and_releases_it_is_in_the_log() {
    let bench = Bench::start().await;
    for (path, body) in [
        ("/api/v1/programmes", json!({"id": "public"})),
        (
            "/api/v1/tenants",
            json!({"id": "alpha", "programme": "public"}),
        ),
        (
            "/api/v1/budgets",
            json!({"programme": "public", "amount": 1_000}),
        ),
        (
            "/api/v1/allocations",
            json!({"id": "alpha-2026", "tenant": "alpha", "amount": 1_000, "until": "2100-01-01T00:00:00Z"}),
        ),
    ] {
        let made = bench.post(path, &bench.operator, body).await;
        assert_eq!(made.status, 201, "{}", made.text);
    }
    bench.gone("gw-1", None).await;
    bench.gone("gw-2", Some("alpha-2026")).await;
    let release = async |gateway: &str, status: u16, code: &str| {
        let path = format!("/api/v1/gateways/{gateway}/release");
        let answer = bench.post(&path, &bench.operator, json!({})).await;
        assert_eq!(
            (answer.status, answer.code()),
            (status, code),
            "{}",
            answer.text
        );
    };
    let given_up = bench.delete("/api/v1/gateways/gw-1", &bench.operator).await;
    assert_eq!(given_up.status, 200, "{}", given_up.text);
    release("gw-1", 409, "conflict").await;
    release("gw-9", 404, "not_found").await;
    release("gw-2", 200, "").await;
    release("gw-2", 409, "conflict").await;
    let leaves = bench.leaves().await;
    let count = |gateway: &str, released: bool| {
        let leaf = format!(r#"{{"gateway":{{"gateway":"{gateway}","released":{released},"key":""#);
        leaves.matches(&leaf).count()
    };
    let counts = [("gw-1", false), ("gw-1", true), ("gw-2", true)].map(|(id, act)| count(id, act));
    assert_eq!(counts, [1, 0, 1], "{leaves}");
}

/// The public part of a key.
fn key_id(key: &str) -> String {
    let (id, _) = key.trim_start_matches("mdg_").rsplit_once('_').unwrap();
    id.to_owned()
}

#[tokio::test]
async fn whoever_makes_and_revokes_a_key_is_in_the_log_and_no_secret_is() {
    let bench = Bench::start().await;
    bench.tenant("kma").await;
    let op = bench.operator.as_str();
    let (key, text) = bench
        .key_made(op, json!({"tenant": "kma", "role": "tenant_admin"}))
        .await;
    let body = json!({"tenant": "kma", "role": "operator"});
    let refused = bench.post("/api/v1/keys", &text, body).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    let (other, other_text) = bench.key_made(&text, json!({"tenant": "kma"})).await;
    for _ in 0..2 {
        let path = format!("/api/v1/keys/{other}");
        assert_eq!(bench.delete(&path, op).await.status, 200);
    }
    let leaves = bench.leaves().await;
    let count = |key: &str, made: bool, role: &str, by: &str| {
        let leaf = format!(
            r#"{{"key":{{"key":"{key}","made":{made},"role":"{role}","tenant":"kma","by":"{by}"}}}}"#
        );
        assert_eq!(leaves.matches(&leaf).count(), 1, "{leaf} in {leaves}");
    };
    count(&key, true, "tenant_admin", &key_id(op));
    count(&other, true, "member", &key_id(&text));
    count(&other, false, "member", &key_id(op));
    for text in [&text, &other_text] {
        let (_, secret) = text.rsplit_once('_').unwrap();
        assert!(!leaves.contains(secret));
    }
}

/// What decides where data may go stands in the log before it is in force, with the key that said so; what does not leaves no leaf.
#[tokio::test]
async fn floors_are_logged_by_whom_they_were_set() {
    let bench = Bench::start().await;
    let by = key_id(&bench.operator);
    let steps = [
        ("POST", "programmes", json!({ "id": "ours" })),
        (
            "PATCH",
            "programmes/ours",
            json!({ "residency_floor": "gov_isolated" }),
        ),
        ("PATCH", "programmes/ours", json!({ "weight": 3 })),
        (
            "POST",
            "tenants",
            json!({ "id": "kma", "programme": "ours" }),
        ),
        (
            "PATCH",
            "tenants/kma",
            json!({ "class_floor": "classified", "data_flags": ["health"] }),
        ),
        ("PATCH", "tenants/kma", json!({ "weight": 2 })),
        ("DELETE", "tenants/kma", json!(null)),
        (
            "PATCH",
            "programmes/ours",
            json!({ "residency_floor": null }),
        ),
        ("DELETE", "programmes/ours", json!(null)),
    ];
    for (method, path, body) in steps {
        let path = format!("/api/v1/{path}");
        let answer = match method {
            "POST" => bench.post(&path, &bench.operator, body).await,
            "PATCH" => bench.patch(&path, &bench.operator, body).await,
            _ => bench.delete(&path, &bench.operator).await,
        };
        assert!(answer.status < 300, "{method} {path}: {}", answer.text);
    }
    let usual = r#""jobs_when_ended":"run_on","jobs_preempted":"charged","#;
    let expected = [
        format!(r#"{{"programme":"ours","residency_floor":"gov_isolated",{usual}"by":"{by}"}}"#),
        format!(
            r#"{{"tenant":"kma","programme":"ours","class_floor":"open","flags":[],"by":"{by}"}}"#
        ),
        format!(
            r#"{{"tenant":"kma","programme":"ours","class_floor":"classified","flags":["health"],"by":"{by}"}}"#
        ),
        format!(
            r#"{{"tenant":"kma","removed":true,"programme":"ours","class_floor":"classified","flags":["health"],"by":"{by}"}}"#
        ),
        format!(r#"{{"programme":"ours",{usual}"by":"{by}"}}"#),
        format!(r#"{{"programme":"ours","removed":true,{usual}"by":"{by}"}}"#),
    ];
    let leaves = bench.leaves().await;
    for leaf in &expected {
        assert_eq!(leaves.matches(leaf).count(), 1, "{leaf} in {leaves}");
    }
    let of = |kind: &str| leaves.matches(&format!(r#""event":{{"{kind}":"#)).count();
    // One more tenant is the fleet file's.
    assert_eq!([of("programme"), of("tenant")], [3, 4], "{leaves}");
}
