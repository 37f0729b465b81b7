//! Jobs on this machine.
//!
//! Each run has a folder and a runner: a small process of its own, which outlives Madang ([`runner`]). Madang starts it, leaves orders in the
//! folder and reads there how the run stands; a Madang that was killed finds all of it again. What is begun is begun once: of several runners
//! of one run one claims it.

mod cgroup;
mod confine;
mod container;
mod folder;
mod lack;
mod log;
mod order;
mod procfs;
pub(crate) mod runner;
pub(crate) mod shell;
mod stage;
mod watch;

pub use confine::Confinement;
pub use container::ContainerEngine;
pub use stage::{StageBucket, StageOptions, StageRoot};
pub(super) use stage::{open_object, signed};

use super::{JobExecutor, JobsError, RunLog, RunSpec, RunStatus, StopHow};
use crate::guard::GuardProgram;
use async_trait::async_trait;
use folder::{Claim, RunFolder, StopOrder, create_private, sync_folder};
use madang_types::RunId;
use order::{ORDER_BYTES_MAX, Order};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The longest that a disk may take for a call, and a new runner until it has claimed its run.
const CALL: Duration = Duration::from_secs(30);
/// A runner says a word, or a line of what is wrong.
const ANSWER_BYTES_MAX: u64 = 4096;
/// What a forgotten run is called until all of it is gone.
const GONE: &str = ".gone-";
/// Variables that a runner keeps of Madang's own: the container engines need them, no run sees them.
const KEPT: [&str; 7] = [
    "PATH",
    "HOME",
    "USER",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "DOCKER_HOST",
    "CONTAINER_HOST",
];

/// How jobs are run on this machine.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// The folder of its runs, its own.
    pub folder: PathBuf,
    /// How a runner is started: the guard's program, which is the runner's too.
    pub runner: GuardProgram,
    /// What jobs may bring and keep.
    pub stages: StageOptions,
    /// What their programs reach besides; all that Madang's own user does where nothing is said.
    pub confinement: Option<Confinement>,
    /// A control group (version 2) below which each run without an image has one of its own, that holds it to its memory and processors:
    /// Madang may write there, and no process is in it.
    pub cgroup: Option<PathBuf>,
    /// What runs their images, where there is something that does.
    pub engine: Option<ContainerEngine>,
}

/// Runs jobs on this machine.
pub struct LocalExecutor {
    options: LocalOptions,
    watched: Arc<watch::Watched>,
    /// Orders to stop are read and written one after the other.
    stopping: Arc<Mutex<()>>,
    watch: JoinHandle<()>,
}

impl Drop for LocalExecutor {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl LocalExecutor {
    /// Takes the folder up as it is. Two executors over one folder do nothing twice, but each forgets what the other begins: hold the data
    /// folder's lock. It is called on a runtime.
    ///
    /// # Errors
    /// [`JobsError::Unavailable`] where the folder cannot be used.
    pub fn open(options: LocalOptions) -> Result<Self, JobsError> {
        let failed = |error: io::Error| unavailable(&options.folder, &error);
        let folder = std::path::absolute(&options.folder).map_err(failed)?;
        create_private(&folder).map_err(failed)?;
        if let Some(error) = options
            .confinement
            .as_ref()
            .and_then(|_| confine::names_no_threads())
        {
            tracing::warn!(
                %error,
                "Madang is root and may make no mount namespace: programs of jobs without an image cannot name their threads, so CUDA does \
                 not start in them; have Madang be a user of its own, or give it CAP_SYS_ADMIN"
            );
        }
        let watched = Arc::new(watch::Watched::new(folder.clone()));
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(GONE) {
                remove(&path).map_err(failed)?;
            }
            let Ok(run) = name.parse::<RunId>() else {
                continue;
            };
            match take_up(&RunFolder::at(path)) {
                Ok(true) => watched.add(run),
                Ok(false) => {}
                Err(error) => tracing::warn!(%run, %error, "the folder of a run cannot be used"),
            }
        }
        Ok(Self {
            options: LocalOptions { folder, ..options },
            watch: tokio::spawn(watch::watch(watched.clone())),
            watched,
            stopping: Arc::default(),
        })
    }

    fn folder(&self, run: RunId) -> RunFolder {
        RunFolder::of(&self.options.folder, run)
    }

