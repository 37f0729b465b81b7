//! What `/proc` says about processes, and signals that cannot reach a stranger.

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, pidfd_open, pidfd_send_signal, wait,
};
use std::fs;
use std::path::Path;

/// One process as `/proc/<pid>/stat` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub pid: u32,
    pub state: char,
    pub parent: u32,
    pub group: u32,
    /// Clock ticks from boot to its start; with the pid it names a process for good.
    pub start_ticks: u64,
}

impl Stat {
    /// Dead, but not yet fetched by its parent.
    pub fn is_dead(self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// The process, or `None` where there is none with that pid.
pub(crate) fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// All processes that can be seen.
pub(crate) fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(stat)
        .collect()
}

/// Whether any living process is in the group.
pub(crate) fn group_lives(group: u32) -> bool {
    all().iter().any(|p| p.group == group && !p.is_dead())
}

/// Sends a signal to a group; a group that is gone is no error.
pub(crate) fn signal_group(group: u32, signal: Signal) {
    if let Some(pid) = to_pid(group) {
        // ESRCH (gone) and EPERM (changed its user) leave nothing that could be done.
        rustix::process::kill_process_group(pid, signal).ok();
    }
}

/// Sends a signal to one process; a process that is gone is no error.
pub(crate) fn signal_process(pid: u32, signal: Signal) {
    if let Some(pid) = to_pid(pid) {
        rustix::process::kill_process(pid, signal).ok();
    }
}

/// Sends a signal to a process for which `is_it` holds while nobody else can have its number; whether it did.
pub(crate) fn signal_if(pid: u32, signal: Signal, is_it: impl FnOnce() -> bool) -> bool {
    let held = to_pid(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    held.is_some_and(|held| is_it() && pidfd_send_signal(held, signal).is_ok())
}

/// Sends a signal to each of this process's own children: none of their numbers is another's before it is fetched.
pub(crate) fn signal_children(signal: Signal) {
    let own_pid = std::process::id();
    for child in all().iter().filter(|p| p.parent == own_pid) {
        signal_process(child.pid, signal);
    }
}

/// Fetches dead children of any group (`waitpid` without a pid sees our own group only), and tells each; whether there are no children
/// left, dead or alive.
pub(crate) fn reap(mut ended: impl FnMut(u32, WaitStatus)) -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                if let Ok(pid) = u32::try_from(pid.as_raw_nonzero().get()) {
                    ended(pid, status);
                }
            }
            Err(Errno::INTR) => {}
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}

/// Whether the process started with this word in its environment (`NAME=value`).
pub(crate) fn has_env(pid: u32, word: &str) -> bool {
    let environ = fs::read(Path::new("/proc").join(pid.to_string()).join("environ"));
    environ.is_ok_and(|bytes| bytes.split(|b| *b == 0).any(|w| w == word.as_bytes()))
}

/// 0 and 1 are never ours: a signal to 0 would reach our own group, to 1 the system.
fn to_pid(pid: u32) -> Option<Pid> {
    let raw = i32::try_from(pid).ok().filter(|raw| *raw > 1)?;
    Pid::from_raw(raw)
}

/// The name of the program may hold spaces and brackets: fields are counted from its last bracket.
fn parse_stat(text: &str) -> Option<Stat> {
    let pid = text.split_once(' ')?.0.parse().ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    // man proc: start time is field 22; state is 3, so 16 fields lie between the group and it.
    let start_ticks = fields.nth(16)?.parse().ok()?;
    Some(Stat {
        pid,
        state,
        parent,
        group,
        start_ticks,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_moves_no_field() {
        let text = "42 (a) b (c) S 7 40 40 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 11 22 33\n";
        let expected = Stat {
            pid: 42,
            state: 'S',
            parent: 7,
            group: 40,
            start_ticks: 98_765,
        };
        assert_eq!(parse_stat(text), Some(expected));
        for broken in ["", "42", "42 (x", "42 (x) S", "x (x) S 1 2"] {
            assert_eq!(parse_stat(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn this_process_is_seen() {
        let own = std::process::id();
        let seen = stat(own).unwrap();
        assert_eq!(seen.pid, own);
        assert!(!seen.is_dead());
        assert!(all().iter().any(|p| p.pid == own));
        assert!(group_lives(seen.group));
    }

    #[test]
    fn no_signal_goes_to_ourselves_or_the_system() {
        for pid in [0, 1, u32::MAX] {
            assert_eq!(to_pid(pid), None, "{pid}");
        }
    }
}
