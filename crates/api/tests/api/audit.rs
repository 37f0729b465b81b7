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
