//! Gateways, a bank, and a network between them that loses, doubles, delays and reorders; gateways crash, are cut off and given up,
//! and their clocks jump. Then all heals, and the books must be what was really served.

use super::bank::{Bank, UNIT};
use super::desk::{RATES, made, purse, spender};
use super::node::Node;
use madang_core::budget::{BudgetView, PurseView, Short};
use madang_ledger::{Account, Entry, EntryId, Holder, Order, OrderKind, Purse};
use madang_types::{Micros, RequestId};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeMap;

/// How long a word of the bank lets a gateway spend, in milliseconds.
const LEASE_MS: u64 = 10_000;

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
        let mut views = vec![purse("allocation:a", rng.random_bool(0.7))];
        if rng.random_bool(0.3) {
            views.push(purse("ceiling:k", rng.random_bool(0.7)));
        }
        let mut granted = BTreeMap::new();
        for view in &views {
            let amount = rng.random_range(1_000..40_000);
            bank.grant(&view.purse, amount);
            granted.insert(view.purse.clone(), amount);
        }
        let count = rng.random_range(1..=3);
        let mut world = Self {
            now: Micros(1_000_000_000),
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
        BudgetView {
            purses: self.views.clone(),
            tenants: vec![("hanbit".parse().unwrap(), vec![self.views[0].purse.clone()])],
            keys: self.views[1..]
                .iter()
                .map(|view| ("k1".parse().unwrap(), vec![view.purse.clone()]))
                .collect(),
            ..BudgetView::default()
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
                _ => {}
            }
            for node in 0..self.nodes.len() {
                for _ in 0..self.rng.random_range(0..3) {
                    let max = self.rng.random_range(1..400);
                    let min = if self.rng.random_bool(0.5) { max } else { 1 };
                    // One in twenty engines does not keep to what it was asked for.
                    let liar = self.rng.random_bool(0.05);
                    let makes = self.rng.random_range(1..=if liar { max * 3 } else { max });
                    self.request(node, (max, min, makes));
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

    fn request(&mut self, node: usize, asks: (u64, u64, u64)) {
        if !self.nodes[node].up {
            return;
        }
        self.requests += 1;
        let request = RequestId(self.requests);
        let now = self.now;
        let (begun, orders) = self.nodes[node].begin(now, request, (&spender(), asks));
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
                    [entry] => entry.legs.iter().map(|leg| leg.amount).sum(),
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
                self.request(0, (100, 1, 100));
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

/// What happened in a world: a run of many in which something never happened tests nothing of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub served: usize,
    pub refused: u64,
    /// Runs that began after a crash.
    pub crashes: u32,
    /// Entries that came to the bank more than once.
    pub repeated: u64,
    pub given_up: u32,
    /// Requests that cost more than they were promised: what the tenant owes, what nobody pays.
    pub owed: usize,
    pub forgiven: usize,
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        self.served += other.served;
        self.refused += other.refused;
        self.crashes += other.crashes;
        self.repeated += other.repeated;
        self.given_up += other.given_up;
        self.owed += other.owed;
        self.forgiven += other.forgiven;
    }

    pub fn is_complete(&self) -> bool {
        let counts = [self.served, self.owed, self.forgiven];
        let events = [
            self.refused,
            self.repeated,
            self.crashes.into(),
            self.given_up.into(),
        ];
        !counts.contains(&0) && !events.contains(&0)
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
        given_up: u32::from(world.gave_up),
        owed: settled().filter(|(_, settled)| settled.owed.0 > 0).count(),
        forgiven: settled()
            .filter(|(_, settled)| settled.forgiven.0 > 0)
            .count(),
    }
}
