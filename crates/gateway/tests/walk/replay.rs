//! A recording of a mixed load replays to the same effects, byte for byte.

use crate::harness::{CHAT, Plan, World, chat};
use futures_util::future::join_all;
use madang_core::recording::{Step, replay};
use madang_core::{Effect, Input};
use madang_testkit::eventually;
use serde_json::json;

#[tokio::test]
async fn a_recording_replays_byte_for_byte() {
    let world = World::start(Plan {
        engines: 3,
        slots: 2,
        limits: "queue_wait_ms_max = 400\nqueue_length_max = 12\nfirst_byte_ms_max = 300".into(),
        record: true,
        ..Plan::default()
    })
    .await;
    let behaviours = [
        "normal",
        "slow:5:5",
        "close",
        "cut:2",
        "stall",
        "endless",
        "status:503",
        "status:500",
    ];
    let ask = async |number: usize| {
        let behaviour = behaviours[number % behaviours.len()];
        let body = chat(json!({
            "stream": !number.is_multiple_of(3) || behaviour == "endless",
            "user": format!("fake-behaviour={behaviour}"),
        }));
        let priority = ["critical", "standard", "batch"][number % 3];
        let headers = [("x-madang-priority", priority)];
        let mut answer = world.send(CHAT, &headers, &body).await;
        // An endless one is left after its first bytes, the others are read to their end.
        while answer.next_chunk().await.is_ok_and(|chunk| chunk.is_some()) {
            if behaviour == "endless" {
                break;
            }
        }
    };
    let fleet = world.fleet();
    let start = fleet.find("[[replica]]\nid = \"r2\"").unwrap();
    let end = fleet.find("[[replica]]\nid = \"r3\"").unwrap();
    let smaller = format!("{}{}", &fleet[..start], &fleet[end..]);
    let reload = async {
        assert!(eventually(|| world.gateway.requests_count() >= 6).await);
        world.fleet_apply(&smaller);
        assert!(eventually(|| world.gateway.requests_count() < 4).await);
        world.fleet_apply(&fleet);
    };
    // The sixth behaviour is endless: whatever the load brings, one client leaves.
    ask(5).await;
    tokio::join!(join_all((0..40).map(&ask)), reload);
    world.assert_idle("a mixed load").await;
    world.records(41).await;

    let text = world.close().await;
    let steps: Vec<Step> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let count = |pick: &dyn Fn(&Step) -> bool| steps.iter().filter(|step| pick(step)).count();
    assert_eq!(count(&|s| matches!(s.input, Input::RequestSubmit(_))), 41);
    assert_eq!(count(&|s| matches!(s.input, Input::FleetApply(_))), 3);
    assert!(count(&|s| matches!(s.input, Input::RequestCancel { .. })) > 0);
    let refuses = |step: &Step| {
        step.effects
            .iter()
            .any(|e| matches!(e, Effect::Refuse { .. }))
    };
    assert!(count(&refuses) > 0, "some were refused");
    let mut written = String::new();
    for step in &steps {
        written += &serde_json::to_string(step).unwrap();
        written.push('\n');
    }
    assert_eq!(written, text, "steps read and written again");
    let length = steps.len();
    assert_eq!(replay(steps), Ok(length));
}
