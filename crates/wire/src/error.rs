//! Errors on the wire: ours in OpenAI's shape, and the engines' many shapes read into one.
//!
//! What makes the official SDKs raise inside a stream (openai-python `_streaming.py`, openai-node `core/streaming.ts`;
//! checked with openai-python 3.54.0 and openai-node 6.49.0):
//! an event whose data is an object with a truthy top-level `error`. Python raises `APIError` with `error.message`
//! whatever the event is called; JavaScript raises `APIError` from `error` both for nameless events and for
//! `event: error`, where older releases read nothing but `data.error` and `data.message`. A stream that merely ends,
//! even without `[DONE]`, raises in neither.

use bytes::Bytes;
use serde::Serialize;

use crate::anthropic;
use crate::json::{Kind, Value};
use crate::usage::AnswerKind;

#[cfg(test)]
mod tests;

/// What an error says to a client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ErrorFields<'a> {
    /// What is wrong, for a person.
    pub message: &'a str,
    /// OpenAI's class: `invalid_request_error`, `rate_limit_error`, `server_error`, …
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// The field at fault.
    pub param: Option<&'a str>,
    /// The stable code.
    pub code: &'a str,
    /// The request's id.
    pub request_id: &'a str,
    /// What mends it; left out when there is nothing to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<&'a str>,
    /// Where the code is explained.
    pub doc: &'a str,
    /// When trying again makes sense, in milliseconds from now: in events of a stream, which have no headers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Why each place is denied, where policy refuses.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub reasons: &'a [PolicyReason],
}

/// Why policy denies one place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PolicyReason {
    /// The site or upstream.
    pub location: String,
    /// The rules that decided.
    pub rules: Vec<String>,
    /// Rules that would permit, with those of their conditions that fail, as `own-sites(own)`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmet: Vec<String>,
    /// Why, in a sentence.
    pub text: String,
    /// The same in Korean.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text_ko: String,
    /// A model that may be had instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reroute: Option<String>,
}

#[derive(Serialize)]
struct Body<'a> {
    error: &'a ErrorFields<'a>,
}

/// The `error` event of a responses stream: OpenAI's own form, whose facts stand at the top, with the `error` object
/// beside it that openai-python needs in order to raise.
#[derive(Serialize)]
struct ResponsesEvent<'a> {
    #[serde(rename = "type")]
    event: &'static str,
    code: &'a str,
    message: &'a str,
    param: Option<&'a str>,
    sequence_number: u64,
    error: &'a ErrorFields<'a>,
}

/// The body of an error answer: `{"error": {…}}`.
#[must_use]
pub fn error_body(fields: &ErrorFields<'_>) -> String {
    text(&Body { error: fields })
}

/// The event that ends a broken stream so that both official SDKs raise. No `[DONE]` follows it: a stream that broke
/// did not finish. For responses, `sequence_number` is 0, because whoever breaks in has not counted the events.
#[must_use]
pub fn stream_error_event(kind: AnswerKind, fields: &ErrorFields<'_>) -> Bytes {
    let event = match kind {
        AnswerKind::Chat | AnswerKind::Completions | AnswerKind::Embeddings => {
            format!("data: {}\n\n", error_body(fields))
        }
        AnswerKind::Messages => {
            format!("event: error\ndata: {}\n\n", anthropic::error_body(fields))
        }
        AnswerKind::Responses => {
            let ErrorFields {
                code,
                message,
                param,
                ..
            } = *fields;
            let event = ResponsesEvent {
                event: "error",
                code,
                message,
                param,
                sequence_number: 0,
                error: fields,
            };
            format!("event: error\ndata: {}\n\n", text(&event))
        }
    };
    Bytes::from(event)
}

pub(crate) fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("a struct of strings and numbers always serialises")
}

/// An engine's error, whatever its shape was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineError {
    /// What it says.
    pub message: String,
    /// Its class, when it names one.
    pub kind: Option<String>,
    /// Its code, also when it is a number.
    pub code: Option<String>,
    /// The field at fault.
    pub param: Option<String>,
    /// The prompt's length in tokens, when the prompt was too long and the engine says how long.
    pub prompt_tokens: Option<u64>,
    /// The context it did not fit, in tokens.
    pub context_tokens: Option<u64>,
}

