//! The executor itself: what is done at each call. How runs stand is asked in [`refresh`].

mod measure;
mod refresh;
mod still;

use super::ask::{Ask, job_name, log_path};
use super::book::{Book, Entry};
use super::cli::{Cli, foretell};
use super::files::Files;
use super::job::{SlurmJob, Stop, micros, word};
use super::options::SlurmOptions;
use super::rest::Rest;
use super::script::{quoted, secrets, secrets_path};
use super::shell::Shell;
use super::store::{Signed, urls_path};
use super::transport::{Fault, Transport};
use crate::jobs::{JobsError, RunLog, RunSpec, RunStatus, StopHow};
use madang_types::{Micros, RunId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{Mutex, Notify, watch};

/// No time: another Madang drives.
const ELSEWHERE: u64 = u64::MAX;
/// Calls that change one run come one after the other; calls about others seldom wait for them.
const LOCKS: usize = 64;
/// What `look` told a moment ago is told again, in milliseconds.
const FRESH_MS: u64 = 250;
/// How far back jobs may be from that a lost folder knew, in seconds: the longest time limit and 9 days in the queue.
const FORERUNNER_S: u64 = 99 * 86_400;
/// Clocks differ, in seconds.
const SKEW_S: u64 = 600;

pub(super) struct Inner {
    options: SlurmOptions,
    book: Book,
    transport: Box<dyn Transport>,
    shell: Option<Arc<Shell>>,
    files: Files,
    locks: Vec<Mutex<()>>,
    /// Since when runs are told from here how to stand, in milliseconds since 1970; [`ELSEWHERE`] while another Madang drives.
    leads_since_ms: AtomicU64,
    /// Somebody wants something at once of whoever looks after what runs.
    wake: Notify,
}

impl Inner {
    pub(super) fn open(options: SlurmOptions) -> Result<Self, JobsError> {
        let cluster = &options.cluster;
        let shell = options
            .shell
            .clone()
            .map(|words| Arc::new(Shell::new(words)));
        if !options.folder.starts_with('/') {
            let folder = &options.folder;
            let what = format!("the Slurm cluster {cluster}: '{folder}' is no absolute path");
            return Err(JobsError::Unsupported(what));
        }
        let transport: Box<dyn Transport> = match (&options.rest, &shell) {
            (Some(rest), _) => Box::new(Rest::new(rest)?),
            (None, Some(shell)) => Box::new(Cli {
                shell: Arc::clone(shell),
            }),
            (None, None) => {
                let what =
                    format!("the Slurm cluster {cluster} has neither a REST daemon nor a shell");
                return Err(JobsError::Unsupported(what));
            }
        };
        let files = match (&options.mounted, &shell) {
            (Some(mounted), _) => Files::Here {
                folder: options.folder.clone(),
                mounted: mounted.clone(),
            },
            (None, Some(shell)) => Files::By(Arc::clone(shell)),
            (None, None) => Files::Nowhere,
        };
        Ok(Self {
            book: Book::open(&options.state, now_ms())?,
            transport,
            shell,
            files,
            locks: (0..LOCKS).map(|_| Mutex::new(())).collect(),
            leads_since_ms: AtomicU64::new(if options.shared { ELSEWHERE } else { 0 }),
            wake: Notify::new(),
            options,
        })
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.book.changes()
    }

    /// Whether our folder knows a run.
    pub(super) fn has(&self, run: RunId) -> bool {
        self.book.lock().contains_key(&run)
    }

    fn lock(&self, run: RunId) -> &Mutex<()> {
        let at = usize::try_from(run.task.job.0 % LOCKS as u64).unwrap_or(0);
        &self.locks[at]
    }

    fn named(&self, fault: Fault) -> JobsError {
        fault.named(&self.options.cluster)
    }

    pub(super) async fn start(&self, spec: RunSpec) -> Result<(), JobsError> {
        let run = spec.run;
        let ask = Ask::new(&self.options, &spec)?;
        let _turn = self.lock(run).lock().await;
        // Of one that whoever drove before may have submitted it was asked how it stands, before it is begun.
        match self.entry(run, false).await? {
            Some(entry) if entry.job.is_some() || entry.end.is_some() => return Ok(()),
            Some(entry) => {
                let waited_ms = now_ms().saturating_sub(entry.asked_at_ms);
                if waited_ms < self.options.settle_ms {
                    let what = format!(
                        "{run} was submitted without an answer; it is not known yet whether it is there"
                    );
                    return Err(self.named(Fault::Unknown(what)));
                }
            }
            None => {}
        }
        if let Some(text) = secrets(&spec) {
            let path = secrets_path(&self.options, run);
            let written = self.files.write_secret(&path, &text).await;
            written.map_err(|fault| self.named(fault))?;
        }
        let signed = Signed::of(&spec, now_ms());
        if let Some(signed) = &signed {
            let written = signed.write(&self.options, (&self.files, run)).await;
            written.map_err(|fault| self.named(fault))?;
        }
        let entry = || Entry {
            signed: signed.clone(),
            ..Entry::new(run, now_ms(), spec.log_bytes_max)
        };
        self.book.put(entry()).await?;
        match self.transport.submit(&ask).await {
            Ok(id) => {
                let job = Some(id);
                self.book.put(Entry { job, ..entry() }).await
            }
            Err(fault) => {
                if !matches!(fault, Fault::Unknown(_)) {
                    self.book.remove(run).await?;
                    self.remove_secrets(run).await;
                }
                Err(self.named(fault))
            }
        }
    }

    /// Why a run is refused before Slurm hears of it.
    pub(super) fn never(&self, spec: &RunSpec) -> Option<String> {
        let refused = Ask::new(&self.options, spec).err()?;
        Some(refused.to_string())
    }

    /// Asks Slurm when it would begin such a run: its programs know how, its REST daemons do not.
    pub(super) async fn foretell(&self, spec: &RunSpec) -> Result<Option<Micros>, JobsError> {
        let ask = Ask::new(&self.options, spec)?;
        let Some(shell) = &self.shell else {
            return Ok(None);
        };
        let at_s = foretell(shell, &ask).await;
        Ok(at_s.map_err(|fault| self.named(fault))?.map(micros))
    }

    /// What is known of a run: from the book, or from Slurm by its name where the book has no job for it. `others` may have submitted it.
    async fn entry(&self, run: RunId, others: bool) -> Result<Option<Entry>, JobsError> {
        let entry = self.book.get(run);
        let (since_s, until_s) = match &entry {
            Some(entry) if entry.job.is_some() || entry.end.is_some() => {
                return Ok(Some(entry.clone()));
            }
            Some(entry) => (entry.asked_at_ms / 1000, u64::MAX),
            None if others => ((now_ms() / 1000).saturating_sub(FORERUNNER_S), u64::MAX),
            None => match self.book.forerunner_until_s(now_ms()) {
                Some(until_s) => (until_s.saturating_sub(FORERUNNER_S), until_s),
                None => return Ok(None),
            },
        };
        let found = self.in_accounting(run, since_s).await;
        let mut found = found.map_err(|fault| self.named(fault))?;
        found.retain(|job| job.name == job_name(&self.options, run) && job.submitted_s < until_s);
        // Of several, one that has begun is the run: its folder lets no other begin.
        found.sort_by_key(|job| (!job.had_nodes, job.submitted_s, job.id));
        let Some(job) = found.first() else {
            return Ok(entry);
        };
        let mut adopted =
            entry.unwrap_or_else(|| Entry::new(run, job.submitted_s * 1000, u64::MAX));
        adopted.job = Some(job.id);
        adopted.submitted_s = Some(job.submitted_s);
        self.book.put(adopted.clone()).await?;
        self.doubt(Some(run));
        self.cancel_twins(&found[1..]).await?;
        Ok(Some(adopted))
    }

    /// What the accounting knows of a run's jobs since a time by this machine's clock, in seconds since 1970.
    async fn in_accounting(&self, run: RunId, since_s: u64) -> Result<Vec<SlurmJob>, Fault> {
        let since_s = since_s.saturating_sub(SKEW_S);
        let name = job_name(&self.options, run);
        self.transport.accounted(&name, since_s).await
    }

    async fn cancel_twins(&self, twins: &[SlurmJob]) -> Result<(), JobsError> {
        for twin in twins.iter().filter(|twin| !twin.state.is_over()) {
            tracing::warn!(
                job = twin.id,
                name = twin.name,
                "a run is queued twice: one is withdrawn"
            );
            let done = self.transport.cancel(twin.id).await;
            done.map_err(|fault| self.named(fault))?;
        }
        Ok(())
    }

    pub(super) async fn stop(&self, run: RunId, how: StopHow) -> Result<(), JobsError> {
        let _turn = self.lock(run).lock().await;
        let Some(entry) = self.entry(run, self.options.shared).await? else {
            return Ok(());
        };
        if entry.end.is_some() {
            return Ok(());
        }
        let now_ms = now_ms();
        let mut stop = Stop::new(how, now_ms);
        if let Some(earlier) = entry.stop {
            if earlier.cancel && !stop.cancel {
                return Ok(());
            }
            stop.force_at_ms = stop.force_at_ms.min(earlier.force_at_ms.max(now_ms));
        }
        let Some(id) = entry.job else {
            let settled = now_ms.saturating_sub(entry.asked_at_ms) >= self.options.settle_ms;
            if settled {
                return Ok(());
            }
            let what = format!(
                "{run} was submitted without an answer; it is not known yet whether it is there"
            );
            return Err(self.named(Fault::Unknown(what)));
        };
        // Asked now: who began since the last look is told by its signal, and is not withdrawn as who waits is.
        self.refresh(&[run]).await?;
        let waits = !matches!(
            self.fresh(run, u64::MAX),
            Some(RunStatus::Running { .. } | RunStatus::Stopping { since: Some(_) })
        );
        self.book
            .change(run, move |entry| entry.stop = Some(stop))
            .await?;
        // It may have ended in the meantime.
        if self.book.get(run).is_none_or(|entry| entry.end.is_some()) {
            return Ok(());
        }
        let told = match how {
            _ if waits => self.transport.cancel(id).await,
            StopHow::Cancel => self.transport.signal(id, word::END).await,
            StopHow::Checkpoint(checkpoint) => {
                self.transport.signal(id, checkpoint.signal.as_str()).await
            }
        };
        told.map_err(|fault| self.named(fault))
    }

    pub(super) async fn look(&self, run: RunId) -> Result<Option<RunStatus>, JobsError> {
        let known = self.book.get(run);
        if known.is_none_or(|entry| entry.job.is_none() && entry.end.is_none()) {
            let _turn = self.lock(run).lock().await;
            let Some(entry) = self.entry(run, self.options.shared).await? else {
                return self.not_found(run);
            };
            if entry.job.is_none() {
                let settled = now_ms().saturating_sub(entry.asked_at_ms) >= self.options.settle_ms;
                if settled {
                    return Ok(None);
                }
                return Ok(Some(unanswered()));
            }
        }
        self.look_at(run).await
    }

    /// The accounting hears of a job late, and whoever drove before may have submitted it the moment before: for a while after this
    /// one drives a run that is not found may be there.
    fn not_found(&self, run: RunId) -> Result<Option<RunStatus>, JobsError> {
        // While another one drives nothing has settled either.
        let since_ms = self.leads_since_ms.load(Ordering::Relaxed);
        if now_ms().saturating_sub(since_ms) >= self.options.settle_ms {
            return Ok(None);
        }
        Err(self.named(Fault::Unknown(format!(
            "its accounting does not know {run} yet, which another gateway may have submitted"
        ))))
    }

    /// How a run stands that has a job.
    async fn look_at(&self, run: RunId) -> Result<Option<RunStatus>, JobsError> {
        if let Some(status) = self.fresh(run, FRESH_MS) {
            return Ok(Some(status));
        }
        self.refresh(&[run]).await?;
        Ok(self.fresh(run, u64::MAX))
    }

    pub(super) async fn runs(&self) -> Result<Vec<(RunId, RunStatus)>, JobsError> {
        let open = self.open_runs();
        self.refresh(&open).await?;
        let known: Vec<(RunId, bool)> = {
            let known = self.book.lock();
            let each = known.iter();
            each.map(|(run, known)| (*run, known.entry.job.is_some()))
                .collect()
        };
        let status = |(run, is_there): (RunId, bool)| match self.fresh(run, u64::MAX) {
            Some(status) => Some((run, status)),
            None if is_there => None,
            None => Some((run, unanswered())),
        };
        Ok(known.into_iter().filter_map(status).collect())
    }

    pub(super) async fn log(
        &self,
        run: RunId,
        from: u64,
        bytes_max: usize,
    ) -> Result<RunLog, JobsError> {
        let entry = {
            let _turn = self.lock(run).lock().await;
            self.entry(run, self.options.shared)
                .await?
                .ok_or(JobsError::Absent(run))?
        };
        let Some(id) = entry.job else {
            return Ok(RunLog {
                from,
                bytes: Vec::new(),
            });
        };
        let path = log_path(&self.options, run, &id.to_string());
        let log = self
            .files
            .read(&path, from, bytes_max, entry.log_bytes_max)
            .await;
        log.map_err(|fault| self.named(fault))?.ok_or_else(|| {
            let cluster = &self.options.cluster;
            JobsError::Unsupported(format!(
                "no log is read of the Slurm cluster {cluster}: the folder of its runs is not mounted here, and no shell of it is configured"
            ))
        })
    }

    pub(super) async fn terminal(&self, run: RunId) -> Result<Vec<String>, JobsError> {
        let runs = matches!(
            self.look(run).await?,
            Some(RunStatus::Running { .. } | RunStatus::Stopping { since: Some(_) })
        );
        let job = self.book.get(run).and_then(|entry| entry.job);
        let id = job.filter(|_| runs).ok_or(JobsError::Absent(run))?;
        let shell = self.shell.as_ref().ok_or_else(|| {
            let cluster = &self.options.cluster;
            JobsError::Unsupported(format!(
                "no shell of the Slurm cluster {cluster} is configured"
            ))
        })?;
        let folder = quoted(&format!("{}/{}", self.options.folder, run.task));
        let inner = quoted(". ./.madang-env; exec bash -i");
        let srun = format!("srun --overlap --jobid={id} --chdir={folder} --pty bash -c {inner}");
        Ok(shell.terminal(&srun))
    }

    pub(super) async fn forget(&self, run: RunId) -> Result<(), JobsError> {
        let _turn = self.lock(run).lock().await;
        let Some(entry) = self.book.get(run) else {
            return Ok(());
        };
        if entry.end.is_none() {
            return Err(JobsError::Unavailable(format!("{run} is not over")));
        }
        let mut paths = self.private_paths(run).to_vec();
        paths.extend(
            entry
                .job
                .map(|id| log_path(&self.options, run, &id.to_string())),
        );
        let goes_on = self
            .book
            .lock()
            .keys()
            .any(|other| other.task == run.task && *other != run);
        if !goes_on {
            paths.push(format!("{}/{}", self.options.folder, run.task));
        }
        self.files
            .remove(&paths)
            .await
            .map_err(|fault| self.named(fault))?;
        self.book.remove(run).await
    }

    /// What the batch script reads and removes.
    fn private_paths(&self, run: RunId) -> [String; 2] {
        let options = &self.options;
        [secrets_path(options, run), urls_path(options, run)]
    }

    async fn remove_secrets(&self, run: RunId) {
        if self.files.remove(&self.private_paths(run)).await.is_err() {
            tracing::warn!(%run, cluster = self.options.cluster, "the secrets of a run that is not there are left on the cluster");
        }
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// How a run stands of which nobody knows yet whether Slurm has it.
fn unanswered() -> RunStatus {
    let why = "submitted without an answer".to_owned();
    RunStatus::Preparing { why }
}
