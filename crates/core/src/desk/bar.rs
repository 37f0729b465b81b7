//! What keeps a job from machines that would do: nothing pays for them any more, or an operator stopped their site.

use super::entry::{self, TaskState};
use super::{Desk, DeskNodes};
use madang_types::{
    Job, JobId, Micros, ProgrammeId, RunPlace, RunRecord, RunState, SiteId, StopWhy, TenantId,
};
use std::collections::{BTreeMap, BTreeSet};

/// Who pays for a job: its tenant, in the programme in which that was when the job came.
pub type Payer = (Option<ProgrammeId>, TenantId);

/// What may be paid for now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Funds {
    /// Why nothing may be: the tenant was removed, or its programme is closed.
    pub closed: Option<String>,
    /// Kinds of accelerators for which something that was granted is in force; `None` for any.
    pub kinds: Option<BTreeSet<String>>,
    /// What runs and may not be paid for is stopped; else it runs until its time limit.
    pub stops: bool,
}

/// All that stands between jobs and machines beside policy.
#[derive(Debug, Default)]
pub(super) struct Bars {
    funds: BTreeMap<Payer, Funds>,
    /// How many jobs each has here.
    payers: BTreeMap<Payer, usize>,
    /// Sites that an operator stopped, by which switch.
    stopped: BTreeMap<SiteId, String>,
}

/// Why a job may not be at a place.
pub(super) struct Bar {
    pub(super) why: StopWhy,
    /// For its owner.
    pub(super) text: String,
    /// What of it runs there is stopped.
    pub(super) stops: bool,
}

impl Bars {
    /// What keeps a job from accelerators of that kind at a site.
    pub(super) fn bar(&self, job: &Job, site: &SiteId, kind: &str) -> Option<Bar> {
        if let Some(switch) = self.stopped.get(site) {
            return Some(Bar {
                why: StopWhy::Switch,
                text: format!("an operator stopped {site} ({switch})"),
                stops: true,
            });
        }
        let funds = self.funds.get(&payer(job))?;
        // A job without accelerators uses nothing of what is granted.
        let needs = job.spec.resources.accelerator_milli() > 0;
        let unpaid = |kinds: &&BTreeSet<String>| needs && !kinds.contains(kind);
        let what = match (&funds.closed, funds.kinds.as_ref().filter(unpaid)) {
            (Some(why), _) => why.clone(),
            (None, Some(_)) => format!(
                "nothing that '{}' was granted pays now for accelerators '{kind}'",
                job.tenant
            ),
            (None, None) => return None,
        };
        Some(Bar {
            why: StopWhy::Budget,
            text: format!("no budget: {what}"),
            stops: funds.stops,
        })
    }

    /// A job came.
    pub(super) fn came(&mut self, job: &Job) {
        *self.payers.entry(payer(job)).or_default() += 1;
    }

    /// A job left. What is known of a payer without jobs is not kept: nobody follows it.
    pub(super) fn left(&mut self, job: &Job) {
        let payer = payer(job);
        let count = self.payers.remove(&payer).unwrap_or(1) - 1;
        if count == 0 {
            self.funds.remove(&payer);
        } else {
            self.payers.insert(payer, count);
        }
    }

    /// What keeps a job from machines.
    pub(super) fn bar_at(&self, job: &Job, nodes: &DeskNodes) -> Option<Bar> {
        self.bar(job, &nodes.site, &nodes.accelerator)
    }
}

fn payer(job: &Job) -> Payer {
    (job.programme.clone(), job.tenant.clone())
}

impl Desk {
    /// Who has jobs here.
    pub fn payers(&self) -> impl Iterator<Item = &Payer> {
        self.bars.payers.keys()
    }

    /// Nothing was told yet of what pays for somebody's jobs: that comes before the next pass.
    pub fn has_untold_payers(&self) -> bool {
        let mut payers = self.payers();
        payers.any(|payer| !self.bars.funds.contains_key(payer))
    }

