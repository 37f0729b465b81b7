//! Which Python there is.

use crate::cache::Tools;
use crate::error::{FailureKind, SourceFailure};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

/// Oldest minor version of Python 3 that the engines run on.
pub(crate) const MINOR_MIN: u32 = 10;
/// Longest time for a question to Python; the first start after boot reads from a cold disk.
const QUESTION_MAX: Duration = Duration::from_secs(60);
/// Bytes of a child's error output that are kept, from its end.
const TAIL_BYTES_MAX: usize = 16 * 1024;

const QUESTION: &str = "import sys, platform, json
try:
    import pip
    found = pip.__version__
except Exception:
    found = None
print(json.dumps([sys.executable, sys.version_info[1], sys.implementation.cache_tag or '', platform.machine(), found]))";

/// What the question found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Python {
    /// The interpreter itself, past any wrapper.
    pub(crate) program: PathBuf,
    /// Minor version of Python 3.
    pub(crate) minor: u32,
    /// `cp311` or the like: compiled packages of one tag do not load in another.
    pub(crate) tag: String,
    /// `x86_64` or the like.
    pub(crate) machine: String,
    /// pip's version, where it has pip.
    pub(crate) pip: Option<String>,
}

impl Python {
    /// Asks the Python of `tools` about itself.
    pub(crate) async fn ask(tools: &Tools) -> Result<Self, SourceFailure> {
        let name = tools.python.display().to_string();
        let no = |detail: String| SourceFailure::new(name.clone(), FailureKind::NoPython, detail);
        let mut command = Command::new(&tools.python);
        command.arg("-c").arg(QUESTION);
        let output = bounded(command, QUESTION_MAX)
            .await
            .map_err(|error| no(format!("cannot run it: {error}")))?;
        if !output.status.success() {
            return Err(no(format!(
                "it ended with {}: {}",
                output.status,
                last_line(&output.stderr)
            )));
        }
        let (program, minor, cache_tag, machine, pip): (
            PathBuf,
            u32,
            String,
            String,
            Option<String>,
        ) = serde_json::from_slice(&output.stdout)
            .map_err(|_| no("it does not answer like Python 3".to_owned()))?;
        if minor < MINOR_MIN {
            return Err(no(format!(
                "it is version 3.{minor}; 3.{MINOR_MIN} or newer is needed"
            )));
        }
        let tag = cache_tag.replace("cpython-", "cp");
        Ok(Self {
            program,
            minor,
            tag,
            machine,
            pip,
        })
    }

    /// Whether `code` runs in this Python with `folder` first on its path; else what it said.
    pub(crate) async fn runs(&self, folder: &Path, code: &str) -> Result<(), String> {
        let mut command = Command::new(&self.program);
        command
            .args(["-I", "-B", "-c"])
            .arg(format!(
                "import sys; sys.path.insert(0, sys.argv[1]); {code}"
            ))
            .arg(folder);
        let output = bounded(command, QUESTION_MAX)
            .await
            .map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("{}: {}", output.status, last_line(&output.stderr))),
        }
    }
}

/// Runs a short command to its end, or kills it after `time_max`.
pub(crate) async fn bounded(mut command: Command, time_max: Duration) -> std::io::Result<Output> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    match tokio::time::timeout(time_max, command.output()).await {
        Ok(output) => output,
        Err(_) => Err(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!("no end after {} s", time_max.as_secs()),
        )),
    }
}

/// Reads a child's output to its end and keeps the last part.
pub(crate) async fn tail(mut from: impl tokio::io::AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        kept.extend_from_slice(&piece[..read]);
        if kept.len() > 2 * TAIL_BYTES_MAX {
            kept.drain(..kept.len() - TAIL_BYTES_MAX);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// The last line that says something.
pub(crate) fn last_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty())
        .unwrap_or("it said nothing")
        .to_owned()
}
