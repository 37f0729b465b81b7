//! The lenient cursor: it walks a text by skipping, and answers with what it could read.

use std::borrow::Cow;
use std::ops::Range;

use super::skip_space;

/// What a value is, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    Boolean,
    Null,
}

impl Kind {
    /// The name used in messages, with its article.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Null => "null",
        }
    }
}

/// The text of one value, without surrounding white space. It may come from an engine and be no JSON at all: every
/// method then answers with what it could read, in linear time, and never panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Value<'a>(pub(crate) &'a [u8]);

impl<'a> Value<'a> {
    /// The value that a text starts with, after white space.
    pub(crate) fn of(text: &'a [u8]) -> Self {
        Self(&text[skip_space(text, 0)..])
    }

    pub(crate) fn kind(self) -> Option<Kind> {
        Some(match self.0.first()? {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => Kind::String,
            b't' | b'f' => Kind::Boolean,
            b'n' => Kind::Null,
            b'-' | b'0'..=b'9' => Kind::Number,
            _ => return None,
        })
    }

    pub(crate) fn is_null(self) -> bool {
        self.kind() == Some(Kind::Null)
    }

    /// The pairs of an object; nothing for any other kind.
    pub(crate) fn entries(self) -> Entries<'a> {
        Entries {
            walk: Walk::new(self.0, b'{'),
        }
    }

    /// Whether this is an array without items.
    pub(crate) fn is_empty_array(self) -> bool {
        self.0.first() == Some(&b'[') && self.0.get(skip_space(self.0, 1)) == Some(&b']')
    }

    /// The items of an array; nothing for any other kind.
    pub(crate) fn items(self) -> Items<'a> {
        Items {
            walk: Walk::new(self.0, b'['),
        }
    }

    /// Shows each object of an array to `each`, in order and without looking for its end first; other items are passed
    /// over. `each` may leave entries unread.
    pub(crate) fn objects(self, mut each: impl FnMut(&mut Entries<'a>)) {
        let mut walk = Walk::new(self.0, b'[');
        while let Some(first) = walk.next_start() {
            if first != b'{' {
                walk.value();
                continue;
            }
            let mut entries = Entries {
                walk: Walk::new(&walk.text[walk.at..], b'{'),
            };
            each(&mut entries);
            entries.by_ref().for_each(drop);
            walk.at += entries.walk.at;
            if walk.text.get(walk.at) != Some(&b'}') {
                return;
            }
            walk.at += 1;
        }
    }

    /// The last value under `name` in an object: what most parsers keep of a repeated key.
    pub(crate) fn get(self, name: &str) -> Option<Value<'a>> {
        self.entries()
            .filter(|(key, _)| key.is(name))
            .map(|(_, value)| value)
            .last()
    }

    /// The same, with null counted as absent.
    pub(crate) fn get_some(self, name: &str) -> Option<Value<'a>> {
        self.get(name).filter(|value| !value.is_null())
    }

    /// The decoded text of a string; none for other kinds and for lone surrogates.
    pub(crate) fn text(self) -> Option<Cow<'a, str>> {
        Key(self.string_inner()?).decoded()
    }

    /// What stands between the quotes of a string, escapes untouched.
    pub(crate) fn string_inner(self) -> Option<&'a [u8]> {
        match self.0 {
            [b'"', inner @ .., b'"'] => Some(inner),
            _ => None,
        }
    }

    /// A whole number without sign, fraction or exponent (`7`, and `7.0` as some encoders write it).
    pub(crate) fn unsigned(self) -> Option<u64> {
        let text = std::str::from_utf8(self.0).ok()?;
        let whole = match text.split_once('.') {
            Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0') => {
                whole
            }
            Some(_) => return None,
            None => text,
        };
        if whole.is_empty() || !whole.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        whole.parse().ok()
    }

    pub(crate) fn boolean(self) -> Option<bool> {
        match self.0 {
            b"true" => Some(true),
            b"false" => Some(false),
            _ => None,
        }
    }
}

/// A key as it stands between its quotes, escapes untouched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key<'a>(pub(crate) &'a [u8]);

impl<'a> Key<'a> {
    /// Whether the key means `name`, however it is escaped.
    pub(crate) fn is(self, name: &str) -> bool {
        self.0 == name.as_bytes()
            || (memchr::memchr(b'\\', self.0).is_some()
                && self.decoded().is_some_and(|text| text == name))
    }

