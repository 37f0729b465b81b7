//! Jobs whose start may be put off: they wait for the hour in which their electricity weighs least, and no longer than they may.

use super::entry::{Task, TaskState};
use super::{Desk, DeskNodes};
use crate::flex::{
    AHEAD_US_MAX, EnergyOutlook, EnergyTerms, HOUR_US, Shift, ShiftPlace, Shifts, Work,
};
use crate::jobs::{NodesKey, Tariffs};
use madang_types::{JobId, JobSpec, Micros, NodesId, SiteId, TaskId};
use std::collections::{BTreeMap, BTreeSet};

/// So many jobs are put off, and have room kept for them; those that come beside them are not put off.
const PUT_OFF_MAX: usize = 2_000;
const MINUTE_US: u64 = 60_000_000;

/// What electricity costs where machines are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeskElectricity {
    /// What things are worth beside each other.
    pub terms: EnergyTerms,
    /// The hours to come of each site of which that is known.
    pub sites: BTreeMap<SiteId, EnergyOutlook>,
    /// What one accelerator draws at full power, in watts at the meter, where that is known.
    pub watts_each: BTreeMap<NodesId, u64>,
}

/// What is put off, and for what.
#[derive(Debug, Default)]
pub(super) struct Shifting {
    electricity: DeskElectricity,
    /// The hours to come, a place for each `[[nodes]]` of which they are known; made when it is first asked for.
    pub(super) shifts: Option<(Shifts, BTreeMap<NodesKey, usize>)>,
    /// Jobs that are put off: they have room kept for them.
    put_off: BTreeSet<JobId>,
    /// Jobs with a run that may stop in dear hours.
    pub(super) may_stop: BTreeSet<JobId>,
    /// When these are looked at; at once where there is none.
    pub(super) look_at: Option<Micros>,
}

impl Desk {
    /// What electricity costs from now on: jobs that are put off are weighed anew.
    pub fn electricity(&mut self, electricity: DeskElectricity) {
        if self.shifting.electricity != electricity {
            self.shifting.electricity = electricity;
            self.shift_anew();
            self.price_power();
        }
    }

    /// Tells the queue what electricity costs.
    pub(super) fn price_power(&mut self) {
        let DeskElectricity {
            terms,
            sites,
            watts_each,
        } = &self.shifting.electricity;
        let place = |nodes: &DeskNodes| {
            let watts = *watts_each.get(&nodes.id)?;
            Some((watts, sites.get(&nodes.site)?.clone()))
        };
        let places = self.nodes.iter().map(place).collect();
        self.jobs.tariffs(Tariffs::new(*terms, places));
    }

