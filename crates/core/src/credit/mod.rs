//! Shares over time: what of its share a tenant left to others is its credit, what it took of theirs its debt.
//!
//! The rule is Karma's (Vuppalapati et al., OSDI 2023), for service that flows rather than comes in slices: in each interval,
//! whoever used less than its share is credited with what others used beyond theirs, in proportion to what it left, and those
//! others owe it. What is credited is owed: credit is neither made nor lost, but for what fades and what the cap cuts off.

mod booked;
mod lean;
mod month;

pub use booked::Booked;
pub use lean::{Claimant, leans};
pub use month::Month;

use crate::fleet_view::{Shares, TenantShare};
use crate::learn::whole;
use crate::share;
use madang_types::{Micros, ProgrammeId, TenantId};
use month::month_number;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const HOUR_US: f64 = 3_600e6;
const DAY_US: f64 = 24.0 * HOUR_US;
/// A balance counts in full from so much of the tenant's own share on; the less there is, the gentler it is spent or paid.
const RAMP_US: f64 = HOUR_US;
/// Shorter intervals are not worth an account.
const INTERVAL_US: u64 = 10_000_000;

/// How credit lives. It is a tenant's in service of accelerators, as the share tree charges it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditTerms {
    /// Credit and debt fade to half in so many days.
    pub half_life_days: u32,
    /// Neither is more than the tenant's share of all accelerators over so many days; 0: there is none.
    pub cap_days: u32,
    /// Credit in full raises a share to at most so many times itself, and debt in full lowers one to no less than this part of it.
    pub factor_max: u32,
    /// Months begin at midnight so many seconds east of UTC.
    pub month_offset_s: i32,
}

impl Default for CreditTerms {
    fn default() -> Self {
        Self {
            half_life_days: 30,
            cap_days: 7,
            factor_max: 4,
            month_offset_s: 0,
        }
    }
}

/// What a tenant has beside its share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// Of which programme.
    pub programme: Option<ProgrammeId>,
    /// Its part of everything that there is, by the weights of all tenants: what it is promised.
    pub part: f64,
    /// Credit, or debt where below zero, in microseconds of one accelerator.
    pub balance_us: f64,
    /// The civil month so far.
    pub month: Month,
    own: Own,
}

/// What an interval under way was to one tenant beside what it is to all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Own {
    gain_us: f64,
    used: Used,
}

/// An interval's pools together.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    /// What a tenant with all of the shares would gain that used nothing.
    gain_us: f64,
    capacity_us: f64,
    lent_us: f64,
}

/// What a tenant got and asked for, in microseconds of one accelerator.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Used {
    /// Served.
    pub served_us: f64,
    /// Asked for, served or not.
    pub asked_us: f64,
}

/// One pool's interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolInterval {
    /// Replicas that served it.
    pub accelerators: u32,
    /// Requests waited: its service was all that it could give.
    pub contended: bool,
    /// By tenant; of those without an account, nothing is counted.
    pub used: Vec<(TenantId, Used)>,
}

/// One tenant's balance as a driver worked it out from the books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditRow {
    /// Whose.
    pub tenant: TenantId,
    /// Credit, or debt where below zero, in microseconds of one accelerator.
    pub balance_us: i64,
    /// The civil month so far.
    pub month: Month,
}

/// The accounts of all tenants that have a share.
#[derive(Clone, Debug, Default)]
pub struct Credits {
    terms: CreditTerms,
    accounts: BTreeMap<TenantId, Account>,
    /// Their parts together: one, or nothing where there is nobody.
    parts: f64,
    /// Replicas of all pools, as of the last interval.
    accelerators: f64,
    settled_at: Option<Micros>,
}

impl Credits {
    /// Accounts of nobody.
    pub fn new(terms: CreditTerms) -> Self {
        Self {
            terms,
            ..Self::default()
        }
    }

    /// Puts other terms in force.
    pub fn terms_apply(&mut self, terms: CreditTerms) {
        self.terms = terms;
        self.cap();
    }

    /// Who has which share from now on. Whoever is not named any more loses its account.
    pub fn shares_apply(&mut self, shares: &Shares) {
        let mut before = std::mem::take(&mut self.accounts);
        for (share, part) in parts(shares) {
            let mut account = before.remove(&share.tenant).unwrap_or_default();
            account.part = part;
            account.programme = share.programme.clone();
            self.accounts.insert(share.tenant.clone(), account);
        }
        self.parts = self.accounts.values().map(|account| account.part).sum();
        self.cap();
    }

    /// Every account, by tenant.
    pub fn accounts(&self) -> impl Iterator<Item = (&TenantId, &Account)> {
        self.accounts.iter()
    }

    /// A tenant's account.
    pub fn account(&self, tenant: &TenantId) -> Option<&Account> {
        self.accounts.get(tenant)
    }

    /// Whether an interval's length has passed since the last one ended, or the clock was set back.
    pub fn is_due(&self, now: Micros) -> bool {
        self.settled_at
            .is_none_or(|at| now < at || now.since_us(at) >= INTERVAL_US)
    }

    fn elapsed_us(&self, now: Micros) -> u64 {
        self.settled_at.map_or(0, |at| now.since_us(at))
    }

