//! The thread that keeps fine-tuning jobs: it reads what their programs print, tells it as events, and takes in what they left. It has
//! nothing in mind that is not on disk: another one goes on where this one was.

use super::FineTunings;
use super::followed::{Followed, ended};
use super::order::{End, Order, Status, Tuning};
use super::results;
use super::template::{TRAINING_FILE, VALIDATION_FILE};
use crate::batches::disk;
use crate::batches::id::TuningId;
use crate::batches::unix_s;
use crate::worker::{Worker, logged};
use madang_store::JobFilter;
use madang_types::{Job, JobId, JobState, RunRecord, RunState, TenantId};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// How often jobs that are not over are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often what is over is looked for, in looks.
const SWEEP_LOOKS: u64 = 600;
/// Bytes of output that are read at once, and how often in one look.
const READ_BYTES: usize = 256 * 1024;
const READS_MAX: usize = 64;
/// How long after its end the output of a job is tried to be had, in seconds.
const OUTPUT_S_MAX: i64 = 600;
/// A job that is not submitted so long after it was asked for never will be by whoever was asked, in seconds.
const SUBMIT_S_MAX: i64 = 60;
/// The newest jobs of a tenant, among which one is looked for whose number was never written down.
const JOBS_MAX: u32 = 1_000;

/// The name of the thread, and who it is that logs.
const NAME: &str = "fine-tuning";

impl FineTunings {
    /// Starts keeping. Told to stop, it ends; jobs go on.
    ///
    /// # Errors
    /// The thread or its event loop cannot be had.
    pub fn start(&self) -> io::Result<Worker> {
        let keeping = Keeping {
            tunings: self.clone(),
            followed: BTreeMap::new(),
            over: BTreeSet::new(),
        };
        Worker::start(NAME, move |stopping| keeping.run(stopping))
    }
}

struct Keeping {
    tunings: FineTunings,
    followed: BTreeMap<TuningId, Followed>,
    /// Known to be over: they are not read again.
    over: BTreeSet<TuningId>,
}

/// How far a job's output was read.
#[derive(PartialEq, Eq)]
enum Read {
    All,
    /// There is or may be more.
    Later,
}

