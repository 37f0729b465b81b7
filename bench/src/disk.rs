//! What one sync costs on the disk that the books are on: the floor of every durable write.

use crate::stats::percentile;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

const WRITES: usize = 300;
/// A page of SQLite's log.
const WRITE_BYTES: usize = 4096;

/// Writes and syncs one page after the other; a line for the report.
pub fn measure(folder: &Path) -> anyhow::Result<String> {
    let path = folder.join("sync-probe");
    let mut file = File::create(&path)?;
    let mut times_us = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let begun = Instant::now();
        file.write_all(&[0; WRITE_BYTES])?;
        file.sync_data()?;
        times_us.push(u64::try_from(begun.elapsed().as_micros())?);
    }
    std::fs::remove_file(&path)?;
    times_us.sort_unstable();
    let (p50, p99) = (percentile(&times_us, 0.5), percentile(&times_us, 0.99));
    Ok(format!(
        "disk: appending 4 kB and fdatasync takes {p50} µs (p50), {p99} µs (p99) in {}",
        folder.display()
    ))
}
