//! Runs that were given up, as nobody could be asked how they stand: their executors are asked about them all the same. What is there yet
//! is withdrawn, and what a run used until its true end is booked, once.

use super::cashier::{Till, booked, used};
use super::{JobsPlane, bars::left_nothing};
use madang_core::desk::{DeskInput, Used};
use madang_executor::jobs::{JobsError, RunStatus, StopHow};
use madang_gateway::clock;
use madang_ledger::{Account, Entry, Fault, JobRun};
use madang_store::{JobTerm, JobsChange, StoreError};
use madang_types::{Job, Micros, NodesId, Preempted, RunEnd, RunId, RunOutcome, RunRecord};
use std::collections::BTreeMap;

/// How many of one `[[nodes]]` are asked about in one look.
const ASKED_MAX: usize = 200;

/// What was told of runs that had been given up: how each ended, or nothing where nobody will ever tell.
pub(super) type Told = BTreeMap<RunId, (RunRecord, Option<RunEnd>)>;

impl JobsPlane {
    /// Asks executors about runs that were given up; whether some of them still run. What they tell is left to whoever drives.
    ///
    /// # Errors
    /// The books cannot be read.
    pub(super) async fn ask_after(&self, now: Micros) -> Result<bool, StoreError> {
        let mut by_nodes: BTreeMap<NodesId, Vec<RunRecord>> = BTreeMap::new();
        let mut after = None;
        loop {
            let page = self.book.runs_untold(after).await?;
            let Some(last) = page.last() else {
                break;
            };
            after = Some(last.run);
            for run in page {
                let of = by_nodes.entry(run.nodes.clone()).or_default();
                if of.len() < ASKED_MAX {
                    of.push(run);
                }
            }
        }
        let keep_ms = self.gateway.snapshot().fleet.jobs.keep_ms;
        let mut some_run = false;
        for runs in by_nodes.into_values() {
            for run in runs {
                let over_at = run.end.as_ref().map_or(run.created_at, |end| end.ended_at);
                let told = match self.ask_once(&run).await {
                    Ok(Asked::Told(end)) => Some(end),
                    Ok(Asked::Runs) => {
                        some_run = true;
                        None
                    }
                    Ok(Asked::Unknown) => None,
                    Err(error) => {
                        tracing::debug!(run = %run.run, %error, "nobody tells yet how a run ended that was given up");
                        if now < over_at.plus_ms(keep_ms) {
                            // Its executor is away, for the others of these machines too.
                            break;
                        }
                        Some(None)
                    }
                };
                if let Some(end) = told {
                    self.told().insert(run.run, (run, end));
                }
            }
        }
        if !self.told().is_empty() {
            self.wake.notify_one();
        }
        Ok(some_run)
    }

    /// How a run ended that was given up. One that runs yet is withdrawn.
    async fn ask_once(&self, run: &RunRecord) -> Result<Asked, JobsError> {
        let executor = match self.executor_of(run).await? {
            Some(executor) => executor,
            None if self.has_left(&run.nodes) && !self.shared => return Ok(Asked::Told(None)),
            None => return Ok(Asked::Unknown),
        };
        Ok(match executor.look(run.run).await? {
            Some(RunStatus::Ended(end)) => Asked::Told(Some(end)),
            Some(status) => {
                if !matches!(status, RunStatus::Stopping { .. }) {
                    tracing::warn!(run = %run.run, "a run that was given up is there again: it is withdrawn");
                    executor.stop(run.run, StopHow::Cancel).await?;
                }
                Asked::Runs
            }
            None => Asked::Told(None),
        })
    }

    /// Books what runs used that had been given up and of which it was told since how they ended.
    ///
    /// # Errors
    /// The books cannot be written: it is asked and booked again, and counts once.
    pub(super) async fn book_told(&self, term: JobTerm) -> Result<(), StoreError> {
        let told = std::mem::take(&mut *self.told());
        if told.is_empty() {
            return Ok(());
        }
        let mut till = Till::new(self);
        let mut change = JobsChange::default();
        let mut more = Vec::new();
        for (mut run, end) in told.into_values() {
            let before_ms = run.accelerator_ms().unwrap_or(0);
            if let Some(end) = end
                && let Some(job) = self.book.job_get(run.run.task.job).await?
            {
                if !self.book_late(&mut till, (&job, &mut run), end).await? {
                    continue;
                }
                let more_ms = run.accelerator_ms().unwrap_or(0).saturating_sub(before_ms);
                more.extend(run.end.as_ref().map(|end| (job, more_ms, end.ended_at)));
            }
            run.unseen_until = Some(clock::now());
            change.runs.push(run);
        }
        self.book.jobs_write(term, change).await?;
        for (job, accelerator_ms, at) in more.into_iter().filter(|(_, ms, _)| *ms > 0) {
            let weights = self
                .gateway
                .job_weights(job.programme.as_ref(), &job.tenant);
            self.note(DeskInput::Used(Used {
                owner: (job.programme, job.tenant, job.project),
                weights,
                accelerator_ms,
                at,
            }));
        }
        Ok(())
    }

