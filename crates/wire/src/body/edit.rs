//! Edits of a request body: spans are replaced, the rest stays where it is.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use super::RequestBody;
use crate::json::{Kind, Value};

/// Changes to a body, applied in the order they are asked for and written by [`BodyEdit::pieces`].
///
/// The JSON texts given to it must be JSON; it does not check them.
#[derive(Debug, Clone)]
pub struct BodyEdit<'a> {
    body: &'a RequestBody,
    changes: Vec<(String, Change)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Set(String),
    Remove,
}

impl<'a> BodyEdit<'a> {
    pub(super) fn new(body: &'a RequestBody) -> Self {
        Self {
            body,
            changes: Vec::new(),
        }
    }

    /// Puts `json_text` in the place of a field's value, or appends the pair after the last one.
    pub fn set(&mut self, name: &str, json_text: &str) -> &mut Self {
        self.change(name, Change::Set(json_text.to_owned()))
    }

    /// Takes a field out with its comma; nothing happens when it is absent.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.change(name, Change::Remove)
    }

    /// Sets `inner` inside the object `outer` and keeps every other byte of that object. An absent or null `outer`
    /// becomes an object with that one pair; an `outer` of another type stays as it is, for the engine to refuse.
    pub fn set_nested(&mut self, outer: &str, inner: &str, json_text: &str) -> &mut Self {
        let now: Option<Cow<'_, [u8]>> = match self.changes.iter().find(|(name, _)| name == outer) {
            Some((_, Change::Set(text))) => Some(Cow::Owned(text.clone().into_bytes())),
            Some((_, Change::Remove)) => None,
            None => self.body.value(outer).map(|value| Cow::Borrowed(value.0)),
        };
        let merged = match now
            .as_deref()
            .map(Value::of)
            .filter(|value| !value.is_null())
        {
            Some(object) => match merge(object, inner, json_text) {
                Some(merged) => merged,
                None => return self,
            },
            None => format!("{{{}:{json_text}}}", quoted(inner)),
        };
        self.change(outer, Change::Set(merged))
    }

    /// The edited body, in pieces to be sent one after another: what stays is not copied.
    #[must_use]
    pub fn pieces(&self) -> Vec<Bytes> {
        let changes: Vec<&(String, Change)> = self
            .changes
            .iter()
            .filter(|change| self.is_effective(change))
            .collect();
        if changes.is_empty() {
            return vec![self.body.bytes.clone()];
        }
        let change_of = |name: &str| {
            changes
                .iter()
                .find(|change| change.0 == name)
                .map(|change| &change.1)
        };
        let fields = &self.body.fields;
        let mut out = Pieces::new(&self.body.bytes);
        let head_end = fields
            .first()
            .map_or_else(|| object_open(&self.body.bytes), |field| field.key.start);
        out.keep(0..head_end);
        let mut is_first = true;
        let mut end = head_end;
        for field in fields {
            let change = change_of(&field.name);
            if change != Some(&Change::Remove) {
                // What stands between two pairs goes with the second; the first that stays needs none.
                let start = if is_first { field.key.start } else { end };
                is_first = false;
                match change {
                    Some(Change::Set(text)) => {
                        out.keep(start..field.value.start);
                        out.put(text.clone());
                    }
                    Some(Change::Remove) | None => out.keep(start..field.value.end),
                }
            }
            end = field.value.end;
        }
        for (name, change) in &changes {
            if let (Change::Set(text), None) = (change, self.body.value(name)) {
                let comma = if is_first { "" } else { "," };
                is_first = false;
                out.put(format!("{comma}{}:{text}", quoted(name)));
            }
        }
        out.keep(end..self.body.bytes.len());
        out.finish()
    }

    fn change(&mut self, name: &str, change: Change) -> &mut Self {
        match self.changes.iter_mut().find(|known| known.0 == name) {
            Some(known) => known.1 = change,
            None => self.changes.push((name.to_owned(), change)),
        }
        self
    }

    fn is_effective(&self, (name, change): &(String, Change)) -> bool {
        match (change, self.body.value(name)) {
            (Change::Set(text), Some(value)) => text.as_bytes() != value.0,
            (Change::Set(_), None) | (Change::Remove, Some(_)) => true,
            (Change::Remove, None) => false,
        }
    }
}

/// A body on its way out: runs of the bytes that came, and what is put between them.
struct Pieces<'a> {
    bytes: &'a Bytes,
    /// What is kept next, as far as it goes on without a gap.
    run: Range<usize>,
    out: Vec<Bytes>,
}

impl<'a> Pieces<'a> {
    fn new(bytes: &'a Bytes) -> Self {
        Self {
            bytes,
            run: 0..0,
            out: Vec::with_capacity(5),
        }
    }

    fn keep(&mut self, span: Range<usize>) {
        if span.start != self.run.end {
            self.end_run();
            self.run.start = span.start;
        }
        self.run.end = span.end;
    }

    fn put(&mut self, text: String) {
        self.end_run();
        self.out.push(text.into());
    }

    fn end_run(&mut self) {
        if !self.run.is_empty() {
            self.out.push(self.bytes.slice(self.run.clone()));
        }
        self.run.start = self.run.end;
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.end_run();
        self.out
    }
}

/// The offset after the `{` of a body without fields.
fn object_open(bytes: &[u8]) -> usize {
    memchr::memchr(b'{', bytes).map_or(0, |at| at + 1)
}

/// A name as a JSON string.
fn quoted(name: &str) -> String {
    serde_json::Value::from(name).to_string()
}

/// `object` with `inner` set; none when it is no object. A repeated key is set at each of its places.
fn merge(object: Value<'_>, inner: &str, json_text: &str) -> Option<String> {
    if object.kind() != Some(Kind::Object) {
        return None;
    }
    let text = object.0;
    let mut out = String::with_capacity(text.len() + inner.len() + json_text.len() + 8);
    let mut entries = object.entries();
    let (mut copied, mut end, mut found, mut is_empty) = (0, 1, false, true);
    while let Some((key, span)) = entries.next_span() {
        is_empty = false;
        end = span.end;
        if key.is(inner) {
            found = true;
            out.push_str(std::str::from_utf8(&text[copied..span.start]).ok()?);
            out.push_str(json_text);
            copied = span.end;
        }
    }
    if !found {
        out.push_str(std::str::from_utf8(&text[copied..end]).ok()?);
        if !is_empty {
            out.push(',');
        }
        out.push_str(&quoted(inner));
        out.push(':');
        out.push_str(json_text);
        copied = end;
    }
    out.push_str(std::str::from_utf8(&text[copied..]).ok()?);
    Some(out)
}
