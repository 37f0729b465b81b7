//! One whole answer.

use thiserror::Error;

use super::item::{
    FunctionCall, function_call_item, message_item, reasoning_item, reasoning_part, refusal_part,
    text_part,
};
use super::object::{Echo, Ids, Status, response_object, usage_object};
use crate::json::Value;
use crate::mapping::{array, whole_object};

/// Why an engine's answer could not be mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// The answer is not a JSON object.
    #[error("the engine's answer is not a JSON object")]
    NotJson,
    /// The answer has no choice with a message.
    #[error("the engine's answer has no choice with a message")]
    NoMessage,
}

/// Maps a chat completion to a response.
///
/// # Errors
/// The answer is not a chat completion.
pub fn to_response(answer: &[u8], ids: &Ids, echo: &Echo) -> Result<Vec<u8>, AnswerError> {
    let root = whole_object(answer).ok_or(AnswerError::NotJson)?;
    let choice = root
        .get("choices")
        .and_then(|choices| choices.items().next())
        .ok_or(AnswerError::NoMessage)?;
    let message = choice.get_some("message").ok_or(AnswerError::NoMessage)?;
    let reason = choice
        .get_some("finish_reason")
        .and_then(Value::text)
        .unwrap_or_default();
    let status = Status::of_finish(&reason);
    let logprobs = choice
        .get_some("logprobs")
        .and_then(|logprobs| logprobs.get_some("content"));
    let output = output_items(
        message,
        logprobs.filter(|_| echo.include_logprobs),
        status.as_str(),
        ids,
    );
    Ok(response_object(
        ids,
        echo,
        status,
        &array(output),
        &usage_object(root.get_some("usage")),
    ))
}

/// The text under the first of `names` that is a string and not empty.
fn some_text<'a>(message: Value<'a>, names: &[&str]) -> Option<std::borrow::Cow<'a, str>> {
    names
        .iter()
        .filter_map(|name| message.get_some(name)?.text())
        .find(|text| !text.is_empty())
}

fn output_items(
    message: Value<'_>,
    logprobs: Option<Value<'_>>,
    status: &str,
    ids: &Ids,
) -> Vec<Vec<u8>> {
    let mut items = Vec::new();
    if let Some(text) = some_text(message, &["reasoning_content", "reasoning"]) {
        items.push(reasoning_item(
            &ids.item("rs", items.len()),
            "completed",
            &[reasoning_part(&text)],
        ));
    }
    let calls: Vec<Value<'_>> = message
        .get_some("tool_calls")
        .map(|calls| calls.items().collect())
        .unwrap_or_default();
    let mut parts = Vec::new();
    let text = some_text(message, &["content"]);
    let refusal = some_text(message, &["refusal"]);
    if text.is_some() || (refusal.is_none() && calls.is_empty() && items.is_empty()) {
        let logprobs = logprobs.map_or(b"[]".as_slice(), |logprobs| logprobs.0);
        parts.push(text_part(&text.unwrap_or_default(), logprobs));
    }
    if let Some(refusal) = refusal {
        parts.push(refusal_part(&refusal));
    }
    if !parts.is_empty() {
        items.push(message_item(&ids.item("msg", items.len()), status, &parts));
    }
    for call in calls {
        let Some(function) = call.get_some("function") else {
            continue;
        };
        let Some(name) = some_text(function, &["name"]) else {
            continue;
        };
        let id = ids.item("fc", items.len());
        let call_id =
            some_text(call, &["id"]).map_or_else(|| ids.item("call", items.len()), Into::into);
        let arguments = some_text(function, &["arguments"])
            .unwrap_or_default()
            .into_owned();
        let call = FunctionCall {
            id,
            call_id,
            name: name.into_owned(),
            arguments,
        };
        items.push(function_call_item(&call, status));
    }
    items
}
