//! How fast a key may go: requests and tokens in a minute, a bucket for each. Pure: the caller passes `now`.
//!
//! A full bucket holds what a minute allows, and fills evenly. What is kept of it is its debt: what was taken and has not
//! come back. Who is idle owes nothing, and is forgotten.
//!
//! Tokens are taken by an estimate and trued up at the end. A request that is estimated at more than a whole minute's
//! tokens is let through once the bucket is full, and its debt is worked off after it: the rate holds over time.
//!
//! Where several gateways share a key's rates, each has a bucket of the part that it holds ([`parts`]).

mod parts;
#[cfg(test)]
mod tests;

use crate::input::TOKENS_MAX;
use madang_ledger::WHOLE_PERMILLE;
use madang_types::{KeyId, Micros};
use parts::{Parts, capacity};
use std::collections::BTreeMap;
use std::ops::Bound;

/// Parts of one request or token: a bucket of `n` in a minute gets `n` parts back each microsecond.
const PARTS: u64 = 60_000_000;
/// Keys that are looked at with each request, whether they can be forgotten: two, so that idle keys go faster than new ones come.
const FORGET_LOOKS: usize = 2;

/// What a key may do in a minute; `None` for no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateBounds {
    /// Requests.
    pub requests_per_min: Option<u32>,
    /// Tokens of prompts and answers.
    pub tokens_per_min: Option<u32>,
}

/// How one bucket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// What a minute allows.
    pub limit: u32,
    /// What is left now.
    pub remaining: u32,
    /// Microseconds until all of it is back.
    pub reset_us: u64,
}

/// How a key's buckets stand; `None` for what is not bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateStanding {
    /// Of requests.
    pub requests: Option<Bucket>,
    /// Of tokens.
    pub tokens: Option<Bucket>,
}

/// Which bound is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateUnit {
    /// Requests in a minute.
    Requests,
    /// Tokens in a minute.
    Tokens,
}

/// A request that comes too soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateRefusal {
    /// What it has to wait for the longest.
    pub unit: RateUnit,
    /// Microseconds after which it would be let through, if nothing else comes.
    pub wait_us: u64,
    /// How the buckets stand.
    pub standing: RateStanding,
    /// Where what this gateway holds of the rates does not suffice for any request: microseconds until a part comes that does.
    pub part_comes_us: Option<u64>,
}

/// The rates of all keys that are not idle.
#[derive(Debug, Default)]
pub struct Rates {
    debts: BTreeMap<KeyId, Debts>,
    /// What this gateway holds of each; `None` where it is the only one, and holds all.
    parts: Option<Parts>,
    /// The key that was looked at last, for forgetting.
    looked_at: Option<KeyId>,
}

/// What a key has taken and not got back, in parts.
#[derive(Clone, Copy, Debug, Default)]
struct Debts {
    bounds: RateBounds,
    /// How large the buckets are here, in thousandths.
    permille: u32,
    at: Micros,
    requests: u64,
    tokens: u64,
}

impl Rates {
    /// Takes one request and `tokens` from a key's buckets, or nothing.
    ///
    /// # Errors
    /// One of them holds too little: which, and how long it takes.
    pub fn admit(
        &mut self,
        now: Micros,
        (key, bounds): (&KeyId, RateBounds),
        tokens: u64,
    ) -> Result<RateStanding, RateRefusal> {
        self.forget(now);
        if let Some(parts) = &mut self.parts {
            parts.held(key, bounds).tried();
        }
        let mut debts = self.debts_at(now, key, bounds);
        let tokens = tokens.min(TOKENS_MAX);
        if let Some(refusal) = self.lacking(now, (key, &debts), tokens) {
            return Err(refusal);
        }
        let (unit, wait_us) = debts.wait_us(tokens);
        if wait_us > 0 {
            return Err(RateRefusal {
                unit,
                wait_us,
                standing: debts.standing(),
                part_comes_us: None,
            });
        }
        debts.take(1, tokens);
        self.debts.insert(key.clone(), debts);
        Ok(debts.standing())
    }

    /// A request is over: tokens that were `taken` for it and not `used` go back, and the other way round.
    pub fn settle(
        &mut self,
        now: Micros,
        (key, bounds): (&KeyId, RateBounds),
        (taken, used): (u64, u64),
    ) {
        let (taken, used) = (taken.min(TOKENS_MAX), used.min(TOKENS_MAX));
        let mut debts = self.debts_at(now, key, bounds);
        debts.take(0, used.saturating_sub(taken));
        let back = taken.saturating_sub(used) * PARTS;
        debts.tokens = debts.tokens.saturating_sub(back);
        if let Some(parts) = &mut self.parts
            && !debts.is_empty()
        {
            // Whoever owes needs a part to work it off.
            parts.held(key, bounds);
        }
        self.keep(key, debts);
    }