    /// Ends an interval at `now`: balances fade over its length, then each pool's service is set against the shares. Returns
    /// what was lent in all, in microseconds of one accelerator.
    pub fn settle(&mut self, now: Micros, pools: &[PoolInterval]) -> f64 {
        let elapsed_us = self.elapsed_us(now);
        self.settled_at = Some(now);
        self.accelerators = pools.iter().map(|pool| f64::from(pool.accelerators)).sum();
        let elapsed_us = whole(elapsed_us);
        let mut all = Sums::default();
        for pool in pools {
            self.trade(pool, elapsed_us, &mut all);
        }
        let month = month_number(now, self.terms.month_offset_s);
        let half_life_us = f64::from(self.terms.half_life_days.max(1)) * DAY_US;
        let kept = half(elapsed_us / half_life_us);
        for account in self.accounts.values_mut() {
            let own = std::mem::take(&mut account.own);
            account.balance_us =
                account.balance_us * kept + account.part * all.gain_us + own.gain_us;
            account.month.turn(month);
            account.month.add(own.used, account.part * all.capacity_us);
        }
        self.cap();
        all.lent_us
    }

    /// Sets one pool's service against the shares: what was used beyond them is owed to those who left it. Only those who were
    /// served are looked at; what all others gain is one number.
    fn trade(&mut self, pool: &PoolInterval, elapsed_us: f64, all: &mut Sums) {
        let mut served: BTreeMap<&TenantId, Used> = BTreeMap::new();
        for (tenant, used) in &pool.used {
            if self.accounts.contains_key(tenant) {
                let sum = served.entry(tenant).or_default();
                sum.served_us += used.served_us;
                sum.asked_us += used.asked_us;
            }
        }
        let total_us: f64 = served.values().map(|used| used.served_us).sum();
        let capacity_us = if pool.contended {
            total_us
        } else {
            total_us.max(f64::from(pool.accelerators) * elapsed_us)
        };
        // All shares together are the capacity: no more is lent than is left, but for the last bits.
        let (mut idle_part, mut left_us, mut lent_us) = (self.parts, 0.0, 0.0);
        for (tenant, used) in &served {
            let part = self
                .accounts
                .get(*tenant)
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
        for (tenant, used) in served {
            let Some(account) = self.accounts.get_mut(tenant) else {
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
            account.own.used.served_us += used.served_us;
            account.own.used.asked_us += used.asked_us;
        }
        all.gain_us += capacity_us * earned;
        all.capacity_us += capacity_us;
        all.lent_us += lent_us;
    }

    /// Until the first interval nobody has said what there is to cap.
    fn cap(&mut self) {
        if self.accelerators <= 0.0 && self.terms.cap_days > 0 {
            return;
        }
        let cap_us = f64::from(self.terms.cap_days) * DAY_US * self.accelerators;
        for account in self.accounts.values_mut() {
            let cap_us = cap_us * account.part;
            account.balance_us = account.balance_us.clamp(-cap_us, cap_us);
        }
    }

    /// What a tenant's share may become by its balance, in times itself: 1 without one, more with credit, less with debt.
    pub fn reach(&self, tenant: &TenantId) -> f64 {
        self.accounts
            .get(tenant)
            .map_or(1.0, |account| self.reach_of(account))
    }

    /// The same of an account.
    pub fn reach_of(&self, account: &Account) -> f64 {
        let full_us = account.part * self.accelerators * RAMP_US;
        if full_us <= 0.0 {
            return 1.0;
        }
        let standing = (account.balance_us / full_us).clamp(-1.0, 1.0);
        let factor = f64::from(self.terms.factor_max.max(1));
        if standing > 0.0 {
            1.0 + standing * (factor - 1.0)
        } else {
            1.0 + standing * (1.0 - 1.0 / factor)
        }
    }

    /// Puts balances from the books in the place of these. Whoever has no account gets none.
    pub fn restore(&mut self, rows: Vec<CreditRow>) {
        for row in rows {
            if let Some(account) = self.accounts.get_mut(&row.tenant) {
                account.balance_us = signed(row.balance_us);
                account.month = row.month;
            }
        }
    }

    /// Every account, to be put back by [`Credits::restore`].
    pub fn rows(&self) -> Vec<CreditRow> {
        let row = |(tenant, account): (&TenantId, &Account)| CreditRow {
            tenant: tenant.clone(),
            balance_us: account.balance_us as i64,
            month: account.month,
        };
        self.accounts.iter().map(row).collect()
    }
}

/// Each tenant's part of everything.
fn parts(shares: &Shares) -> impl Iterator<Item = (&TenantShare, f64)> {
    let own: BTreeMap<&ProgrammeId, u32> =
        shares.programmes.iter().map(|(id, w)| (id, *w)).collect();
    let among = |programme| own.get(programme).copied().unwrap_or(1).max(1);
    let tenants = shares.tenants.iter();
    let weights = tenants.map(|share| {
        let above = share.programme.as_ref();
        let above = above.map(|programme| (programme, among(programme)));
        (above, share.weight.max(1))
    });
    let weights: Vec<_> = weights.collect();
    shares.tenants.iter().zip(share::parts(&weights))
}

/// Two to the power of minus `halvings`, by products only: the same to the last bit everywhere, and right to 0.02 %.
pub(crate) fn half(halvings: f64) -> f64 {
    const LN_2: f64 = std::f64::consts::LN_2;
    let mut kept = 1.0;
    let mut left = halvings.clamp(0.0, 64.0);
    while left >= 1.0 {
        kept *= 0.5;
        left -= 1.0;
    }
    // (1 − x/1024)^1024 is e^−x.
    let mut rest = 1.0 - left * LN_2 / 1024.0;
    for _ in 0..10 {
        rest *= rest;
    }
    kept * rest
}

fn signed(number: i64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
