//! The bank of the simulation: a book, the orders of gateways, and gateways that were given up.

use madang_ledger::{
    Account, Applied, Book, Entry, EntryId, Fault, Holder, Lacking, LastOrder, Leg, Order, Phase,
    Purse, Subject, Suspended, check_tranches, suspended, unreleased,
};
use madang_types::{Allocation, GatewayId, Micros, Tranche, Unit};
use std::collections::{BTreeMap, BTreeSet};

/// Every purse is of this unit here.
pub const UNIT: Unit = Unit::MicroWon;

#[derive(Default)]
pub struct Bank {
    pub book: Book,
    /// Gateways of which it has heard, and their latest run.
    epochs: BTreeMap<GatewayId, u32>,
    given_up: BTreeSet<Holder>,
    /// Of which nothing waits in suspense any more, whatever they still report.
    released: BTreeSet<Holder>,
    /// What came of runs that were given up and could not be taken from their rights, as they reported it.
    covered: BTreeMap<EntryId, Entry>,
    /// Runs that have reported everything. What of their orders is still on its way has been carried out with that.
    closed: BTreeSet<Holder>,
    orders: BTreeMap<(Holder, Purse), LastOrder>,
    /// Grants that come in parts.
    parts: BTreeMap<Purse, Allocation>,
    /// Times that an entry came again, and that a part had not come yet for which somebody asked.
    pub repeated: u64,
    pub early: u64,
    /// Times that a part in suspense was released, and entries that came after that.
    pub releases: u64,
    pub after_release: u64,
}

impl Bank {
    /// A purse gets so much.
    pub fn grant(&mut self, purse: &Purse, amount: i64) {
        let id = u128::from(u64::MAX) + self.book.ids().count() as u128;
        let leg = Leg {
            unit: UNIT,
            amount,
            from: Account::World,
            to: Account::Purse(purse.clone()),
        };
        self.enter(Entry {
            id: EntryId(id),
            phase: Phase::Direct,
            at: Micros(0),
            subject: Subject::Lease,
            legs: vec![leg],
        })
        .unwrap();
    }

    /// A purse comes in these parts.
    pub fn split(&mut self, purse: &Purse, tranches: Vec<Tranche>) {
        let Purse::Allocation(id) = purse else {
            unreachable!("{purse} is granted at once");
        };
        let allocation = Allocation {
            id: id.clone(),
            programme: "startups".parse().unwrap(),
            tenant: "hanbit".parse().unwrap(),
            unit: UNIT,
            class: None,
            amount: tranches.iter().map(|tranche| tranche.amount).sum(),
            hard: true,
            from: tranches[0].from,
            tranches,
            until: Micros(i64::MAX),
            created_at: Micros(0),
            recalled_at: None,
        };
        check_tranches(&allocation).unwrap();
        self.parts.insert(purse.clone(), allocation);
    }

    /// What of a purse has not come yet.
    pub fn unreleased(&self, purse: &Purse, now: Micros) -> i64 {
        let parts = self.parts.get(purse);
        parts.map_or(0, |allocation| unreleased(allocation, now))
    }

    pub fn available(&self, account: &Account) -> i64 {
        self.book.balance(account, UNIT).available()
    }

    /// Whether this run may have rights: it is the latest of its gateway, and was not given up.
    pub fn knows(&mut self, holder: &Holder) -> bool {
        let latest = self
            .epochs
            .entry(holder.gateway.clone())
            .or_insert(holder.epoch);
        *latest = holder.epoch.max(*latest);
        *latest == holder.epoch && !self.given_up.contains(holder)
    }

    /// Carries an order out, once; says what was moved to the gateway, and what there is of the purse elsewhere.
    pub fn order(&mut self, holder: &Holder, order: &Order, now: Micros) -> (i64, i64) {
        let id = holder.order_id(order.number);
        let purse = &order.purse;
        let place = (holder.clone(), purse.clone());
        let mut last = self.orders.get(&place).copied().unwrap_or_default();
        if order.number > last.number && !self.closed.contains(holder) {
            let gateways = u32::try_from(self.epochs.len()).unwrap();
            let available = self.available(&Account::Purse(purse.clone()));
            let released = available - self.unreleased(purse, now);
            last = LastOrder {
                number: order.number,
                moved: order.kind.moves(released, gateways),
            };
            self.early += u64::from(last.moved < order.kind.moves(available, gateways));
            if last.moved != 0 {
                self.deliver(holder, holder.moves((id, now), purse, (UNIT, last.moved)));
            }
            self.orders.insert(place, last);
        }
        let mine = holder.lease(purse);
        let elsewhere = self.book.balances().filter(|(account, ..)| match account {
            Account::Purse(other) | Account::Lease { of: other, .. } => {
                other == purse && **account != mine
            }
            _ => false,
        });
        let elsewhere: i64 = elsewhere.map(|(_, _, balance)| balance.available()).sum();
        let left = elsewhere - self.unreleased(purse, now);
        (last.moved.max(0), left.max(0))
    }

