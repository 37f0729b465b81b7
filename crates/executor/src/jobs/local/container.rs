//! Containers, by the command line of the engine that is there: Podman's and Docker's words are the same.
//!
//! A container is made first (its image is had by that), then started, and removed when its program has ended. It is found by its name,
//! so it is removed also where its runner was killed.

use super::folder::{Claim, RunFolder};
use super::order::Order;
use crate::jobs::RunProgram;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The longest that the engine may take for a word.
const WORD: Duration = Duration::from_secs(60);
/// The longest for a container to stand still or to go on: others wait for that too.
const FREEZE: Duration = Duration::from_secs(5);
/// The place of the run's folder in the container, and that of its script.
const WORK: &str = "/work";
const SCRIPT: &str = "/madang-script";
/// Stands for an accelerator's number.
const DEVICE: &str = "{device}";

/// A container engine of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerEngine {
    /// `podman` or `docker`.
    pub program: PathBuf,
    /// Its own arguments, before each of its commands.
    pub args: Vec<String>,
    /// What each container is made with: `--network=host`.
    pub create_args: Vec<String>,
    /// How it is given an accelerator, whose number `{device}` stands for: `--device=nvidia.com/gpu={device}`.
    pub device_args: Vec<String>,
    /// The longest until it has an image, in milliseconds: its registry may not answer.
    #[serde(default = "image_ms_max")]
    pub image_ms_max: u64,
}

/// Of a run whose order was written before it said so.
const fn image_ms_max() -> u64 {
    3_600_000
}

impl ContainerEngine {
    /// Whether its program is on this machine, by `PATH` where it has no path of its own.
    pub(super) fn is_there(&self) -> bool {
        if self.program.components().count() > 1 {
            return self.program.is_file();
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(&self.program).is_file())
    }
}

/// Why there is no container.
pub(super) struct Unmade {
    pub why: String,
    /// Nobody knows: it may be there all the same.
    pub may_be: bool,
}

/// What is left to be removed of a run's container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remains {
    pub engine: ContainerEngine,
    pub name: String,
}

