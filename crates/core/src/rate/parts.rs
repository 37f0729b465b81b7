//! The parts of its keys' rates that a gateway holds: what it asks of the books, and what it is told.
//!
//! What a bucket has when its part is cut is split as the part is, and what a new piece brings is what the books say that it holds:
//! so all gateways' buckets together never hold more than one, and fill no faster.

#[cfg(test)]
mod tests;

use super::{Debts, PARTS, RateBounds, RateRefusal, Rates};
use madang_ledger::{PART_LEASE_MS, PART_MOVES_MS, PartAsk, PartGrant, WHOLE_PERMILLE};
use madang_types::{KeyId, Micros};
use std::collections::{BTreeMap, BTreeSet};

/// What one request counts as demand; a quarter of it is forgotten with each look.
const DEMAND: u32 = 1_024;

/// The part of each key that requests came for lately, or that owes something.
#[derive(Debug, Default)]
pub(super) struct Parts {
    held: BTreeMap<KeyId, Held>,
    /// Keys that are to be asked for before the next look.
    urgent: BTreeSet<KeyId>,
    /// The number of the last ask.
    number: u64,
    /// All is given up.
    is_closed: bool,
}

#[derive(Debug)]
pub(super) struct Held {
    bounds: RateBounds,
    permille: u32,
    /// What it should be.
    target: u32,
    /// When it ends.
    until: Micros,
    /// When it suffices for a request, as the books said.
    comes_at: Micros,
    /// The number of the last ask.
    number: u64,
    /// That one said that nothing is wanted.
    is_given_up: bool,
    /// Was urgent since the last look, and is not again before the next one.
    was_urgent: bool,
    /// Requests since the last look.
    tried: u32,
    demand: u32,
}

impl Parts {
    pub(super) fn permille(&self, key: &KeyId) -> u32 {
        self.held.get(key).map_or(0, |held| held.permille)
    }

    /// What is held of a key's rates: nothing yet where it is not known.
    pub(super) fn held(&mut self, key: &KeyId, bounds: RateBounds) -> &mut Held {
        let urgent = &mut self.urgent;
        let held = self.held.entry(key.clone()).or_insert_with(|| {
            urgent.insert(key.clone());
            Held::new(bounds, 0, 0)
        });
        held.bounds = bounds;
        held
    }

    /// What the books said; `true` where it makes the key urgent.
    fn granted(&mut self, (now, sent_at): (Micros, Micros), grant: &PartGrant, owes: bool) -> bool {
        let Some(held) = self.held.get_mut(&grant.key) else {
            return false;
        };
        if held.is_given_up {
            if held.wants() == 0 && !owes {
                self.held.remove(&grant.key);
                return false;
            }
            // What came since then begins anew.
            *held = Held::new(held.bounds, held.tried, held.demand);
            return self.urgent.insert(grant.key.clone());
        }
        held.permille = grant.permille.min(WHOLE_PERMILLE);
        held.target = grant.target;
        held.until = sent_at.plus_ms(PART_LEASE_MS);
        held.comes_at = now.plus_ms(grant.comes_ms);
        let is_urgent = held.permille > held.target && !held.was_urgent;
        if is_urgent {
            held.was_urgent = true;
            self.urgent.insert(grant.key.clone());
        }
        is_urgent
    }
}

impl Held {
    fn new(bounds: RateBounds, tried: u32, demand: u32) -> Self {
        Self {
            bounds,
            permille: 0,
            target: WHOLE_PERMILLE,
            until: Micros(0),
            comes_at: Micros(0),
            number: 0,
            is_given_up: false,
            was_urgent: true,
            tried,
            demand,
        }
    }

    /// Notes that a request came.
    pub(super) fn tried(&mut self) {
        self.tried = self.tried.saturating_add(1);
    }

    /// The part below which not one request fits.
    fn least(&self) -> u32 {
        let requests = self.bounds.requests_per_min;
        requests.map_or(1, |limit| WHOLE_PERMILLE.div_ceil(limit.max(1)))
    }

    fn wants(&self) -> u32 {
        let tried = self.tried.saturating_mul(DEMAND);
        self.demand.saturating_add(tried)
    }
}

impl Rates {
    /// Rates that several gateways share: this one holds nothing yet.
    pub fn shared() -> Self {
        Self {
            parts: Some(Parts::default()),
            ..Self::default()
        }
    }

    /// A look: demand fades. The keys that are to be asked for now: those that requests came for lately, or that owe something.
    pub fn look(&mut self) -> Vec<KeyId> {
        let Some(parts) = &mut self.parts else {
            return Vec::new();
        };
        parts.urgent.clear();
        for held in parts.held.values_mut() {
            held.demand = held.wants() - held.wants().div_ceil(4);
            held.tried = 0;
            held.was_urgent = false;
        }
        parts.held.keys().cloned().collect()
    }

    /// The keys that are to be asked for before the next look: those that are new here, and those of which another gateway waits for a
    /// part.
    pub fn urgent(&mut self) -> BTreeSet<KeyId> {
        let parts = self.parts.as_mut();
        parts.map_or_else(BTreeSet::new, |parts| std::mem::take(&mut parts.urgent))
    }

    /// From now on everything is given up: the keys that are to be asked for.
    pub fn close(&mut self) -> Vec<KeyId> {
        if let Some(parts) = &mut self.parts {
            parts.is_closed = true;
        }
        self.look()
    }

    /// The books gave this gateway up: it holds nothing any more.
    pub fn lose_all(&mut self) {
        let parts = self.parts.iter_mut();
        for held in parts.flat_map(|parts| parts.held.values_mut()) {
            held.until = Micros(i64::MIN);
        }
    }

