//! Processes as the kernel shows them.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;

/// Sends a signal; one to a process that is gone already is no fault.
pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a process id")).expect("not zero");
    kill_process(pid, signal).ok();
}

/// Whether the process runs (a zombie does not).
pub fn runs(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .is_some_and(|rest| rest.trim_start().starts_with('Z'))
    })
}

/// Engines (not their guards) that were started by [`super::fleet::python_replica`] with this mark.
pub fn engines(mark: &str) -> Vec<u32> {
    let python = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let program = line.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(program)
            .rsplit('/')
            .next()
            .is_some_and(|name| name.starts_with("python"))
    };
    with_argument(mark).into_iter().filter(python).collect()
}

/// Processes whose command line holds this text, zombies left out.
pub fn with_argument(text: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("there is /proc").flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(text) && runs(pid) {
            found.push(pid);
        }
    }
    found
}

/// Resident memory in KiB.
pub fn resident_kib(pid: u32) -> u64 {
    status_kib(pid, "VmRSS:")
}

/// The most memory that was ever resident, in KiB.
pub fn peak_kib(pid: u32) -> u64 {
    status_kib(pid, "VmHWM:")
}

fn status_kib(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status
        .lines()
        .find(|line| line.starts_with(name))
        .expect("it has memory");
    line.split_whitespace()
        .nth(1)
        .and_then(|word| word.parse().ok())
        .expect("KiB")
}

/// Open file descriptors.
pub fn files_open(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("it runs")
        .count()
}
