//! Levels by hand, and whole pools: tenants that ask steadily and others that come.

use super::*;
use crate::fleet_view::Payer;
use crate::share::{Holds, Weights};
use madang_types::{KeyId, TenantId};

fn check(asks: &[(f64, f64)], total: f64, expected: f64) {
    let claims: Vec<Claim> = (0..)
        .zip(asks)
        .map(|(tenant, (asks, part))| Claim {
            tenant,
            asks: [*asks; DIMENSIONS],
            recent: *asks,
            waiting: 0,
            part: *part,
            arrivals: 0.0,
            need: 0.0,
            output: 0.0,
            prefill: 0.0,
            running: 0,
            kv_tokens: 0,
            reach: Reach::LEVEL,
        })
        .collect();
    let level = water_level(&claims, TIME, total);
    assert!(
        (level - expected).abs() < 1e-9 || level == expected,
        "{level} for {asks:?}"
    );
}

#[test]
fn who_asks_for_little_gets_it_and_the_rest_is_level() {
    check(&[(0.1, 0.5), (5.0, 0.5)], 1.0, 1.8);
    check(&[(5.0, 0.5), (5.0, 0.5)], 1.0, 1.0);
    check(&[(5.0, 0.25), (5.0, 0.75)], 1.0, 1.0);
    check(&[(0.1, 0.5), (0.2, 0.5)], 1.0, f64::INFINITY);
}

const SECOND_US: i64 = 1_000_000;
const ONE: Capacity = Capacity {
    members: 1,
    slots: 256,
    kv_tokens: 100_000,
    full_iteration_us: 20_000,
    tpot_us: 20_000,
};

/// One member's pool, in which time passes.
#[derive(Default)]
struct Ground {
    tree: Tree,
    now_us: i64,
}

/// A tenant that asks so often in each second, for so much.
struct Asks {
    tenant: &'static str,
    rate: i64,
    /// Accelerator time of one, and what of that it gets before the second is over.
    cost_us: i64,
    got_us: i64,
    output: f64,
    need: f64,
}

impl Asks {
    /// For so many thousandths of the member's time, and for as many it gets.
    fn of(tenant: &'static str, asked: i64, got: i64) -> Self {
        Self {
            tenant,
            rate: 10,
            cost_us: asked * 100,
            got_us: got * 100,
            output: 100.0,
            need: 1_000.0,
        }
    }
}

impl Ground {
    fn leaf(&mut self, tenant: &str) -> FlowIndex {
        let payer = Payer {
            tenant: TenantId::new(tenant).unwrap(),
            project: None,
            key: KeyId::new("k").unwrap(),
        };
        self.tree.leaf(&payer, &Weights::default())
    }

    /// So many seconds; what is expected at their end.
    fn pass(&mut self, seconds: i64, all: &[Asks]) -> Expected {
        for _ in 0..seconds {
            for asks in all {
                let leaf = self.leaf(asks.tenant);
                for number in 0..asks.rate {
                    let now_us = self.now_us + number * SECOND_US / asks.rate;
                    let usage = self.tree.usage_mut(leaf).unwrap();
                    usage.came(now_us);
                    usage.offered.add(now_us, asks.cost_us as f64);
                    usage.offered_long.add(now_us, asks.cost_us as f64);
                    usage.arrivals.add(now_us, 1.0);
                    usage.output.add(asks.output, 0.02);
                    usage.need.add(asks.need, 0.02);
                    self.tree.book(leaf, now_us, asks.got_us);
                }
            }
            self.now_us += SECOND_US;
            self.tree.level(self.now_us, ONE, false);
        }
        self.tree.level(self.now_us, ONE, false)
    }

    fn is_over(&mut self, tenant: &str) -> bool {
        let leaf = self.leaf(tenant);
        self.tree.usage(leaf).unwrap().over
    }
}

#[test]
fn a_flood_is_known_by_what_it_asked_for_since_it_came() {
    let mut ground = Ground::default();
    ground.pass(60, &[Asks::of("steady", 400, 400)]);
    // Its part is a half; of forty seconds it is here for a half.
    let both = [Asks::of("steady", 400, 400), Asks::of("flood", 1_500, 600)];
    ground.pass(20, &both);
    assert!(ground.is_over("flood"));
    assert!(!ground.is_over("steady"));
}

#[test]
fn a_short_burst_is_no_flood() {
    let mut ground = Ground::default();
    ground.pass(60, &[Asks::of("steady", 600, 600)]);
    // In ten seconds more than its part, however they are counted; not so in the twenty that count at least.
    let both = [Asks::of("steady", 600, 600), Asks::of("burst", 9_000, 400)];
    ground.pass(1, &both);
    assert!(!ground.is_over("burst"));
    ground.pass(10, &both);
    assert!(ground.is_over("burst"));
}

#[test]
fn who_is_flooded_is_not_over_while_the_flood_is_held_back() {
    let mut ground = Ground::default();
    // Charges come to more than the time that there is: by them the steady one asks for more than half again its half.
    ground.pass(
        60,
        &[Asks::of("steady", 800, 800), Asks::of("flood", 3_000, 800)],
    );
    assert!(!ground.is_over("steady"));
    ground.pass(
        30,
        &[Asks::of("steady", 800, 800), Asks::of("flood", 3_000, 50)],
    );
    assert!(!ground.is_over("steady"));
    assert!(ground.is_over("flood"));
}

#[test]
fn tiny_requests_do_not_lessen_the_memory_that_is_kept_for_larger_ones() {
    let steady = || Asks {
        output: 200.0,
        need: 1_500.0,
        ..Asks::of("steady", 300, 300)
    };
    let tiny = Asks {
        rate: 200,
        cost_us: 1_000,
        got_us: 1_000,
        output: 1.0,
        need: 30.0,
        ..Asks::of("tiny", 0, 0)
    };
    let kept = |all: &[Asks]| {
        let expected = Ground::default().pass(60, all);
        let mut holds = Holds::default();
        holds.follow(20_000, &expected, ONE);
        holds.tokens.value()
    };
    let (alone, beside) = (kept(&[steady()]), kept(&[steady(), tiny]));
    assert!(beside >= alone, "{beside} tokens, {alone} alone");
}
