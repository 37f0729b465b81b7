//! What the kernel knows of other processes.

use anyhow::Context;
use std::collections::BTreeSet;
use std::fs;

/// The kernel's clock tick for what it tells of processes: 10 ms on Linux, whatever it counts in itself.
const TICK_NS: u64 = 10_000_000;
/// Further apart than two ticks of rounding at each end, the two clocks of [`Cpu`] disagree for a reason.
const ROUNDING_NS: u64 = 4 * TICK_NS;

/// CPU time of processes and all that they have started, user and system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// Of the threads that live, exact.
    threads_ns: u64,
    /// With threads and children that have ended, in whole ticks.
    ticks_ns: u64,
}

impl Cpu {
    /// Time used since `before`: exact, but where threads or children have ended in between, as good as ticks are.
    pub fn since(self, before: Self) -> u64 {
        let exact = self.threads_ns.saturating_sub(before.threads_ns);
        let ticks = self.ticks_ns.saturating_sub(before.ticks_ns);
        if ticks > exact + ROUNDING_NS {
            ticks
        } else {
            exact
        }
    }
}

/// CPU time of these processes and their children until now; `None` for no process.
///
/// # Errors
/// One of them has ended.
pub fn cpu(pids: &[u32]) -> anyhow::Result<Option<Cpu>> {
    let mut sum = Cpu::default();
    for pid in families(pids) {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        ensure_lives(pid, pids, &stat)?;
        sum.ticks_ns += ticks(&stat).unwrap_or(0) * TICK_NS;
        for thread in threads(pid) {
            let path = format!("/proc/{pid}/task/{thread}/schedstat");
            // A thread may end while its folder is read.
            let text = fs::read_to_string(path).unwrap_or_default();
            let running = text.split_whitespace().next();
            sum.threads_ns += running.and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Ok((!pids.is_empty()).then_some(sum))
}

/// Resident memory of these processes and their children together; pages that they share count for each.
///
/// # Errors
/// One of them has ended.
pub fn resident_kb(pids: &[u32]) -> anyhow::Result<u64> {
    let mut sum = 0;
    for pid in families(pids) {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        ensure_lives(pid, pids, &text)?;
        sum += field(&text, "VmRSS:").unwrap_or(0);
    }
    Ok(sum)
}

/// These processes, and all that they have started and that still live.
pub fn families(pids: &[u32]) -> BTreeSet<u32> {
    let mut all = BTreeSet::new();
    let mut to_visit = pids.to_vec();
    while let Some(pid) = to_visit.pop() {
        if all.insert(pid) {
            to_visit.extend(children(pid));
        }
    }
    all
}

fn children(pid: u32) -> Vec<u32> {
    let of_thread = |thread| {
        let path = format!("/proc/{pid}/task/{thread}/children");
        let text = fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace()
            .filter_map(|child| child.parse().ok())
            .collect::<Vec<u32>>()
    };
    threads(pid).into_iter().flat_map(of_thread).collect()
}

fn threads(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// A child may come and go; one of the gateway's own may not.
fn ensure_lives(pid: u32, own: &[u32], text: &str) -> anyhow::Result<()> {
    (!text.is_empty() || !own.contains(&pid))
        .then_some(())
        .context("a gateway ended")
}

/// User, system, and both of children that have been waited for: fields 14 to 17 of `/proc/…/stat`.
fn ticks(stat: &str) -> Option<u64> {
    // The name, field 2, may hold anything but ends with the last parenthesis.
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields = after_name.split_whitespace().skip(11).take(4);
    fields.map(|field| field.parse::<u64>().ok()).sum()
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_of_a_process_with_an_odd_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4 100 200 0 0 11 12 13 14 20 0 1 0 5 6 7";
        assert_eq!(ticks(stat), Some(50));
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn ticks_count_where_threads_have_ended() {
        let cpu = |threads_ms: u64, ticks_ms: u64| Cpu {
            threads_ns: threads_ms * 1_000_000,
            ticks_ns: ticks_ms * 1_000_000,
        };
        let cases = [
            ("both agree", cpu(10, 10), cpu(25, 30), 15),
            ("a thread ended", cpu(100, 100), cpu(90, 300), 200),
        ];
        for (name, before, after, expected_ms) in cases {
            assert_eq!(after.since(before), expected_ms * 1_000_000, "{name}");
        }
    }

    #[test]
    fn this_process_is_known() {
        let own = [std::process::id()];
        assert!(families(&own).contains(&own[0]));
        assert!(resident_kb(&own).unwrap() > 0);
        assert!(cpu(&own).unwrap().is_some());
        assert!(cpu(&[]).unwrap().is_none());
    }
}
