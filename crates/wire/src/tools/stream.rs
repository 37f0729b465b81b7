//! An event stream, chunk by chunk.
//!
//! A choice's chunks are held back only while its text could still be a call; once it cannot, they leave as they came
//! and every later chunk passes at once.

use super::answer::{call_id, call_json, has_calls, may_end_in_calls};
use super::find::{Look, find_calls, look};
use super::{CALL_TEXT_BYTES_MAX, Repair, ToolMode, ToolSpec};
use crate::json::{Kind, Value};
use crate::mapping::{ObjectWriter, array, whole_object};

/// The most choices watched at once; those of higher index pass.
const CHOICES_MAX: u64 = 128;
/// The most bytes of chunks held for one choice: their envelopes weigh more than their text.
const HELD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Repairs one stream. What goes in and comes out are the data of events, without the event framing.
#[derive(Debug)]
pub struct RepairStream {
    offered: Vec<ToolSpec>,
    one_call: bool,
    id_seed: String,
    watching: bool,
    choices: Vec<Choice>,
}

#[derive(Debug, Default)]
struct Choice {
    index: u64,
    passing: bool,
    text: String,
    held: Vec<Vec<u8>>,
    held_bytes: usize,
    role_held: bool,
}

/// A chunk with one choice.
#[derive(Clone, Copy)]
struct Part<'a> {
    chunk: Value<'a>,
    choice: Value<'a>,
    /// The chunk as it came.
    data: &'a [u8],
}

impl RepairStream {
    /// A stream that answers `repair`; `id_seed` as for [`super::repair_answer`].
    pub fn new(repair: &Repair, id_seed: &str) -> Self {
        Self {
            offered: repair.offered.clone(),
            one_call: repair.one_call,
            id_seed: id_seed.to_owned(),
            watching: repair.mode != ToolMode::NoCall,
            choices: Vec::new(),
        }
    }

    /// Takes the data of one event and appends what may leave now.
    pub fn push(&mut self, data: &[u8], out: &mut Vec<Vec<u8>>) {
        let chunk = if self.watching {
            whole_object(data)
        } else {
            None
        };
        let Some(chunk) = chunk.filter(|chunk| chunk.get_some("error").is_none()) else {
            // `[DONE]`, an error, or something unknown: nothing may stay behind it.
            self.finish(out);
            out.push(data.to_vec());
            return;
        };
        let choices: Vec<Value<'_>> = chunk
            .get("choices")
            .map(|list| list.items().collect())
            .unwrap_or_default();
        match choices.as_slice() {
            [] => out.push(data.to_vec()),
            [choice] => self.push_choice(
                Part {
                    chunk,
                    choice: *choice,
                    data,
                },
                out,
            ),
            several if several.iter().all(|choice| self.is_passing(*choice)) => {
                out.push(data.to_vec())
            }
            several => {
                for choice in several {
                    let alone = envelope(chunk, false, choice.0);
                    if let Some(chunk) = whole_object(&alone) {
                        self.push_choice(
                            Part {
                                chunk,
                                choice: *choice,
                                data: &alone,
                            },
                            out,
                        );
                    }
                }
            }
        }
    }

    /// The stream has ended: what is still held leaves as it came.
    pub fn finish(&mut self, out: &mut Vec<Vec<u8>>) {
        for choice in &mut self.choices {
            choice.release(out);
        }
    }

    fn is_passing(&self, choice: Value<'_>) -> bool {
        let index = choice.get("index").and_then(Value::unsigned).unwrap_or(0);
        self.choices
            .iter()
            .any(|known| known.index == index && known.passing)
    }

