//! What a request's body asks of the engine.

use super::options::FakeEngineOptions;
use serde_json::Value;

/// Output tokens generated for one request at most, so that a test's slip does not eat the memory.
const OUTPUT_TOKENS_MAX: u64 = 100_000;

/// The doors of the engine that make tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Chat,
    Completions,
    Embeddings,
    Responses,
    /// Anthropic's.
    Messages,
}

impl Door {
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path.split('?').next()? {
            "/v1/chat/completions" => Some(Self::Chat),
            "/v1/completions" => Some(Self::Completions),
            "/v1/embeddings" => Some(Self::Embeddings),
            "/v1/responses" => Some(Self::Responses),
            "/v1/messages" => Some(Self::Messages),
            _ => None,
        }
    }
}

/// What a request's body asks.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) door: Door,
    pub(crate) model: String,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    /// Output tokens of one choice.
    pub(crate) output_tokens: u64,
    pub(crate) choices: u64,
    pub(crate) logprobs: bool,
    /// Name of the function that the answer must call.
    pub(crate) tool: Option<String>,
    pub(crate) base64: bool,
    /// Texts to embed.
    pub(crate) inputs: u64,
    pub(crate) prompt_tokens: u64,
    pub(crate) cached_tokens: u64,
}

impl Ask {
    /// Reads a body; the error is a message for the caller.
    pub(crate) fn read(
        door: Door,
        body: &[u8],
        options: &FakeEngineOptions,
    ) -> Result<Self, String> {
        let body: Value = serde_json::from_slice(body).map_err(|e| format!("not JSON: {e}"))?;
        if !body.is_object() {
            return Err("not a JSON object".to_owned());
        }
        let prompt = match door {
            Door::Chat | Door::Messages => &body["messages"],
            Door::Completions => &body["prompt"],
            Door::Embeddings | Door::Responses => &body["input"],
        };
        if prompt.is_null() {
            return Err("the prompt is missing".to_owned());
        }
        if door == Door::Messages {
            super::messages::check(&body)?;
        }
        let asked_tokens = ["max_completion_tokens", "max_output_tokens", "max_tokens"]
            .iter()
            .find_map(|key| body[*key].as_u64());
        let prompt_tokens = weight(prompt) / 4 + 1;
        let output_tokens = asked_tokens
            .unwrap_or(options.output_tokens)
            .min(OUTPUT_TOKENS_MAX);
        Ok(Self {
            door,
            model: body["model"].as_str().unwrap_or_default().to_owned(),
            stream: door != Door::Embeddings && body["stream"] == Value::Bool(true),
            include_usage: body["stream_options"]["include_usage"] == Value::Bool(true),
            output_tokens: if door == Door::Embeddings {
                0
            } else {
                output_tokens
            },
            choices: body["n"].as_u64().unwrap_or(1).clamp(1, 128),
            logprobs: matches!(&body["logprobs"], Value::Bool(true) | Value::Number(_)),
            tool: match door {
                Door::Chat => forced_tool(&body),
                Door::Messages => super::messages::forced_tool(&body),
                Door::Completions | Door::Embeddings | Door::Responses => None,
            },
            base64: body["encoding_format"] == "base64",
            inputs: input_count(prompt),
            prompt_tokens,
            cached_tokens: options.cached_tokens.min(prompt_tokens),
        })
    }

    /// Output tokens of all choices.
    pub(crate) fn output_tokens_total(&self) -> u64 {
        match &self.tool {
            Some(_) => super::answer::TOOL_ARGUMENTS.len() as u64,
            None => self.output_tokens * self.choices,
        }
    }
}

/// Characters of all texts, and four for each number (a prompt may be token ids).
fn weight(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.chars().count() as u64,
        Value::Number(_) => 4,
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(fields) => fields.values().map(weight).sum(),
        Value::Null | Value::Bool(_) => 0,
    }
}

fn input_count(input: &Value) -> u64 {
    match input {
        Value::Array(items) if !items.iter().all(Value::is_number) => items.len() as u64,
        _ => 1,
    }
}

/// The function that `tool_choice` forces; a free choice is answered with text.
fn forced_tool(body: &Value) -> Option<String> {
    let first = || {
        body["tools"][0]["function"]["name"]
            .as_str()
            .map(str::to_owned)
    };
    match &body["tool_choice"] {
        Value::String(word) if word == "required" => first(),
        Value::Object(choice) => choice
            .get("function")
            .and_then(|function| function["name"].as_str())
            .map(str::to_owned),
        _ => None,
    }
}
