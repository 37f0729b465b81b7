//! `system` and `messages` as chat messages.

use crate::json::{Kind, Value};
use crate::mapping::{
    MapError, ObjectWriter, array, compact, expect_kind, quoted, required, required_string,
    string_of, wrong_kind,
};

/// Chat messages under construction.
#[derive(Debug, Default)]
pub(super) struct Messages {
    list: Vec<Vec<u8>>,
}

/// The content of one turn, taken apart.
#[derive(Default)]
struct Turn {
    /// Texts and images, in their order.
    parts: Vec<Vec<u8>>,
    /// The texts alone, where nothing else is among the parts.
    texts: Option<Vec<String>>,
    calls: Vec<Vec<u8>>,
    /// Results of tools, each a message.
    results: Vec<Vec<u8>>,
}

impl Messages {
    /// The messages, each as JSON.
    pub(super) fn list(&self) -> &[Vec<u8>] {
        &self.list
    }

    /// Adds a system text; an empty one is none.
    pub(super) fn system(&mut self, text: &str) {
        if !text.is_empty() {
            let mut out = ObjectWriter::new();
            self.list
                .push(out.string("role", "system").string("content", text).done());
        }
    }

    /// Adds `messages`.
    pub(super) fn add_all(&mut self, messages: Value<'_>) -> Result<(), MapError> {
        expect_kind(messages, "messages", Kind::Array)?;
        let mut last = None;
        for (index, message) in messages.items().enumerate() {
            let path = format!("messages[{index}]");
            if message.kind() != Some(Kind::Object) {
                return Err(wrong_kind(message, &path, "an object"));
            }
            let role = required_string(message, "role", &path)?;
            self.add(&role, message, &path)?;
            last = Some((role, path));
        }
        // Engines begin a new turn where Anthropic's models go on with the last one's words.
        if let Some((role, path)) = last
            && role == "assistant"
        {
            let message = "must not be `assistant` in the last message: this model cannot go on with its text";
            return Err(MapError::unsupported(format!("{path}.role"), message));
        }
        Ok(())
    }

    fn add(&mut self, role: &str, message: Value<'_>, path: &str) -> Result<(), MapError> {
        let (content, field) = required(message, "content", path)?;
        let role = match role {
            "system" => {
                self.system(&text_of(content, &field)?);
                return Ok(());
            }
            "user" | "assistant" => role,
            _ => {
                let message = "must be `user`, `assistant` or `system`";
                return Err(MapError::invalid(format!("{path}.role"), message));
            }
        };
        if content.kind() == Some(Kind::String) {
            self.push(role, content.0, &[]);
            return Ok(());
        }
        if content.kind() != Some(Kind::Array) {
            return Err(wrong_kind(content, &field, "a string or an array"));
        }
        let mut turn = Turn {
            texts: Some(Vec::new()),
            ..Turn::default()
        };
        for (index, block) in content.items().enumerate() {
            turn.block(block, role, &format!("{field}[{index}]"))?;
        }
        self.list.append(&mut turn.results);
        if role == "assistant" {
            let text = turn.texts.unwrap_or_default().concat();
            let content = match text.as_str() {
                "" if !turn.calls.is_empty() => b"null".to_vec(),
                text => quoted(text),
            };
            self.push(role, &content, &turn.calls);
        } else if !turn.parts.is_empty() {
            let content = match turn.texts.as_deref() {
                Some([text]) => quoted(text),
                _ => array(turn.parts),
            };
            self.push(role, &content, &[]);
        }
        Ok(())
    }

    fn push(&mut self, role: &str, content: &[u8], calls: &[Vec<u8>]) {
        let mut out = ObjectWriter::new();
        out.string("role", role).raw("content", content);
        if !calls.is_empty() {
            out.raw("tool_calls", array(calls));
        }
        self.list.push(out.done());
    }
}

