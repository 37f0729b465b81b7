//! An event stream: message events in, chat completion chunks out.

use super::{finish_reason, stop_sequence};
use crate::anthropic::counts::Counts;
use crate::anthropic::{BLOCKS_MAX, KEPT_BYTES_MAX, string};
use crate::json::Value;
use crate::mapping::{ObjectWriter, array, quoted, whole_object};

/// Maps one stream. What comes out is the data of chunks, without the framing of events.
#[derive(Debug)]
pub struct ChatStream {
    created_at_s: u64,
    include_usage: bool,
    id: String,
    model: String,
    counts: Counts,
    blocks: Vec<Block>,
    calls: u64,
    kept_bytes: usize,
    finished: bool,
    failure: Option<&'static str>,
}

/// A content block, by its index in the events.
#[derive(Debug)]
struct Block {
    index: u64,
    kind: BlockKind,
}

#[derive(Debug)]
enum BlockKind {
    /// What its parts hold is all there is to say.
    Plain,
    Thinking {
        text: String,
        signature: String,
    },
    /// Thinking that cannot be read, as JSON.
    Redacted(Vec<u8>),
    Call {
        /// Its position among the calls.
        position: u64,
        /// The input that its start held, until a part of it comes.
        input: Option<Vec<u8>>,
    },
}

impl ChatStream {
    /// A stream whose chunks say `created_at_s` (seconds since the Unix epoch); with `include_usage` the last one holds
    /// the counts.
    #[must_use]
    pub fn new(created_at_s: u64, include_usage: bool) -> Self {
        Self {
            created_at_s,
            include_usage,
            id: String::new(),
            model: String::new(),
            counts: Counts::default(),
            blocks: Vec::new(),
            calls: 0,
            kept_bytes: 0,
            finished: false,
            failure: None,
        }
    }

