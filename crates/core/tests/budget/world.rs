//! Gateways, a bank, and a network between them that loses, doubles, delays and reorders; gateways crash, are cut off and given up,
//! and their clocks jump. Then all heals, and the books must be what was really served.

use super::bank::{Bank, UNIT};
use super::desk::{RATES, made, purse, spender};
use super::node::Node;
use super::tally::Tally;
use madang_core::budget::{BudgetView, PurseView, Short, Spender};
use madang_ledger::{Account, Entry, EntryId, Holder, Leg, Order, OrderKind, Purse};
use madang_types::{Micros, RequestId, TenantId, Tranche};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeMap;

/// How long a word of the bank lets a gateway spend, in milliseconds.
const LEASE_MS: u64 = 10_000;

/// When a world begins.
const START: Micros = Micros(1_000_000_000);
/// What is granted to the tenant, what one of its keys may spend, what the project of all its keys may.
const GRANT: &str = "allocation:a";
const KEY: &str = "ceiling:key.k1";
const PROJECT: &str = "ceiling:project:hanbit:web";

/// An amount in parts, the last of which comes before all has healed.
fn parts(rng: &mut Pcg64Mcg, amount: i64) -> Vec<Tranche> {
    let count = rng.random_range(2..=6);
    let mut from = START;
    let mut left = amount;
    let mut parts = Vec::new();
    for place in 1..=count {
        let amount = if place == count {
            left
        } else {
            rng.random_range(1..=left / 2)
        };
        parts.push(Tranche { from, amount });
        left -= amount;
        from = from.plus_ms(rng.random_range(1..8_000));
    }
    parts
}

enum Message {
    ToBank(Holder, Said),
    ToNode(usize, u32, Word),
}

#[derive(Clone)]
enum Said {
    Order(Order),
    Deliver(Holder, Entry),
    Close(Holder),
    /// Is anybody there?
    Hello,
}

#[derive(Clone)]
enum Word {
    /// The lease counts from when the gateway asked.
    Until(Micros),
    Answer(Order, (i64, i64)),
    Delivered(EntryId),
    Closed(Holder),
}

