//! The response object, which answers and events share.

use crate::json::Value;
use crate::mapping::{ObjectWriter, quoted};

/// The id and time of a response; both come from the edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// `resp_…`. The ids of its items are made from what follows the prefix.
    pub response_id: String,
    /// Seconds since the Unix epoch.
    pub created_at_s: u64,
}

impl Ids {
    /// The id of the item at `position` in the output; the prefix tells its kind.
    pub(super) fn item(&self, prefix: &str, position: usize) -> String {
        let stem = self
            .response_id
            .strip_prefix("resp_")
            .unwrap_or(&self.response_id);
        format!("{prefix}_{stem}_{position}")
    }
}

/// What a response repeats of its request: JSON texts as the caller wrote them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Echo {
    /// The model's name as the caller wrote it.
    pub model: String,
    /// Whether the caller asked for log probabilities in the output.
    pub include_logprobs: bool,
    pub(super) fields: Vec<(&'static str, Vec<u8>)>,
}

impl Echo {
    pub(super) fn keep(&mut self, name: &'static str, value: Value<'_>) {
        self.fields.push((name, value.0.to_vec()));
    }

    fn or<'a>(&'a self, name: &str, absent: &'a str) -> &'a [u8] {
        self.fields
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(absent.as_bytes(), |(_, json)| json)
    }
}

/// What became of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status<'a> {
    InProgress,
    Completed,
    /// With the reason as the API names it.
    Incomplete(&'static str),
    Failed {
        code: &'a str,
        message: &'a str,
    },
}

impl Status<'_> {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete(_) => "incomplete",
            Self::Failed { .. } => "failed",
        }
    }

    /// The status that a chat completion's `finish_reason` means.
    pub(super) fn of_finish(reason: &str) -> Self {
        match reason {
            "length" => Self::Incomplete("max_output_tokens"),
            "content_filter" => Self::Incomplete("content_filter"),
            _ => Self::Completed,
        }
    }
}

/// Writes the response object. `output` is a JSON array, `usage` an object or `null`.
pub(super) fn response_object(
    ids: &Ids,
    echo: &Echo,
    status: Status<'_>,
    output: &[u8],
    usage: &[u8],
) -> Vec<u8> {
    let error = match status {
        Status::Failed { code, message } => ObjectWriter::new()
            .string("code", code)
            .string("message", message)
            .done(),
        Status::InProgress | Status::Completed | Status::Incomplete(_) => b"null".to_vec(),
    };
    let incomplete = match status {
        Status::Incomplete(reason) => ObjectWriter::new().raw("reason", quoted(reason)).done(),
        Status::InProgress | Status::Completed | Status::Failed { .. } => b"null".to_vec(),
    };
    ObjectWriter::new()
        .string("id", &ids.response_id)
        .string("object", "response")
        .number("created_at", ids.created_at_s)
        .string("status", status.as_str())
        .raw("background", "false")
        .raw("error", error)
        .raw("incomplete_details", incomplete)
        .raw("instructions", echo.or("instructions", "null"))
        .raw("max_output_tokens", echo.or("max_output_tokens", "null"))
        .raw("max_tool_calls", echo.or("max_tool_calls", "null"))
        .string("model", &echo.model)
        .raw("output", output)
        .raw(
            "parallel_tool_calls",
            echo.or("parallel_tool_calls", "true"),
        )
        .raw("previous_response_id", "null")
        .raw("prompt_cache_key", echo.or("prompt_cache_key", "null"))
        .raw(
            "reasoning",
            echo.or("reasoning", r#"{"effort":null,"summary":null}"#),
        )
        .raw("safety_identifier", echo.or("safety_identifier", "null"))
        .string("service_tier", "default")
        .raw("store", "false")
        .raw("temperature", echo.or("temperature", "null"))
        .raw("text", echo.or("text", r#"{"format":{"type":"text"}}"#))
        .raw("tool_choice", echo.or("tool_choice", "\"auto\""))
        .raw("tools", echo.or("tools", "[]"))
        .raw("top_logprobs", echo.or("top_logprobs", "0"))
        .raw("top_p", echo.or("top_p", "null"))
        .string("truncation", "disabled")
        .raw("usage", usage)
        .raw("user", echo.or("user", "null"))
        .raw("metadata", echo.or("metadata", "{}"))
        .done()
}

/// The usage of a chat completion in the words of the Responses API, or `null` when the engine gave no counts.
pub(super) fn usage_object(usage: Option<Value<'_>>) -> Vec<u8> {
    let count = |object: Option<Value<'_>>, name: &str| object?.get(name)?.unsigned();
    let (Some(input), Some(output)) = (
        count(usage, "prompt_tokens"),
        count(usage, "completion_tokens"),
    ) else {
        return b"null".to_vec();
    };
    let details = |name: &str| usage.and_then(|usage| usage.get_some(name));
    let cached = count(details("prompt_tokens_details"), "cached_tokens").unwrap_or(0);
    let reasoning = count(details("completion_tokens_details"), "reasoning_tokens").unwrap_or(0);
    let total = count(usage, "total_tokens").unwrap_or(input.saturating_add(output));
    let input_details = ObjectWriter::new()
        .number("cached_tokens", cached)
        .number("cache_write_tokens", 0)
        .done();
    let output_details = ObjectWriter::new()
        .number("reasoning_tokens", reasoning)
        .done();
    ObjectWriter::new()
        .number("input_tokens", input)
        .raw("input_tokens_details", input_details)
        .number("output_tokens", output)
        .raw("output_tokens_details", output_details)
        .number("total_tokens", total)
        .done()
}
