//! Stop switches.

use crate::case::Case;
use crate::flow::{Flow, MAPPED, evidence};
use crate::random::Random;
use madang_audit::leaf::Event;
use madang_types::{DataFlags, StopScope};
use std::time::{Duration, Instant};

/// The longest that anything may go on at a place after it is stopped.
const STOP_MAX: Duration = Duration::from_secs(1);

/// A stream that goes where open data goes, and never ends by itself.
fn endless(number: u64) -> Case {
    let mut random = Random::of(&[number]);
    let mut case = Case::new(number, &mut random);
    (case.tenant, case.key, case.path) = (0, 0, crate::harness::CHAT);
    case.headers.clear();
    case.least.flags = DataFlags::NONE;
    case.body = format!(
        "{{\"model\":\"m\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"case-{number}. go\"}}]}}"
    );
    case
}

#[tokio::test]
async fn i19_a_stop_cuts_what_runs_and_lets_nothing_new_begin() {
    let flow = Flow::start(19, true).await;
    assert!(flow.policy_apply("[policy]\nhome = \"KR\"\n"));
    let mut streams = Vec::new();
    for number in 0..24 {
        streams.push(flow.send(&endless(number)).await);
    }
    let places = |from: usize| -> Vec<String> {
        let seen = flow.watch.seen.lock().unwrap();
        seen[from..].iter().map(|seen| seen.place.clone()).collect()
    };
    let country: StopScope = StopScope::Country("KR".parse().unwrap());
    let at_home = ["gov", "home", "public", "near", MAPPED];
    assert!(
        places(0)
            .iter()
            .any(|place| at_home.contains(&place.as_str())),
        "{:?}",
        places(0)
    );
    let began = Instant::now();
    flow.stop(&country).await;
    let before = places(0).len();
    for (number, stream) in streams.into_iter().enumerate() {
        let place = stream.headers["x-madang-site"].to_str().unwrap().to_owned();
        if !at_home.contains(&place.as_str()) {
            continue;
        }
        let (events, error) = stream.sse().to_end().await;
        assert!(began.elapsed() < STOP_MAX, "{number} at {place} goes on");
        let last = events.last().unwrap().json().unwrap();
        assert!(
            error.is_none() && last["error"]["code"] == "policy_denied",
            "{place}: {error:?} {last}"
        );
    }
    for number in 24..40 {
        drop(flow.send(&endless(number)).await);
    }
    let after = places(before);
    assert!(
        after.iter().all(|place| !at_home.contains(&place.as_str())),
        "{after:?}"
    );
    let leaves = flow.leaves().await;
    let logged = |event: &Event| matches!(event, Event::Stop(stop) if stop.set && stop.scope == "country:KR");
    assert_eq!(leaves.iter().filter(|leaf| logged(&leaf.event)).count(), 1);
}

#[tokio::test]
async fn i19_nothing_reaches_a_stopped_place_a_second_later() {
    for evidence in evidence(19_000, 72).await {
        for stopped in &evidence.stops {
            let at_it = evidence
                .seen
                .iter()
                .filter(|seen| seen.place == stopped.place);
            let late =
                at_it.filter(|seen| seen.at > stopped.from + STOP_MAX && seen.at < stopped.to);
            assert_eq!(late.count(), 0, "seed {}: {}", evidence.seed, stopped.place);
        }
    }
}
