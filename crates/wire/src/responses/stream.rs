//! An event stream: chat completion chunks in, response events out.
//!
//! Text and reasoning are one open item at a time, closed when the other kind begins. Calls stay open until the end,
//! because engines may interleave the arguments of parallel calls.

use super::item::FunctionCall;
use super::object::{Echo, Ids, Status, response_object, usage_object};
use super::output::{Item, Prose};
use crate::json::{Kind, Value};
use crate::mapping::{ObjectWriter, array, whole_object};

/// The most bytes of output that are kept for the closing events.
const OUTPUT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most calls in one response.
const CALLS_MAX: usize = 128;
const SERVER_ERROR: &str = "server_error";

/// How an upstream stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnd<'a> {
    /// The engine closed it. If it did so before its answer was finished, the response is failed.
    Completed,
    /// It broke off.
    Failed {
        /// A stable code.
        code: &'a str,
        /// What went wrong, for the caller.
        message: &'a str,
    },
}

/// Maps one stream. Every event that comes out is whole: `event: …\ndata: …\n\n`.
#[derive(Debug)]
pub struct ResponsesStream {
    ids: Ids,
    echo: Echo,
    sequence: u64,
    started: bool,
    ended: bool,
    items: Vec<Item>,
    /// The position of the text or reasoning item that is open.
    open: Option<usize>,
    calls: Vec<CallSlot>,
    output_bytes: usize,
    finish_reason: Option<String>,
    usage: Vec<u8>,
    failure: Option<(String, String)>,
}

/// One of the engine's calls, by its index in the chunks.
#[derive(Debug)]
struct CallSlot {
    index: u64,
    call_id: String,
    /// Set once the call has its name, and with it its item.
    position: Option<usize>,
    /// Arguments that came before the name.
    early: String,
}

impl ResponsesStream {
    /// A stream that answers the request which `echo` was made of.
    pub fn new(ids: Ids, echo: Echo) -> Self {
        Self {
            ids,
            echo,
            sequence: 0,
            started: false,
            ended: false,
            items: Vec::new(),
            open: None,
            calls: Vec::new(),
            output_bytes: 0,
            finish_reason: None,
            usage: b"null".to_vec(),
            failure: None,
        }
    }

    /// Whether the stream has failed: what still comes from the engine is ignored, and [`Self::finish`] says why.
    pub fn is_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Emits `response.created` and `response.in_progress`, once; [`Self::push`] does it by itself.
    pub fn start(&mut self, out: &mut Vec<Vec<u8>>) {
        if self.started {
            return;
        }
        self.started = true;
        for name in ["response.created", "response.in_progress"] {
            self.lifecycle(name, Status::InProgress, b"[]", out);
        }
    }

    /// Takes the data of one event of the engine and appends the events that it makes.
    pub fn push(&mut self, data: &[u8], out: &mut Vec<Vec<u8>>) {
        self.start(out);
        if self.ended || self.is_failed() || data.trim_ascii() == b"[DONE]" {
            return;
        }
        let Some(chunk) = whole_object(data) else {
            self.fail(SERVER_ERROR, "the engine sent a chunk that is not JSON");
            return;
        };
        if let Some(error) = chunk.get_some("error") {
            let text = |name: &str| error.get_some(name).and_then(Value::text);
            let message = text("message").or_else(|| error.text());
            let message = message.unwrap_or_else(|| "the engine reported an error".into());
            let code = text("code")
                .or_else(|| text("type"))
                .unwrap_or_else(|| SERVER_ERROR.into());
            self.fail(&code, &message);
            return;
        }
        if let Some(usage) = chunk.get_some("usage") {
            self.usage = usage_object(Some(usage));
        }
        let first =
            |choice: &Value<'_>| choice.get("index").and_then(Value::unsigned).unwrap_or(0) == 0;
        if let Some(choice) = chunk
            .get("choices")
            .and_then(|choices| choices.items().find(first))
        {
            self.choice(choice, out);
        }
    }

    /// Emits what closes the stream: the open items' ends and `response.completed`, `.incomplete` or `.failed`.
    pub fn finish(&mut self, end: StreamEnd<'_>, out: &mut Vec<Vec<u8>>) {
        if self.ended {
            return;
        }
        self.start(out);
        if let StreamEnd::Failed { code, message } = end {
            self.fail(code, message);
        } else if self.finish_reason.is_none() {
            self.fail(
                SERVER_ERROR,
                "the engine's stream ended before its answer did",
            );
        }
        self.ended = true;
        if let Some((code, message)) = self.failure.take() {
            let output = array(self.items.iter().map(|item| item.json("incomplete")));
            let status = Status::Failed {
                code: &code,
                message: &message,
            };
            self.lifecycle("response.failed", status, &output, out);
            self.failure = Some((code, message));
            return;
        }
        let status = Status::of_finish(self.finish_reason.as_deref().unwrap_or_default());
        if self.items.is_empty() {
            self.prose(Prose::Text, "", None, out);
        }
        self.close_prose(status.as_str(), out);
        for position in 0..self.items.len() {
            self.close_item(position, status.as_str(), out);
        }
        let output = array(self.items.iter().map(|item| item.json(status.as_str())));
        let name = match status {
            Status::Incomplete(_) => "response.incomplete",
            Status::Completed | Status::InProgress | Status::Failed { .. } => "response.completed",
        };
        self.lifecycle(name, status, &output, out);
    }

