//! Every rule of sharing with every rule of routing: a small load ends with everybody answered, under any of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use madang_core::{
    AttemptEnd, Core, CoreLimits, CreditTerms, Effect, EngineCosts, FleetView, Input, Payer,
    PoolMember, Prefix, ReplicaHealth, RequestSubmit, RouteRule, Rules, ShareRule, Spent,
};
use madang_types::{
    Country, DataClass, DataFlags, Endpoint, KeyId, Micros, ModelId, Place, Policy, Priority,
    ReplicaId, RequestId, SiteId, TenantId,
};
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

const SHARES: [ShareRule; 5] = [
    ShareRule::Madang,
    ShareRule::Vtc,
    ShareRule::Drr,
    ShareRule::RoundRobin,
    ShareRule::Fcfs,
];
const ROUTES: [RouteRule; 10] = [
    RouteRule::PredictedTtft,
    RouteRule::PredictedTtftNoCache,
    RouteRule::Random,
    RouteRule::RoundRobin,
    RouteRule::LeastRequest,
    RouteRule::PowerOfTwo,
    RouteRule::PrefixHash,
    RouteRule::Chwbl,
    RouteRule::CacheAware,
    RouteRule::BlockCost,
];
const TICK_US: i64 = 50_000;

fn korea() -> Country {
    "KR".parse().unwrap()
}

fn fleet(rules: Rules) -> Input {
    let member = |n: u32| PoolMember {
        replica: ReplicaId::new(&format!("r{n}")).unwrap(),
        site: SiteId::new("s").unwrap(),
        model: ModelId::new("m").unwrap(),
        adapters: vec![],
        endpoints: vec![Endpoint::Chat],
        slots: 2 + n,
        kv_tokens: Some(20_000),
        host_tokens: 0,
        costs: EngineCosts::default(),
        place: Place {
            own: n != 2,
            ..Place::own(korea())
        },
        health: ReplicaHealth::Up,
        held_back: false,
    };
    Input::FleetApply(FleetView {
        members: (0..4).map(member).collect(),
        origins: BTreeSet::new(),
        limits: CoreLimits {
            queue_length_max: 1_000,
            attempts_max: 3,
            retry_percent_max: 100,
            hedge_percent_max: 5,
            tpot_ms_target: 50,
            ttft_ms_max: 0,
        },
        rules,
        credit: CreditTerms::default(),
        policy: Policy::of_home(korea()),
        virtuals: vec![],
    })
}

/// What one request asks for, and how it will go.
#[derive(Clone, Debug)]
struct Wish {
    at_us: i64,
    tenant: u8,
    prompt_tokens: u64,
    output_tokens: u64,
    streamed: bool,
    urgency: u8,
    closed: bool,
    blocks: Vec<u64>,
    /// Its first attempt fails.
    fails: bool,
}

prop_compose! {
    fn any_wish()(
        at_us in 0i64..3_000_000, tenant in 0u8..4, prompt_tokens in 1u64..4_000, output_tokens in 1u64..200, streamed in any::<bool>(),
        urgency in 0u8..3, closed in any::<bool>(), blocks in proptest::collection::vec(0u64..5, 0..6),
        fails in proptest::bool::weighted(0.05),
    ) -> Wish {
        Wish { at_us, tenant, prompt_tokens, output_tokens, streamed, urgency, closed, blocks, fails }
    }
}

fn submit(id: usize, wish: &Wish) -> Input {
    Input::RequestSubmit(RequestSubmit {
        request: RequestId(u128::try_from(id).unwrap()),
        payer: Payer {
            tenant: TenantId::new(&format!("t{}", wish.tenant)).unwrap(),
            project: None,
            key: KeyId::new("k").unwrap(),
        },
        model: ModelId::new("m").unwrap(),
        endpoint: Endpoint::Chat,
        data_class: if wish.closed {
            DataClass::Sensitive
        } else {
            DataClass::Open
        },
        flags: DataFlags::NONE,
        maskable: true,
        priority: [Priority::Critical, Priority::Standard, Priority::Batch]
            [usize::from(wish.urgency)],
        streamed: wish.streamed,
        prompt_tokens: wish.prompt_tokens,
        output_tokens_max: 200,
        wait_ms_max: 10_000_000,
        prefix: Prefix {
            blocks: wish.blocks.clone(),
            block_tokens: 512,
        },
        session: Some(u64::from(wish.tenant)),
    })
}

