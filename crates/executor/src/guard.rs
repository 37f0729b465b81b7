//! The process between Madang and an engine: whatever ends Madang, the engine ends too.
//!
//! Madang starts `madang guard watch …` in a process group of its own, with a pipe as its standard
//! input. The guard becomes the *subreaper* of all that comes below it and starts `madang guard exec
//! …` in another new group. That one asks the kernel to be killed with the guard, writes the pid file
//! and becomes the engine: there is no moment in which an engine runs without guard and pid file.
//!
//! The guard ends the engine on an order (`stop <ms>`) and at the end of its input, which comes even
//! when Madang was killed: SIGTERM to the engine's group, SIGKILL after the grace time. Then it kills
//! whatever else descends from it. As a subreaper it is the parent of every orphan below it, so a
//! descendant that left the group (`setsid`, double fork) is found as well.
//!
//! What escapes: with the guard itself killed by SIGKILL, the kernel kills the engine's first process
//! only. Madang then kills the rest of the group; a descendant that had also left the group is
//! found by its environment at the next start ([`crate::reap_leftovers`]), unless it changed that too.

mod watch;

use crate::jobs::local::{runner, shell};
use crate::pid_file::{Identity, MARK_VARIABLE, PidFile, boot_id};
use rustix::process::Signal;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Exit code of the guard where it could not do its work.
const FAILED: u8 = 126;
/// Exit code of the engine's process where the program could not be started, as in shells.
const NOT_STARTED: u8 = 127;

/// How the guard is started: a program and the arguments before the guard's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardProgram {
    /// The program.
    pub program: PathBuf,
    /// Arguments before the guard's own: the hidden subcommand.
    pub args: Vec<OsString>,
}

impl GuardProgram {
    /// This very binary with a hidden subcommand that calls [`main`].
    pub fn this_binary(subcommand: &str) -> Self {
        // The link names the running image even after an upgrade replaced the file.
        Self {
            program: PathBuf::from("/proc/self/exe"),
            args: vec![subcommand.into()],
        }
    }
}

/// The guard's program. `args` are the process's arguments after those of [`GuardProgram::args`].
pub fn main(args: Vec<OsString>) -> ExitCode {
    let before_count = std::env::args_os().len().saturating_sub(args.len() + 1);
    let prefix: Vec<OsString> = std::env::args_os().skip(1).take(before_count).collect();
    let done = match Order::parse(&args) {
        Ok(Order::Watch(order)) => watch::watch(&order, &prefix),
        Ok(Order::Exec(order)) => Err(exec(&order)),
        Ok(Order::Job(folder)) => runner::main(folder),
        Ok(Order::Shell(folder)) => shell::main(folder),
        Err(text) => Err(text),
    };
    done.unwrap_or_else(|text| {
        say(&text);
        ExitCode::from(FAILED)
    })
}

/// Writes into the engine's log, which is this process's standard error.
fn say(text: &str) {
    // Nobody is left to tell where the log is gone.
    writeln!(io::stderr(), "madang guard: {text}").ok();
}

/// What a guard process is asked to do.
#[derive(Debug, PartialEq, Eq)]
enum Order {
    Watch(Watch),
    Exec(Exec),
    /// Carry out the run of a job, in its folder.
    Job(PathBuf),
    /// Become a shell beside it.
    Shell(PathBuf),
}

/// Start an engine and watch it.
#[derive(Debug, PartialEq, Eq)]
struct Watch {
    pid_file: PathBuf,
    /// From SIGTERM to SIGKILL when Madang is gone.
    orphan_stop_ms: u64,
    command: Vec<OsString>,
}

/// Become the engine.
#[derive(Debug, PartialEq, Eq)]
struct Exec {
    pid_file: PathBuf,
    guard_pid: u32,
    command: Vec<OsString>,
}