    /// What is to be asked of the books now about these keys. Parts are cut to what they should be, and where nothing is used or owed
    /// everything is given up, so that whoever needs it has it.
    pub fn asks<'a>(
        &mut self,
        now: Micros,
        keys: impl IntoIterator<Item = &'a KeyId>,
    ) -> Vec<PartAsk> {
        let keys = keys.into_iter();
        keys.filter_map(|key| self.ask(now, key)).collect()
    }

    fn ask(&mut self, now: Micros, key: &KeyId) -> Option<PartAsk> {
        let held = self.parts.as_ref()?.held.get(key)?;
        let (bounds, is_over) = (held.bounds, held.until <= now);
        let mut debts = self.debts_at(now, key, bounds);
        let parts = self.parts.as_mut()?;
        parts.number += 1;
        let held = parts.held.get_mut(key)?;
        // Who owes something works that off first.
        held.is_given_up = parts.is_closed || (held.wants() == 0 && debts.is_empty());
        let keeps_none = held.is_given_up || is_over;
        let target = if keeps_none { 0 } else { held.target };
        let cut = held.permille.saturating_sub(target);
        let fill = debts.cut(held.permille - cut);
        held.permille -= cut;
        held.number = parts.number;
        let ask = PartAsk {
            number: held.number,
            holds: held.permille,
            // The books have it that a lease that is over holds nothing.
            gives: if is_over { 0 } else { cut },
            fill,
            demand: if held.is_given_up {
                0
            } else {
                held.wants().max(1)
            },
            least: held.least(),
            key: key.clone(),
        };
        self.keep(key, debts);
        Some(ask)
    }

    /// What the books said of an ask that was sent at `sent_at`. A word that comes twice or late changes nothing. `true` where
    /// something is to be asked before the next look.
    pub fn granted(&mut self, now: Micros, sent_at: Micros, grant: &PartGrant) -> bool {
        let parts = self.parts.as_ref();
        let found = parts.and_then(|parts| parts.held.get(&grant.key));
        let Some(held) = found.filter(|held| held.number == grant.number) else {
            return false;
        };
        let mut debts = self.debts_at(now, &grant.key, held.bounds);
        let permille = grant.permille.min(WHOLE_PERMILLE);
        if permille > debts.permille {
            debts.grow(permille, grant.fill);
        } else {
            debts.cut(permille);
        }
        let owes = !debts.is_empty();
        self.keep(&grant.key, debts);
        let parts = self.parts.as_mut();
        parts.is_some_and(|parts| parts.granted((now, sent_at), grant, owes))
    }

    /// Why not even one request fits into what this gateway holds of a key's rates, if so.
    pub(super) fn lacking(
        &self,
        now: Micros,
        (key, debts): (&KeyId, &Debts),
        tokens: u64,
    ) -> Option<RateRefusal> {
        let held = self.parts.as_ref()?.held.get(key)?;
        if held.until > now && held.permille >= held.least() {
            return None;
        }
        let comes_us = held.comes_at.since_us(now).max(PART_MOVES_MS * 1_000);
        // It may come empty.
        let mut coming = *debts;
        coming.grow(held.target.max(held.least()), 0);
        let (unit, fills_us) = coming.wait_us(tokens);
        Some(RateRefusal {
            unit,
            wait_us: comes_us.saturating_add(fills_us),
            standing: debts.standing(),
            part_comes_us: Some(comes_us),
        })
    }
}

impl Debts {
    /// Each bounded bucket: what it owes, and what a minute allows.
    fn bounded(&mut self) -> impl Iterator<Item = (&mut u64, u32)> {
        let bounds = self.bounds;
        let requests = bounds
            .requests_per_min
            .map(|limit| (&mut self.requests, limit));
        let tokens = bounds.tokens_per_min.map(|limit| (&mut self.tokens, limit));
        requests.into_iter().chain(tokens)
    }

    /// Cuts the buckets, and what they hold with them; how full the piece is that is cut off, in thousandths. What is owed beyond a
    /// bucket stays.
    fn cut(&mut self, to: u32) -> u32 {
        let from = self.permille;
        let mut fill = WHOLE_PERMILLE;
        for (debt, limit) in self.bounded() {
            let (old, new) = (capacity(limit, from), capacity(limit, to));
            let within = u128::from((*debt).min(old));
            let level = u128::from(old) - within;
            let full = level * u128::from(WHOLE_PERMILLE) / u128::from(old.max(1));
            fill = fill.min(u32::try_from(full).unwrap_or(WHOLE_PERMILLE));
            let kept = (within * u128::from(to)).div_ceil(u128::from(from.max(1)));
            *debt = new.min(u64::try_from(kept).unwrap_or(new)) + debt.saturating_sub(old);
        }
        self.permille = to;
        fill
    }

    /// Makes the buckets larger by a piece that is so full, in thousandths.
    fn grow(&mut self, to: u32, fill: u32) {
        let lacks = u64::from(WHOLE_PERMILLE.saturating_sub(fill));
        let more = to.saturating_sub(self.permille);
        for (debt, limit) in self.bounded() {
            let piece = u128::from(capacity(limit, more)) * u128::from(lacks);
            let owed = piece.div_ceil(u128::from(WHOLE_PERMILLE));
            *debt = debt.saturating_add(u64::try_from(owed).unwrap_or(u64::MAX));
        }
        self.permille = to;
    }
}

/// What a bucket of so many thousandths holds.
pub(super) fn capacity(limit: u32, permille: u32) -> u64 {
    u64::from(limit) * u64::from(permille) * (PARTS / u64::from(WHOLE_PERMILLE))
}