    /// The first failure counts.
    fn fail(&mut self, code: &str, message: &str) {
        self.failure
            .get_or_insert_with(|| (code.to_owned(), message.to_owned()));
    }

    fn choice(&mut self, choice: Value<'_>, out: &mut Vec<Vec<u8>>) {
        if let Some(delta) = choice.get_some("delta") {
            let text = |name: &str| {
                delta
                    .get_some(name)
                    .and_then(Value::text)
                    .filter(|text| !text.is_empty())
            };
            if let Some(text) = text("reasoning_content").or_else(|| text("reasoning")) {
                self.prose(Prose::Reasoning, &text, None, out);
            }
            let logprobs = choice
                .get_some("logprobs")
                .and_then(|logprobs| logprobs.get_some("content"));
            let logprobs = logprobs
                .filter(|list| self.echo.include_logprobs && list.kind() == Some(Kind::Array));
            if let Some(text) = text("content") {
                self.prose(Prose::Text, &text, logprobs, out);
            }
            if let Some(text) = text("refusal") {
                self.prose(Prose::Refusal, &text, None, out);
            }
            if let Some(calls) = delta.get_some("tool_calls") {
                for (position, call) in calls.items().enumerate() {
                    self.call(call, position as u64, out);
                }
            }
        }
        if let Some(reason) = choice.get_some("finish_reason").and_then(Value::text) {
            self.finish_reason = Some(reason.into_owned());
        }
    }

    fn prose(
        &mut self,
        kind: Prose,
        text: &str,
        logprobs: Option<Value<'_>>,
        out: &mut Vec<Vec<u8>>,
    ) {
        if !self.room_for(text.len()) {
            return;
        }
        if self
            .open
            .is_some_and(|open| self.items[open].is_reasoning() != (kind == Prose::Reasoning))
        {
            self.close_prose("completed", out);
        }
        let position = self.open.unwrap_or_else(|| {
            let position = self.items.len();
            self.items.push(Item::prose(kind, &self.ids, position));
            self.item_added(position, out);
            position
        });
        self.open = Some(position);
        if self.items[position].open_part() != Some(kind) {
            self.close_part(position, out);
            let part = self.items[position].add_part(kind);
            self.part_event(
                "response.content_part.added",
                position,
                |event| {
                    event.raw("part", &part);
                },
                out,
            );
        }
        if text.is_empty() {
            return;
        }
        self.items[position].push_text(text, logprobs);
        let name = format!("response.{}.delta", kind.event());
        let logprobs = logprobs.map_or_else(|| b"[]".to_vec(), |list| list.0.to_vec());
        let fields = |event: &mut ObjectWriter| {
            event.string("delta", text);
            if kind == Prose::Text {
                event.raw("logprobs", &logprobs);
            }
        };
        self.part_event(&name, position, fields, out);
    }

    fn call(&mut self, call: Value<'_>, position_in_chunk: u64, out: &mut Vec<Vec<u8>>) {
        let index = call
            .get("index")
            .and_then(Value::unsigned)
            .unwrap_or(position_in_chunk);
        let slot = match self.calls.iter().position(|slot| slot.index == index) {
            Some(slot) => slot,
            None if self.calls.len() == CALLS_MAX => {
                return self.fail(
                    SERVER_ERROR,
                    "the engine made more calls than one response may hold",
                );
            }
            None => {
                let (call_id, early) = (String::new(), String::new());
                self.calls.push(CallSlot {
                    index,
                    call_id,
                    position: None,
                    early,
                });
                self.calls.len() - 1
            }
        };
        let text = |name: &str| {
            call.get_some("function")
                .and_then(|f| f.get_some(name)?.text())
        };
        let arguments = text("arguments").unwrap_or_default();
        let name = text("name").filter(|name| !name.is_empty());
        if !self.room_for(arguments.len()) {
            return;
        }
        if let Some(id) = call
            .get_some("id")
            .and_then(Value::text)
            .filter(|id| !id.is_empty())
        {
            self.calls[slot].call_id = id.into_owned();
        }
        let Some(position) = self.calls[slot].position else {
            self.calls[slot].early.push_str(&arguments);
            if let Some(name) = name {
                self.open_call(slot, &name, out);
            }
            return;
        };
        self.arguments(position, &arguments, out);
    }