impl EngineError {
    /// Whether the prompt, or prompt and answer, did not fit the model's context: by llama.cpp's
    /// `exceed_context_size_error`, OpenAI's `context_length_exceeded`, or the sentences of vLLM and SGLang.
    #[must_use]
    pub fn is_context_exceeded(&self) -> bool {
        let names = [self.kind.as_deref(), self.code.as_deref()];
        if names
            .iter()
            .flatten()
            .any(|name| ["exceed_context_size_error", "context_length_exceeded"].contains(name))
        {
            return true;
        }
        let message = self.message.to_ascii_lowercase();
        [
            "maximum context length",                     // vLLM, OpenAI
            "maximum model length",                       // vLLM
            "exceeds the available context size",         // llama.cpp
            "longer than the model's context length",     // SGLang
            "exceeds the maximum allowed length",         // SGLang
            "is longer than the maximum model length of", // vLLM
        ]
        .iter()
        .any(|sentence| message.contains(sentence))
    }
}

/// The longest message taken over from an engine, in bytes; some put a whole trace into it.
const MESSAGE_BYTES_MAX: usize = 2_000;

/// Reads an engine's error: `{"error": {…}}` (OpenAI, vLLM, llama.cpp), `{"error": "…"}`, `{"object": "error", …}`
/// (older vLLM, SGLang), `{"detail": …}` (FastAPI), `{"message": …}`. None for anything else.
#[must_use]
pub fn engine_error(body: &[u8]) -> Option<EngineError> {
    let top = Value::of(body);
    if let Some(error) = top.get_some("error") {
        return match error.kind()? {
            Kind::Object => Some(from_object(error)),
            Kind::String => Some(plain(error.text()?.into())),
            Kind::Array | Kind::Number | Kind::Boolean | Kind::Null => None,
        };
    }
    if top
        .get("object")
        .and_then(Value::text)
        .is_some_and(|object| object == "error")
    {
        return Some(from_object(top));
    }
    if let Some(detail) = top.get_some("detail") {
        return from_detail(detail);
    }
    top.get("message")
        .and_then(Value::text)
        .map(|_| from_object(top))
}

fn from_object(error: Value<'_>) -> EngineError {
    let word = |name: &str| {
        let value = error.get_some(name)?;
        match value.kind()? {
            Kind::String => value.text().map(Into::into),
            Kind::Number => std::str::from_utf8(value.0).ok().map(Into::into),
            Kind::Object | Kind::Array | Kind::Boolean | Kind::Null => None,
        }
    };
    let number = |name: &str| error.get(name).and_then(Value::unsigned);
    EngineError {
        message: shortened(word("message").unwrap_or_default()),
        kind: word("type"),
        code: word("code"),
        param: word("param"),
        prompt_tokens: number("n_prompt_tokens"),
        context_tokens: number("n_ctx"),
    }
}

/// FastAPI's detail: a sentence, or a list of faults with their places.
fn from_detail(detail: Value<'_>) -> Option<EngineError> {
    if let Some(text) = detail.text() {
        return Some(plain(text.into()));
    }
    if detail.kind() == Some(Kind::Object) {
        return Some(from_object(detail));
    }
    let first = detail.items().next()?;
    let message: String = first.get("msg").and_then(Value::text)?.into();
    let path: Vec<String> = first
        .get("loc")
        .into_iter()
        .flat_map(Value::items)
        .filter_map(|step| match step.kind()? {
            Kind::Number => std::str::from_utf8(step.0).ok().map(Into::into),
            _ => step.text().map(Into::into),
        })
        .filter(|step: &String| step != "body")
        .take(16)
        .collect();
    let param = (!path.is_empty()).then(|| path.join("."));
    Some(EngineError {
        param,
        ..plain(message)
    })
}

fn plain(message: String) -> EngineError {
    EngineError {
        message: shortened(message),
        ..EngineError::default()
    }
}

fn shortened(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
    message
}