    /// Nothing is put off any more until it is asked for again.
    pub(super) fn shift_anew(&mut self) {
        self.shifting.shifts = None;
        self.shifting.look_at = None;
        for id in std::mem::take(&mut self.shifting.put_off) {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.put_off = None;
                self.feed.insert(id);
            }
        }
    }

    /// A job that is put off is not as it was: it and all others are weighed again, as the room that was kept for it is free.
    pub(super) fn put_off_no_more(&mut self, id: JobId) {
        if self.shifting.put_off.contains(&id) {
            self.shift_anew();
        }
    }

    /// Whether a job that may be put off waits for a better hour on those machines: one that has not begun, or has stopped and may.
    pub(super) fn is_put_off(
        &mut self,
        now: Micros,
        id: JobId,
        nodes: &BTreeSet<NodesKey>,
    ) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else {
            return false;
        };
        let begun = entry.next > 0;
        let waits = |task: &Task| matches!(task.state, TaskState::Ready);
        if entry.job.spec.flex.shift_ms == 0
            || begun && !(entry.parts() && entry.open.values().all(waits))
        {
            return false;
        }
        if let Some((until, _)) = &entry.put_off {
            let waits = *until > now;
            if !waits {
                // Its hour has come; the room that was kept for it is now its own.
                entry.put_off = None;
                self.shifting.put_off.remove(&id);
            }
            return waits;
        }
        let latest_start = entry.latest_start(entry.ran_us());
        if latest_start <= now || self.shifting.put_off.len() >= PUT_OFF_MAX {
            return false;
        }
        let Some((until, why)) = self.better_hour(now, (id, latest_start), nodes) else {
            return false;
        };
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.put_off = Some((until, why));
            let task: TaskId = entry.task_id(0);
            self.later.insert((until, task));
            self.shifting.put_off.insert(id);
        }
        true
    }

    /// When a job is to start, and why then; `None` where nothing speaks for waiting.
    fn better_hour(
        &mut self,
        now: Micros,
        (id, latest_start): (JobId, Micros),
        nodes: &BTreeSet<NodesKey>,
    ) -> Option<(Micros, String)> {
        let entry = self.entries.get(&id)?;
        let spec = &entry.job.spec;
        let need = super::fit::need(&spec.resources, nodes);
        let ask = entry.ask(entry.task_id(0), need, super::qos::class(&self.qos, spec));
        let (accelerator_milli, waves) = self.at_once(spec, nodes);
        let work = Work {
            accelerator_milli,
            left_us: (self.jobs.foretold_us(&ask).saturating_mul(waves))
                .saturating_sub(entry.ran_us())
                .max(MINUTE_US),
            latest_start,
            parts: entry.parts(),
            runs: false,
        };
        let verb = if entry.next > 0 { "goes on" } else { "starts" };
        self.hours_are_known(now);
        let (shifts, keys) = self.shifting.shifts.as_mut()?;
        shifts.advance(now);
        let known = |key: &NodesKey| keys.get(key).copied();
        let places: Vec<usize> = nodes.iter().filter_map(known).collect();
        // Where it would be cheaper nobody knows of machines whose site says nothing: there it may start at once.
        if places.len() < nodes.len() {
            return None;
        }
        let is_better = |shift: &Shift| shift.from > now && shift.saves_permille() > 0;
        let shift = shifts.put(&work, &places).filter(is_better)?;
        let at = keys.iter().find(|(_, place)| **place == shift.place)?.0;
        let nodes = self.nodes.get(usize::from(at.0))?;
        let minutes = latest_start.since_us(now) / MINUTE_US;
        let why = format!(
            "it is put off (flex.shift): electricity at {} weighs {} % less for it then; it {verb} within {} h {} min at the latest",
            nodes.site,
            shift.saves_permille() / 10,
            minutes / 60,
            minutes % 60,
        );
        Some((shift.from, why))
    }

    /// What of a job runs at once on the largest of those machines, in thousandths of an accelerator, and how often that is all of it.
    fn at_once(&self, spec: &JobSpec, nodes: &BTreeSet<NodesKey>) -> (u64, u64) {
        let milli = spec.resources.accelerator_milli();
        let of = nodes
            .iter()
            .filter_map(|key| self.nodes.get(usize::from(key.0)));
        let most = of.map(all_milli).max().unwrap_or(0);
        let fit = most.checked_div(milli).unwrap_or(u64::MAX).max(1);
        let bound = spec.array.and_then(|array| array.at_once_max);
        let tasks = u64::from(spec.tasks());
        let together = u64::from(bound.unwrap_or(u32::MAX))
            .min(fit)
            .min(tasks)
            .max(1);
        (milli.saturating_mul(together), tasks.div_ceil(together))
    }

    /// The hours to come, and what of them is kept for those that wait.
    pub(super) fn hours_are_known(&mut self, now: Micros) {
        if self.shifting.shifts.is_none() {
            self.shifting.shifts = Some(self.hours_to_come(now));
        }
    }

    /// A place for each of the machines whose site says what electricity costs.
    fn hours_to_come(&self, now: Micros) -> (Shifts, BTreeMap<NodesKey, usize>) {
        let DeskElectricity {
            terms,
            sites,
            watts_each,
        } = &self.shifting.electricity;
        let place = |nodes: &DeskNodes| {
            let outlook = sites.get(&nodes.site)?.clone();
            let watts = *watts_each.get(&nodes.id)?;
            let hours = usize::try_from(2 * AHEAD_US_MAX / HOUR_US).unwrap_or(0);
            Some(ShiftPlace::new(
                outlook,
                watts,
                vec![all_milli(nodes); hours],
            ))
        };
        let mut places = Vec::new();
        let mut keys = BTreeMap::new();
        for (key, nodes) in (0u8..).map(NodesKey).zip(&self.nodes) {
            if let Some(place) = place(nodes) {
                keys.insert(key, places.len());
                places.push(place);
            }
        }
        (Shifts::new(now, *terms, places), keys)
    }
}

/// All accelerators of such machines, in thousandths.
fn all_milli(nodes: &DeskNodes) -> u64 {
    u64::from(nodes.count) * u64::from(nodes.per_node) * 1_000
}
