//! What was told of a fine-tuning job: lines of a file that only grows. Each says how much of the output had been read then, so that
//! whoever goes on after a `kill -9` neither tells anything twice nor leaves anything out.

use super::progress::{Level, Said};
use crate::batches::disk;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::PathBuf;

/// Events of one job; what its program says beyond is not kept.
pub(super) const EVENTS_MAX: usize = 10_000;

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Came,
    /// A run began.
    Began,
    Message,
    Metrics,
    Checkpoint,
    /// A run ended, and all that it printed was read.
    RunEnded,
    /// The last one.
    Over,
}

/// How far the output was read: which run, and the byte after what was read of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Mark {
    pub run: u32,
    pub offset: u64,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Event {
    /// Seconds since 1970.
    pub at_s: i64,
    pub kind: Kind,
    pub level: Level,
    pub message: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// Of a checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    pub mark: Mark,
}

impl Event {
    /// A sentence of ours.
    pub fn told(
        (at_s, mark): (i64, Mark),
        kind: Kind,
        (level, message): (Level, impl Into<String>),
    ) -> Self {
        Self {
            at_s,
            kind,
            level,
            message: message.into(),
            metrics: BTreeMap::new(),
            step: None,
            path: None,
            mark,
        }
    }

    /// What a line of the program's says.
    pub fn said(at: (i64, Mark), said: Said) -> Self {
        let info = Level::Info;
        match said {
            Said::Metrics(metrics) => Self {
                metrics: metrics.clone(),
                ..Self::told(at, Kind::Metrics, (info, sentence(&metrics)))
            },
            Said::Checkpoint {
                step,
                path,
                metrics,
            } => Self {
                metrics,
                step: Some(step),
                path,
                ..Self::told(
                    at,
                    Kind::Checkpoint,
                    (info, format!("Checkpoint at step {step}")),
                )
            },
            Said::Message { level, text } => Self::told(at, Kind::Message, (level, text)),
            Said::Unreadable => {
                let text = "A line of progress cannot be read; the job goes on";
                Self::told(at, Kind::Message, (Level::Warn, text))
            }
        }
    }
}

/// Numbers as people read them.
fn sentence(metrics: &BTreeMap<String, f64>) -> String {
    let step = metrics
        .get("step")
        .map(|step| match metrics.get("total_steps") {
            Some(total) => format!("Step {step}/{total}"),
            None => format!("Step {step}"),
        });
    let counts = ["step", "total_steps"];
    let others = metrics
        .iter()
        .filter(|(name, _)| !counts.contains(&name.as_str()));
    let others: Vec<String> = others
        .map(|(name, value)| format!("{name}={value:.4}"))
        .collect();
    let parts = step
        .into_iter()
        .chain((!others.is_empty()).then(|| others.join(", ")));
    parts.collect::<Vec<_>>().join(": ")
}

/// The file of a job's events.
pub(super) struct EventFile(pub PathBuf);

impl EventFile {
    /// All events, oldest first. What was torn off when its writer died is left out.
    pub fn read(&self) -> io::Result<Vec<Event>> {
        let text = match std::fs::read(&self.0) {
            Ok(text) => text,
            Err(error) if disk::absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        events(whole(&text))
    }

    /// All events, and the file as if nothing had been torn off.
    pub fn mend(&self) -> io::Result<Vec<Event>> {
        let mut file = disk::append_open(&self.0)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let whole = whole(&text);
        let events = events(whole)?;
        if whole.len() < text.len() {
            file.set_len(u64::try_from(whole.len()).unwrap_or(u64::MAX))?;
        }
        Ok(events)
    }

    /// Adds events, durably.
    pub fn append(&self, events: &[Event]) -> io::Result<()> {
        let mut lines = Vec::new();
        for event in events {
            serde_json::to_writer(&mut lines, event)?;
            lines.push(b'\n');
        }
        let mut file = disk::append_open(&self.0)?;
        file.write_all(&lines)?;
        file.sync_data()
    }
}

/// The lines that are whole: the last may have been torn off.
fn whole(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| *byte == b'\n');
    end.map_or(&[], |at| &text[..=at])
}

fn events(lines: &[u8]) -> io::Result<Vec<Event>> {
    let lines = lines.split_inclusive(|byte| *byte == b'\n');
    lines
        .map(|line| Ok(serde_json::from_slice(line)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_torn_off_is_told_anew_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = EventFile(folder.path().join("events.jsonl"));
        assert_eq!(file.read().unwrap(), []);
        let event = |offset| {
            let at = (7, Mark { run: 1, offset });
            let metrics = [("step".to_owned(), 2.0), ("train_loss".to_owned(), 0.5)].into();
            Event::said(at, Said::Metrics(metrics))
        };
        file.append(&[event(1), event(2)]).unwrap();
        let whole = std::fs::read(&file.0).unwrap();
        for cut in whole.len() / 2 + 1..whole.len() {
            std::fs::write(&file.0, &whole[..cut]).unwrap();
            assert_eq!(file.mend().unwrap(), [event(1)], "{cut}");
            file.append(&[event(2)]).unwrap();
            assert_eq!(std::fs::read(&file.0).unwrap(), whole, "{cut}");
        }
        assert_eq!(event(1).message, "Step 2: train_loss=0.5000");
    }
}
