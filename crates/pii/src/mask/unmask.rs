//! Puts the values back where the answer has their placeholders.

use super::placeholder::{self, Start};
use madang_types::PiiKind;
use std::collections::BTreeMap;
use std::fmt;

/// Puts values back into an answer, whole or piece by piece. One for each stream of text: each choice of an answer, each
/// string of a tool call.
#[derive(Clone)]
pub struct Unmasker {
    values: BTreeMap<(PiiKind, u32), String>,
    /// What may be the beginning of a placeholder; shorter than the longest one.
    held: String,
}

impl Unmasker {
    pub(super) fn new(values: BTreeMap<(PiiKind, u32), String>) -> Self {
        Self {
            values,
            held: String::new(),
        }
    }

    /// Whether there is nothing to put back.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The same for text that is a JSON text itself, as arguments of tool calls are: values go back escaped.
    pub fn escaped(&self) -> Self {
        let escaped = |value: &String| {
            let mut text = String::with_capacity(value.len());
            for letter in value.chars() {
                match letter {
                    '"' | '\\' => text.extend(['\\', letter]),
                    '\n' => text.push_str("\\n"),
                    '\t' => text.push_str("\\t"),
                    '\r' => text.push_str("\\r"),
                    control if control < ' ' => {
                        text.push_str(&format!("\\u{:04x}", u32::from(control)));
                    }
                    other => text.push(other),
                }
            }
            text
        };
        let values = self.values.iter();
        Self::new(values.map(|(key, value)| (*key, escaped(value))).collect())
    }

    /// A whole text with the values back in.
    pub fn unmask(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let rest = self.restore(text, &mut out);
        out.push_str(rest);
        out
    }

    /// The next piece of a stream, less what may be the beginning of a placeholder. Placeholders that are none of the
    /// request's pass as they are.
    pub fn push(&mut self, piece: &str) -> String {
        let mut text = std::mem::take(&mut self.held);
        text.push_str(piece);
        let mut out = String::with_capacity(text.len());
        let rest = self.restore(&text, &mut out);
        rest.clone_into(&mut self.held);
        out
    }

    /// Whether something is held back that may be the beginning of a placeholder.
    pub fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// What was held back, when the stream has ended.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Adds `text` with values to `out`, all but the end that may go on as a placeholder, which it returns.
    fn restore<'t>(&self, text: &'t str, out: &mut String) -> &'t str {
        let mut rest = text;
        while let Some((before, from)) = rest.find('[').and_then(|at| rest.split_at_checked(at)) {
            out.push_str(before);
            let length = match placeholder::read(from) {
                Start::Whole(kind, ordinal, length) => match self.values.get(&(kind, ordinal)) {
                    Some(value) => {
                        out.push_str(value);
                        rest = from.get(length..).unwrap_or_default();
                        continue;
                    }
                    None => length,
                },
                Start::Part => return from,
                Start::Other => 1,
            };
            let (passed, after) = from.split_at_checked(length).unwrap_or((from, ""));
            out.push_str(passed);
            rest = after;
        }
        out.push_str(rest);
        ""
    }
}

impl fmt::Debug for Unmasker {
    /// Never a value.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Unmasker")
            .field("values", &self.values.len())
            .field("held", &self.held.len())
            .finish()
    }
}
