//! How runs stand: asked of the controller, and of the accounting where that does not know them any more.

use super::{Inner, now_ms};
use crate::jobs::slurm::ask::{job_name, log_path};
use crate::jobs::slurm::book::Entry;
use crate::jobs::slurm::job::{SlurmJob, micros, word};
use crate::jobs::slurm::store::Signed;
use crate::jobs::slurm::transport::{Fault, Live};
use crate::jobs::{JobsError, NOTICE_MS_MAX, RunStatus, STOP_MS};
use madang_types::{RunEnd, RunId, RunOutcome};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// From one look at all that runs to the next.
const LOOK_TIME: Duration = Duration::from_millis(NOTICE_MS_MAX / 2);
/// The same while Slurm is away: doubled up to this.
const AWAY_TIME_MAX: Duration = Duration::from_secs(8);
/// Runs that are asked about in one look; the others are next.
const LOOK_COUNT_MAX: usize = 200;
/// Looks at the accounting in one look: it is slow.
const ACCOUNTED_COUNT_MAX: usize = 16;
/// Who does not end by force is told so again after so long, in milliseconds.
const AGAIN_MS: u64 = 60_000;
/// How much of a log's end is looked at for the script's own last word, in bytes.
const WORD_BYTES: u64 = 4096;

/// What went wrong with some of several runs.
#[derive(Default)]
pub(super) struct Failed {
    first: Option<JobsError>,
    others: usize,
}

impl Failed {
    pub(super) fn note(&mut self, done: Result<(), JobsError>) {
        match (done, &self.first) {
            (Err(error), None) => self.first = Some(error),
            (Err(_), Some(_)) => self.others += 1,
            (Ok(()), _) => {}
        }
    }

    pub(super) fn told(self) -> Result<(), JobsError> {
        let Some(error) = self.first else {
            return Ok(());
        };
        if self.others > 0 {
            tracing::warn!(%error, others = self.others, "more than one run of a Slurm cluster is not looked after");
        }
        Err(error)
    }
}

impl Inner {
    /// Looks after what runs, as long as it is let.
    pub(in crate::jobs::slurm) async fn watch(self: Arc<Self>) {
        let mut wait = LOOK_TIME;
        loop {
            let woken = tokio::time::timeout(wait, self.wake.notified()).await;
            if woken.is_ok() && wait == LOOK_TIME {
                // Where it is away all is tried again instead.
                self.stand().await.ok();
                continue;
            }
            wait = match self.look_after().await {
                Ok(()) => LOOK_TIME,
                Err(error) => {
                    if wait == LOOK_TIME {
                        tracing::warn!(%error, "a Slurm cluster cannot be asked");
                    }
                    (wait * 2).min(AWAY_TIME_MAX)
                }
            };
        }
    }

    async fn look_after(&self) -> Result<(), JobsError> {
        let mut open = self.open_runs();
        let seen: BTreeMap<RunId, Option<Instant>> = {
            let known = self.book.lock();
            let at = |run: &RunId| Some((*run, known.get(run)?.seen.as_ref().map(|seen| seen.0)));
            open.iter().filter_map(at).collect()
        };
        open.sort_by_key(|run| seen.get(run).copied());
        open.truncate(LOOK_COUNT_MAX);
        let mut failed = Failed::default();
        failed.note(self.refresh(&open).await);
        failed.note(self.force().await);
        failed.note(self.stand().await);
        failed.note(self.sign_anew().await);
        failed.told()
    }

    /// Makes addresses of objects anew for runs that are not over: who waits or runs for longer than they are good for finds new ones.
    async fn sign_anew(&self) -> Result<(), JobsError> {
        let now_ms = now_ms();
        let due = |entry: &Entry| {
            let signed = entry.signed.as_ref().filter(|_| entry.end.is_none())?;
            let signed = signed.is_due(now_ms).then(|| signed.clone())?;
            Some((entry.run, signed))
        };
        let due: Vec<(RunId, Signed)> = {
            let known = self.book.lock();
            known
                .values()
                .filter_map(|known| due(&known.entry))
                .collect()
        };
        let mut failed = Failed::default();
        for (run, signed) in due {
            let signed = signed.at(now_ms);
            match signed.write(&self.options, (&self.files, run)).await {
                Ok(()) => {
                    let change = |entry: &mut Entry| entry.signed = Some(signed);
                    failed.note(self.book.change(run, change).await);
                }
                Err(fault) => failed.note(Err(self.named(fault))),
            }
        }
        failed.told()
    }

    /// Ends those by force whose grace is over.
    async fn force(&self) -> Result<(), JobsError> {
        let now_ms = now_ms();
        let due = |entry: &Entry| {
            let stop = entry.stop.filter(|stop| stop.force_at_ms <= now_ms);
            entry.end.is_none() && stop.is_some()
        };
        let due: Vec<Entry> = {
            let known = self.book.lock();
            let entries = known.values().map(|known| &known.entry);
            entries.filter(|entry| due(entry)).cloned().collect()
        };
        let mut failed = Failed::default();
        for entry in due {
            failed.note(self.force_one(&entry, now_ms).await);
        }
        failed.told()
    }