impl Keeping {
    async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        let wake = Arc::clone(&self.tunings.wake);
        let mut held = None;
        for look in 0_u64.. {
            if held.is_none() {
                held = logged((NAME, "take the keeping"), self.tunings.orders.take()).flatten();
            }
            if held.is_some() {
                if look.is_multiple_of(SWEEP_LOOKS) {
                    logged((NAME, "sweep"), self.sweep());
                }
                tokio::select! {
                    kept = self.look() => { logged((NAME, "look"), kept); }
                    _ = stopping.wait_for(|stop| *stop) => return,
                }
            }
            let next = timeout(LOOK, async {
                tokio::select! {
                    () = wake.notified() => {}
                    _ = stopping.wait_for(|stop| *stop) => {}
                }
            });
            // Nobody woke it: time for the next look.
            next.await.ok();
            if *stopping.borrow() {
                return;
            }
        }
    }

    fn sweep(&mut self) -> io::Result<()> {
        self.over.clear();
        let keep_s = self.tunings.gateway.snapshot().fleet.limits.files_keep_s;
        let before_s = unix_s() - i64::try_from(keep_s).unwrap_or(i64::MAX);
        for tenant in self.tunings.orders.tenants()? {
            self.tunings.orders.sweep(&tenant, before_s)?;
        }
        Ok(())
    }

    async fn look(&mut self) -> io::Result<()> {
        for tenant in self.tunings.orders.tenants()? {
            for id in self.tunings.orders.ids(&tenant)? {
                if self.over.contains(&id) {
                    continue;
                }
                let Some(tuning) = self.tunings.orders.get(&tenant, id)? else {
                    continue;
                };
                // One whose disk or books fail does not hold up the others.
                let kept = match tuning.end {
                    Some(_) => Ok(true),
                    None => self.keep(&tuning).await,
                };
                match logged((NAME, "keep a job"), kept) {
                    Some(false) => continue,
                    Some(true) => drop(self.over.insert(id)),
                    None => {}
                }
                // After an error it is read anew.
                self.followed.remove(&id);
            }
        }
        Ok(())
    }

    /// Brings one job's record up to how it stands; true once it is over.
    async fn keep(&mut self, tuning: &Tuning) -> io::Result<bool> {
        let order = &tuning.order;
        let id = match tuning.job {
            Some(id) => id,
            None if unix_s() < order.created_at + SUBMIT_S_MAX => return Ok(false),
            None => match self.submitted(order).await? {
                Some(id) => id,
                None => return self.lost(order, "it was never submitted: ask again"),
            },
        };
        let book = self.tunings.jobs.book();
        let job = book.job_get(id).await.map_err(io::Error::other)?;
        let Some(job) = job else {
            return self.lost(order, "the books of jobs do not have it");
        };
        let runs = book.run_list(id, None).await.map_err(io::Error::other)?;
        let read = self.read(order, &runs).await?;
        let waits = job
            .ended_at
            .is_none_or(|at| unix_s() < at.0 / 1_000_000 + OUTPUT_S_MAX);
        if !job.state.is_over() || (read == Read::Later && waits) {
            return Ok(false);
        }
        self.end(order, &job, runs.last())?;
        Ok(true)
    }

    /// The batch job of an order whose keeper died before it wrote the number down.
    async fn submitted(&self, order: &Order) -> io::Result<Option<JobId>> {
        let filter = JobFilter {
            tenant: Some(order.tenant.clone()),
            ..JobFilter::default()
        };
        let book = self.tunings.jobs.book();
        let jobs = book.job_list(filter, None, JOBS_MAX).await;
        let name = order.id.to_string();
        let found = jobs
            .map_err(io::Error::other)?
            .into_iter()
            .find(|job| job.spec.name == name);
        if let Some(job) = &found {
            self.tunings.orders.submitted(order, job.id)?;
        }
        Ok(found.map(|job| job.id))
    }

    fn followed(&mut self, tenant: &TenantId, id: TuningId) -> io::Result<&mut Followed> {
        if !self.followed.contains_key(&id) {
            let file = self.tunings.orders.events(tenant, id);
            self.followed.insert(id, Followed::open(file)?);
        }
        let followed = self.followed.get_mut(&id);
        followed.ok_or_else(|| io::Error::other("a job that was just put there"))
    }

    /// Reads what runs printed, and tells it.
    async fn read(&mut self, order: &Order, runs: &[RunRecord]) -> io::Result<Read> {
        let jobs = Arc::clone(&self.tunings.jobs);
        let followed = self.followed(&order.tenant, order.id)?;
        for run in runs {
            let number = run.run.number;
            if number < followed.mark.run || (number == followed.mark.run && followed.is_run_over())
            {
                continue;
            }
            let end = run.end.as_ref();
            if end.is_some_and(|end| end.started_at.is_none()) {
                followed.never_began(run)?;
                continue;
            }
            if run.started_at.is_none() && end.is_none() {
                return Ok(Read::All);
            }
            followed.begin(number)?;
            for _ in 0..READS_MAX {
                let Ok((from, bytes)) = jobs.output(run, followed.next, READ_BYTES).await else {
                    return Ok(Read::Later);
                };
                if bytes.is_empty() {
                    if run.state != RunState::Ended {
                        return Ok(Read::All);
                    }
                    followed.run_over(run)?;
                    break;
                }
                followed.take(from, &bytes)?;
            }
            if !followed.is_run_over() {
                return Ok(Read::Later);
            }
        }
        Ok(Read::All)
    }

    /// Writes down how a job ended, with what it left.
    fn end(&mut self, order: &Order, job: &Job, last: Option<&RunRecord>) -> io::Result<()> {
        let now_s = unix_s();
        let (status, error) = outcome(job, last);
        let (mut result_files, mut left_out) = (Vec::new(), Vec::new());
        if status == Status::Succeeded {
            let limits = &self.tunings.gateway.snapshot().fleet.limits;
            (result_files, left_out) = results::keep(&self.tunings.shelf, order, (limits, now_s))?;
        }
        let followed = self.followed(&order.tenant, order.id)?;
        followed.over((status, error.as_deref()), left_out)?;
        let trained_tokens = followed.trained_tokens;
        self.finish(
            order,
            &End {
                status,
                finished_at: job.ended_at.map_or(now_s, |at| at.0 / 1_000_000),
                error,
                result_files,
                trained_tokens,
            },
        )
    }

    /// A job of which nobody knows.
    fn lost(&mut self, order: &Order, why: &str) -> io::Result<bool> {
        let followed = self.followed(&order.tenant, order.id)?;
        followed.over((Status::Failed, Some(why)), Vec::new())?;
        let end = End {
            status: Status::Failed,
            finished_at: unix_s(),
            error: Some(why.to_owned()),
            result_files: Vec::new(),
            trained_tokens: None,
        };
        self.finish(order, &end)?;
        Ok(true)
    }

    /// The end is written last: until then all of this is done again.
    fn finish(&self, order: &Order, end: &End) -> io::Result<()> {
        for name in [TRAINING_FILE, VALIDATION_FILE] {
            disk::gone(std::fs::remove_file(order.exchange().join(name)))?;
        }
        let status = end.status.as_str();
        tracing::info!(tuning = %order.id, tenant = %order.tenant, status, "a fine-tuning job is over");
        self.tunings.orders.ended(order, end)
    }
}

/// How a job ended, and why where it did not succeed.
fn outcome(job: &Job, last: Option<&RunRecord>) -> (Status, Option<String>) {
    let of_run = || {
        let end = last.and_then(|run| run.end.as_ref());
        end.map(|end| ended(&end.outcome))
    };
    match job.state {
        JobState::Completed => (Status::Succeeded, None),
        JobState::Cancelled => (Status::Cancelled, None),
        JobState::TimedOut => (Status::Failed, Some("it reached its time limit".to_owned())),
        JobState::Failed | JobState::Pending | JobState::Held | JobState::Running => {
            let why = of_run().or_else(|| job.why.clone());
            (
                Status::Failed,
                Some(why.unwrap_or_else(|| "nobody knows why".to_owned())),
            )
        }
    }
}
