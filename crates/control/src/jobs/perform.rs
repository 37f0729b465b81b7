//! What the desk says is carried out: a run is written down, then what it may cost is set aside, then it starts. Each step may be done
//! twice, and whatever the end of Madang leaves undone is found by the run that the books have.

use super::cashier::Till;
use super::{JobsPlane, spec};
use crate::secrets::SecretsError;
use madang_core::desk::{DeskEffect, DeskInput};
use madang_executor::jobs::{JobsError, StopHow};
use madang_gateway::audit::JobPlace;
use madang_gateway::clock;
use madang_ledger::{Entry, JobRun, Phase};
use madang_store::{JobTerm, JobsChange, StoreError};
use madang_types::{Job, JobCheckpoint, JobId, RunEnd, RunOutcome, RunRecord};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A run that is to begin, and the entry that sets aside what it may cost.
struct Begun {
    job: Job,
    run: RunRecord,
    entry: Option<Entry>,
}

impl JobsPlane {
    /// Carries out what the desk said in one pass.
    ///
    /// # Errors
    /// The books cannot be written: the desk is ahead of them then, and is opened anew from them.
    pub(super) async fn perform(
        &self,
        term: JobTerm,
        effects: Vec<DeskEffect>,
    ) -> Result<(), StoreError> {
        let mut till = Till::new(self);
        let mut change = JobsChange::default();
        let (mut begun, mut stops, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        for effect in effects {
            match effect {
                DeskEffect::Begin(run) => {
                    if let Some(one) = self.permit(&mut till, *run).await? {
                        change.runs.push(one.run.clone());
                        begun.push(one);
                    }
                }
                DeskEffect::Run(run) => change.runs.push(*run),
                DeskEffect::Settle(run) => ended.push(*run),
                DeskEffect::Stop(run, checkpoint) => {
                    change.runs.push((*run).clone());
                    stops.push((run, checkpoint));
                }
                DeskEffect::Job(job) => change.jobs.push(*job),
            }
        }
        let mut ended = self.with_jobs(ended, &change.jobs).await?;
        self.settle(&mut till, &mut ended).await?;
        let outcomes: Vec<RunOutcome> = ended
            .iter()
            .filter_map(|(_, run)| Some(run.end.as_ref()?.outcome.clone()))
            .collect();
        change.runs.extend(ended.into_iter().map(|(_, run)| run));
        self.book.jobs_write(term, change).await?;
        let metrics = &self.gateway.metrics;
        outcomes.iter().for_each(|outcome| metrics.job_end(outcome));
        self.begin(begun).await?;
        for (run, checkpoint) in stops {
            if let Some(stop) = run.stop {
                metrics.job_stop(stop.why);
            }
            self.stop_run(&run, checkpoint).await;
        }
        Ok(())
    }

    /// Runs with their jobs: those that leave the desk with them stand in `leaving`.
    async fn with_jobs(
        &self,
        runs: Vec<RunRecord>,
        leaving: &[Job],
    ) -> Result<Vec<(Job, RunRecord)>, StoreError> {
        let mut jobs: BTreeMap<JobId, Job> = BTreeMap::new();
        let mut found = Vec::with_capacity(runs.len());
        for run in runs {
            let id = run.run.task.job;
            if !jobs.contains_key(&id) {
                let near = leaving.iter().find(|job| job.id == id).cloned();
                let job = match near.or_else(|| self.open_job(id)) {
                    Some(job) => Some(job),
                    None => self.book.job_get(id).await?,
                };
                jobs.extend(job.map(|job| (id, job)));
            }
            found.extend(jobs.get(&id).map(|job| (job.clone(), run)));
        }
        Ok(found)
    }

    /// A run that may begin. The desk is told of one that may not, and nothing of it is in the books.
    async fn permit(
        &self,
        till: &mut Till<'_>,
        run: RunRecord,
    ) -> Result<Option<Begun>, StoreError> {
        let Some(job) = self.open_job(run.run.task.job) else {
            return Ok(None);
        };
        let entry = match till.reservation((&job, &run), run.created_at).await? {
            Ok(entry) => entry,
            Err(why) => {
                self.tell(DeskInput::Refused(run.run, why));
                return Ok(None);
            }
        };
        let fleet = Arc::clone(&self.gateway.snapshot().fleet);
        let permitted = match self.governors.let_begin(run.created_at, &fleet, &run) {
            // Last, so that the log has those alone that nothing else is in the way of, and not each try.
            Ok(()) => self.may_begin(&job, &run).await,
            Err(why) => Err(why),
        };
        match permitted {
            Ok(()) => Ok(Some(Begun { job, run, entry })),
            Err(why) => {
                if let Some(entry) = entry {
                    till.give_back(&job.tenant, &entry);
                }
                self.tell(DeskInput::Refused(run.run, why));
                Ok(None)
            }
        }
    }

    async fn may_begin(&self, job: &Job, run: &RunRecord) -> Result<(), String> {
        let place = run.place.as_ref().ok_or("nobody knows its machines")?;
        let site = place.site.clone();
        let place = JobPlace {
            run: run.run,
            site: site.clone(),
            nodes: run.nodes.clone(),
        };
        match self.gateway.job_permit(job, place).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("policy keeps its data away from {site}")),
            Err(error) => Err(format!("the audit log cannot be written: {error}")),
        }
    }

    /// Sets aside what runs may cost that the books have, and starts those for which that is done.
    async fn begin(&self, begun: Vec<Begun>) -> Result<(), StoreError> {
        let entries = begun.iter().filter_map(|one| one.entry.clone()).collect();
        let mut told = self.reserve(entries).await?.into_iter();
        for Begun { job, run, entry } in begun {
            let reserved = match entry {
                Some(_) => told.next().unwrap_or(Ok(())),
                None => Ok(()),
            };
            match reserved {
                Ok(()) => self.start_run(&job, &run).await,
                Err(why) => self.refuse(&run, why),
            }
        }
        Ok(())
    }

    /// A run that the books have and its executor does not: Madang ended in between, or the executor could not be asked. What was not
    /// done for it is done now.
    ///
    /// # Errors
    /// The books cannot be used: it is asked again at the next look.
    pub(super) async fn resume(&self, job: Job, run: RunRecord) -> Result<(), StoreError> {
        let id = JobRun::entry_id_of(run.run);
        let mut known = self.known([id].into_iter()).await?;
        let known = known.remove(&id).unwrap_or_default();
        if known.iter().any(|entry| entry.phase != Phase::Reserve) {
            // It was over and paid, and its end was not written down.
            self.tell(DeskInput::Ended(run.run, super::drive::gone(&run)));
            return Ok(());
        }
        if !known.is_empty() {
            self.start_run(&job, &run).await;
            return Ok(());
        }
        let reservation = Till::new(self)
            .reservation((&job, &run), clock::now())
            .await?;
        match reservation {
            Ok(entry) => self.begin(vec![Begun { job, run, entry }]).await,
            Err(why) => {
                self.refuse(&run, why);
                Ok(())
            }
        }
    }

    /// A run that the books have does not begin.
    fn refuse(&self, run: &RunRecord, why: String) {
        self.tell(DeskInput::Ended(
            run.run,
            never(RunOutcome::Refused { why }),
        ));
    }

    /// Tells its executor of a run. Where that is in vain it is told again at the next look.
    pub(super) async fn start_run(&self, job: &Job, run: &RunRecord) {
        let snapshot = self.gateway.snapshot();
        let jobs = snapshot
            .fleet
            .nodes
            .get(&run.nodes)
            .and_then(|nodes| nodes.jobs.as_ref());
        let cluster = jobs.and_then(|jobs| jobs.cluster.as_deref());
        match self.site_lacks(cluster, job, run.created_at) {
            None => {}
            Some((why, false)) => return self.note(DeskInput::Prepares(run.run, why)),
            Some((why, true)) => return self.never_started(run, why),
        }
        match self.try_start(job, run).await {
            Ok(()) => self.gateway.metrics.job_start(),
            Err(error @ JobsError::Unavailable(_)) => {
                self.complain(run.run, "a run is not begun yet", &error);
                let why =
                    format!("it has machines, and is not begun yet: {error}; it is tried again");
                self.note(DeskInput::Prepares(run.run, why));
                self.note(unseen(run, false, &error));
            }
            Err(error) => self.never_started(run, error.to_string()),
        }
    }

    fn never_started(&self, run: &RunRecord, why: String) {
        let end = never(RunOutcome::NotStarted { why });
        self.tell(DeskInput::Ended(run.run, end));
    }

    async fn try_start(&self, job: &Job, run: &RunRecord) -> Result<(), JobsError> {
        let whose = (&job.tenant, job.project.as_ref());
        let secrets = self.secrets.open(whose, &job.spec).await;
        let secrets = secrets.map_err(|error| match error {
            SecretsError::Store(error) => JobsError::Unavailable(error.to_string()),
            // Waiting would hold its machines, and not bring the secret back.
            error => JobsError::Refused(error.to_string()),
        })?;
        let snapshot = self.gateway.snapshot();
        let spec = spec::run_spec((job, run), &snapshot.fleet, secrets);
        match (self.executor(&run.nodes), spec) {
            (Some(executor), Some(spec)) => executor.start(spec).await,
            _ => Err(JobsError::Refused(
                "its machines take jobs no more".to_owned(),
            )),
        }
    }

    /// Tells its executor to stop a run.
    pub(super) async fn stop_run(&self, run: &RunRecord, checkpoint: Option<JobCheckpoint>) {
        let how = checkpoint.map_or(StopHow::Cancel, StopHow::Checkpoint);
        let stopped = match self.executor_of(run).await {
            Ok(Some(executor)) => executor.stop(run.run, how).await,
            Ok(None) => return,
            Err(error) => Err(error),
        };
        if let Err(error) = stopped {
            self.complain(run.run, "a run is not stopped yet", &error);
            if run.started_at.is_none() {
                let why = format!("it is to be stopped: {error}; it is told again");
                self.note(DeskInput::Prepares(run.run, why));
            }
            // It is told again at the next look.
            self.unstopped().insert(run.run);
        }
    }
}

/// Nobody could be asked how a run stands.
pub(super) fn unseen(run: &RunRecord, taken: bool, error: &JobsError) -> DeskInput {
    DeskInput::Unseen {
        run: run.run,
        taken,
        why: error.to_string(),
    }
}

/// The end of a run whose program never began.
fn never(outcome: RunOutcome) -> RunEnd {
    RunEnd {
        outcome,
        started_at: None,
        ended_at: clock::now(),
        energy: None,
    }
}
