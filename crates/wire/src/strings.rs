//! Every string of a JSON text, where it stands and what it means: for whoever must look at all that a request says, and
//! change some of it without touching the rest.

use std::borrow::Cow;
use std::ops::Range;

use crate::json::{Key, skip_space, string_end};

#[cfg(test)]
mod tests;

/// A string of a JSON text, or a number of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonText<'a> {
    /// Where it stands, with its quotes.
    pub span: Range<usize>,
    /// What it means. A broken escape and half of a surrogate pair stay as they are written.
    pub text: Cow<'a, str>,
    /// What it is.
    pub kind: JsonTextKind,
    /// The key that it stands under, as written; empty for keys themselves and for what stands in an array.
    pub key: &'a [u8],
    /// Texts between which no array begins or ends have the same number: the parts of one message's content do.
    pub run: u32,
}

/// What a [`JsonText`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonTextKind {
    /// The key of a pair.
    Key,
    /// A string.
    String,
    /// A number. It cannot be changed to text without changing its type.
    Number,
}

/// The strings, keys and numbers of a JSON text, in its order. Of a text that is no JSON, whatever looks like one.
pub fn json_texts(json: &[u8]) -> JsonTexts<'_> {
    JsonTexts {
        json,
        at: 0,
        key: &[],
        run: 0,
    }
}

/// See [`json_texts`].
#[derive(Debug, Clone)]
pub struct JsonTexts<'a> {
    json: &'a [u8],
    at: usize,
    key: &'a [u8],
    run: u32,
}

impl<'a> Iterator for JsonTexts<'a> {
    type Item = JsonText<'a>;

    fn next(&mut self) -> Option<JsonText<'a>> {
        while let Some(&byte) = self.json.get(self.at) {
            match byte {
                b'"' => return Some(self.string()),
                b'-' | b'0'..=b'9' => return Some(self.number()),
                b'[' | b']' => {
                    self.run = self.run.saturating_add(1);
                    self.key = &[];
                }
                b',' | b'{' | b'}' => self.key = &[],
                _ => {}
            }
            self.at += 1;
        }
        None
    }
}

impl<'a> JsonTexts<'a> {
    fn string(&mut self) -> JsonText<'a> {
        let span = self.at..string_end(self.json, self.at);
        self.at = span.end;
        let quoted = &self.json[span.clone()];
        let inner = &quoted[1..];
        let inner = inner.strip_suffix(b"\"").unwrap_or(inner);
        let is_key = self.json.get(skip_space(self.json, span.end)) == Some(&b':');
        let key = std::mem::take(&mut self.key);
        let kind = if is_key {
            self.key = inner;
            JsonTextKind::Key
        } else {
            JsonTextKind::String
        };
        let text = Key(inner)
            .decoded()
            .unwrap_or_else(|| String::from_utf8_lossy(inner));
        JsonText {
            span,
            text,
            kind,
            key,
            run: self.run,
        }
    }

    fn number(&mut self) -> JsonText<'a> {
        let rest = &self.json[self.at..];
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let len = rest.iter().take_while(|byte| is_part(byte)).count();
        let span = self.at..self.at + len;
        self.at = span.end;
        JsonText {
            text: String::from_utf8_lossy(&self.json[span.clone()]),
            span,
            kind: JsonTextKind::Number,
            key: std::mem::take(&mut self.key),
            run: self.run,
        }
    }
}

/// The JSON text with some of its strings replaced; every other byte stays. `changes` are in the order of the text and do
/// not overlap; each new text is quoted and escaped here.
#[must_use]
pub fn json_replaced(json: &[u8], changes: &[(Range<usize>, String)]) -> Vec<u8> {
    let added: usize = changes.iter().map(|(_, text)| text.len() + 8).sum();
    let mut out = Vec::with_capacity(json.len() + added);
    let mut at = 0;
    for (span, text) in changes {
        out.extend_from_slice(json.get(at..span.start).unwrap_or_default());
        out.extend_from_slice(
            serde_json::Value::from(text.as_str())
                .to_string()
                .as_bytes(),
        );
        at = span.end;
    }
    out.extend_from_slice(json.get(at..).unwrap_or_default());
    out
}
