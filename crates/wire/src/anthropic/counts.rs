//! Token counts in the words of both APIs.
//!
//! Anthropic's `input_tokens` are those that neither came from the cache nor went into it; OpenAI's `prompt_tokens` are
//! all. The counts in a stream are totals: a later event's replace the earlier ones, and those left out stand.

use crate::json::Value;
use crate::mapping::ObjectWriter;

/// Anthropic's counts of one answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    input: u64,
    cache_read: u64,
    cache_creation: u64,
    output: u64,
    thinking: u64,
}

impl Counts {
    /// Takes over what Anthropic's `usage` says.
    pub(super) fn read_messages(&mut self, usage: Value<'_>) {
        let set = |count: &mut u64, value: Option<Value<'_>>| {
            *count = value.and_then(Value::unsigned).unwrap_or(*count);
        };
        set(&mut self.input, usage.get("input_tokens"));
        set(&mut self.cache_read, usage.get("cache_read_input_tokens"));
        set(
            &mut self.cache_creation,
            usage.get("cache_creation_input_tokens"),
        );
        set(&mut self.output, usage.get("output_tokens"));
        let details = usage.get_some("output_tokens_details");
        set(
            &mut self.thinking,
            details.and_then(|details| details.get("thinking_tokens")),
        );
    }

    /// Takes over what OpenAI's `usage` says.
    pub(super) fn read_chat(&mut self, usage: Value<'_>) {
        let count = |object: Option<Value<'_>>, name: &str| {
            object
                .and_then(|object| object.get(name)?.unsigned())
                .unwrap_or(0)
        };
        let prompt = count(Some(usage), "prompt_tokens");
        let prompt_details = usage.get_some("prompt_tokens_details");
        let output_details = usage.get_some("completion_tokens_details");
        *self = Self {
            cache_read: count(prompt_details, "cached_tokens").min(prompt),
            output: count(Some(usage), "completion_tokens"),
            thinking: count(output_details, "reasoning_tokens"),
            ..Self::default()
        };
        self.input = prompt - self.cache_read;
    }

    /// OpenAI's `usage`.
    pub(super) fn chat(self) -> Vec<u8> {
        let prompt = self
            .input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_creation);
        let prompt_details = ObjectWriter::new()
            .number("cached_tokens", self.cache_read)
            .done();
        let output_details = ObjectWriter::new()
            .number("reasoning_tokens", self.thinking)
            .done();
        ObjectWriter::new()
            .number("prompt_tokens", prompt)
            .number("completion_tokens", self.output)
            .number("total_tokens", prompt.saturating_add(self.output))
            .raw("prompt_tokens_details", prompt_details)
            .raw("completion_tokens_details", output_details)
            .done()
    }

    /// Anthropic's `usage`.
    pub(super) fn messages(self) -> Vec<u8> {
        ObjectWriter::new()
            .number("input_tokens", self.input)
            .number("cache_creation_input_tokens", self.cache_creation)
            .number("cache_read_input_tokens", self.cache_read)
            .number("output_tokens", self.output)
            .done()
    }
}
