//! Whose files and batches they are.

use super::{begin, call, file_of, line, over, until};
use crate::harness::{CHAT, World, code, key_put};
use http::Method;
use madang_gateway::clock;
use madang_store::Store;
use madang_types::Role;
use serde_json::json;

#[tokio::test]
async fn invariant_14_what_is_another_tenants_reads_as_what_is_not_there() {
    let world = World::of(1).await;
    let other = key_put(&*world.store, Some("other"), Role::Member, |_| {}).await;
    let colleague = key_put(&*world.store, Some("demo"), Role::TenantAdmin, |_| {}).await;
    world.gateway.people_refresh().await.unwrap();
    let file = file_of(&world, &line("a", json!({}))).await;
    let batch = begin(&world, &line("a", json!({})), &[]).await;
    let done = over(&world, &batch).await;
    let output = done["output_file_id"].as_str().unwrap();
    let absent = format!("{:032x}", 0xabc);
    let (no_file, no_batch) = (format!("file-{absent}"), format!("batch_{absent}"));
    let order = |file: &str| {
        json!({"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"}).to_string()
    };
    let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
    let rows = [
        (&get, "/v1/files/ID", file.as_str(), no_file.as_str()),
        (&get, "/v1/files/ID/content", &file, &no_file),
        (&get, "/v1/files/ID/content", output, &no_file),
        (&delete, "/v1/files/ID", &file, &no_file),
        (&get, "/v1/batches/ID", &batch, &no_batch),
        (&post, "/v1/batches/ID/cancel", &batch, &no_batch),
        (&post, "/v1/batches", &file, &no_file),
    ];
    for (method, path, theirs, nobodys) in rows {
        let mut told = Vec::new();
        for id in [theirs, nobodys] {
            let headers = [("x-api-key", other.as_str())];
            let path = path.replace("ID", id);
            let answer = call(&world, (method.clone(), &path), &headers, order(id)).await;
            assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text());
            told.push(answer.text().replace(id, "ID"));
        }
        assert_eq!(told[0], told[1], "{method} {path}");
    }
    for path in ["/v1/files", "/v1/batches"] {
        let headers = [("x-api-key", other.as_str())];
        let list = call(&world, (get.clone(), path), &headers, "").await;
        assert_eq!(list.json().unwrap()["data"], json!([]), "{path}");
        let headers = [("x-api-key", world.operator_key.as_str())];
        let answer = call(&world, (get.clone(), path), &headers, "").await;
        assert_eq!(
            (answer.status, code(&answer.json().unwrap())),
            (403, "role_forbidden")
        );
    }
    // Nothing of it was touched, and another key of the tenant sees it.
    for path in [
        format!("/v1/files/{file}/content"),
        format!("/v1/batches/{batch}"),
    ] {
        let headers = [("x-api-key", colleague.as_str())];
        assert_eq!(
            call(&world, (get.clone(), &path), &headers, "")
                .await
                .status,
            200,
            "{path}"
        );
    }
}

#[tokio::test]
async fn without_a_key_no_route_answers() {
    let world = World::of(1).await;
    for (method, path) in [
        (Method::GET, "/v1/files?limit=many"),
        (Method::POST, "/v1/files"),
        (Method::GET, "/v1/files/%ff"),
        (Method::DELETE, "/v1/files/file-1"),
        (Method::GET, "/v1/files/file-1/content"),
        (Method::GET, "/v1/batches?limit=-1"),
        (Method::POST, "/v1/batches"),
        (Method::GET, "/v1/batches/b"),
        (Method::POST, "/v1/batches/b/cancel"),
    ] {
        let headers = [("x-api-key", "mdg_nobody_nothing")];
        let answer = call(&world, (method.clone(), path), &headers, "").await;
        assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text());
    }
    assert!(!world.folder.path().join("files").exists());
}

#[tokio::test]
async fn a_key_that_is_taken_back_serves_no_further_line() {
    let world = World::of(1).await;
    let key = key_put(&*world.store, Some("demo"), Role::Member, |_| {}).await;
    world.gateway.people_refresh().await.unwrap();
    world.behave("slow:40:0");
    let lines: String = (0..500)
        .map(|n| line(&format!("l{n}"), json!({})))
        .collect();
    let id = begin(&world, &lines, &[("x-api-key", &key)]).await;
    until(&world, &id, |_| world.engines[0].served().len() >= 4).await;
    let key_id = key.split('_').nth(1).unwrap().parse().unwrap();
    world.store.key_revoke(key_id, clock::now()).await.unwrap();
    world.gateway.people_refresh().await.unwrap();
    let batch = over(&world, &id).await;
    let (output, errors) = super::both(&world, &batch).await;
    assert_eq!(output.len() + errors.len(), 500);
    assert!(errors.len() > 300, "{} had answers", output.len());
    for line in errors.values() {
        assert_eq!(code(&line["response"]["body"]), "key_revoked");
    }
}
