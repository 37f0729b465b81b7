//! `/v1/files`: kept whole or not at all, within bounds, for as long as was said.

use super::{begin, call, file_of, get, line, over, upload};
use crate::harness::{Plan, World, code};
use http::Method;
use madang_testkit::HttpAnswer;
use serde_json::{Value, json};

fn told(answer: &HttpAnswer) -> (u16, String, String) {
    let json = answer.json().unwrap();
    let param = json["error"]["param"].as_str().unwrap_or_default();
    (answer.status, code(&json).to_owned(), param.to_owned())
}

async fn check_refused(world: &World, parts: &[(&str, &str)], expected: (u16, &str, &str)) {
    let answer = upload(world, parts, &[]).await;
    let (status, code, param) = expected;
    let expected = (status, code.to_owned(), param.to_owned());
    assert_eq!(told(&answer), expected, "{}", answer.text());
}

/// What lies in the tenant's folder of files.
fn kept(world: &World) -> usize {
    let folder = world.folder.path().join("files/demo/files");
    folder.read_dir().map_or(0, Iterator::count)
}

#[tokio::test]
async fn a_file_comes_back_as_it_was_sent() {
    let world = World::of(1).await;
    let text = "{\"a\": 1}\r\n 안녕 \u{1}\n\n";
    // The order of parts is the client's.
    let parts = [
        ("file", text),
        ("purpose", "batch"),
        ("expires_after[anchor]", "created_at"),
        ("expires_after[seconds]", "3600"),
    ];
    let sent = upload(&world, &parts, &[]).await.json().unwrap();
    let id = sent["id"].as_str().unwrap();
    assert_eq!(sent["object"], "file");
    assert_eq!(sent["bytes"], text.len());
    assert_eq!(sent["filename"], "in.jsonl");
    assert_eq!(sent["purpose"], "batch");
    assert_eq!(
        sent["expires_at"],
        sent["created_at"].as_i64().unwrap() + 3600
    );
    let path = format!("/v1/files/{id}");
    assert_eq!(get(&world, &path).await, sent);
    let content = call(&world, (Method::GET, &format!("{path}/content")), &[], "").await;
    assert_eq!(content.body, text.as_bytes());

    let second = file_of(&world, &"x".repeat(300_000)).await;
    let ids = |list: &Value| -> Vec<String> {
        let data = list["data"].as_array().unwrap().iter();
        data.map(|file| file["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(&get(&world, "/v1/files").await), [second.as_str(), id]);
    let first = get(&world, "/v1/files?limit=1").await;
    assert_eq!(
        (ids(&first), &first["has_more"]),
        (vec![second.clone()], &json!(true))
    );
    let rest = get(&world, &format!("/v1/files?after={second}")).await;
    assert_eq!(
        (ids(&rest), &rest["has_more"]),
        (vec![id.to_owned()], &json!(false))
    );
    assert_eq!(
        ids(&get(&world, "/v1/files?order=asc&purpose=batch").await)[0],
        id
    );
    assert!(ids(&get(&world, "/v1/files?purpose=batch_output").await).is_empty());

    let deleted = call(&world, (Method::DELETE, &path), &[], "").await;
    assert_eq!(
        deleted.json().unwrap(),
        json!({"id": id, "object": "file", "deleted": true})
    );
    for path in [path.clone(), format!("{path}/content")] {
        let answer = call(&world, (Method::GET, &path), &[], "").await;
        assert_eq!(
            (answer.status, code(&answer.json().unwrap())),
            (404, "not_found")
        );
    }
    assert_eq!(
        call(&world, (Method::DELETE, &path), &[], "").await.status,
        404
    );
    assert_eq!(kept(&world), 1);
}

#[tokio::test]
async fn what_is_no_file_of_a_batch_is_refused_and_leaves_nothing() {
    let world = World::start(Plan {
        limits: "file_bytes_max = 2000\nfiles_tenant_bytes_max = 3000".into(),
        ..Plan::default()
    })
    .await;
    let file = ("file", "{}\n");
    let purpose = ("purpose", "batch");
    check_refused(&world, &[file], (400, "field_missing", "purpose")).await;
    check_refused(&world, &[purpose], (400, "field_missing", "file")).await;
    check_refused(
        &world,
        &[file, ("purpose", "vision")],
        (400, "field_invalid", "purpose"),
    )
    .await;
    check_refused(
        &world,
        &[purpose, file, file],
        (400, "field_invalid", "file"),
    )
    .await;
    check_refused(
        &world,
        &[purpose, file, ("more", "x")],
        (400, "field_invalid", "more"),
    )
    .await;
    let soon = ("expires_after[seconds]", "60");
    check_refused(
        &world,
        &[purpose, file, soon],
        (400, "field_invalid", soon.0),
    )
    .await;
    let long = "x".repeat(2001);
    check_refused(
        &world,
        &[purpose, ("file", &long)],
        (413, "body_too_large", "file"),
    )
    .await;
    assert_eq!(kept(&world), 0);
    file_of(&world, &long[..2000]).await;
    check_refused(
        &world,
        &[purpose, ("file", &long[..1001])],
        (413, "files_full", "file"),
    )
    .await;
    file_of(&world, &long[..1000]).await;
    assert_eq!(kept(&world), 2);
    let answer = call(&world, (Method::POST, "/v1/files"), &[], "{}").await;
    assert_eq!(
        told(&answer),
        (400, "field_invalid".into(), "content-type".into())
    );
}

#[tokio::test]
async fn a_batch_keeps_its_input_when_the_file_goes() {
    let world = World::of(1).await;
    world.behave("slow:20:0");
    let lines: String = (0..40).map(|n| line(&format!("l{n}"), json!({}))).collect();
    let id = begin(&world, &lines, &[]).await;
    let batch = get(&world, &format!("/v1/batches/{id}")).await;
    let file = batch["input_file_id"].as_str().unwrap();
    let path = format!("/v1/files/{file}");
    assert_eq!(
        call(&world, (Method::DELETE, &path), &[], "").await.status,
        200
    );
    let batch = over(&world, &id).await;
    assert_eq!(
        batch["request_counts"],
        json!({"total": 40, "completed": 40, "failed": 0})
    );
}
