//! Where a request goes.

use super::*;
use madang_core::{EngineLoad, RouteRule, ShareRule};

/// A member with that much memory, as prefix caches need it.
fn with_memory(id: &str, kv_tokens: u64) -> PoolMember {
    PoolMember {
        kv_tokens: Some(kv_tokens),
        ..member(id, 8)
    }
}

/// A prompt of three blocks of 512 tokens and something of its own.
fn cached(id: u128) -> RequestSubmit {
    RequestSubmit {
        prefix: Prefix {
            blocks: vec![1, 2, 3],
            block_tokens: 512,
        },
        ..long(id, 1_600)
    }
}

fn load(id: &str, started_s: u64) -> Input {
    let load = EngineLoad {
        started_s: Some(started_s),
        ..EngineLoad::default()
    };
    Input::ReplicaLoad {
        replica: ReplicaId::new(id).unwrap(),
        load,
    }
}

/// Serves a request to its end, its first byte just when it was predicted; the next comes a second later.
#[track_caller]
fn serve(story: &mut Story, request: RequestSubmit, at: &str) {
    let id = request.request.0;
    story.ask(request, &[&format!("start {id} #1 at {at}")]);
    let (_, _, decision) = story.started();
    let ttft_us = i64::try_from(decision.ttft_us).unwrap();
    story.now = Micros(story.now.0 + ttft_us);
    story.expect(first_byte(id, 1), &[]);
    story.done(id, &[]);
    story.now = Micros(story.now.0 + 1_000_000);
}

#[test]
fn equal_members_take_turns() {
    let mut story = Story::new(vec![member("a", 4), member("b", 4)]);
    for (id, replica) in [(1, "a"), (2, "b"), (3, "a"), (4, "b")] {
        serve(&mut story, submit(id), replica);
    }
}

#[test]
fn the_member_with_the_least_before_it_is_taken() {
    let mut story = Story::new(vec![member("a", 4), member("b", 4)]);
    story.ask(long(1, 2_000), &["start 1 #1 at a"]);
    story.ask(long(2, 1_000), &["start 2 #1 at b"]);
    story.submit(3, &["start 3 #1 at b"]);
    assert_eq!(story.why().0, RouteReason::LeastTtft);
    story.expect(first_byte(1, 1), &[]);
    story.submit(4, &["start 4 #1 at a"]);
}

#[test]
fn the_faster_member_is_taken_until_its_line_is_as_long() {
    let fast = PoolMember {
        costs: EngineCosts {
            uncached_ns: 20_000,
            ..EngineCosts::default()
        },
        ..member("fast", 8)
    };
    let mut story = Story::new(vec![member("slow", 8), fast]);
    story.ask(long(1, 1_000), &["start 1 #1 at fast"]);
    story.ask(long(2, 1_000), &["start 2 #1 at fast"]);
    let mut slow = 0;
    for id in 3..12 {
        let lines = story.lines(Input::RequestSubmit(long(id, 1_000)));
        slow += usize::from(lines[0].ends_with("at slow"));
    }
    assert!((1..5).contains(&slow), "{slow}");
}

#[test]
fn a_slow_prompt_leaves_the_last_free_member_to_others_for_a_while() {
    let busy = || {
        let members = [("a", 1), ("b", 1), ("c", 1), ("d", 8)];
        let mut story = Story::new(members.map(|(id, slots)| member(id, slots)).into());
        for (id, replica) in [(1, "a"), (2, "b"), (3, "c")] {
            let started = format!("start {id} #1 at {replica}");
            story.ask(submit(id), &[&started]);
        }
        // Sixteen seconds of work, wherever it goes.
        story.ask(long(4, 100_000), &["queued 4 behind 0"]);
        story
    };
    let mut story = busy();
    story.submit(5, &["start 5 #1 at d"]);
    story.done(1, &["start 4 #1 at a"]);
    let mut story = busy();
    story.tick(31_000, &[]);
    story.tick(34_000, &["start 4 #1 at d"]);
}

