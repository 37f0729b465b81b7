//! Jobs that may be slowed take turns: one stands still, goes on, and another one stands, as the kernel says.

use super::{acts, goes_on, in_books, state_of, submit, until, up};
use crate::harness::{json_of, wait_for};
use serde_json::Value;

/// A turn of one that may lose a twenty-fifth of its pace is 24 seconds.
#[tokio::test(flavor = "multi_thread")]
async fn two_jobs_that_may_be_slowed_hand_over_under_an_event_and_both_go_on_after_it() {
    let (place, mut madang, engines) = up().await;
    let first = submit(&place, "first", "[flex]\nslow = 0.04").await;
    let second = submit(&place, "second", "[flex]\nslow = 0.04").await;
    until(&place, "all is measured and the jobs are seen", |power| {
        power["watts"] == 500 && power["full_watts"] == 1_100
    })
    .await;
    let event = json_of(&place, "power event here --cut 25% --for 1h --reason grid").await;
    let met = until(&place, "the event is met", |power| {
        power["watts"] == 360 && power["cap_watts"] == 375
    })
    .await;
    assert_eq!(acts(&met), ["slow"], "{met}");
    // The newest is first.
    wait_for("one stands still", async || {
        (state_of(&second) == Some('T')).then_some(())
    })
    .await;
    assert!(goes_on(&first), "the other one gets on");
    wait_for("they hand over", async || {
        (state_of(&first) == Some('T') && goes_on(&second)).then_some(())
    })
    .await;
    let handed = until(&place, "one turn is in force again", |power| {
        acts(power) == ["slow"]
    })
    .await;
    assert_eq!(handed["lacks_watts"], 0, "{handed}");
    json_of(&place, &format!("power cancel here {}", event["id"])).await;
    wait_for("both go on", async || {
        (goes_on(&first) && goes_on(&second)).then_some(())
    })
    .await;
    drop(engines);
    assert_eq!(madang.stop().await, 0);
}

/// A turn of one that may lose half of its pace is five minutes, and nobody takes over before half of that.
#[tokio::test(flavor = "multi_thread")]
async fn a_turn_goes_on_where_it_was_through_a_kill() {
    let (place, mut madang, engines) = up().await;
    let first = submit(&place, "first", "[flex]\nslow = 0.5").await;
    let second = submit(&place, "second", "[flex]\nslow = 0.5").await;
    until(&place, "all is measured and the jobs are seen", |power| {
        power["watts"] == 500 && power["full_watts"] == 1_100
    })
    .await;
    json_of(&place, "power event here --cut 25% --for 1h --reason grid").await;
    let met = until(&place, "the event is met", |power| {
        power["watts"] == 360 && acts(power) == ["slow"]
    })
    .await;
    let left_us = |power: &Value| {
        let runs = power["runs"].as_object()?;
        runs.values().find_map(|run| run["turn_left_us"].as_u64())
    };
    // A part of it is used up, and noted.
    in_books(&place, |power| {
        power["acts"][0]["act"]["slow"].is_string()
            && left_us(power).is_some_and(|left_us| left_us < 300_000_000)
    })
    .await;
    madang.kill().await;
    madang = place.up_with(&[]).await;
    let again = until(&place, "it is met after the kill", |power| {
        power["watts"] == 360 && !acts(power).is_empty()
    })
    .await;
    for field in ["what", "since"] {
        assert_eq!(again["acts"][0][field], met["acts"][0][field], "{again}");
    }
    assert_eq!(state_of(&second), Some('T'));
    assert!(goes_on(&first), "the other one gets on");
    in_books(&place, |power| {
        left_us(power).is_some_and(|left_us| left_us < 299_000_000)
    })
    .await;
    drop(engines);
    assert_eq!(madang.stop().await, 0);
}