    /// Sites that an operator stopped, by which switch.
    pub fn stopped(&self) -> &BTreeMap<SiteId, String> {
        &self.bars.stopped
    }

    /// What somebody may have paid for, as it was told last.
    pub fn funds(&self, payer: &Payer) -> Option<&Funds> {
        self.bars.funds.get(payer)
    }

    pub(super) fn set_funds(&mut self, now: Micros, of: Payer, funds: Funds) {
        if self.bars.funds.get(&of) == Some(&funds) {
            return;
        }
        let jobs = self.entries.values().map(|entry| &entry.job);
        let own = jobs.filter(|job| (&job.programme, &job.tenant) == (&of.0, &of.1));
        let own: Vec<JobId> = own.map(|job| job.id).collect();
        self.bars.funds.insert(of, funds);
        self.bars_changed(now, own);
    }

    pub(super) fn set_stopped(&mut self, now: Micros, stopped: BTreeMap<SiteId, String>) {
        if self.bars.stopped != stopped {
            self.bars.stopped = stopped;
            let all = self.entries.keys().copied().collect();
            self.bars_changed(now, all);
        }
    }

    fn bars_changed(&mut self, now: Micros, jobs: Vec<JobId>) {
        for id in jobs {
            // What was queued asks for places that it may not have.
            self.unqueue(now, id);
            self.feed.insert(id);
            self.stop_barred(now, id);
        }
    }

    /// Stops what runs of a job where it may be no longer.
    pub(super) fn stop_barred(&mut self, now: Micros, id: JobId) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let checkpoint = entry.job.spec.checkpoint;
        for task in entry.open.values_mut() {
            let TaskState::Running(running) = &mut task.state else {
                continue;
            };
            let bar = bar_of(&self.bars, &entry.job, &running.record);
            let is_told = running.record.state == RunState::Stopping;
            if let Some(bar) = bar.filter(|bar| bar.stops && !is_told) {
                let key = entry::key_of(running.record.run.task);
                self.jobs.stopping(key);
                self.effects.push(running.stop((bar.why, now), checkpoint));
            }
        }
    }

    /// What the owner of a job that runs is to know: nothing pays for it any more, it is being stopped though nobody withdrew it, or nobody
    /// knows how it stands.
    pub fn warning(&self, id: JobId) -> Option<String> {
        let entry = self.entries.get(&id)?;
        let barred = entry.open.values().find_map(|task| {
            let TaskState::Running(running) = &task.state else {
                return None;
            };
            let bar = bar_of(&self.bars, &entry.job, &running.record)?;
            let stops = running.record.state == RunState::Stopping;
            let then = match stops {
                true => "it is being stopped",
                false => "it runs until its time limit, for which so much was set aside",
            };
            Some(format!("{}: {}; {then}", running.record.run, bar.text))
        });
        barred.or_else(|| self.warning_unseen(entry))
    }

    /// What keeps a job from every machine that would do and where policy lets it be but for the stop of an operator, which is policy's
    /// word too.
    pub(super) fn barred(&self, entry: &entry::Entry) -> Option<String> {
        let would_do = self.nodes.iter().filter(|nodes| {
            let fits = nodes.fits(&entry.job.spec.resources).is_ok()
                && !entry.unfit.contains_key(&nodes.id);
            let is_stopped = self.bars.stopped.contains_key(&nodes.site);
            fits && (is_stopped || entry.allowed.contains(&nodes.id))
        });
        let mut first = None;
        for nodes in would_do {
            let bar = self.bars.bar_at(&entry.job, nodes)?;
            first.get_or_insert(bar.text);
        }
        first
    }
}

fn bar_of(bars: &Bars, job: &Job, run: &RunRecord) -> Option<Bar> {
    let RunPlace { site, accelerator } = run.place.as_ref()?;
    bars.bar(job, site, accelerator)
}
