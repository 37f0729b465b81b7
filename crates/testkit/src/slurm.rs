//! A real Slurm for tests, where one can be had (Debian's packages, as root), of either release: one cluster for all tests of this
//! checkout, or one of a test's own whose controller it may kill. `scripts/test-slurm` serves it, and ends it when nobody is left.

use crate::served::{Script, Shared, hold};
use anyhow::{Context, ensure};
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long the shared cluster stays when nobody uses it, so that one test after another finds it.
const IDLE_S: u32 = 8;
const POLL_TIME: Duration = Duration::from_millis(20);
const POLLS_MAX: u32 = 3_000;

/// Which Slurm a test has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlurmRelease {
    /// That of this machine's own packages: of Debian 12 it is 22.05, whose REST daemon has the old shape of JSON.
    Packaged,
    /// 24.11, of Debian 13, in a root of its own: its REST daemon has the new shape.
    New,
}

/// A running cluster, or one's hold on it: it stays while this does.
pub struct Slurm {
    folder: PathBuf,
    release: SlurmRelease,
    lock: Option<File>,
    /// Where the cluster is this one's own.
    owned: Option<(Script, tempfile::TempDir)>,
}

impl Slurm {
    /// The cluster that all tests of this checkout share; `None` where this machine can have none, which is told.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn shared(release: SlurmRelease) -> anyhow::Result<Option<Self>> {
        let name = match release {
            SlurmRelease::Packaged => "test-slurm",
            SlurmRelease::New => "test-slurm-new",
        };
        let Shared {
            folder,
            lock,
            turn: _turn,
        } = Shared::hold_open(name)?;
        let cluster = Self {
            folder,
            release,
            lock: Some(lock),
            owned: None,
        };
        // Where its script is gone nobody would ever stop it: another one is started in its place.
        let is_kept = cluster.told("pid=").is_ok_and(|pid| !is_over(&pid));
        let is_there = is_kept && cluster.run("scontrol ping").is_ok();
        let is_there = is_there || cluster.start(IDLE_S)?.is_some();
        Ok(is_there.then_some(cluster))
    }

    /// A cluster of the caller's own.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn own(release: SlurmRelease) -> anyhow::Result<Option<Self>> {
        let place = tempfile::Builder::new().prefix("madang-slurm.").tempdir()?;
        let folder = place.path().canonicalize()?;
        let lock = hold(&folder)?;
        let mut cluster = Self {
            folder,
            release,
            lock: Some(lock),
            owned: None,
        };
        cluster.owned = cluster.start(0)?.map(|script| (script, place));
        Ok(cluster.owned.is_some().then_some(cluster))
    }

    fn start(&self, idle_s: u32) -> anyhow::Result<Option<Script>> {
        let (release, what): (&[&str], _) = match self.release {
            SlurmRelease::Packaged => (&[], "Slurm"),
            SlurmRelease::New => (&["24.11"], "Slurm 24.11"),
        };
        let idle_s = idle_s.to_string();
        let args: Vec<&str> = [&[idle_s.as_str()], release].concat();
        Script::start_if_possible("test-slurm", (&self.folder, &args), what)
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
        self.told("rest=")
    }

    /// What it told of itself when it was up.
    fn told(&self, name: &str) -> anyhow::Result<String> {
        let up = std::fs::read_to_string(self.folder.join("up")).context("the cluster is away")?;
        let told = up.lines().find_map(|line| line.strip_prefix(name));
        Ok(told
            .with_context(|| format!("it told no {name}"))?
            .to_owned())
    }

    /// The words that lead into a shell of its machine, here; there these come first.
    ///
    /// # Errors
    /// Where it is away.
    pub fn shell(&self, first: &[&str]) -> anyhow::Result<Vec<String>> {
        let conf = format!("SLURM_CONF={}", self.conf().display());
        let words = [first, &["env", &conf, "sh", "-c"]].concat();
        let enter = match self.release {
            SlurmRelease::Packaged => Vec::new(),
            // Its processes alone see its mounts.
            SlurmRelease::New => {
                let pid = format!("--target={}", self.told("pid=")?);
                ["nsenter", &pid, "--mount", "--root", "--wd"]
                    .map(str::to_owned)
                    .to_vec()
            }
        };
        let words = words.into_iter().map(str::to_owned);
        Ok(enter.into_iter().chain(words).collect())
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
        let words = self.shell(&[])?;
        let output = Command::new(&words[0])
            .args(&words[1..])
            .arg(line)
            .stdin(Stdio::null())
            .output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{line}: {told}");
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
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
        self.run(&format!("kill -KILL {pid}"))?;
        until(|| is_over(pid))
    }

    /// Starts the killed controller again, on what it kept.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn start_controller(&self) -> anyhow::Result<()> {
        let log = self.folder.join("log/slurmctld");
        let line = format!("setsid -f slurmctld >>{} 2>&1", log.display());
        self.run(&line)?;
        until(|| self.run("scontrol ping | grep -q UP").is_ok())
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

/// Whether a process has ended.
fn is_over(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map_or("Z", |(_, rest)| rest);
    state.starts_with(['Z', 'X'])
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
