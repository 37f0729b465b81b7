//! Lines and their results.

use super::{batch_of, begin, both, call, file_of, get, line, over, until};
use crate::harness::{CHAT, Plan, World, chat, code};
use http::Method;
use madang_audit::leaf::Event;
use madang_store::Store;
use madang_types::{DataClass, Outcome, Priority};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn lines(count: usize) -> String {
    (0..count)
        .map(|n| line(&format!("l{n}"), json!({})))
        .collect()
}

#[tokio::test]
async fn every_line_is_a_request_and_has_one_result() {
    let world = World::of(2).await;
    let odd = r#"{"custom_id":"odd","method":"POST","url":"/v1/chat/completions","body":{ "model":"m",
"messages" : [{"role":"user","content":"\ud55c"}], "x":123456789012345678901234567890,"max_tokens":2}}"#;
    let text = lines(60)
        + &odd.replace('\n', "\t")
        + "\n"
        + &line("nobody", json!({"model": "gone"}))
        + &line("asks nothing", json!({"messages": null}));
    let id = begin(&world, &text, &[("x-madang-data-class", "sensitive")]).await;
    let batch = over(&world, &id).await;
    assert_eq!(batch["status"], "completed", "{batch:#}");
    assert_eq!(batch["object"], "batch");
    assert_eq!(batch["endpoint"], CHAT);
    assert_eq!(batch["metadata"], json!({"night": "one"}));
    assert_eq!(
        batch["request_counts"],
        json!({"total": 63, "completed": 61, "failed": 2})
    );
    let (output, errors) = both(&world, &batch).await;
    for result in output.values() {
        assert_eq!(result["error"], Value::Null);
        assert_eq!(result["response"]["status_code"], 200);
        let body = &result["response"]["body"];
        assert_eq!(body["object"], "chat.completion", "{result}");
    }
    let refused = &errors["nobody"]["response"];
    assert_eq!(refused["status_code"], 404);
    assert_eq!(code(&refused["body"]), "model_not_found");
    assert_eq!(errors["asks nothing"]["response"]["status_code"], 400);

    let asked: Vec<_> = world
        .engines
        .iter()
        .flat_map(|engine| engine.requests_to(CHAT))
        .collect();
    let odd = br#""messages" : [{"role":"user","content":"\ud55c"}], "x":123456789012345678901234567890,"#;
    let as_it_came = |body: &[u8]| body.windows(odd.len()).any(|window| window == odd);
    assert_eq!(
        asked
            .iter()
            .filter(|request| as_it_came(&request.body))
            .count(),
        1
    );

    let records = world.records(63).await;
    let all = output.values().chain(errors.values());
    let told: BTreeSet<_> = all
        .map(|line| line["response"]["request_id"].as_str().unwrap().to_owned())
        .collect();
    let booked: BTreeSet<_> = records.iter().map(|record| record.id.to_string()).collect();
    assert_eq!(told, booked);
    for record in &records {
        assert_eq!(record.priority, Priority::Batch);
        assert_eq!(record.data_class, DataClass::Sensitive);
        assert_eq!(record.tenant.as_str(), "demo");
    }
    let leaves = world.leaves().await;
    let decided = leaves
        .iter()
        .filter(|leaf| matches!(leaf.event, Event::Decision(_)));
    assert_eq!(decided.count(), 63);
    world.assert_idle("after a batch").await;
}

