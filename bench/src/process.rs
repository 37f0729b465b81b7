//! What the kernel knows of other processes.

use anyhow::Context;
use std::fs;

/// CPU time of these processes' living threads; `None` for no process.
pub fn cpu_ns(pids: &[u32]) -> anyhow::Result<Option<u64>> {
    let mut sum = 0;
    for pid in pids {
        for entry in fs::read_dir(format!("/proc/{pid}/task")).context("a gateway ended")? {
            // A thread may end while its folder is read.
            let text = fs::read_to_string(entry?.path().join("schedstat")).unwrap_or_default();
            let running = text.split_whitespace().next();
            sum += running.and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Ok((!pids.is_empty()).then_some(sum))
}

/// Resident memory of these processes together; pages that they share count for each.
pub fn resident_kb(pids: &[u32]) -> anyhow::Result<u64> {
    let mut sum = 0;
    for pid in pids {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).context("a gateway ended")?;
        sum += field(&text, "VmRSS:").unwrap_or(0);
    }
    Ok(sum)
}

/// Processes that this one has started.
pub fn children(pid: u32) -> Vec<u32> {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .collect()
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
