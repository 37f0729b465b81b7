//! What a request asks for, as far as the gateway must refuse, repair or count it. Everything else is the engine's.

use std::borrow::Cow;

use crate::body::{FieldError, RequestBody};
use crate::json::{Kind, Value};
use crate::usage::AnswerKind;

#[cfg(test)]
mod tests;

/// What a request asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Features {
    /// Stream the answer.
    pub stream: bool,
    /// `stream_options.include_usage` is true.
    pub include_usage: bool,
    /// Tools are offered (`tools` or the older `functions`).
    pub tools: bool,
    /// Which of them must be called.
    pub tool_choice: ToolChoice,
    /// The form the answer must have (`response_format`, or `text.format` of responses).
    pub response_format: ResponseFormat,
    /// A message has an image part.
    pub image_parts: bool,
    /// A message has an audio part.
    pub audio_parts: bool,
    /// A message has a file part.
    pub file_parts: bool,
    /// Choices wanted.
    pub n: Option<u64>,
    /// Log probabilities are wanted.
    pub logprobs: bool,
    /// Stop sequences are given.
    pub stop: bool,
    /// `max_tokens`.
    pub max_tokens: Option<u64>,
    /// `max_completion_tokens`.
    pub max_completion_tokens: Option<u64>,
    /// `max_output_tokens`.
    pub max_output_tokens: Option<u64>,
    /// `previous_response_id` is given.
    pub previous_response_id: bool,
    /// `store`, when given.
    pub store: Option<bool>,
    /// `background` is true.
    pub background: bool,
}

impl Features {
    /// The smallest of the answer limits given, in tokens.
    #[must_use]
    pub fn output_tokens_max(&self) -> Option<u64> {
        [
            self.max_tokens,
            self.max_completion_tokens,
            self.max_output_tokens,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

/// Which tool must be called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// Nothing is said: `auto` when tools are offered.
    #[default]
    Absent,
    /// The model decides.
    Auto,
    /// No tool.
    None,
    /// Any tool.
    Required,
    /// This one.
    Named(String),
    /// A form this program does not know; the engine may.
    Other,
}

/// The form the answer must have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ResponseFormat {
    /// Nothing is said.
    #[default]
    Absent,
    /// Any text.
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON that fits a schema.
    JsonSchema,
    /// A form this program does not know; the engine may.
    Other,
}

/// Reads what a request asks for, and checks the types of what it reads.
///
/// `messages` must be a non-empty array of objects with a string `role`; without `messages`, `prompt` and `input` must
/// be a string or an array.
///
/// # Errors
/// [`FieldError`] with the path of the field, such as `messages[2].content`.
pub fn features(body: &RequestBody) -> Result<Features, FieldError> {
    let mut features = Features {
        stream: body.boolean("stream")?.unwrap_or_default(),
        include_usage: include_usage(body)?,
        tools: has_items(body, "tools")? || has_items(body, "functions")?,
        tool_choice: tool_choice(body)?,
        response_format: response_format(body)?,
        n: count(body, "n")?,
        logprobs: body
            .some("logprobs")
            .is_some_and(|value| value.boolean() != Some(false)),
        stop: body.has("stop"),
        max_tokens: body.unsigned("max_tokens")?,
        max_completion_tokens: body.unsigned("max_completion_tokens")?,
        max_output_tokens: body.unsigned("max_output_tokens")?,
        previous_response_id: body.string("previous_response_id")?.is_some(),
        store: body.boolean("store")?,
        background: body.boolean("background")?.unwrap_or_default(),
        ..Features::default()
    };
    if let Some(messages) = body.some("messages") {
        read_messages(messages, &mut features)?;
    } else {
        for name in ["prompt", "input"] {
            if let Some(value) = body.some(name) {
                read_input(name, value, &mut features)?;
            }
        }
    }
    Ok(features)
}

/// Checks that what an endpoint cannot do without is there: `messages`, `prompt` or `input`; for Messages `max_tokens` too.
///
/// # Errors
/// [`FieldError`] with `found: "nothing"`. Responses may come without input (a stored prompt, a previous response).
pub fn require(body: &RequestBody, kind: AnswerKind) -> Result<(), FieldError> {
    let (name, expected) = match kind {
        AnswerKind::Chat => ("messages", MESSAGES),
        AnswerKind::Messages if !body.has("max_tokens") => ("max_tokens", COUNT),
        AnswerKind::Messages => ("messages", MESSAGES),
        AnswerKind::Completions => ("prompt", INPUT),
        AnswerKind::Embeddings => ("input", INPUT),
        AnswerKind::Responses => return Ok(()),
    };
    match body.some(name) {
        Some(_) => Ok(()),
        None => Err(FieldError::new(name, expected, body.value(name))),
    }
}

const COUNT: &str = "a whole number from 1";
const MESSAGES: &str = "a non-empty array of messages";
const INPUT: &str = "a string or a non-empty array";

fn wrong<T>(
    field: impl Into<String>,
    expected: &'static str,
    found: Value<'_>,
) -> Result<T, FieldError> {
    Err(FieldError::new(field, expected, Some(found)))
}

fn count(body: &RequestBody, name: &str) -> Result<Option<u64>, FieldError> {
    match body.unsigned(name)? {
        Some(0) => Err(FieldError {
            field: name.to_owned(),
            expected: COUNT,
            found: "0",
        }),
        number => Ok(number),
    }
}

fn has_items(body: &RequestBody, name: &str) -> Result<bool, FieldError> {
    match body.some(name) {
        None => Ok(false),
        Some(value) if value.kind() == Some(Kind::Array) => Ok(!value.is_empty_array()),
        Some(value) => wrong(name, "an array", value),
    }
}

fn object<'a>(body: &'a RequestBody, name: &str) -> Result<Option<Value<'a>>, FieldError> {
    match body.some(name) {
        Some(value) if value.kind() != Some(Kind::Object) => wrong(name, "an object", value),
        value => Ok(value),
    }
}

