//! What an answer says about itself: token counts, whether it is an error, whether and why it ended.
//!
//! The counts become money, so whatever is not plainly a count is left out and marked `suspicious`. Answers come from
//! engines that may be broken: every input is read in linear time and none panics.

use crate::json::{Key, Kind, Value};
use crate::text::TextSize;

#[cfg(test)]
mod tests;

/// Which of the wire formats an answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnswerKind {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
    /// `/v1/embeddings`.
    Embeddings,
    /// `/v1/responses`.
    Responses,
    /// Anthropic's `/v1/messages`.
    Messages,
}

/// The engine's own token counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineUsage {
    /// Tokens of the prompt, cached ones included.
    pub prompt_tokens: u64,
    /// Those of them read from the prefix cache, never more than `prompt_tokens`; `None` where it does not say.
    pub cached_tokens: Option<u64>,
    /// Tokens of the answer.
    pub output_tokens: u64,
}

/// What a whole answer says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnswerFacts {
    /// The counts, when it gives usable ones.
    pub usage: Option<EngineUsage>,
    /// It gave a count that cannot be true: the wrong type, negative, above 2^53, more cached than read.
    pub suspicious: bool,
    /// Why the last choice ended (`stop`, `length`, …; for responses the status or the reason it is incomplete).
    pub finish_reason: Option<String>,
    /// It is an error object.
    pub error: bool,
    /// Bytes of generated text, tool calls and reasoning included.
    pub output_bytes: u64,
    /// Those of them outside ASCII.
    pub output_non_ascii_bytes: u64,
}

/// What one event of a streamed answer says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFacts {
    /// The counts so far, when it gives usable ones; a later event's replace them.
    pub usage: Option<EngineUsage>,
    /// The prompt's counts alone, of an answer that begins (Anthropic's `message_start`): its `output_tokens` are not
    /// the answer's yet.
    pub prompt_usage: Option<EngineUsage>,
    /// The answer's count alone, where the prompt's came with an earlier event (Anthropic's `message_delta`).
    pub output_tokens: Option<u64>,
    /// It gave a count that cannot be true.
    pub suspicious: bool,
    /// It carries generated output: text, reasoning, part of a tool call, or logprobs.
    pub output_chunk: bool,
    /// No choices and a usage: the chunk that `stream_options.include_usage` adds.
    pub only_usage: bool,
    /// A choice, or the response, ended.
    pub finished: bool,
    /// Why.
    pub finish_reason: Option<String>,
    /// It is an error.
    pub error: bool,
    /// Bytes of generated text.
    pub output_bytes: u64,
    /// Those of them outside ASCII.
    pub output_non_ascii_bytes: u64,
}

/// The largest count believed: beyond 2^53 a JSON number is no longer exact everywhere.
const COUNT_MAX: u64 = 1 << 53;

/// Reads a whole answer. Anything that is no JSON object says nothing.
#[must_use]
pub fn from_answer(kind: AnswerKind, body: &[u8]) -> AnswerFacts {
    let mut reading = Reading::default();
    reading.top(kind, Value::of(body));
    AnswerFacts {
        usage: reading.usage(),
        suspicious: reading.suspicious,
        finish_reason: reading.finish_reason,
        error: reading.error,
        output_bytes: reading.text.bytes,
        output_non_ascii_bytes: reading.text.non_ascii_bytes,
    }
}

/// Reads the data of one event. Anything that is no JSON object (`[DONE]` too) says nothing.
#[must_use]
pub fn from_event(kind: AnswerKind, data: &[u8]) -> EventFacts {
    let mut reading = Reading::default();
    reading.top(kind, Value::of(data));
    EventFacts {
        usage: reading.usage(),
        prompt_usage: reading.begun,
        output_tokens: reading.output_tokens,
        suspicious: reading.suspicious,
        output_chunk: reading.output,
        only_usage: reading.no_choices && reading.usage_object,
        finished: reading.finished,
        finish_reason: reading.finish_reason,
        error: reading.error,
        output_bytes: reading.text.bytes,
        output_non_ascii_bytes: reading.text.non_ascii_bytes,
    }
}

#[derive(Default)]
struct Reading {
    counted: Option<EngineUsage>,
    timed: Option<EngineUsage>,
    begun: Option<EngineUsage>,
    output_tokens: Option<u64>,
    usage_object: bool,
    suspicious: bool,
    no_choices: bool,
    output: bool,
    finished: bool,
    finish_reason: Option<String>,
    error: bool,
    text: TextSize,
}

impl Reading {
    fn usage(&self) -> Option<EngineUsage> {
        self.counted.or(self.timed)
    }

