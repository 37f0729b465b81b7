//! Chat messages as `system` and `messages`.
//!
//! System and developer messages come to stand in front, wherever they stood, as in Anthropic's own compatibility layer.
//! Results of tools that follow each other become one turn, since the API wants all results of a turn together.

use crate::json::{Kind, Value};
use crate::mapping::{
    MapError, ObjectWriter, array, expect_kind, required, required_string, string_of, whole_object,
    wrong_kind,
};

/// What the messages of a request became.
#[derive(Debug, Default)]
pub(super) struct Messages {
    system: Vec<String>,
    list: Vec<Vec<u8>>,
    /// Results of tools that the next message closes.
    results: Vec<Vec<u8>>,
}

impl Messages {
    /// Maps `messages`.
    pub(super) fn of(messages: Value<'_>) -> Result<Self, MapError> {
        expect_kind(messages, "messages", Kind::Array)?;
        let mut all = Self::default();
        for (index, message) in messages.items().enumerate() {
            all.add(message, &format!("messages[{index}]"))?;
        }
        all.close_results();
        Ok(all)
    }

    /// The system text, if there is one.
    pub(super) fn system(&self) -> Option<String> {
        (!self.system.is_empty()).then(|| self.system.join("\n\n"))
    }

    /// The turns, each as JSON.
    pub(super) fn list(&self) -> &[Vec<u8>] {
        &self.list
    }

    fn add(&mut self, message: Value<'_>, path: &str) -> Result<(), MapError> {
        if message.kind() != Some(Kind::Object) {
            return Err(wrong_kind(message, path, "an object"));
        }
        let role = required_string(message, "role", path)?;
        // A result's name repeats its call's; a speaker's has no place to go.
        if role != "tool" && message.get_some("name").is_some() {
            let message = "has no place with this model: say in the text who speaks";
            return Err(MapError::unsupported(format!("{path}.name"), message));
        }
        match role.as_str() {
            "system" | "developer" => {
                let (content, field) = required(message, "content", path)?;
                self.system.push(text_of(content, &field)?);
            }
            "user" => {
                let (content, field) = required(message, "content", path)?;
                let content = content_of(content, &field, user_part)?;
                self.turn("user", &content);
            }
            "assistant" => {
                let content = assistant_content(message, path)?;
                self.turn("assistant", &content);
            }
            "tool" => {
                let (id, field) = required(message, "tool_call_id", path)?;
                expect_kind(id, &field, Kind::String)?;
                let (content, field) = required(message, "content", path)?;
                let mut result = ObjectWriter::new();
                result
                    .string("type", "tool_result")
                    .raw("tool_use_id", id.0)
                    .raw("content", content_of(content, &field, user_part)?);
                self.results.push(result.done());
            }
            _ => {
                let message = "must be `system`, `developer`, `user`, `assistant` or `tool`";
                return Err(MapError::invalid(format!("{path}.role"), message));
            }
        }
        Ok(())
    }

    fn turn(&mut self, role: &str, content: &[u8]) {
        self.close_results();
        self.list.push(
            ObjectWriter::new()
                .string("role", role)
                .raw("content", content)
                .done(),
        );
    }

    fn close_results(&mut self) {
        if !self.results.is_empty() {
            let results = array(std::mem::take(&mut self.results));
            self.turn("user", &results);
        }
    }
}

/// A content that must be text, its parts joined.
fn text_of(content: Value<'_>, field: &str) -> Result<String, MapError> {
    match content.kind() {
        Some(Kind::String) => string_of(content, field),
        Some(Kind::Array) => {
            let mut texts = Vec::new();
            for (index, part) in content.items().enumerate() {
                let path = format!("{field}[{index}]");
                if required_string(part, "type", &path)? != "text" {
                    let message = "must be text here";
                    return Err(MapError::unsupported(format!("{path}.type"), message));
                }
                texts.push(required_string(part, "text", &path)?);
            }
            Ok(texts.join("\n"))
        }
        _ => Err(wrong_kind(content, field, "a string or an array")),
    }
}

