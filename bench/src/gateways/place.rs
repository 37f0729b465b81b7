//! Where programs, data folders and logs are.

use crate::args::Args;
use anyhow::{Context, ensure};
use rustix::process::{Resource, getrlimit};
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::process::Command;

/// Requests at once that Madang gives the upstream.
const SLOTS: usize = 4096;
/// Files that Madang has open beside its streams, at most.
const OTHER_FILES: usize = 150;
/// The part of a log that an error quotes, characters.
const LOG_END_CHARS: usize = 300;

/// Where things are.
pub struct Place {
    /// For data folders, logs and configuration; removed at the end.
    pub folder: PathBuf,
    /// Madang's binary.
    pub madang: PathBuf,
    /// nginx's binary.
    pub nginx: PathBuf,
    /// The PostgreSQL database in which `madang-priced` keeps its books.
    pub store: Option<String>,
    /// Requests at once that Madang is told the upstream takes.
    pub slots: usize,
    install: PathBuf,
    _kept: TempDir,
}

impl Place {
    /// Makes the folder.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(args: &Args) -> anyhow::Result<Self> {
        fs::create_dir_all(&args.folder)?;
        let kept = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(&args.folder)?;
        let folder = kept.path().canonicalize()?;
        Ok(Self {
            folder,
            madang: args.madang.clone(),
            nginx: args.nginx.clone(),
            store: args.store.clone(),
            slots: args.streams.map_or(SLOTS, running),
            install: args.install.clone(),
            _kept: kept,
        })
    }

    /// A peer's folder and version, after it has been installed where that is needed. The installer bounds its time.
    ///
    /// # Errors
    /// It cannot be installed; the error is the installer's last line.
    pub async fn installed(&self, name: &str) -> anyhow::Result<(PathBuf, String)> {
        let output = Command::new(&self.install)
            .arg(name)
            .kill_on_drop(true)
            .output()
            .await
            .with_context(|| format!("cannot run {}", self.install.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let why = said.lines().last().unwrap_or_default();
        ensure!(output.status.success(), "not installed: {why}");
        let facts = String::from_utf8_lossy(&output.stdout);
        let mut lines = facts.lines();
        let folder = lines.next().context("the installer says no folder")?;
        Ok((folder.into(), lines.next().unwrap_or_default().to_owned()))
    }

    /// A new log for a program's output.
    pub fn log(&self, name: &str) -> anyhow::Result<File> {
        Ok(File::create(self.log_path(name))?)
    }

    /// What a program said last.
    pub fn log_end(&self, name: &str) -> String {
        let bytes = fs::read(self.log_path(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let last = text.lines().rfind(|line| !line.trim().is_empty());
        let last = last.unwrap_or("nothing").trim();
        last.chars().take(LOG_END_CHARS).collect()
    }

    fn log_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }
}

/// Of so many streams, those that Madang is to run at once. One that runs takes two files and one that waits for its turn
/// takes one: as many run as there are files for.
fn running(streams: usize) -> usize {
    let files = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    let spare = files.saturating_sub(OTHER_FILES + streams);
    streams.min(spare).max(1)
}

/// The first line of what a program says to this flag.
pub fn said(program: &Path, flag: &str) -> String {
    let output = std::process::Command::new(program).arg(flag).output();
    let bytes = output
        .map(|o| [o.stdout, o.stderr].concat())
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.lines().next().unwrap_or_default().to_owned()
}

/// A port of this machine that nobody listens on.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
