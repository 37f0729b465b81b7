//! The request: which fields are mapped, passed, only repeated in the answer, or refused.

use super::input::{Messages, add_input};
use super::object::Echo;
use super::tools::{chat_tool, tool_choice};
use crate::json::{Kind, Value};
use crate::mapping::{MapError, ObjectWriter, array, expect_kind, request_object, string_of};

/// A chat completion request made of a Responses request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatRequest {
    /// The body for `/v1/chat/completions`.
    pub body: Vec<u8>,
    /// Whether the caller wants an event stream.
    pub stream: bool,
    /// What the answer repeats.
    pub echo: Echo,
    /// The most tokens to generate, if the caller set it.
    pub max_output_tokens: Option<u64>,
    /// Whether the caller offers tools.
    pub has_tools: bool,
    /// Whether an input holds an image.
    pub has_images: bool,
}

/// Fields that need what this mapping does not have: a memory, a queue, hosted tools, a second model.
const REFUSED: [(&str, &str); 10] = [
    (
        "previous_response_id",
        "needs stored responses, and none are kept here: send the earlier items in `input`",
    ),
    (
        "conversation",
        "needs stored conversations, and none are kept here: send the earlier items in `input`",
    ),
    (
        "prompt",
        "needs stored prompts, and none are kept here: send the text in `instructions` and `input`",
    ),
    (
        "background_options",
        "needs background responses, which this model's engine does not have",
    ),
    (
        "context_management",
        "is not available with this model: send a shorter `input`",
    ),
    ("moderation", "is not available with this model"),
    ("access_programs", "is not available with this model"),
    ("image", "is not available with this model"),
    (
        "prompt_cache_options",
        "is not available with this model: the engine caches prefixes by itself",
    ),
    (
        "prompt_cache_retention",
        "is not available with this model: the engine caches prefixes by itself",
    ),
];

/// Chat fields with another name here; passing them on would contradict what is mapped.
const RENAMED: [(&str, &str); 9] = [
    (
        "messages",
        "is a field of `/v1/chat/completions`: use `input`",
    ),
    (
        "max_tokens",
        "is a field of `/v1/chat/completions`: use `max_output_tokens`",
    ),
    (
        "max_completion_tokens",
        "is a field of `/v1/chat/completions`: use `max_output_tokens`",
    ),
    (
        "response_format",
        "is a field of `/v1/chat/completions`: use `text.format`",
    ),
    (
        "reasoning_effort",
        "is a field of `/v1/chat/completions`: use `reasoning.effort`",
    ),
    (
        "logprobs",
        "is a field of `/v1/chat/completions`: use `top_logprobs`",
    ),
    (
        "functions",
        "is a field of `/v1/chat/completions`: use `tools`",
    ),
    (
        "function_call",
        "is a field of `/v1/chat/completions`: use `tool_choice`",
    ),
    (
        "n",
        "is a field of `/v1/chat/completions`: a response has one answer",
    ),
];

/// What may be asked to be included although it never occurs: the output of tools that are refused, and the input's own
/// images, which only a stored response could repeat.
const INCLUDE_NEVER_OCCURS: [&str; 5] = [
    "web_search_call.action.sources",
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
];

