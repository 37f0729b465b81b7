//! `input` as chat messages.

use crate::json::{Kind, Value};
use crate::mapping::{
    MapError, ObjectWriter, array, quoted, required, required_string, string_of, wrong_kind,
};

/// Chat messages under construction. Neighbours that chat templates expect as one message are joined.
#[derive(Debug, Default)]
pub(super) struct Messages {
    done: Vec<Vec<u8>>,
    open: Option<Open>,
    has_images: bool,
}

/// The last message, which the next item may still extend.
#[derive(Debug)]
enum Open {
    /// System texts at the beginning: many templates accept one system message only.
    System(String),
    /// An assistant's turn: its text (JSON, or none) and its calls.
    Assistant {
        content: Option<Vec<u8>>,
        calls: Vec<Vec<u8>>,
    },
}

impl Messages {
    /// Adds a system text.
    pub(super) fn system(&mut self, text: &str) {
        match &mut self.open {
            Some(Open::System(before)) => {
                before.push_str("\n\n");
                before.push_str(text);
            }
            Some(Open::Assistant { .. }) | None => {
                self.close();
                if self.done.is_empty() {
                    self.open = Some(Open::System(text.to_owned()));
                } else {
                    self.message("system", &quoted(text));
                }
            }
        }
    }

    fn assistant(&mut self, content: Vec<u8>) {
        self.close();
        self.open = Some(Open::Assistant {
            content: Some(content),
            calls: Vec::new(),
        });
    }

    fn call(&mut self, call: Vec<u8>) {
        if let Some(Open::Assistant { calls, .. }) = &mut self.open {
            calls.push(call);
            return;
        }
        self.close();
        self.open = Some(Open::Assistant {
            content: None,
            calls: vec![call],
        });
    }

    fn tool_result(&mut self, call_id: &[u8], content: &str) {
        self.close();
        let mut out = ObjectWriter::new();
        self.done.push(
            out.string("role", "tool")
                .raw("tool_call_id", call_id)
                .string("content", content)
                .done(),
        );
    }

    fn message(&mut self, role: &str, content: &[u8]) {
        self.close();
        self.done.push(
            ObjectWriter::new()
                .string("role", role)
                .raw("content", content)
                .done(),
        );
    }

    fn close(&mut self) {
        match self.open.take() {
            None => {}
            Some(Open::System(text)) => {
                self.done.push(
                    ObjectWriter::new()
                        .string("role", "system")
                        .string("content", &text)
                        .done(),
                );
            }
            Some(Open::Assistant { content, calls }) => {
                let mut out = ObjectWriter::new();
                out.string("role", "assistant")
                    .raw("content", content.unwrap_or_else(|| b"null".to_vec()));
                if !calls.is_empty() {
                    out.raw("tool_calls", array(calls));
                }
                self.done.push(out.done());
            }
        }
    }

    /// The messages, each as JSON.
    pub(super) fn list(&mut self) -> &[Vec<u8>] {
        self.close();
        &self.done
    }

    pub(super) fn has_images(&self) -> bool {
        self.has_images
    }
}

/// Adds `input`: a text or a list of items.
pub(super) fn add_input(messages: &mut Messages, input: Value<'_>) -> Result<(), MapError> {
    match input.kind() {
        Some(Kind::String) => {
            messages.message("user", &quoted(&string_of(input, "input")?));
            Ok(())
        }
        Some(Kind::Array) => {
            for (index, item) in input.items().enumerate() {
                add_item(messages, item, &format!("input[{index}]"))?;
            }
            Ok(())
        }
        _ => Err(wrong_kind(input, "input", "a string or an array")),
    }
}

fn add_item(messages: &mut Messages, item: Value<'_>, path: &str) -> Result<(), MapError> {
    if item.kind() != Some(Kind::Object) {
        return Err(wrong_kind(item, path, "an object"));
    }
    let field = format!("{path}.type");
    let kind = match item.get_some("type") {
        Some(kind) => string_of(kind, &field)?,
        None if item.get_some("role").is_some() => "message".to_owned(),
        None => return Err(MapError::missing(field)),
    };
    match kind.as_str() {
        "message" => add_message(messages, item, path),
        "function_call" => add_call(messages, item, path),
        "function_call_output" => add_result(messages, item, path),
        // Chat templates drop earlier reasoning; the API allows that.
        "reasoning" => Ok(()),
        "item_reference" => {
            let message = "needs stored items, and none are kept here: send the item itself";
            Err(MapError::unsupported(field, message))
        }
        _ => Err(MapError::unsupported(
            field,
            "is not a kind of item this model can take",
        )),
    }
}