/// Engines that do what was predicted of them, and what happened so far.
struct Driver<'a> {
    core: Core,
    wishes: &'a [Wish],
    /// What is to come, by instant.
    events: BinaryHeap<Reverse<(i64, usize)>>,
    inputs: Vec<Option<Input>>,
    answered: BTreeMap<RequestId, u32>,
    called_off: BTreeSet<(RequestId, u32)>,
    refused: Vec<Effect>,
}

impl<'a> Driver<'a> {
    fn new(rules: Rules, wishes: &'a [Wish]) -> Self {
        let mut driver = Self {
            core: Core::new(),
            wishes,
            events: BinaryHeap::new(),
            inputs: Vec::new(),
            answered: BTreeMap::new(),
            called_off: BTreeSet::new(),
            refused: Vec::new(),
        };
        driver.later(0, fleet(rules));
        for (id, wish) in wishes.iter().enumerate() {
            driver.later(wish.at_us, submit(id, wish));
        }
        driver.later(TICK_US, Input::Tick);
        driver
    }

    fn later(&mut self, at_us: i64, input: Input) {
        self.events.push(Reverse((at_us, self.inputs.len())));
        self.inputs.push(Some(input));
    }

    fn start(&mut self, now_us: i64, (request, attempt): (RequestId, u32), ttft_us: u64) {
        let wish = &self.wishes[usize::try_from(request.0).unwrap()];
        let first_us = now_us + i64::try_from(ttft_us).unwrap();
        if wish.fails && attempt == 1 {
            let end = AttemptEnd::FailedRetryable;
            let spent = None;
            return self.later(
                now_us + 10_000,
                Input::AttemptEnd {
                    request,
                    attempt,
                    end,
                    spent,
                },
            );
        }
        let spent = Spent {
            prompt_tokens: wish.prompt_tokens,
            cached_tokens: None,
            output_tokens: wish.output_tokens,
        };
        let last_us = first_us + i64::try_from(wish.output_tokens * 20_000).unwrap();
        if wish.streamed {
            self.later(first_us, Input::FirstByte { request, attempt });
        }
        let end = AttemptEnd::Done;
        let spent = Some(spent);
        self.later(
            last_us,
            Input::AttemptEnd {
                request,
                attempt,
                end,
                spent,
            },
        );
    }

    /// Runs until nothing is to come.
    fn run(&mut self) -> Result<(), TestCaseError> {
        while let Some(Reverse((now_us, index))) = self.events.pop() {
            let input = self.inputs[index].take().unwrap();
            match &input {
                Input::AttemptEnd {
                    request,
                    attempt,
                    end: AttemptEnd::Done,
                    ..
                } if !self.called_off.contains(&(*request, *attempt)) => {
                    *self.answered.entry(*request).or_default() += 1;
                }
                Input::Tick if !self.events.is_empty() || self.core.requests_count() > 0 => {
                    prop_assert!(now_us < 3_600_000_000, "somebody waits for an hour");
                    self.later(now_us + TICK_US, Input::Tick);
                }
                _ => {}
            }
            let mut effects = Vec::new();
            self.core.apply(Micros(now_us), input, &mut effects);
            self.core.check_invariants().map_err(TestCaseError::fail)?;
            for effect in effects {
                match effect {
                    Effect::Start {
                        request,
                        attempt,
                        decision,
                        ..
                    } => self.start(now_us, (request, attempt), decision.ttft_us),
                    Effect::CallOff { request, attempt } => {
                        self.called_off.insert((request, attempt));
                    }
                    Effect::Refuse { .. } => self.refused.push(effect),
                    Effect::Cut { .. } | Effect::Queued { .. } | Effect::Drained { .. } => {}
                }
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]

    #[test]
    fn everybody_is_answered_under_every_rule(wishes in proptest::collection::vec(any_wish(), 60..90)) {
        for share in SHARES {
            for route in ROUTES {
                let rules = Rules { share, route };
                let mut driver = Driver::new(rules, &wishes);
                driver.run()?;
                prop_assert!(driver.refused.is_empty(), "{:?} {:?}", rules, driver.refused);
                prop_assert_eq!(driver.answered.len(), wishes.len(), "{:?}", rules);
                prop_assert!(driver.answered.values().all(|count| *count == 1), "{:?} {:?}", rules, driver.answered);
                prop_assert_eq!(driver.core.requests_count(), 0);
            }
        }
    }
}
