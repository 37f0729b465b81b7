//! A slow prompt is called off so that another comes in time, and goes on.

use crate::harness::{CHAT, Plan, World, streamed};
use madang_testkit::{SseEvent, eventually};
use madang_types::Outcome;
use serde_json::json;

/// A model at the spare engine that computes ten thousand tokens a second.
const LONG: &str = r#"
[[model]]
id = "long"
context_tokens = 400000
[model.costs]
uncached_ns = 100000
context_double_tokens = 0
[[replica]]
id = "spare"
site = "home"
model = "long"
url = "{URL}"
engine = "vllm"
slots = 8
kv_tokens = 400000
upstream_model = "m"
"#;

/// A streamed chat with that model, of one message with so many words.
fn words(count: usize) -> String {
    let text = "word ".repeat(count);
    streamed(json!({"model": "long", "messages": [{"role": "user", "content": text}]}))
}

fn is_whole(events: &[SseEvent]) -> bool {
    events.last().is_some_and(SseEvent::is_done)
}

#[tokio::test]
async fn a_slow_prompt_waits_for_another_and_both_are_answered() {
    let world = World::start(Plan {
        more: LONG.into(),
        limits: "hedge_percent_max = 0".into(),
        ..Plan::default()
    })
    .await;
    let preempted = || {
        let pools = world.gateway.status();
        pools
            .iter()
            .map(|pool| pool.attempts.preempted)
            .sum::<u64>()
    };
    world.spare.set_behaviour("stall".parse().unwrap());
    let (slow, quick) = (words(100_000), words(3));
    let quick = async {
        assert!(eventually(|| world.spare.in_flight() == 1).await);
        world.spare.set_behaviour("normal".parse().unwrap());
        world.send(CHAT, &[], &quick).await.sse().to_end().await
    };
    let slow = async { world.send(CHAT, &[], &slow).await.sse().to_end().await };
    let ((slow, slow_cut), (quick, quick_cut)) = tokio::join!(slow, quick);
    assert!(slow_cut.is_none() && quick_cut.is_none());
    assert!(is_whole(&slow) && is_whole(&quick), "{slow:?} {quick:?}");
    assert_eq!(preempted(), 1);
    // The engine was asked twice for the slow one, and its first attempt was closed.
    assert_eq!(world.spare.requests().len(), 3);
    assert!(eventually(|| world.spare.in_flight() == 0).await);
    let mut attempts = Vec::new();
    for record in world.records(2).await {
        assert_eq!(record.outcome, Outcome::Finished);
        attempts.push(record.attempts);
    }
    attempts.sort_unstable();
    assert_eq!(attempts, [1, 2]);
    world.assert_idle("after both").await;
}