    async fn force_one(&self, entry: &Entry, now_ms: u64) -> Result<(), JobsError> {
        let _turn = self.lock(entry.run).lock().await;
        let (Some(id), Some(stop)) = (entry.job, entry.stop) else {
            return Ok(());
        };
        // Its script ends it; where that does not, Slurm.
        let (told, again_ms) = match stop.forced {
            false => (self.transport.signal(id, word::END).await, 2 * STOP_MS),
            true => (self.transport.cancel(id).await, AGAIN_MS),
        };
        told.map_err(|fault| self.named(fault))?;
        let forced = move |entry: &mut Entry| {
            if let Some(stop) = &mut entry.stop {
                stop.forced = true;
                stop.force_at_ms = now_ms.saturating_add(again_ms);
            }
        };
        self.book.change(entry.run, forced).await
    }

    /// Runs with a job that are not over.
    pub(super) fn open_runs(&self) -> Vec<RunId> {
        let known = self.book.lock();
        let open = known
            .values()
            .filter(|known| known.entry.end.is_none() && known.entry.job.is_some());
        open.map(|known| known.entry.run).collect()
    }

    /// The status that was seen at most so long ago; an end is always.
    pub(super) fn fresh(&self, run: RunId, age_ms_max: u64) -> Option<RunStatus> {
        let known = self.book.lock();
        let known = known.get(&run)?;
        if let Some(end) = &known.entry.end {
            return Some(RunStatus::Ended(end.clone()));
        }
        let (at, status) = known.seen.as_ref()?;
        let age_ms = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
        // What is told of a stop is told at once.
        let told = known.entry.stop.is_none() || matches!(status, RunStatus::Stopping { .. });
        (age_ms <= age_ms_max && told).then(|| status.clone())
    }

    /// Asks how these runs stand. One that cannot be read or written down keeps nobody else from being looked at; the first of them is
    /// told once all are.
    pub(super) async fn refresh(&self, runs: &[RunId]) -> Result<(), JobsError> {
        let asked: Vec<Entry> = runs.iter().filter_map(|run| self.book.get(*run)).collect();
        let asked = asked.into_iter().filter(|entry| entry.end.is_none());
        let asked: BTreeMap<u32, Entry> = asked
            .filter_map(|entry| Some((entry.job?, entry)))
            .collect();
        if asked.is_empty() {
            return Ok(());
        }
        let ids: Vec<u32> = asked.keys().copied().collect();
        let live = self.transport.live(&ids).await;
        let Live { jobs, unread } = live.map_err(|fault| self.named(fault))?;
        let mut live: BTreeMap<u32, SlurmJob> = jobs.into_iter().map(|job| (job.id, job)).collect();
        let mut failed = Failed::default();
        let mut gone = Vec::new();
        for (id, entry) in asked {
            let job = live.remove(&id);
            if let Some(job) = job.as_ref().filter(|job| self.is_anew(job, &entry)) {
                failed.note(self.taken_back(&entry, job).await);
                continue;
            }
            let job = job.filter(|job| self.is_of(job, &entry));
            match (job, unread.get(&id)) {
                (Some(job), _) => failed.note(self.seen(&entry, &job).await),
                (None, Some(fault)) => failed.note(Err(self.named(fault.clone()))),
                (None, None) => gone.push(entry),
            }
        }
        for entry in gone.into_iter().take(ACCOUNTED_COUNT_MAX) {
            let found = self.in_accounting(entry.run, entry.asked_at_ms / 1000);
            match found.await {
                Ok(jobs) => failed.note(self.accounted(&entry, jobs).await),
                Err(fault @ Fault::Refused(_)) => failed.note(Err(self.named(fault))),
                // It is away, for the others too.
                Err(fault) => {
                    failed.note(Err(self.named(fault)));
                    break;
                }
            }
        }
        failed.told()
    }

    /// A run that the controller does not know, as the accounting has it.
    async fn accounted(&self, entry: &Entry, jobs: Vec<SlurmJob>) -> Result<(), JobsError> {
        let job = jobs
            .into_iter()
            .filter(|job| self.is_of(job, entry))
            .max_by_key(|job| job.submitted_s);
        match job {
            Some(job) if job.state.is_over() => self.seen(entry, &job).await,
            job => self.missing(entry, job.as_ref()).await,
        }
    }