    /// The decoded text; none when it holds a lone surrogate or a broken escape.
    pub(crate) fn decoded(self) -> Option<Cow<'a, str>> {
        let text = simdutf8::basic::from_utf8(self.0).ok()?;
        if memchr::memchr(b'\\', self.0).is_none() {
            return Some(Cow::Borrowed(text));
        }
        let quoted = format!("\"{text}\"");
        serde_json::from_str::<String>(&quoted).ok().map(Cow::Owned)
    }
}

/// The offset just after a string whose opening quote is at `at`, or the end of the text.
pub(crate) fn string_end(text: &[u8], at: usize) -> usize {
    let start = at + 1;
    let mut at = start;
    // Looking for quotes alone is faster than stopping at every escape; a quote behind an odd number of backslashes is
    // one of the text's.
    while let Some(step) = text.get(at..).and_then(|rest| memchr::memchr(b'"', rest)) {
        let quote = at + step;
        let before = &text[start..quote];
        let slashes = before.iter().rev().take_while(|byte| **byte == b'\\');
        if slashes.count().is_multiple_of(2) {
            return quote + 1;
        }
        at = quote + 1;
    }
    text.len()
}

/// The offset just after the value that starts at `at`, or the end of the text.
fn value_end(text: &[u8], at: usize) -> usize {
    match text.get(at) {
        Some(b'"') => string_end(text, at),
        Some(b'{') => container_end(text, at, b'{', b'}'),
        Some(b'[') => container_end(text, at, b'[', b']'),
        Some(_) => text[at..]
            .iter()
            .position(|byte| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t'))
            .map_or(text.len(), |len| at + len),
        None => text.len(),
    }
}

/// Counting one kind of bracket is enough: in JSON the other kind is balanced between them.
fn container_end(text: &[u8], at: usize, open: u8, close: u8) -> usize {
    let mut at = at;
    let mut depth = 0_usize;
    while let Some(step) = text
        .get(at..)
        .and_then(|rest| memchr::memchr3(b'"', open, close, rest))
    {
        at += step;
        if text[at] == b'"' {
            at = string_end(text, at);
            continue;
        }
        depth = if text[at] == open {
            depth + 1
        } else {
            depth - 1
        };
        at += 1;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

struct Walk<'a> {
    text: &'a [u8],
    at: usize,
    first: bool,
}

impl<'a> Walk<'a> {
    fn new(text: &'a [u8], open: u8) -> Self {
        let at = if text.first() == Some(&open) {
            1
        } else {
            text.len()
        };
        Self {
            text,
            at,
            first: true,
        }
    }

    /// Moves to the next element; none at the end and at anything that is not JSON.
    fn next_start(&mut self) -> Option<u8> {
        self.at = skip_space(self.text, self.at);
        if !self.first {
            if self.text.get(self.at) != Some(&b',') {
                return None;
            }
            self.at = skip_space(self.text, self.at + 1);
        }
        self.first = false;
        self.text
            .get(self.at)
            .copied()
            .filter(|byte| !matches!(byte, b'}' | b']' | b','))
    }

    fn value(&mut self) -> Value<'a> {
        let start = self.at;
        self.at = value_end(self.text, start);
        Value(&self.text[start..self.at])
    }
}

/// The pairs of an object.
pub(crate) struct Entries<'a> {
    walk: Walk<'a>,
}

impl<'a> Entries<'a> {
    /// The next pair with the byte span of its value inside the object's text.
    pub(crate) fn next_span(&mut self) -> Option<(Key<'a>, Range<usize>)> {
        let (key, value) = self.next()?;
        Some((key, self.walk.at - value.0.len()..self.walk.at))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = (Key<'a>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.walk.next_start()? != b'"' {
            return None;
        }
        let key = Key(self.walk.value().string_inner()?);
        let text = self.walk.text;
        let colon = skip_space(text, self.walk.at);
        if text.get(colon) != Some(&b':') {
            return None;
        }
        self.walk.at = skip_space(text, colon + 1);
        (self.walk.at < text.len()).then(|| (key, self.walk.value()))
    }
}

/// The items of an array.
pub(crate) struct Items<'a> {
    walk: Walk<'a>,
}

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.walk.next_start()?;
        Some(self.walk.value())
    }
}
