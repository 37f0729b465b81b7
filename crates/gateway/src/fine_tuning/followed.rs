//! How far a job's output was read, and what was told of it: from here on, and for whoever goes on after us.

use super::events::{EVENTS_MAX, Event, EventFile, Kind, Mark};
use super::order::Status;
use super::progress::{Level, Lines, said};
use crate::batches::unix_s;
use madang_types::{RunOutcome, RunRecord};
use std::io;

/// A job whose output is read.
pub(super) struct Followed {
    file: EventFile,
    /// Events so far.
    count: usize,
    /// The last of them.
    pub mark: Mark,
    kind: Kind,
    /// What of a line there is behind the mark, and the byte after it.
    lines: Lines,
    pub next: u64,
    pub trained_tokens: Option<u64>,
}

impl Followed {
    pub fn open(file: EventFile) -> io::Result<Self> {
        let events = file.mend()?;
        let last = events.last();
        let tokens = events.iter().filter_map(trained_tokens).max();
        let mark = last.map_or(Mark::default(), |event| event.mark);
        Ok(Self {
            count: events.len(),
            mark,
            kind: last.map_or(Kind::Came, |event| event.kind),
            lines: Lines::default(),
            next: mark.offset,
            trained_tokens: tokens,
            file,
        })
    }

    /// The last run that was read is over, and so are its events.
    pub fn is_run_over(&self) -> bool {
        matches!(self.kind, Kind::RunEnded | Kind::Over)
    }

    fn tell(&mut self, events: Vec<Event>) -> io::Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        self.file.append(&events)?;
        self.count += events.len();
        for event in &events {
            self.trained_tokens = self.trained_tokens.max(trained_tokens(event));
            (self.mark, self.kind) = (event.mark, event.kind);
        }
        Ok(())
    }

    fn told(&mut self, kind: Kind, said: (Level, String)) -> io::Result<()> {
        let mark = Mark {
            offset: self.next,
            ..self.mark
        };
        self.tell(vec![Event::told((unix_s(), mark), kind, said)])
    }

    /// From here on it is about that run.
    pub fn begin(&mut self, run: u32) -> io::Result<()> {
        if run == self.mark.run {
            return Ok(());
        }
        (self.lines, self.next) = (Lines::default(), 0);
        self.mark = Mark { run, offset: 0 };
        let said = match run {
            1 => "Fine-tuning job started".to_owned(),
            run => format!("Run {run} of the job began"),
        };
        self.told(Kind::Began, (Level::Info, said))
    }

    /// Takes the next part of the output, which begins at `from`.
    pub fn take(&mut self, from: u64, bytes: &[u8]) -> io::Result<()> {
        if from > self.next {
            let gap = from - self.next;
            self.next = from;
            self.lines.skip();
            let said = format!("{gap} bytes of output were dropped before they were read");
            self.told(Kind::Message, (Level::Warn, said))?;
        }
        let lines = self.lines.feed(from, bytes);
        self.next = from + u64::try_from(bytes.len()).unwrap_or(0);
        self.lines_said(lines)
    }

    /// Each line is an event, as long as there is room.
    fn lines_said(&mut self, lines: Vec<(u64, Vec<u8>)>) -> io::Result<()> {
        let (now_s, run) = (unix_s(), self.mark.run);
        let mut events = Vec::new();
        for (offset, line) in lines {
            let Some(said) = said(&line) else {
                continue;
            };
            let at = (now_s, Mark { run, offset });
            match (self.count + events.len()).cmp(&EVENTS_MAX) {
                std::cmp::Ordering::Less => events.push(Event::said(at, said)),
                std::cmp::Ordering::Equal => {
                    let what = format!("There are {EVENTS_MAX} events: what follows is not kept");
                    events.push(Event::told(at, Kind::Message, (Level::Warn, what)));
                }
                std::cmp::Ordering::Greater => break,
            }
        }
        self.tell(events)
    }

    /// All that a run printed was read.
    pub fn run_over(&mut self, run: &RunRecord) -> io::Result<()> {
        if let Some(line) = self.lines.last() {
            self.lines_said(vec![(self.next, line)])?;
        }
        self.run_told(run)
    }

    /// A run of which there is nothing to read.
    pub fn never_began(&mut self, run: &RunRecord) -> io::Result<()> {
        (self.lines, self.next) = (Lines::default(), 0);
        self.mark = Mark {
            run: run.run.number,
            offset: 0,
        };
        self.run_told(run)
    }

    fn run_told(&mut self, run: &RunRecord) -> io::Result<()> {
        let outcome = run.end.as_ref().map(|end| &end.outcome);
        let (level, said) = match outcome {
            Some(RunOutcome::Completed) => (Level::Info, "The program ended well".to_owned()),
            Some(outcome) => (Level::Warn, ended(outcome)),
            None => (Level::Warn, "Nobody knows how the program ended".to_owned()),
        };
        self.told(Kind::RunEnded, (level, said))
    }

    /// The last events, once.
    pub fn over(
        &mut self,
        (status, error): (Status, Option<&str>),
        left_out: Vec<String>,
    ) -> io::Result<()> {
        if self.kind == Kind::Over {
            return Ok(());
        }
        let at = (unix_s(), self.mark);
        let warned = |said| Event::told(at, Kind::RunEnded, (Level::Warn, said));
        let mut events: Vec<Event> = left_out.into_iter().map(warned).collect();
        let last = match (status, error) {
            (Status::Succeeded, _) => {
                (Level::Info, "The job has successfully completed".to_owned())
            }
            (Status::Cancelled, _) => (Level::Info, "The job was cancelled".to_owned()),
            (Status::Failed, why) => {
                let why = why.unwrap_or("nobody knows why");
                (Level::Error, format!("The job failed: {why}"))
            }
        };
        events.push(Event::told(at, Kind::Over, last));
        self.tell(events)
    }
}

/// The tokens that an event says were trained on.
fn trained_tokens(event: &Event) -> Option<u64> {
    let tokens = event.metrics.get("trained_tokens")?;
    format!("{:.0}", tokens.max(0.0)).parse().ok()
}

/// How a program ended, for its owner.
pub(super) fn ended(outcome: &RunOutcome) -> String {
    match (outcome.exit_code(), outcome.why()) {
        (Some(code), _) => format!("the program ended with exit code {code}"),
        (_, Some(why)) => format!("{}: {why}", outcome.as_str().replace('_', " ")),
        (None, None) => format!("the run was {}", outcome.as_str().replace('_', " ")),
    }
}
