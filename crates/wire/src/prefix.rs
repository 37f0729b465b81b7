//! A prompt's beginning as chained hashes, by which prompts that begin alike are known without being kept.
//!
//! An engine's cache of prefixes works on blocks of tokens; this works on blocks of the prompt's bytes, in the order in
//! which a chat template shows them to the engine. The hash is fast and not made to withstand an attacker: two prompts
//! that collide cost a wrong guess about a cache, nothing else. No answer may ever depend on it.

use twox_hash::XxHash3_64;

use crate::body::RequestBody;
use crate::json::{Kind, Value};
use crate::usage::AnswerKind;

#[cfg(test)]
mod tests;

/// Bytes of prompt in a block: about 256 tokens of English.
pub const BLOCK_BYTES: u64 = 1024;

/// The fields of a message that a template shows, in one order for all clients.
const SHOWN: [&[u8]; 12] = [
    b"type",
    b"role",
    b"name",
    b"reasoning",
    b"reasoning_content",
    b"content",
    b"summary",
    b"tool_calls",
    b"call_id",
    b"tool_call_id",
    b"arguments",
    b"output",
];

/// What stands between two parts of a prompt, so that "ab" + "c" is not "a" + "bc".
#[derive(Clone, Copy)]
enum Mark {
    Tools = 1,
    Instructions,
    Prompt,
    Message,
    /// The first of [`SHOWN`]; the others follow.
    Field,
}

/// A prompt's blocks by their hashes, from the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptBlocks {
    /// Each stands for its block and all before it. Only whole blocks are here.
    pub hashes: Vec<u64>,
    /// Bytes of prompt in each block: [`BLOCK_BYTES`], doubled until the prompt has at most `blocks_max` blocks.
    pub block_bytes: u64,
    /// Bytes of the whole prompt, as they stand in the body.
    pub prompt_bytes: u64,
}

impl PromptBlocks {
    /// Tokens in each block, where the whole prompt has `prompt_tokens`; at least 1.
    #[must_use]
    pub fn block_tokens(&self, prompt_tokens: u64) -> u32 {
        let tokens = u128::from(prompt_tokens) * u128::from(self.block_bytes)
            / u128::from(self.prompt_bytes.max(1));
        u32::try_from(tokens).unwrap_or(u32::MAX).max(1)
    }
}

/// The hashes of a prompt's blocks, at most `blocks_max` of them. Prompts for two models, of two owners where they have one, or of
/// callers who told the engine to keep them apart (`cache_salt`), share none. Embeddings have none: no engine keeps their prefixes.
#[must_use]
pub fn prompt_blocks(
    body: &RequestBody,
    owner: Option<&str>,
    (kind, model): (AnswerKind, &str),
    blocks_max: usize,
) -> PromptBlocks {
    let expected = body.bytes().len() as u64 / BLOCK_BYTES;
    let room = usize::try_from(expected).map_or(blocks_max, |blocks| blocks.min(blocks_max));
    let mut chain = Chain::new(model, room, blocks_max);
    if let Some(owner) = owner {
        chain.state = XxHash3_64::oneshot_with_seed(chain.state, owner.as_bytes());
    }
    if let Some(salt) = body.some("cache_salt") {
        chain.state = XxHash3_64::oneshot_with_seed(chain.state, salt.0);
    }
    match kind {
        AnswerKind::Embeddings => {}
        AnswerKind::Completions => chain.field(Mark::Prompt, body.some("prompt")),
        AnswerKind::Chat => {
            chain.field(Mark::Tools, body.some("tools"));
            chain.messages(body.some("messages"));
        }
        AnswerKind::Messages => {
            chain.field(Mark::Tools, body.some("tools"));
            chain.field(Mark::Instructions, body.some("system"));
            chain.messages(body.some("messages"));
        }
        AnswerKind::Responses => {
            chain.field(Mark::Tools, body.some("tools"));
            chain.field(Mark::Instructions, body.some("instructions"));
            match body.some("input") {
                Some(input) if input.kind() == Some(Kind::Array) => chain.messages(Some(input)),
                input => chain.field(Mark::Prompt, input),
            }
        }
    }
    chain.finish()
}

/// Hashes the bytes that it is given; each block's hash is the seed of what follows.
struct Chain {
    state: u64,
    /// Bytes in the block that is not whole yet.
    filled: u64,
    bytes: u64,
    /// Blocks so far, kept or left out.
    blocks: u64,
    /// Every so many blocks one is kept.
    stride: u64,
    hashes: Vec<u64>,
    hashes_max: usize,
}

impl Chain {
    fn new(model: &str, room: usize, hashes_max: usize) -> Self {
        Self {
            state: XxHash3_64::oneshot(model.as_bytes()),
            filled: 0,
            bytes: 0,
            blocks: 0,
            stride: 1,
            hashes: Vec::with_capacity(room),
            hashes_max,
        }
    }

    fn mark(&mut self, mark: u64) {
        // Odd multipliers keep all bits; the next hash of a block mixes them.
        self.state = (self.state ^ mark).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn field(&mut self, mark: Mark, value: Option<Value<'_>>) {
        if let Some(value) = value {
            self.mark(mark as u64);
            self.push(value.string_inner().unwrap_or(value.0));
        }
    }

    fn messages(&mut self, messages: Option<Value<'_>>) {
        let Some(messages) = messages else {
            return;
        };
        messages.objects(|message| {
            self.mark(Mark::Message as u64);
            // A repeated key means its last value, as for most parsers.
            let mut shown: [Option<Value<'_>>; SHOWN.len()] = [None; SHOWN.len()];
            for (key, value) in message {
                if let Some(index) = SHOWN.iter().position(|name| *name == key.0) {
                    shown[index] = Some(value);
                }
            }
            for (index, value) in (0_u64..).zip(shown) {
                if let Some(value) = value {
                    self.mark(Mark::Field as u64 + index);
                    self.push(value.string_inner().unwrap_or(value.0));
                }
            }
        });
    }

    fn push(&mut self, mut part: &[u8]) {
        self.bytes += part.len() as u64;
        while !part.is_empty() {
            let room = usize::try_from(BLOCK_BYTES - self.filled).unwrap_or(usize::MAX);
            let (now, later) = part.split_at(room.min(part.len()));
            self.state = XxHash3_64::oneshot_with_seed(self.state, now);
            self.filled += now.len() as u64;
            part = later;
            if self.filled == BLOCK_BYTES {
                self.filled = 0;
                self.block();
            }
        }
    }

    /// A block is whole. Where there are too many, every second one goes, so that a longer prompt's hashes are among
    /// those that its beginning had.
    fn block(&mut self) {
        self.blocks += 1;
        if !self.blocks.is_multiple_of(self.stride) {
            return;
        }
        if self.hashes.len() == self.hashes_max {
            let mut index = 0_usize;
            self.hashes.retain(|_| {
                index += 1;
                index.is_multiple_of(2)
            });
            self.stride *= 2;
            if !self.blocks.is_multiple_of(self.stride) {
                return;
            }
        }
        if self.hashes_max > 0 {
            self.hashes.push(self.state);
        }
    }

    fn finish(self) -> PromptBlocks {
        PromptBlocks {
            hashes: self.hashes,
            block_bytes: BLOCK_BYTES * self.stride,
            prompt_bytes: self.bytes,
        }
    }
}

/// One number for a name that a caller chose, such as a conversation's, apart from the same name of another owner.
#[must_use]
pub fn name_hash(owner: &str, name: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(owner.as_bytes()), name)
}
