//! The fleet changes under way.

use super::*;

#[test]
fn a_removed_member_finishes_what_it_has() {
    let mut story = Story::new(vec![member("a", 1), member("b", 1)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.fleet(vec![member("b", 1)], &[]);
    story.submit(2, &["start 2 #1 at b"]);
    story.done(1, &["drained a"]);
    story.fleet(vec![], &[]);
    story.submit(3, &["refuse 3 ModelUnknown"]);
    story.done(2, &["drained b"]);
}

#[test]
fn requests_wait_for_a_member_that_starts_anew() {
    let held_back = || PoolMember {
        held_back: true,
        ..member("a", 1)
    };
    let mut story = Story::new(vec![member("a", 1)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.submit(2, &["queued 2 behind 0"]);
    story.fleet(vec![held_back()], &[]);
    story.submit(3, &["queued 3 behind 1"]);
    story.done(1, &["drained a"]);
    let starting = PoolMember {
        health: ReplicaHealth::Starting,
        ..member("a", 1)
    };
    story.fleet(vec![starting], &[]);
    story.expect(report("a", ReplicaHealth::Up), &["start 2 #1 at a"]);
    story.fleet(vec![], &["refuse 3 ModelUnknown"]);
}

#[test]
fn what_a_probe_found_out_stays_true_over_a_reload() {
    let mut story = Story::new(vec![member("a", 1), member("b", 1)]);
    story.expect(report("a", ReplicaHealth::Down), &[]);
    story.fleet(vec![member("a", 1), member("b", 1)], &[]);
    story.submit(1, &["start 1 #1 at b"]);
    story.submit(2, &["queued 2 behind 0"]);
}

#[test]
fn more_slots_serve_who_waits() {
    let mut story = Story::new(vec![member("a", 1)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.submit(2, &["queued 2 behind 0"]);
    story.fleet(vec![member("a", 2)], &["start 2 #1 at a"]);
}

#[test]
fn a_member_that_serves_another_model_finishes_the_first() {
    let serving = |id: &str, name: &str| PoolMember {
        model: model(name),
        ..member(id, 1)
    };
    let other = |id| RequestSubmit {
        model: model("o"),
        ..submit(id)
    };
    let mut story = Story::new(vec![member("a", 1), member("b", 1)]);
    story.submit(1, &["start 1 #1 at a"]);
    // The pool of `m` has no member left, and another takes the next place that is free.
    story.fleet(vec![serving("a", "n")], &["drained b"]);
    story.fleet(vec![serving("a", "n"), serving("c", "o")], &[]);
    story.ask(other(2), &["start 2 #1 at c"]);
    story.done(1, &[]);
    story.done(2, &[]);
    assert_eq!(story.core.requests_count(), 0);
}

#[test]
fn a_member_that_comes_back_beside_others_begins_slowly() {
    let mut story = Story::new(vec![member("a", 16), member("b", 16)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.expect(first_byte(1, 1), &[]);
    story.expect(report("b", ReplicaHealth::Down), &[]);
    story.expect(report("b", ReplicaHealth::Up), &[]);
    let limits = |story: &Story| -> Vec<u32> {
        let members = story.pool().members;
        members.iter().map(|member| member.slots_limit).collect()
    };
    assert_eq!(limits(&story), [16, 2]);
    // Where nobody else serves, a slow start would only make everybody wait.
    story.expect(report("b", ReplicaHealth::Down), &[]);
    story.expect(report("a", ReplicaHealth::Down), &[]);
    story.expect(report("a", ReplicaHealth::Up), &[]);
    assert_eq!(limits(&story), [16, 16]);
}