/// Maps a Responses request to a chat completion request.
///
/// # Errors
/// A refusal that names the field: it is missing, of a wrong type or value, or asks for what cannot be honoured.
pub fn to_chat(body: &[u8]) -> Result<ChatRequest, MapError> {
    let request = request_object(body)?;
    let mut map = Mapping::default();
    let mut messages = Messages::default();
    let model = request
        .get_some("model")
        .ok_or_else(|| MapError::missing("model"))?;
    map.echo.model = string_of(model, "model")?;
    map.chat.raw("model", model.0);
    if let Some(instructions) = request.get_some("instructions") {
        messages.system(&string_of(instructions, "instructions")?);
        map.echo.keep("instructions", instructions);
    }
    let input = request
        .get_some("input")
        .ok_or_else(|| MapError::missing("input"))?;
    add_input(&mut messages, input)?;
    map.chat.raw("messages", array(messages.list()));
    for (key, value) in request.entries() {
        let Some(name) = key.decoded() else {
            return Err(MapError::invalid(
                "body",
                "has a key that is not valid Unicode",
            ));
        };
        if !value.is_null() {
            map.field(&name, value)?;
        }
    }
    map.tools(request)?;
    if let Some(top) = map.top_logprobs {
        map.chat.raw("logprobs", "true").number("top_logprobs", top);
    } else if map.echo.include_logprobs {
        map.chat.raw("logprobs", "true");
    }
    if map.stream {
        map.chat
            .raw("stream", "true")
            .raw("stream_options", r#"{"include_usage":true}"#);
    }
    let passed = map.passed.done();
    Ok(ChatRequest {
        body: map.chat.copy_except(Value(&passed), &[]).done(),
        stream: map.stream,
        echo: map.echo,
        max_output_tokens: map.max_output_tokens,
        has_tools: map.has_tools,
        has_images: messages.has_images(),
    })
}

#[derive(Default)]
struct Mapping {
    chat: ObjectWriter,
    /// Fields unknown here: they reach the engine as they are.
    passed: ObjectWriter,
    echo: Echo,
    stream: bool,
    max_output_tokens: Option<u64>,
    top_logprobs: Option<u64>,
    has_tools: bool,
}

impl Mapping {
    fn field(&mut self, name: &str, value: Value<'_>) -> Result<(), MapError> {
        for (refused, reason) in REFUSED {
            if refused == name {
                return Err(MapError::unsupported(name, reason));
            }
        }
        for (renamed, reason) in RENAMED {
            if renamed == name {
                return Err(MapError::invalid(name, reason));
            }
        }
        match name {
            "model" | "input" | "instructions" | "tools" | "tool_choice" => {}
            "max_output_tokens" => {
                let limit = value.unsigned().filter(|limit| *limit > 0);
                let limit = limit
                    .ok_or_else(|| MapError::invalid(name, "must be a whole number above zero"))?;
                self.max_output_tokens = Some(limit);
                self.chat.number("max_tokens", limit);
                self.echo.keep("max_output_tokens", value);
            }
            "temperature" => self.pass_as("temperature", value, Kind::Number)?,
            "top_p" => self.pass_as("top_p", value, Kind::Number)?,
            "parallel_tool_calls" => {
                expect_kind(value, name, Kind::Boolean)?;
                self.echo.keep("parallel_tool_calls", value);
            }
            "user" => self.pass_as("user", value, Kind::String)?,
            "safety_identifier" => self.repeat("safety_identifier", value, Kind::String)?,
            "prompt_cache_key" => self.repeat("prompt_cache_key", value, Kind::String)?,
            // It bounds calls of hosted tools, of which there are none.
            "max_tool_calls" => self.repeat("max_tool_calls", value, Kind::Number)?,
            "metadata" => self.repeat("metadata", value, Kind::Object)?,
            "top_logprobs" => {
                let top = value.unsigned().filter(|top| *top <= 20);
                let top = top.ok_or_else(|| {
                    MapError::invalid(name, "must be a whole number from 0 to 20")
                })?;
                self.top_logprobs = (top > 0).then_some(top);
                self.echo.include_logprobs |= top > 0;
                self.echo.keep("top_logprobs", value);
            }
            "stream" => {
                expect_kind(value, name, Kind::Boolean)?;
                self.stream = value.boolean() == Some(true);
            }
            "include" => self.include(value)?,
            "reasoning" => self.reasoning(value)?,
            "text" => self.text(value)?,
            _ => return self.other_field(name, value),
        }
        Ok(())
    }

    /// Fields about how a response is run, and unknown ones.
    fn other_field(&mut self, name: &str, value: Value<'_>) -> Result<(), MapError> {
        match name {
            // Nothing is kept either way, and the answer says so.
            "store" => expect_kind(value, name, Kind::Boolean)?,
            "stream_options" => stream_options(value)?,
            "background" if value.boolean() == Some(false) => {}
            "background" => {
                return Err(MapError::unsupported(
                    name,
                    "responses must be waited for with this model",
                ));
            }
            "truncation" if value.text().as_deref() == Some("disabled") => {}
            "truncation" => {
                return Err(MapError::unsupported(
                    name,
                    "must be `disabled`: send a shorter `input`",
                ));
            }
            "service_tier" if matches!(value.text().as_deref(), Some("auto" | "default")) => {}
            "service_tier" => {
                return Err(MapError::unsupported(
                    name,
                    "must be `auto` or `default` with this model",
                ));
            }
            _ => {
                self.passed.raw(name, value.0);
            }
        }
        Ok(())
    }

    /// Sends a field on under its name and repeats it.
    fn pass_as(
        &mut self,
        name: &'static str,
        value: Value<'_>,
        kind: Kind,
    ) -> Result<(), MapError> {
        self.repeat(name, value, kind)?;
        self.chat.raw(name, value.0);
        Ok(())
    }

    fn repeat(&mut self, name: &'static str, value: Value<'_>, kind: Kind) -> Result<(), MapError> {
        expect_kind(value, name, kind)?;
        self.echo.keep(name, value);
        Ok(())
    }

    fn include(&mut self, value: Value<'_>) -> Result<(), MapError> {
        expect_kind(value, "include", Kind::Array)?;
        for (index, item) in value.items().enumerate() {
            let field = format!("include[{index}]");
            match string_of(item, &field)?.as_str() {
                "message.output_text.logprobs" => self.echo.include_logprobs = true,
                known if INCLUDE_NEVER_OCCURS.contains(&known) => {}
                "reasoning.encrypted_content" => {
                    return Err(MapError::unsupported(
                        field,
                        "cannot be given: reasoning is not encrypted here",
                    ));
                }
                _ => {
                    return Err(MapError::unsupported(
                        field,
                        "is not something this model can include",
                    ));
                }
            }
        }
        Ok(())
    }

    fn reasoning(&mut self, value: Value<'_>) -> Result<(), MapError> {
        expect_kind(value, "reasoning", Kind::Object)?;
        for name in ["summary", "generate_summary"] {
            // `auto` leaves it to the model whether there is a summary; the others demand one.
            if value
                .get_some(name)
                .is_some_and(|summary| summary.text().as_deref() != Some("auto"))
            {
                let field = format!("reasoning.{name}");
                return Err(MapError::unsupported(
                    field,
                    "cannot be given: reasoning comes whole, not summarised",
                ));
            }
        }
        if let Some(effort) = value.get_some("effort") {
            expect_kind(effort, "reasoning.effort", Kind::String)?;
            self.chat.raw("reasoning_effort", effort.0);
        }
        self.echo.keep("reasoning", value);
        Ok(())
    }

    fn text(&mut self, value: Value<'_>) -> Result<(), MapError> {
        expect_kind(value, "text", Kind::Object)?;
        if let Some(verbosity) = value.get_some("verbosity") {
            expect_kind(verbosity, "text.verbosity", Kind::String)?;
            self.chat.raw("verbosity", verbosity.0);
        }
        if let Some(format) = value.get_some("format") {
            let kind = format
                .get_some("type")
                .ok_or_else(|| MapError::missing("text.format.type"))?;
            match string_of(kind, "text.format.type")?.as_str() {
                "text" => {}
                "json_object" => {
                    self.chat
                        .raw("response_format", r#"{"type":"json_object"}"#);
                }
                "json_schema" => {
                    if format.get_some("schema").is_none() {
                        return Err(MapError::missing("text.format.schema"));
                    }
                    let schema = ObjectWriter::new().copy_except(format, &["type"]).done();
                    let format = ObjectWriter::new()
                        .string("type", "json_schema")
                        .raw("json_schema", schema)
                        .done();
                    self.chat.raw("response_format", format);
                }
                _ => {
                    return Err(MapError::unsupported(
                        "text.format.type",
                        "is not a format this model can write",
                    ));
                }
            }
        }
        self.echo.keep("text", value);
        Ok(())
    }

    /// Tools and the choice among them: these depend on each other.
    fn tools(&mut self, request: Value<'_>) -> Result<(), MapError> {
        let tools = request.get_some("tools");
        let mut chat_tools: Vec<(String, Vec<u8>)> = Vec::new();
        if let Some(tools) = tools {
            expect_kind(tools, "tools", Kind::Array)?;
            for (index, tool) in tools.items().enumerate() {
                chat_tools.push(chat_tool(tool, index)?);
            }
            self.echo.keep("tools", tools);
        }
        let mut chat_choice = None;
        if let Some(choice) = request.get_some("tool_choice") {
            chat_choice = tool_choice(choice, &mut chat_tools)?;
            self.echo.keep("tool_choice", choice);
        }
        self.has_tools = !chat_tools.is_empty();
        if self.has_tools {
            self.chat
                .raw("tools", array(chat_tools.iter().map(|(_, json)| json)));
            if let Some(choice) = chat_choice {
                self.chat.raw("tool_choice", choice);
            }
            if let Some(parallel) = request.get_some("parallel_tool_calls") {
                self.chat.raw("parallel_tool_calls", parallel.0);
            }
        }
        Ok(())
    }
}

fn stream_options(value: Value<'_>) -> Result<(), MapError> {
    let field = "stream_options.include_obfuscation";
    match value
        .get_some("include_obfuscation")
        .and_then(Value::boolean)
    {
        Some(true) => Err(MapError::unsupported(field, "is not done here")),
        Some(false) | None => Ok(()),
    }
}
