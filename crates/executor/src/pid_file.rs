//! `run_dir/<replica>.pid`: which process the engine is, so that a later start of Madang finds leftovers.
//!
//! Normally the guard ends the engine and removes the file. A leftover exists only where the guard
//! itself was killed, or where the machine went down (then nothing lives any more). Only processes
//! that are surely ours are killed: the one whose pid, start time and boot match, with its group, and
//! those that carry the file's mark in their environment.

use crate::process::{self, Stat};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The variable that marks an engine and what it starts. Its value is in the pid file.
pub(crate) const MARK_VARIABLE: &str = "MADANG_ENGINE_MARK";

/// The guard sees the end of Madang at once and then needs its own grace time and a sweep.
const GUARD_WAIT_MS_MAX: u64 = 8_000;
/// From SIGKILL until the kernel has taken the processes away.
const KILL_WAIT_MS_MAX: u64 = 5_000;
const POLL_MS: u64 = 20;
/// Times that leftovers are looked for before there are none.
const SCANS: u32 = 3;
/// A pid file is a few hundred bytes; anything longer is not one.
const FILE_BYTES_MAX: u64 = 4_096;

/// One process: the start time tells it from a later one with the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub pid: u32,
    pub start_ticks: u64,
}

impl Identity {
    /// The process with this pid now.
    pub fn of(pid: u32) -> Option<Self> {
        let Stat {
            pid, start_ticks, ..
        } = process::stat(pid)?;
        Some(Self { pid, start_ticks })
    }

    pub fn lives(self) -> bool {
        process::stat(self.pid).is_some_and(|p| p.start_ticks == self.start_ticks && !p.is_dead())
    }
}

/// The content of a pid file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PidFile {
    /// The engine; its group has the same number.
    pub engine: Identity,
    /// The guard above it.
    pub guard: Identity,
    /// Start times count from boot: a file of an earlier boot names nobody.
    pub boot: String,
    /// Value of [`MARK_VARIABLE`].
    pub mark: String,
}

impl PidFile {
    /// Replaces the file whole, so that a reader never sees half of it.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_string(self).map_err(io::Error::other)?;
        let scratch = path.with_extension("pid.new");
        fs::write(&scratch, text)?;
        fs::rename(&scratch, path)
    }

    pub fn read(path: &Path) -> io::Result<Self> {
        if fs::metadata(path)?.len() > FILE_BYTES_MAX {
            return Err(io::Error::other("too long for a pid file"));
        }
        serde_json::from_str(&fs::read_to_string(path)?).map_err(io::Error::other)
    }

    /// Removes the file if it still speaks of this engine: a newer start may have replaced it.
    pub fn remove(path: &Path, engine_pid: u32) {
        if Self::read(path).is_ok_and(|file| file.engine.pid == engine_pid) {
            fs::remove_file(path).ok();
        }
    }
}

/// The path of a replica's pid file.
pub(crate) fn path(run_dir: &Path, replica: &str) -> PathBuf {
    run_dir.join(format!("{replica}.pid"))
}

/// The kernel's id of this boot; empty where it has none.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

/// One pid file that was found at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reaped {
    /// The replica that the file names.
    pub replica: String,
    /// Processes that had to be killed (zero: the file was all that was left).
    pub killed_count: u32,
    /// Whether none of them lives any more.
    pub gone: bool,
}

/// Ends what earlier runs of Madang left behind and removes their pid files. Call it once at start,
/// holding the data folder's lock: the engines of a Madang that still runs would be ended too.
///
/// # Errors
/// Where the folder cannot be read. A folder that is not there has no leftovers.
pub async fn reap_leftovers(run_dir: &Path) -> io::Result<Vec<Reaped>> {
    let entries = match fs::read_dir(run_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut reaped = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|end| end != "pid") {
            continue;
        }
        let replica = path.file_stem().unwrap_or_default().to_string_lossy();
        let (killed_count, gone) = match PidFile::read(&path) {
            Ok(file) if file.boot == boot_id() => reap(&file).await,
            Ok(_) => (0, true),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "unreadable pid file removed");
                (0, true)
            }
        };
        if gone {
            // The guard may have removed it in the meantime.
            fs::remove_file(&path).ok();
        }
        reaped.push(Reaped {
            replica: replica.into_owned(),
            killed_count,
            gone,
        });
    }
    Ok(reaped)
}

/// Ends what the file names; how many processes that was, and whether all are gone.
pub(crate) async fn reap(file: &PidFile) -> (u32, bool) {
    if !wait_until(GUARD_WAIT_MS_MAX, || !file.guard.lives()).await {
        process::signal_process(file.guard.pid, Signal::KILL);
    }
    let mark = format!("{MARK_VARIABLE}={}", file.mark);
    let leader_lives = file.engine.lives();
    let ours = |p: &Stat| {
        let in_group = leader_lives && p.group == file.engine.pid;
        !p.is_dead() && (in_group || process::has_env(p.pid, &mark))
    };
    let scan = || -> Vec<Identity> {
        process::all()
            .iter()
            .filter(|p| ours(p))
            .filter_map(|p| Identity::of(p.pid))
            .collect()
    };
    let mut found = scan();
    // A process in the middle of an exec shows no environment for a moment.
    for _ in 1..SCANS {
        if !found.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
        found = scan();
    }
    if leader_lives {
        process::signal_group(file.engine.pid, Signal::KILL);
    }
    for one in found.iter().filter(|one| one.lives()) {
        process::signal_process(one.pid, Signal::KILL);
    }
    let gone = wait_until(KILL_WAIT_MS_MAX, || !found.iter().any(|one| one.lives())).await;
    (u32::try_from(found.len()).unwrap_or(u32::MAX), gone)
}

async fn wait_until(wait_ms_max: u64, mut done: impl FnMut() -> bool) -> bool {
    for _ in 0..wait_ms_max / POLL_MS {
        if done() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
    }
    done()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> PidFile {
        PidFile {
            engine: Identity {
                pid: 77,
                start_ticks: 5,
            },
            guard: Identity {
                pid: 76,
                start_ticks: 4,
            },
            boot: boot_id(),
            mark: "m".to_owned(),
        }
    }

    #[test]
    fn a_pid_file_reads_back_and_only_its_own_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), "a.1");
        example().write(&path).unwrap();
        assert_eq!(PidFile::read(&path).unwrap(), example());
        PidFile::remove(&path, 78);
        assert!(path.exists());
        PidFile::remove(&path, 77);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn files_that_name_nobody_are_removed_and_nobody_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let own = Identity::of(std::process::id()).unwrap();
        let reused = PidFile {
            engine: Identity {
                start_ticks: own.start_ticks + 1,
                ..own
            },
            ..example()
        };
        reused.write(&path(folder.path(), "reused")).unwrap();
        let other_boot = PidFile {
            engine: own,
            boot: "other".to_owned(),
            ..example()
        };
        other_boot.write(&path(folder.path(), "boot")).unwrap();
        fs::write(path(folder.path(), "broken"), "{").unwrap();
        fs::write(folder.path().join("a.sock"), "").unwrap();
        let mut reaped = reap_leftovers(folder.path()).await.unwrap();
        reaped.sort_by(|a, b| a.replica.cmp(&b.replica));
        let names: Vec<&str> = reaped.iter().map(|r| r.replica.as_str()).collect();
        assert_eq!(names, ["boot", "broken", "reused"]);
        assert!(reaped.iter().all(|r| r.killed_count == 0 && r.gone));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let absent = reap_leftovers(&folder.path().join("none")).await.unwrap();
        assert_eq!(absent, []);
    }
}