    fn top(&mut self, kind: AnswerKind, answer: Value<'_>) {
        for (key, value) in answer.entries() {
            if kind == AnswerKind::Messages && self.read_message_key(key, value) {
                continue;
            }
            match key.0 {
                b"usage" => self.read_usage(kind, value),
                b"timings" => self.read_timings(value),
                b"error" => self.error |= !value.is_null() && value.boolean() != Some(false),
                b"object" => self.error |= value.0 == b"\"error\"",
                b"choices" => self.read_choices(value),
                b"type" if kind == AnswerKind::Responses => self.read_type(value),
                b"delta" if kind == AnswerKind::Responses => self.read_text(value),
                b"response" if kind == AnswerKind::Responses => self.read_response(kind, value),
                b"output" if kind == AnswerKind::Responses => self.read_output(value),
                b"status" if kind == AnswerKind::Responses => self.read_status(value),
                b"incomplete_details" if kind == AnswerKind::Responses => {
                    self.read_incomplete(value)
                }
                _ => {}
            }
        }
    }

    /// A text that was generated.
    fn read_text(&mut self, value: Value<'_>) {
        self.output |= value.string_inner().is_some_and(|inner| !inner.is_empty());
        self.text.add(value);
    }

    fn read_choices(&mut self, choices: Value<'_>) {
        self.no_choices = choices.is_empty_array();
        for choice in choices.items() {
            for (key, value) in choice.entries() {
                match key.0 {
                    b"delta" | b"message" => self.read_message(value),
                    b"text" => self.read_text(value),
                    b"logprobs" => self.output |= value.kind() == Some(Kind::Object),
                    b"finish_reason" if !value.is_null() => {
                        self.finished = true;
                        self.finish_reason = value.text().map(Into::into);
                    }
                    _ => {}
                }
            }
        }
    }

    fn read_message(&mut self, message: Value<'_>) {
        for (key, value) in message.entries() {
            match key.0 {
                b"content" | b"reasoning_content" | b"reasoning" | b"refusal" => {
                    self.read_text(value)
                }
                b"tool_calls" => value.items().for_each(|call| {
                    self.output = true;
                    if let Some(function) = call.get("function") {
                        self.read_call(function);
                    }
                }),
                b"function_call" => self.read_call(value),
                b"audio" => self.output |= value.kind() == Some(Kind::Object),
                _ => {}
            }
        }
    }

    fn read_call(&mut self, function: Value<'_>) {
        for (key, value) in function.entries() {
            if matches!(key.0, b"name" | b"arguments") {
                self.read_text(value);
            }
        }
    }

    /// The type of a responses event.
    fn read_type(&mut self, value: Value<'_>) {
        let Some(name) = value.string_inner() else {
            return;
        };
        match name {
            b"error" => self.error = true,
            b"response.failed" => {
                self.error = true;
                self.finished = true;
            }
            b"response.completed" | b"response.incomplete" => self.finished = true,
            _ => {}
        }
    }

    /// The whole response that the first and last events carry: its output was streamed before and counts nothing.
    fn read_response(&mut self, kind: AnswerKind, response: Value<'_>) {
        for (key, value) in response.entries() {
            match key.0 {
                b"usage" => self.read_usage(kind, value),
                b"status" => self.read_status(value),
                b"incomplete_details" => self.read_incomplete(value),
                b"error" => self.error |= !value.is_null(),
                _ => {}
            }
        }
    }

    fn read_status(&mut self, status: Value<'_>) {
        match status.string_inner() {
            Some(b"in_progress" | b"queued") | None => {}
            Some(_) if self.finish_reason.is_none() => {
                self.finish_reason = status.text().map(Into::into)
            }
            Some(_) => {}
        }
    }

    fn read_incomplete(&mut self, details: Value<'_>) {
        if let Some(reason) = details.get("reason").and_then(Value::text) {
            self.finish_reason = Some(reason.into());
        }
    }

    /// The output items of a whole response.
    fn read_output(&mut self, output: Value<'_>) {
        for item in output.items() {
            for (key, value) in item.entries() {
                match key.0 {
                    b"content" | b"summary" => {
                        for part in value.items() {
                            part.get("text")
                                .into_iter()
                                .chain(part.get("refusal"))
                                .for_each(|text| self.read_text(text));
                        }
                    }
                    b"name" | b"arguments" => self.read_text(value),
                    _ => {}
                }
            }
        }
    }