    /// Books what one used beside what was booked of it, and notes its true end; false where others were faster to spend what was left, and
    /// it is to be tried again.
    async fn book_late(
        &self,
        till: &mut Till<'_>,
        (job, run): (&Job, &mut RunRecord),
        end: RunEnd,
    ) -> Result<bool, StoreError> {
        let Some(given_up) = run.end.take() else {
            return Ok(true);
        };
        let ids = [JobRun::entry_id_of(run.run), JobRun::late_id_of(run.run)];
        let lost = matches!(end.outcome, RunOutcome::Lost { .. });
        let outcome = said_since(&given_up.outcome, &end.outcome);
        if lost {
            // Nobody knows more than before.
            run.end = Some(RunEnd {
                outcome,
                ..given_up
            });
            return Ok(true);
        }
        let energy = given_up.energy;
        run.end = Some(RunEnd { energy, ..end });
        let mut known = self.known(ids.into_iter()).await?;
        let late = known.remove(&ids[1]).unwrap_or_default();
        let mut entries = known.remove(&ids[0]).unwrap_or_default();
        match (late.is_empty(), till.paid_run(job, run).await?) {
            (false, _) => entries.extend(late),
            (true, Err(why)) => tracing::error!(run = %run.run, why, "a run is not paid"),
            (true, Ok(paid)) => {
                let preempted = self.gateway.programme_jobs(job).preempted;
                // Its task was begun again elsewhere where it counted as not begun.
                let free = matches!(given_up.outcome, RunOutcome::Refused { .. })
                    || (preempted == Preempted::Free && left_nothing(job, run));
                let entry = self.late_entry(&paid, (run, free), &entries).await?;
                let told = self.append(entry.clone().into_iter().collect()).await?;
                match told.into_iter().next() {
                    Some(Err(Fault::Short { .. })) => {
                        run.end = Some(given_up);
                        return Ok(false);
                    }
                    Some(Err(fault)) => {
                        tracing::error!(run = %run.run, %fault, "the ledger refused what a run used");
                    }
                    Some(Ok(_)) | None => entries.extend(entry),
                }
            }
        }
        run.charge = booked(&entries);
        run.started_at = run.end.as_ref().and_then(|end| end.started_at);
        if let Some(end) = &mut run.end {
            end.outcome = outcome;
        }
        Ok(true)
    }

    /// The entry of what a run used beside what `known` of its entries say.
    async fn late_entry(
        &self,
        paid: &JobRun,
        (run, free): (&RunRecord, bool),
        known: &[Entry],
    ) -> Result<Option<Entry>, StoreError> {
        let Some(end) = &run.end else {
            return Ok(None);
        };
        // One that is told never to have begun used nothing.
        let of = used(run, end, free).unwrap_or(madang_ledger::JobUse {
            span_us: 0,
            energy: end.energy,
            charged: true,
        });
        let mut left: BTreeMap<Account, i64> = BTreeMap::new();
        for leg in known.iter().flat_map(|entry| &entry.legs) {
            if let Account::Purse(purse) = &leg.from {
                let purse_left = self
                    .gateway
                    .purses
                    .bank()
                    .purse_left(purse.clone(), leg.unit);
                left.insert(leg.from.clone(), purse_left.await?);
            }
        }
        let left = |account: &Account| left.get(account).copied().unwrap_or(0);
        Ok(paid.settle_late((known, of), left, end.ended_at))
    }
}

/// What an executor says of a run that was given up.
enum Asked {
    /// How it ended; `None` where it knows nothing of it.
    Told(Option<RunEnd>),
    /// It runs yet.
    Runs,
    /// Nobody here can know.
    Unknown,
}

/// The outcome of a run that was given up, with what was told of it since.
fn said_since(given_up: &RunOutcome, told: &RunOutcome) -> RunOutcome {
    let since = match told.why() {
        Some(why) => format!("{}, {why}", told.as_str()),
        None => told.as_str().to_owned(),
    };
    let with = |why: &str| format!("{why}; told since: {since}");
    match given_up {
        RunOutcome::Lost { why } => RunOutcome::Lost { why: with(why) },
        RunOutcome::Refused { why } => RunOutcome::Refused { why: with(why) },
        other => other.clone(),
    }
}
