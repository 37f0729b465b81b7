//! Places and slots: who waits, in which order, how long; and that whoever leaves gives back what it held.

use crate::harness::{CHAT, Plan, World, chat, code, streamed};
use madang_gateway::clock;
use madang_testkit::{SseStream, eventually};
use madang_types::{Outcome, Priority};
use serde_json::json;

async fn one_slot(limits: &str) -> World {
    World::start(Plan {
        slots: 1,
        limits: limits.into(),
        ..Plan::default()
    })
    .await
}

/// A stream that holds the slot until it is dropped.
async fn hold(world: &World) -> SseStream {
    let held = streamed(json!({"user": "fake-behaviour=stall-after:2"}));
    let mut held = world.send(CHAT, &[], &held).await.sse();
    held.next_event().await.unwrap().unwrap();
    held
}

async fn until_waiting(world: &World, count: u32) {
    assert!(eventually(|| world.gateway.status()[0].waiting == count).await);
}

#[tokio::test]
async fn a_client_that_leaves_gives_back_its_slots() {
    // The engine's state when the client leaves: before the head, before the first event, in the middle.
    for (behaviour, stream, events) in [
        ("stall", false, 0),
        ("stall", true, 0),
        ("stall-after:0", true, 0),
        ("stall-after:1", false, 0),
        ("stall-after:2", true, 2),
        ("endless", true, 3),
        ("slow:0:100000", true, 2),
    ] {
        let world = one_slot("").await;
        world.behave(behaviour);
        let body = chat(json!({"stream": stream}));
        if events > 0 {
            let mut stream = world.send(CHAT, &[], &body).await.sse();
            for _ in 0..events {
                stream.next_event().await.unwrap().unwrap();
            }
            assert_eq!(world.gateway.requests_count(), 1);
        } else {
            tokio::select! {
                _ = world.post(CHAT, &body) => unreachable!("{behaviour} never answers"),
                there = eventually(|| world.engines[0].in_flight() == 1) => assert!(there),
            }
        }
        world.assert_idle(behaviour).await;
        world.behave("normal");
        assert_eq!(world.chat(json!({})).await.status, 200, "{behaviour}");
        let records = world.records(2).await;
        assert_eq!(records[0].outcome, Outcome::ClientGone, "{behaviour}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_between_two_attempts_gives_back_its_slots() {
    // The first engine fails at once, the second one is full: the request waits again.
    let world = World::start(Plan {
        engines: 2,
        slots: 1,
        ..Plan::default()
    })
    .await;
    let held = [hold(&world).await, hold(&world).await];
    let [first, second] = held;
    world.engines[0].set_behaviour("close".parse().unwrap());
    drop(first);
    assert!(eventually(|| world.gateway.requests_count() == 1).await);
    let body = chat(json!({}));
    tokio::select! {
        _ = world.send(CHAT, &[], &body) => unreachable!("it waits for the second"),
        () = until_waiting(&world, 1) => {}
    }
    drop(second);
    let mut records = world.records(3).await;
    assert_eq!(records.pop().unwrap().attempts, 1);
    world.assert_idle("a second wait that was left").await;
}

#[tokio::test]
async fn a_full_queue_refuses_and_a_free_slot_serves_who_waits() {
    let world = one_slot("queue_length_max = 1").await;
    let held = hold(&world).await;
    let body = chat(json!({}));
    let (waits, ()) = tokio::join!(world.post(CHAT, &body), async {
        until_waiting(&world, 1).await;
        let answer = world.post(CHAT, &body).await;
        let json = answer.json().unwrap();
        assert_eq!((answer.status, code(&json)), (429, "queue_full"));
        assert!(answer.header("retry-after").is_some());
        drop(held);
    });
    assert_eq!(waits.status, 200);
    let records = world.records(3).await;
    assert_eq!(records[1].outcome, Outcome::Finished);
    assert!(records[1].queued_us > 0);
    assert_eq!(records[2].outcome, Outcome::Refused);
    world.assert_idle("a full queue").await;
}

#[tokio::test]
async fn a_wait_that_is_too_long_ends() {
    let world = one_slot("queue_wait_ms_max = 100").await;
    let held = hold(&world).await;
    // The urgent are not refused at once, however long their wait is likely to be.
    let headers = [("x-madang-priority", "critical")];
    let answer = world.send(CHAT, &headers, &chat(json!({}))).await;
    let answer = answer.collect().await.unwrap();
    let json = answer.json().unwrap();
    assert_eq!((answer.status, code(&json)), (503, "queue_timeout"));
    assert!(answer.text().contains("limits.queue_wait_ms_max"));
    assert!(answer.header("retry-after").is_some());
    let record = world.record().await;
    assert_eq!(record.outcome, Outcome::TimedOut);
    assert!(record.queued_us >= 90_000, "{record:?}");
    drop(held);
    world.assert_idle("a long wait").await;
}

#[tokio::test]
async fn the_more_urgent_is_served_first() {
    let world = one_slot("").await;
    let held = hold(&world).await;
    let asks = ["batch", "standard", "critical", "standard", "batch"];
    let body = chat(json!({}));
    let served = std::sync::Mutex::new(Vec::new());
    let ask = async |place: usize, priority: &str| {
        until_waiting(&world, u32::try_from(place).unwrap()).await;
        let headers = [("x-madang-priority", priority)];
        let stream = world.send(CHAT, &headers, &body).await;
        assert_eq!(stream.collect().await.unwrap().status, 200);
    };
    let release = async {
        until_waiting(&world, 5).await;
        drop(held);
    };
    tokio::join!(
        ask(0, asks[0]),
        ask(1, asks[1]),
        ask(2, asks[2]),
        ask(3, asks[3]),
        ask(4, asks[4]),
        release
    );
    let records = world.records(6).await;
    let by_id = |id: &str| records.iter().position(|r| r.id.to_string() == id);
    for generation in world.engines[0].served() {
        let place = by_id(&generation.request_id.unwrap()).unwrap();
        served.lock().unwrap().push(records[place].priority);
    }
    let served = served.into_inner().unwrap();
    use Priority::{Batch, Critical, Standard};
    assert_eq!(
        served,
        [Standard, Critical, Standard, Standard, Batch, Batch]
    );
}

const UPSTREAM: &str = "[[upstream]]\nid = \"far\"\ndialect = \"openai\"\nurl = \"{URL}\"\ncountry = \"US\"\noperator_country = \"US\"\nslots = 4\nmodels = [{ id = \"m\", upstream_model = \"m\" }, { id = \"far-only\", upstream_model = \"m\" }]\n";

#[tokio::test]
async fn sensitive_data_never_reaches_others() {
    let world = World::start(Plan {
        more: UPSTREAM.into(),
        slots: 1,
        limits: "queue_wait_ms_max = 100".into(),
        ..Plan::default()
    })
    .await;
    let ask = async |model: &str, class: &str| {
        let headers = [
            ("x-madang-data-class", class),
            ("x-madang-priority", "critical"),
        ];
        let body = chat(json!({"model": model}));
        let answer = world.send(CHAT, &headers, &body).await;
        answer.collect().await.unwrap()
    };
    let answer = ask("far-only", "open").await;
    assert_eq!(
        (answer.status, answer.header("x-madang-site")),
        (200, Some("far"))
    );
    assert_eq!(answer.header("x-madang-jurisdiction"), Some("US"));
    // An engine of ours that is full sends open data on, and lets the others wait.
    let held = hold(&world).await;
    assert_eq!(
        ask("m", "open").await.header("x-madang-replica"),
        Some("far")
    );
    let sent = world.spare.requests().len();
    for (model, class, expected) in [
        ("far-only", "sensitive", (403, "policy_denied")),
        ("far-only", "classified", (403, "policy_denied")),
        ("m", "sensitive", (503, "queue_timeout")),
        // Our ground is not isolated.
        ("m", "classified", (403, "policy_denied")),
    ] {
        let answer = ask(model, class).await;
        let found = (answer.status, code(&answer.json().unwrap()).to_owned());
        assert_eq!(
            found,
            (expected.0, expected.1.to_owned()),
            "{model} {class}"
        );
    }
    // Where ours fails, the others are no second attempt for it.
    drop(held);
    world.assert_idle("held").await;
    world.behave("close");
    assert_eq!(ask("m", "sensitive").await.status, 502);
    assert_eq!(world.spare.requests().len(), sent);
    world.behave("normal");
    assert_eq!(
        ask("m", "sensitive").await.header("x-madang-replica"),
        Some("r1")
    );
}

#[tokio::test]
async fn a_tenants_floor_is_not_lowered_by_a_header() {
    let world = World::start(Plan {
        more: UPSTREAM.into(),
        ..Plan::default()
    })
    .await;
    let mut tenant = crate::harness::tenant_row("demo");
    tenant.class_floor = madang_types::DataClass::Sensitive;
    tenant.created_at = clock::now();
    world.gateway.tenant_apply(tenant);
    let headers = [("x-madang-data-class", "open")];
    let body = chat(json!({"model": "far-only"}));
    let answer = world.send(CHAT, &headers, &body).await;
    let json = answer.collect().await.unwrap().json().unwrap();
    assert_eq!(code(&json), "policy_denied");
    assert!(world.spare.requests().is_empty());
}

#[tokio::test]
async fn stopping_lets_who_runs_finish_and_refuses_the_rest() {
    let world = one_slot("").await;
    let slow = streamed(json!({"user": "fake-behaviour=slow:0:20", "max_tokens": 20}));
    let mut running = world.send(CHAT, &[], &slow).await.sse();
    running.next_event().await.unwrap().unwrap();
    let body = chat(json!({}));
    let (waits, ()) = tokio::join!(world.post(CHAT, &body), async {
        until_waiting(&world, 1).await;
        world.gateway.drain();
    });
    let refused = waits.json().unwrap();
    assert_eq!((waits.status, code(&refused)), (503, "draining"));
    let (events, error) = running.to_end().await;
    assert!(error.is_none() && events.last().unwrap().is_done());
    assert_eq!(world.chat(json!({})).await.status, 503);
    world.assert_idle("a drain").await;
}