#[test]
fn what_was_learnt_of_a_member_counts() {
    let mut story = Story::new(vec![member("a", 4), member("b", 4)]);
    story.ask(long(1, 1_000), &["start 1 #1 at a"]);
    story.ask(long(2, 1_000), &["start 2 #1 at b"]);
    // The one takes as long as its like, the other ten times as long.
    story.at_ms(80);
    story.expect(first_byte(1, 1), &[]);
    story.at_ms(800);
    story.expect(first_byte(2, 1), &[]);
    story.done(1, &[]);
    story.done(2, &[]);
    for id in 3..8 {
        serve(&mut story, long(id, 1_000), "a");
    }
    let errors: Vec<Option<u32>> = story
        .pool()
        .members
        .iter()
        .map(|member| member.ttft_error_permille)
        .collect();
    assert!(errors[0] < errors[1], "{errors:?}");
}

#[test]
fn a_cached_beginning_wins() {
    let mut story = Story::new(vec![with_memory("a", 50_000), with_memory("b", 50_000)]);
    serve(&mut story, cached(1), "a");
    for id in 2..5 {
        serve(&mut story, cached(id), "a");
    }
    story.ask(cached(5), &["start 5 #1 at a"]);
    assert_eq!(story.why(), (RouteReason::LeastTtft, 3 * 512));
    // Others go elsewhere.
    story.ask(long(6, 1_600), &["start 6 #1 at b"]);
}

#[test]
fn a_cache_is_forgotten_with_its_process() {
    let mut story = Story::new(vec![with_memory("a", 50_000), with_memory("b", 50_000)]);
    story.expect(load("a", 100), &[]);
    serve(&mut story, cached(1), "a");
    story.expect(load("a", 100), &[]);
    // It was away for a moment and is the process that it was.
    story.expect(report("a", ReplicaHealth::Down), &[]);
    story.expect(report("a", ReplicaHealth::Up), &[]);
    serve(&mut story, cached(2), "a");
    story.expect(load("a", 200), &[]);
    serve(&mut story, cached(3), "b");
}

#[test]
fn a_cache_of_an_unknown_process_is_forgotten_when_it_goes_down() {
    let mut story = Story::new(vec![with_memory("a", 50_000), with_memory("b", 50_000)]);
    serve(&mut story, cached(1), "a");
    story.expect(report("a", ReplicaHealth::Down), &[]);
    story.expect(report("a", ReplicaHealth::Up), &[]);
    story.ask(cached(2), &["start 2 #1 at b"]);
    assert_eq!(story.why().1, 0);
}

#[test]
fn an_engine_that_had_less_in_its_cache_is_believed() {
    let mut story = Story::new(vec![with_memory("a", 50_000), with_memory("b", 50_000)]);
    serve(&mut story, cached(1), "a");
    story.ask(cached(2), &["start 2 #1 at a"]);
    assert_eq!(story.why().1, 3 * 512);
    let spent = Spent {
        prompt_tokens: 1_600,
        cached_tokens: Some(0),
        output_tokens: 10,
    };
    story.spent(2, spent, &[]);
    story.at_ms(5_000);
    story.ask(cached(3), &["start 3 #1 at b"]);
    assert_eq!(story.why().1, 0);
}

#[test]
fn requests_of_one_session_stay_together_while_that_costs_little() {
    let mut story = Story::new(vec![member("a", 8), member("b", 8)]);
    let of_session = |id, session| RequestSubmit {
        session: Some(session),
        ..submit(id)
    };
    serve(&mut story, of_session(1, 7), "a");
    serve(&mut story, of_session(2, 8), "b");
    for id in 3..6 {
        story.ask(of_session(id, 7), &[&format!("start {id} #1 at a")]);
        assert_eq!(story.why().0, RouteReason::Session);
    }
    story.ask(long(6, 5_000), &["start 6 #1 at b"]);
    story.expect(first_byte(6, 1), &[]);
    story.ask(long(7, 2_000), &["start 7 #1 at b"]);
    story.ask(of_session(8, 8), &["start 8 #1 at a"]);
}

#[test]
fn own_ground_comes_first_and_closed_data_never_leaves_it() {
    let mut story = Story::new(vec![others("abroad", 9), member("own", 1)]);
    story.submit(1, &["start 1 #1 at own"]);
    story.submit(2, &["start 2 #1 at abroad"]);
    let sensitive = RequestSubmit {
        data_class: DataClass::Sensitive,
        ..submit(3)
    };
    story.ask(sensitive, &["queued 3 behind 0"]);
    story.fleet(vec![others("abroad", 9)], &["refuse 3 PolicyDenied"]);
}

