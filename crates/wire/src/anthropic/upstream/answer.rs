//! One whole message as a chat completion.

use super::{finish_reason, stop_sequence};
use crate::anthropic::AnswerError;
use crate::anthropic::counts::Counts;
use crate::json::{Kind, Value};
use crate::mapping::{ObjectWriter, array, quoted, whole_object};

/// Maps a message to a chat completion; `created_at_s` is its time in seconds since the Unix epoch.
///
/// # Errors
/// The answer is not a message.
pub fn to_completion(answer: &[u8], created_at_s: u64) -> Result<Vec<u8>, AnswerError> {
    let root = whole_object(answer).ok_or(AnswerError::NotJson)?;
    let content = root
        .get("content")
        .filter(|content| content.kind() == Some(Kind::Array))
        .ok_or(AnswerError::NoMessage)?;
    let text = |name: &str| root.get_some(name).and_then(Value::text);
    let mut counts = Counts::default();
    if let Some(usage) = root.get_some("usage") {
        counts.read_messages(usage);
    }
    let reason = finish_reason(&text("stop_reason").unwrap_or_default());
    let choice = ObjectWriter::new()
        .number("index", 0)
        .raw("message", message_of(content))
        .raw("logprobs", "null")
        .string("finish_reason", reason)
        .raw("stop_reason", stop_sequence(root))
        .done();
    Ok(ObjectWriter::new()
        .string("id", &text("id").unwrap_or_default())
        .string("object", "chat.completion")
        .number("created", created_at_s)
        .string("model", &text("model").unwrap_or_default())
        .raw("choices", array([choice]))
        .raw("usage", counts.chat())
        .done())
}

/// The blocks as one chat message. Blocks of kinds that nobody can have asked for are left out.
fn message_of(content: Value<'_>) -> Vec<u8> {
    let (mut text, mut reasoning) = (None::<String>, String::new());
    let (mut thinking, mut calls) = (Vec::new(), Vec::new());
    for block in content.items() {
        let string = |name: &str| block.get_some(name).and_then(Value::text);
        match string("type").as_deref() {
            Some("text") => text
                .get_or_insert_default()
                .push_str(&string("text").unwrap_or_default()),
            Some("thinking") => {
                reasoning.push_str(&string("thinking").unwrap_or_default());
                thinking.push(block.0);
            }
            Some("redacted_thinking") => thinking.push(block.0),
            Some("tool_use") => {
                let input = block.get_some("input").map_or(&b"{}"[..], |input| input.0);
                let function = ObjectWriter::new()
                    .string("name", &string("name").unwrap_or_default())
                    .string("arguments", &String::from_utf8_lossy(input))
                    .done();
                let call = ObjectWriter::new()
                    .string("id", &string("id").unwrap_or_default())
                    .string("type", "function")
                    .raw("function", function)
                    .done();
                calls.push(call);
            }
            _ => {}
        }
    }
    let mut out = ObjectWriter::new();
    out.string("role", "assistant")
        .raw(
            "content",
            text.map_or_else(|| b"null".to_vec(), |text| quoted(&text)),
        )
        .raw("refusal", "null");
    if !reasoning.is_empty() {
        out.string("reasoning_content", &reasoning);
    }
    if !thinking.is_empty() {
        out.raw("thinking_blocks", array(thinking));
    }
    if !calls.is_empty() {
        out.raw("tool_calls", array(calls));
    }
    out.done()
}
