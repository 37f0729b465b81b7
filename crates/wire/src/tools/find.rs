//! Finds calls in a text.
//!
//! [`look`] decides by the beginning alone and never takes a "no" back when the text grows; [`find_calls`] asks it
//! first. So a stream that let a text go early and an answer read whole agree for every split into chunks.

use super::{CALL_TEXT_BYTES_MAX, ToolSpec};
use crate::json::{Kind, Value};
use crate::mapping::{compact, leading_value, whole_object};

/// The words after a fence under which calls are printed.
const FENCE_WORDS: [&str; 4] = ["", "json", "tool_call", "tool_code"];
const FENCE: &str = "```";
const TAG_OPEN: &str = "<tool_call>";
const TAG_CLOSE: &str = "</tool_call>";
/// The keys of a printed call.
const KEYS: [&str; 6] = ["name", "arguments", "parameters", "function", "type", "id"];
/// A text whose first bytes do not tell is not a call; this also bounds the work per chunk.
const BEGINNING_BYTES_MAX: usize = 1024;

/// A printed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) name: String,
    /// A JSON object without white space between its tokens.
    pub(super) arguments: String,
}

/// What the beginning of a text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It is no call, whatever follows.
    No,
    /// Too short to tell.
    Open,
    /// It begins like a call.
    Likely,
}

/// Reads the beginning of a text.
pub(super) fn look(text: &str, offered: &[ToolSpec]) -> Look {
    let window = &text[..text.floor_char_boundary(BEGINNING_BYTES_MAX)];
    match look_outside(window.trim_start(), offered) {
        Look::Open if window.len() < text.len() => Look::No,
        look => look,
    }
}

fn look_outside(text: &str, offered: &[ToolSpec]) -> Look {
    if let Some(rest) = text.strip_prefix(FENCE) {
        let (word, body) = match rest.split_once('\n') {
            Some((word, body)) => (word.trim(), Some(body)),
            None => (rest.trim(), None),
        };
        return match body {
            Some(body) if FENCE_WORDS.contains(&word) => look_inside(body.trim_start(), offered),
            None if FENCE_WORDS.iter().any(|known| known.starts_with(word)) => Look::Open,
            _ => Look::No,
        };
    }
    if !text.is_empty() && FENCE.starts_with(text) {
        Look::Open
    } else {
        look_inside(text, offered)
    }
}

fn look_inside(text: &str, offered: &[ToolSpec]) -> Look {
    let text = match text.strip_prefix(TAG_OPEN) {
        Some(rest) => rest.trim_start(),
        None if TAG_OPEN.starts_with(text) => return Look::Open,
        None => text,
    };
    let text = text.strip_prefix('[').map_or(text, str::trim_start);
    let Some(rest) = text.strip_prefix('{') else {
        return if text.is_empty() {
            Look::Open
        } else {
            Look::No
        };
    };
    look_object(rest.trim_start(), offered)
}

fn look_object(text: &str, offered: &[ToolSpec]) -> Look {
    let Some(rest) = text.strip_prefix('"') else {
        return if text.is_empty() {
            Look::Open
        } else {
            Look::No
        };
    };
    let Some((key, rest)) = rest.split_once('"') else {
        return if KEYS.iter().any(|known| known.starts_with(rest)) {
            Look::Open
        } else {
            Look::No
        };
    };
    match key {
        "name" => look_name(rest.trim_start(), offered),
        _ if KEYS.contains(&key) => Look::Likely,
        _ => Look::No,
    }
}

fn look_name(text: &str, offered: &[ToolSpec]) -> Look {
    let text = text.strip_prefix(':').map_or(text, str::trim_start);
    if text.is_empty() {
        return Look::Open;
    }
    let Some(rest) = text.strip_prefix('"') else {
        return Look::No;
    };
    let known = match rest.split_once('"') {
        Some((name, _)) => offered
            .iter()
            .any(|tool| tool.name == name)
            .then_some(Look::Likely),
        None => offered
            .iter()
            .any(|tool| tool.name.starts_with(rest))
            .then_some(Look::Open),
    };
    known.unwrap_or(Look::No)
}