impl Turn {
    fn block(&mut self, block: Value<'_>, role: &str, path: &str) -> Result<(), MapError> {
        let kind = required_string(block, "type", path)?;
        match (kind.as_str(), role) {
            ("text", _) => self.text(required_string(block, "text", path)?),
            ("image", "user") => {
                let (source, path) = required(block, "source", path)?;
                self.image(&image_url(source, &path)?);
            }
            ("document", "user") => {
                let (source, path) = required(block, "source", path)?;
                if required_string(source, "type", &path)? != "text" {
                    let message = "must be `text` with this model: send the document's text";
                    return Err(MapError::unsupported(format!("{path}.type"), message));
                }
                self.text(required_string(source, "data", &path)?);
            }
            ("tool_result", "user") => self.results.push(tool_result(block, path)?),
            ("tool_use", "assistant") => self.calls.push(tool_call(block, path)?),
            // Chat templates drop earlier thinking.
            ("thinking" | "redacted_thinking", "assistant") => {}
            _ => {
                let message = "is not a kind of content that this model takes here";
                return Err(MapError::unsupported(format!("{path}.type"), message));
            }
        }
        Ok(())
    }

    fn text(&mut self, text: String) {
        self.parts.push(
            ObjectWriter::new()
                .string("type", "text")
                .string("text", &text)
                .done(),
        );
        if let Some(texts) = &mut self.texts {
            texts.push(text);
        }
    }

    fn image(&mut self, url: &str) {
        self.texts = None;
        let image = ObjectWriter::new().string("url", url).done();
        self.parts.push(
            ObjectWriter::new()
                .string("type", "image_url")
                .raw("image_url", image)
                .done(),
        );
    }
}

/// A text, or blocks of text joined.
pub(super) fn text_of(content: Value<'_>, field: &str) -> Result<String, MapError> {
    match content.kind() {
        Some(Kind::String) => string_of(content, field),
        Some(Kind::Array) => {
            let mut texts = Vec::new();
            for (index, block) in content.items().enumerate() {
                let path = format!("{field}[{index}]");
                if required_string(block, "type", &path)? != "text" {
                    let message = "must be `text` here with this model";
                    return Err(MapError::unsupported(format!("{path}.type"), message));
                }
                texts.push(required_string(block, "text", &path)?);
            }
            Ok(texts.join("\n\n"))
        }
        _ => Err(wrong_kind(content, field, "a string or an array")),
    }
}

fn image_url(source: Value<'_>, path: &str) -> Result<String, MapError> {
    match required_string(source, "type", path)?.as_str() {
        "base64" => {
            let media_type = required_string(source, "media_type", path)?;
            let data = required_string(source, "data", path)?;
            Ok(format!("data:{media_type};base64,{data}"))
        }
        "url" => required_string(source, "url", path),
        _ => {
            let message = "must be `base64` or `url`: no files are kept here";
            Err(MapError::unsupported(format!("{path}.type"), message))
        }
    }
}

fn tool_result(block: Value<'_>, path: &str) -> Result<Vec<u8>, MapError> {
    let (id, field) = required(block, "tool_use_id", path)?;
    expect_kind(id, &field, Kind::String)?;
    let mut text = match block.get_some("content") {
        Some(content) => text_of(content, &format!("{path}.content"))?,
        None => String::new(),
    };
    // Chat has no field for it, and a model must not take a failure for a result.
    if block.get("is_error").and_then(Value::boolean) == Some(true) {
        text.insert_str(0, "Error: ");
    }
    let mut out = ObjectWriter::new();
    Ok(out
        .string("role", "tool")
        .raw("tool_call_id", id.0)
        .string("content", &text)
        .done())
}

fn tool_call(block: Value<'_>, path: &str) -> Result<Vec<u8>, MapError> {
    let (id, field) = required(block, "id", path)?;
    expect_kind(id, &field, Kind::String)?;
    let (name, field) = required(block, "name", path)?;
    expect_kind(name, &field, Kind::String)?;
    let (input, field) = required(block, "input", path)?;
    expect_kind(input, &field, Kind::Object)?;
    let arguments = String::from_utf8_lossy(&compact(input.0)).into_owned();
    let function = ObjectWriter::new()
        .raw("name", name.0)
        .string("arguments", &arguments)
        .done();
    let mut out = ObjectWriter::new();
    Ok(out
        .raw("id", id.0)
        .string("type", "function")
        .raw("function", function)
        .done())
}
