//! The core by example: a story is a list of inputs, and what is expected is the list of effects as text.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use madang_core::{
    AttemptEnd, Core, CoreLimits, Effect, EngineCosts, FleetView, Input, Payer, Place, PoolMember,
    Prefix, ReplicaHealth, RequestSubmit, Rules,
};
use madang_types::{
    DataClass, Endpoint, KeyId, Micros, ModelId, Priority, ReplicaId, RequestId, SiteId, TenantId,
};

struct Story {
    core: Core,
    now: Micros,
}

fn member(id: &str, slots: u32, own: bool) -> PoolMember {
    PoolMember {
        replica: ReplicaId::new(id).unwrap(),
        site: SiteId::new("s").unwrap(),
        model: ModelId::new("m").unwrap(),
        adapters: Vec::new(),
        kv_tokens: None,
        host_tokens: 0,
        costs: EngineCosts::default(),
        endpoints: vec![Endpoint::Chat],
        slots,
        place: Place {
            own,
            country: Some("KR".into()),
            operator_country: Some("KR".into()),
        },
        health: ReplicaHealth::Up,
        held_back: false,
    }
}

fn fleet(members: Vec<PoolMember>) -> Input {
    Input::FleetApply(FleetView {
        members,
        limits: CoreLimits {
            queue_length_max: 2,
            attempts_max: 2,
            ..CoreLimits::default()
        },
        rules: Rules::default(),
    })
}

fn submit(id: u128) -> RequestSubmit {
    RequestSubmit {
        request: RequestId(id),
        payer: Payer {
            tenant: TenantId::new("t").unwrap(),
            project: None,
            key: KeyId::new("k").unwrap(),
        },
        prefix: Prefix::default(),
        session: None,
        model: ModelId::new("m").unwrap(),
        endpoint: Endpoint::Chat,
        data_class: DataClass::Open,
        priority: Priority::Standard,
        prompt_tokens: 10,
        output_tokens_max: 10,
        wait_ms_max: 1000,
    }
}

fn end(id: u128, attempt: u32, end: AttemptEnd) -> Input {
    Input::AttemptEnd {
        request: RequestId(id),
        attempt,
        end,
        spent: None,
    }
}

fn report(id: &str, health: ReplicaHealth) -> Input {
    Input::ReplicaReport {
        replica: ReplicaId::new(id).unwrap(),
        health,
    }
}

fn line(effect: &Effect) -> String {
    match effect {
        Effect::Start {
            request,
            attempt,
            replica,
            ..
        } => format!("start {} #{attempt} at {replica}", request.0),
        Effect::Queued { request, place, .. } => format!("queued {} behind {place}", request.0),
        Effect::Refuse {
            request, refusal, ..
        } => format!("refuse {} {refusal:?}", request.0),
        Effect::CallOff { request, attempt } => format!("call off {} #{attempt}", request.0),
        Effect::Drained { replica } => format!("drained {replica}"),
    }
}

impl Story {
    fn new(members: Vec<PoolMember>) -> Self {
        let mut story = Self {
            core: Core::new(),
            now: Micros(0),
        };
        story.expect(fleet(members), &[]);
        story
    }

    #[track_caller]
    fn expect(&mut self, input: Input, expected: &[&str]) {
        let mut effects = Vec::new();
        self.core.apply(self.now, input, &mut effects);
        let lines: Vec<String> = effects.iter().map(line).collect();
        assert_eq!(lines, expected);
        assert_eq!(self.core.check_invariants(), Ok(()));
    }

    #[track_caller]
    fn submit(&mut self, id: u128, expected: &[&str]) {
        self.expect(Input::RequestSubmit(submit(id)), expected);
    }
}

