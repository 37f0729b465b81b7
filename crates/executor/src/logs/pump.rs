//! From the engine's pipe to the files, so that the engine never waits for a disk.

use super::lines::Lines;
use super::write::Writer;
use madang_types::ReplicaId;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Lines kept in memory, to say why an engine ended.
const LAST_LINES_MAX: usize = 20;
/// Of each line kept in memory.
const LAST_LINE_BYTES_MAX: usize = 1_024;
const READ_BYTES_MAX: usize = 64 * 1024;
/// Reads on their way to the disk: with the above, 4 MiB in memory at most.
const BATCHES_MAX: usize = 64;
/// How long the first batch waits for a slow disk; after it the pump drops until there is room again.
const DISK_WAIT_MS_MAX: u64 = 500;
/// After the engine's end: a process that escaped may hold the pipe open for ever.
const END_WAIT_MS_MAX: u64 = 1_000;

type LastLines = Arc<Mutex<VecDeque<String>>>;

/// The reader of one engine's output. Its two tasks end with the pipe, or with [`Pump::end`].
#[derive(Debug)]
pub(crate) struct Pump {
    last_lines: LastLines,
    reader: JoinHandle<()>,
    /// Ends by itself once the reader has dropped its end of the queue.
    writer: JoinHandle<()>,
}

struct Batch {
    text: String,
    lines_count: u64,
    dropped_before_count: u64,
}

impl Pump {
    /// Starts to read.
    pub fn start<R>(output: R, log_dir: &Path, replica: &ReplicaId, log_bytes_max: u64) -> Self
    where
        R: AsyncRead + Unpin + Send + 'static,
    {
        let mut writer = Writer::new(log_dir, replica, log_bytes_max);
        let (batches, mut queue) = mpsc::channel::<Batch>(BATCHES_MAX);
        let writer = tokio::task::spawn_blocking(move || {
            while let Some(batch) = queue.blocking_recv() {
                writer.dropped(batch.dropped_before_count);
                writer.write(&batch.text);
            }
        });
        let last_lines = LastLines::default();
        let reader = tokio::spawn(read(output, batches, Arc::clone(&last_lines)));
        Self {
            last_lines,
            reader,
            writer,
        }
    }

    /// The newest lines, oldest first, without times.
    fn last_lines(&self) -> Vec<String> {
        let lines = self.last_lines.lock();
        let lines = lines.unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect()
    }

    /// Waits until all is written, for a bounded time, and gives the newest lines.
    pub async fn end(mut self) -> Vec<String> {
        let wait = Duration::from_millis(END_WAIT_MS_MAX);
        if tokio::time::timeout(wait, &mut self.reader).await.is_err() {
            self.reader.abort();
        }
        // A disk that hangs holds the writer only; it ends when the disk does.
        if tokio::time::timeout(wait, &mut self.writer).await.is_err() {
            tracing::warn!("the log disk is slow: the end of an engine's log is written later");
        }
        self.last_lines()
    }
}

async fn read<R>(mut output: R, batches: mpsc::Sender<Batch>, last_lines: LastLines)
where
    R: AsyncRead + Unpin,
{
    let mut buffer = vec![0; READ_BYTES_MAX];
    let mut lines = Lines::default();
    let mut dropped_count = 0;
    loop {
        let length = output.read(&mut buffer).await.unwrap_or(0);
        let time = jiff::Timestamp::now();
        let mut batch = Batch {
            text: String::new(),
            lines_count: 0,
            dropped_before_count: dropped_count,
        };
        let mut take = |line: &str| {
            batch.text.push_str(&format!("{time:.6} {line}\n"));
            batch.lines_count += 1;
            remember(&last_lines, line);
        };
        if length == 0 {
            lines.end(take);
        } else {
            lines.push(&buffer[..length], &mut take);
        }
        if batch.lines_count > 0 {
            dropped_count = send(&batches, batch, dropped_count == 0).await;
        }
        if length == 0 {
            return;
        }
    }
}

/// Gives the count of lines that are dropped and not yet told.
async fn send(batches: &mpsc::Sender<Batch>, batch: Batch, may_wait: bool) -> u64 {
    let lost_count = batch.lines_count + batch.dropped_before_count;
    let wait_ms = if may_wait { DISK_WAIT_MS_MAX } else { 0 };
    let wait = Duration::from_millis(wait_ms);
    match batches.send_timeout(batch, wait).await {
        Ok(()) => 0,
        Err(_) => lost_count,
    }
}

fn remember(last_lines: &LastLines, line: &str) {
    let mut lines = last_lines.lock().unwrap_or_else(PoisonError::into_inner);
    if lines.len() == LAST_LINES_MAX {
        lines.pop_front();
    }
    lines.push_back(line[..line.floor_char_boundary(LAST_LINE_BYTES_MAX)].to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn lines_are_stamped_written_and_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let replica = ReplicaId::new("r").unwrap();
        let text: String = (0..50).map(|n| format!("line {n}\n")).collect();
        let input = std::io::Cursor::new(text.into_bytes());
        let pump = Pump::start(input, folder.path(), &replica, 1 << 20);
        let last = pump.end().await;
        assert_eq!(last.len(), LAST_LINES_MAX);
        assert_eq!(last.last().unwrap(), "line 49");
        let written = fs::read_to_string(folder.path().join("r.log")).unwrap();
        assert_eq!(written.lines().count(), 50);
        let (time, line) = written.lines().next().unwrap().split_once(' ').unwrap();
        assert_eq!(line, "line 0");
        assert_eq!(time.len(), "2026-01-01T00:00:00.000000Z".len(), "{time}");
        assert!(time.parse::<jiff::Timestamp>().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_costs_lines_and_not_the_engine() {
        let (batches, mut queue) = mpsc::channel::<Batch>(1);
        let last_lines = LastLines::default();
        let (output, mut engine) = tokio::io::duplex(16);
        let reader = tokio::spawn(read(output, batches, last_lines));
        for n in 0..1_000 {
            engine.write_all(format!("{n}\n").as_bytes()).await.unwrap();
        }
        // The queue has room again: the next batch tells what was lost.
        let first = queue.recv().await.unwrap();
        engine.write_all(b"last\n").await.unwrap();
        drop(engine);
        let mut told = first.lines_count + first.dropped_before_count;
        while let Some(batch) = queue.recv().await {
            told += batch.lines_count + batch.dropped_before_count;
        }
        reader.await.unwrap();
        assert_eq!(told, 1_001);
    }
}
