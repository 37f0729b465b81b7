//! Power is short at a site: what requests meet there.

use super::*;
use madang_core::Refusal;
use madang_core::power::governor::PowerTerms;

fn slots(slots_milli: u32) -> Input {
    let terms = PowerTerms {
        slots_milli,
        ..PowerTerms::default()
    };
    Input::PowerSet {
        site: SiteId::new("s").unwrap(),
        terms,
    }
}

#[test]
fn some_engines_rest_and_others_serve_in_their_place() {
    let members = ["a", "b", "c", "d"].map(|id| member(id, 4));
    let mut story = Story::new(members.into());
    for (id, at) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
        story.submit(id, &[&format!("start {id} #1 at {at}")]);
    }
    story.expect(slots(500), &[]);
    for (id, at) in [(5, "a"), (6, "b"), (7, "a"), (8, "b")] {
        story.submit(id, &[&format!("start {id} #1 at {at}")]);
    }
    // Who rested serves once another is said to be down.
    story.expect(report("b", ReplicaHealth::Down), &[]);
    story.submit(9, &["start 9 #1 at c"]);
    for id in [3, 4] {
        story.done(id, &[]);
    }
    story.submit(10, &["start 10 #1 at c"]);
    story.expect(slots(1_000), &[]);
    story.submit(11, &["start 11 #1 at d"]);
}

#[test]
fn who_rests_serves_within_a_second_where_another_fails_all_the_time() {
    let mut story = Story::new(vec![member("a", 8), member("b", 8)]);
    story.expect(slots(500), &[]);
    story.submit(9, &["start 9 #1 at a"]);
    for id in 1..=3 {
        story.submit(id, &[&format!("start {id} #1 at a")]);
        story.expect(end(id, 1, AttemptEnd::FailedFinal), &[]);
    }
    assert!(story.pool().members[0].ejected);
    story.submit(4, &["queued 4 behind 0"]);
    story.at_ms(999);
    story.expect(Input::Tick, &[]);
    story.at_ms(1_000);
    story.expect(Input::Tick, &["start 4 #1 at b"]);
}

#[test]
fn one_engine_alone_has_fewer_slots_and_never_none() {
    let mut story = Story::new(vec![member("a", 8)]);
    for id in 1..=4 {
        story.submit(id, &[&format!("start {id} #1 at a")]);
    }
    story.expect(slots(500), &[]);
    for id in [1, 2] {
        story.done(id, &[]);
    }
    story.submit(5, &["queued 5 behind 0"]);
    story.done(3, &["start 5 #1 at a"]);
    story.submit(6, &["queued 6 behind 0"]);
    story.expect(slots(1_000), &["start 6 #1 at a"]);
}

#[test]
fn who_is_refused_comes_back_when_the_event_ends() {
    // Until when power is short, in seconds, and in how many milliseconds it is said to be back, at the tenth second.
    for (until_s, back_ms) in [
        (None, 60_000),
        (Some(1_810), 1_800_000),
        (Some(12), 2_000),
        (Some(10), 60_000),
        (Some(5), 60_000),
    ] {
        let mut story = Story::new(vec![member("a", 8)]);
        story.at_ms(10_000);
        let terms = PowerTerms {
            shed: Some(Priority::Standard),
            until: until_s.map(|s| Micros(s * 1_000_000)),
            ..PowerTerms::default()
        };
        let site = SiteId::new("s").unwrap();
        story.expect(Input::PowerSet { site, terms }, &[]);
        story.lines(Input::RequestSubmit(submit(1)));
        let [
            Effect::Refuse {
                refusal,
                retry_after_ms,
                ..
            },
        ] = story.effects.as_slice()
        else {
            panic!("{:?}", story.effects);
        };
        assert_eq!(
            (*refusal, *retry_after_ms),
            (Refusal::PowerShort, Some(back_ms)),
            "{until_s:?}"
        );
    }
}
