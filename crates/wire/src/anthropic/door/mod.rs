//! Callers of Messages at an engine that speaks chat completions.

mod answer;
mod content;
mod request;
mod stream;
mod tools;

pub use answer::to_message;
pub use request::{ChatRequest, to_chat};
pub use stream::MessagesStream;

use crate::json::{Kind, Value};

/// Why a chat answer ended, in the words of Messages: the reason, and the stop sequence as JSON. An engine that names
/// the sequence does so in the choice's `stop_reason`, as vLLM does.
fn stop_of<'a>(
    finish_reason: &str,
    choice: Value<'a>,
    has_calls: bool,
) -> (&'static str, &'a [u8]) {
    let sequence = choice
        .get_some("stop_reason")
        .filter(|sequence| sequence.kind() == Some(Kind::String));
    match (finish_reason, sequence) {
        ("length", _) => ("max_tokens", b"null"),
        ("content_filter", _) => ("refusal", b"null"),
        // Some engines say `stop` after a call that was demanded by name.
        ("tool_calls" | "function_call", _) => ("tool_use", b"null"),
        _ if has_calls => ("tool_use", b"null"),
        (_, Some(sequence)) => ("stop_sequence", sequence.0),
        (_, None) => ("end_turn", b"null"),
    }
}
