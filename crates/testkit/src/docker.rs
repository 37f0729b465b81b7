//! A real Docker daemon for tests, where one can be had: one for all tests of this checkout. `scripts/test-docker` serves it, and ends it
//! when nobody is left.

use crate::served::{ROOT, Script, hold};
use anyhow::ensure;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How long it stays when nobody uses it, so that one test after another finds it.
const IDLE_S: u32 = 8;

/// A running daemon, or one's hold on it: it stays while this does.
pub struct Docker {
    folder: PathBuf,
    _lock: File,
}

impl Docker {
    /// The daemon that all tests of this checkout share; `None` where this machine can have none, which is told.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn shared() -> anyhow::Result<Option<Self>> {
        let folder = Path::new(ROOT).join("target/test-docker");
        std::fs::create_dir_all(&folder)?;
        let folder = folder.canonicalize()?;
        let docker = Self {
            _lock: hold(&folder)?,
            folder,
        };
        let starting = File::create(docker.folder.join("starting"))?;
        starting.lock()?;
        if docker.answers() {
            return Ok(Some(docker));
        }
        let mut script = Script::start("test-docker", &docker.folder, &[IDLE_S.to_string()])?;
        let said = script.word()?;
        if let Some(why) = said.strip_prefix("no: ") {
            std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("skipped, there is no Docker: {why}\n").as_bytes(),
            )?;
            return Ok(None);
        }
        ensure!(said == "up", "the Docker daemon does not start");
        Ok(Some(docker))
    }

    /// What leads its client there, before each command.
    pub fn args(&self) -> Vec<String> {
        let socket = self.folder.join("socket");
        vec!["-H".to_owned(), format!("unix://{}", socket.display())]
    }

    fn answers(&self) -> bool {
        let mut command = Command::new("docker");
        command.args(self.args()).arg("version");
        let command = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}
