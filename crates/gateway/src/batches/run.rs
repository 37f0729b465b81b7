//! One batch from its input to its files: every line is walked as a request of the key that made the batch, with the priority
//! `batch`, and its result is written down before the next thing is done. Whatever ends the process, the next one goes on with the
//! lines that have no result.

use super::answer::{self, Answer, Verdict};
use super::batch::{BatchFolder, Order, State, Status};
use super::line::{self, InputLimits, Line, Lines};
use super::results::{ErrorPart, ResultLine, Results};
use super::shelf::{FileMeta, Purpose, Shelf};
use super::unix_s;
use super::window::{Pause, Window};
use crate::gateway::Gateway;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// How often it is looked whether a batch was withdrawn, results are synced and counts written.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes of lines under way at once, beyond the first.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How often a line is tried whose engine fails it.
const FAILURES_MAX: u32 = 3;

/// What a run needs of the gateway that drives it.
#[derive(Clone)]
pub(super) struct Desk {
    pub gateway: Arc<Gateway>,
    pub shelf: Shelf,
    /// Batches that are driven here: they part what may be under way.
    pub running: Arc<AtomicU32>,
    /// True once nothing more is to be begun.
    pub stopping: watch::Receiver<bool>,
}

/// Drives a batch until it is over or the gateway stops.
///
/// # Errors
/// The disk failed: it is gone on with later.
pub(super) async fn run(
    desk: Desk,
    folder: BatchFolder,
    (order, state): (Order, State),
) -> io::Result<()> {
    let mut batch = Run {
        desk,
        folder,
        order: Arc::new(order),
        state,
    };
    if batch.state.status == Status::Validating {
        batch.validate().await?;
    }
    if batch.state.status == Status::InProgress {
        let Some(ends) = batch.ask_all().await? else {
            return Ok(());
        };
        batch.state.ends = Some(ends);
        batch.state.finalizing_at = Some(unix_s());
        batch.set(Status::Finalizing)?;
    }
    if batch.state.status == Status::Finalizing {
        batch.finalize()?;
    }
    Ok(())
}

struct Run {
    desk: Desk,
    folder: BatchFolder,
    order: Arc<Order>,
    state: State,
}

/// Why no more lines are asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Halt {
    Cancelled,
    Expired,
    Stopping,
}

/// Lines on their way.
struct Asking {
    lines: Option<Lines<BufReader<File>>>,
    results: Results,
    /// Lines that were not served for now.
    again: VecDeque<Line>,
    under_way: JoinSet<(Line, Answer)>,
    bytes: usize,
    window: Window,
    pause: Pause,
    halt: Option<Halt>,
}

impl Run {
    fn set(&mut self, status: Status) -> io::Result<()> {
        self.state.status = status;
        if status.is_over() {
            self.state.over_at = Some(unix_s());
        }
        tracing::info!(batch = %self.order.id, tenant = %self.order.tenant, status = status.as_str(), "a batch goes on");
        self.folder.state_write(&self.state)
    }

    async fn validate(&mut self) -> io::Result<()> {
        if self.folder.cancelled_at()?.is_some() {
            return self.end(Status::Cancelled);
        }
        let limits = &self.desk.gateway.snapshot().fleet.limits;
        let limits = InputLimits {
            lines_max: limits.batch_lines_max.into(),
            line_bytes_max: limits.body_bytes_max,
        };
        let (input, endpoint) = (self.folder.input(), self.order.endpoint);
        // Seconds, for a large one: other batches go on meanwhile.
        let checked = tokio::task::spawn_blocking(move || {
            line::check(BufReader::new(File::open(input)?), endpoint, limits)
        });
        match checked.await.map_err(io::Error::other)?? {
            Ok(total) => {
                self.state.total = total;
                self.state.in_progress_at = Some(unix_s());
                self.set(Status::InProgress)
            }
            Err(errors) => {
                self.state.errors = errors;
                self.end(Status::Failed)
            }
        }
    }

    fn end(&mut self, status: Status) -> io::Result<()> {
        self.set(status)?;
        self.folder.clear()
    }