/// The calls that a text consists of; none when any part of it is something else.
pub(super) fn find_calls(text: &str, offered: &[ToolSpec]) -> Option<Vec<Call>> {
    if text.len() > CALL_TEXT_BYTES_MAX || look(text, offered) != Look::Likely {
        return None;
    }
    let mut calls = Vec::new();
    let rest = read_run(text, "", offered, &mut calls)?;
    (rest.is_empty() && !calls.is_empty()).then_some(calls)
}

/// Reads calls up to `close` and gives what follows. The end of the text closes everything: models stop before the
/// closing mark.
fn read_run<'a>(
    text: &'a str,
    close: &str,
    offered: &[ToolSpec],
    calls: &mut Vec<Call>,
) -> Option<&'a str> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        if rest.is_empty() {
            return Some(rest);
        }
        if let Some(after) = rest.strip_prefix(close).filter(|_| !close.is_empty()) {
            return Some(after);
        }
        rest = if let Some(inner) = rest.strip_prefix(TAG_OPEN).filter(|_| close != TAG_CLOSE) {
            read_run(inner, TAG_CLOSE, offered, calls)?
        } else if let Some(inner) = rest.strip_prefix(FENCE).filter(|_| close.is_empty()) {
            let (word, body) = inner.split_once('\n')?;
            FENCE_WORDS.contains(&word.trim()).then_some(())?;
            read_run(body, FENCE, offered, calls)?
        } else {
            let (value, end) = leading_value(rest)?;
            read_value(value, offered, calls)?;
            &rest[end..]
        };
    }
}

fn read_value(value: Value<'_>, offered: &[ToolSpec], calls: &mut Vec<Call>) -> Option<()> {
    if value.kind() == Some(Kind::Array) {
        for item in value.items() {
            calls.push(read_call(item, offered)?);
        }
        return Some(());
    }
    calls.push(read_call(value, offered)?);
    Some(())
}

/// `{"name", "arguments"}`, its variant with `parameters`, and `{"type": "function", "function": {…}}`.
fn read_call(value: Value<'_>, offered: &[ToolSpec]) -> Option<Call> {
    if value.kind() != Some(Kind::Object) {
        return None;
    }
    let mut name = None;
    let mut arguments = None;
    for (key, value) in value.entries() {
        match key.decoded()?.as_ref() {
            "name" => name = Some(value.text()?),
            "arguments" => arguments = Some(value),
            "parameters" if !is_schema(value) => arguments = Some(value),
            "function" if value.kind() == Some(Kind::Object) => {
                name = Some(value.get("name")?.text()?);
                arguments = value
                    .get("arguments")
                    .or_else(|| value.get("parameters").filter(|v| !is_schema(*v)));
            }
            "function" => name = Some(value.text()?),
            "type" | "id" => {
                value.text()?;
            }
            // A further key means that this is something else, such as a tool's own description printed back.
            _ => return None,
        }
    }
    let name = name
        .filter(|name| offered.iter().any(|tool| tool.name == name.as_ref()))?
        .into_owned();
    let arguments = arguments_text(arguments?)?;
    Some(Call { name, arguments })
}

fn arguments_text(arguments: Value<'_>) -> Option<String> {
    let text = match arguments.kind()? {
        Kind::Object => compact(arguments.0),
        Kind::String => compact(whole_object(arguments.text()?.as_bytes())?.0),
        Kind::Array | Kind::Number | Kind::Boolean | Kind::Null => return None,
    };
    String::from_utf8(text).ok()
}

/// Whether `parameters` is the tool's schema printed back rather than arguments.
fn is_schema(value: Value<'_>) -> bool {
    let is_object_type = value.get("type").and_then(Value::text).as_deref() == Some("object");
    is_object_type
        && value
            .get("properties")
            .is_some_and(|properties| properties.kind() == Some(Kind::Object))
}
