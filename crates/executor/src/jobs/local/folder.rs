//! The folder of one run: what is known of it, on disk, for whoever comes after.
//!
//! `claim.json` (whose runner it is; there is one or none, for good), `state.json` and `end.json` are the runner's, `stop.json` is
//! Madang's. Each is replaced whole and is on disk when the call returns. Secrets stand in none of them.

use super::container::Remains;
use crate::jobs::{RunStatus, StopHow};
use crate::pid_file::{Identity, boot_id};
use crate::process;
use madang_types::{JobCheckpoint, Micros, RunEnd, RunId};
use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What withdraws a run where the disk takes no order. Nothing else sends it to a runner.
const CANCEL_SIGNAL: Signal = Signal::USR2;
/// None of these files is longer; its reader trusts nobody with more.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// More than the end of a run and the names that change with it take.
const RESERVE_BYTES: usize = 32 * 1024;

/// No process has this number.
pub(super) const NOBODY: Identity = Identity {
    pid: 0,
    start_ticks: 0,
};

/// Whose the run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    /// The process that carries it out.
    pub runner: Identity,
    /// Start times count from boot: a runner of an earlier boot is none any more.
    pub boot: String,
    /// The value of [`crate::pid_file::MARK_VARIABLE`] in the run's processes.
    pub mark: String,
    /// What has to be removed where it runs in a container.
    pub container: Option<Remains>,
    /// Its control group, where it has one.
    pub cgroup: Option<PathBuf>,
}

impl Claim {
    /// Of nobody: it keeps every runner from a run that is not to be.
    pub fn nobodys() -> Self {
        Self {
            runner: NOBODY,
            boot: boot_id(),
            mark: String::new(),
            container: None,
            cgroup: None,
        }
    }

    pub fn is_nobodys(&self) -> bool {
        self.runner == NOBODY
    }

    pub fn lives(&self) -> bool {
        self.boot == boot_id() && self.runner.lives()
    }

    /// Orders its runner to withdraw the run, without the disk; whether it is told.
    pub fn tell_to_cancel(&self) -> bool {
        process::signal_if(self.runner.pid, CANCEL_SIGNAL, || self.lives())
    }
}

/// How the runner stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// What is being prepared, until the program begins.
    pub preparing: String,
    /// When the program began.
    pub since: Option<Micros>,
    /// Its first process, whose number is that of its group too.
    pub program: Option<Identity>,
    /// It is being stopped.
    pub stopping: bool,
}

/// How Madang wants it to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StopOrder {
    Checkpoint(JobCheckpoint),
    Cancel,
}

impl From<StopHow> for StopOrder {
    fn from(how: StopHow) -> Self {
        match how {
            StopHow::Checkpoint(checkpoint) => Self::Checkpoint(checkpoint),
            StopHow::Cancel => Self::Cancel,
        }
    }
}

/// The folder of a run.
#[derive(Clone, Debug)]
pub(super) struct RunFolder(PathBuf);

impl RunFolder {
    pub fn of(runs: &Path, run: RunId) -> Self {
        Self(runs.join(run.to_string()))
    }

    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Which run it is, by its name.
    pub fn run(&self) -> Option<RunId> {
        self.0.file_name()?.to_str()?.parse().ok()
    }

    /// Where the program works: its home.
    pub fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    pub fn scratch(&self) -> PathBuf {
        self.0.join("tmp")
    }

    pub fn script(&self) -> PathBuf {
        self.0.join("script")
    }

    /// Has the group of its program stand still, or go on; where it runs in a container that is given, whose engine does it. A program
    /// that is not there has none.
    pub fn freeze(&self, still: bool) -> io::Result<Option<Remains>> {
        let Some(claim) = self.claim()?.filter(Claim::lives) else {
            return Ok(None);
        };
        let state = self.state()?;
        // Whoever is being stopped needs its time for that.
        if still && state.stopping {
            return Ok(None);
        }
        if claim.container.is_some() {
            return Ok(claim.container.filter(|_| state.since.is_some()));
        }
        if let Some(leader) = state.program.filter(|leader| leader.lives()) {
            let signal = if still { Signal::STOP } else { Signal::CONT };
            process::signal_group(leader.pid, signal);
        }
        Ok(None)
    }

