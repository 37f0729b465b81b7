//! Rights moved here and back: what to ask of the bank, and what came of it.

use super::Budgets;
use super::purse::Held;
use super::reserve::amount;
use crate::learn::Rate;
use madang_ledger::{Order, OrderKind, Purse};
use madang_types::Micros;

/// For how many seconds of spending at the present pace rights are held.
const AHEAD_S: i64 = 10;
/// How long nobody must have spent from a purse before its rights go back, in milliseconds.
const IDLE_MS: u64 = 15_000;
/// How long the bank is not asked again for what it did not have, in milliseconds.
const DRY_MS: u64 = 1_000;

impl Budgets {
    /// The bank has been heard of: the rights here count until then.
    pub fn contact(&mut self, now: Micros, until: Micros) {
        self.present(now);
        self.lease_until = Some(self.lease_until.map_or(until, |old| old.max(until)));
    }

    /// What an order came to: rights that were moved here, and what the purse has left. A word that comes twice, or for an order that
    /// is no longer out, changes nothing.
    pub fn answer(&mut self, now: Micros, order: &Order, (moved, left): (i64, i64)) {
        let now = self.present(now);
        let Some(held) = self.purses.get_mut(&order.purse) else {
            return;
        };
        if held.order.as_ref().map(|order| order.number) != Some(order.number) {
            return;
        }
        held.order = None;
        held.left = left.max(0);
        if let OrderKind::Take { need, .. } = order.kind {
            held.rights = held.rights.saturating_add(moved.max(0));
            held.lack = 0;
            if moved < need {
                held.dry_until = now.plus_ms(DRY_MS);
            }
        }
    }

    /// Once a second: rights are asked for where they run low, and sent back where nobody needs them. Orders without an answer are
    /// asked again.
    pub fn tick(&mut self, now: Micros, orders: &mut Vec<Order>) {
        let now = self.present(now);
        let mut number = self.orders;
        for (purse, held) in &mut self.purses {
            if held.order.is_none() {
                held.order = held.next(now).map(|kind| {
                    number += 1;
                    Order {
                        number,
                        purse: purse.clone(),
                        unit: held.unit,
                        kind,
                    }
                });
                held.part_with();
            }
            orders.extend(held.order.clone());
        }
        self.orders = number;
        self.purses
            .retain(|_, held| held.view.is_some() || held.is_in_use());
    }

    /// Everything that is not set aside goes back: this gateway stops.
    pub fn drain(&mut self, now: Micros, orders: &mut Vec<Order>) {
        let now = self.present(now);
        for held in self.purses.values_mut() {
            held.used_at = Micros(i64::MIN);
            held.pace = Rate::default();
            held.lack = 0;
        }
        self.tick(now, orders);
    }

    /// A request lacks rights: the bank is asked at once, unless it has been.
    pub(super) fn take_more(
        &mut self,
        now: Micros,
        purse: &Purse,
        need: i64,
        orders: &mut Vec<Order>,
    ) {
        let Some(held) = self.purses.get_mut(purse) else {
            return;
        };
        if held.order.is_none() {
            self.orders += 1;
            let want = held.want(now).saturating_add(need);
            held.order = Some(Order {
                number: self.orders,
                purse: purse.clone(),
                unit: held.unit,
                kind: OrderKind::Take { want, need },
            });
            orders.extend(held.order.clone());
        }
    }
}

impl Held {
    /// Rights that should be free here: what is spent in some seconds, and what requests lacked.
    fn want(&self, now: Micros) -> i64 {
        let pace = amount(self.pace.per_second(now.0));
        let some = amount(self.each.value).saturating_mul(4);
        pace.saturating_mul(AHEAD_S).max(some).max(self.lack)
    }

    fn next(&self, now: Micros) -> Option<OrderKind> {
        let free = self.free();
        let idle = self.used_at.plus_ms(IDLE_MS) <= now && self.exposure == 0;
        let open = self
            .view
            .as_ref()
            .is_some_and(|view| view.until.is_none_or(|until| now < until));
        if idle || !open {
            return (free > 0).then_some(OrderKind::Return { amount: free });
        }
        let want = self.want(now);
        if free < want / 2 && self.dry_until <= now {
            let want = want - free.max(0);
            return Some(OrderKind::Take { want, need: 0 });
        }
        let surplus = free - want.saturating_mul(2);
        (surplus > want / 2 && surplus > 0).then_some(OrderKind::Return { amount: surplus })
    }

    /// What goes back counts here no longer, whatever becomes of the message.
    fn part_with(&mut self) {
        if let Some(Order {
            kind: OrderKind::Return { amount },
            ..
        }) = &self.order
        {
            self.rights -= amount;
        }
    }
}
