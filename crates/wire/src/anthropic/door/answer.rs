//! One whole chat completion as a message.

use super::stop_of;
use crate::anthropic::counts::Counts;
use crate::anthropic::{AnswerError, string};
use crate::json::Value;
use crate::mapping::{ObjectWriter, array, compact, whole_object};

/// Maps a chat completion to the message `message_id`. Reasoning becomes a thinking block where `thinking` says that
/// the caller asked for it.
///
/// # Errors
/// The answer is not a chat completion, or calls a tool with what is no JSON object.
pub fn to_message(answer: &[u8], message_id: &str, thinking: bool) -> Result<Vec<u8>, AnswerError> {
    let root = whole_object(answer).ok_or(AnswerError::NotJson)?;
    let choice = root
        .get("choices")
        .and_then(|choices| choices.items().next())
        .ok_or(AnswerError::NoMessage)?;
    let message = choice.get_some("message").ok_or(AnswerError::NoMessage)?;
    let reason = string(choice, "finish_reason").unwrap_or_default();
    let mut blocks = Vec::new();
    if let Some(text) = reasoning_of(message).filter(|_| thinking) {
        blocks.push(thinking_block(&text));
    }
    for name in ["content", "refusal"] {
        if let Some(text) = string(message, name).filter(|text| !text.is_empty()) {
            blocks.push(text_block(&text));
        }
    }
    let calls = message.get_some("tool_calls");
    let mut has_calls = false;
    for (position, call) in calls.into_iter().flat_map(Value::items).enumerate() {
        has_calls = true;
        // Where the bound on the answer cut a call short, its input is nobody's to use.
        let cut = reason == "length";
        blocks.push(tool_use(call, &call_id(call, message_id, position), cut)?);
    }
    let mut counts = Counts::default();
    if let Some(usage) = root.get_some("usage") {
        counts.read_chat(usage);
    }
    let (stop_reason, stop_sequence) = stop_of(&reason, choice, has_calls);
    let mut out = message_head(message_id, &string(root, "model").unwrap_or_default());
    Ok(out
        .raw("content", array(blocks))
        .string("stop_reason", stop_reason)
        .raw("stop_sequence", stop_sequence)
        .raw("usage", counts.messages())
        .done())
}

/// The beginning of a message object.
pub(super) fn message_head(message_id: &str, model: &str) -> ObjectWriter {
    let mut out = ObjectWriter::new();
    out.string("id", message_id)
        .string("type", "message")
        .string("role", "assistant")
        .string("model", model);
    out
}

/// Engines sign nothing, so the signature that the types demand is empty.
pub(super) fn thinking_block(text: &str) -> Vec<u8> {
    ObjectWriter::new()
        .string("type", "thinking")
        .string("thinking", text)
        .string("signature", "")
        .done()
}

pub(super) fn text_block(text: &str) -> Vec<u8> {
    ObjectWriter::new()
        .string("type", "text")
        .string("text", text)
        .done()
}

/// The reasoning of a message or a delta, under either of the names that engines have for it.
pub(super) fn reasoning_of(message: Value<'_>) -> Option<String> {
    ["reasoning_content", "reasoning"]
        .into_iter()
        .find_map(|name| string(message, name).filter(|text| !text.is_empty()))
}

/// The id of a call, or one of ours where the engine gave none.
pub(super) fn call_id(call: Value<'_>, message_id: &str, position: usize) -> String {
    string(call, "id")
        .filter(|id| !id.is_empty())
        .unwrap_or_else(|| {
            let stem = message_id.strip_prefix("msg_").unwrap_or(message_id);
            format!("toolu_{stem}_{position}")
        })
}

fn tool_use(call: Value<'_>, id: &str, cut: bool) -> Result<Vec<u8>, AnswerError> {
    let function = call.get_some("function").ok_or(AnswerError::NoMessage)?;
    let arguments = string(function, "arguments").unwrap_or_default();
    let input = match arguments.trim() {
        "" => b"{}".to_vec(),
        text if whole_object(text.as_bytes()).is_some() => compact(text.as_bytes()),
        _ if cut => b"{}".to_vec(),
        _ => return Err(AnswerError::Arguments),
    };
    Ok(ObjectWriter::new()
        .string("type", "tool_use")
        .string("id", id)
        .string("name", &string(function, "name").unwrap_or_default())
        .raw("input", input)
        .done())
}
