//! Whose a site's energy was: what its meters counted in a span is shared by those for whom the work was done, to the last thousandth of a
//! joule.
//!
//! Each gateway notes of a span what requests at an engine claim beside others, and whoever drives jobs what everything drew
//! ([`EnergyNote`]). Once all have noted, the entries of the span follow from the notes alone ([`energy_entries`]): whoever writes them
//! again writes them once. What runs of jobs took is booked with each run when it ends ([`crate::JobRun::settle`]); until then it is what
//! the site holds.

use crate::{Account, Entry, EntryId, LEGS_COUNT_MAX, Leg, Phase, Subject};
use madang_types::{Micros, PowerStand, ReplicaId, RunId, SiteId, Unit};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A span of a site. Instants are by the clock of gateways: the first in, the second out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EnergySpan {
    /// Where.
    pub site: SiteId,
    /// Its beginning.
    pub from: Micros,
    /// Its end.
    pub until: Micros,
}

/// What one gateway noted of a site in a span. Energies are thousandths of a joule at the site's meter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EnergyNote {
    /// What meters counted.
    pub measured_mj: u64,
    /// What a model says of what no meter counted.
    pub modelled_mj: u64,
    /// What of both engines drew.
    pub engines: BTreeMap<ReplicaId, EngineEnergy>,
    /// What of both runs of jobs drew.
    pub runs_mj: u64,
    /// What of both machines drew that nobody used.
    pub rest_mj: u64,
    /// What runs drew in this span or before that their own entries do not have; below zero what those have beyond it.
    pub returned_mj: i64,
    /// What requests claim of engines.
    pub claims: BTreeMap<ReplicaId, EngineClaimed>,
    /// Where whoever measures stood: he, or who follows him, goes on from there.
    pub stand: Option<EnergyStand>,
}

/// What an engine drew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineEnergy {
    /// In thousandths of a joule at the site's meter.
    pub mj: u64,
    /// In so much time, in microseconds.
    pub span_us: u64,
    /// What it draws where it does nothing, in watts.
    pub idle_watts: u64,
}

/// What requests claim of an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineClaimed {
    /// Time in which any of them ran, in microseconds.
    pub busy_us: u64,
    /// By who was served: thousandths of a joule, by a model.
    pub by: BTreeMap<Account, u64>,
}

/// Where whoever measures stood when he looked last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EnergyStand {
    /// When.
    pub at: Micros,
    /// What each load drew then, in watts.
    pub loads: BTreeMap<String, u64>,
    /// What each meter told then: its watts, and its count of thousandths of a joule where it has one.
    pub meters: BTreeMap<String, (u64, Option<u64>)>,
    /// What runs that are not over, or not booked yet, have drawn since they began, in thousandths of a joule at the site's meter.
    pub runs: BTreeMap<RunId, u64>,
    /// What was done against power that is short: whoever measures governs runs.
    pub power: PowerStand,
}

impl EngineClaimed {
    /// More of the same.
    pub fn add(&mut self, more: &Self) {
        self.busy_us = self.busy_us.saturating_add(more.busy_us);
        for (who, mj) in &more.by {
            let sum = self.by.entry(who.clone()).or_default();
            *sum = sum.saturating_add(*mj);
        }
    }
}

impl EnergyNote {
    /// What meters or a model say that the site drew.
    pub fn drawn_mj(&self) -> u64 {
        self.measured_mj.saturating_add(self.modelled_mj)
    }

    /// All notes of a span as one.
    pub fn merged<'a>(notes: impl IntoIterator<Item = &'a Self>) -> Self {
        notes.into_iter().fold(Self::default(), Self::plus)
    }

    fn plus(mut self, other: &Self) -> Self {
        self.measured_mj = self.measured_mj.saturating_add(other.measured_mj);
        self.modelled_mj = self.modelled_mj.saturating_add(other.modelled_mj);
        self.runs_mj = self.runs_mj.saturating_add(other.runs_mj);
        self.rest_mj = self.rest_mj.saturating_add(other.rest_mj);
        self.returned_mj = self.returned_mj.saturating_add(other.returned_mj);
        for (id, engine) in &other.engines {
            let sum = self.engines.entry(id.clone()).or_default();
            sum.mj = sum.mj.saturating_add(engine.mj);
            sum.span_us = sum.span_us.saturating_add(engine.span_us);
            sum.idle_watts = engine.idle_watts;
        }
        for (id, claimed) in &other.claims {
            let sum = self.claims.entry(id.clone()).or_default();
            // Each gateway sees its own requests: an engine was busy at least as long as the one says that saw it so longest.
            let busy_us = sum.busy_us.max(claimed.busy_us);
            sum.add(claimed);
            sum.busy_us = busy_us;
        }
        self
    }
}

