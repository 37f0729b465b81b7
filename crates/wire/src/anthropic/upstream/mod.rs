//! Callers of chat completions at an upstream that speaks Messages.

mod answer;
mod messages;
mod request;
mod stream;
mod tools;

pub use answer::to_completion;
pub use request::to_messages;
pub use stream::ChatStream;

use crate::json::Value;

/// The word that chat has for why a message ended.
fn finish_reason(stop_reason: &str) -> &'static str {
    match stop_reason {
        "max_tokens" | "model_context_window_exceeded" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        // `end_turn`, `stop_sequence`, `pause_turn`, and words of tomorrow.
        _ => "stop",
    }
}

/// The stop sequence that was generated, as JSON. Chat has no field for it; vLLM's is `stop_reason`.
fn stop_sequence(of: Value<'_>) -> &[u8] {
    of.get_some("stop_sequence").map_or(b"null", |text| text.0)
}
