//! The document itself.

use crate::bench::Bench;
use std::path::Path;

#[test]
fn the_document_is_the_one_that_is_checked_in() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let text = madang_api::document().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == text,
        "crates/api/openapi.json is not what the handlers say: run the test with UPDATE=1 and look at the difference"
    );
}

#[tokio::test]
async fn the_document_is_served_to_whoever_has_a_key() {
    let bench = Bench::start().await;
    let (_, member) = bench.tenant("alpha").await;
    assert_eq!(
        bench.send("GET", "/openapi.json", None, None).await.code(),
        "key_missing"
    );
    let answer = bench.get("/openapi.json", &member).await;
    assert_eq!((answer.status, &answer.json), (200, bench.document()));
    assert_eq!(answer.json["openapi"], "3.1.0");
    assert_eq!(answer.json["info"]["license"]["name"], "Apache-2.0");
}

#[test]
fn every_operation_has_a_summary_a_name_and_an_error() {
    let document = serde_json::to_value(madang_api::document()).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let summary = operation["summary"].as_str().unwrap_or_default();
            assert!(
                !summary.is_empty() && !summary.ends_with('.'),
                "{method} {path}"
            );
            assert!(operation["operationId"].is_string(), "{method} {path}");
            assert!(
                operation["responses"]["default"].is_object(),
                "{method} {path}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_not_there_says_so_only_to_callers_with_a_key() {
    let bench = Bench::start().await;
    let (_, member) = bench.tenant("alpha").await;
    for path in [
        "/api/v1",
        "/api/v1/",
        "/api/v1/nothing",
        "/api/v1/tenants/a/b",
    ] {
        assert_eq!(
            bench.send("GET", path, None, None).await.status,
            401,
            "{path}"
        );
        let answer = bench.get(path, &member).await;
        assert_eq!(
            (answer.status, answer.code()),
            (404, "url_not_found"),
            "{path}"
        );
    }
    assert_eq!(
        bench
            .send("PUT", "/api/v1/tenants", None, None)
            .await
            .status,
        401
    );
    let answer = bench
        .send("PUT", "/api/v1/tenants", Some(&member), None)
        .await;
    assert_eq!((answer.status, answer.code()), (405, "method_not_allowed"));
    let allowed = answer.headers["allow"].to_str().unwrap();
    assert!(
        allowed.contains("GET") && allowed.contains("POST"),
        "{allowed}"
    );
}
