//! Energy, live: what sites draw is added up at each look, what requests claim beside it, and both are in the books within seconds. A span
//! that is over is booked once: by the gateway that drives jobs, from what all have noted.
//!
//! What is in memory alone is never older than the last write, and what was drawn since then is found again from where meters' counts
//! stood: whoever begins anew, or measures in another's place, goes on from the last stand in the books.

mod book;
mod span;
#[cfg(test)]
mod tests;

use super::scene::{self, BendingRun, Readings};
use super::{PowerPlane, Seen};
use madang_core::PoolStatus;
use madang_core::power::governor::Load;
use madang_fleet::Fleet;
use madang_gateway::energy::EngineDraw;
use madang_ledger::{EnergyNote, EnergySpan, EnergyStand};
use madang_store::EnergyRow;
use madang_types::{GatewayId, Micros, ReplicaId, RunId, SiteId};
use span::Look;
use std::collections::BTreeMap;

/// What an engine took beside what a model foretold is believed within these bounds, in thousandths.
const TOLD_MILLI_MIN: u64 = 250;
const TOLD_MILLI_MAX: u64 = 4_000;
/// Spans that could not be written yet and are kept, the newest.
const ENDED_MAX: usize = 1_000;

/// What is noted and not booked.
#[derive(Default)]
pub(super) struct Energies {
    /// What the books have of this gateway's was taken up.
    is_open: bool,
    /// This gateway measures.
    measures: bool,
    sites: BTreeMap<SiteId, SiteEnergy>,
    /// Spans that are over and not written yet.
    ended: Vec<SiteEnergy>,
    written_at: Micros,
    booked_at: Micros,
    /// What engines took beside what was foretold of them, in thousandths.
    told_milli: BTreeMap<ReplicaId, u64>,
    /// Runs that are over and not booked yet, since when.
    gone: BTreeMap<RunId, Micros>,
    /// The books could not be used at the last try.
    is_away: bool,
}

/// A site's span that is not over.
#[derive(Clone)]
struct SiteEnergy {
    span: EnergySpan,
    note: EnergyNote,
    /// The same as it was written last.
    written: EnergyNote,
    /// How things stood at the last look, where this gateway measures.
    stand: Option<EnergyStand>,
}

impl SiteEnergy {
    fn new(span: EnergySpan) -> Self {
        Self {
            span,
            note: EnergyNote::default(),
            written: EnergyNote::default(),
            stand: None,
        }
    }

    /// What was measured and is not written is left to who measures from now on: he goes on from the last stand that is.
    fn leave(&mut self) {
        let claims = std::mem::take(&mut self.note.claims);
        self.note = EnergyNote {
            claims,
            ..self.written.clone()
        };
        self.stand = None;
    }
}

/// The span of an instant: spans of all gateways begin at the same time.
fn span_of(site: &SiteId, now: Micros, span_ms: u64) -> EnergySpan {
    let span_us = i64::try_from(span_ms.saturating_mul(1_000)).unwrap_or(i64::MAX);
    let from = now.0 - now.0.rem_euclid(span_us.max(1));
    EnergySpan {
        site: site.clone(),
        from: Micros(from),
        until: Micros(from.saturating_add(span_us)),
    }
}

impl Energies {
    /// Takes up what the books have of this gateway's spans that are not over.
    fn open(&mut self, now: Micros, gateway: &GatewayId, rows: &[EnergyRow]) {
        let own = rows
            .iter()
            .filter(|row| row.gateway == *gateway && now < row.span.until);
        for row in own {
            let site = SiteEnergy {
                note: row.note.clone(),
                written: row.note.clone(),
                ..SiteEnergy::new(row.span.clone())
            };
            self.sites.insert(row.span.site.clone(), site);
        }
        self.is_open = true;
    }

    /// This gateway measures from now on, from where whoever did before stood last.
    fn begin(&mut self, rows: Vec<EnergyRow>) {
        self.measures = true;
        for row in rows {
            let (Some(stand), Some(site)) = (row.note.stand, self.sites.get_mut(&row.span.site))
            else {
                continue;
            };
            if site.stand.as_ref().is_none_or(|last| stand.at > last.at) {
                site.stand = Some(stand);
            }
        }
    }

    /// Another gateway measures.
    fn end(&mut self) {
        self.measures = false;
        let ended = self.ended.iter_mut();
        ended
            .chain(self.sites.values_mut())
            .for_each(SiteEnergy::leave);
    }

    /// This gateway measures, and so governs runs.
    pub(super) fn measures(&self) -> bool {
        self.measures
    }

