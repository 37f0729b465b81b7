//! Log lines on their way out: gathered for a moment and written together, so that a line costs no write of its own.
//!
//! What warns or fails is written at once, with all that came before it. Nothing is dropped: where lines come faster
//! than they can be written, whoever logs waits.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How long a line may wait for others.
const GATHER: Duration = Duration::from_millis(50);
/// Bytes that may wait; whoever logs more writes them out first.
const WAITING_BYTES_MAX: usize = 256 * 1024;

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// The thread waits for a first line.
    idle: bool,
    closed: bool,
}

struct Shared {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    out: Mutex<Box<dyn Write + Send>>,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what waits. In order: whoever has `out` takes all that waits.
    fn flush(&self) -> io::Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = std::mem::take(&mut self.waiting().bytes);
        out.write_all(&bytes)
    }
}

/// Makes a writer for each line. Cheap to clone.
#[derive(Clone)]
pub struct LogWriter(Arc<Shared>);

/// Writes out what is left, and ends the thread, when dropped.
pub struct LogGuard {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the thread that writes to `out`.
///
/// # Errors
/// It cannot be started.
pub fn start(out: Box<dyn Write + Send>) -> io::Result<(LogWriter, LogGuard)> {
    let shared = Arc::new(Shared {
        waiting: Mutex::default(),
        wake: Condvar::new(),
        out: Mutex::new(out),
    });
    let of_thread = shared.clone();
    let thread = Builder::new()
        .name("log".into())
        .spawn(move || run(&of_thread))?;
    let guard = LogGuard {
        shared: shared.clone(),
        thread: Some(thread),
    };
    Ok((LogWriter(shared), guard))
}

fn run(shared: &Shared) {
    let mut waiting = shared.waiting();
    while !waiting.closed {
        if waiting.bytes.is_empty() {
            waiting.idle = true;
            waiting = shared
                .wake
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
            waiting.idle = false;
            continue;
        }
        let gathering = shared
            .wake
            .wait_timeout_while(waiting, GATHER, |waiting| !waiting.closed);
        drop(gathering.unwrap_or_else(PoisonError::into_inner));
        // A log that nobody takes any more is no reason to end; there is nowhere to say so.
        shared.flush().ok();
        waiting = shared.waiting();
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.shared.waiting().closed = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed.
            thread.join().ok();
        }
        self.shared.flush().ok();
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            shared: &self.0,
            urgent: false,
        }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        Line {
            shared: &self.0,
            urgent: *metadata.level() <= Level::WARN,
        }
    }
}

/// One line.
pub struct Line<'a> {
    shared: &'a Shared,
    urgent: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut waiting = self.shared.waiting();
        waiting.bytes.extend_from_slice(bytes);
        // Once closed there is no thread to do it.
        let now = self.urgent || waiting.closed || waiting.bytes.len() > WAITING_BYTES_MAX;
        // Who writes for itself wakes nobody: the thread waits on, and the next line has to know it.
        let idle = !now && std::mem::take(&mut waiting.idle);
        drop(waiting);
        if now {
            self.shared.flush()?;
        } else if idle {
            self.shared.wake.notify_one();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.shared.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Out(Arc<Mutex<Vec<u8>>>);

    impl Write for Out {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Out {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn started() -> (Out, LogWriter, LogGuard) {
        let out = Out::default();
        let (writer, guard) = start(Box::new(out.clone())).unwrap();
        (out, writer, guard)
    }

    #[test]
    fn what_fails_is_written_at_once_behind_what_came_before() {
        let (out, writer, _guard) = started();
        writer.make_writer().write_all(b"first\n").unwrap();
        Line {
            shared: &writer.0,
            urgent: true,
        }
        .write_all(b"second\n")
        .unwrap();
        assert_eq!(out.text(), "first\nsecond\n");
    }

    #[test]
    fn every_line_is_there_at_the_end_and_whole() {
        let (out, writer, guard) = started();
        let lines = |thread: usize| (0..500).map(move |n| format!("{thread} {n} {:300}\n", "x"));
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let writer = writer.clone();
                std::thread::spawn(move || {
                    for line in lines(thread) {
                        writer.make_writer().write_all(line.as_bytes()).unwrap();
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        drop(guard);
        let text = out.text();
        for thread in 0..4 {
            let of_thread = |line: &&str| line.starts_with(&format!("{thread} "));
            let found: Vec<&str> = text.split_inclusive('\n').filter(of_thread).collect();
            assert_eq!(found, lines(thread).collect::<Vec<_>>());
        }
        writer.make_writer().write_all(b"after the end\n").unwrap();
        assert!(out.text().ends_with("after the end\n"));
    }

    #[test]
    fn a_line_leaves_by_itself() {
        let (out, writer, _guard) = started();
        let written = |bytes: usize| {
            while out.text().len() < bytes {
                std::thread::yield_now();
            }
        };
        for round in 1..4 {
            writer.make_writer().write_all(b"line\n").unwrap();
            written(5 * round);
        }
        // One that was written at once, while the thread waited for a first line, leaves it waiting for the next one.
        while !writer.0.waiting().idle {
            std::thread::yield_now();
        }
        Line {
            shared: &writer.0,
            urgent: true,
        }
        .write_all(b"warn\n")
        .unwrap();
        writer.make_writer().write_all(b"line\n").unwrap();
        written(25);
    }
}