#[test]
fn work_goes_to_the_member_with_the_least_of_it_per_slot() {
    let mut story = Story::new(vec![member("a", 1, true), member("b", 4, true)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.submit(2, &["start 2 #1 at b"]);
    story.submit(3, &["start 3 #1 at b"]);
    story.expect(end(1, 1, AttemptEnd::Done), &[]);
    story.submit(4, &["start 4 #1 at a"]);
}

#[test]
fn equal_members_take_turns() {
    let mut story = Story::new(vec![member("a", 4, true), member("b", 4, true)]);
    for (id, replica) in [(1, "a"), (2, "b"), (3, "a"), (4, "b")] {
        story.submit(id, &[&format!("start {id} #1 at {replica}")]);
        story.expect(end(id, 1, AttemptEnd::Done), &[]);
    }
}

#[test]
fn a_full_pool_queues_in_order_and_a_full_queue_refuses() {
    let mut story = Story::new(vec![member("a", 1, true)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.submit(2, &["queued 2 behind 0"]);
    let critical = RequestSubmit {
        priority: Priority::Critical,
        ..submit(3)
    };
    story.expect(Input::RequestSubmit(critical), &["queued 3 behind 0"]);
    story.submit(4, &["refuse 4 QueueFull"]);
    story.expect(end(1, 1, AttemptEnd::Done), &["start 3 #1 at a"]);
    story.expect(
        Input::RequestCancel {
            request: RequestId(3),
        },
        &["start 2 #1 at a"],
    );
}

#[test]
fn waiting_has_an_end() {
    let mut story = Story::new(vec![member("a", 1, true)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.submit(2, &["queued 2 behind 0"]);
    story.now = Micros(999_999);
    story.expect(Input::Tick, &[]);
    story.now = Micros(1_000_000);
    story.expect(Input::Tick, &["refuse 2 QueueTimeout"]);
}

#[test]
fn a_failed_first_attempt_goes_elsewhere_and_only_so_often() {
    let mut story = Story::new(vec![
        member("a", 1, true),
        member("b", 1, true),
        member("c", 1, true),
    ]);
    story.submit(1, &["start 1 #1 at a"]);
    story.expect(end(1, 1, AttemptEnd::FailedRetryable), &["start 1 #2 at b"]);
    story.expect(end(1, 1, AttemptEnd::FailedRetryable), &[]);
    story.expect(
        end(1, 2, AttemptEnd::FailedRetryable),
        &["refuse 1 AttemptsExhausted"],
    );
}

#[test]
fn nothing_is_retried_after_its_first_byte() {
    let mut story = Story::new(vec![member("a", 1, true), member("b", 1, true)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.expect(
        Input::FirstByte {
            request: RequestId(1),
            attempt: 1,
        },
        &[],
    );
    story.expect(
        end(1, 1, AttemptEnd::FailedRetryable),
        &["refuse 1 AttemptsExhausted"],
    );
}

#[test]
fn a_member_that_fails_in_a_row_rests() {
    let mut story = Story::new(vec![member("a", 8, true), member("b", 1, true)]);
    story.submit(9, &["start 9 #1 at a"]);
    story.submit(8, &["start 8 #1 at b"]);
    for id in 1..=3 {
        story.submit(id, &[&format!("start {id} #1 at a")]);
        story.expect(end(id, 1, AttemptEnd::FailedFinal), &[]);
    }
    story.submit(4, &["queued 4 behind 0"]);
    story.now = Micros(4_999_999);
    story.expect(
        Input::RequestCancel {
            request: RequestId(4),
        },
        &[],
    );
    story.now = Micros(5_000_000);
    story.submit(5, &["start 5 #1 at a"]);
}

#[test]
fn the_last_member_of_a_pool_never_rests() {
    let mut story = Story::new(vec![member("a", 8, true)]);
    for id in 1..=5 {
        story.submit(id, &[&format!("start {id} #1 at a")]);
        story.expect(end(id, 1, AttemptEnd::FailedFinal), &[]);
    }
}

#[test]
fn what_goes_down_refuses_its_queue_and_what_comes_up_serves() {
    let mut story = Story::new(vec![member("a", 1, true)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.submit(2, &["queued 2 behind 0"]);
    story.expect(report("a", ReplicaHealth::Down), &["refuse 2 NoReplica"]);
    story.submit(3, &["refuse 3 NoReplica"]);
    story.expect(report("a", ReplicaHealth::Up), &[]);
    story.submit(4, &["queued 4 behind 0"]);
    story.expect(end(1, 1, AttemptEnd::Done), &["start 4 #1 at a"]);
}

#[test]
fn a_removed_member_finishes_what_it_has() {
    let mut story = Story::new(vec![member("a", 1, true), member("b", 1, true)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.expect(fleet(vec![member("b", 1, true)]), &[]);
    story.submit(2, &["start 2 #1 at b"]);
    story.expect(end(1, 1, AttemptEnd::Done), &["drained a"]);
    story.expect(fleet(vec![]), &[]);
    story.submit(3, &["refuse 3 ModelUnknown"]);
    story.expect(end(2, 1, AttemptEnd::Done), &["drained b"]);
}

#[test]
fn own_ground_comes_first_and_closed_data_never_leaves_it() {
    let mut story = Story::new(vec![member("abroad", 9, false), member("own", 1, true)]);
    story.submit(1, &["start 1 #1 at own"]);
    story.submit(2, &["start 2 #1 at abroad"]);
    let sensitive = RequestSubmit {
        data_class: DataClass::Sensitive,
        ..submit(3)
    };
    story.expect(Input::RequestSubmit(sensitive), &["queued 3 behind 0"]);
    story.expect(
        fleet(vec![member("abroad", 9, false)]),
        &["refuse 3 PolicyDenied"],
    );
}

#[test]
fn a_drain_lets_the_running_finish() {
    let mut story = Story::new(vec![member("a", 1, true)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.submit(2, &["queued 2 behind 0"]);
    story.expect(Input::Drain, &["refuse 2 Draining"]);
    story.submit(3, &["refuse 3 Draining"]);
    story.expect(end(1, 1, AttemptEnd::Done), &[]);
}

#[test]
fn a_door_that_the_pool_does_not_serve_is_named() {
    let mut story = Story::new(vec![member("a", 1, true)]);
    let embeddings = RequestSubmit {
        endpoint: Endpoint::Embeddings,
        ..submit(1)
    };
    story.expect(
        Input::RequestSubmit(embeddings),
        &["refuse 1 EndpointUnsupported"],
    );
}

#[test]
fn requests_wait_for_what_is_about_to_serve() {
    let mut story = Story::new(vec![member("a", 1, true)]);
    story.expect(report("a", ReplicaHealth::Starting), &[]);
    story.submit(1, &["queued 1 behind 0"]);
    story.expect(report("a", ReplicaHealth::Up), &["start 1 #1 at a"]);
    story.expect(report("a", ReplicaHealth::Starting), &[]);
    story.submit(2, &["queued 2 behind 0"]);
    story.expect(report("a", ReplicaHealth::Down), &["refuse 2 NoReplica"]);
}

#[test]
fn requests_wait_for_a_member_that_starts_anew() {
    let held_back = || PoolMember {
        held_back: true,
        ..member("a", 1, true)
    };
    let mut story = Story::new(vec![member("a", 1, true)]);
    story.submit(1, &["start 1 #1 at a"]);
    story.submit(2, &["queued 2 behind 0"]);
    story.expect(fleet(vec![held_back()]), &[]);
    story.submit(3, &["queued 3 behind 1"]);
    story.expect(end(1, 1, AttemptEnd::Done), &["drained a"]);
    let starting = PoolMember {
        health: ReplicaHealth::Starting,
        ..member("a", 1, true)
    };
    story.expect(fleet(vec![starting]), &[]);
    story.expect(report("a", ReplicaHealth::Up), &["start 2 #1 at a"]);
    story.expect(fleet(vec![]), &["refuse 3 ModelUnknown"]);
}
