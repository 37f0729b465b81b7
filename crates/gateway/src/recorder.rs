//! Writes the core's inputs and effects to a file, one JSON line per step, for `madang replay`.
//!
//! Holds ids, sizes and decisions; never content.

use madang_core::recording::Step;
use madang_core::{Effect, Input};
use madang_types::Micros;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Steps that may wait for the disk; when it falls behind that far the recording ends, not the service.
const STEPS_WAITING_MAX: usize = 65_536;

/// A recording under way. Dropping it writes what waits and closes the file.
pub struct Recorder {
    steps: Option<SyncSender<Step>>,
    writer: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Starts a recording; the file must not exist.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = File::options().write(true).create_new(true).open(path)?;
        let (steps, waiting) = sync_channel::<Step>(STEPS_WAITING_MAX);
        let writer = std::thread::Builder::new()
            .name("recorder".into())
            .spawn(move || {
                let mut out = BufWriter::new(file);
                for step in waiting {
                    if let Err(error) = write_step(&mut out, &step) {
                        tracing::error!(%error, "the recording ends here: it cannot be written");
                        return;
                    }
                }
                if let Err(error) = out.flush() {
                    tracing::error!(%error, "the recording's end was not written");
                }
            })?;
        Ok(Self {
            steps: Some(steps),
            writer: Some(writer),
        })
    }

    /// Adds a step.
    pub(crate) fn step(&mut self, now: Micros, input: Input, effects: &[Effect]) {
        let Some(steps) = &self.steps else { return };
        if steps
            .try_send(Step {
                now,
                input,
                effects: effects.to_vec(),
            })
            .is_err()
        {
            tracing::error!("the recording ends here: the disk is too slow or gone");
            self.steps = None;
        }
    }
}

fn write_step(out: &mut impl Write, step: &Step) -> io::Result<()> {
    serde_json::to_writer(&mut *out, step)?;
    out.write_all(b"\n")
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.steps = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the recorder's thread panicked");
        }
    }
}
