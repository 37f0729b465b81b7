//! What the mappings (`anthropic`, `responses`, `tools`) share: their refusal, a check of whole texts, and a writer that keeps the
//! order of keys.

use thiserror::Error;

use crate::json::{Key, Kind, Scanner, Value};

/// How many containers a mapped text may nest.
pub(crate) const DEPTH_MAX: u32 = 128;

/// The stable code of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapCode {
    /// The field asks for something that this mapping cannot honour.
    FeatureUnsupported,
    /// The field has a wrong type or value.
    FieldInvalid,
    /// A field that must be there is not.
    FieldMissing,
}

impl MapCode {
    /// The code as it stands in `error.code`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FeatureUnsupported => "feature_unsupported",
            Self::FieldInvalid => "field_invalid",
            Self::FieldMissing => "field_missing",
        }
    }
}

/// Why a request could not be mapped. The message never holds the caller's text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{field}` {message}")]
pub struct MapError {
    /// The path of the field, such as `input[2].content[0].type`; it goes to `error.param`.
    pub field: String,
    /// What is wrong with it, as the rest of a sentence that begins with the field.
    pub message: String,
    /// The stable code.
    pub code: MapCode,
}

impl MapError {
    pub(crate) fn unsupported(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
            code: MapCode::FeatureUnsupported,
        }
    }

    pub(crate) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
            code: MapCode::FieldInvalid,
        }
    }

    pub(crate) fn missing(field: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: "is missing".to_owned(),
            code: MapCode::FieldMissing,
        }
    }
}

/// The value of a text that is one whole JSON object in UTF-8, nested no deeper than [`DEPTH_MAX`].
pub(crate) fn whole_object(text: &[u8]) -> Option<Value<'_>> {
    let value = whole_value(text)?;
    (value.kind() == Some(Kind::Object)).then_some(value)
}

/// The value of a text that is one whole JSON value in UTF-8, nested no deeper than [`DEPTH_MAX`].
pub(crate) fn whole_value(text: &[u8]) -> Option<Value<'_>> {
    let mut scanner = Scanner::new(text, DEPTH_MAX);
    let span = scanner.value(0).ok()?;
    let rest_is_space = scanner.skip_space().is_none();
    (rest_is_space && std::str::from_utf8(text).is_ok()).then(|| Value(&text[span]))
}

/// The value that a text starts with, checked strictly, and how many bytes it ends after.
pub(crate) fn leading_value(text: &str) -> Option<(Value<'_>, usize)> {
    let mut scanner = Scanner::new(text.as_bytes(), DEPTH_MAX);
    let span = scanner.value(0).ok()?;
    let end = span.end;
    Some((Value(&text.as_bytes()[span]), end))
}

/// The request body as an object, or a refusal.
pub(crate) fn request_object(body: &[u8]) -> Result<Value<'_>, MapError> {
    whole_object(body).ok_or_else(|| MapError::invalid("body", "is not a JSON object in UTF-8"))
}

/// The decoded string of a field that must be one.
pub(crate) fn string_of(value: Value<'_>, field: &str) -> Result<String, MapError> {
    match value.text() {
        Some(text) => Ok(text.into_owned()),
        None => Err(wrong_kind(value, field, "a string")),
    }
}

/// The refusal of a value of the wrong kind.
pub(crate) fn wrong_kind(value: Value<'_>, field: &str, wanted: &str) -> MapError {
    let found = value.kind().map_or("no value", Kind::name);
    MapError::invalid(field, format!("must be {wanted}, not {found}"))
}

/// A field that must be there, with its path.
pub(crate) fn required<'a>(
    object: Value<'a>,
    name: &str,
    path: &str,
) -> Result<(Value<'a>, String), MapError> {
    let field = format!("{path}.{name}");
    match object.get_some(name) {
        Some(value) => Ok((value, field)),
        None => Err(MapError::missing(field)),
    }
}

/// The decoded string of a field that must be there.
pub(crate) fn required_string(
    object: Value<'_>,
    name: &str,
    path: &str,
) -> Result<String, MapError> {
    let (value, field) = required(object, name, path)?;
    string_of(value, &field)
}

/// The refusal of a value that is not of one kind.
pub(crate) fn expect_kind(value: Value<'_>, field: &str, kind: Kind) -> Result<(), MapError> {
    if value.kind() == Some(kind) {
        Ok(())
    } else {
        Err(wrong_kind(value, field, kind.name()))
    }
}

/// Appends `text` as a JSON string.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("writing a string to memory cannot fail");
}

/// A JSON string of `text`.
pub(crate) fn quoted(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    push_string(&mut out, text);
    out
}

/// Writes one object, keys in the order they are given.
#[derive(Debug)]
pub(crate) struct ObjectWriter {
    out: Vec<u8>,
}

impl Default for ObjectWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl ObjectWriter {
    pub(crate) fn new() -> Self {
        Self { out: vec![b'{'] }
    }

    fn key(&mut self, key: &str) {
        if self.out.len() > 1 {
            self.out.push(b',');
        }
        push_string(&mut self.out, key);
        self.out.push(b':');
    }

    /// A value that already is JSON text.
    pub(crate) fn raw(&mut self, key: &str, json: impl AsRef<[u8]>) -> &mut Self {
        self.key(key);
        self.out.extend_from_slice(json.as_ref());
        self
    }

    pub(crate) fn string(&mut self, key: &str, text: &str) -> &mut Self {
        self.key(key);
        push_string(&mut self.out, text);
        self
    }

    pub(crate) fn number(&mut self, key: &str, number: u64) -> &mut Self {
        self.raw(key, number.to_string())
    }

    /// Takes over every pair of `object` but those that `skip` names; escapes of keys stay as they are.
    pub(crate) fn copy_except(&mut self, object: Value<'_>, skip: &[&str]) -> &mut Self {
        for (key, value) in object.entries() {
            if skip.iter().any(|name| key.is(name)) {
                continue;
            }
            self.pair(key, value);
        }
        self
    }

    /// A pair as it stands in another text.
    pub(crate) fn pair(&mut self, key: Key<'_>, value: Value<'_>) -> &mut Self {
        if self.out.len() > 1 {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(key.0);
        self.out.extend_from_slice(b"\":");
        self.out.extend_from_slice(value.0);
        self
    }

    pub(crate) fn done(&mut self) -> Vec<u8> {
        self.out.push(b'}');
        std::mem::take(&mut self.out)
    }
}

/// A JSON array of texts that already are JSON.
pub(crate) fn array<T: AsRef<[u8]>>(items: impl IntoIterator<Item = T>) -> Vec<u8> {
    let mut out = vec![b'['];
    for item in items {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(item.as_ref());
    }
    out.push(b']');
    out
}

/// The same JSON without white space between tokens.
pub(crate) fn compact(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let mut in_string = false;
    let mut escaped = false;
    for &byte in json {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            continue;
        } else {
            in_string = byte == b'"';
        }
        out.push(byte);
    }
    out
}
