//! The audit log's files over HTTP.

use crate::bench::Bench;
use madang_testkit::eventually;

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