    fn push_choice(&mut self, part: Part<'_>, out: &mut Vec<Vec<u8>>) {
        let Part { choice, data, .. } = part;
        let index = choice.get("index").and_then(Value::unsigned).unwrap_or(0);
        if index >= CHOICES_MAX {
            out.push(data.to_vec());
            return;
        }
        let at = self
            .choices
            .iter()
            .position(|known| known.index == index)
            .unwrap_or_else(|| {
                self.choices.push(Choice {
                    index,
                    ..Choice::default()
                });
                self.choices.len() - 1
            });
        let state = &mut self.choices[at];
        if state.passing {
            out.push(data.to_vec());
            return;
        }
        let ended = choice.get_some("finish_reason").is_some();
        let delta = choice.get("delta");
        let content = delta.and_then(|delta| delta.get_some("content"));
        let read = match content.map(|content| (content.kind(), content.text())) {
            None => Some("".into()),
            Some((Some(Kind::String), Some(text))) => Some(text),
            Some(_) => None,
        };
        let Some(text) = read.filter(|_| !delta.is_some_and(has_calls)) else {
            state.release(out);
            out.push(data.to_vec());
            return;
        };
        if text.is_empty() && !ended {
            out.push(data.to_vec());
            return;
        }
        state.text.push_str(&text);
        if state.text.len() > CALL_TEXT_BYTES_MAX || look(&state.text, &self.offered) == Look::No {
            state.release(out);
            out.push(data.to_vec());
        } else if ended {
            self.end_choice(at, part, out);
        } else {
            state.hold(delta, data);
            if state.held_bytes > HELD_BYTES_MAX {
                state.release(out);
            }
        }
    }

    /// The choice's last chunk came while its text was held: now it is known what it was.
    fn end_choice(&mut self, at: usize, part: Part<'_>, out: &mut Vec<Vec<u8>>) {
        let Part {
            chunk,
            choice,
            data,
        } = part;
        let state = &mut self.choices[at];
        let calls = if may_end_in_calls(choice) {
            find_calls(&state.text, &self.offered)
        } else {
            None
        };
        let Some(mut calls) = calls else {
            state.release(out);
            out.push(data.to_vec());
            return;
        };
        if self.one_call {
            calls.truncate(1);
        }
        let role_here = choice
            .get("delta")
            .is_some_and(|delta| delta.get_some("role").is_some());
        let role = state.role_held || role_here;
        for (n, call) in calls.iter().enumerate() {
            let call = call_json(call, &call_id(&self.id_seed, state.index, n), Some(n));
            let mut delta = ObjectWriter::new();
            if role && n == 0 {
                delta.string("role", "assistant").raw("content", "null");
            }
            let delta = delta.raw("tool_calls", array([call])).done();
            out.push(envelope(
                chunk,
                true,
                &choice_json(state.index, &delta, "null"),
            ));
        }
        out.push(envelope(
            chunk,
            false,
            &choice_json(state.index, b"{}", "\"tool_calls\""),
        ));
        *state = Choice {
            index: state.index,
            passing: true,
            ..Choice::default()
        };
    }
}

impl Choice {
    fn hold(&mut self, delta: Option<Value<'_>>, data: &[u8]) {
        self.role_held |= delta.is_some_and(|delta| delta.get_some("role").is_some());
        self.held_bytes += data.len();
        self.held.push(data.to_vec());
    }

    fn release(&mut self, out: &mut Vec<Vec<u8>>) {
        out.append(&mut self.held);
        self.text = String::new();
        self.passing = true;
    }
}

fn choice_json(index: u64, delta: &[u8], finish_reason: &str) -> Vec<u8> {
    ObjectWriter::new()
        .number("index", index)
        .raw("delta", delta)
        .raw("finish_reason", finish_reason)
        .done()
}

/// The chunk with `choice` as its only choice; the counts of the last chunk must not appear in those before it.
fn envelope(chunk: Value<'_>, without_counts: bool, choice: &[u8]) -> Vec<u8> {
    let mut out = ObjectWriter::new();
    for (key, value) in chunk.entries() {
        if key.is("choices") {
            out.raw("choices", array([choice]));
        } else if without_counts && key.is("usage") {
            out.raw("usage", "null");
        } else if !(without_counts && key.is("timings")) {
            out.pair(key, value);
        }
    }
    out.done()
}