impl Remains {
    /// The container of the run with this mark.
    pub fn new(engine: &ContainerEngine, mark: &str) -> Self {
        Self {
            engine: engine.clone(),
            name: format!("madang-{mark}"),
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.engine.program);
        command.args(&self.engine.args).args(words);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Makes it; the error is the engine's own last line.
    pub async fn create(&self, folder: &RunFolder, order: &Order) -> Result<(), Unmade> {
        let unmade = |why: String, may_be: bool| Unmade { why, may_be };
        let creation = self.creation(folder, order);
        let (words, variables) = creation.map_err(|why| unmade(why, false))?;
        let mut command = self.command(&[]);
        command.args(words).stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let image = order.image.as_deref().unwrap_or_default();
        let failed = |why: String| format!("no container of the image {image}: {why}");
        let child = command.spawn();
        let mut child = child.map_err(|e| unmade(failed(self.absent(&e)), false))?;
        let made = async {
            if let Some(mut input) = child.stdin.take() {
                input.write_all(variables.as_bytes()).await.ok();
            }
            child.wait_with_output().await
        };
        let most = Duration::from_millis(self.engine.image_ms_max);
        let late = || failed(format!("it was not had within {most:?}"));
        let made = timeout(most, made).await;
        let made = made.map_err(|_| unmade(late(), true))?;
        let made = made.map_err(|e| unmade(failed(e.to_string()), true))?;
        // One that was killed may have been understood.
        let may_be = made.status.code().is_none();
        told(&made).map_err(|why| unmade(failed(why), may_be))
    }

    /// The words that make it, and the variables that it has: through a pipe, for others see the words.
    fn creation(&self, folder: &RunFolder, order: &Order) -> Result<(Vec<String>, String), String> {
        let mount = |from: PathBuf, to: &str| format!("--volume={}:{to}", from.display());
        let mut words: Vec<String> = ["create", "--env-file=/dev/stdin", "--log-driver=none"]
            .map(ToOwned::to_owned)
            .into();
        words.push(format!("--name={}", self.name));
        words.push("--security-opt=no-new-privileges".to_owned());
        words.push("--cap-drop=all".to_owned());
        words.push("--user=0:0".to_owned());
        words.push("--entrypoint=".to_owned());
        words.push(format!("--workdir={WORK}"));
        words.push(mount(folder.work(), WORK));
        if order.memory_mib > 0 {
            words.push(format!("--memory={}m", order.memory_mib));
        }
        if order.cpu_milli > 0 {
            let (cores, milli) = (order.cpu_milli / 1000, order.cpu_milli % 1000);
            words.push(format!("--cpus={cores}.{milli:03}"));
        }
        for device in &order.accelerators {
            let number = device.to_string();
            let args = self.engine.device_args.iter();
            words.extend(args.map(|arg| arg.replace(DEVICE, &number)));
        }
        words.extend(self.engine.create_args.iter().cloned());
        let image = order.image.clone().unwrap_or_default();
        match &order.program {
            RunProgram::Command(command) => {
                words.push(image);
                words.extend(command.iter().cloned());
            }
            RunProgram::Script(script) => {
                words.push(format!("{}:ro", mount(folder.script(), SCRIPT)));
                words.push(image);
                if !script.starts_with("#!") {
                    words.push("/bin/sh".to_owned());
                }
                words.push(SCRIPT.to_owned());
            }
        }
        Ok((words, variables(order)?))
    }

    /// Starts it; the child gives its output and ends with it, and with its exit code.
    pub fn start(&self, out: std::io::PipeWriter) -> std::io::Result<Child> {
        let errors = out.try_clone()?;
        let mut command = self.command(&["start", "--attach", &self.name]);
        command.stdout(out).stderr(errors).spawn()
    }

    /// Whether its program began, as its engine says.
    pub async fn began(&self) -> bool {
        let words = ["inspect", "--format", "{{.State.StartedAt}}", &self.name];
        let told = self.ask(&words).await;
        // The engines' word for never.
        !told.is_ok_and(|told| told.stdout.starts_with(b"0001-"))
    }

    /// Sends a signal to its first process. One that is gone is no error.
    pub async fn signal(&self, signal: &str) {
        let words = ["kill", "--signal", signal, &self.name];
        self.ask(&words).await.ok();
    }

    /// Has all of its processes stand still, or go on. One that stands so already, or is over, stays as it is.
    pub async fn freeze(&self, still: bool) -> Result<(), String> {
        let format = "{{.State.Running}} {{.State.Paused}}";
        let asked = async {
            let words = ["inspect", "--format", format, &self.name];
            let told = self.ask(&words).await?;
            let told = String::from_utf8_lossy(&told.stdout).into_owned();
            // To one engine a container that is paused runs, to the other it does not.
            let wanted = match (told.trim(), still) {
                ("true false", true) => "pause",
                ("true true" | "false true", false) => "unpause",
                _ => return Ok(()),
            };
            self::told(&self.ask(&[wanted, &self.name]).await?)
        };
        let asked = timeout(FREEZE, asked).await;
        asked.map_err(|_| "the container engine does not answer".to_owned())?
    }

    /// Kills and removes it. One that is not there is no error.
    pub async fn remove(&self) -> Result<(), String> {
        self.signal("KILL").await;
        let removed = self.ask(&["rm", "--force", &self.name]).await?;
        let error = String::from_utf8_lossy(&removed.stderr);
        if error.to_lowercase().contains("no such container") {
            return Ok(());
        }
        told(&removed)
    }

    async fn ask(&self, words: &[&str]) -> Result<Output, String> {
        let done = timeout(WORD, self.command(words).output()).await;
        done.map_err(|_| "the container engine does not answer".to_owned())?
            .map_err(|error| self.absent(&error))
    }

    fn absent(&self, error: &std::io::Error) -> String {
        format!("cannot start {}: {error}", self.engine.program.display())
    }

    /// What leads into it.
    pub fn shell(&self) -> Vec<String> {
        let mut words = vec![self.engine.program.display().to_string()];
        words.extend(self.engine.args.iter().cloned());
        let into = ["exec", "--interactive", "--tty", &self.name, "/bin/sh"];
        words.extend(into.map(ToOwned::to_owned));
        words
    }
}

/// The variables as the engines read them: one a line, taken as it stands.
fn variables(order: &Order) -> Result<String, String> {
    let mut text = format!("HOME={WORK}\n");
    for (name, value) in order.env.iter().chain(&order.secrets) {
        passes((name, value))?;
        text.push_str(&format!("{name}={value}\n"));
    }
    Ok(text)
}

/// Whether a container can be given a variable; else why not.
pub(super) fn passes((name, value): (&str, &str)) -> Result<(), String> {
    if value.contains(['\n', '\r']) {
        let what = "has line breaks, which a container cannot be given";
        return Err(format!("the variable {name} {what}"));
    }
    Ok(())
}

/// Whether the engine did it; else its own last line.
fn told(output: &Output) -> Result<(), String> {
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().rfind(|line| !line.trim().is_empty());
    Err(last
        .unwrap_or("the container engine says nothing")
        .to_owned())
}

impl Claim {
    /// Removes its container, if it has one.
    ///
    /// # Errors
    /// The engine does not do it.
    pub async fn remove_container(&self) -> Result<(), String> {
        match &self.container {
            Some(container) => container.remove().await,
            None => Ok(()),
        }
    }
}
