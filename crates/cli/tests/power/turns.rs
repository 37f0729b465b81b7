//! Jobs that may be slowed take turns: one stands still, goes on, and another one stands, as the kernel says.

use super::{acts, goes_on, state_of, submit, until, up};
use crate::harness::{json_of, wait_for};

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