    fn open_call(&mut self, slot: usize, name: &str, out: &mut Vec<Vec<u8>>) {
        self.close_prose("completed", out);
        let position = self.items.len();
        let slot = &mut self.calls[slot];
        slot.position = Some(position);
        let call_id = match slot.call_id.as_str() {
            "" => self.ids.item("call", position),
            given => given.to_owned(),
        };
        let early = std::mem::take(&mut slot.early);
        let id = self.ids.item("fc", position);
        let call = FunctionCall {
            id,
            call_id,
            name: name.to_owned(),
            arguments: String::new(),
        };
        self.items.push(Item::Call { call, done: None });
        self.item_added(position, out);
        self.arguments(position, &early, out);
    }

    fn arguments(&mut self, position: usize, arguments: &str, out: &mut Vec<Vec<u8>>) {
        if arguments.is_empty() {
            return;
        }
        self.items[position].push_text(arguments, None);
        let name = "response.function_call_arguments.delta";
        self.item_event(
            name,
            position,
            |event| {
                event.string("delta", arguments);
            },
            out,
        );
    }

    fn room_for(&mut self, bytes: usize) -> bool {
        self.output_bytes += bytes;
        if self.output_bytes > OUTPUT_BYTES_MAX {
            self.fail(SERVER_ERROR, "the answer is longer than this gateway keeps");
        }
        !self.is_failed()
    }

    fn close_prose(&mut self, status: &'static str, out: &mut Vec<Vec<u8>>) {
        if let Some(position) = self.open.take() {
            self.close_part(position, out);
            self.close_item(position, status, out);
        }
    }

    fn close_part(&mut self, position: usize, out: &mut Vec<Vec<u8>>) {
        let Some((kind, text, logprobs, part)) = self.items[position].last_part() else {
            return;
        };
        let fields = |event: &mut ObjectWriter| {
            event.string(
                if kind == Prose::Refusal {
                    "refusal"
                } else {
                    "text"
                },
                &text,
            );
            if kind == Prose::Text {
                event.raw("logprobs", &logprobs);
            }
        };
        self.part_event(
            &format!("response.{}.done", kind.event()),
            position,
            fields,
            out,
        );
        self.part_event(
            "response.content_part.done",
            position,
            |event| {
                event.raw("part", &part);
            },
            out,
        );
    }

    fn close_item(&mut self, position: usize, status: &'static str, out: &mut Vec<Vec<u8>>) {
        if self.items[position].is_done() {
            return;
        }
        if let Item::Call { call, .. } = &self.items[position] {
            let (name, arguments) = (call.name.clone(), call.arguments.clone());
            let fields = |event: &mut ObjectWriter| {
                event.string("name", &name).string("arguments", &arguments);
            };
            self.item_event(
                "response.function_call_arguments.done",
                position,
                fields,
                out,
            );
        }
        self.items[position].set_done(status);
        let item = self.items[position].json(status);
        self.position_event("response.output_item.done", position, &item, out);
    }

    fn item_added(&mut self, position: usize, out: &mut Vec<Vec<u8>>) {
        let item = self.items[position].json("in_progress");
        self.position_event("response.output_item.added", position, &item, out);
    }

    fn position_event(&mut self, name: &str, position: usize, item: &[u8], out: &mut Vec<Vec<u8>>) {
        let fields = |event: &mut ObjectWriter| {
            event
                .number("output_index", position as u64)
                .raw("item", item);
        };
        self.event(name, fields, out);
    }

    /// An event about a part of an item, which is always its last one.
    fn part_event(
        &mut self,
        name: &str,
        position: usize,
        fields: impl FnOnce(&mut ObjectWriter),
        out: &mut Vec<Vec<u8>>,
    ) {
        let content_index = self.items[position].part_count().saturating_sub(1) as u64;
        let all = |event: &mut ObjectWriter| {
            event.number("content_index", content_index);
            fields(event);
        };
        self.item_event(name, position, all, out);
    }

    fn item_event(
        &mut self,
        name: &str,
        position: usize,
        fields: impl FnOnce(&mut ObjectWriter),
        out: &mut Vec<Vec<u8>>,
    ) {
        let id = self.items[position].id().to_owned();
        let all = |event: &mut ObjectWriter| {
            event
                .string("item_id", &id)
                .number("output_index", position as u64);
            fields(event);
        };
        self.event(name, all, out);
    }

    fn lifecycle(&mut self, name: &str, status: Status<'_>, output: &[u8], out: &mut Vec<Vec<u8>>) {
        let response = response_object(&self.ids, &self.echo, status, output, &self.usage);
        self.event(
            name,
            |event| {
                event.raw("response", &response);
            },
            out,
        );
    }

    fn event(
        &mut self,
        name: &str,
        fields: impl FnOnce(&mut ObjectWriter),
        out: &mut Vec<Vec<u8>>,
    ) {
        let mut data = ObjectWriter::default();
        data.string("type", name)
            .number("sequence_number", self.sequence);
        self.sequence += 1;
        fields(&mut data);
        let mut event = format!("event: {name}\ndata: ").into_bytes();
        event.extend_from_slice(&data.done());
        event.extend_from_slice(b"\n\n");
        out.push(event);
    }
}
