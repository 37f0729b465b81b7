//! The request: which chat fields are mapped, left out, or refused.

use super::messages::Messages;
use super::tools::tools;
use crate::json::{Kind, Value};
use crate::mapping::{
    MapError, ObjectWriter, array, compact, expect_kind, request_object, required_string, string_of,
};

/// Fields that cannot change what an answer says: wishes about streams' counts, caches and a service's own records.
const LEFT_OUT: [&str; 5] = [
    "stream_options",
    "metadata",
    "prompt_cache_key",
    "prompt_cache_retention",
    "cache_salt",
];

/// Fields whose values here ask for nothing; any other asks for what the API lacks.
const ASKS_NOTHING: [(&str, &[&str]); 10] = [
    ("n", &["1"]),
    ("logprobs", &["false"]),
    ("top_logprobs", &["0"]),
    ("frequency_penalty", &["0", "0.0"]),
    ("presence_penalty", &["0", "0.0"]),
    ("logit_bias", &["{}"]),
    ("store", &["false"]),
    ("service_tier", &["\"auto\"", "\"default\""]),
    ("modalities", &["[\"text\"]"]),
    ("verbosity", &["\"medium\""]),
];

/// Maps a chat completion request to a Messages request. `output_tokens_default` becomes `max_tokens`, which the API
/// demands, where the caller set no bound.
///
/// # Errors
/// A refusal that names the field: it is missing, of a wrong type or value, or asks for what Messages cannot say.
pub fn to_messages(chat: &[u8], output_tokens_default: u64) -> Result<Vec<u8>, MapError> {
    let request = request_object(chat)?;
    let model = request
        .get_some("model")
        .ok_or_else(|| MapError::missing("model"))?;
    let list = request
        .get_some("messages")
        .ok_or_else(|| MapError::missing("messages"))?;
    let messages = Messages::of(list)?;
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
    let mut body = ObjectWriter::new();
    body.raw("model", model.0).number(
        "max_tokens",
        map.output_tokens_max
            .unwrap_or(output_tokens_default.max(1)),
    );
    if let Some(system) = messages.system() {
        body.string("system", &system);
    }
    body.raw("messages", array(messages.list()));
    tools(request, &mut body)?;
    if let Some(user) = map.user {
        body.raw(
            "metadata",
            ObjectWriter::new().raw("user_id", user.0).done(),
        );
    }
    if map.has_output_config {
        body.raw("output_config", map.output_config.done());
    }
    let other = map.other.done();
    Ok(body.copy_except(Value(&other), &[]).done())
}

#[derive(Default)]
struct Mapping<'a> {
    output_tokens_max: Option<u64>,
    user: Option<Value<'a>>,
    output_config: ObjectWriter,
    has_output_config: bool,
    other: ObjectWriter,
}

impl<'a> Mapping<'a> {
    fn field(&mut self, name: &str, value: Value<'a>) -> Result<(), MapError> {
        match name {
            "model" | "messages" | "tools" | "tool_choice" | "parallel_tool_calls" => {}
            "max_tokens" | "max_completion_tokens" => {
                let bound = value.unsigned().filter(|bound| *bound > 0);
                let bound = bound
                    .ok_or_else(|| MapError::invalid(name, "must be a whole number above zero"))?;
                self.output_tokens_max =
                    Some(self.output_tokens_max.map_or(bound, |max| max.min(bound)));
            }
            "stream" => self.pass(name, value, Kind::Boolean)?,
            "temperature" => {
                expect_kind(value, name, Kind::Number)?;
                let text = std::str::from_utf8(value.0).unwrap_or_default();
                if text.parse::<f64>().is_ok_and(|degree| degree > 1.0) {
                    let message = "must be from 0 to 1 with this model";
                    return Err(MapError::unsupported(name, message));
                }
                self.other.raw(name, value.0);
            }
            "top_p" | "top_k" => self.pass(name, value, Kind::Number)?,
            // Not a field of OpenAI's: whoever sends it means Anthropic's.
            "thinking" => self.pass(name, value, Kind::Object)?,
            "stop" => self.stop(value)?,
            "user" | "safety_identifier" => {
                expect_kind(value, name, Kind::String)?;
                self.user = Some(value);
            }
            "response_format" => self.response_format(value)?,
            "reasoning_effort" => self.effort(value)?,
            _ => return other_field(name, value),
        }
        Ok(())
    }

    fn pass(&mut self, name: &str, value: Value<'_>, kind: Kind) -> Result<(), MapError> {
        expect_kind(value, name, kind)?;
        self.other.raw(name, value.0);
        Ok(())
    }

    fn stop(&mut self, value: Value<'_>) -> Result<(), MapError> {
        if value.kind() == Some(Kind::String) {
            self.other.raw("stop_sequences", array([value.0]));
            return Ok(());
        }
        expect_kind(value, "stop", Kind::Array)?;
        for (index, item) in value.items().enumerate() {
            expect_kind(item, &format!("stop[{index}]"), Kind::String)?;
        }
        self.other.raw("stop_sequences", value.0);
        Ok(())
    }

    fn response_format(&mut self, value: Value<'_>) -> Result<(), MapError> {
        expect_kind(value, "response_format", Kind::Object)?;
        let field = "response_format.json_schema.schema";
        match required_string(value, "type", "response_format")?.as_str() {
            "text" => return Ok(()),
            "json_schema" => {}
            _ => {
                let message = "must be `text` or `json_schema` with this model";
                return Err(MapError::unsupported("response_format.type", message));
            }
        }
        let schema = value
            .get_some("json_schema")
            .and_then(|format| format.get_some("schema"))
            .ok_or_else(|| MapError::missing(field))?;
        expect_kind(schema, field, Kind::Object)?;
        let format = ObjectWriter::new()
            .string("type", "json_schema")
            .raw("schema", schema.0)
            .done();
        self.output_config.raw("format", format);
        self.has_output_config = true;
        Ok(())
    }

    fn effort(&mut self, value: Value<'_>) -> Result<(), MapError> {
        let field = "reasoning_effort";
        match string_of(value, field)?.as_str() {
            "none" => {
                self.other.raw("thinking", r#"{"type":"disabled"}"#);
            }
            "low" | "medium" | "high" | "xhigh" | "max" => {
                self.output_config.raw("effort", value.0);
                self.has_output_config = true;
            }
            _ => {
                let message = "must be `none`, `low`, `medium`, `high`, `xhigh` or `max`";
                return Err(MapError::unsupported(field, message));
            }
        }
        Ok(())
    }
}

/// Fields that say nothing here, and those that ask for what Messages cannot do.
fn other_field(name: &str, value: Value<'_>) -> Result<(), MapError> {
    if LEFT_OUT.contains(&name) {
        return Ok(());
    }
    let written = compact(value.0);
    match ASKS_NOTHING.iter().find(|(known, _)| *known == name) {
        Some((_, values)) if values.iter().any(|value| value.as_bytes() == written) => Ok(()),
        Some((_, values)) => {
            let message = format!("must be {} with this model", values[0]);
            Err(MapError::unsupported(name, message))
        }
        None => {
            let message = "is not something that this model's upstream can be asked for";
            Err(MapError::unsupported(name, message))
        }
    }
}
