//! Accounts of one level of the shares' tree: of tenants, or of programmes.

use super::{Month, Used};
use madang_types::ProgrammeId;
use std::collections::BTreeMap;

/// What a tenant or a programme has beside its share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// Of which programme a tenant is.
    pub programme: Option<ProgrammeId>,
    /// Its part of everything that there is, by the weights of all: what it is promised.
    pub part: f64,
    /// Credit, or debt where below zero, in microseconds of one accelerator.
    pub balance_us: f64,
    /// The civil month so far.
    pub month: Month,
    own: Own,
}

/// What an interval under way was to one account beside what it is to all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Own {
    gain_us: f64,
    used: Used,
}

/// An interval's pools together.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    /// What an account with all of the shares would gain that used nothing.
    gain_us: f64,
    capacity_us: f64,
}

/// The accounts.
#[derive(Clone, Debug)]
pub(super) struct Book<K> {
    pub accounts: BTreeMap<K, Account>,
    /// Their parts together: one, or nothing where there is nobody.
    parts: f64,
    /// The interval under way.
    all: Sums,
}

impl<K> Default for Book<K> {
    fn default() -> Self {
        Self {
            accounts: BTreeMap::new(),
            parts: 0.0,
            all: Sums::default(),
        }
    }
}

impl<K: Ord> Book<K> {
    /// Has accounts of these, with their programmes and parts, and of nobody else; balances stay.
    pub fn open(&mut self, holders: impl Iterator<Item = (K, Option<ProgrammeId>, f64)>) {
        let mut before = std::mem::take(&mut self.accounts);
        for (holder, programme, part) in holders {
            let mut account = before.remove(&holder).unwrap_or_default();
            account.part = part;
            account.programme = programme;
            self.accounts.insert(holder, account);
        }
        self.parts = self.accounts.values().map(|account| account.part).sum();
    }

    /// Sets one pool's service against the shares: what was used beyond them is owed to those who left it. Only those who were
    /// served are looked at; what all others gain is one number. Returns what was lent, in microseconds of one accelerator.
    pub fn trade(&mut self, served: &[(&K, Used)], capacity_us: f64) -> f64 {
        // All shares together are the capacity: no more is lent than is left, but for the last bits.
        let (mut idle_part, mut left_us, mut lent_us) = (self.parts, 0.0, 0.0);
        for (holder, used) in served {
            let part = self
                .accounts
                .get(holder)
                .map_or(0.0, |account| account.part);
            let beside_us = part * capacity_us - used.served_us;
            idle_part -= part;
            if beside_us > 0.0 {
                left_us += beside_us;
            } else {
                lent_us -= beside_us;
            }
        }
        left_us += idle_part.max(0.0) * capacity_us;
        let earned = if left_us > 0.0 {
            lent_us / left_us
        } else {
            0.0
        };
        for (holder, used) in served {
            let Some(account) = self.accounts.get_mut(*holder) else {
                continue;
            };
            let share_us = account.part * capacity_us;
            let beside_us = share_us - used.served_us;
            let gain_us = if beside_us > 0.0 {
                beside_us * earned
            } else {
                beside_us
            };
            // Beside what it gains like everybody.
            account.own.gain_us += gain_us - share_us * earned;
            account.own.used.add(*used);
        }
        self.all.gain_us += capacity_us * earned;
        self.all.capacity_us += capacity_us;
        lent_us
    }

    /// Ends the interval: of each balance that much is kept, and what its pools gave is added.
    pub fn close(&mut self, kept: f64, month: i64) {
        let all = std::mem::take(&mut self.all);
        for account in self.accounts.values_mut() {
            let own = std::mem::take(&mut account.own);
            account.balance_us =
                account.balance_us * kept + account.part * all.gain_us + own.gain_us;
            account.month.turn(month);
            account.month.add(own.used, account.part * all.capacity_us);
        }
    }

    /// No balance is more than its part of `cap_us`.
    pub fn cap(&mut self, cap_us: f64) {
        for account in self.accounts.values_mut() {
            let cap_us = cap_us * account.part;
            account.balance_us = account.balance_us.clamp(-cap_us, cap_us);
        }
    }
}