    pub fn claim(&self) -> io::Result<Option<Claim>> {
        read(&self.0.join("claim.json"))
    }

    /// Makes the run this claim's for good; false where it is another's already.
    pub fn take(&self, claim: &Claim) -> io::Result<bool> {
        let scratch = self.0.join(format!("claim-{}.new", std::process::id()));
        write_synced(&scratch, claim)?;
        // A link is made whole or not at all, and never over another.
        let linked = fs::hard_link(&scratch, self.0.join("claim.json"));
        fs::remove_file(&scratch)?;
        match linked {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
            Ok(()) => sync_folder(&self.0).map(|()| true),
        }
    }

    pub fn state(&self) -> io::Result<State> {
        Ok(read(&self.0.join("state.json"))?.unwrap_or_default())
    }

    pub fn set_state(&self, state: &State) -> io::Result<()> {
        replace(&self.0.join("state.json"), state)
    }

    pub fn stop_order(&self) -> io::Result<Option<StopOrder>> {
        read(&self.0.join("stop.json"))
    }

    pub fn set_stop_order(&self, order: StopOrder) -> io::Result<()> {
        replace(&self.0.join("stop.json"), &order)
    }

    pub fn end(&self) -> io::Result<Option<RunEnd>> {
        read(&self.0.join("end.json"))
    }

    pub fn set_end(&self, end: &RunEnd) -> io::Result<()> {
        replace(&self.0.join("end.json"), end)
    }

    /// Takes room on the disk, so that the end of a run that fills it can be written.
    pub fn reserve(&self) -> io::Result<()> {
        let mut file = File::create(self.0.join("reserve"))?;
        file.write_all(&[0; RESERVE_BYTES])?;
        file.sync_all()
    }

    /// Gives that room back.
    pub fn release(&self) {
        // It is given back with the folder at the latest.
        fs::remove_file(self.0.join("reserve")).ok();
    }

    /// How the run stands; `None` where nobody claimed it: nothing was begun.
    pub fn status(&self) -> io::Result<Option<RunStatus>> {
        if let Some(end) = self.end()? {
            return Ok(Some(RunStatus::Ended(end)));
        }
        let Some(claim) = self.claim()?.filter(|claim| !claim.is_nobodys()) else {
            return Ok(None);
        };
        let lives = claim.lives();
        let state = self.state()?;
        let since = state.since;
        if state.stopping || !lives || self.stop_order()?.is_some() {
            // Its runner may have told the end since it was looked at. What a dead one left is being ended.
            let end = self.end()?;
            return Ok(Some(
                end.map_or(RunStatus::Stopping { since }, RunStatus::Ended),
            ));
        }
        Ok(Some(match since {
            Some(since) => RunStatus::Running { since },
            None => RunStatus::Preparing {
                why: state.preparing,
            },
        }))
    }
}

/// Now.
pub(super) fn now() -> Micros {
    Micros(jiff::Timestamp::now().as_microsecond())
}

/// Makes a folder that nobody else reads, and those above it.
pub(super) fn create_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The file's content; `None` where there is no such file.
fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let mut text = Vec::new();
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?.take(FILE_BYTES_MAX).read_to_end(&mut text)?,
    };
    let content = serde_json::from_slice(&text);
    content.map(Some).map_err(|error| {
        let text = format!("{} is damaged: {error}", path.display());
        io::Error::new(ErrorKind::InvalidData, text)
    })
}

/// Replaces the file whole, for good.
fn replace<T: Serialize>(path: &Path, content: &T) -> io::Result<()> {
    let scratch = path.with_extension("new");
    write_synced(&scratch, content)?;
    fs::rename(&scratch, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

fn write_synced<T: Serialize>(path: &Path, content: &T) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path)?;
    file.write_all(&serde_json::to_vec(content)?)?;
    file.sync_all()
}

/// Brings the names in a folder to disk.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(path, flags, Mode::empty())?;
    Ok(rustix::fs::fsync(folder)?)
}