fn include_usage(body: &RequestBody) -> Result<bool, FieldError> {
    let Some(value) =
        object(body, "stream_options")?.and_then(|options| options.get_some("include_usage"))
    else {
        return Ok(false);
    };
    match value.boolean() {
        Some(wanted) => Ok(wanted),
        None => wrong("stream_options.include_usage", "a boolean", value),
    }
}

fn tool_choice(body: &RequestBody) -> Result<ToolChoice, FieldError> {
    let Some(value) = body.some("tool_choice") else {
        return Ok(ToolChoice::Absent);
    };
    Ok(match (value.kind(), value.text().as_deref()) {
        (Some(Kind::String), Some("auto")) => ToolChoice::Auto,
        (Some(Kind::String), Some("none")) => ToolChoice::None,
        (Some(Kind::String), Some("required")) => ToolChoice::Required,
        (Some(Kind::String), _) => ToolChoice::Other,
        (Some(Kind::Object), _) => {
            // Chat nests the name in `function`; responses have it at the top.
            let place = value.get("function").unwrap_or(value);
            place
                .get("name")
                .and_then(Value::text)
                .map_or(ToolChoice::Other, |name| ToolChoice::Named(name.into()))
        }
        _ => return wrong("tool_choice", "a string or an object", value),
    })
}

fn response_format(body: &RequestBody) -> Result<ResponseFormat, FieldError> {
    let format = match object(body, "response_format")? {
        Some(format) => Some(format),
        // Only responses give `text` an object; elsewhere the field is the engine's.
        None => body.some("text").and_then(|text| text.get_some("format")),
    };
    let Some(format) = format else {
        return Ok(ResponseFormat::Absent);
    };
    Ok(match format.get("type").and_then(Value::text).as_deref() {
        Some("text") => ResponseFormat::Text,
        Some("json_object") => ResponseFormat::JsonObject,
        Some("json_schema") => ResponseFormat::JsonSchema,
        _ => ResponseFormat::Other,
    })
}

fn read_messages(messages: Value<'_>, features: &mut Features) -> Result<(), FieldError> {
    if messages.kind() != Some(Kind::Array) {
        return wrong("messages", MESSAGES, messages);
    }
    if messages.is_empty_array() {
        return Err(FieldError {
            field: "messages".to_owned(),
            expected: MESSAGES,
            found: "an empty array",
        });
    }
    for (index, message) in messages.items().enumerate() {
        let path = || format!("messages[{index}]");
        if message.kind() != Some(Kind::Object) {
            return wrong(path(), "an object", message);
        }
        let mut role = None;
        for (key, value) in message.entries() {
            if key.is("role") {
                role = Some(value);
            } else if key.is("content") {
                read_content(value, features, &path)?;
            }
        }
        if role.and_then(Value::kind) != Some(Kind::String) {
            return Err(FieldError::new(path() + ".role", "a string", role));
        }
    }
    Ok(())
}

/// Content is a string, null, or an array of part objects.
fn read_content(
    content: Value<'_>,
    features: &mut Features,
    path: &dyn Fn() -> String,
) -> Result<(), FieldError> {
    match content.kind() {
        Some(Kind::String | Kind::Null) => Ok(()),
        Some(Kind::Array) => {
            for (index, part) in content.items().enumerate() {
                if part.kind() != Some(Kind::Object) {
                    return wrong(format!("{}.content[{index}]", path()), "an object", part);
                }
                note_part(part, features);
            }
            Ok(())
        }
        _ => wrong(
            path() + ".content",
            "a string or an array of parts",
            content,
        ),
    }
}

fn note_part(part: Value<'_>, features: &mut Features) {
    let kind = part
        .get("type")
        .and_then(Value::text)
        .unwrap_or(Cow::Borrowed(""));
    match &*kind {
        "image_url" | "input_image" | "image" => features.image_parts = true,
        "input_audio" | "audio_url" | "audio" => features.audio_parts = true,
        "file" | "input_file" => features.file_parts = true,
        _ => {}
    }
}

/// A prompt or input: a string, or an array of strings, token ids, arrays of these, or responses input items.
fn read_input(name: &str, input: Value<'_>, features: &mut Features) -> Result<(), FieldError> {
    match input.kind() {
        Some(Kind::String) => return Ok(()),
        Some(Kind::Array) => {}
        _ => return wrong(name, INPUT, input),
    }
    if input.is_empty_array() {
        return Err(FieldError {
            field: name.to_owned(),
            expected: INPUT,
            found: "an empty array",
        });
    }
    for (index, item) in input.items().enumerate() {
        let path = || format!("{name}[{index}]");
        match item.kind() {
            Some(Kind::String | Kind::Number | Kind::Array) => {}
            Some(Kind::Object) if name == "input" => {
                note_part(item, features);
                if let Some(content) = item.get("content") {
                    read_content(content, features, &path)?;
                }
            }
            _ if name == "input" => {
                return wrong(path(), "a string, a token id or an input item", item);
            }
            _ => return wrong(path(), "a string or a token id", item),
        }
    }
    Ok(())
}