    /// Neither side says that it runs or how it ended. Between the controller and the accounting a job may be for a moment; and one
    /// that was just accepted may not be anywhere yet.
    async fn missing(&self, entry: &Entry, job: Option<&SlurmJob>) -> Result<(), JobsError> {
        let lost = {
            let mut known = self.book.lock();
            let Some(known) = known.get_mut(&entry.run) else {
                return Ok(());
            };
            let since = *known.missing_since.get_or_insert_with(Instant::now);
            if known.seen.is_none() {
                let why = "submitted; the site does not tell of it yet".to_owned();
                known.seen = Some((Instant::now(), RunStatus::Preparing { why }));
            }
            since.elapsed() >= Duration::from_millis(self.options.lost_ms)
        };
        if !lost {
            return Ok(());
        }
        let started_at = job
            .and_then(|job| job.started_s.filter(|_| job.had_nodes))
            .map(micros);
        let cluster = &self.options.cluster;
        let end = RunEnd {
            outcome: RunOutcome::Lost {
                why: format!("the Slurm cluster {cluster} does not know its job any more"),
            },
            started_at,
            ended_at: micros(now_ms() / 1000),
            energy: None,
        };
        self.ended(entry, end).await
    }

    async fn seen(&self, entry: &Entry, job: &SlurmJob) -> Result<(), JobsError> {
        let stop = self.book.get(entry.run).and_then(|entry| entry.stop);
        let status = match job.status(stop) {
            RunStatus::Ended(end) => {
                let end = self.with_last_word(entry, end).await;
                return self.ended(entry, end).await;
            }
            status => status,
        };
        if entry.submitted_s != Some(job.submitted_s) {
            let submitted_s = Some(job.submitted_s);
            self.book
                .change(entry.run, move |entry| entry.submitted_s = submitted_s)
                .await?;
        }
        let changed = {
            let mut known = self.book.lock();
            let Some(known) = known.get_mut(&entry.run) else {
                return Ok(());
            };
            known.missing_since = None;
            let before = known.seen.replace((Instant::now(), status.clone()));
            before.is_none_or(|(_, before)| before != status)
        };
        if changed {
            self.book.tell();
        }
        Ok(())
    }

    /// Somebody of the site had a job queued again. No run begins twice: this one ended then, and makes room for another one of ours.
    async fn taken_back(&self, entry: &Entry, again: &SlurmJob) -> Result<(), JobsError> {
        if !again.state.is_over() {
            let done = self.transport.cancel(again.id).await;
            done.map_err(|fault| self.named(fault))?;
        }
        let jobs = self.in_accounting(entry.run, entry.asked_at_ms / 1000);
        let jobs = jobs.await.map_err(|fault| self.named(fault))?;
        let before = jobs.into_iter().find(|job| self.is_of(job, entry));
        let times = before.and_then(|job| Some((job.started_s?, job.ended_s?)));
        let Some((started_s, ended_s)) = times else {
            return self.missing(entry, None).await;
        };
        let withdrawn = entry.stop.is_some_and(|stop| stop.cancel);
        let end = RunEnd {
            outcome: match withdrawn {
                true => RunOutcome::Cancelled,
                false => RunOutcome::Stopped,
            },
            started_at: Some(micros(started_s)),
            ended_at: micros(ended_s),
            energy: None,
        };
        self.ended(entry, end).await
    }

    async fn ended(&self, entry: &Entry, end: RunEnd) -> Result<(), JobsError> {
        if entry.signed.is_some() {
            // Who ended before it took them has left them.
            self.remove_secrets(entry.run).await;
        }
        let ended = |entry: &mut Entry| entry.end = Some(end);
        self.book.change(entry.run, ended).await
    }

    /// Why it was not begun or not kept stands at the end of its log, where that can be read.
    async fn with_last_word(&self, entry: &Entry, mut end: RunEnd) -> RunEnd {
        let (RunOutcome::NotStarted { why } | RunOutcome::NotKept { why }) = &mut end.outcome
        else {
            return end;
        };
        let Some(id) = entry.job else { return end };
        let path = log_path(&self.options, entry.run, &id.to_string());
        let bytes_max = usize::try_from(WORD_BYTES).unwrap_or(0);
        if let Ok(Some(log)) = self.files.read(&path, 0, bytes_max, WORD_BYTES).await {
            let text = String::from_utf8_lossy(&log.bytes).into_owned();
            let word = text
                .lines()
                .rev()
                .find_map(|line| line.strip_prefix("madang: "));
            if let Some(word) = word {
                *why = word.to_owned();
            }
        }
        end
    }

    /// It is that run's job, and was queued again.
    fn is_anew(&self, job: &SlurmJob, entry: &Entry) -> bool {
        let again = entry.submitted_s.is_some_and(|at_s| at_s < job.submitted_s);
        self.has_name_of(job, entry) && again
    }

    /// It is that run's job, in the stretch that is ours.
    fn is_of(&self, job: &SlurmJob, entry: &Entry) -> bool {
        let same = entry.submitted_s.is_none_or(|at_s| at_s == job.submitted_s);
        self.has_name_of(job, entry) && same
    }

    /// Numbers of jobs come again; names of runs do not.
    fn has_name_of(&self, job: &SlurmJob, entry: &Entry) -> bool {
        Some(job.id) == entry.job && job.name == job_name(&self.options, entry.run)
    }
}

#[cfg(test)]
mod tests;
