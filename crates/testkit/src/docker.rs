//! A real Docker daemon for tests, where one can be had: one for all tests of this checkout. `scripts/test-docker` serves it, and ends it
//! when nobody is left.

use crate::served::{Script, Shared};
use std::fs::File;
use std::path::PathBuf;
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
        let Shared {
            folder,
            lock,
            turn: _turn,
        } = Shared::hold("test-docker")?;
        let docker = Self {
            folder,
            _lock: lock,
        };
        let idle_s = IDLE_S.to_string();
        let args = [idle_s.as_str()];
        let place = (docker.folder.as_path(), args.as_slice());
        if !docker.answers() && Script::start_if_possible("test-docker", place, "Docker")?.is_none()
        {
            return Ok(None);
        }
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
