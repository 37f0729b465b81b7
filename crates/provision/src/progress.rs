//! How far a fetch is, for a person at a terminal, a log, or nobody.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

/// Told how a fetch goes. Calls come from one task at a time per fetch.
pub trait Progress: Send + Sync {
    /// A transfer starts; `bytes` is its size where known.
    fn start(&self, what: &str, bytes: Option<u64>);
    /// So many bytes of it are here.
    fn at(&self, done_bytes: u64);
    /// It ended, well or not.
    fn finish(&self);
    /// One line worth knowing.
    fn note(&self, line: &str);
    /// Whether a child program may draw its own progress on the terminal.
    fn shows_children(&self) -> bool {
        false
    }
}

/// Says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn start(&self, _what: &str, _bytes: Option<u64>) {}
    fn at(&self, _done_bytes: u64) {}
    fn finish(&self) {}
    fn note(&self, _line: &str) {}
}

/// One line per step: for logs and pipes.
pub struct Lines {
    out: Mutex<Box<dyn Write + Send>>,
}

impl Lines {
    /// Writes to `out`.
    pub fn new(out: impl Write + Send + 'static) -> Self {
        Self {
            out: Mutex::new(Box::new(out)),
        }
    }
}

impl Progress for Lines {
    fn start(&self, what: &str, bytes: Option<u64>) {
        match bytes {
            Some(bytes) => self.note(&format!("{what} ({})", megabytes(bytes))),
            None => self.note(what),
        }
    }

    fn at(&self, _done_bytes: u64) {}

    fn finish(&self) {}

    fn note(&self, line: &str) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            tracing::debug!("progress line lost: its output is closed");
        }
    }
}

/// A bar per transfer on a terminal's standard error.
#[derive(Default)]
pub struct Bars {
    bar: Mutex<Option<ProgressBar>>,
}

impl Bars {
    fn with(&self, f: impl FnOnce(&mut Option<ProgressBar>)) {
        f(&mut self.bar.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Progress for Bars {
    fn start(&self, what: &str, bytes: Option<u64>) {
        let template = match bytes {
            Some(_) => "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            None => "{msg} {spinner} {bytes} {bytes_per_sec}",
        };
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(bytes, ProgressDrawTarget::stderr());
        bar.set_style(style.progress_chars("=> "));
        bar.set_message(what.to_owned());
        self.with(|slot| *slot = Some(bar));
    }

    fn at(&self, done_bytes: u64) {
        self.with(|slot| {
            if let Some(bar) = slot {
                bar.set_position(done_bytes);
            }
        });
    }

    fn finish(&self) {
        self.with(|slot| {
            if let Some(bar) = slot.take() {
                bar.finish();
            }
        });
    }

    fn note(&self, line: &str) {
        Lines::new(std::io::stderr()).note(line);
    }

    fn shows_children(&self) -> bool {
        true
    }
}

/// [`Bars`] where standard error is a terminal, else [`Lines`] on standard error.
pub fn progress_for_terminal() -> Box<dyn Progress> {
    if std::io::stderr().is_terminal() {
        Box::new(Bars::default())
    } else {
        Box::new(Lines::new(std::io::stderr()))
    }
}

/// `85 MB`; below a megabyte in kilobytes.
pub(crate) fn megabytes(bytes: u64) -> String {
    if bytes >= 1_000_000 {
        format!("{} MB", bytes / 1_000_000)
    } else {
        format!("{} kB", bytes.div_ceil(1000))
    }
}
