//! The parts of its keys' rates that a gateway holds: what it asks of the books, and what it is told.
//!
//! What a bucket has when its part is cut is split as the part is, and what a new piece brings is what the books say that it holds:
//! so all gateways' buckets together never hold more than one, and fill no faster.

use super::{Debts, PARTS, RateBounds, RateRefusal, RateUnit, Rates};
use madang_ledger::{PART_LEASE_MS, PartAsk, PartGrant, WHOLE_PERMILLE};
use madang_types::{KeyId, Micros};
use std::collections::BTreeMap;

/// How long it takes until a part has come that another gateway gives up, in microseconds: one look of each.
const PART_COMES_US: u64 = 2_000_000;
/// What one request counts as demand; a quarter of it is forgotten with each look.
const DEMAND: u32 = 1_024;

/// The part of each key that requests came for lately.
#[derive(Debug, Default)]
pub(super) struct Parts {
    held: BTreeMap<KeyId, Held>,
}

#[derive(Debug, Default)]
struct Held {
    bounds: RateBounds,
    permille: u32,
    /// What it should be.
    target: u32,
    /// When it ends.
    until: Micros,
    /// The number of the last ask.
    number: u64,
    /// Requests since the last look.
    tried: u32,
    demand: u32,
}

impl Parts {
    pub(super) fn permille(&self, key: &KeyId) -> u32 {
        self.held.get(key).map_or(0, |held| held.permille)
    }

    /// Notes that a request came.
    pub(super) fn tried(&mut self, key: &KeyId, bounds: RateBounds) {
        if !self.held.contains_key(key) {
            self.held.insert(key.clone(), Held::default());
        }
        if let Some(held) = self.held.get_mut(key) {
            held.bounds = bounds;
            held.tried = held.tried.saturating_add(1);
        }
    }
}

impl Held {
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

    /// Whether several gateways share the rates.
    pub fn is_shared(&self) -> bool {
        self.parts.is_some()
    }

    /// A look: demand fades.
    pub fn fade(&mut self) {
        let parts = self.parts.iter_mut();
        for held in parts.flat_map(|parts| parts.held.values_mut()) {
            held.demand = held.wants() - held.wants().div_ceil(4);
            held.tried = 0;
        }
    }

    /// What is to be asked of the books now, of every key that requests came for lately. Parts are cut to what they should be, and of
    /// keys that are idle all is given up, so that whoever needs it has it.
    pub fn asks(&mut self, now: Micros) -> Vec<PartAsk> {
        let parts = self.parts.as_ref();
        let keys: Vec<KeyId> =
            parts.map_or(Vec::new(), |parts| parts.held.keys().cloned().collect());
        keys.into_iter()
            .filter_map(|key| self.ask(now, key))
            .collect()
    }

    /// Gives up all that it holds: what to tell the books of it.
    pub fn give_all(&mut self, now: Micros) -> Vec<PartAsk> {
        for held in self
            .parts
            .iter_mut()
            .flat_map(|parts| parts.held.values_mut())
        {
            (held.demand, held.tried) = (0, 0);
        }
        self.asks(now)
    }

    fn ask(&mut self, now: Micros, key: KeyId) -> Option<PartAsk> {
        let held = self.parts.as_ref()?.held.get(&key)?;
        let (bounds, is_over) = (held.bounds, held.until <= now);
        let mut debts = self.debts_at(now, &key, bounds);
        let held = self.parts.as_mut()?.held.get_mut(&key)?;
        // Who owes more than its bucket holds works that off first.
        let is_idle = held.wants() == 0 && !debts.is_overdrawn();
        let target = if is_idle || is_over { 0 } else { held.target };
        let cut = held.permille.saturating_sub(target);
        let fill = debts.cut(held.permille - cut);
        held.permille -= cut;
        held.number += 1;
        let ask = PartAsk {
            number: held.number,
            holds: held.permille,
            // The books have it that a lease that is over holds nothing.
            gives: if is_over { 0 } else { cut },
            fill,
            demand: if is_idle { 0 } else { held.wants().max(1) },
            least: held.least(),
            key: key.clone(),
        };
        self.keep(key, debts);
        Some(ask)
    }

    /// What the books said of an ask that was sent at `sent_at`. A word that comes twice or late changes nothing. `true` where
    /// something is to be given up at once.
    pub fn granted(&mut self, now: Micros, sent_at: Micros, grant: &PartGrant) -> bool {
        let found = self
            .parts
            .as_ref()
            .and_then(|parts| parts.held.get(&grant.key));
        let Some(held) = found.filter(|held| held.number == grant.number) else {
            return false;
        };
        let (key, bounds) = (&grant.key, held.bounds);
        let mut debts = self.debts_at(now, key, bounds);
        let permille = grant.permille.min(WHOLE_PERMILLE);
        if permille > debts.permille {
            debts.grow(permille, grant.fill);
        } else {
            debts.cut(permille);
        }
        self.keep(key.clone(), debts);
        let Some(parts) = &mut self.parts else {
            return false;
        };
        if let Some(held) = parts.held.get_mut(key) {
            held.permille = permille;
            held.target = grant.target;
            held.until = sent_at.plus_ms(PART_LEASE_MS);
            if permille == 0 && held.wants() == 0 {
                parts.held.remove(key);
            }
        }
        permille > grant.target
    }

    /// Why not even one request fits into what this gateway holds of a key's rates, if so.
    pub(super) fn lacking(&self, now: Micros, key: &KeyId, debts: &Debts) -> Option<RateRefusal> {
        let held = self.parts.as_ref()?.held.get(key)?;
        if held.until > now && held.permille >= held.least() {
            return None;
        }
        Some(RateRefusal {
            unit: RateUnit::Requests,
            wait_us: PART_COMES_US,
            standing: debts.standing(),
            lacks_part: true,
        })
    }

    fn keep(&mut self, key: KeyId, debts: Debts) {
        if debts.is_empty() {
            self.debts.remove(&key);
        } else {
            self.debts.insert(key, debts);
        }
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

    fn is_overdrawn(&mut self) -> bool {
        let permille = self.permille;
        self.bounded()
            .any(|(debt, limit)| *debt > capacity(limit, permille))
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
