//! What is noted of energy, in the books: notes within seconds, entries once their span is over for all.

use super::super::PowerPlane;
use super::{Energies, SiteEnergy};
use madang_core::power::governor::FREEZES_US;
use madang_fleet::Fleet;
use madang_ledger::{
    EnergyNote, EnergySpan, EnergyStand, EngineClaimed, energy_entries, told_milli,
};
use madang_store::{EnergyRow, StoreError};
use madang_types::{GatewayId, Micros, RunId};
use std::collections::{BTreeMap, BTreeSet};

/// Time between two writes of notes, and between two looks for what is to be booked.
const WRITE_MS: u64 = 2_000;
const BOOK_MS: u64 = 2_000;
/// A span is booked so long after its end, and two looks more: until then all gateways have noted what they know of it.
const GRACE_MS: u64 = 3_000;
/// What a run drew whose end is not booked after so long is nobody's.
const GONE_MS_MAX: u64 = 600_000;

impl PowerPlane {
    /// Before sites are looked at: spans that are over are put aside, and what the books have is taken up where that is due. Gives whether
    /// this gateway measures: then it knows what those before it did with runs.
    pub(in super::super) async fn energy_begin(&self, now: Micros, fleet: &Fleet) -> bool {
        let drives = self.jobs.drives();
        let (is_open, measures) = {
            let energies = &self.lock().energies;
            (energies.is_open, energies.measures)
        };
        if measures && !drives {
            self.lock().energies.end();
            self.jobs.energies().close();
        }
        if !is_open || (drives && !measures) {
            let told = self.energy_open(now, fleet, drives).await;
            self.energy_told(told);
        }
        self.lock().energies.turn(fleet, now);
        self.claims(now, fleet);
        self.lock().energies.measures
    }

    async fn energy_open(
        &self,
        now: Micros,
        fleet: &Fleet,
        drives: bool,
    ) -> Result<(), StoreError> {
        let rows = self.book.energy_list().await?;
        if drives {
            self.jobs.energies().open().await?;
        }
        let state = &mut *self.lock();
        let energies = &mut state.energies;
        if !energies.is_open {
            energies.open(now, self.jobs.gateway_id(), &rows);
        }
        energies.turn(fleet, now);
        if drives {
            energies.begin(rows);
            self.go_on(now, energies);
            state.applied.stand_still(energies.still_runs());
        }
        Ok(())
    }

    /// What was done against power that is short stands, whoever did it, and no run stands longer for it than it may.
    fn go_on(&self, now: Micros, energies: &Energies) {
        for (site, energy) in &energies.sites {
            if let Some(stand) = &energy.stand {
                let (at, power) = (stand.at, stand.power.clone());
                self.governors.go_on(now, (site, at), power);
            }
        }
    }

    /// After sites were looked at: what is new is written, and what is over is booked.
    pub(in super::super) async fn energy_end(
        &self,
        now: Micros,
        fleet: &Fleet,
        live: &BTreeSet<RunId>,
    ) {
        let (is_open, measures, write, book) = {
            let energies = &self.lock().energies;
            let due = |at: Micros, ms| now >= at.plus_ms(ms);
            let write = !energies.ended.is_empty()
                || due(energies.written_at, WRITE_MS)
                || self.has_acted(energies);
            (
                energies.is_open,
                energies.measures,
                write,
                due(energies.booked_at, BOOK_MS),
            )
        };
        if is_open && write {
            let told = self.energy_write(now).await;
            self.energy_told(told);
        }
        if measures && book {
            self.lock().energies.booked_at = now;
            let told = self.energy_book(now, fleet, live).await;
            self.energy_told(told);
        }
    }

    /// Whether other acts are in force than was written: other gateways do as the books say, and wait for that.
    fn has_acted(&self, energies: &Energies) -> bool {
        let mut measured = energies.sites.values().filter(|site| site.stand.is_some());
        measured.any(|site| {
            let written = site.written.stand.as_ref();
            let acts = self.governors.stand(&site.span.site).acts;
            written.map_or(&[][..], |stand| &stand.power.acts) != acts
        })
    }

    /// Told when it begins, not at each look.
    fn energy_told(&self, told: Result<(), StoreError>) {
        let is_away = &mut self.lock().energies.is_away;
        match told {
            Ok(()) => *is_away = false,
            Err(error) => {
                if !std::mem::replace(is_away, true) {
                    tracing::warn!(%error, "energy is not booked yet: the books cannot be used");
                }
            }
        }
    }

    async fn energy_write(&self, now: Micros) -> Result<(), StoreError> {
        let (rows, ended) = {
            let energies = &mut self.lock().energies;
            energies.written_at = now;
            for site in energies.sites.values_mut() {
                if let Some(stand) = &site.stand {
                    let runs = self.jobs.energies().of_site(&site.span.site);
                    let power = self.governors.stand(&site.span.site);
                    site.note.stand = Some(EnergyStand {
                        runs,
                        power,
                        ..stand.clone()
                    });
                }
            }
            (energies.rows(self.jobs.gateway_id()), energies.ended.len())
        };
        if rows.is_empty() {
            return Ok(());
        }
        self.book.energy_put(rows.clone()).await?;
        let energies = &mut self.lock().energies;
        energies.ended.drain(..ended);
        for EnergyRow { span, note, .. } in rows {
            let site = energies.sites.get_mut(&span.site);
            if let Some(site) = site.filter(|site| site.span == span) {
                site.written = note;
            }
        }
        Ok(())
    }

