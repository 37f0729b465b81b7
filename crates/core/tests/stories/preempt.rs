//! Slow prompts that give way, so that others come in time.

use super::*;
use AttemptEnd::{Done, FailedRetryable};

/// Ten thousand tokens a second, and memory for what is asked here.
fn engine(id: &str) -> PoolMember {
    PoolMember {
        costs: EngineCosts {
            uncached_ns: 100_000,
            context_double_tokens: 0,
            ..EngineCosts::default()
        },
        kv_tokens: Some(400_000),
        ..member(id, 8)
    }
}

/// One that takes one request at a time.
fn narrow(id: &str) -> PoolMember {
    PoolMember {
        slots: 1,
        ..engine(id)
    }
}

/// A prompt of ten seconds, of blocks that nobody else's has.
fn slow(id: u128) -> RequestSubmit {
    let first = u64::try_from(id).unwrap() * 1_000;
    RequestSubmit {
        prefix: Prefix {
            blocks: (first..first + 100).collect(),
            block_tokens: 1_000,
        },
        ..long(id, 100_000)
    }
}

/// One engine, which computes a slow prompt since the beginning; the time is `now_ms`.
fn behind_a_slow_one(engine: PoolMember, limits: CoreLimits, now_ms: i64) -> Story {
    let mut story = Story::under(limits, vec![engine]);
    story.ask(slow(1), &["start 1 #1 at a"]);
    story.at_ms(now_ms);
    story
}

impl Story {
    /// Another comes, for which the slow one's attempt is called off; it starts as the iteration ends.
    #[track_caller]
    fn gives_way(&mut self, attempt: u32, other: u128) {
        let lines = [
            format!("call off 1 #{attempt}"),
            format!("queued {other} behind 0"),
        ];
        assert_eq!(self.lines(Input::RequestSubmit(long(other, 1_000))), lines);
        self.now = Micros(self.now.0 + 400_000);
        assert_eq!(self.lines(Input::Tick)[0], format!("start {other} #1 at a"));
    }
}

#[test]
fn a_slow_prompt_gives_way_and_goes_on_where_it_was() {
    let mut story = behind_a_slow_one(engine("a"), LIMITS, 4_000);
    story.gives_way(1, 2);
    assert_eq!(story.pool().attempts.preempted, 1);
    story.at_ms(4_550);
    story.expect(first_byte(2, 1), &["start 1 #2 at a"]);
    // Four of its ten seconds were computed.
    assert_eq!(story.why().1, 40_000);
    story.at_ms(10_600);
    story.expect(first_byte(1, 2), &[]);
    story.expect(end(1, 2, Done), &[]);
    story.done(2, &[]);
}

#[test]
fn it_gives_way_twice_at_most() {
    let mut story = behind_a_slow_one(engine("a"), LIMITS, 1_000);
    for (attempt, other) in [(1, 2), (2, 3)] {
        story.gives_way(attempt, other);
        // With so little done of it, it goes on behind the other at once, or as that one's first byte comes.
        story.lines(first_byte(other, 1));
    }
    story.ask(long(4, 1_000), &["queued 4 behind 0"]);
}

/// What comes so long after a slow prompt began, and what becomes of both.
#[track_caller]
fn check(now_ms: i64, comes: RequestSubmit, expected: &[&str]) {
    behind_a_slow_one(engine("a"), LIMITS, now_ms).ask(comes, expected);
}

#[test]
fn it_gives_way_only_where_that_makes_another_in_time() {
    let (waits, goes) = (
        ["queued 2 behind 0"].as_slice(),
        ["call off 1 #1", "queued 2 behind 0"].as_slice(),
    );
    // The other is in time behind what is left of it, or is not.
    check(5_300, long(2, 1_000), waits);
    check(4_900, long(2, 1_000), goes);
    // Beside what the iteration takes that is under way, the other is in time, or is late as well.
    check(4_000, long(2, 38_000), goes);
    check(4_000, long(2, 43_000), waits);
    check(4_000, slow(2), waits);
    // Less urgent than it.
    let batch = RequestSubmit {
        priority: Priority::Batch,
        ..long(2, 1_000)
    };
    check(4_000, batch, waits);
    // What it holds would not make room for this one.
    let large = RequestSubmit {
        output_tokens_max: 400_000,
        ..long(2, 1_000)
    };
    check(4_000, large, waits);
}