    /// Does it on a thread that may wait for the disk.
    async fn disk<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, JobsError> {
        let folder = self.options.folder.clone();
        let path = folder.clone();
        let done = timeout(CALL, tokio::task::spawn_blocking(move || run(&path))).await;
        let late = || io::Error::new(ErrorKind::TimedOut, "the disk does not answer");
        let done = done.map_err(|_| late()).and_then(|done| {
            let done = done.map_err(io::Error::other);
            done.and_then(|done| done)
        });
        done.map_err(|error| unavailable(&folder, &error))
    }

    /// Starts a runner and hears whether the run is claimed; the error says why not.
    async fn launch(&self, folder: &RunFolder, order: &[u8]) -> Result<(), String> {
        let runner = &self.options.runner;
        let errors = File::create(folder.path().join("runner.err")).map_err(|e| e.to_string())?;
        let kept = KEPT.iter().filter_map(|name| {
            let value: OsString = std::env::var_os(name)?;
            Some((name, value))
        });
        let mut child = Command::new(&runner.program)
            .args(&runner.args)
            .arg("job")
            .arg(folder.path())
            .env_clear()
            .envs(kept)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .map_err(|e| format!("cannot start {}: {e}", runner.program.display()))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let told = async {
            if let Some(mut input) = input {
                input.write_all(order).await?;
            }
            let mut answer = String::new();
            if let Some(output) = output {
                let mut line = BufReader::new(output.take(ANSWER_BYTES_MAX));
                line.read_line(&mut answer).await?;
            }
            io::Result::Ok(answer)
        };
        let answer = timeout(CALL, told).await;
        let answer = answer.ok().and_then(Result::ok).unwrap_or_default();
        if [runner::CLAIMED, runner::TAKEN].contains(&answer.trim()) {
            return Ok(());
        }
        // Once it is dead it claims nothing more: then it is known whether the run was begun.
        child.kill().await.ok();
        let said = fs::read_to_string(folder.path().join("runner.err")).unwrap_or_default();
        let mut said = answer.lines().chain(said.lines());
        let said = said.next_back().unwrap_or("it does not answer");
        Err(format!("the runner did not begin: {said}"))
    }
}

#[async_trait]
impl JobExecutor for LocalExecutor {
    async fn start(&self, spec: RunSpec) -> Result<(), JobsError> {
        let nodes = || spec.pieces.iter().map(|piece| piece.node);
        if nodes().max() != nodes().min() {
            let what = "a run on this machine has all its pieces here, not on several machines";
            return Err(JobsError::Refused(what.to_owned()));
        }
        let run = spec.run;
        let known = self.disk(move |runs| begin(runs, run)).await?;
        if known {
            return Ok(());
        }
        let order = serde_json::to_vec(&Order::new(&spec, &self.options));
        let order = order.map_err(|error| JobsError::Refused(error.to_string()))?;
        if order.len() as u64 > ORDER_BYTES_MAX {
            let what = format!("a run is told in at most {ORDER_BYTES_MAX} bytes: it is longer");
            return Err(JobsError::Refused(what));
        }
        let folder = self.folder(run);
        if let Err(why) = self.launch(&folder, &order).await {
            let claimed = self.disk(move |runs| RunFolder::of(runs, run).claim());
            if claimed.await?.is_none() {
                return Err(JobsError::Unavailable(why));
            }
        }
        self.watched.add(run);
        Ok(())
    }

    fn never(&self, spec: &RunSpec) -> Option<String> {
        self.options.lacks(spec)
    }

    async fn stop(&self, run: RunId, how: StopHow) -> Result<(), JobsError> {
        let stopping = self.stopping.clone();
        let order = move |runs: &Path| {
            let _one = stopping.lock().unwrap_or_else(PoisonError::into_inner);
            order_stop(&RunFolder::of(runs, run), how.into())
        };
        self.disk(order).await
    }

    async fn freeze(&self, run: RunId, still: bool) -> Result<(), JobsError> {
        let frozen = self.disk(move |runs| RunFolder::of(runs, run).freeze(still));
        let Some(container) = frozen.await? else {
            return Ok(());
        };
        let stands = container.freeze(still).await;
        stands.map_err(|why| JobsError::Unavailable(format!("the container of {run}: {why}")))
    }

    async fn look(&self, run: RunId) -> Result<Option<RunStatus>, JobsError> {
        self.disk(move |runs| RunFolder::of(runs, run).status())
            .await
    }