#[tokio::test]
async fn what_is_wrong_with_an_input_is_told_by_line() {
    let world = World::of(1).await;
    let id = begin(&world, &(lines(2) + &lines(1) + "nothing\n"), &[]).await;
    let batch = over(&world, &id).await;
    assert_eq!(batch["status"], "failed");
    let errors = batch["errors"]["data"].as_array().unwrap().iter();
    let told: Vec<_> = errors
        .map(|e| (e["line"].as_u64().unwrap(), e["code"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [(3, "duplicate_custom_id"), (4, "invalid_json_line")]);
    assert_eq!(batch["output_file_id"], Value::Null);
    assert!(world.engines[0].requests_to(CHAT).is_empty());
}

#[tokio::test]
async fn what_is_no_batch_is_refused() {
    let world = World::of(1).await;
    let file = file_of(&world, &lines(1)).await;
    let good = json!({"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"});
    let check = async |field: &str, value: Value, expected: (u16, &str, &str)| {
        let mut body = good.clone();
        body[field] = value;
        let answer = call(&world, (Method::POST, "/v1/batches"), &[], body.to_string()).await;
        let json = answer.json().unwrap();
        let param = json["error"]["param"].as_str().unwrap_or_default();
        assert_eq!((answer.status, code(&json), param), expected, "{json}");
    };
    check(
        "endpoint",
        json!("/v1/images"),
        (400, "field_invalid", "endpoint"),
    )
    .await;
    check(
        "completion_window",
        json!("1h"),
        (400, "field_invalid", "completion_window"),
    )
    .await;
    check(
        "input_file_id",
        json!("file-../../x"),
        (404, "not_found", "input_file_id"),
    )
    .await;
    check(
        "metadata",
        json!({"x": "y".repeat(513)}),
        (400, "field_invalid", "metadata"),
    )
    .await;
    check("window", json!(1), (400, "field_invalid", "")).await;
    let soon = json!({"anchor": "created_at", "seconds": 1});
    check(
        "output_expires_after",
        soon,
        (400, "field_invalid", "output_expires_after"),
    )
    .await;
    let class = [("x-madang-data-class", "secret")];
    let answer = batch_of(&world, &file, &class).await;
    assert_eq!(code(&answer.json().unwrap()), "header_invalid");
}

#[tokio::test]
async fn a_batch_goes_on_where_it_was_left() {
    let mut world = World::of(1).await;
    world.behave("slow:25:0");
    let id = begin(&world, &lines(150), &[]).await;
    let mut stops = 0;
    for least in [10, 40, 70] {
        until(&world, &id, |_| world.engines[0].served().len() >= least).await;
        world.batches_stop().await;
        stops += 1;
        world.batches_start();
    }
    let batch = over(&world, &id).await;
    assert_eq!((batch["status"].as_str(), stops), (Some("completed"), 3));
    let (output, errors) = both(&world, &batch).await;
    assert_eq!((output.len(), errors.len()), (150, 0));
    // Whatever was under way had been waited for: nothing was asked twice.
    assert_eq!(world.engines[0].requests_to(CHAT).len(), 150);
}

#[tokio::test]
async fn a_cancelled_batch_has_a_result_for_each_line_too() {
    let world = World::of(1).await;
    world.behave("slow:50:0");
    let id = begin(&world, &lines(2000), &[]).await;
    until(&world, &id, |_| world.engines[0].served().len() >= 8).await;
    let cancel = format!("/v1/batches/{id}/cancel");
    for _ in 0..2 {
        let answer = call(&world, (Method::POST, &cancel), &[], "")
            .await
            .json()
            .unwrap();
        assert!(["cancelling", "cancelled"].contains(&answer["status"].as_str().unwrap()));
        assert!(answer["cancelling_at"].is_i64());
    }
    let batch = over(&world, &id).await;
    assert_eq!(batch["status"], "cancelled");
    let (output, errors) = both(&world, &batch).await;
    assert_eq!(output.len() + errors.len(), 2000);
    assert!(output.len() >= 8 && errors.len() > 1000);
    assert!(
        errors
            .values()
            .all(|line| line["error"]["code"] == "batch_cancelled")
    );

    let id = begin(&world, &lines(1), &[]).await;
    over(&world, &id).await;
    let cancel = format!("/v1/batches/{id}/cancel");
    let answer = call(&world, (Method::POST, &cancel), &[], "").await;
    assert_eq!(
        (answer.status, code(&answer.json().unwrap())),
        (409, "conflict")
    );
    let list = get(&world, "/v1/batches?limit=1").await;
    assert_eq!(
        (&list["data"][0]["id"], &list["has_more"]),
        (&json!(id), &json!(true))
    );
    let rest = get(&world, &format!("/v1/batches?after={id}")).await;
    assert_eq!(
        (&rest["data"][0]["status"], &rest["has_more"]),
        (&json!("cancelled"), &json!(false))
    );
}

#[tokio::test]
async fn what_is_refused_for_now_is_asked_again_and_what_an_engine_fails_three_times_is_an_error() {
    let world = World::start(Plan {
        limits: "queue_wait_ms_max = 50\nbatch_in_flight_max = 8".into(),
        slots: 2,
        ..Plan::default()
    })
    .await;
    world.behave("status:503");
    let failing = line("fails", json!({"user": "fake-behaviour=status:500"}));
    let id = begin(&world, &(lines(20) + &failing), &[]).await;
    until(&world, &id, |_| world.engines[0].served().len() >= 4).await;
    world.behave("normal");
    let batch = over(&world, &id).await;
    let (output, errors) = both(&world, &batch).await;
    assert_eq!((output.len(), errors.len()), (20, 1));
    let failed = &errors["fails"]["response"];
    assert_eq!(
        (&failed["status_code"], code(&failed["body"])),
        (&json!(502), "engine_failed")
    );
}

#[tokio::test]
async fn interactive_requests_go_first() {
    let world = World::start(Plan {
        slots: 4,
        ..Plan::default()
    })
    .await;
    world.behave("slow:40:0");
    let id = begin(&world, &lines(200), &[]).await;
    until(&world, &id, |_| world.engines[0].served().len() >= 12).await;
    for _ in 0..5 {
        let answer = world.post(CHAT, &chat(json!({}))).await;
        assert_eq!(answer.status, 200);
        // It waits for a place to become free at most, and for no other line.
        let place = answer.header("x-madang-queue-place").unwrap_or("0");
        assert_eq!(place, "0", "{:?}", answer.headers);
    }
    let list = world.store.usage_list(Default::default(), None, 1000);
    let mut urgent = list.await.unwrap();
    urgent.retain(|record| record.priority == Priority::Standard);
    assert_eq!(urgent.len(), 5);
    assert!(
        urgent
            .iter()
            .all(|record| record.outcome == Outcome::Finished)
    );
}
