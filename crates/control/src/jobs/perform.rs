//! What the desk says is carried out: money first, then the books, then machines. Each step may be done twice.

use super::{JobsPlane, spec};
use madang_core::desk::{DeskEffect, DeskInput};
use madang_executor::jobs::{JobsError, StopHow};
use madang_gateway::audit::JobPlace;
use madang_gateway::clock;
use madang_store::{JobTerm, JobsChange, StoreError};
use madang_types::{Job, JobCheckpoint, RunEnd, RunOutcome, RunRecord};

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
        let mut change = JobsChange::default();
        let (mut begun, mut stops) = (Vec::new(), Vec::new());
        for effect in effects {
            match effect {
                DeskEffect::Begin(run) => {
                    if let Some(job) = self.permit(&run).await {
                        change.runs.push((*run).clone());
                        begun.push((job, *run));
                    }
                }
                DeskEffect::Run(run) => change.runs.push(*run),
                DeskEffect::Settle(mut run) => {
                    // Its job may have left the desk with it.
                    let job = self.book.job_get(run.run.task.job).await?;
                    if let Some(job) = job {
                        run.charge = self.settle(&job, &run).await?;
                    }
                    change.runs.push(*run);
                }
                DeskEffect::Stop(run, checkpoint) => {
                    change.runs.push((*run).clone());
                    stops.push((run, checkpoint));
                }
                DeskEffect::Job(job) => change.jobs.push(*job),
            }
        }
        self.book.jobs_write(term, change).await?;
        for (job, run) in begun {
            self.start_run(&job, &run).await;
        }
        for (run, checkpoint) in stops {
            self.stop_run(&run, checkpoint).await;
        }
        Ok(())
    }

    /// A run that may begin, with its job. The desk is told of one that may not.
    async fn permit(&self, run: &RunRecord) -> Option<Job> {
        let job = self.open_job(run.run.task.job)?;
        let refused = match self.may_begin(&job, run).await {
            Ok(()) => return Some(job),
            Err(why) => why,
        };
        self.tell(DeskInput::Refused(run.run, refused));
        None
    }

    async fn may_begin(&self, job: &Job, run: &RunRecord) -> Result<(), String> {
        let snapshot = self.gateway.snapshot();
        let nodes = snapshot.fleet.nodes.get(&run.nodes);
        let nodes = nodes.ok_or("its machines have left the fleet")?;
        let place = JobPlace {
            run: run.run,
            site: nodes.site.clone(),
            nodes: run.nodes.clone(),
        };
        match self.gateway.job_permit(job, place).await {
            Ok(true) => self.reserve(job, run, nodes).await,
            Ok(false) => Err(format!("policy keeps its data away from {}", nodes.site)),
            Err(error) => Err(format!("the audit log cannot be written: {error}")),
        }
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
        let spec = spec::run_spec(job, run, &snapshot.fleet);
        let started = match (self.executor(&run.nodes), spec) {
            (Some(executor), Some(spec)) => executor.start(spec).await,
            _ => Err(JobsError::Refused(
                "its machines take jobs no more".to_owned(),
            )),
        };
        match started {
            Ok(()) => {}
            Err(error @ JobsError::Unavailable(_)) => {
                tracing::warn!(run = %run.run, %error, "a run is not begun yet");
            }
            Err(error) => self.never_started(run, error.to_string()),
        }
    }

    fn never_started(&self, run: &RunRecord, why: String) {
        let end = RunEnd {
            outcome: RunOutcome::NotStarted { why },
            started_at: None,
            ended_at: clock::now(),
            energy: None,
        };
        self.tell(DeskInput::Ended(run.run, end));
    }

    /// Tells its executor to stop a run.
    pub(super) async fn stop_run(&self, run: &RunRecord, checkpoint: Option<JobCheckpoint>) {
        let Some(executor) = self.executor(&run.nodes) else {
            return;
        };
        let how = checkpoint.map_or(StopHow::Cancel, StopHow::Checkpoint);
        if let Err(error) = executor.stop(run.run, how).await {
            tracing::warn!(run = %run.run, %error, "a run is not stopped yet");
        }
    }
}
