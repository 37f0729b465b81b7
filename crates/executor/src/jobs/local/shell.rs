//! A shell beside a run that runs: in its folder, with its variables.

use super::folder::{Claim, RunFolder};
use crate::guard::GuardProgram;
use crate::pid_file::MARK_VARIABLE;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// What leads into the run.
pub(super) fn words(
    folder: &RunFolder,
    claim: &Claim,
    runner: &GuardProgram,
) -> io::Result<Vec<String>> {
    if let Some(container) = &claim.container {
        return Ok(container.shell());
    }
    // The link means another program for whoever runs these words.
    let program = fs::read_link(&runner.program).unwrap_or_else(|_| runner.program.clone());
    let mut words = vec![program.display().to_string()];
    let args = runner.args.iter();
    words.extend(args.map(|arg| arg.to_string_lossy().into_owned()));
    words.push("shell".to_owned());
    words.push(folder.path().display().to_string());
    Ok(words)
}

/// Becomes the shell. The variables are the program's own, read from the kernel: secrets are among them, and in no file.
pub(crate) fn main(folder: PathBuf) -> Result<ExitCode, String> {
    let folder = RunFolder::at(folder);
    let state = folder.state().map_err(|e| e.to_string())?;
    let leader = state.program.filter(|leader| leader.lives());
    let leader = leader.ok_or("the run does not run any more")?;
    let environ = fs::read(format!("/proc/{}/environ", leader.pid));
    let environ = environ.map_err(|e| format!("cannot read its variables: {e}"))?;
    let variables = environ.split(|byte| *byte == 0).filter_map(|word| {
        let at = word.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&word[..at], &word[at + 1..]);
        (name != MARK_VARIABLE.as_bytes())
            .then(|| (OsStr::from_bytes(name), OsStr::from_bytes(value)))
    });
    let error = Command::new("/bin/sh")
        .env_clear()
        .envs(variables)
        .current_dir(folder.work())
        .exec();
    Err(format!("cannot start /bin/sh: {error}"))
}
