//! Shares over time: what of its share a tenant left to others is its credit, what it took of theirs its debt.
//!
//! The rule is Karma's (Vuppalapati et al., OSDI 2023), for service that flows rather than comes in slices: in each interval,
//! whoever used less than its share is credited with what others used beyond theirs, in proportion to what it left, and those
//! others owe it. What is credited is owed: credit is neither made nor lost, but for what fades and what the cap cuts off.
//!
//! The accounts are kept twice, as the shares are a tree of two levels: of tenants, and of programmes for all of their tenants
//! together. A tenant that saved while its programme's other tenants took what was another programme's comes after that one's.

mod book;
mod booked;
mod lean;
mod month;

pub use book::Account;
pub use booked::Booked;
pub use lean::{Claimant, leans};
pub use month::Month;

use crate::fleet_view::{Shares, TenantShare};
use crate::learn::whole;
use crate::share;
use book::Book;
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

/// What a tenant got and asked for, in microseconds of one accelerator.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Used {
    /// Served.
    pub served_us: f64,
    /// Asked for, served or not.
    pub asked_us: f64,
}

impl Used {
    fn add(&mut self, other: Self) {
        self.served_us += other.served_us;
        self.asked_us += other.asked_us;
    }
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

/// Who has an account of its own among programmes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Holder {
    /// A programme: what its tenants use counts together.
    Programme(ProgrammeId),
    /// A tenant; among programmes only where it has none.
    Tenant(TenantId),
}

impl Holder {
    fn above(tenant: &TenantId, programme: Option<&ProgrammeId>) -> Self {
        programme.map_or_else(
            || Self::Tenant(tenant.clone()),
            |programme| Self::Programme(programme.clone()),
        )
    }
}

/// One balance as a driver worked it out from the books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditRow {
    /// Whose.
    pub holder: Holder,
    /// Credit, or debt where below zero, in microseconds of one accelerator.
    pub balance_us: i64,
    /// The civil month so far.
    pub month: Month,
}

/// What a tenant's balance does to its share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reach {
    /// What the share may become, in times itself: 1 without a balance, more with credit, less with debt.
    pub factor: f64,
    /// The part of its gain that goes before what others gain: all of it where its programme has credit too, or it has none.
    pub first: f64,
}

impl Reach {
    /// Of whoever has neither credit nor debt, or does not ask for more than its share.
    pub const LEVEL: Self = Self {
        factor: 1.0,
        first: 1.0,
    };
}

