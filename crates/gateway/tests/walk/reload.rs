//! A flood of clients while the fleet is loaded again and again: nobody hangs, nothing is lost, nothing is held.

use crate::harness::{CHAT, Plan, World, chat, code};
use futures_util::stream::{self, StreamExt};
use madang_testkit::{SseEvent, eventually};
use madang_types::Outcome;
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};

const CLIENTS: usize = 24;
const REQUESTS: usize = 96;
/// A reload for each so many requests that ended.
const REQUESTS_PER_RELOAD: usize = 6;

/// The fleet without some of its replicas, and with another number of slots.
fn variant(world: &World, gone: &[&str], slots: u32) -> String {
    let fleet = world.fleet();
    let mut blocks = fleet.split("[[replica]]\n");
    let mut text = blocks.next().unwrap().to_owned();
    for block in blocks {
        let (rows, rest) = match block.split_once("\n[limits]") {
            Some((rows, rest)) => (rows, format!("\n[limits]{rest}")),
            None => (block, String::new()),
        };
        if !gone
            .iter()
            .any(|id| rows.contains(&format!("id = \"{id}\"")))
        {
            let rows = rows.replace("slots = 2", &format!("slots = {slots}"));
            text += &format!("[[replica]]\n{rows}");
        }
        text += &rest;
    }
    text
}

/// A stream that began ends with `[DONE]` or with an error, never with nothing.
fn ends_well(events: &[SseEvent]) -> bool {
    events.last().is_some_and(|last| {
        last.is_done() || last.json().is_ok_and(|json| json["error"].is_object())
    })
}

/// One client: whole answers, streams, and some who leave in the middle.
async fn ask(world: &World, number: usize) -> &'static str {
    let behaviour = ["slow:2:2", "normal", "cut:2", "close"][number % 4];
    let streams = !number.is_multiple_of(3);
    let body = chat(json!({
        "stream": streams,
        "max_tokens": 8,
        "user": format!("fake-behaviour={behaviour}"),
    }));
    let answer = world.send(CHAT, &[], &body).await;
    if streams && number.is_multiple_of(5) {
        return "left";
    }
    if streams && answer.status == 200 {
        let (events, error) = answer.sse().to_end().await;
        assert!(error.is_none(), "{number}: {error:?}");
        assert!(ends_well(&events), "{number}: {events:?}");
        return "streamed";
    }
    let answer = answer.collect().await.unwrap();
    let json = answer.json().unwrap();
    assert_eq!(
        answer.status == 200,
        code(&json).is_empty(),
        "{number}: {json}"
    );
    "answered"
}

#[tokio::test]
async fn a_flood_of_reloads_loses_nobody() {
    let world = World::start(Plan {
        engines: 3,
        slots: 2,
        limits: "queue_notice_ms = 1\nattempts_max = 3".into(),
        ..Plan::default()
    })
    .await;
    let ended = AtomicUsize::new(0);
    let clients = stream::iter(0..REQUESTS)
        .map(async |number| {
            let how = ask(&world, number).await;
            ended.fetch_add(1, Ordering::Relaxed);
            how
        })
        .buffer_unordered(CLIENTS)
        .collect::<Vec<_>>();
    let reloads = async {
        let variants: [(&[&str], u32); 5] = [
            (&["r2"], 2),
            (&["r1", "r3"], 1),
            (&[], 3),
            (&["r3"], 1),
            (&[], 2),
        ];
        for (round, (gone, slots)) in variants.iter().cycle().take(10).enumerate() {
            let wanted = (round + 1) * REQUESTS_PER_RELOAD;
            let enough = || ended.load(Ordering::Relaxed) >= wanted;
            assert!(eventually(enough).await, "{wanted} requests ended");
            world.fleet_apply(&variant(&world, gone, *slots));
        }
    };
    let (ends, ()) = tokio::join!(clients, reloads);
    assert_eq!(ends.len(), REQUESTS);
    world.assert_idle("a flood of reloads").await;
    let records = world.records(REQUESTS).await;
    let count = |outcome| records.iter().filter(|r| r.outcome == outcome).count();
    assert!(count(Outcome::Finished) > 0, "{ends:?}");
    assert!(records.iter().all(|r| r.attempts <= 3));
    // What each key and each replica holds came back: one request at a time, one slot each, still serves.
    let frugal = variant(&world, &[], 1).replace("[limits]", "[limits]\nconnections_key_max = 1");
    world.fleet_apply(&frugal);
    for _ in 0..4 {
        assert_eq!(world.chat(json!({})).await.status, 200);
    }
}
