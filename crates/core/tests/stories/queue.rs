//! Who waits, for how long, and in which order.

use super::*;

#[test]
fn a_full_pool_queues_in_order_and_a_full_queue_refuses() {
    let mut story = Story::new(vec![member("a", 1)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.submit(2, &["queued 2 behind 0"]);
    story.ask(critical(3), &["queued 3 behind 0"]);
    story.submit(4, &["refuse 4 QueueFull"]);
    story.done(1, &["start 3 #1 at a"]);
    story.expect(cancel(3), &["start 2 #1 at a"]);
}

#[test]
fn waiting_has_an_end() {
    let mut story = Story::new(vec![member("a", 1)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.submit(2, &["queued 2 behind 0"]);
    story.tick(59_999, &[]);
    story.tick(60_000, &["refuse 2 QueueTimeout"]);
}

#[test]
fn who_leaves_frees_its_place() {
    let mut story = Story::new(vec![member("a", 1)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.submit(2, &["queued 2 behind 0"]);
    story.submit(3, &["queued 3 behind 1"]);
    story.expect(cancel(2), &[]);
    story.expect(cancel(1), &["start 3 #1 at a"]);
    story.expect(cancel(3), &[]);
    assert_eq!(story.core.requests_count(), 0);
}

#[test]
fn late_words_change_nothing() {
    let mut story = Story::new(vec![member("a", 1)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.submit(1, &[]);
    story.expect(end(1, 2, AttemptEnd::Done), &[]);
    story.expect(first_byte(1, 2), &[]);
    story.done(1, &[]);
    story.done(1, &[]);
    story.expect(first_byte(1, 1), &[]);
    story.expect(cancel(1), &[]);
    let progress = Input::Progress {
        request: RequestId(1),
        output_tokens: 5,
    };
    story.expect(progress, &[]);
    story.expect(report("gone", ReplicaHealth::Down), &[]);
    story.submit(2, &["start 2 #1 at a"]);
}

#[test]
fn a_drain_lets_the_running_finish() {
    let mut story = Story::new(vec![member("a", 1), member("b", 1)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.submit(2, &["start 2 #1 at b"]);
    story.submit(3, &["queued 3 behind 0"]);
    story.expect(Input::Drain, &["refuse 3 Draining"]);
    story.submit(4, &["refuse 4 Draining"]);
    story.expect(
        end(2, 1, AttemptEnd::FailedRetryable),
        &["refuse 2 AttemptsExhausted"],
    );
    story.done(1, &[]);
}

#[test]
fn what_takes_what_is_left_waits_for_the_others() {
    let mut story = Story::new(vec![member("a", 1)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.ask(batch(2), &["queued 2 behind 0"]);
    story.submit(3, &["queued 3 behind 0"]);
    story.done(1, &["start 3 #1 at a"]);
    story.done(3, &["start 2 #1 at a"]);
}

#[test]
fn what_takes_what_is_left_does_not_pass_the_urgent() {
    let mut story = Story::new(vec![member("own", 1), others("abroad", 1)]);
    story.submit(1, &["start 1 #1 at own"]);
    let closed = RequestSubmit {
        data_class: DataClass::Sensitive,
        ..critical(2)
    };
    story.ask(closed, &["queued 2 behind 0"]);
    story.ask(batch(3), &["queued 3 behind 1"]);
    story.done(1, &["start 2 #1 at own", "start 3 #1 at abroad"]);
}

#[test]
fn what_takes_what_is_left_leaves_an_eighth_and_half_while_others_ask() {
    let mut story = Story::new(vec![member("a", 8)]);
    for id in 1..=7 {
        story.ask(batch(id), &[&format!("start {id} #1 at a")]);
    }
    story.ask(batch(8), &["queued 8 behind 0"]);
    story.submit(9, &["start 9 #1 at a"]);
    for id in 1..=4 {
        story.done(id, &[]);
    }
    story.at_ms(20);
    story.done(5, &["start 8 #1 at a"]);
    story.ask(batch(10), &["queued 10 behind 0"]);
    story.submit(11, &["start 11 #1 at a"]);
    // Nobody else has asked for ten seconds.
    story.at_ms(10_021);
    story.expect(Input::Tick, &["start 10 #1 at a"]);
}

#[test]
fn what_takes_what_is_left_begins_an_iteration_after_the_last_prompt() {
    let mut story = Story::new(vec![member("a", 32)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.ask(batch(2), &["queued 2 behind 0"]);
    // 0.6 ms of prompt, and 12 ms of an iteration.
    story.at_ms(12);
    story.expect(Input::Tick, &[]);
    story.at_ms(13);
    story.expect(Input::Tick, &["start 2 #1 at a"]);
    story.ask(batch(3), &["queued 3 behind 0"]);
    story.submit(4, &["start 4 #1 at a"]);
    // Where no prompt is open, nothing is waited for.
    for id in [1, 2] {
        story.done(id, &[]);
    }
    story.done(4, &["start 3 #1 at a"]);
}

#[test]
fn the_small_go_first_among_one_keys_own_but_are_not_waited_for() {
    let limits = CoreLimits {
        queue_length_max: 9,
        ..LIMITS
    };
    let mut story = Story::under(limits, vec![member("a", 1)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.ask(long(2, 3_000), &["queued 2 behind 0"]);
    story.submit(3, &["queued 3 behind 0"]);
    // Three times its own work later, nobody passes it any more.
    story.at_ms(1_000);
    story.submit(4, &["queued 4 behind 2"]);
    story.done(1, &["start 3 #1 at a"]);
    story.done(3, &["start 2 #1 at a"]);
}

/// Of two that have waited since the beginning and one that comes after `waited_ms`: in which order they start.
fn started(limits: CoreLimits, waited_ms: i64, ask: impl Fn(u128) -> RequestSubmit) -> Vec<String> {
    let limits = CoreLimits {
        queue_length_max: 9,
        ..limits
    };
    let mut story = Story::under(limits, vec![member("a", 1)]);
    story.submit(1, &["start 1 #1 at a"]);
    for id in [2, 3] {
        story.lines(Input::RequestSubmit(ask(id)));
    }
    story.at_ms(waited_ms);
    story.lines(Input::RequestSubmit(ask(4)));
    let mut starts = Vec::new();
    let mut running = 1;
    while starts.len() < 3 {
        let lines = story.lines(end(running, 1, AttemptEnd::Done));
        let id = lines[0].split(' ').nth(1).unwrap();
        running = id.parse().unwrap();
        starts.push(id.to_owned());
    }
    starts
}

#[test]
fn whom_it_is_too_late_for_stand_behind_those_of_their_key_who_can_be_in_time() {
    let check = |waited_ms, limits, ask: fn(u128) -> RequestSubmit, expected: [&str; 3]| {
        assert_eq!(started(limits, waited_ms, ask), expected, "{waited_ms} ms");
    };
    check(4_900, LIMITS, submit, ["2", "3", "4"]);
    check(5_100, LIMITS, submit, ["4", "2", "3"]);
    check(5_100, LIMITS, critical, ["4", "2", "3"]);
    // What takes what is left, and what is slow wherever it goes, is never in time.
    check(5_100, LIMITS, batch, ["2", "3", "4"]);
    check(5_100, LIMITS, |id| long(id, 200_000), ["2", "3", "4"]);
    let useful_for_20_s = CoreLimits {
        ttft_ms_max: 20_000,
        ..LIMITS
    };
    check(5_100, useful_for_20_s, submit, ["2", "3", "4"]);
}

#[test]
fn to_stand_behind_takes_no_turn_and_no_time() {
    let limits = CoreLimits {
        queue_length_max: 9,
        ..LIMITS
    };
    let mut story = Story::under(limits, vec![member("a", 1)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.ask(of("u", 2), &["queued 2 behind 0"]);
    story.ask(of("u", 3), &["queued 3 behind 1"]);
    story.at_ms(6_000);
    // The other tenant's first is late, and its turn comes all the same.
    story.submit(4, &["queued 4 behind 1"]);
    story.done(1, &["start 2 #1 at a"]);
    story.tick(59_999, &[]);
    story.tick(60_000, &["refuse 3 QueueTimeout"]);
}

#[test]
fn a_door_that_the_pool_does_not_serve_is_named() {
    let mut story = Story::new(vec![member("a", 1)]);
    let embeddings = RequestSubmit {
        endpoint: Endpoint::Embeddings,
        ..submit(1)
    };
    story.ask(embeddings, &["refuse 1 EndpointUnsupported"]);
    let unknown = RequestSubmit {
        model: model("x"),
        ..submit(2)
    };
    story.ask(unknown, &["refuse 2 ModelUnknown"]);
    assert_eq!(story.retry_after_ms(), None);
}

#[test]
fn who_waits_is_told_its_place_and_how_long() {
    let limits = CoreLimits {
        queue_length_max: 99,
        ..LIMITS
    };
    let mut story = Story::under(limits, vec![member("a", 1)]);
    story.submit(1, &["start 1 #1 at a"]);
    for place in 0..6 {
        let id = 100 + place;
        story.submit(id, &[&format!("queued {id} behind {place}")]);
    }
    let place = |story: &Story, id| story.core.queue_place(RequestId(id), story.now);
    // Nothing was started yet.
    assert_eq!(place(&story, 105), Some((5, None)));
    // Two a second, for a while.
    for (ended, next) in [(1, 100), (100, 101), (101, 102), (102, 103)] {
        story.at_ms(story.now.0 / 1000 + 500);
        story.done(ended, &[&format!("start {next} #1 at a")]);
        let id = next + 6;
        story.submit(id, &[&format!("queued {id} behind 5")]);
    }
    let (before, wait_ms) = place(&story, 109).unwrap();
    let wait_ms = wait_ms.unwrap();
    assert!(
        before == 5 && (2_000..4_000).contains(&wait_ms),
        "{before} {wait_ms}"
    );
    story.expect(cancel(104), &[]);
    assert_eq!(place(&story, 109).map(|(before, _)| before), Some(4));
    assert_eq!(place(&story, 103), None);
    assert_eq!(place(&story, 104), None);
}

#[test]
fn a_clock_that_jumps_moves_deadlines_only() {
    let run = |jumps: &[i64]| {
        let mut story = Story::new(vec![member("a", 1), member("b", 2)]);
        let mut told = Vec::new();
        let inputs = [
            Input::RequestSubmit(submit(1)),
            Input::RequestSubmit(submit(2)),
            first_byte(1, 1),
            Input::RequestSubmit(submit(3)),
            Input::RequestSubmit(submit(4)),
            end(1, 1, AttemptEnd::Done),
            first_byte(4, 1),
            end(2, 1, AttemptEnd::FailedRetryable),
            end(3, 1, AttemptEnd::Done),
        ];
        for (at, input) in inputs.into_iter().enumerate() {
            story.now = Micros(jumps.get(at).copied().unwrap_or(0));
            told.extend(story.lines(input));
        }
        told
    };
    let steady = run(&[]);
    assert_eq!(steady.len(), 6, "{steady:?}");
    let day = 86_400_000_000;
    for jumps in [
        [0, 0, day, 0, 0, 0, 0, 0],
        [0, -day, 0, 0, 0, day, 0, 0],
        [0, 0, i64::MIN, i64::MAX, 0, 0, 0, 0],
    ] {
        assert_eq!(run(&jumps), steady, "{jumps:?}");
    }
}
