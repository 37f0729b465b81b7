//! A gateway of the simulation: what it holds in memory dies with it, what it wrote down does not.

use super::desk::{RATES, bound, made};
use madang_core::budget::{BudgetView, Budgets, Part, Settled, Short, Spender, settle_orphan};
use madang_ledger::{Account, Entry, EntryId, Holder, Leg, Order, Phase, Subject};
use madang_types::{Micros, RequestId, Unit};
use std::collections::BTreeMap;

/// A request under way, as the journal has it.
#[derive(Clone)]
pub struct Open {
    pub epoch: u32,
    pub parts: Vec<Part>,
    /// Tokens made when it was last written down.
    pub watermark: u64,
}

/// A request under way, as the gateway has it.
#[derive(Clone)]
pub struct Running {
    pub made: u64,
    /// How many its engine makes, whatever it was asked for.
    pub makes: u64,
    pub marked_at: Micros,
}

pub struct Node {
    pub holder: Holder,
    pub up: bool,
    pub cut: bool,
    /// What its clock is off by, in microseconds.
    pub skew_us: i64,
    pub budgets: Budgets,
    pub running: BTreeMap<RequestId, Running>,
    /// On its disk.
    pub open: BTreeMap<RequestId, Open>,
    pub spool: BTreeMap<EntryId, (Holder, Entry)>,
    /// Earlier runs whose rights the bank has not been told to take back.
    pub unclosed: Vec<Holder>,
    /// What it settled, ever: the truth that the books must come to.
    pub settled: BTreeMap<RequestId, (u64, Settled)>,
}

impl Node {
    pub fn new(name: &str) -> Self {
        Self {
            holder: Holder {
                gateway: name.parse().unwrap(),
                epoch: 0,
            },
            up: false,
            cut: false,
            skew_us: 0,
            budgets: Budgets::new(),
            running: BTreeMap::new(),
            open: BTreeMap::new(),
            spool: BTreeMap::new(),
            unclosed: Vec::new(),
            settled: BTreeMap::new(),
        }
    }

    pub fn clock(&self, now: Micros) -> Micros {
        Micros(now.0 + self.skew_us)
    }

    /// Begins a new run: what the last one left under way ends where it was last written down.
    pub fn start(&mut self, now: Micros, view: BudgetView) {
        self.unclosed.push(self.holder.clone());
        self.holder.epoch += 1;
        self.up = true;
        self.budgets = Budgets::new();
        self.budgets.apply(view);
        for (request, open) in std::mem::take(&mut self.open) {
            let settled = settle_orphan(&open.parts, (&made(open.watermark), &RATES));
            let holder = Holder {
                epoch: open.epoch,
                ..self.holder.clone()
            };
            self.book(now, (request, open.watermark), (&holder, settled));
        }
    }

    pub fn stop(&mut self) {
        self.up = false;
        self.running.clear();
    }

    /// Lets a request in, if it may be.
    pub fn begin(
        &mut self,
        now: Micros,
        request: RequestId,
        (spender, (max, min, makes)): (&Spender, (u64, u64, u64)),
    ) -> (Result<(), Short>, Vec<Order>) {
        let mut orders = Vec::new();
        let clock = self.clock(now);
        let about = (spender, &bound(max, min));
        let reserved = match self.budgets.reserve(clock, request, about, &mut orders) {
            Ok(reserved) => reserved,
            Err(short) => return (Err(short), orders),
        };
        assert!(reserved.output_tokens_max >= min && reserved.output_tokens_max <= max);
        let open = Open {
            epoch: self.holder.epoch,
            parts: reserved.parts.to_vec(),
            watermark: 0,
        };
        self.open.insert(request, open);
        let running = Running {
            made: 0,
            makes,
            marked_at: now,
        };
        self.running.insert(request, running);
        (Ok(()), orders)
    }

    /// So many more tokens come of every request under way; watermarks are written down once a second.
    pub fn advance(&mut self, now: Micros, tokens: u64) {
        for request in self.running.keys().copied().collect::<Vec<_>>() {
            let Some(running) = self.running.get_mut(&request) else {
                continue;
            };
            running.made = (running.made + tokens).min(running.makes);
            let ends = running.made == running.makes || self.budgets.is_over(request, running.made);
            if ends {
                self.end(now, request);
                continue;
            }
            if now.since_us(running.marked_at) >= 1_000_000 {
                running.marked_at = now;
                let made = running.made;
                self.open.get_mut(&request).unwrap().watermark = made;
            }
        }
    }

    pub fn end(&mut self, now: Micros, request: RequestId) {
        let running = self.running.remove(&request).unwrap();
        let clock = self.clock(now);
        let settled = self
            .budgets
            .settle(clock, request, (&made(running.made), &RATES));
        let holder = self.holder.clone();
        self.book(now, (request, running.made), (&holder, settled));
        self.open.remove(&request);
    }

    fn book(
        &mut self,
        now: Micros,
        (request, tokens): (RequestId, u64),
        (holder, settled): (&Holder, Settled),
    ) {
        let site = Account::Site("pohang".parse().unwrap());
        let mut legs: Vec<Leg> = settled
            .draws
            .iter()
            .map(|draw| Leg {
                unit: draw.unit,
                amount: draw.amount,
                from: holder.lease(&draw.purse),
                to: site.clone(),
            })
            .collect();
        if settled.owed.0 > 0 {
            legs.push(Leg {
                unit: Unit::MicroWon,
                amount: settled.owed.0,
                from: Account::Tenant("hanbit".parse().unwrap()),
                to: site,
            });
        }
        let old = self.settled.insert(request, (tokens, settled));
        assert!(old.is_none(), "{request} was settled twice");
        if legs.is_empty() {
            return;
        }
        let entry = Entry {
            id: request.into(),
            phase: Phase::Direct,
            at: now,
            subject: Subject::Request(request),
            legs,
        };
        self.spool.insert(entry.id, (holder.clone(), entry));
    }
}