    /// Asks every line that has no result yet. Gives how the batch ends; `None` where the gateway stops before.
    async fn ask_all(&mut self) -> io::Result<Option<Status>> {
        let input = BufReader::new(File::open(self.folder.input())?);
        let line_bytes_max = self.desk.gateway.snapshot().fleet.limits.body_bytes_max;
        let mut asking = Asking {
            lines: Some(Lines::new(input, self.order.endpoint, line_bytes_max)),
            results: Results::open(&self.folder.output(), &self.folder.errors())?,
            again: VecDeque::new(),
            under_way: JoinSet::new(),
            bytes: 0,
            window: Window::default(),
            pause: Pause::default(),
            halt: None,
        };
        let mut look_at = Instant::now();
        loop {
            if Instant::now() >= look_at {
                look_at = Instant::now() + LOOK;
                self.look(&mut asking)?;
            }
            self.begin(&mut asking)?;
            if asking.under_way.is_empty() && asking.is_at_end() {
                break;
            }
            let until = asking.pause.until(Instant::now());
            let until = until.map_or(look_at, |at| at.min(look_at));
            tokio::select! {
                biased;
                Some(ended) = asking.under_way.join_next() => {
                    // What panicked has no answer; it is found without a result and asked again.
                    let (line, answer) = ended.map_err(io::Error::other)?;
                    asking.ended(line, answer);
                }
                () = sleep_until(until) => {}
                Ok(()) = self.desk.stopping.changed() => look_at = Instant::now(),
            }
        }
        self.close(asking)
    }

    /// What is done once a second: what was written is kept, and it is seen whether to go on.
    fn look(&mut self, asking: &mut Asking) -> io::Result<()> {
        if let Err(error) = asking.results.flush() {
            tracing::warn!(batch = %self.order.id, %error, "a batch waits for the disk");
            return Ok(());
        }
        asking.results.sync()?;
        let counts = (asking.results.output.lines, asking.results.errors.lines);
        if counts != (self.state.completed, self.state.failed) {
            (self.state.completed, self.state.failed) = counts;
            self.folder.state_write(&self.state)?;
        }
        let halt = if *self.desk.stopping.borrow() {
            Some(Halt::Stopping)
        } else if self.folder.cancelled_at()?.is_some() {
            Some(Halt::Cancelled)
        } else {
            (unix_s() >= self.order.expires_at).then_some(Halt::Expired)
        };
        asking.halt = asking.halt.or(halt);
        Ok(())
    }

    /// Begins as many lines as may be under way now.
    fn begin(&mut self, asking: &mut Asking) -> io::Result<()> {
        if asking.halt.is_some()
            || asking.results.is_held_up()
            || asking.pause.until(Instant::now()).is_some()
        {
            return Ok(());
        }
        let all = self
            .desk
            .gateway
            .snapshot()
            .fleet
            .limits
            .batch_in_flight_max;
        let most = all / self.desk.running.load(Ordering::Relaxed).max(1);
        while asking.under_way.len() < asking.window.size(most)
            && (asking.bytes < LINE_BYTES_MAX || asking.under_way.is_empty())
            && let Some(line) = asking.next()?
        {
            asking.bytes += line.body.len();
            let (gateway, order) = (Arc::clone(&self.desk.gateway), Arc::clone(&self.order));
            asking.under_way.spawn(async move {
                let answer = answer::ask(gateway, &order, line.body.clone()).await;
                (line, answer)
            });
        }
        Ok(())
    }