    /// Takes what a gateway's run reports. It may not be refused: what was spent was promised.
    pub fn deliver(&mut self, holder: &Holder, entry: Entry) {
        if let Some(before) = self.covered.get(&entry.id) {
            assert_eq!(*before, entry);
            self.repeated += 1;
            return;
        }
        let mut entered = self.enter(entry.clone());
        let mut covered = entry.clone();
        while let Some(lacking) = entered.as_ref().err().and_then(Lacking::of) {
            assert!(self.given_up.contains(holder) && lacking.holder == *holder);
            let waits = if self.released.contains(holder) {
                self.after_release += 1;
                0
            } else {
                // Nobody but itself takes from what waits of it, so nothing is owed.
                let waits = self.waits(&lacking.purse).remove(holder);
                let waits = waits.map_or(0, |part| part.left);
                assert!(waits >= lacking.amount, "{lacking:?}: {waits} wait");
                waits
            };
            covered = lacking.cover(covered, waits, &"hanbit".parse().unwrap());
            entered = self.enter(covered.clone());
            self.covered.insert(entry.id, entry.clone());
        }
        if entered.unwrap() == Applied::Repeated {
            self.repeated += 1;
        }
    }

    /// An operator says that a gateway that was given up never comes back.
    pub fn release(&mut self, gateway: &GatewayId, now: Micros) {
        let purses = self.book.accounts().filter_map(|account| match account {
            Account::Suspense(of) => Some(of.clone()),
            _ => None,
        });
        for purse in purses.collect::<Vec<_>>() {
            for (holder, part) in self.waits(&purse) {
                if holder.gateway == *gateway && part.left > 0 {
                    let entry = holder.release(now, &purse, (part.unit, part.left));
                    self.enter(entry).unwrap();
                    self.releases += 1;
                }
            }
        }
        let of = self
            .given_up
            .iter()
            .filter(|holder| holder.gateway == *gateway);
        self.released.extend(of.cloned());
    }

    /// Whose parts of a purse wait in suspense.
    fn waits(&self, purse: &Purse) -> BTreeMap<Holder, Suspended> {
        let entries = self.book.ids().flat_map(|id| self.book.entry(id));
        suspended(purse, entries)
    }

    /// A run that has reported everything: what it has left goes back.
    pub fn close(&mut self, holder: &Holder, now: Micros) {
        for (purse, left) in self.held(holder) {
            let entry = holder.close(now, &purse, (UNIT, left));
            self.enter(entry).unwrap();
        }
        self.closed.insert(holder.clone());
    }

    /// An operator gives a gateway up: nobody knows what of its rights is spent.
    pub fn give_up(&mut self, gateway: &GatewayId, now: Micros) {
        let Some(latest) = self.epochs.get(gateway).copied() else {
            return;
        };
        for epoch in 0..=latest {
            let holder = Holder {
                gateway: gateway.clone(),
                epoch,
            };
            for (purse, held) in self.held(&holder) {
                self.enter(holder.give_up(now, &purse, (UNIT, held)))
                    .unwrap();
            }
            self.given_up.insert(holder);
        }
    }

    fn held(&self, holder: &Holder) -> Vec<(Purse, i64)> {
        let leases = self
            .book
            .balances()
            .filter_map(|(account, _, balance)| match account {
                Account::Lease { of, .. } if *account == holder.lease(of) => {
                    Some((of.clone(), balance.available()))
                }
                _ => None,
            });
        leases.filter(|(_, left)| *left > 0).collect()
    }

    fn enter(&mut self, entry: Entry) -> Result<Applied, Fault> {
        self.book.enter(entry)
    }
}
