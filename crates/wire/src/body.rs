//! A request body that is read and edited without being rewritten.
//!
//! The body is checked whole in one pass (RFC 8259, UTF-8, depth, no top-level key twice) and kept as the bytes that
//! came. An edit replaces spans; everything else (unknown fields, key order, white space, escapes, numbers of any
//! length) leaves exactly as it arrived.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use crate::json::{Fault, FaultKind, Key, Kind, Scanner, Value};

mod edit;
#[cfg(test)]
mod tests;

pub use edit::BodyEdit;

/// How many top-level fields a body may have. OpenAI's largest request knows about forty; the bound keeps the index
/// small next to the body.
pub const FIELDS_MAX: usize = 1024;

/// A checked JSON object with the places of its top-level fields.
#[derive(Debug, Clone)]
pub struct RequestBody {
    bytes: Bytes,
    fields: Vec<Field>,
}

/// One top-level pair: the key's meaning, and where key (with quotes) and value stand.
#[derive(Debug, Clone)]
struct Field {
    name: String,
    key: Range<usize>,
    value: Range<usize>,
}

/// Why a body is refused before anything reads its fields.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// Nothing, or nothing but white space.
    #[error("the body is empty")]
    Empty,
    /// Not UTF-8.
    #[error("the body is not UTF-8: the byte at offset {offset} starts no valid character")]
    NotUtf8 {
        /// Offset of the first wrong byte.
        offset: usize,
    },
    /// Not JSON, or something follows the object.
    #[error("the body is not JSON: line {line}, column {column}: {message}")]
    NotJson {
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong there.
        message: &'static str,
    },
    /// JSON, but no object.
    #[error("the body must be a JSON object, found {found}")]
    NotObject {
        /// What it is, with its article.
        found: &'static str,
    },
    /// Nested deeper than allowed.
    #[error("the body is nested deeper than {depth_max} levels")]
    TooDeep {
        /// The limit in levels; the outermost object is the first.
        depth_max: u32,
    },
    /// One top-level key twice: two parsers could read two meanings.
    #[error("the field `{field}` appears more than once")]
    Duplicate {
        /// The key.
        field: String,
    },
    /// More top-level fields than any API has.
    #[error("the body has more than {fields_max} fields")]
    TooManyFields {
        /// The limit.
        fields_max: usize,
    },
}

/// A field of the wrong type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` must be {expected}, found {found}")]
pub struct FieldError {
    /// The field, as a path such as `messages[2].content`.
    pub field: String,
    /// What it must be, with its article.
    pub expected: &'static str,
    /// What it is, with its article.
    pub found: &'static str,
}

impl FieldError {
    pub(crate) fn new(
        field: impl Into<String>,
        expected: &'static str,
        found: Option<Value<'_>>,
    ) -> Self {
        let found = found.map_or("nothing", |value| {
            value.kind().map_or("something else", Kind::name)
        });
        Self {
            field: field.into(),
            expected,
            found,
        }
    }
}

impl RequestBody {
    /// Checks `bytes` and notes where its top-level fields stand. `depth_max` counts the outermost object.
    ///
    /// # Errors
    /// [`BodyError`], with the first fault found. Time and memory are linear in the body; nothing recurses.
    pub fn parse(bytes: Bytes, depth_max: u32) -> Result<Self, BodyError> {
        if let Err(fault) = simdutf8::compat::from_utf8(&bytes) {
            return Err(BodyError::NotUtf8 {
                offset: fault.valid_up_to(),
            });
        }
        if bytes.starts_with("\u{feff}".as_bytes()) {
            let message = "a byte order mark stands before the object: send UTF-8 without one";
            return Err(BodyError::NotJson {
                line: 1,
                column: 1,
                message,
            });
        }
        let fields = scan_fields(&bytes, depth_max).map_err(|fault| match fault {
            Refusal::Is(error) => error,
            Refusal::At(Fault {
                kind: FaultKind::TooDeep,
                ..
            }) => BodyError::TooDeep { depth_max },
            Refusal::At(Fault {
                at,
                kind: FaultKind::Syntax(message),
            }) => {
                let (line, column) = place(&bytes, at);
                BodyError::NotJson {
                    line,
                    column,
                    message,
                }
            }
        })?;
        if let Some(field) = duplicate(&fields) {
            return Err(BodyError::Duplicate { field });
        }
        Ok(Self { bytes, fields })
    }

