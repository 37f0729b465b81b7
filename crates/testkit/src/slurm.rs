//! A real Slurm for tests, where one can be had (Debian's packages, as root): one cluster for all tests of this checkout, or one of a
//! test's own whose controller it may kill. `scripts/test-slurm` serves it, and ends it when nobody is left.

use crate::served::{Script, Shared, hold};
use anyhow::{Context, ensure};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long the shared cluster stays when nobody uses it, so that one test after another finds it.
const IDLE_S: u32 = 8;
const POLL_TIME: Duration = Duration::from_millis(20);
const POLLS_MAX: u32 = 3_000;

/// A running cluster, or one's hold on it: it stays while this does.
pub struct Slurm {
    folder: PathBuf,
    lock: Option<File>,
    /// Where the cluster is this one's own.
    owned: Option<(Script, tempfile::TempDir)>,
}

impl Slurm {
    /// The cluster that all tests of this checkout share; `None` where this machine can have none, which is told.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn shared() -> anyhow::Result<Option<Self>> {
        let Shared {
            folder,
            lock,
            turn: _turn,
        } = Shared::hold("test-slurm")?;
        let is_there = folder.join("up").exists() && command(&folder, "scontrol ping").is_ok();
        if !is_there && start(&folder, IDLE_S)?.is_none() {
            return Ok(None);
        }
        Ok(Some(Self {
            folder,
            lock: Some(lock),
            owned: None,
        }))
    }

    /// A cluster of the caller's own.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn own() -> anyhow::Result<Option<Self>> {
        let place = tempfile::Builder::new().prefix("madang-slurm.").tempdir()?;
        let folder = place.path().canonicalize()?;
        let lock = hold(&folder)?;
        let script = start(&folder, 0)?;
        Ok(script.map(|script| Self {
            folder,
            lock: Some(lock),
            owned: Some((script, place)),
        }))
    }

    /// Its `slurm.conf`, which its programs are told by `SLURM_CONF`.
    pub fn conf(&self) -> PathBuf {
        self.folder.join("etc/slurm.conf")
    }

    /// A folder that its jobs may write.
    pub fn runs(&self) -> PathBuf {
        self.folder.join("runs")
    }

    /// The key that its REST daemon's tokens are signed with.
    pub fn key(&self) -> PathBuf {
        self.folder.join("etc/jwt.key")
    }

    /// The URL of its REST daemon.
    ///
    /// # Errors
    /// Where it is away.
    pub fn rest(&self) -> anyhow::Result<String> {
        let up = std::fs::read_to_string(self.folder.join("up")).context("the cluster is away")?;
        let rest = up.lines().find_map(|line| line.strip_prefix("rest="));
        Ok(rest.context("it has a REST daemon")?.to_owned())
    }

    /// The words that lead over ssh into a shell of its machine.
    pub fn ssh(&self) -> Vec<String> {
        let config = self.folder.join("ssh/config").display().to_string();
        ["ssh", "-F", &config, "slurm"].map(str::to_owned).to_vec()
    }

    /// Runs a line of a shell as its administrator and gives what it printed.
    ///
    /// # Errors
    /// What it said.
    pub fn run(&self, line: &str) -> anyhow::Result<String> {
        command(&self.folder, line)
    }

    /// Kills one of its daemons (SIGKILL): `slurmctld`, `slurmdbd`, `slurmrestd`, `n1` to `n4`.
    ///
    /// # Errors
    /// Where the cluster is shared.
    pub fn kill(&self, daemon: &str) -> anyhow::Result<()> {
        ensure!(self.owned.is_some(), "the cluster is shared");
        let file = self.folder.join("pid").join(format!("{daemon}.pid"));
        let pid = std::fs::read_to_string(file)?;
        let pid = pid.trim();
        command(&self.folder, &format!("kill -KILL {pid}"))?;
        until(|| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let state = stat.rsplit_once(") ").map_or("Z", |(_, rest)| rest);
            state.starts_with(['Z', 'X'])
        })
    }

    /// Starts the killed controller again, on what it kept.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn start_controller(&self) -> anyhow::Result<()> {
        let log = self.folder.join("log/slurmctld");
        let line = format!("setsid -f slurmctld >>{} 2>&1", log.display());
        command(&self.folder, &line)?;
        until(|| command(&self.folder, "scontrol ping | grep -q UP").is_ok())
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        self.lock.take();
        if let Some((script, _)) = &mut self.owned {
            // It stops all of its own and ends.
            script.end();
        }
    }
}

fn start(folder: &Path, idle_s: u32) -> anyhow::Result<Option<Script>> {
    Script::start_if_possible("test-slurm", (folder, idle_s), "Slurm")
}

fn command(folder: &Path, line: &str) -> anyhow::Result<String> {
    let output = Command::new("bash")
        .args(["-c", line])
        .env("SLURM_CONF", folder.join("etc/slurm.conf"))
        .stdin(Stdio::null())
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{line}: {told}");
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

fn until(mut done: impl FnMut() -> bool) -> anyhow::Result<()> {
    for _ in 0..POLLS_MAX {
        if done() {
            return Ok(());
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "tests wait here for a process, outside any runtime's tasks"
        )]
        std::thread::sleep(POLL_TIME);
    }
    anyhow::bail!("waited too long")
}
