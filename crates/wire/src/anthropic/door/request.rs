//! The request: which fields of Messages are mapped, left out, passed, or refused.

use super::content::{Messages, text_of};
use super::tools::tools;
use crate::json::{Kind, Value};
use crate::mapping::{
    MapError, ObjectWriter, array, compact, expect_kind, request_object, required_string,
};

/// A chat completion request made of a Messages request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatRequest {
    /// The body for `/v1/chat/completions`.
    pub body: Vec<u8>,
    /// Whether the caller asked to see the thinking.
    pub thinking: bool,
}

/// Fields of Messages that an engine cannot honour, and their values that ask for nothing.
const REFUSED: [(&str, &[&str], &str); 7] = [
    (
        "container",
        &[],
        "needs a container, and this model has none",
    ),
    (
        "mcp_servers",
        &["[]"],
        "are not called for this model: call them yourself and send what they say",
    ),
    (
        "context_management",
        &[],
        "is not available with this model: send fewer `messages`",
    ),
    (
        "inference_geo",
        &[],
        "is not the caller's to choose: the policy says where a model runs",
    ),
    (
        "service_tier",
        &["\"auto\"", "\"standard_only\""],
        "must be `auto` or `standard_only` with this model",
    ),
    (
        "speed",
        &["\"standard\""],
        "must be `standard` with this model",
    ),
    ("diagnostics", &[], "are not available with this model"),
];

/// Chat fields with another name here; passing them on would contradict what is mapped.
const RENAMED: [(&str, &str); 9] = [
    ("stop", "`stop_sequences`"),
    ("max_completion_tokens", "`max_tokens`"),
    ("response_format", "`output_config.format`"),
    ("reasoning_effort", "`output_config.effort`"),
    (
        "parallel_tool_calls",
        "`tool_choice.disable_parallel_tool_use`",
    ),
    ("user", "`metadata.user_id`"),
    ("stream_options", "`stream` alone"),
    ("functions", "`tools`"),
    ("n", "one request for each answer"),
];

/// Maps a Messages request to a chat completion request.
///
/// # Errors
/// A refusal that names the field: it is missing, of a wrong type or value, or asks for what cannot be honoured.
pub fn to_chat(body: &[u8]) -> Result<ChatRequest, MapError> {
    let request = request_object(body)?;
    let of = |name: &'static str| {
        let value = request.get_some(name);
        value.ok_or_else(|| MapError::missing(name))
    };
    let (model, max_tokens, list) = (of("model")?, of("max_tokens")?, of("messages")?);
    let mut messages = Messages::default();
    if let Some(system) = request.get_some("system") {
        messages.system(&text_of(system, "system")?);
    }
    messages.add_all(list)?;
    let mut map = Mapping::default();
    for (key, value) in request.entries() {
        let Some(name) = key.decoded() else {
            let message = "has a key that is not valid Unicode";
            return Err(MapError::invalid("body", message));
        };
        if !value.is_null() {
            map.field(&name, value)?;
        }
    }
    let mut chat = ObjectWriter::new();
    chat.raw("model", model.0)
        .raw("messages", array(messages.list()))
        .raw("max_tokens", max_tokens.0);
    tools(request, &mut chat)?;
    let other = map.other.done();
    Ok(ChatRequest {
        body: chat.copy_except(Value(&other), &[]).done(),
        thinking: map.thinking,
    })
}

#[derive(Default)]
struct Mapping {
    thinking: bool,
    other: ObjectWriter,
}

impl Mapping {
    fn field(&mut self, name: &str, value: Value<'_>) -> Result<(), MapError> {
        if let Some((_, nothing, reason)) = REFUSED.iter().find(|(known, ..)| *known == name) {
            let written = compact(value.0);
            if nothing.iter().any(|value| value.as_bytes() == written) {
                return Ok(());
            }
            return Err(MapError::unsupported(name, *reason));
        }
        if let Some((_, instead)) = RENAMED.iter().find(|(known, _)| *known == name) {
            let message = format!("is not a field of `/v1/messages`: use {instead}");
            return Err(MapError::invalid(name, message));
        }
        match name {
            "model" | "messages" | "system" | "tools" | "tool_choice" => {}
            // A hint about the engine's cache, which works by itself.
            "cache_control" => {}
            "max_tokens" => {
                if value.unsigned().is_none_or(|bound| bound == 0) {
                    let message = "must be a whole number above zero";
                    return Err(MapError::invalid(name, message));
                }
            }
            "stream" => {
                expect_kind(value, name, Kind::Boolean)?;
                self.other.raw(name, value.0);
                if value.boolean() == Some(true) {
                    self.other
                        .raw("stream_options", r#"{"include_usage":true}"#);
                }
            }
            "stop_sequences" => {
                expect_kind(value, name, Kind::Array)?;
                if !value.is_empty_array() {
                    self.other.raw("stop", value.0);
                }
            }
            "metadata" => {
                expect_kind(value, name, Kind::Object)?;
                if let Some(user) = value.get_some("user_id") {
                    expect_kind(user, "metadata.user_id", Kind::String)?;
                    self.other.raw("user", user.0);
                }
            }
            "thinking" => {
                // How long an engine thinks is its own affair; what the caller decides is whether to see it.
                self.thinking = match required_string(value, "type", name)?.as_str() {
                    "enabled" | "adaptive" => true,
                    "disabled" => false,
                    _ => {
                        let message = "must be `enabled`, `adaptive` or `disabled`";
                        return Err(MapError::unsupported("thinking.type", message));
                    }
                };
            }
            "output_config" => self.output_config(value)?,
            // Sampling, and fields unknown here: they reach the engine as they are.
            _ => {
                self.other.raw(name, value.0);
            }
        }
        Ok(())
    }

    fn output_config(&mut self, value: Value<'_>) -> Result<(), MapError> {
        expect_kind(value, "output_config", Kind::Object)?;
        if let Some(effort) = value.get_some("effort") {
            let field = "output_config.effort";
            expect_kind(effort, field, Kind::String)?;
            if !matches!(effort.text().as_deref(), Some("low" | "medium" | "high")) {
                let message = "must be `low`, `medium` or `high` with this model";
                return Err(MapError::unsupported(field, message));
            }
            self.other.raw("reasoning_effort", effort.0);
        }
        if let Some(format) = value.get_some("format") {
            let field = "output_config.format";
            if required_string(format, "type", field)? != "json_schema" {
                let message = "must be `json_schema` with this model";
                return Err(MapError::unsupported("output_config.format.type", message));
            }
            let field = "output_config.format.schema";
            let schema = format
                .get_some("schema")
                .ok_or_else(|| MapError::missing(field))?;
            expect_kind(schema, field, Kind::Object)?;
            let schema = ObjectWriter::new()
                .string("name", "answer")
                .raw("strict", "true")
                .raw("schema", schema.0)
                .done();
            let format = ObjectWriter::new()
                .string("type", "json_schema")
                .raw("json_schema", schema)
                .done();
            self.other.raw("response_format", format);
        }
        Ok(())
    }
}