impl Order {
    fn parse(args: &[OsString]) -> Result<Self, String> {
        let usage = "this subcommand is for Madang's own use";
        if let [mode, folder] = args {
            match mode.to_str() {
                Some("job") => return Ok(Self::Job(folder.into())),
                Some("shell") => return Ok(Self::Shell(folder.into())),
                _ => {}
            }
        }
        let [mode, pid_file, number, command @ ..] = args else {
            return Err(usage.to_owned());
        };
        let number = |what: &str| -> Result<u64, String> {
            let number = number.to_str().and_then(|text| text.parse().ok());
            number.ok_or_else(|| format!("{usage}: {what} is no number"))
        };
        if command.is_empty() {
            return Err(format!("{usage}: no command"));
        }
        let (pid_file, command) = (PathBuf::from(pid_file), command.to_vec());
        match mode.to_str() {
            Some("watch") => Ok(Self::Watch(Watch {
                pid_file,
                orphan_stop_ms: number("the grace time")?,
                command,
            })),
            Some("exec") => Ok(Self::Exec(Exec {
                pid_file,
                guard_pid: u32::try_from(number("the guard's pid")?).map_err(|e| e.to_string())?,
                command,
            })),
            _ => Err(usage.to_owned()),
        }
    }
}

/// The arguments of a guard that watches `program`.
pub(crate) fn watch_args<'a>(
    pid_file: &'a Path,
    orphan_stop_ms: u64,
    program: &'a Path,
) -> [OsString; 4] {
    [
        "watch".into(),
        pid_file.into(),
        orphan_stop_ms.to_string().into(),
        program.into(),
    ]
}

/// Becomes the engine; returns only where that fails.
fn exec(order: &Exec) -> String {
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        return format!("cannot tie the engine to its guard: {error}");
    }
    // The guard may have died before the line above; then no signal would ever come.
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    if parent != i32::try_from(order.guard_pid).ok() {
        return "the guard is gone".to_owned();
    }
    let own_pid = std::process::id();
    let (Some(engine), Some(guard)) = (Identity::of(own_pid), Identity::of(order.guard_pid)) else {
        return "cannot read /proc".to_owned();
    };
    let mark = format!("{}-{}", engine.start_ticks, engine.pid);
    let file = PidFile {
        engine,
        guard,
        boot: boot_id(),
        mark: mark.clone(),
    };
    if let Err(error) = file.write(&order.pid_file) {
        return format!("cannot write {}: {error}", order.pid_file.display());
    }
    let [program, args @ ..] = order.command.as_slice() else {
        return "no command".to_owned();
    };
    let error = Command::new(program)
        .args(args)
        .env(MARK_VARIABLE, mark)
        .exec();
    say(&not_started(program, &error));
    PidFile::remove(&order.pid_file, own_pid);
    std::process::exit(i32::from(NOT_STARTED))
}

fn not_started(program: &OsStr, error: &io::Error) -> String {
    format!("cannot start {}: {error}", program.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Order, String> {
        let args: Vec<OsString> = args.iter().map(Into::into).collect();
        Order::parse(&args)
    }

    #[test]
    fn orders_are_read_and_what_is_none_is_refused() {
        let watch = parse(&["watch", "/run/a.pid", "5000", "engine", "--x"]);
        let expected = Order::Watch(Watch {
            pid_file: "/run/a.pid".into(),
            orphan_stop_ms: 5_000,
            command: vec!["engine".into(), "--x".into()],
        });
        assert_eq!(watch, Ok(expected));
        assert_eq!(
            parse(&["job", "/runs/1-1"]),
            Ok(Order::Job("/runs/1-1".into()))
        );
        for broken in [
            &[] as &[&str],
            &["watch"],
            &["watch", "/f", "x", "engine"],
            &["watch", "/f", "1"],
            &["exec", "/f", "-1", "engine"],
            &["other", "/f", "1", "engine"],
        ] {
            assert!(parse(broken).is_err(), "{broken:?}");
        }
    }
}
