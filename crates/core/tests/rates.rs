//! A key's rates that several gateways share: worlds of up to four gateways that crash, end and are cut off and whose clocks go at
//! different speeds, books whose clock is set, and a network between them that loses, doubles, delays and reorders. Over any span, all
//! gateways together let through at most what the span and one full minute allow, and what clocks add: a gateway whose clock is fast
//! by so much lets so much more through, and when the books' clock is set forward, as much as that time allows is let through once more.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set itself up must fail"
)]

use madang_core::rate::{RateBounds, Rates};
use madang_ledger::{Holder, KeyParts, PART_LEASE_MS, PartAsk, PartGrant, WHOLE_PERMILLE};
use madang_types::{GatewayId, KeyId, Micros};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::{BTreeMap, BTreeSet};

const STEP_US: i64 = 50_000;
const SECOND_US: i64 = 1_000_000;
const MINUTE_US: u64 = 60_000_000;
/// The most tokens of one request.
const TOKENS_MAX: u64 = 900;
/// When an ask is given up.
const ASK_WAIT_US: i64 = 5 * SECOND_US;
/// How much faster or slower than the world's a gateway's clock goes at most, in parts of a million. A lease may then last five seconds
/// longer than the gateway believes; the books' grace is ten …
const DRIFT_PPM_MAX: i64 = 8_000;
/// … and so the books' clock may be ahead of where it was by another five.
const AHEAD_US_MAX: i64 = 5 * SECOND_US;

/// One bucket for all gateways: what is let through has room in it.
struct Truth {
    at: Micros,
    limit: u64,
    /// Beyond a full bucket: what each gateway's last request may have owed.
    beyond: u64,
    debt: u64,
}

impl Truth {
    fn new(limit: u32, beyond: u64) -> Self {
        let (at, limit, debt) = (Micros(0), u64::from(limit), 0);
        Self {
            at,
            limit,
            beyond,
            debt,
        }
    }

    fn take(&mut self, now: Micros, count: u64) {
        let elapsed_us = now.since_us(self.at);
        let drift_us = elapsed_us * DRIFT_PPM_MAX.unsigned_abs() / 1_000_000 + 1;
        self.pass(elapsed_us + drift_us);
        self.debt += count * MINUTE_US;
        self.at = now;
        let room = (self.limit + self.beyond) * MINUTE_US;
        assert!(self.debt <= room, "{} of {room} at {now:?}", self.debt);
    }

    fn pass(&mut self, us: u64) {
        self.debt = self.debt.saturating_sub(us * self.limit);
    }
}

struct Node {
    name: usize,
    epoch: u32,
    rates: Rates,
    /// What its own clock shows at the world's begin.
    offset_us: i64,
    drift_ppm: i64,
    /// Requests in a thousand steps.
    demand: u32,
    cut_until: Micros,
    look_at: Micros,
    /// Since when it waits for an answer.
    asked_at: Option<Micros>,
    /// When a dead one begins its next run.
    begins_at: Option<Micros>,
    /// What it counts on, until when, since which ask.
    part: (u32, Micros, u64),
}

impl Node {
    fn new(rng: &mut Pcg64Mcg, name: usize) -> Self {
        Self {
            name,
            epoch: 1,
            rates: Rates::shared(),
            offset_us: rng.random_range(0..1_000 * SECOND_US),
            drift_ppm: rng.random_range(-DRIFT_PPM_MAX..=DRIFT_PPM_MAX),
            demand: 0,
            cut_until: Micros(0),
            look_at: Micros(0),
            asked_at: None,
            begins_at: None,
            part: (0, Micros(0), 0),
        }
    }

    fn die(&mut self, begins_at: Micros) {
        self.rates = Rates::shared();
        self.asked_at = None;
        self.begins_at = Some(begins_at);
        self.part = (0, Micros(0), 0);
    }

    fn clock(&self, now: Micros) -> Micros {
        Micros(now.0 + now.0 * self.drift_ppm / 1_000_000 + self.offset_us)
    }

    fn gateway(&self) -> GatewayId {
        format!("gw-{}", self.name).parse().unwrap()
    }

    fn holder(&self) -> Holder {
        let (gateway, epoch) = (self.gateway(), self.epoch);
        Holder { gateway, epoch }
    }
}

enum Message {
    Ask(usize, Holder, Micros, Vec<PartAsk>),
    Told(usize, u32, Micros, Vec<PartGrant>),
}