/// The accounts of all tenants that have a share, and of their programmes.
#[derive(Clone, Debug, Default)]
pub struct Credits {
    terms: CreditTerms,
    tenants: Book<TenantId>,
    /// Programmes, and tenants that have none: each lends to the others and borrows from them as a whole.
    programmes: Book<Holder>,
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
        let mut programmes: BTreeMap<Holder, f64> = BTreeMap::new();
        for (share, part) in parts(shares) {
            let holder = Holder::above(&share.tenant, share.programme.as_ref());
            *programmes.entry(holder).or_default() += part;
        }
        let of_programme = |(holder, part)| (holder, None, part);
        self.programmes
            .open(programmes.into_iter().map(of_programme));
        self.tenants.open(parts(shares).map(|(share, part)| {
            let programme = share.programme.clone();
            (share.tenant.clone(), programme, part)
        }));
        self.cap();
    }

    /// Every account, by tenant.
    pub fn accounts(&self) -> impl Iterator<Item = (&TenantId, &Account)> {
        self.tenants.accounts.iter()
    }

    /// A tenant's account.
    pub fn account(&self, tenant: &TenantId) -> Option<&Account> {
        self.tenants.accounts.get(tenant)
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
        let mut lent_us = 0.0;
        for pool in pools {
            lent_us += self.trade(pool, elapsed_us);
        }
        let month = month_number(now, self.terms.month_offset_s);
        let half_life_us = f64::from(self.terms.half_life_days.max(1)) * DAY_US;
        let kept = half(elapsed_us / half_life_us);
        self.tenants.close(kept, month);
        self.programmes.close(kept, month);
        self.cap();
        lent_us
    }

    /// Sets one pool's service against the shares, of tenants and of programmes; returns what tenants lent.
    fn trade(&mut self, pool: &PoolInterval, elapsed_us: f64) -> f64 {
        let mut tenants: BTreeMap<&TenantId, Used> = BTreeMap::new();
        let mut programmes: BTreeMap<Holder, Used> = BTreeMap::new();
        for (tenant, used) in &pool.used {
            if let Some(account) = self.tenants.accounts.get(tenant) {
                tenants.entry(tenant).or_default().add(*used);
                let holder = Holder::above(tenant, account.programme.as_ref());
                programmes.entry(holder).or_default().add(*used);
            }
        }
        let total_us: f64 = tenants.values().map(|used| used.served_us).sum();
        let capacity_us = if pool.contended {
            total_us
        } else {
            total_us.max(f64::from(pool.accelerators) * elapsed_us)
        };
        let programmes: Vec<_> = programmes
            .iter()
            .map(|(above, used)| (above, *used))
            .collect();
        self.programmes.trade(&programmes, capacity_us);
        let tenants: Vec<_> = tenants.into_iter().collect();
        self.tenants.trade(&tenants, capacity_us)
    }

    /// Until the first interval nobody has said what there is to cap.
    fn cap(&mut self) {
        if self.accelerators <= 0.0 && self.terms.cap_days > 0 {
            return;
        }
        let cap_us = f64::from(self.terms.cap_days) * DAY_US * self.accelerators;
        self.tenants.cap(cap_us);
        self.programmes.cap(cap_us);
    }

    /// What a tenant's balance, and its programme's, do to its share.
    pub fn reach(&self, tenant: &TenantId) -> Reach {
        let Some(account) = self.account(tenant) else {
            return Reach::LEVEL;
        };
        let programme = account.programme.clone().map(Holder::Programme);
        let programme = programme.and_then(|holder| self.programmes.accounts.get(&holder));
        Reach {
            factor: self.factor_of(account),
            first: programme.map_or(1.0, |account| self.standing(account).max(0.0)),
        }
    }

    /// What an account's share may become, in times itself.
    pub fn factor_of(&self, account: &Account) -> f64 {
        let standing = self.standing(account);
        let factor = f64::from(self.terms.factor_max.max(1));
        if standing > 0.0 {
            1.0 + standing * (factor - 1.0)
        } else {
            1.0 + standing * (1.0 - 1.0 / factor)
        }
    }

    /// How much a balance counts: from −1, debt in full, to 1, credit in full.
    fn standing(&self, account: &Account) -> f64 {
        let full_us = account.part * self.accelerators * RAMP_US;
        if full_us <= 0.0 {
            return 0.0;
        }
        (account.balance_us / full_us).clamp(-1.0, 1.0)
    }

    /// Puts balances from the books in the place of these. Whoever has no account gets none.
    pub fn restore(&mut self, rows: Vec<CreditRow>) {
        for row in rows {
            let account = match &row.holder {
                Holder::Tenant(tenant) => self.tenants.accounts.get_mut(tenant),
                Holder::Programme(_) => self.programmes.accounts.get_mut(&row.holder),
            };
            if let Some(account) = account {
                account.balance_us = signed(row.balance_us);
                account.month = row.month;
            }
        }
    }

    /// Every account, to be put back by [`Credits::restore`].
    pub fn rows(&self) -> Vec<CreditRow> {
        let row = |holder: Holder, account: &Account| CreditRow {
            holder,
            balance_us: account.balance_us as i64,
            month: account.month,
        };
        let tenants = self.tenants.accounts.iter();
        let tenants = tenants.map(|(tenant, account)| row(Holder::Tenant(tenant.clone()), account));
        // Of a tenant without a programme, the account among programmes moves nothing.
        let programmes = self.programmes.accounts.iter();
        let programmes = programmes.filter(|(holder, _)| matches!(holder, Holder::Programme(_)));
        let programmes = programmes.map(|(holder, account)| row(holder.clone(), account));
        tenants.chain(programmes).collect()
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
