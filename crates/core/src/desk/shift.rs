//! Jobs whose start may be put off: they wait for the hour in which their electricity weighs least, and no longer than they may.

use super::entry::Entry;
use super::{Desk, DeskNodes};
use crate::flex::{
    AHEAD_US_MAX, EnergyOutlook, EnergyTerms, HOUR_US, Shift, ShiftPlace, Shifts, Tasks, Work,
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
    /// Jobs that are put off, and the room that is kept for them.
    put_off: BTreeMap<JobId, Kept>,
    /// Jobs that have begun and of which something may wait again in dear hours: a run that stops, tasks of an array that have not begun.
    pub(super) may_stop: BTreeSet<JobId>,
    /// When these are looked at; at once where there is none.
    pub(super) look_at: Option<Micros>,
}

/// Room that is kept for a job.
#[derive(Debug)]
struct Kept {
    /// A place of the hours to come.
    place: usize,
    accelerator_milli: u64,
    stretches: Vec<(Micros, Micros)>,
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
        for id in std::mem::take(&mut self.shifting.put_off).into_keys() {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.put_off = None;
                entry.weigh = true;
                self.feed.insert(id);
            }
        }
    }

    /// A job that is put off is not as it was: it and all others are weighed again, as the room that was kept for it is free.
    pub(super) fn put_off_no_more(&mut self, id: JobId) {
        if self.shifting.put_off.contains_key(&id) {
            self.shift_anew();
        }
    }

    /// Whether what is not queued of a job that may be put off waits for a better hour on those machines: all of one that has not begun or
    /// has stopped, the rest of an array.
    pub(super) fn is_put_off(
        &mut self,
        now: Micros,
        id: JobId,
        nodes: &BTreeSet<NodesKey>,
    ) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else {
            return false;
        };
        if entry.job.spec.flex.shift_ms == 0 {
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
        let is_due = entry.is_due();
        entry.weigh = false;
        if !is_due || self.shifting.put_off.len() >= PUT_OFF_MAX {
            return false;
        }
        let Some((until, why, kept)) = self.better_hour(now, id, nodes) else {
            return false;
        };
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.put_off = Some((until, why));
            let task: TaskId = entry.task_id(0);
            self.later.insert((until, task));
            self.shifting.put_off.insert(id, kept);
        }
        true
    }

    /// When a job is to start, why then, and the room that is kept for it; `None` where nothing speaks for waiting.
    fn better_hour(
        &mut self,
        now: Micros,
        id: JobId,
        nodes: &BTreeSet<NodesKey>,
    ) -> Option<(Micros, String, Kept)> {
        let entry = self.entries.get(&id)?;
        let mut work = self.work_left(now, entry, nodes);
        if work.latest_start <= now {
            return None;
        }
        work.left_us = work.left_us.max(MINUTE_US);
        // What runs of an array stops, or runs on, whatever becomes of the rest.
        work.runs = false;
        let latest_start = work.latest_start;
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
        let kept = Kept {
            place: shift.place,
            accelerator_milli: work.accelerator_milli,
            stretches: shift.stretches,
        };
        Some((shift.from, why, kept))
    }

    /// What is left of a job, were it on those machines.
    pub(super) fn work_left(&self, now: Micros, entry: &Entry, nodes: &BTreeSet<NodesKey>) -> Work {
        let spec = &entry.job.spec;
        let need = super::fit::need(&spec.resources, nodes);
        let class = super::qos::class(&self.qos, spec);
        let ask = entry.ask(entry.task_id(0), need, class);
        let tasks = Tasks {
            count: u64::from(spec.tasks()),
            at_once: self.at_once(spec, nodes),
            accelerator_milli: spec.resources.accelerator_milli(),
            each_us: self.jobs.foretold_us(&ask),
            checkpoints: spec.checkpoint.is_some(),
            latest_start: entry.job.submitted_at.plus_ms(spec.flex.shift_ms),
        };
        tasks.left(&entry.done(now))
    }

    /// How many tasks of a job run at once on the largest of those machines.
    fn at_once(&self, spec: &JobSpec, nodes: &BTreeSet<NodesKey>) -> u64 {
        let milli = spec.resources.accelerator_milli();
        let of = nodes
            .iter()
            .filter_map(|key| self.nodes.get(usize::from(key.0)));
        let most = of.map(all_milli).max().unwrap_or(0);
        let fit = most.checked_div(milli).unwrap_or(u64::MAX);
        let bound = spec.array.and_then(|array| array.at_once_max);
        u64::from(bound.unwrap_or(u32::MAX))
            .min(fit)
            .min(u64::from(spec.tasks()))
            .max(1)
    }

    /// The hours to come, and what of them is kept for those that wait.
    fn hours_are_known(&mut self, now: Micros) {
        if self.shifting.shifts.is_none() {
            self.shifting.shifts = Some(self.hours_to_come(now));
        }
    }

    /// When the present hour ends at each site whose hours are known.
    pub(super) fn hour_ends(&self, now: Micros) -> impl Iterator<Item = Micros> {
        let sites = self.shifting.electricity.sites.values();
        sites.map(move |outlook| outlook.hour_end(now))
    }

    /// The hours to come anew, with what is kept for those that wait and no more: what has begun is not in its own way.
    pub(super) fn hours_anew(&mut self, now: Micros) {
        let (mut shifts, keys) = self.hours_to_come(now);
        for kept in self.shifting.put_off.values() {
            for span in &kept.stretches {
                shifts.take(kept.place, kept.accelerator_milli, *span);
            }
        }
        self.shifting.shifts = Some((shifts, keys));
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