    async fn runs(&self) -> Result<Vec<(RunId, RunStatus)>, JobsError> {
        self.disk(|runs| {
            let mut all = Vec::new();
            for entry in fs::read_dir(runs)? {
                let entry = entry?;
                let name = entry.file_name();
                let Some(Ok(run)) = name.to_str().map(str::parse::<RunId>) else {
                    continue;
                };
                match RunFolder::at(entry.path()).status() {
                    Ok(Some(status)) => all.push((run, status)),
                    Ok(None) => {}
                    // The others are told all the same; who asks for this one hears why not.
                    Err(error) => tracing::warn!(%run, %error, "a run cannot be read"),
                }
            }
            all.sort_by_key(|(run, _)| *run);
            Ok(all)
        })
        .await
    }

    async fn log(&self, run: RunId, from: u64, bytes_max: usize) -> Result<RunLog, JobsError> {
        let read = move |runs: &Path| {
            let folder = RunFolder::of(runs, run);
            let known = folder.claim()?.is_some();
            known
                .then(|| log::read(folder.path(), from, bytes_max))
                .transpose()
        };
        self.disk(read).await?.ok_or(JobsError::Absent(run))
    }

    async fn shell(&self, run: RunId) -> Result<Vec<String>, JobsError> {
        let runner = self.options.runner.clone();
        let lead = move |runs: &Path| {
            let folder = RunFolder::of(runs, run);
            match (folder.status()?, folder.claim()?) {
                (Some(RunStatus::Running { .. } | RunStatus::Stopping { .. }), Some(claim)) => {
                    shell::words(&folder, &claim, &runner).map(Some)
                }
                _ => Ok(None),
            }
        };
        self.disk(lead).await?.ok_or(JobsError::Absent(run))
    }

    async fn forget(&self, run: RunId) -> Result<(), JobsError> {
        self.disk(move |runs| {
            let folder = RunFolder::of(runs, run);
            match folder.status()? {
                None => return Ok(()),
                Some(status) if status.is_over() => {}
                Some(_) => return Err(io::Error::other(format!("the run {run} is not over"))),
            }
            // From here on it is not known, whatever becomes of the rest.
            let gone = runs.join(format!("{GONE}{run}"));
            remove(&gone)?;
            fs::rename(folder.path(), &gone)?;
            remove(&gone)
        })
        .await
    }

    fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.watched.changes()
    }
}

/// Whether the run of this folder is to be watched. One that nobody has claimed is dropped, and nobody claims it from then on.
fn take_up(folder: &RunFolder) -> io::Result<bool> {
    if let Some(status) = folder.status()? {
        return Ok(!status.is_over());
    }
    let given_up = folder.claim()?.is_some_and(|claim| claim.is_nobodys());
    let nobodys = given_up || folder.take(&Claim::nobodys())?;
    if nobodys {
        remove(folder.path())?;
    }
    // A runner may have claimed it since it was looked at.
    Ok(!nobodys)
}

/// Makes the run's folder; true where somebody has claimed it already.
fn begin(runs: &Path, run: RunId) -> io::Result<bool> {
    let folder = RunFolder::of(runs, run);
    if folder.claim()?.is_some() {
        return Ok(true);
    }
    create_private(folder.path())?;
    sync_folder(runs)?;
    Ok(false)
}

/// Leaves the order, where it is more urgent than the one that is there.
fn order_stop(folder: &RunFolder, order: StopOrder) -> io::Result<()> {
    let given = folder.stop_order()?;
    let urgent = match (given, order) {
        (Some(StopOrder::Cancel), _) => false,
        (Some(StopOrder::Checkpoint(given)), StopOrder::Checkpoint(order)) => {
            order.grace_ms < given.grace_ms
        }
        _ => true,
    };
    let over = folder.status()?.is_none_or(|status| status.is_over());
    if over || !urgent {
        return Ok(());
    }
    let left = folder.set_stop_order(order);
    let claim = folder.claim()?.filter(|_| order == StopOrder::Cancel);
    match (left, claim) {
        // Whose output fills the disk can be withdrawn all the same.
        (Err(_), Some(claim)) if claim.tell_to_cancel() => Ok(()),
        (left, _) => left,
    }
}

/// Removes a folder and all in it, folders that its owner closed too. One that is not there is no error.
fn remove(path: &Path) -> io::Result<()> {
    let removed = fs::remove_dir_all(path).or_else(|error| match error.kind() {
        ErrorKind::PermissionDenied => {
            open_folders(path)?;
            fs::remove_dir_all(path)
        }
        _ => Err(error),
    });
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Nobody works in it any more: what is a folder when it is looked at stays one.
fn open_folders(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_folders(&entry.path())?;
        }
    }
    Ok(())
}

fn unavailable(folder: &Path, error: &io::Error) -> JobsError {
    JobsError::Unavailable(format!("the jobs' folder {}: {error}", folder.display()))
}