/// An amount in parts that go as the claims do, to the last of it: the largest remainders get what division leaves, of equal ones the first
/// by name. Of no claim there are no parts.
pub fn shared<K: Ord + Clone>(amount: u64, claims: &BTreeMap<K, u64>) -> BTreeMap<K, u64> {
    let all: u128 = claims.values().map(|claim| u128::from(*claim)).sum();
    if all == 0 {
        return BTreeMap::new();
    }
    let mut parts: Vec<(&K, u64, u128)> = Vec::with_capacity(claims.len());
    let mut left = amount;
    for (who, claim) in claims {
        let exact = u128::from(amount) * u128::from(*claim);
        let part = u64::try_from(exact / all).unwrap_or(u64::MAX);
        left = left.saturating_sub(part);
        parts.push((who, part, exact % all));
    }
    parts.sort_by_key(|(who, _, rest)| (std::cmp::Reverse(*rest), *who));
    let give = |(who, part, _): (&K, u64, u128)| {
        let more = left.min(1);
        left -= more;
        (who.clone(), part + more)
    };
    parts.into_iter().map(give).collect()
}

/// What an engine took beside what the model foretold of it, in thousandths; `None` where nothing was foretold.
pub fn told_milli(drawn: &EngineEnergy, claimed: &EngineClaimed) -> Option<u64> {
    let foretold: u128 = claims_of(drawn, claimed)
        .values()
        .map(|mj| u128::from(*mj))
        .sum();
    let milli = (u128::from(drawn.mj) * 1_000).checked_div(foretold)?;
    u64::try_from(milli).ok()
}

/// What is claimed of an engine, by whom; `None` for the time in which nobody asked it for anything.
fn claims_of(drawn: &EngineEnergy, claimed: &EngineClaimed) -> BTreeMap<Option<Account>, u64> {
    let idle_us = drawn.span_us.saturating_sub(claimed.busy_us);
    let idle_mj = u128::from(drawn.idle_watts) * u128::from(idle_us) / 1_000;
    let by = claimed.by.iter().map(|(who, mj)| (Some(who.clone()), *mj));
    let idle = (None, u64::try_from(idle_mj).unwrap_or(u64::MAX));
    by.chain([idle]).collect()
}

/// What a site drew in a span, by all notes of it ([`EnergyNote::merged`]): meters and the model give it to the site, the site gives it to
/// those whose requests ran, and what nobody asked for is idle. Empty where nothing was noted.
pub fn energy_entries(span: &EnergySpan, all: &EnergyNote) -> Vec<Entry> {
    let mut idle = i128::from(all.rest_mj) + i128::from(all.returned_mj);
    let mut served: BTreeMap<Account, u64> = BTreeMap::new();
    let none = EngineClaimed::default();
    for (id, drawn) in &all.engines {
        let claims = claims_of(drawn, all.claims.get(id).unwrap_or(&none));
        let parts = shared(drawn.mj, &claims);
        if parts.is_empty() {
            idle += i128::from(drawn.mj);
        }
        for (who, part) in parts {
            match who {
                Some(who) => {
                    let sum = served.entry(who).or_default();
                    *sum = sum.saturating_add(part);
                }
                None => idle += i128::from(part),
            }
        }
    }
    let site = || Account::Site(span.site.clone());
    let idle_account = || Account::Idle(span.site.clone());
    let mut legs: Vec<Leg> = Vec::new();
    let mut add = |amount: u128, from: Account, to: Account| {
        let amount = i64::try_from(amount).unwrap_or(i64::MAX);
        let unit = Unit::MilliJoules;
        legs.extend((amount > 0).then_some(Leg {
            unit,
            amount,
            from,
            to,
        }));
    };
    let meter = Account::Meter(span.site.clone());
    add(all.measured_mj.into(), meter, site());
    let model = Account::Model(span.site.clone());
    add(all.modelled_mj.into(), model, site());
    match u128::try_from(idle) {
        Ok(idle) => add(idle, site(), idle_account()),
        Err(_) => add(idle.unsigned_abs(), idle_account(), site()),
    }
    for (who, mj) in served {
        add(mj.into(), site(), who);
    }
    let EnergySpan { site, from, until } = span;
    let entry = |(number, legs): (usize, &[Leg])| Entry {
        id: EntryId::named(&format!("energy:{site}:{}:{}:{number}", from.0, until.0)),
        phase: Phase::Direct,
        at: *from,
        subject: Subject::Energy(site.clone()),
        legs: legs.to_vec(),
    };
    legs.chunks(LEGS_COUNT_MAX).enumerate().map(entry).collect()
}
