//! Lines of a shell where Slurm's programs are: on this machine, or by ssh on another.

use super::transport::Fault;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::Semaphore;

/// A line may take so long.
const LINE_TIME: Duration = Duration::from_secs(60);
/// Lines at once.
const AT_ONCE: usize = 4;
/// The most that is read of an answer.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// The most that is told of a complaint.
const COMPLAINT_BYTES_MAX: u64 = 2048;
/// All else of our environment stays here: it may hold secrets, or settings of Slurm that are meant for others.
const VARIABLES: [&str; 7] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "SSH_AUTH_SOCK",
    "SLURM_CONF",
];
/// What a shell says itself where it cannot reach the other machine.
const SSH_FAILED: i32 = 255;

/// A shell that is reached by some words.
pub(super) struct Shell {
    words: Vec<String>,
    at_once: Semaphore,
}

/// What a line answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: i32,
    pub(super) bytes: Vec<u8>,
    pub(super) complaint: String,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// How it went wrong.
    pub(super) fn told(&self) -> String {
        let code = self.code;
        match self.complaint.as_str() {
            "" => format!("exit code {code}, and not a word"),
            complaint => format!("exit code {code}: {complaint}"),
        }
    }
}

impl Shell {
    pub(super) fn new(words: Vec<String>) -> Self {
        Self {
            words,
            at_once: Semaphore::new(AT_ONCE),
        }
    }

    /// The words of a line that somebody sits before.
    pub(super) fn terminal(&self, line: &str) -> Vec<String> {
        let mut words = self.words.clone();
        if words
            .first()
            .is_some_and(|word| word == "ssh" || word.ends_with("/ssh"))
        {
            words.insert(1, "-t".to_owned());
        }
        words.push(line.to_owned());
        words
    }

    /// Runs one line, which reads `input`.
    ///
    /// # Errors
    /// It could not be run: [`Fault::NotSent`]; it did not end in time, or was cut off: [`Fault::Unknown`].
    pub(super) async fn run(&self, line: &str, input: &[u8]) -> Result<Answer, Fault> {
        let permit = tokio::time::timeout(LINE_TIME, self.at_once.acquire()).await;
        let busy = || Fault::NotSent(format!("{AT_ONCE} lines wait for an answer"));
        let _permit = permit.ok().and_then(Result::ok).ok_or_else(busy)?;
        let program = self.words.first().map_or("sh", String::as_str);
        let mut command = Command::new(program);
        command
            .args(self.words.iter().skip(1))
            .arg(line)
            .env_clear();
        for name in VARIABLES {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.kill_on_drop(true).spawn();
        let mut child = child.map_err(|error| Fault::NotSent(format!("{program}: {error}")))?;
        let talk = async {
            let (mut bytes, mut complaint) = (Vec::new(), Vec::new());
            let (to, from, wrong) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
            let write = async {
                if let Some(mut to) = to {
                    // Who does not read it to its end says why.
                    to.write_all(input).await.ok();
                }
                Ok(())
            };
            let read = async {
                let Some(from) = from else { return Ok(0) };
                from.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes).await
            };
            let listen = async {
                let Some(wrong) = wrong else { return Ok(0) };
                wrong
                    .take(COMPLAINT_BYTES_MAX)
                    .read_to_end(&mut complaint)
                    .await
            };
            tokio::try_join!(write, read, listen)?;
            let status = child.wait().await?;
            std::io::Result::Ok((status, bytes, complaint))
        };
        let spoken = tokio::time::timeout(LINE_TIME, talk).await;
        let (status, bytes, complaint) = spoken
            .map_err(|_| {
                Fault::Unknown(format!("{program}: no answer in {} s", LINE_TIME.as_secs()))
            })?
            .map_err(|error| Fault::Unknown(format!("{program}: {error}")))?;
        let complaint = String::from_utf8_lossy(&complaint).trim().to_owned();
        match status.code() {
            None | Some(SSH_FAILED) => Err(Fault::Unknown(format!("{program}: {complaint}"))),
            Some(code) => Ok(Answer {
                code,
                bytes,
                complaint,
            }),
        }
    }
}
