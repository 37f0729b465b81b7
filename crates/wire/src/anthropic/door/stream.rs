//! An event stream: chat completion chunks in, message events out.
//!
//! Blocks follow each other, so one is open at a time. The first call streams as it comes; further calls leave at the
//! end, because engines may interleave the arguments of parallel calls.

use super::answer::{call_id, message_head, reasoning_of, text_block, thinking_block};
use super::stop_of;
use crate::anthropic::counts::Counts;
use crate::anthropic::{BLOCKS_MAX, KEPT_BYTES_MAX, string};
use crate::json::Value;
use crate::mapping::{ObjectWriter, whole_object};

/// Maps one stream. Every event that comes out is whole: `event: …\ndata: …\n\n`.
#[derive(Debug)]
pub struct MessagesStream {
    message_id: String,
    /// Whether reasoning is shown.
    thinking: bool,
    started: bool,
    /// Blocks begun so far.
    blocks: u64,
    open: Option<Open>,
    calls: Vec<Call>,
    kept_bytes: usize,
    counts: Counts,
    /// Why it ended, and the stop sequence as JSON.
    stop: Option<(&'static str, Vec<u8>)>,
    failure: Option<&'static str>,
}

/// The block that grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Prose(Prose),
    /// By its place in `calls`.
    Call(usize),
}

/// The kinds of running text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prose {
    Text,
    Thinking,
}

/// One of the engine's calls, by its index in the chunks.
#[derive(Debug)]
struct Call {
    index: u64,
    id: String,
    name: String,
    /// Arguments that have not left.
    kept: String,
    /// Its block has begun.
    begun: bool,
}

impl MessagesStream {
    /// A stream that becomes the message `message_id`; with `thinking` the engine's reasoning is shown.
    #[must_use]
    pub fn new(message_id: String, thinking: bool) -> Self {
        Self {
            message_id,
            thinking,
            started: false,
            blocks: 0,
            open: None,
            calls: Vec::new(),
            kept_bytes: 0,
            counts: Counts::default(),
            stop: None,
            failure: None,
        }
    }