struct World {
    rng: Pcg64Mcg,
    now: Micros,
    key: KeyId,
    bounds: RateBounds,
    books: KeyParts,
    /// How far the books' clock is before the world's.
    ahead_us: i64,
    nodes: Vec<Node>,
    network: BTreeMap<(Micros, u64), Message>,
    sent: u64,
    /// Percent of messages that are lost, and that come twice.
    trouble: u32,
    truths: (Truth, Truth),
    admitted: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let count = rng.random_range(1..=4_usize);
        let requests = [1, 2, 3, 7, 60, 600][rng.random_range(0..6)];
        let tokens = [800, 20_000, 4_000_000][rng.random_range(0..3)];
        let beyond = count as u64 * TOKENS_MAX;
        Self {
            now: Micros(0),
            key: KeyId::new("k").unwrap(),
            bounds: RateBounds {
                requests_per_min: Some(requests),
                tokens_per_min: Some(tokens),
            },
            books: KeyParts::default(),
            ahead_us: 0,
            nodes: (0..count).map(|name| Node::new(&mut rng, name)).collect(),
            network: BTreeMap::new(),
            sent: 0,
            trouble: rng.random_range(0..40),
            truths: (Truth::new(requests, 0), Truth::new(tokens, beyond)),
            admitted: 0,
            rng,
        }
    }

    fn step(&mut self) {
        self.now = Micros(self.now.0 + STEP_US);
        while let Some(next) = self.network.first_entry()
            && next.key().0 <= self.now
        {
            let message = next.remove();
            self.deliver(message);
        }
        for at in 0..self.nodes.len() {
            let (now, node) = (self.now, &mut self.nodes[at]);
            if node.begins_at.is_some_and(|begins_at| begins_at > now) {
                continue;
            }
            if node.begins_at.take().is_some() {
                node.epoch += 1;
            }
            if node.asked_at.is_some_and(|at| now.0 - at.0 > ASK_WAIT_US) {
                node.asked_at = None;
            }
            self.serve(at);
            let node = &mut self.nodes[at];
            if node.look_at <= now {
                node.look_at = Micros(now.0 + SECOND_US);
                self.ask(at, |rates| rates.look().into_iter().collect());
            }
        }
        let nodes = self.nodes.iter();
        let counting = nodes.filter(|node| node.part.1 > node.clock(self.now));
        let counted_on: u32 = counting.map(|node| node.part.0).sum();
        assert!(
            counted_on <= WHOLE_PERMILLE,
            "{counted_on}: {:?}",
            self.books
        );
    }

    /// Requests that come to a gateway within a step.
    fn serve(&mut self, at: usize) {
        let count = self.nodes[at].demand / 1_000
            + u32::from(self.rng.random_range(0..1_000) < self.nodes[at].demand % 1_000);
        for _ in 0..count {
            let tokens = self.rng.random_range(0..TOKENS_MAX);
            let used = self.rng.random_range(0..=tokens);
            let node = &mut self.nodes[at];
            let (clock, about) = (node.clock(self.now), (&self.key, self.bounds));
            match node.rates.admit(clock, about, tokens) {
                Ok(_) => {
                    node.rates.settle(clock, about, (tokens, used));
                    self.truths.0.take(self.now, 1);
                    self.truths.1.take(self.now, used);
                    self.admitted += 1;
                }
                Err(refusal) if refusal.part_comes_us.is_some() => {
                    self.ask(at, Rates::urgent);
                }
                Err(_) => {}
            }
        }
    }

    fn ask(&mut self, at: usize, which: fn(&mut Rates) -> BTreeSet<KeyId>) {
        let (now, node) = (self.now, &mut self.nodes[at]);
        if node.asked_at.is_some() {
            return;
        }
        let clock = node.clock(now);
        let keys = which(&mut node.rates);
        let asks = node.rates.asks(clock, &keys);
        if let Some(ask) = asks.last() {
            node.asked_at = Some(now);
            node.part = (ask.holds, node.part.1, ask.number);
            let message = Message::Ask(at, node.holder(), node.clock(now), asks);
            self.send(at, message);
        }
    }

    fn send(&mut self, at: usize, message: Message) {
        let is_cut = self.nodes[at].cut_until > self.now;
        if is_cut || self.rng.random_range(0..100) < self.trouble {
            return;
        }
        let doubled = self.rng.random_range(0..100) < self.trouble;
        let copy = match &message {
            Message::Ask(at, holder, sent_at, asks) => {
                Message::Ask(*at, holder.clone(), *sent_at, asks.clone())
            }
            Message::Told(at, epoch, sent_at, told) => {
                Message::Told(*at, *epoch, *sent_at, told.clone())
            }
        };
        for message in [message].into_iter().chain(doubled.then_some(copy)) {
            let late_us = match self.rng.random_range(0..100) < self.trouble {
                true => self.rng.random_range(0..20 * SECOND_US),
                false => self.rng.random_range(0..STEP_US),
            };
            self.sent += 1;
            let due = Micros(self.now.0 + late_us);
            self.network.insert((due, self.sent), message);
        }
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Ask(at, holder, sent_at, asks) => {
                if self.nodes[at].epoch != holder.epoch {
                    return;
                }
                let runs = self.nodes.iter().map(|node| (node.gateway(), node.epoch));
                let latest = runs.collect();
                let now = Micros(self.now.0 + self.ahead_us);
                let mut told = Vec::new();
                for ask in asks {
                    self.books.end(now, &latest);
                    told.push(self.books.ask(now, &holder, &ask));
                    assert!(self.books.held() <= WHOLE_PERMILLE, "{:?}", self.books);
                }
                if self.books.is_idle(now) {
                    self.books = KeyParts::default();
                }
                self.send(at, Message::Told(at, holder.epoch, sent_at, told));
            }
            Message::Told(at, epoch, sent_at, told) => {
                let (now, node) = (self.now, &mut self.nodes[at]);
                if (node.epoch, node.begins_at) != (epoch, None) || node.cut_until > now {
                    return;
                }
                // A late answer is of an ask that it gave up.
                if node.asked_at.map(|at| node.clock(at)) == Some(sent_at) {
                    node.asked_at = None;
                }
                let mut is_urgent = false;
                for grant in told {
                    if node.part.2 == grant.number {
                        let until = sent_at.plus_ms(PART_LEASE_MS);
                        node.part = (grant.permille, until, grant.number);
                    }
                    is_urgent |= node.rates.granted(node.clock(now), sent_at, &grant);
                }
                if is_urgent {
                    self.ask(at, Rates::urgent);
                }
            }
        }
    }

    /// The books' clock is set.
    fn set_clock(&mut self) {
        let ahead_us = self.rng.random_range(0..=AHEAD_US_MAX);
        let forward_us = u64::try_from(ahead_us - self.ahead_us).unwrap_or(0);
        self.truths.0.pass(forward_us);
        self.truths.1.pass(forward_us);
        self.ahead_us = ahead_us;
    }

    /// Something happens to one of the gateways, or to the books.
    fn disturb(&mut self) {
        let at = self.rng.random_range(0..self.nodes.len());
        let demand = [0, 0, 10, 100, 1_000, 20_000][self.rng.random_range(0..6)];
        let cut_us = [3, 30, 300, 900][self.rng.random_range(0..4)] * SECOND_US;
        let dead_us = [0, 0, 30, 900][self.rng.random_range(0..4)] * SECOND_US;
        let (now, what) = (self.now, self.rng.random_range(0..11));
        let node = &mut self.nodes[at];
        match what {
            0..6 => node.demand = demand,
            6 | 7 => node.cut_until = Micros(now.0 + cut_us),
            8 => node.die(Micros(now.0 + dead_us)),
            9 => self.set_clock(),
            _ => {
                let (clock, keys) = (node.clock(now), node.rates.close());
                let asks = node.rates.asks(clock, &keys);
                let message = Message::Ask(at, node.holder(), clock, asks);
                node.die(Micros(now.0 + dead_us));
                self.send(at, message);
            }
        }
    }

    /// All is well, and one gateway alone is asked: it must have all of the rate soon, also where the books' clock was set far back.
    fn heal(&mut self) {
        self.trouble = 0;
        self.ahead_us -= self.rng.random_range(0..2) * 3_600 * SECOND_US;
        for node in &mut self.nodes {
            (node.demand, node.cut_until) = (0, Micros(0));
        }
        let alone = self.rng.random_range(0..self.nodes.len());
        let node = &mut self.nodes[alone];
        node.demand = 20_000;
        node.begins_at = node.begins_at.map(|_| self.now);
        // Leases of whoever crashed end, and what is owed is worked off.
        let steps = |s: i64| s * SECOND_US / STEP_US;
        (0..steps(720)).for_each(|_| self.step());
        let before = self.admitted;
        (0..steps(120)).for_each(|_| self.step());
        let requests = u64::from(self.bounds.requests_per_min.unwrap());
        // As far as its tokens suffice for it: half of a request's most are used.
        let tokens = u64::from(self.bounds.tokens_per_min.unwrap()) / (TOKENS_MAX / 2);
        let (had, due) = (self.admitted - before, 2 * requests.min(tokens));
        assert!(had * 2 >= due, "{had} of {due}: {:?}", self.books);
    }
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    // Half of the worlds are long enough for leases to end.
    let (steps, pace) = [(6_000, 40), (30_000, 400)][world.rng.random_range(0..2)];
    for step in 0..steps {
        if step % pace == 0 && world.rng.random_range(0..3) == 0 {
            world.disturb();
        }
        world.step();
    }
    world.heal();
}

/// `SEED=1 SEEDS=10000 cargo test --release -p madang-core --test rates` runs so many worlds from that seed on.
#[test]
fn all_gateways_together_keep_to_the_rate_whatever_fails() {
    let number = |name: &str, default: u64| {
        let text = std::env::var_os(name).map(|text| text.into_string().unwrap());
        text.map_or(default, |text| text.parse().unwrap())
    };
    let (first, count) = (number("SEED", 1), number("SEEDS", 60));
    for seed in first..first + count {
        let world = std::panic::catch_unwind(|| run(seed));
        let again = "cargo test -p madang-core --test rates";
        assert!(world.is_ok(), "SEED={seed} SEEDS=1 {again}");
    }
}
