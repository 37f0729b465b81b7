//! The tree of those who use accelerators: what each used, fading, and who is next.

use super::ask::AccountKey;
use crate::credit::half;
use crate::learn::whole;
use madang_types::Micros;
use std::cmp::Ordering;

/// Milli-accelerator-µs of use, or thousandths of an accelerator in use.
type Use = f64;

/// One programme, tenant or project.
#[derive(Clone, Debug)]
struct Account {
    parent: Option<AccountKey>,
    weight: f64,
    /// What it and all below it used until `at`, as far as it has not faded.
    used: Use,
    at: Micros,
    /// What they hold now, in thousandths of an accelerator.
    held_milli: u64,
}

/// All of them. The first is the root.
#[derive(Clone, Debug)]
pub(super) struct Accounts {
    half_life_us: f64,
    /// What somebody is to hold counts as if it were used for so long.
    horizon_us: f64,
    accounts: Vec<Account>,
}

/// How much of its share an account has had: the least is next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Standing(f64);

impl Eq for Standing {}

impl PartialOrd for Standing {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Standing {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Accounts {
    pub(super) fn new(half_life_us: u64, horizon_us: u64) -> Self {
        Self {
            half_life_us: whole(half_life_us.max(1)),
            horizon_us: whole(horizon_us),
            accounts: vec![Account::new(None, 1)],
        }
    }

    /// The account that holds all others.
    pub(super) const ROOT: AccountKey = AccountKey(0);

    pub(super) fn add(&mut self, parent: AccountKey, weight: u32) -> AccountKey {
        let parent = if parent.0 < self.accounts.len() {
            parent
        } else {
            Self::ROOT
        };
        self.accounts.push(Account::new(Some(parent), weight));
        AccountKey(self.accounts.len() - 1)
    }

    pub(super) fn weigh(&mut self, account: AccountKey, weight: u32) {
        if let Some(account) = self.accounts.get_mut(account.0) {
            account.weight = f64::from(weight.max(1));
        }
    }

    pub(super) fn parent(&self, account: AccountKey) -> Option<AccountKey> {
        self.accounts.get(account.0)?.parent
    }

    /// `account` and all above it hold `milli` more, or less, from `now` on.
    pub(super) fn hold(&mut self, account: AccountKey, milli: i64, now: Micros) {
        self.each_above(account, now, |here| {
            here.held_milli = here.held_milli.saturating_add_signed(milli);
        });
    }

    /// `account` and all above it had used so much, at about `at`, of which nothing was told.
    pub(super) fn used_before(
        &mut self,
        account: AccountKey,
        (used, at): (Use, Micros),
        now: Micros,
    ) {
        let kept = half(whole(now.since_us(at)) / self.half_life_us);
        self.each_above(account, now, |here| here.used += used * kept);
    }

    /// Changes `account` and all above it, as they stand at `now`.
    fn each_above(&mut self, account: AccountKey, now: Micros, change: impl Fn(&mut Account)) {
        let mut next = Some(account);
        while let Some(here) = next.and_then(|key| self.accounts.get_mut(key.0)) {
            here.used = here.used_at(now, self.half_life_us);
            here.at = here.at.max(now);
            change(here);
            next = here.parent;
        }
    }

    /// Where `account` stands among its siblings: what was used of its share, and the `milli` that it is to hold.
    pub(super) fn standing(&self, account: AccountKey, milli: u64, now: Micros) -> Standing {
        let of = &self.accounts[account.0.min(self.accounts.len() - 1)];
        let used = of.used_at(now, self.half_life_us);
        Standing((used + whole(milli) * self.horizon_us) / of.weight)
    }

    /// What was in use until `now`, on the mean of the time that has not faded, in thousandths of accelerators.
    pub(super) fn used_milli(&self, account: AccountKey, now: Micros) -> f64 {
        let per_milli = self.half_life_us / std::f64::consts::LN_2;
        self.accounts
            .get(account.0)
            .map_or(0.0, |of| of.used_at(now, self.half_life_us) / per_milli)
    }

    /// What was used until `now` and has not faded, in accelerator-seconds.
    pub(super) fn used_s(&self, account: AccountKey, now: Micros) -> f64 {
        self.accounts
            .get(account.0)
            .map_or(0.0, |of| of.used_at(now, self.half_life_us) / 1e9)
    }
}

impl Account {
    fn new(parent: Option<AccountKey>, weight: u32) -> Self {
        Self {
            parent,
            weight: f64::from(weight.max(1)),
            used: 0.0,
            at: Micros(0),
            held_milli: 0,
        }
    }

    /// Use fades to half in each half-life; what is held meanwhile fades as it is used.
    fn used_at(&self, now: Micros, half_life_us: f64) -> Use {
        let kept = half(whole(now.since_us(self.at)) / half_life_us);
        let per_milli = half_life_us / std::f64::consts::LN_2 * (1.0 - kept);
        self.used * kept + whole(self.held_milli) * per_milli
    }
}