pub struct World {
    rng: Pcg64Mcg,
    now: Micros,
    bank: Bank,
    nodes: Vec<Node>,
    views: Vec<PurseView>,
    granted: BTreeMap<Purse, i64>,
    network: BTreeMap<(Micros, u64), Message>,
    sent: u64,
    requests: u128,
    /// Percent of messages that are lost, and that come twice.
    trouble: u32,
    gave_up: bool,
    refused: u64,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let mut bank = Bank::default();
        let mut views = vec![purse(GRANT, rng.random_bool(0.7))];
        for ceiling in [KEY, PROJECT] {
            if rng.random_bool(0.3) {
                views.push(purse(ceiling, rng.random_bool(0.7)));
            }
        }
        let mut granted = BTreeMap::new();
        for view in &views {
            let amount = rng.random_range(1_000..40_000);
            bank.grant(&view.purse, amount);
            granted.insert(view.purse.clone(), amount);
        }
        if rng.random_bool(0.5) {
            let grant = &views[0].purse;
            bank.split(grant, parts(&mut rng, granted[grant]));
        }
        let count = rng.random_range(1..=3);
        let mut world = Self {
            now: START,
            bank,
            nodes: (0..count).map(|n| Node::new(&format!("gw{n}"))).collect(),
            views,
            granted,
            network: BTreeMap::new(),
            sent: 0,
            requests: 0,
            trouble: rng.random_range(0..30),
            gave_up: false,
            refused: 0,
            rng,
        };
        for node in 0..count {
            world.start(node);
        }
        world
    }

    fn view(&self) -> BudgetView {
        let over = |name: &str| {
            let named = |view: &&PurseView| view.purse.to_string() == name;
            let purses = self.views.iter().filter(named);
            purses.map(|view| view.purse.clone()).collect()
        };
        let tenant: TenantId = "hanbit".parse().unwrap();
        BudgetView {
            purses: self.views.clone(),
            keys: vec![("k1".parse().unwrap(), over(KEY))],
            projects: vec![((tenant.clone(), "web".parse().unwrap()), over(PROJECT))],
            tenants: vec![(tenant, over(GRANT))],
        }
    }

    fn start(&mut self, node: usize) {
        let (now, view) = (self.now, self.view());
        self.nodes[node].start(now, view);
    }

    /// Trouble for so many seconds.
    pub fn trouble(&mut self, seconds: u32) {
        for _ in 0..seconds * 10 {
            self.step();
            let node = self.rng.random_range(0..self.nodes.len());
            let chance = self.rng.random_range(0..1_000);
            match chance {
                0..10 => self.nodes[node].stop(),
                10..60 if !self.nodes[node].up => self.start(node),
                60..70 => self.nodes[node].cut = true,
                70..90 => self.nodes[node].cut = false,
                90..95 => self.nodes[node].skew_us = self.rng.random_range(-20_000_000..20_000_000),
                95..96 => self.give_up(node),
                96..101 => self.release(node),
                _ => {}
            }
            for node in 0..self.nodes.len() {
                for _ in 0..self.rng.random_range(0..3) {
                    let max = self.rng.random_range(1..400);
                    let min = if self.rng.random_bool(0.5) { max } else { 1 };
                    // One in twenty engines does not keep to what it was asked for.
                    let liar = self.rng.random_bool(0.05);
                    let makes = self.rng.random_range(1..=if liar { max * 3 } else { max });
                    let key = if self.rng.random_bool(0.5) {
                        "k1"
                    } else {
                        "k2"
                    };
                    self.request(node, (key, (max, min, makes)));
                }
            }
        }
    }

    fn give_up(&mut self, node: usize) {
        let gateway = self.nodes[node].holder.gateway.clone();
        self.bank.give_up(&gateway, self.now);
        self.gave_up = true;
        // It finds out in time: here at once, or after it has gone on for a while.
        if self.rng.random_bool(0.5) {
            self.nodes[node].stop();
        }
    }

    fn release(&mut self, node: usize) {
        let gateway = self.nodes[node].holder.gateway.clone();
        self.bank.release(&gateway, self.now);
    }

    fn request(&mut self, node: usize, (key, asks): (&str, (u64, u64, u64))) {
        if !self.nodes[node].up {
            return;
        }
        self.requests += 1;
        let request = RequestId(self.requests);
        let now = self.now;
        let spender = Spender {
            key: key.parse().unwrap(),
            ..spender()
        };
        let (begun, orders) = self.nodes[node].begin(now, request, (&spender, asks));
        match begun {
            Ok(()) | Err(Short::Asked(_)) => {}
            Err(_) => self.refused += 1,
        }
        let holder = self.nodes[node].holder.clone();
        for order in orders {
            self.send(node, Message::ToBank(holder.clone(), Said::Order(order)));
        }
    }

    /// A tenth of a second.
    fn step(&mut self) {
        self.now = self.now.plus_ms(100);
        let now = self.now;
        let tokens = self.rng.random_range(0..30);
        for node in &mut self.nodes {
            if node.up {
                node.advance(now, tokens);
            }
        }
        if now.0 / 100_000 % 10 == 0 {
            for node in 0..self.nodes.len() {
                self.tick(node);
            }
        }
        while let Some(entry) = self.network.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let message = entry.remove();
            self.receive(message);
        }
        self.check();
    }

    /// Once a second a gateway asks and reports.
    fn tick(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        if !node.up {
            return;
        }
        let clock = node.clock(self.now);
        let mut orders = Vec::new();
        node.budgets.tick(clock, &mut orders);
        let holder = node.holder.clone();
        let mut said = vec![Said::Hello];
        said.extend(orders.into_iter().map(Said::Order));
        let spooled = node.spool.values().cloned();
        said.extend(spooled.map(|(of, entry)| Said::Deliver(of, entry)));
        let done = |old: &&Holder| node.spool.values().all(|(of, _)| of != *old);
        said.extend(node.unclosed.iter().filter(done).cloned().map(Said::Close));
        for said in said {
            self.send(place, Message::ToBank(holder.clone(), said));
        }
    }

    fn send(&mut self, node: usize, message: Message) {
        if self.nodes[node].cut || self.rng.random_range(0..100) < self.trouble {
            return;
        }
        let twice = self.rng.random_range(0..100) < self.trouble;
        let delay_ms = if self.trouble == 0 {
            5
        } else {
            self.rng.random_range(1..1_500)
        };
        self.sent += 1;
        if twice {
            let again = match &message {
                Message::ToBank(holder, said) => Message::ToBank(holder.clone(), said.clone()),
                Message::ToNode(node, epoch, word) => Message::ToNode(*node, *epoch, word.clone()),
            };
            let delay_ms = self.rng.random_range(1..5_000);
            self.network
                .insert((self.now.plus_ms(delay_ms), self.sent), again);
            self.sent += 1;
        }
        self.network
            .insert((self.now.plus_ms(delay_ms), self.sent), message);
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::ToBank(holder, said) => self.at_bank(&holder, said),
            Message::ToNode(place, epoch, word) => {
                let node = &mut self.nodes[place];
                if node.up && node.holder.epoch == epoch && !node.cut {
                    let clock = node.clock(self.now);
                    at_node(node, clock, word);
                }
            }
        }
    }

    fn at_bank(&mut self, holder: &Holder, said: Said) {
        let place = self
            .nodes
            .iter()
            .position(|node| node.holder.gateway == holder.gateway)
            .unwrap();
        let known = self.bank.knows(holder);
        let word = match said {
            Said::Hello if known => Word::Until(self.now.plus_ms(LEASE_MS)),
            // A run that was given up, or is not the latest, gets nothing more; it may report.
            Said::Hello => return self.fence(place, holder),
            Said::Order(order) => {
                if !known && matches!(order.kind, OrderKind::Take { .. }) {
                    return self.fence(place, holder);
                }
                let answer = self.bank.order(holder, &order, self.now);
                Word::Answer(order, answer)
            }
            Said::Deliver(of, entry) => {
                let id = entry.id;
                self.bank.deliver(&of, entry);
                Word::Delivered(id)
            }
            Said::Close(old) => {
                self.bank.close(&old, self.now);
                Word::Closed(old)
            }
        };
        self.send(place, Message::ToNode(place, holder.epoch, word));
    }

    /// The gateway hears that its run is over, and begins a new one.
    fn fence(&mut self, place: usize, holder: &Holder) {
        if self.nodes[place].up && self.nodes[place].holder == *holder {
            self.nodes[place].stop();
            self.start(place);
        }
    }

    /// What holds at any moment.
    fn check(&self) {
        for node in &self.nodes {
            node.budgets.check_invariants().unwrap();
        }
        for (purse, granted) in &self.granted {
            let mut sum = 0;
            let mut spent = *granted;
            for (account, unit, balance) in self.bank.book.balances() {
                assert_eq!(unit, UNIT);
                let available = balance.available();
                match account {
                    Account::Purse(of) | Account::Lease { of, .. } | Account::Suspense(of)
                        if of == purse =>
                    {
                        assert!(available >= 0, "{account}: {balance:?}");
                        spent -= available;
                    }
                    _ => {}
                }
                sum += available;
            }
            assert_eq!(sum, 0, "the books do not sum to zero");
            assert!(spent <= *granted, "{purse}: {spent} of {granted} are spent");
            let free = self.bank.available(&Account::Purse(purse.clone()));
            let waits = self.bank.unreleased(purse, self.now);
            assert!(
                free >= waits,
                "{purse}: {free} are here, and {waits} have not come yet"
            );
        }
    }

    /// All is well again: what is under way ends, and everything is reported.
    pub fn heal(&mut self) {
        self.trouble = 0;
        for place in 0..self.nodes.len() {
            self.nodes[place].cut = false;
            self.nodes[place].skew_us = 0;
            if !self.nodes[place].up {
                self.start(place);
            }
        }
        for _ in 0..300 {
            self.step();
        }
        for node in &mut self.nodes {
            for request in node.running.keys().copied().collect::<Vec<_>>() {
                node.end(self.now, request);
            }
        }
        for _ in 0..60 {
            self.step();
        }
    }

    /// The books say what was served: each request once, with what it cost.
    pub fn check_books(&self) {
        for node in &self.nodes {
            assert!(node.spool.is_empty() && node.open.is_empty());
            for (request, (tokens, settled)) in &node.settled {
                let total: i64 =
                    settled.draws.iter().map(|draw| draw.amount).sum::<i64>() + settled.owed.0;
                let booked = match self.bank.book.entry((*request).into()) {
                    [] => 0,
                    [entry] => booked(entry),
                    more => unreachable!("{more:?}"),
                };
                assert_eq!(booked, total, "{request}: {settled:?}");
                let cost = RATES.cost(&made(*tokens));
                assert_eq!(settled.cost.0 + settled.forgiven.0, cost.0);
            }
        }
    }

    /// One gateway can spend nearly all that is left, within a minute of the heal.
    pub fn check_spendable(&mut self) {
        let purses: Vec<Purse> = self.granted.keys().cloned().collect();
        let left = |world: &Self| {
            let unspent = |purse: &Purse| -> i64 {
                let parts = world
                    .bank
                    .book
                    .balances()
                    .filter(|(account, ..)| match account {
                        Account::Purse(of) | Account::Lease { of, .. } => of == purse,
                        _ => false,
                    });
                parts.map(|(_, _, balance)| balance.available()).sum()
            };
            purses.iter().map(unspent).min().unwrap()
        };
        let before = left(self);
        for _ in 0..600 {
            if left(self) <= before / 10 {
                return;
            }
            for _ in 0..4 {
                self.request(0, ("k1", (100, 1, 100)));
            }
            self.step();
        }
        let after = left(self);
        // Four requests of 100 each tenth of a second are the most that this node asks for.
        let asked = 600 * 4 * 100 / 2;
        assert!(
            before - after >= asked,
            "{before} were left, {after} still are"
        );
    }
}

