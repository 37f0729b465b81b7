//! The recording of a live gateway (`madang up --record`) as a trace: who asked when, for how much, as the engines counted it.
//!
//! A request is told once it is known how much was made for it: those behind it wait until then. Of one that was refused nobody knows; it
//! counts with the most that it asked for.

use super::TraceError;
use super::error::wrong;
use super::lines::Lines;
use madang_core::recording::{Agreement, Step, agree};
use madang_core::{Effect, Input, RequestSubmit};
use madang_types::RequestId;
use std::collections::{BTreeMap, VecDeque};

/// Requests that wait for one before them; then that one counts with what is known.
const WAITING_MAX: usize = 1_000_000;

/// A request of a recording.
pub(super) struct Recorded {
    /// In milliseconds of the gateway's clock.
    pub at_ms: f64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub blocks: Vec<u64>,
}

struct Waiting {
    request: RequestId,
    recorded: Recorded,
    is_known: bool,
}

/// Requests in the order of their coming.
#[derive(Default)]
pub(super) struct Recording {
    waiting: VecDeque<Waiting>,
    /// How many were told; their place in the queue is their number less that.
    told: usize,
    numbers: BTreeMap<RequestId, usize>,
    /// Requests for other models are left out.
    model: Option<String>,
}

/// Whether a line is a step of a recording.
pub(super) fn is_step(line: &str) -> bool {
    serde_json::from_str::<Step>(line).is_ok()
}

impl Recording {
    pub fn of_model(model: Option<String>) -> Self {
        Self {
            model,
            ..Self::default()
        }
    }

    /// The next request of which all is known; all of them once the recording `is_over`.
    pub fn take(&mut self, is_over: bool) -> Option<Recorded> {
        let first = self.waiting.front()?;
        if !is_over && !first.is_known && self.waiting.len() < WAITING_MAX {
            return None;
        }
        let first = self.waiting.pop_front()?;
        self.numbers.remove(&first.request);
        self.told += 1;
        Some(first.recorded)
    }

    /// Notes what a line says.
    pub fn read(&mut self, line: usize, text: &str) -> Result<(), TraceError> {
        let step: Step =
            serde_json::from_str(text).map_err(|_| wrong(line, text, "a step of a recording"))?;
        match step.input {
            Input::RequestSubmit(submit) => self.submitted(step.now.0, submit),
            Input::Progress {
                request,
                output_tokens,
            } => self.note(request, Some(output_tokens), false),
            Input::AttemptEnd { request, spent, .. } => {
                let made = spent.map(|spent| spent.output_tokens);
                let starts = |effect: &Effect| matches!(effect, Effect::Start { request: of, .. } if *of == request);
                let goes_on = made.is_none() && step.effects.iter().any(starts);
                self.note(request, made, !goes_on);
            }
            Input::RequestCancel { request } => self.note(request, None, true),
            _ => {}
        }
        for effect in &step.effects {
            if let Effect::Refuse { request, .. } = effect {
                self.note(*request, None, true);
            }
        }
        Ok(())
    }

    fn submitted(&mut self, now_us: i64, submit: RequestSubmit) {
        let model = self.model.as_deref();
        if model.is_some_and(|model| submit.model.as_str() != model) {
            return;
        }
        let number = self.told + self.waiting.len();
        self.numbers.insert(submit.request, number);
        self.waiting.push_back(Waiting {
            request: submit.request,
            recorded: Recorded {
                at_ms: now_us as f64 / 1_000.0,
                input_tokens: submit.prompt_tokens,
                output_tokens: submit.output_tokens_max,
                blocks: blocks_of_512(&submit),
            },
            is_known: false,
        });
    }

    fn note(&mut self, request: RequestId, made: Option<u64>, is_known: bool) {
        let number = self.numbers.get(&request);
        let Some(waiting) = number.and_then(|at| self.waiting.get_mut(at - self.told)) else {
            return;
        };
        if let Some(made) = made {
            waiting.recorded.output_tokens = made;
        }
        waiting.is_known |= is_known;
    }
}

/// Blocks as traces have them: those at whose end a block of 512 tokens ends. Each stands for all before it too.
fn blocks_of_512(submit: &RequestSubmit) -> Vec<u64> {
    let size = submit.prefix.block_tokens;
    if size == 0 || 512 % size != 0 {
        return Vec::new();
    }
    let each = usize::try_from(512 / size).unwrap_or(1);
    let ends = submit.prefix.blocks.iter().skip(each - 1).step_by(each);
    ends.copied().collect()
}

/// Runs a recording through a fresh core: how many of its steps have the same effects. `None` where it is no recording.
///
/// # Errors
/// It cannot be read, or breaks off within a step.
pub(crate) fn replayed(
    reader: Box<dyn std::io::Read + Send>,
) -> Result<Option<Agreement>, TraceError> {
    let mut lines = Lines::new(reader)?;
    let mut next = lines.next_line()?;
    if !next.as_deref().is_some_and(is_step) {
        return Ok(None);
    }
    let mut failed = None;
    let steps = std::iter::from_fn(|| {
        let text = next.take()?;
        let wrong = |_| wrong(lines.number(), &text, "a step of a recording");
        let step = serde_json::from_str(&text).map_err(wrong);
        let read = step.and_then(|step| Ok((step, lines.next_line()?)));
        match read {
            Ok((step, after)) => {
                next = after;
                Some(step)
            }
            Err(error) => {
                failed = Some(error);
                None
            }
        }
    });
    let agreement = agree(steps);
    match failed {
        Some(error) => Err(error),
        None => Ok(Some(agreement)),
    }
}