    /// Books the spans that are over for all, each once: what was written in vain is written again as it was.
    async fn energy_book(
        &self,
        now: Micros,
        fleet: &Fleet,
        live: &BTreeSet<RunId>,
    ) -> Result<(), StoreError> {
        self.energy_of_gone(now, live).await?;
        let grace_ms = GRACE_MS.saturating_add(fleet.power.look_ms.saturating_mul(2));
        let mut spans: BTreeMap<EnergySpan, Vec<EnergyNote>> = BTreeMap::new();
        for row in self.book.energy_list().await? {
            spans.entry(row.span).or_default().push(row.note);
        }
        for (span, notes) in spans {
            if now < span.until.plus_ms(grace_ms) || !self.is_stand_kept(&span) {
                continue;
            }
            let all = EnergyNote::merged(&notes);
            let entries = energy_entries(&span, &all);
            for told in self.jobs.append(entries).await? {
                if let Err(fault) = told {
                    let (site, from) = (&span.site, span.from.0);
                    tracing::error!(%site, from, %fault, "the ledger refused what a site drew");
                }
            }
            self.book.energy_drop(span).await?;
            self.learn(&all);
        }
        Ok(())
    }

    /// Whether where things stood is in a later note: the last one is not dropped.
    fn is_stand_kept(&self, span: &EnergySpan) -> bool {
        let state = self.lock();
        let site = state.energies.sites.get(&span.site);
        // Of a site that has left the fleet, or of which nobody says anything, nothing goes on.
        site.is_none_or(|site| {
            let kept = site.written.stand.as_ref();
            site.stand.is_none() || kept.is_some_and(|stand| stand.at >= span.until)
        })
    }

    /// What engines took beside what was foretold: so are the next requests told theirs.
    fn learn(&self, all: &EnergyNote) {
        let none = EngineClaimed::default();
        let energies = &mut self.lock().energies;
        for (id, drawn) in &all.engines {
            let claimed = all.claims.get(id).unwrap_or(&none);
            if let Some(milli) = told_milli(drawn, claimed) {
                energies.told_milli.insert(id.clone(), milli);
            }
        }
    }

    /// What runs drew that are over, and their own entries do not have, goes back to the site: the last moments of each.
    async fn energy_of_gone(&self, now: Micros, live: &BTreeSet<RunId>) -> Result<(), StoreError> {
        let known = self.jobs.energies().runs();
        let over: BTreeMap<RunId, _> = known
            .into_iter()
            .filter(|(run, _)| !live.contains(run))
            .collect();
        let since = {
            let gone = &mut self.lock().energies.gone;
            gone.retain(|run, _| over.contains_key(run));
            for run in over.keys() {
                gone.entry(*run).or_insert(now);
            }
            gone.clone()
        };
        if over.is_empty() {
            return Ok(());
        }
        let booked = self.jobs.energy_booked(over.keys().copied()).await?;
        for (run, site) in over {
            let is_late = since
                .get(&run)
                .is_some_and(|at| now >= at.plus_ms(GONE_MS_MAX));
            let booked_mj = booked.get(&run).copied();
            if booked_mj.is_none() && !is_late {
                continue;
            }
            let state = &mut self.lock().energies;
            let Some(energy) = state.sites.get_mut(&site) else {
                self.jobs.energies().take(run);
                continue;
            };
            let signed = |mj: u64| i64::try_from(mj).unwrap_or(i64::MAX);
            let drawn_mj = self.jobs.energies().take(run).unwrap_or(0);
            let left = signed(drawn_mj).saturating_sub(signed(booked_mj.unwrap_or(0)));
            energy.note.returned_mj = energy.note.returned_mj.saturating_add(left);
        }
        Ok(())
    }
}

impl Energies {
    /// Runs that stood still where whoever measured before stood last. Those that take longer than to stop write a checkpoint, and draw
    /// until they end.
    fn still_runs(&self) -> impl Iterator<Item = RunId> {
        let stands = self.sites.values().filter_map(|site| site.stand.as_ref());
        let acts = stands.flat_map(|stand| &stand.power.acts);
        let still = acts.filter(|stand| stand.takes_us <= FREEZES_US);
        still.filter_map(|stand| stand.act.run())
    }

    /// What is to be written: spans that are over, and of those that are not what is new.
    fn rows(&self, gateway: &GatewayId) -> Vec<EnergyRow> {
        let all = self.ended.iter().chain(self.sites.values());
        let new = all.filter(|site| site.note != site.written);
        let row = |site: &SiteEnergy| EnergyRow {
            span: site.span.clone(),
            gateway: gateway.clone(),
            note: site.note.clone(),
        };
        new.map(row).collect()
    }
}
