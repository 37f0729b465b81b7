//! Engines that fail, and what is tried instead: elsewhere, later, beside.

use super::*;
use AttemptEnd::{Abandoned, Done, FailedFinal, FailedRetryable};

const HEDGING: CoreLimits = CoreLimits {
    hedge_percent_max: 5,
    ..LIMITS
};

#[test]
fn a_failed_first_attempt_goes_elsewhere_and_only_so_often() {
    let mut story = Story::new(vec![member("a", 1), member("b", 1), member("c", 1)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.expect(end(1, 1, FailedRetryable), &["start 1 #2 at b"]);
    story.expect(end(1, 1, FailedRetryable), &[]);
    story.expect(end(1, 2, FailedRetryable), &["refuse 1 AttemptsExhausted"]);
    let attempts = story.pool().attempts;
    assert_eq!((attempts.first, attempts.retries), (1, 1));
}

/// Where nobody else is left nothing is tried again: no retry is counted, and none is paid for.
#[test]
fn the_last_that_is_left_has_no_retry() {
    let mut story = Story::new(vec![member("a", 1)]);
    for id in 1..40 {
        story.submit(id, &[&format!("start {id} #1 at a")]);
        story.lines(end(id, 1, FailedRetryable));
    }
    let attempts = story.pool().attempts;
    let told = (attempts.first, attempts.retries, attempts.retries_denied);
    assert_eq!(told, (39, 0, 0));
}

#[test]
fn nothing_is_retried_after_its_first_byte() {
    let mut story = Story::new(vec![member("a", 1), member("b", 1)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.expect(first_byte(1, 1), &[]);
    story.expect(end(1, 1, FailedRetryable), &["refuse 1 AttemptsExhausted"]);
}

#[test]
fn a_retry_keeps_its_place() {
    let mut story = Story::new(vec![member("a", 1), member("b", 1)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.submit(2, &["start 2 #1 at b"]);
    story.submit(3, &["queued 3 behind 0"]);
    story.expect(
        end(1, 1, FailedRetryable),
        &["start 3 #1 at a", "queued 1 behind 0"],
    );
    story.submit(4, &["queued 4 behind 1"]);
    story.done(2, &["start 1 #2 at b"]);
}

#[test]
fn a_tried_one_is_not_told_that_its_door_is_at_fault() {
    let mut story = Story::new(vec![member("a", 1)]);
    story.submit(1, &["start 1 #1 at a"]);
    let other_door = PoolMember {
        endpoints: vec![Endpoint::Embeddings],
        ..member("b", 1)
    };
    story.fleet(vec![other_door], &[]);
    story.expect(
        end(1, 1, FailedRetryable),
        &["refuse 1 AttemptsExhausted", "drained a"],
    );
}

#[test]
fn retries_are_a_part_of_first_attempts_and_ten_a_second() {
    let limits = CoreLimits {
        retry_percent_max: 0,
        ..LIMITS
    };
    let members = (100..180).map(|n| member(&format!("r{n}"), 1)).collect();
    let mut story = Story::under(limits, members);
    let mut fail = |ids: std::ops::Range<u128>| {
        let mut retried = 0;
        for id in ids {
            story.lines(Input::RequestSubmit(submit(id)));
            let lines = story.lines(end(id, 1, FailedRetryable));
            retried += u32::from(lines[0].starts_with("start"));
        }
        story.now = Micros(1_000_000);
        (retried, story.pool().attempts.retries_denied)
    };
    assert_eq!(fail(1..13), (10, 2));
    assert_eq!(fail(20..32), (10, 4));
}

#[test]
fn a_part_of_many_first_attempts_may_be_retried() {
    let limits = CoreLimits {
        retry_percent_max: 20,
        ..LIMITS
    };
    let members = (100..160).map(|n| member(&format!("r{n}"), 1)).collect();
    let mut story = Story::under(limits, members);
    for id in 1..=100 {
        story.lines(Input::RequestSubmit(submit(id)));
        story.done(id, &[]);
    }
    let mut retried = 0;
    for id in 200..240 {
        story.lines(Input::RequestSubmit(submit(id)));
        let lines = story.lines(end(id, 1, FailedRetryable));
        retried += u32::from(lines[0].starts_with("start"));
    }
    // Ten at first, and a fifth of 140.
    assert_eq!(retried, 38);
}

#[test]
fn a_member_that_fails_in_a_row_rests_and_comes_back_on_trial() {
    let mut story = Story::new(vec![member("a", 8), member("b", 1)]);
    story.submit(9, &["start 9 #1 at a"]);
    story.submit(8, &["start 8 #1 at b"]);
    for id in 1..=3 {
        story.submit(id, &[&format!("start {id} #1 at a")]);
        story.expect(end(id, 1, FailedFinal), &[]);
    }
    assert!(story.pool().members[0].ejected);
    story.submit(4, &["queued 4 behind 0"]);
    story.expect(cancel(9), &[]);
    story.tick(4_999, &[]);
    story.tick(5_000, &["start 4 #1 at a"]);
    // One at a time, until it has answered.
    story.submit(5, &["queued 5 behind 0"]);
    story.expect(end(4, 1, FailedFinal), &[]);
    story.tick(14_999, &[]);
    story.tick(15_000, &["start 5 #1 at a"]);
    story.done(5, &[]);
    assert_eq!(story.pool().members[0].slots_limit, 3);
    for id in 10..13 {
        story.submit(id, &[&format!("start {id} #1 at a")]);
    }
    story.submit(13, &["queued 13 behind 0"]);
    story.expect(first_byte(10, 1), &["start 13 #1 at a"]);
}

#[test]
fn the_last_member_of_a_pool_never_rests() {
    let mut story = Story::new(vec![member("a", 8)]);
    for id in 1..=5 {
        story.submit(id, &[&format!("start {id} #1 at a")]);
        story.expect(end(id, 1, FailedFinal), &[]);
    }
}

#[test]
fn what_ends_by_our_doing_is_not_the_engines_fault() {
    let mut story = Story::new(vec![member("a", 8), member("b", 8)]);
    for id in 1..=20 {
        story.lines(Input::RequestSubmit(submit(id)));
        story.expect(end(id, 1, Abandoned), &[]);
    }
    assert!(story.pool().members.iter().all(|member| !member.ejected));
    assert_eq!(story.core.requests_count(), 0);
}

#[test]
fn a_late_first_byte_is_hedged_and_the_first_of_both_wins() {
    let mut story = Story::under(HEDGING, vec![member("a", 4), member("b", 4)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.tick(500, &[]);
    story.tick(501, &["start 1 #2 at b"]);
    assert_eq!(story.why().0, RouteReason::Hedge);
    story.tick(600, &[]);
    story.expect(first_byte(1, 2), &["call off 1 #1"]);
    story.expect(end(1, 1, FailedRetryable), &[]);
    story.expect(first_byte(1, 1), &[]);
    story.expect(end(1, 2, Done), &[]);
    assert_eq!(story.pool().attempts.hedges, 1);
    assert_eq!(story.core.requests_count(), 0);
}

#[test]
fn one_of_two_that_ends_ends_the_other() {
    for how in [Done, FailedFinal, Abandoned] {
        let mut story = Story::under(HEDGING, vec![member("a", 4), member("b", 4)]);
        story.submit(1, &["start 1 #1 at a"]);
        story.tick(501, &["start 1 #2 at b"]);
        story.expect(end(1, 2, how), &["call off 1 #1"]);
        assert_eq!(story.core.requests_count(), 0);
    }
}

#[test]
fn where_one_of_two_fails_the_other_goes_on() {
    let mut story = Story::under(HEDGING, vec![member("a", 4), member("b", 4)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.tick(501, &["start 1 #2 at b"]);
    story.expect(end(1, 1, FailedRetryable), &[]);
    story.expect(end(1, 2, FailedRetryable), &["refuse 1 AttemptsExhausted"]);
}

#[test]
fn who_leaves_takes_both_attempts_along() {
    let mut story = Story::under(HEDGING, vec![member("a", 4), member("b", 4)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.tick(501, &["start 1 #2 at b"]);
    story.expect(cancel(1), &[]);
    assert!(
        story
            .pool()
            .members
            .iter()
            .all(|member| member.running == 0)
    );
}

#[test]
fn a_member_that_left_with_the_loser_is_drained() {
    let mut story = Story::under(HEDGING, vec![member("a", 4), member("b", 4)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.tick(501, &["start 1 #2 at b"]);
    story.fleet(vec![member("b", 4)], &[]);
    story.expect(first_byte(1, 2), &["call off 1 #1", "drained a"]);
}

#[test]
fn nothing_is_hedged_where_it_may_not_be() {
    let in_one_piece = RequestSubmit {
        streamed: false,
        ..submit(1)
    };
    let check = |limits: CoreLimits, slots: u32, request: RequestSubmit| {
        let mut story = Story::under(limits, vec![member("a", slots), member("b", slots)]);
        story.ask(request, &["start 1 #1 at a"]);
        for now_ms in [501, 2_000, 20_000] {
            story.tick(now_ms, &[]);
        }
    };
    check(LIMITS, 4, submit(1));
    check(HEDGING, 4, in_one_piece);
    // Half of the slots are taken.
    check(HEDGING, 1, submit(1));
    let once = CoreLimits {
        attempts_max: 1,
        ..HEDGING
    };
    check(once, 4, submit(1));
}

#[test]
fn hedges_are_few() {
    let mut story = Story::under(HEDGING, vec![member("a", 90), member("b", 90)]);
    for id in 1..=40 {
        story.lines(Input::RequestSubmit(submit(id)));
    }
    story.at_ms(10_000);
    // One at first, and 5 for each hundred.
    assert_eq!(story.lines(Input::Tick).len(), 3);
}

#[test]
fn the_retry_of_an_answer_in_one_piece_is_on_the_account_and_off_it() {
    let mut story = Story::new(vec![member("a", 4), member("b", 4)]);
    let request = RequestSubmit {
        streamed: false,
        ..long(1, 1_000)
    };
    story.ask(request, &["start 1 #1 at a"]);
    story.tick(2_000, &[]);
    story.expect(end(1, 1, FailedRetryable), &["start 1 #2 at b"]);
    assert!(story.pool().members[1].prefill_us > 0);
    story.expect(end(1, 2, Done), &[]);
    assert_eq!(story.pool().members[1].prefill_us, 0);
}
