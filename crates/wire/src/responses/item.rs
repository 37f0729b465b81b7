//! Output items and their parts as JSON.

use crate::mapping::{ObjectWriter, array};

/// A part `output_text`.
pub(super) fn text_part(text: &str, logprobs: &[u8]) -> Vec<u8> {
    ObjectWriter::new()
        .string("type", "output_text")
        .string("text", text)
        .raw("annotations", "[]")
        .raw("logprobs", logprobs)
        .done()
}

/// A part `refusal`.
pub(super) fn refusal_part(text: &str) -> Vec<u8> {
    ObjectWriter::new()
        .string("type", "refusal")
        .string("refusal", text)
        .done()
}

/// A part `reasoning_text`.
pub(super) fn reasoning_part(text: &str) -> Vec<u8> {
    ObjectWriter::new()
        .string("type", "reasoning_text")
        .string("text", text)
        .done()
}

/// An item `message`.
pub(super) fn message_item(id: &str, status: &str, parts: &[Vec<u8>]) -> Vec<u8> {
    ObjectWriter::new()
        .string("id", id)
        .string("type", "message")
        .string("status", status)
        .string("role", "assistant")
        .raw("content", array(parts))
        .done()
}

/// An item `reasoning`: the engine's thinking as it is, without a summary.
pub(super) fn reasoning_item(id: &str, status: &str, parts: &[Vec<u8>]) -> Vec<u8> {
    ObjectWriter::new()
        .string("id", id)
        .string("type", "reasoning")
        .raw("summary", "[]")
        .raw("content", array(parts))
        .string("status", status)
        .done()
}

/// What an item `function_call` holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FunctionCall {
    pub(super) id: String,
    pub(super) call_id: String,
    pub(super) name: String,
    pub(super) arguments: String,
}

/// An item `function_call`.
pub(super) fn function_call_item(call: &FunctionCall, status: &str) -> Vec<u8> {
    ObjectWriter::new()
        .string("id", &call.id)
        .string("type", "function_call")
        .string("status", status)
        .string("arguments", &call.arguments)
        .string("call_id", &call.call_id)
        .string("name", &call.name)
        .done()
}
