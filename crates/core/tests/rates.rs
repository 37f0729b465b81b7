//! A key's rates that several gateways share: worlds of up to four gateways that crash, end and are cut off, and a network between
//! them and the books that loses, doubles, delays and reorders. Over any span, all of them together let through at most what the
//! span and one full minute allow.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set itself up must fail"
)]

use madang_core::rate::{RateBounds, Rates};
use madang_ledger::{Holder, KeyParts, PartAsk, PartGrant, WHOLE_PERMILLE};
use madang_types::{KeyId, Micros};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeMap;

const STEP_US: i64 = 50_000;
const SECOND_US: i64 = 1_000_000;
const MINUTE_US: u64 = 60_000_000;
/// The most tokens of one request.
const TOKENS_MAX: u64 = 900;
/// When an ask is given up.
const ASK_WAIT_US: i64 = 5 * SECOND_US;

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
        let back = now.since_us(self.at) * self.limit;
        self.debt = self.debt.saturating_sub(back) + count * MINUTE_US;
        self.at = now;
        let room = (self.limit + self.beyond) * MINUTE_US;
        assert!(self.debt <= room, "{} of {room} at {now:?}", self.debt);
    }
}

struct Node {
    name: usize,
    epoch: u32,
    rates: Rates,
    /// What its own clock shows at the world's begin.
    offset_us: i64,
    /// Requests in a thousand steps.
    demand: u32,
    cut_until: Micros,
    look_at: Micros,
    /// What it waits for, and since when.
    asked_at: Option<Micros>,
}

impl Node {
    fn new(rng: &mut Pcg64Mcg, name: usize) -> Self {
        Self {
            name,
            epoch: 1,
            rates: Rates::shared(),
            offset_us: rng.random_range(0..1_000 * SECOND_US),
            demand: 0,
            cut_until: Micros(0),
            look_at: Micros(0),
            asked_at: None,
        }
    }

    fn clock(&self, now: Micros) -> Micros {
        Micros(now.0 + self.offset_us)
    }

    fn holder(&self) -> Holder {
        Holder {
            gateway: format!("gw-{}", self.name).parse().unwrap(),
            epoch: self.epoch,
        }
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
            self.serve(at);
            let now = self.now;
            let node = &mut self.nodes[at];
            if node.asked_at.is_some_and(|at| now.0 - at.0 > ASK_WAIT_US) {
                node.asked_at = None;
            }
            if node.look_at <= now {
                node.look_at = Micros(now.0 + SECOND_US);
                node.rates.fade();
                self.ask(at);
            }
        }
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
                Err(refusal) if refusal.lacks_part => self.ask(at),
                Err(_) => {}
            }
        }
    }

    fn ask(&mut self, at: usize) {
        let (now, node) = (self.now, &mut self.nodes[at]);
        if node.asked_at.is_some() {
            return;
        }
        let asks = node.rates.asks(node.clock(now));
        if !asks.is_empty() {
            node.asked_at = Some(now);
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
                let (now, books) = (self.now, &mut self.books);
                let mut told = Vec::new();
                for ask in asks {
                    told.push(books.ask(now, &holder, &ask));
                    assert!(books.held() <= WHOLE_PERMILLE, "{books:?}");
                }
                if books.is_idle(now) {
                    *books = KeyParts::default();
                }
                self.send(at, Message::Told(at, holder.epoch, sent_at, told));
            }
            Message::Told(at, epoch, sent_at, told) => {
                let (now, node) = (self.now, &mut self.nodes[at]);
                if node.epoch != epoch || node.cut_until > now {
                    return;
                }
                // A late answer is of an ask that it gave up.
                if node.asked_at.map(|at| node.clock(at)) == Some(sent_at) {
                    node.asked_at = None;
                }
                let mut to_give = false;
                for grant in told {
                    to_give |= node.rates.granted(node.clock(now), sent_at, &grant);
                }
                if to_give {
                    self.ask(at);
                }
            }
        }
    }

    /// Something happens to one of the gateways.
    fn disturb(&mut self) {
        let at = self.rng.random_range(0..self.nodes.len());
        let demand = [0, 0, 10, 100, 1_000, 20_000][self.rng.random_range(0..6)];
        let cut_us = [3, 30, 300, 900][self.rng.random_range(0..4)] * SECOND_US;
        let (now, what) = (self.now, self.rng.random_range(0..10));
        let node = &mut self.nodes[at];
        match what {
            0..6 => node.demand = demand,
            6 | 7 => node.cut_until = Micros(now.0 + cut_us),
            8 => self.restart(at),
            _ => {
                let asks = node.rates.give_all(node.clock(now));
                let message = Message::Ask(at, node.holder(), node.clock(now), asks);
                self.send(at, message);
                self.restart(at);
            }
        }
    }

    fn restart(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.epoch += 1;
        node.rates = Rates::shared();
        node.asked_at = None;
    }

    /// All is well, and one gateway alone is asked: it must have all of the rate soon.
    fn heal(&mut self) {
        self.trouble = 0;
        for node in &mut self.nodes {
            (node.demand, node.cut_until) = (0, Micros(0));
        }
        let alone = self.rng.random_range(0..self.nodes.len());
        self.nodes[alone].demand = 20_000;
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
    for step in 0..6_000 {
        if step % 40 == 0 && world.rng.random_range(0..3) == 0 {
            world.disturb();
        }
        world.step();
    }
    world.heal();
}

/// `SEED=1 SEEDS=10000 cargo test -p madang-core --test rates` runs so many worlds from that seed on.
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