    /// Why the stream cannot be followed further; what comes after it is ignored.
    #[must_use]
    pub fn failure(&self) -> Option<&'static str> {
        self.failure
    }

    /// Takes the data of one event and appends the chunks that it makes. `message_stop` and pings make none.
    pub fn push(&mut self, data: &[u8], out: &mut Vec<Vec<u8>>) {
        if self.failure.is_some() {
            return;
        }
        let Some(event) = whole_object(data) else {
            return self.fail("an event is no JSON object");
        };
        match string(event, "type").as_deref() {
            Some("message_start") => self.start(event, out),
            Some("content_block_start") => self.block_start(event, out),
            Some("content_block_delta") => self.block_delta(event, out),
            Some("content_block_stop") => self.block_stop(event, out),
            Some("message_delta") => self.message_delta(event, out),
            // Pings, and events of tomorrow, which the API asks its clients to pass over.
            _ => {}
        }
    }

    /// The upstream said `message_stop`: appends the chunk with the counts, where they are wanted.
    pub fn finish(&mut self, out: &mut Vec<Vec<u8>>) {
        if !self.finished {
            return self.fail("it ended before its message did");
        }
        if self.include_usage {
            let usage = self.counts.chat();
            let mut chunk = self.chunk();
            out.push(chunk.raw("choices", "[]").raw("usage", usage).done());
        }
    }

    fn fail(&mut self, why: &'static str) {
        self.failure.get_or_insert(why);
    }

    fn start(&mut self, event: Value<'_>, out: &mut Vec<Vec<u8>>) {
        let Some(message) = event.get_some("message") else {
            return self.fail("its start holds no message");
        };
        self.id = string(message, "id").unwrap_or_default();
        self.model = string(message, "model").unwrap_or_default();
        self.read_usage(message);
        self.delta(br#"{"role":"assistant","content":""}"#, out);
    }

    fn read_usage(&mut self, of: Value<'_>) {
        if let Some(usage) = of.get_some("usage") {
            self.counts.read_messages(usage);
        }
    }

    fn block_start(&mut self, event: Value<'_>, out: &mut Vec<Vec<u8>>) {
        let Some(block) = event.get_some("content_block") else {
            return self.fail("a block's start holds no block");
        };
        if self.blocks.len() == BLOCKS_MAX {
            return self.fail("it has more content blocks than are followed");
        }
        let kind = match string(block, "type").as_deref() {
            Some("text") => {
                self.text("content", string(block, "text"), out);
                BlockKind::Plain
            }
            Some("thinking") => {
                let text = string(block, "thinking").unwrap_or_default();
                self.text("reasoning_content", Some(text.clone()), out);
                BlockKind::Thinking {
                    text,
                    signature: string(block, "signature").unwrap_or_default(),
                }
            }
            Some("redacted_thinking") => BlockKind::Redacted(block.0.to_vec()),
            Some("tool_use") => self.call_start(block, out),
            _ => BlockKind::Plain,
        };
        if !matches!(kind, BlockKind::Plain) {
            self.keep(block.0.len());
        }
        let index = index_of(event);
        self.blocks.push(Block { index, kind });
    }

    fn call_start(&mut self, block: Value<'_>, out: &mut Vec<Vec<u8>>) -> BlockKind {
        let position = self.calls;
        self.calls += 1;
        let function = ObjectWriter::new()
            .string("name", &string(block, "name").unwrap_or_default())
            .string("arguments", "")
            .done();
        let call = ObjectWriter::new()
            .number("index", position)
            .string("id", &string(block, "id").unwrap_or_default())
            .string("type", "function")
            .raw("function", function)
            .done();
        self.call(call, out);
        let input = block.get_some("input").map_or(&b"{}"[..], |input| input.0);
        BlockKind::Call {
            position,
            input: Some(input.to_vec()),
        }
    }

    fn block_delta(&mut self, event: Value<'_>, out: &mut Vec<Vec<u8>>) {
        let index = index_of(event);
        let Some(delta) = event.get_some("delta") else {
            return self.fail("a part of a block is empty");
        };
        let Some(at) = self.blocks.iter().rposition(|block| block.index == index) else {
            return self.fail("a part of a block came before its start");
        };
        match string(delta, "type").as_deref() {
            Some("text_delta") => self.text("content", string(delta, "text"), out),
            Some("thinking_delta") => {
                let more = string(delta, "thinking").unwrap_or_default();
                self.keep(more.len());
                if let BlockKind::Thinking { text, .. } = &mut self.blocks[at].kind {
                    text.push_str(&more);
                }
                self.text("reasoning_content", Some(more), out);
            }
            Some("signature_delta") => {
                let more = string(delta, "signature").unwrap_or_default();
                self.keep(more.len());
                if let BlockKind::Thinking { signature, .. } = &mut self.blocks[at].kind {
                    signature.push_str(&more);
                }
            }
            Some("input_json_delta") => {
                let more = string(delta, "partial_json").unwrap_or_default();
                if let BlockKind::Call { position, input } = &mut self.blocks[at].kind
                    && !more.is_empty()
                {
                    *input = None;
                    let position = *position;
                    self.arguments(position, &more, out);
                }
            }
            _ => {}
        }
    }

    fn block_stop(&mut self, event: Value<'_>, out: &mut Vec<Vec<u8>>) {
        let index = index_of(event);
        let Some(at) = self.blocks.iter().rposition(|block| block.index == index) else {
            return self.fail("a block ended before its start");
        };
        match std::mem::replace(&mut self.blocks[at].kind, BlockKind::Plain) {
            BlockKind::Plain => {}
            BlockKind::Thinking { text, signature } => {
                let block = ObjectWriter::new()
                    .string("type", "thinking")
                    .string("thinking", &text)
                    .string("signature", &signature)
                    .done();
                self.thinking(block, out);
            }
            BlockKind::Redacted(block) => self.thinking(block, out),
            // No part came: the start held it all.
            BlockKind::Call { position, input } => {
                if let Some(input) = input {
                    self.arguments(position, &String::from_utf8_lossy(&input), out);
                }
            }
        }
    }

    /// A whole block, as the next request must hold it again.
    fn thinking(&mut self, block: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        let delta = ObjectWriter::new()
            .raw("thinking_blocks", array([block]))
            .done();
        self.delta(&delta, out);
    }

    fn message_delta(&mut self, event: Value<'_>, out: &mut Vec<Vec<u8>>) {
        self.read_usage(event);
        let delta = event.get_some("delta");
        let Some(delta) = delta.filter(|delta| delta.get_some("stop_reason").is_some()) else {
            return;
        };
        let reason = finish_reason(&string(delta, "stop_reason").unwrap_or_default());
        self.finished = true;
        self.choice(b"{}", (&quoted(reason), stop_sequence(delta)), out);
    }

    fn text(&mut self, name: &str, text: Option<String>, out: &mut Vec<Vec<u8>>) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            let delta = ObjectWriter::new().string(name, &text).done();
            self.delta(&delta, out);
        }
    }

    fn arguments(&mut self, position: u64, part: &str, out: &mut Vec<Vec<u8>>) {
        let function = ObjectWriter::new().string("arguments", part).done();
        let call = ObjectWriter::new()
            .number("index", position)
            .raw("function", function)
            .done();
        self.call(call, out);
    }

    fn call(&mut self, call: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        let delta = ObjectWriter::new().raw("tool_calls", array([call])).done();
        self.delta(&delta, out);
    }

    fn delta(&mut self, delta: &[u8], out: &mut Vec<Vec<u8>>) {
        self.choice(delta, (b"null", b"null"), out);
    }

    fn choice(&mut self, delta: &[u8], (reason, stop): (&[u8], &[u8]), out: &mut Vec<Vec<u8>>) {
        let choice = ObjectWriter::new()
            .number("index", 0)
            .raw("delta", delta)
            .raw("logprobs", "null")
            .raw("finish_reason", reason)
            .raw("stop_reason", stop)
            .done();
        out.push(self.chunk().raw("choices", array([choice])).done());
    }

    /// A chunk's head.
    fn chunk(&self) -> ObjectWriter {
        let mut chunk = ObjectWriter::new();
        chunk
            .string("id", &self.id)
            .string("object", "chat.completion.chunk")
            .number("created", self.created_at_s)
            .string("model", &self.model);
        chunk
    }

    fn keep(&mut self, bytes: usize) {
        self.kept_bytes += bytes;
        if self.kept_bytes > KEPT_BYTES_MAX {
            self.fail("its thinking is longer than is kept");
        }
    }
}

fn index_of(event: Value<'_>) -> u64 {
    event.get("index").and_then(Value::unsigned).unwrap_or(0)
}
