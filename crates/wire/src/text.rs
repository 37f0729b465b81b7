//! How much text a request makes a model read, for an estimate before the engine has counted.

use crate::body::RequestBody;
use crate::json::{Kind, Value, plain_end};
use crate::usage::AnswerKind;

#[cfg(test)]
mod tests;

/// Bytes of ASCII per token: prose and code run at 4.4 in the vocabularies of OpenAI (`cl100k`, `o200k`) and Qwen,
/// text full of figures at 2 to 3.
const ASCII_BYTES_PER_TOKEN: u64 = 4;

/// Bytes of other UTF-8 per token: with 3, a Hangul syllable is one token. Measured on Korean prose: 2.5 (`cl100k`),
/// 3.6 (Qwen 2), 4.4 (`o200k`); Chinese and Japanese run at 3 to 5.
const OTHER_BYTES_PER_TOKEN: u64 = 3;

/// What a chat template adds to each message: markers and the role.
const TOKENS_PER_MESSAGE: u64 = 4;

/// The text of a request or an answer, decoded: an escape counts as the bytes it stands for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TextSize {
    /// Bytes of UTF-8.
    pub bytes: u64,
    /// Those of them outside ASCII.
    pub non_ascii_bytes: u64,
    /// Prompt tokens given as numbers instead of text.
    pub token_ids: u64,
    /// Messages and input items, each of which costs a few tokens of template.
    pub messages: u64,
}

impl TextSize {
    /// The estimate for this text, template and given token ids included; never 0.
    #[must_use]
    pub fn tokens_estimated(&self) -> u64 {
        let given = self
            .token_ids
            .saturating_add(self.messages.saturating_mul(TOKENS_PER_MESSAGE));
        let text = if self.bytes == 0 && given > 0 {
            0
        } else {
            estimate_tokens(self.bytes, self.non_ascii_bytes)
        };
        text.saturating_add(given)
    }

    /// Adds what stands between the quotes of a JSON string.
    pub(crate) fn add_string(&mut self, inner: &[u8]) {
        self.add_plain(inner);
        let mut at = plain_end::<false>(inner, 0);
        while let Some(rest) = inner.get(at..).filter(|rest| !rest.is_empty()) {
            let len = match rest {
                &[b'\\', b'u', a, b, c, d, ..] => {
                    let bytes = escaped_bytes([a, b, c, d]);
                    self.bytes -= 6 - bytes;
                    self.non_ascii_bytes += if bytes > 1 { bytes } else { 0 };
                    6
                }
                [b'\\', _, ..] => {
                    self.bytes -= 1;
                    2
                }
                // A quote or a lone backslash: no JSON string; it counts as it stands.
                [_, ..] => 1,
                [] => return,
            };
            at += len;
            if inner.get(at) != Some(&b'\\') {
                at = plain_end::<false>(inner, at);
            }
        }
    }

    fn add_plain(&mut self, text: &[u8]) {
        self.bytes += text.len() as u64;
        self.non_ascii_bytes += non_ascii(text);
    }

    /// Adds a string value; other kinds hold no text.
    pub(crate) fn add(&mut self, value: Value<'_>) {
        if let Some(inner) = value.string_inner() {
            self.add_string(inner);
        }
    }

    /// Adds a JSON text that the model reads as it stands (tool definitions).
    pub(crate) fn add_raw(&mut self, value: Value<'_>) {
        self.add_plain(value.0);
    }
}

fn non_ascii(text: &[u8]) -> u64 {
    // Counted in short runs in a byte each, so that the compiler makes vector code of it.
    text.chunks(128)
        .map(|run| u64::from(run.iter().map(|byte| byte >> 7).sum::<u8>()))
        .sum()
}