/// The block that a part of a content becomes; none for an empty text.
type BlockOf = fn(Value<'_>, &str) -> Result<Option<Vec<u8>>, MapError>;

/// A string as it stands, or parts as blocks; the API takes no empty texts among them.
fn content_of(content: Value<'_>, field: &str, block: BlockOf) -> Result<Vec<u8>, MapError> {
    match content.kind() {
        Some(Kind::String) => Ok(content.0.to_vec()),
        Some(Kind::Array) => {
            let mut blocks = Vec::new();
            for (index, part) in content.items().enumerate() {
                blocks.extend(block(part, &format!("{field}[{index}]"))?);
            }
            Ok(array(blocks))
        }
        _ => Err(wrong_kind(content, field, "a string or an array")),
    }
}

fn text_block(text: Value<'_>) -> Option<Vec<u8>> {
    let block = || {
        ObjectWriter::new()
            .string("type", "text")
            .raw("text", text.0)
            .done()
    };
    (text.0 != b"\"\"").then(block)
}

fn user_part(part: Value<'_>, path: &str) -> Result<Option<Vec<u8>>, MapError> {
    match required_string(part, "type", path)?.as_str() {
        "text" => {
            let (text, field) = required(part, "text", path)?;
            expect_kind(text, &field, Kind::String)?;
            Ok(text_block(text))
        }
        "image_url" => {
            let (image, path) = required(part, "image_url", path)?;
            let url = required_string(image, "url", &path)?;
            let source = image_source(&url, &format!("{path}.url"))?;
            let mut out = ObjectWriter::new();
            Ok(Some(
                out.string("type", "image").raw("source", source).done(),
            ))
        }
        "file" => file_block(part, path).map(Some),
        _ => {
            let message = "is not a kind of content that this model's upstream takes";
            Err(MapError::unsupported(format!("{path}.type"), message))
        }
    }
}

fn image_source(url: &str, field: &str) -> Result<Vec<u8>, MapError> {
    if let Some((media_type, data)) = data_url(url) {
        return Ok(base64_source(media_type, data));
    }
    if url.starts_with("https://") || url.starts_with("http://") {
        return Ok(ObjectWriter::new()
            .string("type", "url")
            .string("url", url)
            .done());
    }
    let message = "must be an http(s) URL or a data URL in base64";
    Err(MapError::invalid(field, message))
}

fn file_block(part: Value<'_>, path: &str) -> Result<Vec<u8>, MapError> {
    let (file, path) = required(part, "file", path)?;
    let field = format!("{path}.file_data");
    let Some(data) = file.get_some("file_data") else {
        let message = "must hold the file: stored files of this upstream cannot be named";
        return Err(MapError::unsupported(field, message));
    };
    let url = string_of(data, &field)?;
    let Some(("application/pdf", data)) = data_url(&url) else {
        let message = "must be a data URL of `application/pdf` in base64";
        return Err(MapError::unsupported(field, message));
    };
    let mut out = ObjectWriter::new();
    out.string("type", "document")
        .raw("source", base64_source("application/pdf", data));
    if let Some(name) = file.get_some("filename") {
        expect_kind(name, &format!("{path}.filename"), Kind::String)?;
        out.raw("title", name.0);
    }
    Ok(out.done())
}

fn base64_source(media_type: &str, data: &str) -> Vec<u8> {
    ObjectWriter::new()
        .string("type", "base64")
        .string("media_type", media_type)
        .string("data", data)
        .done()
}

/// The media type and the base64 text of a data URL.
fn data_url(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?;
    Some((media_type.split(';').next()?, data))
}

/// An assistant's turn: its thinking as it was signed, its text, its calls.
fn assistant_content(message: Value<'_>, path: &str) -> Result<Vec<u8>, MapError> {
    let mut blocks = Vec::new();
    if let Some(thinking) = message.get_some("thinking_blocks") {
        expect_kind(thinking, &format!("{path}.thinking_blocks"), Kind::Array)?;
        blocks.extend(thinking.items().map(|block| block.0.to_vec()));
    }
    let calls = message.get_some("tool_calls");
    let refusal = message.get_some("refusal");
    let content = message.get_some("content").or(refusal);
    if let Some(content) = content {
        let field = format!("{path}.content");
        let only_text = content.kind() == Some(Kind::String);
        if only_text && calls.is_none() && blocks.is_empty() {
            return Ok(content.0.to_vec());
        }
        if only_text {
            blocks.extend(text_block(content));
        } else {
            let parts = content_of(content, &field, assistant_part)?;
            blocks.extend(Value(&parts).items().map(|part| part.0.to_vec()));
        }
    }
    if let Some(calls) = calls {
        let field = format!("{path}.tool_calls");
        expect_kind(calls, &field, Kind::Array)?;
        for (index, call) in calls.items().enumerate() {
            blocks.push(tool_use(call, &format!("{field}[{index}]"))?);
        }
    }
    if blocks.is_empty() {
        return Err(MapError::missing(format!("{path}.content")));
    }
    Ok(array(blocks))
}

fn assistant_part(part: Value<'_>, path: &str) -> Result<Option<Vec<u8>>, MapError> {
    let name = match required_string(part, "type", path)?.as_str() {
        "text" => "text",
        "refusal" => "refusal",
        _ => {
            let message = "must be text here";
            return Err(MapError::unsupported(format!("{path}.type"), message));
        }
    };
    let (text, field) = required(part, name, path)?;
    expect_kind(text, &field, Kind::String)?;
    Ok(text_block(text))
}

fn tool_use(call: Value<'_>, path: &str) -> Result<Vec<u8>, MapError> {
    let (id, field) = required(call, "id", path)?;
    expect_kind(id, &field, Kind::String)?;
    let (function, path) = required(call, "function", path)?;
    let (name, field) = required(function, "name", &path)?;
    expect_kind(name, &field, Kind::String)?;
    let arguments = required_string(function, "arguments", &path)?;
    let input = match arguments.trim() {
        "" => "{}",
        text if whole_object(text.as_bytes()).is_some() => text,
        _ => {
            let message = "must be the text of a JSON object";
            return Err(MapError::invalid(format!("{path}.arguments"), message));
        }
    };
    let mut out = ObjectWriter::new();
    Ok(out
        .string("type", "tool_use")
        .raw("id", id.0)
        .raw("name", name.0)
        .raw("input", input)
        .done())
}