    /// Spans that are over are put aside, and new ones begin, where things stood.
    fn turn(&mut self, fleet: &Fleet, now: Micros) {
        let known: Vec<SiteId> = self.sites.keys().cloned().collect();
        for id in known.iter().chain(fleet.sites.keys()) {
            let is_there = fleet.sites.contains_key(id);
            let current = span_of(id, now, fleet.power.span_ms);
            let before = self.sites.get(id);
            if is_there && before.is_some_and(|site| site.span == current) {
                continue;
            }
            let before = self.sites.remove(id);
            let stand = before.as_ref().and_then(|site| site.stand.clone());
            if let Some(site) = before.filter(|site| site.note != site.written) {
                self.ended.push(site);
            }
            if is_there {
                let site = SiteEnergy {
                    stand,
                    ..SiteEnergy::new(current)
                };
                self.sites.insert(id.clone(), site);
            }
        }
        let over = self.ended.len().saturating_sub(ENDED_MAX);
        if over > 0 {
            tracing::error!(
                spans = over,
                "energy of spans is lost: the books could not be written for too long"
            );
            self.ended.drain(..over);
        }
    }
}

/// Runs that draw, and what then draws how much: the caps count those too that have not begun, whose machines draw what idle ones do.
fn drawing(
    of: (&Fleet, &SiteId),
    (pools, runs): (&[PoolStatus], &[BendingRun]),
    readings: &Readings,
) -> (Vec<BendingRun>, Vec<Load>) {
    let begun: Vec<BendingRun> = runs.iter().filter(|run| run.has_begun).cloned().collect();
    let parts = scene::parts(of, pools, &begun, readings);
    (begun, parts.loads)
}

impl PowerPlane {
    /// Adds up what a site drew since the last look, where this gateway measures.
    pub(super) fn account(
        &self,
        now: Micros,
        (fleet, site): (&Fleet, &SiteId),
        (pools, runs): (&[PoolStatus], &[BendingRun]),
        seen: &Seen,
    ) {
        let mut state = self.lock();
        let state = &mut *state;
        if !state.energies.measures {
            return;
        }
        let Some(energy) = state.energies.sites.get_mut(site) else {
            return;
        };
        if !seen.is_known {
            // Of a time of which nobody says anything nothing is booked.
            energy.stand = None;
            return;
        }
        let meters = state.meters.values();
        let begun: (Vec<BendingRun>, Vec<Load>);
        let (runs, loads) = match runs.iter().all(|run| run.has_begun) {
            true => (runs, &seen.scene.loads),
            false => {
                begun = drawing((fleet, site), (pools, runs), &seen.readings);
                (&*begun.0, &begun.1)
            }
        };
        let look = Look {
            now,
            fleet,
            site,
            pools,
            runs,
            loads,
            meters: meters
                .filter(|watched| watched.row.site == site.as_str())
                .collect(),
        };
        if let Some(stand) = &energy.stand {
            for (run, mj) in span::account(stand, &look, &mut energy.note) {
                self.jobs.energies().add(site, run, mj);
            }
        }
        energy.stand = Some(span::stand(&look));
    }

    /// Tells the gateway what engines draw, and notes what requests claimed of them since the last look.
    fn claims(&self, now: Micros, fleet: &Fleet) {
        let mut state = self.lock();
        let energies = &mut state.energies;
        let told_milli = &mut energies.told_milli;
        told_milli.retain(|id, _| fleet.replicas.contains_key(id));
        let draw = |id: &ReplicaId| {
            let replica = fleet.replicas.get(id)?;
            let pue_milli = u64::from(scene::pue_milli(fleet, &replica.site));
            let told = told_milli.get(id).copied().unwrap_or(pue_milli);
            Some(EngineDraw {
                profile: scene::of_replica(fleet, replica)?,
                told_milli: told.clamp(TOLD_MILLI_MIN, TOLD_MILLI_MAX),
            })
        };
        let draws = fleet
            .replicas
            .keys()
            .filter_map(|id| Some((id.clone(), draw(id)?)));
        let draws: BTreeMap<ReplicaId, EngineDraw> = draws.collect();
        let taken = self.gateway.energy.take(now);
        self.gateway.energy.follow(now, &draws);
        for (id, claimed) in taken {
            let site = fleet.replicas.get(&id).map(|replica| &replica.site);
            if let Some(energy) = site.and_then(|site| energies.sites.get_mut(site)) {
                energy.note.claims.entry(id).or_default().add(&claimed);
            }
        }
    }
}
