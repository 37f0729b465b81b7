//! More work than there is room: what is charged, refused early, and told.

use super::*;
use madang_core::EngineLoad;

/// One slot that serves two requests a second, for twenty seconds, while two wait; the last of them runs.
fn steady(limits: CoreLimits) -> Story {
    let mut story = Story::under(limits, vec![member("a", 1)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.submit(2, &["queued 2 behind 0"]);
    story.submit(3, &["queued 3 behind 1"]);
    for id in 2..40 {
        story.at_ms(i64::try_from(id).unwrap() * 500);
        story.done(id - 1, &[&format!("start {id} #1 at a")]);
        let next = id + 2;
        story.submit(next, &[&format!("queued {next} behind 1")]);
    }
    story
}

#[test]
fn an_idle_pool_says_nothing_of_a_busy_one() {
    let limits = CoreLimits {
        queue_length_max: 1_000,
        ..LIMITS
    };
    let mut story = Story::under(limits, vec![member("a", 1)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.at_ms(60_000);
    story.done(1, &[]);
    story.submit(2, &["start 2 #1 at a"]);
    for id in 3..100 {
        story.submit(id, &[&format!("queued {id} behind {}", id - 3)]);
    }
}

/// Submits from 100 on until one is refused; says how many wait then.
fn fill(story: &mut Story, submit: impl Fn(u128) -> RequestSubmit) -> u128 {
    let mut waiting = 0;
    loop {
        let id = 100 + waiting;
        let lines = story.lines(Input::RequestSubmit(submit(id)));
        if lines[0].starts_with("refuse") {
            assert_eq!(lines, [format!("refuse {id} Overloaded")]);
            return waiting;
        }
        waiting += 1;
        assert!(waiting < 200, "nobody was refused");
    }
}

#[test]
fn who_would_wait_beyond_use_is_refused_at_once() {
    let limits = CoreLimits {
        queue_length_max: 1_000,
        ttft_ms_max: 5_000,
        ..LIMITS
    };
    let mut story = steady(limits);
    let waiting = fill(&mut story, submit);
    // Two a second in a third of five seconds, less the two that waited before.
    assert!((1..=4).contains(&waiting), "{waiting}");
    // By then enough of those before it are served.
    let retry_after_ms = story.retry_after_ms().unwrap();
    assert!((1_000..2_000).contains(&retry_after_ms), "{retry_after_ms}");
    // What is urgent, and what was begun, is not refused for that.
    story.ask(critical(900), &["queued 900 behind 0"]);
}

#[test]
fn a_callers_own_patience_counts_as_well() {
    let limits = CoreLimits {
        queue_length_max: 1_000,
        ..LIMITS
    };
    let mut story = steady(limits);
    let waiting = fill(&mut story, |id| RequestSubmit {
        wait_ms_max: 10_000,
        ..submit(id)
    });
    assert!((16..=24).contains(&waiting), "{waiting}");
    // Without a bound on first tokens, it is told when the line before it is gone.
    let retry_after_ms = story.retry_after_ms().unwrap();
    assert!(
        (8_000..13_000).contains(&retry_after_ms),
        "{retry_after_ms}"
    );
}

#[test]
fn a_full_queue_says_when_it_is_drained() {
    let limits = CoreLimits {
        queue_length_max: 20,
        ..LIMITS
    };
    let mut story = steady(limits);
    for id in 100..120 {
        story.lines(Input::RequestSubmit(submit(id)));
    }
    story.submit(120, &["refuse 120 QueueFull"]);
    let retry_after_ms = story.retry_after_ms().unwrap();
    assert!(
        (8_000..13_000).contains(&retry_after_ms),
        "{retry_after_ms}"
    );
}

#[test]
fn what_goes_beyond_its_prediction_is_charged_and_takes_memory() {
    let roomy = PoolMember {
        kv_tokens: Some(10_000),
        ..member("a", 8)
    };
    let mut story = Story::new(vec![roomy]);
    let asks = |id| RequestSubmit {
        output_tokens_max: 5_000,
        ..submit(id)
    };
    let held = |story: &Story| {
        let pool = story.pool();
        let tenant = &pool.tenants[0];
        (pool.members[0].kv_tokens_used, tenant.service_us)
    };
    let short = Spent {
        prompt_tokens: 10,
        cached_tokens: None,
        output_tokens: 10,
    };
    // A key that is not known yet may make as much as it is allowed.
    story.ask(asks(1), &["start 1 #1 at a"]);
    assert_eq!(held(&story).0, 5_010);
    story.spent(1, short, &[]);
    for id in 2..=4 {
        story.ask(asks(id), &[&format!("start {id} #1 at a")]);
        story.spent(id, short, &[]);
    }
    story.ask(asks(5), &["start 5 #1 at a"]);
    let (kv_before, service_before) = held(&story);
    assert_eq!(kv_before, 20);
    let progress = |output_tokens| Input::Progress {
        request: RequestId(5),
        output_tokens,
    };
    story.expect(progress(8), &[]);
    assert_eq!(held(&story), (kv_before, service_before));
    story.expect(progress(1_000), &[]);
    let (kv_after, service_after) = held(&story);
    assert_eq!(kv_after, 10 + 1_500);
    assert!(service_after > service_before + 1_000_000);
    // A late word of less takes nothing back.
    story.expect(progress(9), &[]);
    assert_eq!(held(&story), (kv_after, service_after));
    story.expect(cancel(5), &[]);
    assert_eq!(held(&story), (0, service_after));
}

#[test]
fn what_was_not_used_is_given_back() {
    let mut story = Story::new(vec![member("a", 2)]);
    // Another one of the tenant keeps it on the list.
    story.submit(2, &["start 2 #1 at a"]);
    let service = |story: &Story| story.pool().tenants[0].service_us;
    let before = service(&story);
    let asks = RequestSubmit {
        output_tokens_max: 250,
        ..submit(1)
    };
    story.ask(asks, &["start 1 #1 at a"]);
    let predicted = service(&story) - before;
    story.now = Micros(story.now.0 + 1_000_000);
    story.expect(cancel(1), &[]);
    let charged = service(&story) - before;
    assert!(
        charged > 0 && charged * 10 < predicted,
        "{charged} {predicted}"
    );
}

/// A prompt that nobody had the time to compute costs no more than that time.
#[test]
fn who_leaves_at_once_pays_for_no_whole_prompt() {
    let charged = |after_us| {
        let mut story = Story::new(vec![member("a", 2)]);
        // Others of the tenant keep it on the list.
        story.submit(1, &["start 1 #1 at a"]);
        let service = |story: &Story| story.pool().tenants[0].service_us;
        let before = service(&story);
        let asks = RequestSubmit {
            prompt_tokens: 6_000,
            ..submit(2)
        };
        story.ask(asks, &["start 2 #1 at a"]);
        story.now = Micros(story.now.0 + after_us);
        story.expect(cancel(2), &[]);
        service(&story) - before
    };
    assert_eq!(charged(0), 0);
    assert_eq!(charged(20_000), 20_000);
    let whole = charged(60_000_000);
    assert!((100_000..10_000_000).contains(&whole), "{whole}");
}

/// A prompt is estimated by its letters; what the engine counts is what it took.
#[test]
fn what_the_engine_counts_of_a_prompt_is_charged() {
    let charged = |prompt_tokens| {
        let mut story = Story::new(vec![member("a", 1)]);
        story.submit(1, &["start 1 #1 at a"]);
        let spent = Spent {
            prompt_tokens,
            cached_tokens: None,
            output_tokens: 10,
        };
        story.now = Micros(story.now.0 + 1_000_000);
        story.spent(1, spent, &[]);
        story.pool().tenants[0].service_us
    };
    let estimated = charged(0);
    assert_eq!(charged(10), estimated);
    let told = charged(4_000);
    assert!(told > estimated + 40_000, "{told} {estimated}");
    // No engine holds more than it has room for.
    assert_eq!(charged(u64::MAX), charged(u64::MAX / 2));
}

#[test]
fn an_engine_that_ran_out_of_memory_is_given_fewer_at_once() {
    let load = |preemptions, started_s| Input::ReplicaLoad {
        replica: ReplicaId::new("a").unwrap(),
        load: EngineLoad {
            preemptions: Some(preemptions),
            started_s: Some(started_s),
            ..EngineLoad::default()
        },
    };
    let mut story = Story::new(vec![member("a", 100)]);
    let limit = |story: &Story| story.pool().members[0].slots_limit;
    story.expect(load(5, 1), &[]);
    assert_eq!(limit(&story), 100, "what was before is not ours");
    story.expect(load(6, 1), &[]);
    assert_eq!(limit(&story), 90);
    story.expect(load(6, 1), &[]);
    assert_eq!(limit(&story), 90);
    // Another process counts anew.
    story.expect(load(9, 2), &[]);
    assert_eq!(limit(&story), 90);
}

#[test]
fn tokens_that_come_too_slowly_mean_fewer_at_once() {
    let limits = CoreLimits {
        tpot_ms_target: 50,
        ..LIMITS
    };
    let slow = PoolMember {
        costs: EngineCosts {
            step_us: 80_000,
            ..EngineCosts::default()
        },
        ..member("a", 16)
    };
    let mut story = Story::under(limits, vec![slow]);
    let limit = |story: &Story| story.pool().members[0].slots_limit;
    for id in 1..=8 {
        story.lines(Input::RequestSubmit(submit(id)));
        story.expect(first_byte(id, 1), &[]);
    }
    story.at_ms(990);
    let ten = Spent {
        prompt_tokens: 10,
        cached_tokens: None,
        output_tokens: 10,
    };
    story.spent(1, ten, &[]);
    // A tenth below those that ran, and not again at once.
    assert_eq!(limit(&story), 7);
    story.spent(2, ten, &[]);
    assert_eq!(limit(&story), 7);
}