/// UTF-8 bytes of the UTF-16 unit `\uXXXX` by its digits; each half of a surrogate pair is 2 of the 4 bytes.
fn escaped_bytes(hex: [u8; 4]) -> u64 {
    match hex {
        [b'0', b'0', b'0'..=b'7', _] => 1,
        [b'0', b'0'..=b'7', ..] => 2,
        [b'd' | b'D', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F', ..] => 2,
        _ => 3,
    }
}

/// Bytes of text that the model will read, token ids counted as 4 bytes each. Images, audio and files count nothing.
#[must_use]
pub fn prompt_bytes(body: &RequestBody, kind: AnswerKind) -> u64 {
    let size = prompt_size(body, kind);
    size.bytes
        .saturating_add(size.token_ids.saturating_mul(ASCII_BYTES_PER_TOKEN))
}

/// The text that the model will read: contents, text parts, tool calls and their results, tool definitions, prompts
/// and inputs. One walk over the body; nothing is decoded.
#[must_use]
pub fn prompt_size(body: &RequestBody, kind: AnswerKind) -> TextSize {
    let mut size = TextSize::default();
    let each = |name: &str, add: &mut dyn FnMut(Value<'_>)| {
        if let Some(value) = body.some(name) {
            add(value);
        }
    };
    match kind {
        AnswerKind::Chat => {
            each("messages", &mut |messages| {
                messages
                    .items()
                    .for_each(|message| message_size(message, &mut size))
            });
            each("tools", &mut |tools| size.add_raw(tools));
        }
        AnswerKind::Messages => {
            each("system", &mut |system| content_size(system, &mut size));
            each("messages", &mut |messages| {
                messages
                    .items()
                    .for_each(|message| message_size(message, &mut size))
            });
            each("tools", &mut |tools| size.add_raw(tools));
        }
        AnswerKind::Completions => {
            each("prompt", &mut |prompt| prompt_value(prompt, &mut size));
            each("suffix", &mut |suffix| size.add(suffix));
        }
        AnswerKind::Embeddings => each("input", &mut |input| prompt_value(input, &mut size)),
        AnswerKind::Responses => {
            each("instructions", &mut |text| size.add(text));
            each("input", &mut |input| match input.kind() {
                Some(Kind::Array) => input.items().for_each(|item| message_size(item, &mut size)),
                _ => size.add(input),
            });
            each("tools", &mut |tools| size.add_raw(tools));
        }
    }
    size
}

/// Tokens for `bytes` of UTF-8 of which `non_ascii_bytes` are outside ASCII: a quarter of the ASCII bytes and a third
/// of the others, each rounded up; at least 1.
#[must_use]
pub fn estimate_tokens(bytes: u64, non_ascii_bytes: u64) -> u64 {
    let other = non_ascii_bytes.min(bytes);
    let tokens =
        (bytes - other).div_ceil(ASCII_BYTES_PER_TOKEN) + other.div_ceil(OTHER_BYTES_PER_TOKEN);
    tokens.max(1)
}

/// A string, an array of strings, token ids, or an array of arrays of token ids.
fn prompt_value(prompt: Value<'_>, size: &mut TextSize) {
    match prompt.kind() {
        Some(Kind::String) => size.add(prompt),
        Some(Kind::Array) => prompt.items().for_each(|item| match item.kind() {
            Some(Kind::String) => size.add(item),
            Some(Kind::Number) => size.token_ids += 1,
            Some(Kind::Array) => size.token_ids += item.items().count() as u64,
            _ => {}
        }),
        _ => {}
    }
}

/// A chat message or a responses input item.
fn message_size(message: Value<'_>, size: &mut TextSize) {
    size.messages += 1;
    for (key, value) in message.entries() {
        match key.0 {
            b"content" | b"output" | b"summary" => content_size(value, size),
            b"arguments" | b"name" | b"refusal" | b"reasoning_content" | b"reasoning" => {
                size.add(value)
            }
            b"tool_calls" => value.items().for_each(|call| size.add_raw(call)),
            _ => {}
        }
    }
}

/// A string, or parts of which the texts, the inputs of tools and their results (one level deep) are read.
fn content_size(content: Value<'_>, size: &mut TextSize) {
    match content.kind() {
        Some(Kind::String) => size.add(content),
        Some(Kind::Array) => content.items().for_each(|part| part_size(part, size)),
        _ => {}
    }
}

fn part_size(part: Value<'_>, size: &mut TextSize) {
    for (key, value) in part.entries() {
        match (key.0, value.kind()) {
            (b"text", _) | (b"content", Some(Kind::String)) => size.add(value),
            (b"input", _) => size.add_raw(value),
            (b"content", _) => {
                let texts = value.items().filter_map(|part| part.get("text"));
                texts.for_each(|text| size.add(text));
            }
            _ => {}
        }
    }
}