fn add_message(messages: &mut Messages, item: Value<'_>, path: &str) -> Result<(), MapError> {
    let role = required_string(item, "role", path)?;
    let (content, field) = required(item, "content", path)?;
    match role.as_str() {
        "user" => {
            let content = user_content(messages, content, &field)?;
            messages.message("user", &content);
        }
        "assistant" => messages.assistant(quoted(&joined_text(content, &field, "")?)),
        // Templates of open models do not know `developer`.
        "system" | "developer" => messages.system(&joined_text(content, &field, "\n")?),
        _ => {
            let message = "must be `user`, `assistant`, `system` or `developer`";
            return Err(MapError::invalid(format!("{path}.role"), message));
        }
    }
    Ok(())
}

/// A content that must be text only, its parts joined.
fn joined_text(content: Value<'_>, field: &str, between: &str) -> Result<String, MapError> {
    if content.kind() == Some(Kind::String) {
        return string_of(content, field);
    }
    if content.kind() != Some(Kind::Array) {
        return Err(wrong_kind(content, field, "a string or an array"));
    }
    let mut texts = Vec::new();
    for (index, part) in content.items().enumerate() {
        let path = format!("{field}[{index}]");
        texts.push(match required_string(part, "type", &path)?.as_str() {
            "input_text" | "output_text" | "text" => required_string(part, "text", &path)?,
            "refusal" => required_string(part, "refusal", &path)?,
            _ => {
                return Err(MapError::unsupported(
                    format!("{path}.type"),
                    "must be text here",
                ));
            }
        });
    }
    Ok(texts.join(between))
}

fn user_content(
    messages: &mut Messages,
    content: Value<'_>,
    field: &str,
) -> Result<Vec<u8>, MapError> {
    if content.kind() == Some(Kind::String) {
        return Ok(quoted(&string_of(content, field)?));
    }
    if content.kind() != Some(Kind::Array) {
        return Err(wrong_kind(content, field, "a string or an array"));
    }
    let mut parts = Vec::new();
    let mut only_text = None;
    for (index, part) in content.items().enumerate() {
        let path = format!("{field}[{index}]");
        match required_string(part, "type", &path)?.as_str() {
            "input_text" | "text" | "output_text" => {
                let text = required_string(part, "text", &path)?;
                parts.push(
                    ObjectWriter::new()
                        .string("type", "text")
                        .string("text", &text)
                        .done(),
                );
                only_text = (index == 0).then_some(text);
            }
            "input_image" => {
                parts.push(image_part(part, &path)?);
                messages.has_images = true;
                only_text = None;
            }
            "input_audio" => {
                let (audio, _) = required(part, "input_audio", &path)?;
                parts.push(
                    ObjectWriter::new()
                        .string("type", "input_audio")
                        .raw("input_audio", audio.0)
                        .done(),
                );
                only_text = None;
            }
            "input_file" => {
                let message = "cannot be read by this model: send the file's text as `input_text`";
                return Err(MapError::unsupported(format!("{path}.type"), message));
            }
            _ => {
                let message = "is not a kind of content this model can take";
                return Err(MapError::unsupported(format!("{path}.type"), message));
            }
        }
    }
    Ok(match only_text {
        Some(text) => quoted(&text),
        None => array(parts),
    })
}

fn image_part(part: Value<'_>, path: &str) -> Result<Vec<u8>, MapError> {
    if part.get_some("file_id").is_some() {
        let message = "needs stored files, and none are kept here: send `image_url`";
        return Err(MapError::unsupported(format!("{path}.file_id"), message));
    }
    let url = required_string(part, "image_url", path)?;
    let mut image = ObjectWriter::new();
    image.string("url", &url);
    if let Some(detail) = part.get_some("detail") {
        image.raw("detail", detail.0);
    }
    Ok(ObjectWriter::new()
        .string("type", "image_url")
        .raw("image_url", image.done())
        .done())
}

fn add_call(messages: &mut Messages, item: Value<'_>, path: &str) -> Result<(), MapError> {
    let call_id = required_string(item, "call_id", path)?;
    let name = required_string(item, "name", path)?;
    let arguments = required_string(item, "arguments", path)?;
    let function = ObjectWriter::new()
        .string("name", &name)
        .string("arguments", &arguments)
        .done();
    let mut call = ObjectWriter::new();
    messages.call(
        call.string("id", &call_id)
            .string("type", "function")
            .raw("function", function)
            .done(),
    );
    Ok(())
}

fn add_result(messages: &mut Messages, item: Value<'_>, path: &str) -> Result<(), MapError> {
    let call_id = required_string(item, "call_id", path)?;
    let (output, field) = required(item, "output", path)?;
    let text = joined_text(output, &field, "\n")?;
    messages.tool_result(&quoted(&call_id), &text);
    Ok(())
}