    /// Lines that get no answer any more are told so; how the batch ends.
    fn close(&mut self, mut asking: Asking) -> io::Result<Option<Status>> {
        let (status, error) = match asking.halt {
            None => (Status::Completed, None),
            Some(Halt::Stopping) => {
                asking.results.flush()?;
                asking.results.sync()?;
                return Ok(None);
            }
            Some(Halt::Cancelled) => {
                let message = "the batch was cancelled before this line was answered";
                (Status::Cancelled, Some(("batch_cancelled", message)))
            }
            Some(Halt::Expired) => {
                let message = "the line could not be answered within the completion window";
                (Status::Expired, Some(("batch_expired", message)))
            }
        };
        if let Some((code, message)) = error {
            while let Some(line) = asking.next()? {
                let error = ErrorPart { code, message };
                asking
                    .results
                    .put(&ResultLine::without_answer(&line, error), true);
            }
        }
        asking.results.flush()?;
        asking.results.sync()?;
        self.state.completed = asking.results.output.lines;
        self.state.failed = asking.results.errors.lines;
        Ok(Some(status))
    }

    /// Results become files of the tenant's; it makes no difference how often this was begun.
    fn finalize(&mut self) -> io::Result<()> {
        let id = self.order.id;
        let files = [
            (
                self.order.output_file_id,
                self.folder.output(),
                format!("{id}_output.jsonl"),
            ),
            (
                self.order.error_file_id,
                self.folder.errors(),
                format!("{id}_error.jsonl"),
            ),
        ];
        let [output, errors] = files;
        self.state.has_output = self.keep(output)?;
        self.state.has_errors = self.keep(errors)?;
        self.end(self.state.ends.unwrap_or(Status::Completed))
    }

    /// Whether there is such a file.
    fn keep(
        &self,
        (id, from, filename): (super::id::FileId, std::path::PathBuf, String),
    ) -> io::Result<bool> {
        let (shelf, tenant) = (&self.desk.shelf, &self.order.tenant);
        let now_s = unix_s();
        if shelf.get(tenant, id, now_s)?.is_some() {
            return Ok(true);
        }
        let bytes = bytes_of(&from)?;
        if bytes == 0 {
            return Ok(false);
        }
        let draft = shelf.draft(tenant, id)?;
        draft.link(&from)?;
        draft.keep(&FileMeta {
            id,
            bytes,
            created_at: now_s,
            expires_at: now_s.saturating_add(self.order.output_keep_s),
            filename,
            purpose: Purpose::BatchOutput,
        })?;
        Ok(true)
    }
}

fn bytes_of(path: &Path) -> io::Result<u64> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if super::disk::absent(&error) => Ok(0),
        Err(error) => Err(error),
    }
}

impl Asking {
    /// The next line to ask.
    fn next(&mut self) -> io::Result<Option<Line>> {
        if let Some(line) = self.again.pop_front() {
            return Ok(Some(line));
        }
        while let Some(lines) = &mut self.lines {
            match lines.next()? {
                None => self.lines = None,
                Some(Ok(line)) if !self.results.has(&line.custom_id) => return Ok(Some(line)),
                // It was found sound before; what is not any more, by limits of now, is refused by them when it is asked.
                Some(Ok(_) | Err(_)) => {}
            }
        }
        Ok(None)
    }

    /// Whether nothing is left to begin or to write.
    fn is_at_end(&self) -> bool {
        let all_begun = self.lines.is_none() && self.again.is_empty();
        match self.halt {
            Some(Halt::Stopping) => true,
            halt => (all_begun || halt.is_some()) && !self.results.is_held_up(),
        }
    }

    fn ended(&mut self, mut line: Line, answer: Answer) {
        self.bytes = self.bytes.saturating_sub(line.body.len());
        match answer.verdict {
            Verdict::Result { status, body } => {
                self.pause.clear();
                self.window.answered(answer.place);
                let is_error = status != 200;
                let result = ResultLine::of(&line, (status, &answer.request), &body);
                self.results.put(&result, is_error);
            }
            Verdict::Failed { status, body } => {
                line.failures += 1;
                if line.failures >= FAILURES_MAX {
                    let result = ResultLine::of(&line, (status, &answer.request), &body);
                    return self.results.put(&result, true);
                }
                self.window.refused();
                self.pause.begin(Instant::now(), None);
                self.again.push_back(line);
            }
            Verdict::Later { after } => {
                self.window.refused();
                self.pause.begin(Instant::now(), after);
                self.again.push_back(line);
            }
        }
    }
}
