//! A control group (version 2) of a run: the kernel holds it to its memory and its processors, and ends all of it at one word.

use super::order::Order;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::sleep;

/// Where the runners themselves are: a group that is divided holds no process of its own.
const RUNNERS: &str = "runners";
/// How often and after how long one that is to be empty is tried to be removed: a second in all.
const ROUNDS_MAX: u32 = 200;
const ROUND: Duration = Duration::from_millis(5);
/// Processor time is given out in such stretches, in microseconds.
const PERIOD_US: u64 = 100_000;

/// The group of one run, below the one that the operator gave.
#[derive(Clone, Debug)]
pub(super) struct Cgroup(PathBuf);

impl Cgroup {
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Makes it, with what the run asks for as its bound; the error is for its owner.
    pub fn make(&self, order: &Order) -> Result<(), String> {
        let above = self.0.parent().unwrap_or(Path::new("/"));
        let failed = |error: io::Error| format!("no control group in {}: {error}", above.display());
        make(&above.join(RUNNERS)).map_err(failed)?;
        // Where they are given out already, or are not there to give, the bounds below say so.
        fs::write(above.join("cgroup.subtree_control"), "+memory +cpu").ok();
        make(&self.0).map_err(failed)?;
        if order.memory_mib > 0 {
            let bytes = order.memory_mib.saturating_mul(1 << 20).to_string();
            self.set("memory.max", &bytes)?;
            self.set("memory.oom.group", "1")?;
            // Not every kernel swaps.
            self.set("memory.swap.max", "0").ok();
        }
        if order.cpu_milli > 0 {
            let most = order.cpu_milli.saturating_mul(PERIOD_US) / 1000;
            self.set("cpu.max", &format!("{most} {PERIOD_US}"))?;
        }
        Ok(())
    }

    fn set(&self, file: &str, value: &str) -> Result<(), String> {
        let path = self.0.join(file);
        fs::write(&path, value).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// Does something in it, such as to start what stays in it, and leaves it.
    pub fn within<T>(&self, start: impl FnOnce() -> T) -> Result<T, String> {
        let own = std::process::id().to_string();
        self.set("cgroup.procs", &own)?;
        let started = start();
        let above = self.0.parent().unwrap_or(Path::new("/"));
        let left = fs::write(above.join(RUNNERS).join("cgroup.procs"), &own);
        left.map_err(|e| format!("the run's control group cannot be left: {e}"))?;
        Ok(started)
    }

    /// Kills all that is in it.
    pub fn kill(&self) {
        // One that is gone holds nothing.
        self.set("cgroup.kill", "1").ok();
    }

    /// Whether the kernel killed it for its memory.
    pub fn ran_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.0.join("memory.events")).unwrap_or_default();
        let mut kills = events
            .lines()
            .filter_map(|line| line.strip_prefix("oom_kill "));
        kills.any(|count| count != "0")
    }

    /// Removes it where nothing was begun in it: the thread that tried may still be on its way out, and is waited for.
    pub async fn clear(&self) {
        for _ in 0..ROUNDS_MAX {
            if self.remove() {
                return;
            }
            sleep(ROUND).await;
        }
    }

    /// Removes it; false where something is left in it.
    pub fn remove(&self) -> bool {
        match fs::remove_dir(&self.0) {
            Err(error) => error.kind() == ErrorKind::NotFound,
            Ok(()) => true,
        }
    }
}

fn make(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}
