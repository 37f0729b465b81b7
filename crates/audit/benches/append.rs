//! Durable appends a second by callers at once and how long each waits, beside a bare loop of write and fdatasync on the
//! same disk in the same run; then what signing, verifying and proving cost.
//! `cargo bench -p madang-audit`; without `--bench` (under `cargo test`) it only shows that it runs.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]

use madang_audit::{
    AuditError, AuditLog, Checkpoint, Folder, InclusionProof, Reader, Settings, VerifierKey,
};
use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Bytes of a usual decision.
const LEAF_BYTES: usize = 700;

/// A line of the table: how many at once, of what, and how long each took.
fn line(name: &str, mut waits: Vec<Duration>, whole: Duration) {
    waits.sort_unstable();
    let count = u32::try_from(waits.len()).unwrap_or(u32::MAX);
    let at = |percent: usize| waits[(waits.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    let rate = f64::from(count) / whole.as_secs_f64();
    println!(
        "{name:<34} {rate:>9.0}/s   p50 {:>7.3} ms   p99 {:>7.3} ms",
        at(50),
        at(99)
    );
}

/// One sync for each write, over bytes that the file has already, and nothing between.
fn bare_loop(folder: &Path, leaves: usize) -> Outcome<()> {
    let mut file = File::create(folder.join("bare"))?;
    file.write_all(&vec![0; 8 << 20])?;
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    let (mut waits, start) = (Vec::new(), Instant::now());
    for _ in 0..leaves {
        let began = Instant::now();
        file.write_all(&[1; LEAF_BYTES])?;
        file.sync_data()?;
        waits.push(began.elapsed());
    }
    line("write + fdatasync, bare loop", waits, start.elapsed());
    Ok(())
}

/// The log's key.
async fn callers(
    folder: &Path,
    name: &str,
    count: usize,
    leaves: usize,
    sync_ms_max: Option<u64>,
) -> Outcome<VerifierKey> {
    let settings = Settings {
        sync_ms_max,
        ..Settings::new("madang.example/bench")
    };
    let log = Arc::new(AuditLog::open(&folder.join(name), &settings)?);
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..count {
        let log = log.clone();
        tasks.spawn(async move {
            let mut waits = Vec::new();
            for _ in 0..leaves / count {
                let began = Instant::now();
                log.append(vec![b'x'; LEAF_BYTES]).await?;
                waits.push(began.elapsed());
            }
            Outcome::Ok(waits)
        });
    }
    let mut waits = Vec::new();
    while let Some(task) = tasks.join_next().await {
        waits.extend(task??);
    }
    line(name, waits, start.elapsed());
    Ok(log.verifier().clone())
}

/// What an auditor does, each so many times.
fn auditor(folder: &Path, key: &VerifierKey, times: u64) -> Outcome<()> {
    let reader = Reader::open(Folder::new(folder), key.clone())?;
    let size = reader.checkpoint().size;
    let mut seen = 0;
    let start = Instant::now();
    reader.verify(|_, _| seen += 1)?;
    line(
        &format!("verify all of {size} leaves"),
        vec![start.elapsed()],
        start.elapsed(),
    );
    let note = reader.note();
    measure("verify a checkpoint", times, |_| {
        Checkpoint::open(note, key)
    })?;
    measure("prove a leaf, from disk", times, |n| {
        reader.prove(n * 37 % size)
    })?;
    let proof = InclusionProof::make(&reader, size / 2)?;
    measure("check a proof and its checkpoint", times, |_| {
        proof.check(key)
    })
}

fn measure<T>(
    name: &str,
    times: u64,
    mut act: impl FnMut(u64) -> Result<T, AuditError>,
) -> Outcome<()> {
    let (mut waits, start) = (Vec::new(), Instant::now());
    for n in 0..times {
        let began = Instant::now();
        black_box(act(n)?);
        waits.push(began.elapsed());
    }
    line(name, waits, start.elapsed());
    Ok(())
}

/// Callers at once, leaves of theirs all together, and within what time a confirmed leaf is synced, ms.
const CASES: [(usize, usize, Option<u64>); 6] = [
    (1, 2_000, None),
    (16, 20_000, None),
    (256, 100_000, None),
    (1, 20_000, Some(10)),
    (16, 100_000, Some(10)),
    (256, 100_000, Some(10)),
];

fn main() -> Outcome<()> {
    let full = std::env::args().any(|argument| argument == "--bench");
    let leaves = |full_count: usize| if full { full_count } else { 256 };
    // Beside the build, so that it is the disk of the data folder and no file system in memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let folder = folder.path();
    println!("leaves of {LEAF_BYTES} bytes; a wait is from the call to its confirmation");
    bare_loop(folder, leaves(2_000))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()?;
    let mut last = None;
    for (count, full_count, sync_ms_max) in CASES {
        let how = sync_ms_max.map_or("durable".into(), |ms| format!("synced within {ms} ms"));
        let name = format!("{how}, {count} at once");
        let appended = callers(folder, &name, count, leaves(full_count), sync_ms_max);
        last = Some((runtime.block_on(appended)?, folder.join(name)));
    }
    drop(runtime);
    bare_loop(folder, leaves(2_000))?;
    let (key, log) = last.ok_or("no case")?;
    auditor(&log, &key, if full { 2_000 } else { 10 })
}