#[test]
fn an_adapter_is_served_where_it_is_loaded() {
    let tuned = PoolMember {
        adapters: vec![model("m-law")],
        ..member("a", 1)
    };
    let law = |id| RequestSubmit {
        model: model("m-law"),
        ..submit(id)
    };
    let mut story = Story::new(vec![tuned, member("b", 4)]);
    story.ask(law(1), &["start 1 #1 at a"]);
    story.ask(law(2), &["queued 2 behind 0"]);
    story.submit(3, &["start 3 #1 at b"]);
    story.done(1, &["start 2 #1 at a"]);
    story.fleet(vec![member("a", 1), member("b", 4)], &[]);
    story.ask(law(4), &["refuse 4 ModelUnknown"]);
}

#[test]
fn requests_wait_for_what_is_about_to_serve() {
    let mut story = Story::new(vec![member("a", 1)]);
    story.expect(report("a", ReplicaHealth::Starting), &[]);
    story.submit(1, &["queued 1 behind 0"]);
    story.expect(report("a", ReplicaHealth::Up), &["start 1 #1 at a"]);
    story.expect(report("a", ReplicaHealth::Starting), &[]);
    story.submit(2, &["queued 2 behind 0"]);
    story.expect(report("a", ReplicaHealth::Down), &["refuse 2 NoReplica"]);
}

#[test]
fn what_goes_down_refuses_its_queue_and_what_comes_up_serves() {
    let mut story = Story::new(vec![member("a", 1)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.submit(2, &["queued 2 behind 0"]);
    story.expect(report("a", ReplicaHealth::Down), &["refuse 2 NoReplica"]);
    story.submit(3, &["refuse 3 NoReplica"]);
    story.expect(report("a", ReplicaHealth::Up), &[]);
    story.submit(4, &["queued 4 behind 0"]);
    story.done(1, &["start 4 #1 at a"]);
}

#[test]
fn memory_bounds_what_runs_beside_another() {
    let mut story = Story::new(vec![with_memory("a", 1_000)]);
    story.ask(long(1, 700), &["start 1 #1 at a"]);
    story.ask(long(2, 300), &["queued 2 behind 0"]);
    story.done(1, &["start 2 #1 at a"]);
    // What is larger than the whole memory is the engine's to refuse.
    story.done(2, &[]);
    story.ask(long(3, 5_000), &["start 3 #1 at a"]);
}

#[test]
fn an_answer_in_one_piece_comes_off_the_account_by_its_time() {
    let rules = Rules {
        share: ShareRule::Vtc,
        route: RouteRule::PredictedTtft,
    };
    let run = |streamed: bool, expected: &[&str]| {
        let mut story = Story::by(rules, LIMITS, vec![member("a", 8)]);
        for id in 1..=5 {
            let request = RequestSubmit {
                streamed,
                ..long(id, 100)
            };
            story.lines(Input::RequestSubmit(request));
        }
        assert_eq!(story.pool().waiting, 1);
        story.tick(5_000, expected);
    };
    run(true, &[]);
    run(false, &["start 5 #1 at a"]);
}

#[test]
fn no_count_of_tokens_upsets_the_sums() {
    let huge = |id| RequestSubmit {
        prompt_tokens: u64::MAX,
        output_tokens_max: u64::MAX,
        ..submit(id)
    };
    let mut story = Story::new(vec![with_memory("a", 1_000), with_memory("b", 1_000)]);
    story.ask(huge(1), &["start 1 #1 at a"]);
    story.ask(huge(2), &["start 2 #1 at b"]);
    story.submit(3, &["queued 3 behind 0"]);
    let progress = Input::Progress {
        request: RequestId(1),
        output_tokens: u64::MAX,
    };
    story.expect(progress, &[]);
    let spent = Spent {
        prompt_tokens: u64::MAX,
        cached_tokens: Some(u64::MAX),
        output_tokens: u64::MAX,
    };
    story.spent(1, spent, &["start 3 #1 at a"]);
    story.spent(2, spent, &[]);
    story.done(3, &[]);
}
