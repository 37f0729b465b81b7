//! Watches the runs that are not over: tells each change, and ends what a runner left that was killed itself.

use super::cgroup::Cgroup;
use super::folder::{NOBODY, RunFolder, now};
use crate::jobs::RunStatus;
use crate::pid_file::{self, PidFile};
use madang_types::{RunEnd, RunId, RunOutcome};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Between two looks at the runs that are not over: so many times as long as a look takes, within bounds. An accelerator stands idle
/// until the end of its run is seen.
const REST_LOOKS: u32 = 100;
const REST_MIN: Duration = Duration::from_millis(20);
const REST_MAX: Duration = Duration::from_millis(500);
/// The most remains that are ended at once.
const BURIALS_MAX: usize = 16;

/// What is watched.
pub(super) struct Watched {
    runs: PathBuf,
    /// The runs that are not over, as they were last told.
    live: Mutex<BTreeMap<RunId, Option<RunStatus>>>,
    more: Notify,
    changes: watch::Sender<u64>,
}

impl Watched {
    pub fn new(runs: PathBuf) -> Self {
        Self {
            runs,
            live: Mutex::default(),
            more: Notify::new(),
            changes: watch::Sender::new(0),
        }
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Watches one more.
    pub fn add(&self, run: RunId) {
        self.live().entry(run).or_default();
        self.more.notify_one();
    }

    fn live(&self) -> std::sync::MutexGuard<'_, BTreeMap<RunId, Option<RunStatus>>> {
        // Every change of it is a single step.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something changed, and the runs whose runner is gone.
    fn look(&self) -> (bool, Vec<RunId>) {
        let before = self.live().clone();
        let mut changed = false;
        let mut left = Vec::new();
        for (run, last) in before {
            let folder = RunFolder::of(&self.runs, run);
            let Ok(status) = folder.status() else {
                continue;
            };
            if matches!(status, Some(RunStatus::Stopping { .. })) && is_left(&folder) {
                left.push(run);
            }
            if status != last {
                changed = true;
                let over = matches!(status, None | Some(RunStatus::Ended(_)));
                if over {
                    self.live().remove(&run);
                } else {
                    self.live().insert(run, status);
                }
            }
        }
        (changed, left)
    }
}

fn is_left(folder: &RunFolder) -> bool {
    let claim = folder.claim().ok().flatten();
    claim.is_some_and(|claim| !claim.lives())
}

/// Watches for ever.
pub(super) async fn watch(watched: Arc<Watched>) {
    let mut burials = JoinSet::new();
    let mut buried = BTreeSet::new();
    loop {
        if watched.live().is_empty() {
            watched.more.notified().await;
        }
        while let Some(done) = burials.try_join_next() {
            if let Ok(run) = done {
                buried.remove(&run);
            }
        }
        let begun = Instant::now();
        let looked = {
            let watched = watched.clone();
            tokio::task::spawn_blocking(move || watched.look()).await
        };
        let rest = (begun.elapsed() * REST_LOOKS).clamp(REST_MIN, REST_MAX);
        let (changed, left) = looked.unwrap_or_default();
        if changed {
            watched.changes.send_modify(|number| *number += 1);
        }
        for run in left {
            if burials.len() < BURIALS_MAX && buried.insert(run) {
                let folder = RunFolder::of(&watched.runs, run);
                burials.spawn(async move {
                    if let Err(error) = bury(&folder).await {
                        tracing::warn!(%run, %error, "what is left of a run cannot be ended");
                    }
                    run
                });
            }
        }
        sleep(rest).await;
    }
}

/// Ends what is left of a run whose runner is gone, and tells its end; nothing where some of it lives on.
async fn bury(folder: &RunFolder) -> io::Result<()> {
    let Some(claim) = folder.claim()? else {
        return Ok(());
    };
    let state = folder.state()?;
    let restarted = claim.boot != pid_file::boot_id();
    let cgroup = claim.cgroup.clone().map(Cgroup::at);
    if let Some(cgroup) = &cgroup {
        cgroup.kill();
    }
    if !restarted {
        let remains = PidFile {
            engine: state.program.unwrap_or(NOBODY),
            guard: claim.runner,
            boot: claim.boot.clone(),
            mark: claim.mark.clone(),
        };
        let (_, gone) = pid_file::reap(&remains).await;
        if !gone {
            return Err(io::Error::other("processes do not end after SIGKILL"));
        }
    }
    if cgroup.is_some_and(|cgroup| !cgroup.remove()) {
        return Err(io::Error::other("its control group does not empty"));
    }
    let removed = claim.remove_container().await;
    removed.map_err(|why| io::Error::other(format!("its container cannot be removed: {why}")))?;
    if folder.end()?.is_some() {
        return Ok(());
    }
    let why = if restarted {
        "its machine was restarted"
    } else {
        "the process that watched it was killed"
    };
    folder.set_end(&RunEnd {
        outcome: RunOutcome::Lost {
            why: why.to_owned(),
        },
        started_at: state.since,
        ended_at: now(),
        energy: None,
    })
}
