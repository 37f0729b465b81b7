//! The task that drives: it holds the term, hears of jobs and runs, asks the desk, and has done what it says.

use super::JobsPlane;
use super::perform::unseen;
use futures_util::future::join_all;
use madang_core::desk::{Desk, DeskInput, DeskNodes, Used};
use madang_core::jobs::JobTerms;
use madang_executor::jobs::{JobsError, RunStatus};
use madang_gateway::clock;
use madang_store::{JobTerm, StoreError};
use madang_types::{
    Job, JobId, JobState, Micros, NodesId, RunEnd, RunId, RunOutcome, RunPlace, RunRecord,
    RunState, StopWhy,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// Longest time between two looks, and the shortest where nobody wakes it.
const LOOK_MS: u64 = 1_000;
const REST_US_MIN: u64 = 10_000;
/// How long a term is held, and how long before its end it is renewed.
const TERM_MS: u64 = 30_000;
const TERM_EARLY_MS: u64 = 20_000;
/// Time between two looks at all open jobs where other gateways write to the books too.
const RELIST_MS: u64 = 5_000;
/// Time between two looks at what pays for jobs and what operators stopped.
const BARS_MS: u64 = 1_000;
/// Time between two looks at prices.
const PRICES_MS: u64 = 60_000;
/// Rounds of the desk in one look: each carries out what the one before led to.
const ROUNDS_MAX: usize = 16;

/// What the driving task knows beside the desk.
struct Driving {
    term: JobTerm,
    until: Micros,
    generation: u64,
    revision: Option<u64>,
    listed_at: Micros,
    barred_at: Micros,
    priced_at: Micros,
}

/// Drives until the plane is gone.
pub(super) async fn drive(plane: Weak<JobsPlane>, wake: Arc<Notify>) {
    let mut driving: Option<Driving> = None;
    // Told when it begins, not at each look.
    let mut away = false;
    while let Some(plane) = plane.upgrade() {
        match plane.look(&mut driving).await {
            Ok(()) => away = false,
            Err(error) => {
                if !std::mem::replace(&mut away, true) {
                    tracing::warn!(%error, "jobs are not driven: the books cannot be used");
                }
            }
        }
        let rest = plane.rest();
        // Whoever rests does not keep it.
        drop(plane);
        drop(timeout(rest, wake.notified()).await);
    }
}

/// Wakes whoever drives when a run has changed.
pub(super) async fn listen(wake: Arc<Notify>, mut changes: watch::Receiver<u64>) {
    while changes.changed().await.is_ok() {
        wake.notify_one();
    }
}

impl JobsPlane {
    /// How long nothing is to be done, as far as is known.
    fn rest(&self) -> Duration {
        let now = clock::now();
        let wake_at = self.lock().as_ref().and_then(|desk| desk.wake_at(now));
        let us = wake_at.map_or(u64::MAX, |at| at.since_us(now));
        Duration::from_micros(us.clamp(REST_US_MIN, LOOK_MS * 1_000))
    }

    /// Another gateway drives, or nobody knows: the next term begins with a desk of its own.
    fn step_down(&self, driving: &mut Option<Driving>) {
        *driving = None;
        *self.lock() = None;
        self.lead(false);
    }

    /// Executors are told whether runs are told from here from now on, where another gateway may.
    fn lead(&self, leads: bool) {
        if self.shared {
            let executors = self.executors.values();
            executors.for_each(|executor| executor.leads(leads));
        }
    }

    async fn look(&self, driving: &mut Option<Driving>) -> Result<(), StoreError> {
        if self.gateway.snapshot().generation == 0 {
            return Ok(());
        }
        let now = clock::now();
        if driving
            .as_ref()
            .is_none_or(|held| now.plus_ms(TERM_EARLY_MS) >= held.until)
        {
            self.hold(driving, now).await?;
        }
        let Some(held) = driving.as_mut() else {
            return Ok(());
        };
        self.follow_fleet(held);
        self.follow_books(held, now).await?;
        let untold = |desk: &Desk| desk.has_untold_payers();
        let untold = self.lock().as_ref().is_some_and(untold);
        if untold || now >= held.barred_at.plus_ms(BARS_MS) {
            held.barred_at = now;
            self.follow_bars(now);
        }
        let repriced = self.repriced.swap(false, Ordering::Relaxed);
        if repriced || now >= held.priced_at.plus_ms(PRICES_MS) {
            // By the clock after the word: a price that was set while the books were read above is in force from then on, not from `now`.
            if let Err(error) = self.follow_prices(clock::now()).await {
                self.repriced.store(true, Ordering::Relaxed);
                return Err(error);
            }
            held.priced_at = now;
            self.follow_electricity(now);
        }
        self.follow_power(now);
        self.follow_runs().await;
        self.book_told(held.term).await?;
        let done = self.rounds(held.term).await;
        if done.is_err() {
            // The desk is ahead of the books: it is opened anew from them.
            self.step_down(driving);
        }
        done
    }

    async fn rounds(&self, term: JobTerm) -> Result<(), StoreError> {
        for _ in 0..ROUNDS_MAX {
            let mut effects = Vec::new();
            if let Some(desk) = self.lock().as_mut() {
                let begun = Instant::now();
                desk.pass(clock::now(), &mut effects);
                self.gateway.metrics.job_pass(begun.elapsed());
            }
            if effects.is_empty() {
                return Ok(());
            }
            self.perform(term, effects).await?;
        }
        self.wake.notify_one();
        Ok(())
    }

    /// Takes the term, or goes on with it. One that was lost, or is new, begins with a desk of its own.
    async fn hold(&self, driving: &mut Option<Driving>, now: Micros) -> Result<(), StoreError> {
        let until = now.plus_ms(TERM_MS);
        let held = self.book.term_hold(self.id.clone(), now, until).await;
        let over = driving.as_ref().is_some_and(|held| held.until <= now);
        let term = match held {
            Ok(term) => term,
            Err(error) => {
                if over {
                    self.step_down(driving);
                }
                return Err(error);
            }
        };
        match (term, driving.as_mut()) {
            (Some(term), Some(held)) if held.term == term => held.until = until,
            (Some(term), _) => {
                self.step_down(driving);
                let desk = self.open_desk().await?;
                self.lead(true);
                *self.lock() = Some(desk);
                *driving = Some(Driving {
                    term,
                    until,
                    generation: self.gateway.snapshot().generation,
                    revision: self.book.jobs_revision().await?,
                    listed_at: now,
                    barred_at: Micros(i64::MIN),
                    priced_at: Micros(i64::MIN),
                });
                self.stop_again().await;
            }
            (None, _) => self.step_down(driving),
        }
        Ok(())
    }

    /// A desk with all jobs that are not over, as the books have them.
    async fn open_desk(&self) -> Result<Desk, StoreError> {
        let terms = self.terms();
        let mut desk = Desk::new(terms, self.nodes(Self::reaches));
        self.open_shares(&mut desk, terms).await?;
        desk.reserve(self.reservations());
        desk.qos(self.qos());
        self.tell_sites(clock::now(), &mut desk);
        let mut runs = self.runs_open().await?;
        let mut after = None;
        loop {
            let page = self.book.jobs_open(after).await?;
            let Some(last) = page.last() else {
                return Ok(desk);
            };
            after = Some(last.id);
            for job in page {
                let over = self.over(&job).await?;
                let runs = runs.remove(&job.id).unwrap_or_default();
                let arrival = self.arrival(job, runs, over);
                desk.apply(clock::now(), DeskInput::Came(Box::new(arrival)));
            }
        }
    }

    /// Tells what was used before, as far back as it makes a difference.
    async fn open_shares(&self, desk: &mut Desk, terms: JobTerms) -> Result<(), StoreError> {
        let now = clock::now();
        let memory_us = i64::try_from(terms.memory_ms() * 1_000).unwrap_or(i64::MAX);
        let since = Micros(now.0.saturating_sub(memory_us));
        for used in self.book.jobs_used(since).await? {
            let weights = self
                .gateway
                .job_weights(used.programme.as_ref(), &used.tenant);
            let used = Used {
                owner: (used.programme, used.tenant, used.project),
                weights,
                accelerator_ms: used.accelerator_ms,
                at: used.at,
            };
            desk.apply(now, DeskInput::Used(used));
        }
        Ok(())
    }

    /// Runs of all jobs that are not over.
    async fn runs_open(&self) -> Result<BTreeMap<JobId, Vec<RunRecord>>, StoreError> {
        let mut runs: BTreeMap<JobId, Vec<RunRecord>> = BTreeMap::new();
        let mut after = None;
        loop {
            let page = self.book.runs_open(after).await?;
            let Some(last) = page.last() else {
                return Ok(runs);
            };
            after = Some(last.run);
            for mut run in page {
                // One from before that was kept with it: its machines are as they were then, or it cannot be paid.
                run.place = run.place.or_else(|| self.place_of(&run.nodes));
                runs.entry(run.run.task.job).or_default().push(run);
            }
        }
    }

    fn place_of(&self, nodes: &NodesId) -> Option<RunPlace> {
        let snapshot = self.gateway.snapshot();
        let nodes = snapshot.fleet.nodes.get(nodes)?;
        Some(RunPlace {
            site: nodes.site.clone(),
            accelerator: nodes.accelerator.clone(),
        })
    }

    /// How those of the jobs that one waits for ended that are over.
    pub(super) async fn over(&self, job: &Job) -> Result<BTreeMap<JobId, JobState>, StoreError> {
        let mut over = BTreeMap::new();
        for after in &job.spec.after {
            let other = self.book.job_get(after.job).await?;
            let state = other.map_or(JobState::Cancelled, |other| other.state);
            if state.is_over() {
                over.insert(after.job, state);
            }
        }
        Ok(over)
    }

    /// Who was being stopped when the one before ended is told so again.
    async fn stop_again(&self) {
        let stopping = |run: &RunRecord| run.state == RunState::Stopping;
        for run in self.live().into_iter().filter(stopping) {
            self.stop_run_again(&run).await;
        }
    }

    async fn stop_run_again(&self, run: &RunRecord) {
        let withdrawn = run.stop.is_none_or(|s| s.why == StopWhy::Withdrawn);
        let job = self.open_job(run.run.task.job).filter(|_| !withdrawn);
        let checkpoint = job.and_then(|job| job.spec.checkpoint);
        self.stop_run(run, checkpoint).await;
    }

    /// Another fleet has other machines, and perhaps another policy.
    fn follow_fleet(&self, held: &mut Driving) {
        let snapshot = self.gateway.snapshot();
        if held.generation == snapshot.generation {
            return;
        }
        held.generation = snapshot.generation;
        held.priced_at = Micros(i64::MIN);
        let nodes = self.nodes(Self::reaches);
        let now = clock::now();
        self.tell_fleet(now, nodes);
        self.allow_anew(now);
    }

    fn tell_fleet(&self, now: Micros, nodes: Vec<DeskNodes>) {
        let mut desk = self.lock();
        let Some(desk) = desk.as_mut() else {
            return;
        };
        desk.terms(self.terms());
        if desk.nodes() != nodes.as_slice() {
            desk.machines(nodes);
        }
        desk.reserve(self.reservations());
        desk.qos(self.qos());
        self.tell_sites(now, desk);
    }

    /// What other gateways took in, and what was wished of them there.
    async fn follow_books(&self, held: &mut Driving, now: Micros) -> Result<(), StoreError> {
        let revision = self.book.jobs_revision().await?;
        let soon = now < held.listed_at.plus_ms(RELIST_MS);
        if revision == held.revision || soon {
            return Ok(());
        }
        (held.revision, held.listed_at) = (revision, now);
        let mut after = None;
        loop {
            let page = self.book.jobs_open(after).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.id);
            for job in page {
                self.heard(job).await?;
            }
        }
    }

    async fn heard(&self, job: Job) -> Result<(), StoreError> {
        let known = |desk: &Desk| desk.job(job.id).map(|job| (job.held, job.cancelled_at));
        let known = self.lock().as_ref().and_then(known);
        let input = match known {
            None => {
                let runs = self.book.run_list(job.id, None).await?;
                let over = self.over(&job).await?;
                DeskInput::Came(Box::new(self.arrival(job, runs, over)))
            }
            Some((held, _)) if held != job.held => DeskInput::Held(job.id, job.held),
            Some((_, None)) => match job.cancelled_at {
                Some(at) => DeskInput::Cancelled(job.id, at),
                None => return Ok(()),
            },
            Some(_) => return Ok(()),
        };
        self.note(input);
        Ok(())
    }

    /// Runs that hold machines.
    pub(super) fn live(&self) -> Vec<RunRecord> {
        let desk = self.lock();
        let runs = desk.as_ref().map(|desk| desk.runs().cloned().collect());
        runs.unwrap_or_default()
    }

    /// Asks executors how their runs stand; those of other machines are asked at the same time, so that one that is away holds up its
    /// own alone.
    async fn follow_runs(&self) {
        let mut by_nodes: BTreeMap<NodesId, Vec<RunRecord>> = BTreeMap::new();
        let live = self.live();
        let lives: BTreeSet<RunId> = live.iter().map(|run| run.run).collect();
        self.unstopped().retain(|run| lives.contains(run));
        self.complaints().retain(|(run, _)| lives.contains(run));
        for run in live {
            by_nodes.entry(run.nodes.clone()).or_default().push(run);
        }
        let each = by_nodes.into_values().map(|runs| self.follow_all(runs));
        join_all(each).await;
    }

    /// Asks how the runs of some machines stand. Of one alone it may not be told; where that is so of two, their executor is away, and the
    /// others are not asked about.
    async fn follow_all(&self, runs: Vec<RunRecord>) {
        let mut failed = false;
        for (at, run) in runs.iter().enumerate() {
            match self.follow_run(run).await {
                Ok(true) => failed = false,
                Ok(false) => return,
                Err(error) if !failed => {
                    self.note(unseen(run, true, &error));
                    failed = true;
                }
                Err(error) => {
                    let rest = runs.iter().skip(at);
                    rest.for_each(|run| self.note(unseen(run, true, &error)));
                    return;
                }
            }
        }
    }

    /// Asks how a run stands; false where nobody here can know.
    ///
    /// # Errors
    /// Its executor does not tell.
    async fn follow_run(&self, run: &RunRecord) -> Result<bool, JobsError> {
        if self.unstopped().remove(&run.run) {
            self.stop_run_again(run).await;
        }
        let looked = match self.executor_of(run).await {
            Ok(Some(executor)) => executor.look(run.run).await,
            // Nobody here knows of it. Of several gateways another one may; of one alone, nobody ever will.
            Ok(None) if self.has_left(&run.nodes) && !self.shared => Ok(None),
            Ok(None) => return Ok(false),
            Err(error) => Err(error),
        };
        let status = looked.inspect_err(|error| {
            self.complain(run.run, "nobody knows how a run stands", error);
        })?;
        self.complaints().retain(|(of, _)| *of != run.run);
        if status.is_some() || run.state != RunState::Starting {
            self.note(DeskInput::Seen(run.run));
        }
        let input = match status {
            Some(RunStatus::Preparing { why }) => DeskInput::Prepares(run.run, why),
            Some(RunStatus::Running { since } | RunStatus::Stopping { since: Some(since) }) => {
                DeskInput::Began(run.run, since)
            }
            Some(RunStatus::Stopping { since: None }) => return Ok(true),
            Some(RunStatus::Ended(end)) => DeskInput::Ended(run.run, end),
            // It was written down, and nobody was told, or nobody took it.
            None if run.state == RunState::Starting => {
                if let Some(job) = self.open_job(run.run.task.job)
                    && let Err(error) = self.resume(job, run.clone()).await
                {
                    tracing::warn!(run = %run.run, %error, "a run is not begun yet");
                }
                return Ok(true);
            }
            None => DeskInput::Ended(run.run, gone(run)),
        };
        self.note(input);
        Ok(true)
    }
}

/// The end of a run that its executor knows no more.
pub(super) fn gone(run: &RunRecord) -> RunEnd {
    let outcome = if run.state == RunState::Stopping && run.started_at.is_none() {
        RunOutcome::Cancelled
    } else {
        RunOutcome::Lost {
            why: "its executor knows nothing of it".to_owned(),
        }
    };
    RunEnd {
        outcome,
        started_at: run.started_at,
        ended_at: clock::now(),
        energy: None,
    }
}