    /// How many keys are known: those that were not idle lately.
    pub fn len(&self) -> usize {
        self.debts.len()
    }

    /// Whether no key is known.
    pub fn is_empty(&self) -> bool {
        self.debts.is_empty()
    }

    fn keep(&mut self, key: &KeyId, debts: Debts) {
        if debts.is_empty() {
            self.debts.remove(key);
        } else {
            self.debts.insert(key.clone(), debts);
        }
    }

    /// A key's debts, with what has come back since they were written down.
    fn debts_at(&self, now: Micros, key: &KeyId, bounds: RateBounds) -> Debts {
        let mut debts = self.debts.get(key).copied().unwrap_or_default();
        debts.pass(now);
        debts.bounds = bounds;
        let parts = self.parts.as_ref();
        debts.permille = parts.map_or(WHOLE_PERMILLE, |parts| parts.permille(key));
        debts
    }

    /// Forgets idle keys among the next few.
    fn forget(&mut self, now: Micros) {
        for _ in 0..FORGET_LOOKS {
            let after = self
                .looked_at
                .take()
                .map_or(Bound::Unbounded, Bound::Excluded);
            let next = self.debts.range_mut((after, Bound::Unbounded)).next();
            // At the end the next look begins anew.
            let Some((key, debts)) = next else { return };
            debts.pass(now);
            let (key, idle) = (key.clone(), debts.is_empty());
            if idle {
                self.debts.remove(&key);
            }
            self.looked_at = Some(key);
        }
    }
}

impl Debts {
    /// Time went by. Where the clock went backwards nothing comes back, and from there it goes on.
    fn pass(&mut self, now: Micros) {
        let elapsed_us = now.since_us(self.at);
        let back = |rate: Option<u32>| rate.map_or(u64::MAX, |rate| self.filled(rate, elapsed_us));
        let requests = back(self.bounds.requests_per_min);
        let tokens = back(self.bounds.tokens_per_min);
        self.requests = self.requests.saturating_sub(requests);
        self.tokens = self.tokens.saturating_sub(tokens);
        self.at = now;
    }

    fn take(&mut self, requests: u64, tokens: u64) {
        if self.bounds.requests_per_min.is_some() {
            self.requests = self.requests.saturating_add(requests * PARTS);
        }
        if self.bounds.tokens_per_min.is_some() {
            self.tokens = self.tokens.saturating_add(tokens * PARTS);
        }
    }

    fn is_empty(&self) -> bool {
        self.requests == 0 && self.tokens == 0
    }

    fn standing(&self) -> RateStanding {
        RateStanding {
            requests: self.bucket(self.requests, self.bounds.requests_per_min),
            tokens: self.bucket(self.tokens, self.bounds.tokens_per_min),
        }
    }

    /// What comes back of it in so long.
    fn filled(&self, limit: u32, elapsed_us: u64) -> u64 {
        let speed = u128::from(limit) * u128::from(self.permille);
        let filled = speed * u128::from(elapsed_us) / u128::from(WHOLE_PERMILLE);
        u64::try_from(filled).unwrap_or(u64::MAX)
    }

    /// How long so much of it takes to come back, in microseconds.
    fn filling_us(&self, limit: u32, debt: u64) -> u64 {
        let speed = u128::from(limit.max(1)) * u128::from(self.permille.max(1));
        let us = (u128::from(debt) * u128::from(WHOLE_PERMILLE)).div_ceil(speed);
        u64::try_from(us).unwrap_or(u64::MAX)
    }

    /// Microseconds until there is room for one request and so many tokens, or the bucket is full, and of which it takes so long.
    fn wait_us(&self, tokens: u64) -> (RateUnit, u64) {
        let requests_us = self.room_us(self.requests, self.bounds.requests_per_min, 1);
        let tokens_us = self.room_us(self.tokens, self.bounds.tokens_per_min, tokens);
        if tokens_us > requests_us {
            (RateUnit::Tokens, tokens_us)
        } else {
            (RateUnit::Requests, requests_us)
        }
    }

    /// Microseconds until a bucket has room for `count`, or is full.
    fn room_us(&self, debt: u64, limit: Option<u32>, count: u64) -> u64 {
        let Some(limit) = limit else {
            return 0;
        };
        let room = capacity(limit, self.permille).saturating_sub(count * PARTS);
        self.filling_us(limit, debt.saturating_sub(room))
    }

    fn bucket(&self, debt: u64, limit: Option<u32>) -> Option<Bucket> {
        let limit = limit?;
        let remaining = capacity(limit, self.permille).saturating_sub(debt) / PARTS;
        Some(Bucket {
            limit,
            remaining: u32::try_from(remaining).unwrap_or(limit),
            reset_us: self.filling_us(limit, debt),
        })
    }
}