#[test]
fn it_does_not_where_an_engine_is_free() {
    let mut story = Story::new(vec![engine("a"), engine("b")]);
    story.ask(slow(1), &["start 1 #1 at a"]);
    story.ask(long(2, 1_000), &["start 2 #1 at b"]);
}

#[test]
fn whoever_began_to_answer_is_not_called_off() {
    let mut story = behind_a_slow_one(engine("a"), LIMITS, 10_000);
    story.expect(first_byte(1, 1), &[]);
    story.ask(long(2, 1_000), &["start 2 #1 at a"]);
}

#[test]
fn what_gave_way_is_neither_refused_for_that_nor_tried_less_often() {
    let limits = CoreLimits {
        ttft_ms_max: 8_000,
        ..LIMITS
    };
    let mut story = behind_a_slow_one(narrow("a"), limits, 4_000);
    story.gives_way(1, 2);
    // Who comes now and waits as long is refused; it is not.
    story.tick(9_000, &[]);
    story.done(2, &["start 1 #2 at a"]);
    story.fleet(vec![narrow("a"), narrow("b")], &[]);
    story.expect(end(1, 2, FailedRetryable), &["start 1 #3 at b"]);
    story.expect(end(1, 3, FailedRetryable), &["refuse 1 AttemptsExhausted"]);
}

#[test]
fn it_waits_as_long_as_anybody_who_comes_when_it_gives_way() {
    let mut story = behind_a_slow_one(narrow("a"), LIMITS, 4_000);
    story.gives_way(1, 2);
    story.tick(63_999, &[]);
    story.tick(64_001, &["refuse 1 QueueTimeout"]);
}

#[test]
fn tenants_over_their_share_call_nobody_off() {
    let of = |tenant, submit| RequestSubmit {
        payer: payer(tenant, "k"),
        ..submit
    };
    let check = |tenant, expected: &[&str]| {
        let mut story = Story::new(vec![engine("a")]);
        // More prompt work under way than a tenant beside others may have and not count as over its share.
        story.ask(of("flood", long(1, 3_000)), &["start 1 #1 at a"]);
        story.ask(slow(2), &["queued 2 behind 0"]);
        story.tick(200, &["start 2 #1 at a"]);
        story.ask(of(tenant, long(3, 1_000)), expected);
    };
    check("flood", &["queued 3 behind 0"]);
    // The slow one has not begun, and leaves no iteration behind.
    check("other", &["call off 2 #1", "start 3 #1 at a"]);
}

#[test]
fn of_a_prompt_whose_caller_left_its_engine_holds_what_it_had_time_for() {
    // Of a hundred thousand tokens in ten seconds: nothing at once, a thousand each tenth of a second, and in the end all but
    // the last one, which is always computed.
    for (left_at_ms, cached_tokens) in [
        (0, 0),
        (99, 0),
        (3_050, 30_000),
        (9_999, 99_000),
        (10_000, 99_999),
        (60_000, 99_999),
    ] {
        let limits = CoreLimits::default();
        let mut story = behind_a_slow_one(engine("a"), limits, left_at_ms);
        let request = RequestId(1);
        story.expect(Input::RequestCancel { request }, &[]);
        let again = RequestSubmit {
            request: RequestId(2),
            ..slow(1)
        };
        story.ask(again, &["start 2 #1 at a"]);
        assert_eq!(story.why().1, cached_tokens, "after {left_at_ms} ms");
    }
}

#[test]
fn what_a_cache_had_before_stays_where_a_caller_leaves() {
    let mut story = Story::new(vec![engine("a")]);
    story.ask(slow(1), &["start 1 #1 at a"]);
    story.at_ms(10_500);
    story.done(1, &[]);
    for id in [2, 3] {
        let again = RequestSubmit {
            request: RequestId(id),
            ..slow(1)
        };
        story.ask(again, &[&format!("start {id} #1 at a")]);
        assert_eq!(story.why().1, 99_999);
        let request = RequestId(id);
        story.expect(Input::RequestCancel { request }, &[]);
    }
}