/// What an entry moves, but what only passes through the account of a run.
fn booked(entry: &Entry) -> i64 {
    let passes = |leg: &&Leg| matches!(leg.to, Account::Lease { .. });
    let legs = entry.legs.iter().filter(|leg| !passes(leg));
    legs.map(|leg| leg.amount).sum()
}

fn at_node(node: &mut Node, clock: Micros, word: Word) {
    match word {
        Word::Until(until) => {
            let until = Micros(until.0 + node.skew_us);
            node.budgets.contact(clock, until);
        }
        Word::Answer(order, answer) => node.budgets.answer(clock, &order, answer),
        Word::Delivered(id) => {
            node.spool.remove(&id);
        }
        Word::Closed(holder) => node.unclosed.retain(|old| *old != holder),
    }
}

/// One world from its seed: trouble, healing, and books that say what was served.
pub fn run(seed: u64) -> Tally {
    let mut world = World::new(seed);
    let seconds = world.rng.random_range(5..40);
    world.trouble(seconds);
    world.heal();
    world.check_books();
    world.check_spendable();
    world.heal();
    world.check_books();
    let settled = || world.nodes.iter().flat_map(|node| node.settled.values());
    Tally {
        served: settled().count(),
        refused: world.refused,
        crashes: world.nodes.iter().map(|node| node.holder.epoch - 1).sum(),
        repeated: world.bank.repeated,
        early: world.bank.early,
        releases: world.bank.releases,
        after_release: world.bank.after_release,
        given_up: u32::from(world.gave_up),
        owed: settled().filter(|(_, settled)| settled.owed.0 > 0).count(),
        forgiven: settled()
            .filter(|(_, settled)| settled.forgiven.0 > 0)
            .count(),
    }
}
