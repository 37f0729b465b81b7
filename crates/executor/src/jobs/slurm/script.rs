//! The batch script of a run: it fetches, runs, keeps to the time limit, passes signals on, leaves nothing running and says how it ended.
//!
//! It is bash, which each machine with Slurm has, and runs on the first machine of the run; a program reaches the others by `srun`. It
//! stays when Madang is gone.

use super::ask::{log_path, refused};
use super::options::SlurmOptions;
use super::store::{PUT_BYTES_MAX, check, is_object, urls_path};
use crate::jobs::{JobsError, RunProgram, RunSpec, STOP_MS};
use madang_types::{JobStage, RunId, StopSignal};
use std::fmt::Write;

/// What is said once, whatever is run.
const HEAD: &str = include_str!("script/head.sh");
/// What follows the program's start.
const TAIL: &str = include_str!("script/tail.sh");

/// One word of a shell, whatever is in it.
pub(super) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Words of a shell.
pub(super) fn line<I: IntoIterator<Item = S>, S: AsRef<str>>(words: I) -> String {
    let words = words.into_iter().map(|word| quoted(word.as_ref()));
    words.collect::<Vec<_>>().join(" ")
}

/// The file from which the script takes its secrets, and that it removes.
pub(super) fn secrets_path(options: &SlurmOptions, run: RunId) -> String {
    format!("{}/.{run}.secrets", options.folder)
}

/// What stands in that file.
pub(super) fn secrets(spec: &RunSpec) -> Option<String> {
    let lines = spec.secrets.iter();
    let text: String = lines
        .map(|(name, secret)| format!("export {name}={}\n", quoted(&secret.0)))
        .collect();
    (!text.is_empty()).then_some(text)
}

/// The whole script.
///
/// # Errors
/// [`JobsError::Refused`] where this site cannot run it.
pub(super) fn write(options: &SlurmOptions, spec: &RunSpec) -> Result<String, JobsError> {
    let mut text = String::from("#!/bin/bash\n");
    let mut set = |name: &str, value: &str| {
        text.push_str(&format!("{name}={}\n", quoted(value)));
    };
    let signal = spec.checkpoint.map_or(StopSignal::Term, |c| c.signal);
    set("run", &spec.run.to_string());
    set("folder", &format!("{}/{}", options.folder, spec.run.task));
    set("secrets", &secrets_path(options, spec.run));
    set("urls", &urls_path(options, spec.run));
    set("put_bytes_max", &PUT_BYTES_MAX.to_string());
    set("log_bytes_max", &spec.log_bytes_max.to_string());
    set("signal", signal.as_str());
    set("stop_s", &seconds(STOP_MS));
    set("limit_s", &seconds(spec.time_limit_ms));
    let grace_ms = spec.checkpoint.map(|c| c.grace_ms.min(spec.time_limit_ms));
    let warn_ms = grace_ms.map(|grace_ms| spec.time_limit_ms - grace_ms);
    set("grace_s", &grace_ms.map(seconds).unwrap_or_default());
    set("warn_s", &warn_ms.map(seconds).unwrap_or_default());
    let log = log_path(options, spec.run, "%j");
    set("log", &log);
    text.push_str(HEAD);
    for (at, input) in spec.inputs.iter().enumerate() {
        let from = place((options, spec), (input, false))?;
        let sha256 = input.sha256.as_deref().unwrap_or("");
        let at = at.to_string();
        writeln!(text, "bring {}", line([from, &input.to, sha256, &at])).ok();
    }
    variables(&mut text, options, spec);
    text.push_str("take_secrets\n");
    let command = command(&mut text, options, spec)?;
    writeln!(text, "begin {command}").ok();
    text.push_str(TAIL);
    for (at, output) in spec.outputs.iter().enumerate() {
        let to = place((options, spec), (output, true))?;
        let words = [output.from.as_str(), to, &at.to_string()];
        writeln!(text, "keep {}", line(words)).ok();
    }
    text.push_str("exit 0\n");
    Ok(text)
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// A place outside the run's folder that the script can reach.
fn place<'a>(
    (options, spec): (&SlurmOptions, &RunSpec),
    (stage, put): (&'a JobStage, bool),
) -> Result<&'a str, JobsError> {
    let place = if put { &stage.to } else { &stage.from };
    if is_object(place) {
        let checked = check(options, &spec.owner.1, (stage, put));
        checked.map_err(|why| refused(format!("{place}: {why}")))?;
        return Ok(place);
    }
    if place.starts_with('/') || place.starts_with("https://") {
        return Ok(place);
    }
    Err(refused(format!(
        "{place}: on Slurm, inputs and outputs are absolute paths of the site, s3:// objects or https:// URLs"
    )))
}

/// Its variables; what Slurm chose is only known there.
fn variables(text: &mut String, options: &SlurmOptions, spec: &RunSpec) {
    let mut variables = spec.variables();
    variables.remove("MADANG_ACCELERATORS");
    if let Some(name) = &spec.device_variable {
        variables.remove(name);
    }
    for (name, value) in variables {
        writeln!(text, "export {name}={}", quoted(&value)).ok();
    }
    let held = spec
        .pieces
        .first()
        .is_some_and(|p| !p.accelerators.is_empty());
    let gres = options.gres(&spec.nodes, &spec.accelerator);
    let gres = gres.split(':').next().unwrap_or_default();
    let found = match (held, gres) {
        (false, _) => String::new(),
        (true, "gpu") => r#""${CUDA_VISIBLE_DEVICES:-${SLURM_JOB_GPUS:-}}""#.to_owned(),
        (true, gres) => format!("\"$(devices {})\"", quoted(gres)),
    };
    writeln!(text, "export MADANG_ACCELERATORS={found}").ok();
    if let Some(name) = &spec.device_variable {
        writeln!(text, "export {name}=\"$MADANG_ACCELERATORS\"").ok();
    }
}

/// The words that run it.
fn command(text: &mut String, options: &SlurmOptions, spec: &RunSpec) -> Result<String, JobsError> {
    let program = match &spec.program {
        RunProgram::Command(words) => line(words),
        RunProgram::Script(script) => {
            let file = ".madang-script";
            writeln!(
                text,
                "printf %s {} >{file} && chmod 700 {file}",
                quoted(script)
            )
            .ok();
            match script.starts_with("#!") {
                true => format!("./{file}"),
                false => format!("/bin/sh {file}"),
            }
        }
    };
    let Some(image) = &spec.image else {
        return Ok(program);
    };
    if options.container.is_empty() {
        let cluster = &options.cluster;
        return Err(refused(format!(
            "the cluster {cluster} runs no container images: leave out image, or run it elsewhere"
        )));
    }
    let words = options.container.iter();
    let folder = format!("{}/{}", options.folder, spec.run.task);
    let words = words.map(|word| word.replace("{image}", image).replace("{folder}", &folder));
    Ok(format!("{} {program}", line(words)))
}

#[cfg(test)]
mod tests;