    /// Why the stream cannot be followed further; what comes after it is ignored.
    #[must_use]
    pub fn failure(&self) -> Option<&'static str> {
        self.failure
    }

    /// Takes the data of one event of the engine and appends the events that it makes.
    pub fn push(&mut self, data: &[u8], out: &mut Vec<Vec<u8>>) {
        if self.failure.is_some() {
            return;
        }
        let Some(chunk) = whole_object(data) else {
            return self.fail("a chunk is no JSON object");
        };
        self.start(chunk, out);
        if let Some(usage) = chunk.get_some("usage") {
            self.counts.read_chat(usage);
        }
        let first =
            |choice: &Value<'_>| choice.get("index").and_then(Value::unsigned).unwrap_or(0) == 0;
        let choice = chunk
            .get("choices")
            .and_then(|choices| choices.items().find(first));
        if let Some(choice) = choice {
            self.choice(choice, out);
        }
    }

    /// The engine's stream is over: appends the ends of what is open, the calls that were kept, and the message's end.
    pub fn finish(&mut self, out: &mut Vec<Vec<u8>>) {
        let Some((reason, sequence)) = self.stop.take() else {
            return self.fail("it ended before its answer did");
        };
        self.close(out);
        for at in 0..self.calls.len() {
            if !self.calls[at].begun {
                self.begin_call(at, out);
                self.close(out);
            }
        }
        let delta = ObjectWriter::new()
            .string("stop_reason", reason)
            .raw("stop_sequence", sequence)
            .done();
        let mut end = ObjectWriter::new();
        end.string("type", "message_delta")
            .raw("delta", delta)
            .raw("usage", self.counts.messages());
        event("message_delta", &mut end, out);
        let mut stop = ObjectWriter::new();
        event("message_stop", stop.string("type", "message_stop"), out);
    }

    fn fail(&mut self, why: &'static str) {
        self.failure.get_or_insert(why);
    }

    /// The counts come at the end, with `message_delta`; until then they are zero.
    fn start(&mut self, chunk: Value<'_>, out: &mut Vec<Vec<u8>>) {
        if self.started {
            return;
        }
        self.started = true;
        let model = string(chunk, "model").unwrap_or_default();
        let message = message_head(&self.message_id, &model)
            .raw("content", "[]")
            .raw("stop_reason", "null")
            .raw("stop_sequence", "null")
            .raw("usage", Counts::default().messages())
            .done();
        let mut start = ObjectWriter::new();
        start
            .string("type", "message_start")
            .raw("message", message);
        event("message_start", &mut start, out);
        event("ping", ObjectWriter::new().string("type", "ping"), out);
    }

    fn choice(&mut self, choice: Value<'_>, out: &mut Vec<Vec<u8>>) {
        if let Some(delta) = choice.get_some("delta") {
            if let Some(text) = reasoning_of(delta).filter(|_| self.thinking) {
                self.prose(Prose::Thinking, &text, out);
            }
            for name in ["content", "refusal"] {
                if let Some(text) = string(delta, name).filter(|text| !text.is_empty()) {
                    self.prose(Prose::Text, &text, out);
                }
            }
            let calls = delta.get_some("tool_calls");
            for (position, call) in (0_u64..).zip(calls.into_iter().flat_map(Value::items)) {
                self.call(call, position, out);
            }
        }
        if let Some(reason) = string(choice, "finish_reason") {
            let (reason, sequence) = stop_of(&reason, choice, !self.calls.is_empty());
            self.stop = Some((reason, sequence.to_vec()));
        }
    }

    fn prose(&mut self, kind: Prose, text: &str, out: &mut Vec<Vec<u8>>) {
        let (block, part): (fn(&str) -> Vec<u8>, _) = match kind {
            Prose::Text => (text_block, ("text_delta", "text")),
            Prose::Thinking => (thinking_block, ("thinking_delta", "thinking")),
        };
        if self.open != Some(Open::Prose(kind)) {
            self.close(out);
            self.begin(Open::Prose(kind), block(""), out);
        }
        self.delta(part, text, out);
    }

    fn call(&mut self, call: Value<'_>, position: u64, out: &mut Vec<Vec<u8>>) {
        let index = call
            .get("index")
            .and_then(Value::unsigned)
            .unwrap_or(position);
        let function = |name: &str| string(call.get_some("function")?, name);
        let arguments = function("arguments").unwrap_or_default();
        let name = function("name").filter(|name| !name.is_empty());
        let at = match self.calls.iter().position(|call| call.index == index) {
            Some(at) => at,
            None if self.calls.len() == BLOCKS_MAX => {
                return self.fail("it makes more calls than are followed");
            }
            None => {
                let at = self.calls.len();
                self.calls.push(Call {
                    index,
                    id: call_id(call, &self.message_id, at),
                    name: String::new(),
                    kept: String::new(),
                    begun: false,
                });
                at
            }
        };
        if let Some(name) = name {
            self.calls[at].name = name;
        }
        if self.open == Some(Open::Call(at)) {
            return self.delta(("input_json_delta", "partial_json"), &arguments, out);
        }
        if self.calls[at].begun {
            return self.fail("a call goes on after the text that followed it");
        }
        self.kept_bytes += arguments.len();
        if self.kept_bytes > KEPT_BYTES_MAX {
            return self.fail("the arguments of its calls are longer than is kept");
        }
        self.calls[at].kept.push_str(&arguments);
        if at == 0 && !self.calls[at].name.is_empty() {
            self.close(out);
            self.begin_call(at, out);
        }
    }

    /// Begins a call's block with the arguments that were kept.
    fn begin_call(&mut self, at: usize, out: &mut Vec<Vec<u8>>) {
        let call = &mut self.calls[at];
        call.begun = true;
        let kept = std::mem::take(&mut call.kept);
        let block = ObjectWriter::new()
            .string("type", "tool_use")
            .string("id", &call.id)
            .string("name", &call.name)
            .raw("input", "{}")
            .done();
        self.begin(Open::Call(at), block, out);
        self.delta(("input_json_delta", "partial_json"), &kept, out);
    }

    fn begin(&mut self, kind: Open, block: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        let mut start = ObjectWriter::new();
        start
            .string("type", "content_block_start")
            .number("index", self.blocks)
            .raw("content_block", block);
        event("content_block_start", &mut start, out);
        self.blocks += 1;
        self.open = Some(kind);
    }

    /// A part of the open block, which is always the last one.
    fn delta(&mut self, (kind, name): (&str, &str), text: &str, out: &mut Vec<Vec<u8>>) {
        if text.is_empty() {
            return;
        }
        let delta = ObjectWriter::new()
            .string("type", kind)
            .string(name, text)
            .done();
        let mut part = ObjectWriter::new();
        part.string("type", "content_block_delta")
            .number("index", self.blocks.saturating_sub(1))
            .raw("delta", delta);
        event("content_block_delta", &mut part, out);
    }

    fn close(&mut self, out: &mut Vec<Vec<u8>>) {
        if self.open.take().is_some() {
            let mut stop = ObjectWriter::new();
            stop.string("type", "content_block_stop")
                .number("index", self.blocks.saturating_sub(1));
            event("content_block_stop", &mut stop, out);
        }
    }
}

fn event(name: &str, data: &mut ObjectWriter, out: &mut Vec<Vec<u8>>) {
    let mut event = format!("event: {name}\ndata: ").into_bytes();
    event.extend_from_slice(&data.done());
    event.extend_from_slice(b"\n\n");
    out.push(event);
}