    /// What stands at the top of a message, or of one of its events; whether the key is one of theirs.
    fn read_message_key(&mut self, key: Key<'_>, value: Value<'_>) -> bool {
        match key.0 {
            b"type" => match value.string_inner() {
                Some(b"error") => self.error = true,
                Some(b"message_stop") => self.finished = true,
                _ => {}
            },
            b"delta" | b"content_block" => self.read_block(value),
            b"message" => {
                self.read_block(value);
                self.begun = self.counted.take();
            }
            b"content" => value.items().for_each(|block| self.read_block(block)),
            b"stop_reason" | b"usage" => self.read_block_key(key, value),
            _ => return false,
        }
        true
    }

    fn read_block(&mut self, block: Value<'_>) {
        for (key, value) in block.entries() {
            self.read_block_key(key, value);
        }
    }

    /// What was generated of a content block, or a part of one; and what a message says of itself.
    fn read_block_key(&mut self, key: Key<'_>, value: Value<'_>) {
        match key.0 {
            b"usage" => self.read_message_usage(value),
            b"stop_reason" if !value.is_null() => {
                self.finish_reason = value.text().map(Into::into);
            }
            b"text" | b"thinking" | b"partial_json" | b"name" => self.read_text(value),
            // Whole answers hold it; a stream's block begins with an empty one.
            b"input" if value.0 != b"{}" => {
                self.output = true;
                self.text.add_raw(value);
            }
            _ => {}
        }
    }

    fn read_message_usage(&mut self, usage: Value<'_>) {
        match usage.kind() {
            Some(Kind::Null) => return,
            Some(Kind::Object) => self.usage_object = true,
            _ => {
                self.suspicious = true;
                return;
            }
        }
        let mut number = |name: &str| usage.get(name).and_then(|value| self.count(value));
        let (input, output) = (number("input_tokens"), number("output_tokens"));
        let cached = number("cache_read_input_tokens");
        let created = number("cache_creation_input_tokens");
        match input {
            Some(input) => {
                let prompt = input + cached.unwrap_or_default() + created.unwrap_or_default();
                self.counted = self.usage_of(Some(prompt), output, cached);
            }
            None => {
                self.output_tokens = output;
                self.suspicious |= output.is_none();
            }
        }
    }

    fn read_usage(&mut self, kind: AnswerKind, usage: Value<'_>) {
        match usage.kind() {
            Some(Kind::Null) => return,
            Some(Kind::Object) => self.usage_object = true,
            _ => {
                self.suspicious = true;
                return;
            }
        }
        let (mut prompt, mut output, mut cached) = (None, None, None);
        for (key, value) in usage.entries() {
            match key.0 {
                b"prompt_tokens" | b"input_tokens" => prompt = self.count(value).or(prompt),
                b"completion_tokens" | b"output_tokens" => output = self.count(value).or(output),
                b"prompt_tokens_details" | b"input_tokens_details" => {
                    cached = value
                        .get("cached_tokens")
                        .and_then(|count| self.count(count))
                        .or(cached);
                }
                b"prompt_cache_hit_tokens" => cached = cached.or(self.count(value)),
                _ => {}
            }
        }
        if kind == AnswerKind::Embeddings {
            output = output.or(Some(0));
        }
        self.counted = self.usage_of(prompt, output, cached);
    }

    /// llama.cpp's timings: `prompt_n` are the tokens it processed, `cache_n` those it found in the slot.
    fn read_timings(&mut self, timings: Value<'_>) {
        if timings.kind() != Some(Kind::Object) {
            return;
        }
        let mut number = |name: &str| timings.get(name).and_then(|value| self.count(value));
        let (processed, cached, output) =
            (number("prompt_n"), number("cache_n"), number("predicted_n"));
        let prompt = processed.map(|processed| processed + cached.unwrap_or_default());
        self.timed = self.usage_of(prompt, output, cached);
    }

    /// Usable counts need both sides; a usage without them is as good as none.
    fn usage_of(
        &mut self,
        prompt: Option<u64>,
        output: Option<u64>,
        cached: Option<u64>,
    ) -> Option<EngineUsage> {
        let (Some(prompt_tokens), Some(output_tokens)) = (prompt, output) else {
            self.suspicious = true;
            return None;
        };
        self.suspicious |= cached.is_some_and(|cached| cached > prompt_tokens);
        Some(EngineUsage {
            prompt_tokens,
            cached_tokens: cached.map(|cached| cached.min(prompt_tokens)),
            output_tokens,
        })
    }

    fn count(&mut self, value: Value<'_>) -> Option<u64> {
        if value.is_null() {
            return None;
        }
        let count = value.unsigned().filter(|count| *count <= COUNT_MAX);
        self.suspicious |= count.is_none();
        count
    }
}