    /// The body as it came.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The names of the top-level fields, in the body's order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| field.name.as_str())
    }

    /// The JSON text of a top-level field's value.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.value(name)?.0).ok()
    }

    /// Whether a field is present and not null.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.some(name).is_some()
    }

    /// A string field; absent and null are `None`.
    ///
    /// # Errors
    /// [`FieldError`] when it is something else, or a string with half of a surrogate pair.
    pub fn string(&self, name: &str) -> Result<Option<Cow<'_, str>>, FieldError> {
        let Some(value) = self.some(name) else {
            return Ok(None);
        };
        match value.text() {
            Some(text) => Ok(Some(text)),
            None if value.kind() == Some(Kind::String) => {
                let found = "a string with half of a surrogate pair";
                Err(FieldError {
                    field: name.to_owned(),
                    expected: "a string",
                    found,
                })
            }
            None => Err(FieldError::new(name, "a string", Some(value))),
        }
    }

    /// A boolean field; absent and null are `None`.
    ///
    /// # Errors
    /// [`FieldError`] when it is something else.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, FieldError> {
        let Some(value) = self.some(name) else {
            return Ok(None);
        };
        value
            .boolean()
            .map(Some)
            .ok_or_else(|| FieldError::new(name, "a boolean", Some(value)))
    }

    /// A whole number from 0 to 2^64 − 1; absent and null are `None`. `16.0` is 16, as JSON Schema has it.
    ///
    /// # Errors
    /// [`FieldError`] when it is something else: negative, with a fraction or an exponent, or too large.
    pub fn unsigned(&self, name: &str) -> Result<Option<u64>, FieldError> {
        let Some(value) = self.some(name) else {
            return Ok(None);
        };
        match value.unsigned() {
            Some(number) => Ok(Some(number)),
            None => Err(FieldError {
                field: name.to_owned(),
                expected: "a whole number from 0 to 18446744073709551615",
                found: number_found(value),
            }),
        }
    }

    /// Starts an edit of this body; the body itself stays as it is.
    #[must_use]
    pub fn edit(&self) -> BodyEdit<'_> {
        BodyEdit::new(self)
    }

    /// The value of a top-level field.
    pub(crate) fn value(&self, name: &str) -> Option<Value<'_>> {
        let field = self.fields.iter().find(|field| field.name == name)?;
        Some(Value(&self.bytes[field.value.clone()]))
    }

    /// The value of a top-level field that is not null.
    pub(crate) fn some(&self, name: &str) -> Option<Value<'_>> {
        self.value(name).filter(|value| !value.is_null())
    }
}

fn number_found(value: Value<'_>) -> &'static str {
    match (value.kind(), value.0) {
        (Some(Kind::Number), [b'-', ..]) => "a negative number",
        (Some(Kind::Number), text) if text.iter().all(u8::is_ascii_digit) => "a larger number",
        (Some(Kind::Number), _) => "a number with a fraction or an exponent",
        (kind, _) => kind.map_or("something else", Kind::name),
    }
}

enum Refusal {
    At(Fault),
    Is(BodyError),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::At(fault)
    }
}

fn scan_fields(bytes: &[u8], depth_max: u32) -> Result<Vec<Field>, Refusal> {
    let mut scanner = Scanner::new(bytes, depth_max);
    match scanner.skip_space() {
        Some(b'{') if depth_max == 0 => return Err(Refusal::Is(BodyError::TooDeep { depth_max })),
        Some(b'{') => scanner.at += 1,
        Some(_) => match Value(&bytes[scanner.at..]).kind() {
            Some(kind) => return Err(Refusal::Is(BodyError::NotObject { found: kind.name() })),
            None => scanner.fault("expected `{`")?,
        },
        None => return Err(Refusal::Is(BodyError::Empty)),
    }
    let mut fields = Vec::new();
    if scanner.skip_space() == Some(b'}') {
        scanner.at += 1;
    } else {
        loop {
            if fields.len() == FIELDS_MAX {
                return Err(Refusal::Is(BodyError::TooManyFields {
                    fields_max: FIELDS_MAX,
                }));
            }
            let key = scanner.key()?;
            let value = scanner.value(1)?;
            fields.push(Field {
                name: name(&bytes[key.start + 1..key.end - 1]),
                key,
                value,
            });
            match scanner.skip_space() {
                Some(b',') => scanner.at += 1,
                Some(b'}') => break scanner.at += 1,
                Some(_) => scanner.fault("expected `,` or `}`")?,
                None => scanner.fault("the text ends inside an object")?,
            }
        }
    }
    if scanner.skip_space().is_some() {
        scanner.fault::<()>("something follows the object")?;
    }
    Ok(fields)
}

/// A key with half of a surrogate pair means no text; its escaped form then stands for it.
fn name(inner: &[u8]) -> String {
    Key(inner).decoded().map_or_else(
        || String::from_utf8_lossy(inner).into_owned(),
        Cow::into_owned,
    )
}

fn duplicate(fields: &[Field]) -> Option<String> {
    let mut names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    names.sort_unstable();
    names
        .windows(2)
        .find(|pair| pair[0] == pair[1])
        .map(|pair| pair[0].to_owned())
}

/// Line and column (in characters), both from 1, of a byte offset.
fn place(bytes: &[u8], at: usize) -> (usize, usize) {
    let before = &bytes[..at.min(bytes.len())];
    let line = memchr::memchr_iter(b'\n', before).count() + 1;
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
    // Continuation bytes start no character.
    let column = before[line_start..]
        .iter()
        .filter(|byte| **byte & 0xc0 != 0x80)
        .count()
        + 1;
    (line, column)
}
