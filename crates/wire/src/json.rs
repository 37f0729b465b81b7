//! The one JSON reader of this crate: a strict scanner that checks a whole text in one pass without recursion, and a
//! lenient cursor that walks a text by skipping.
//!
//! Both work on bytes and keep spans, because what is forwarded must stay byte for byte.

use std::borrow::Cow;
use std::ops::Range;

/// Why a text is not JSON, and where (byte offset).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: usize,
    pub(crate) kind: FaultKind,
}

/// What is wrong at the place of a [`Fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    Syntax(&'static str),
    TooDeep,
}

/// A strict scanner over JSON text (RFC 8259). It copies nothing and recurses nowhere.
pub(crate) struct Scanner<'a> {
    text: &'a [u8],
    pub(crate) at: usize,
    depth_max: u32,
}

/// Which container each open level is: one bit per level, so that depth costs an eighth of a byte.
#[derive(Default)]
struct Levels {
    depth: u32,
    top: u64,
    below: Vec<u64>,
}

impl Levels {
    fn push(&mut self, is_object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.below.push(self.top);
        }
        self.top = (self.top << 1) | u64::from(is_object);
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.depth -= 1;
        self.top >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.top = self.below.pop().unwrap_or_default();
        }
    }

    fn in_object(&self) -> bool {
        self.top & 1 == 1
    }
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a [u8], depth_max: u32) -> Self {
        Self {
            text,
            at: 0,
            depth_max,
        }
    }

    pub(crate) fn fault<T>(&self, message: &'static str) -> Result<T, Fault> {
        Err(Fault {
            at: self.at.min(self.text.len()),
            kind: FaultKind::Syntax(message),
        })
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(crate) fn skip_space(&mut self) -> Option<u8> {
        self.at = skip_space(self.text, self.at);
        self.peek()
    }

    /// Scans one whole value that sits `depth` containers deep; the span excludes surrounding white space.
    pub(crate) fn value(&mut self, depth: u32) -> Result<Range<usize>, Fault> {
        self.skip_space();
        let start = self.at;
        let mut levels = Levels::default();
        loop {
            if self.one(&mut levels, depth)? {
                continue;
            }
            if self.after_value(&mut levels)? {
                return Ok(start..self.at);
            }
        }
    }

    /// Scans a scalar, or opens a container. True: a container was opened and its first value comes next.
    fn one(&mut self, levels: &mut Levels, depth: u32) -> Result<bool, Fault> {
        match self.skip_space() {
            Some(b'"') => self.string().map(|_| false),
            Some(b'{') => {
                self.open(levels, depth, true)?;
                if self.skip_space() == Some(b'}') {
                    return Ok(false);
                }
                self.key()?;
                Ok(true)
            }
            Some(b'[') => {
                self.open(levels, depth, false)?;
                Ok(self.skip_space() != Some(b']'))
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| false),
            Some(b't') => self.literal(b"true").map(|()| false),
            Some(b'f') => self.literal(b"false").map(|()| false),
            Some(b'n') => self.literal(b"null").map(|()| false),
            Some(_) => self.fault("expected a value"),
            None => self.fault("the text ends where a value is expected"),
        }
    }

    fn open(&mut self, levels: &mut Levels, depth: u32, is_object: bool) -> Result<(), Fault> {
        if depth.saturating_add(levels.depth) >= self.depth_max {
            return Err(Fault {
                at: self.at,
                kind: FaultKind::TooDeep,
            });
        }
        levels.push(is_object);
        self.at += 1;
        Ok(())
    }

    /// Closes what ends here. True: the outermost value is complete; false: a further value comes next.
    fn after_value(&mut self, levels: &mut Levels) -> Result<bool, Fault> {
        while levels.depth > 0 {
            let in_object = levels.in_object();
            match (self.skip_space(), in_object) {
                (Some(b'}'), true) | (Some(b']'), false) => {
                    self.at += 1;
                    levels.pop();
                }
                (Some(b','), true) => {
                    self.at += 1;
                    self.key()?;
                    return Ok(false);
                }
                (Some(b','), false) => {
                    self.at += 1;
                    return Ok(false);
                }
                (Some(_), true) => return self.fault("expected `,` or `}`"),
                (Some(_), false) => return self.fault("expected `,` or `]`"),
                (None, true) => return self.fault("the text ends inside an object"),
                (None, false) => return self.fault("the text ends inside an array"),
            }
        }
        Ok(true)
    }

    /// Scans `"key" :`; the span covers the key with its quotes.
    pub(crate) fn key(&mut self) -> Result<Range<usize>, Fault> {
        if self.skip_space() != Some(b'"') {
            return self.fault("expected a key in double quotes");
        }
        let span = self.string()?;
        if self.skip_space() != Some(b':') {
            return self.fault("expected `:` after a key");
        }
        self.at += 1;
        Ok(span)
    }

    /// Scans a string whose opening quote is at the cursor; the span includes the quotes.
    fn string(&mut self) -> Result<Range<usize>, Fault> {
        let start = self.at;
        self.at += 1;
        loop {
            self.at += plain_len(&self.text[self.at..]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(start..self.at);
                }
                Some(b'\\') => self.escape()?,
                Some(_) => {
                    return self.fault("a control character inside a string must be escaped");
                }
                None => return self.fault("the text ends inside a string"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => match self.text.get(self.at + 2..self.at + 6) {
                Some(hex) if hex.iter().all(u8::is_ascii_hexdigit) => self.at += 6,
                _ => return self.fault("`\\u` must be followed by four hexadecimal digits"),
            },
            Some(_) => return self.fault("unknown escape in a string"),
            None => return self.fault("the text ends inside a string"),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return self.fault("expected a digit"),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits_some()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits_some()?;
        }
        Ok(())
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }

    fn digits_some(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'0'..=b'9') => {
                self.digits();
                Ok(())
            }
            _ => self.fault("expected a digit"),
        }
    }

    fn literal(&mut self, word: &'static [u8]) -> Result<(), Fault> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            Ok(())
        } else {
            self.fault("expected a value")
        }
    }
}

/// The offset of the first byte at or after `at` that is not JSON white space.
fn skip_space(text: &[u8], at: usize) -> usize {
    let mut at = at;
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

/// How many bytes from the start need no attention inside a string: no quote, no backslash, no control character.
fn plain_len(text: &[u8]) -> usize {
    const LANES: usize = 32;
    let stops = |byte: u8| byte == b'"' || byte == b'\\' || byte < 0x20;
    let mut len = 0;
    let (blocks, _) = text.as_chunks::<LANES>();
    for block in blocks {
        // A fold without an early exit, so that the compiler makes vector code of it.
        if block.iter().fold(false, |any, &byte| any | stops(byte)) {
            break;
        }
        len += LANES;
    }
    len + text[len..].iter().take_while(|&&byte| !stops(byte)).count()
}

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

    /// The items of an array; nothing for any other kind.
    pub(crate) fn items(self) -> Items<'a> {
        Items {
            walk: Walk::new(self.0, b'['),
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
        let text = std::str::from_utf8(self.0).ok()?;
        if memchr::memchr(b'\\', self.0).is_none() {
            return Some(Cow::Borrowed(text));
        }
        let quoted = format!("\"{text}\"");
        serde_json::from_str::<String>(&quoted).ok().map(Cow::Owned)
    }
}

/// The offset just after a string whose opening quote is at `at`, or the end of the text.
fn string_end(text: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(step) = text
        .get(at..)
        .and_then(|rest| memchr::memchr2(b'"', b'\\', rest))
    {
        at += step;
        if text[at] == b'"' {
            return at + 1;
        }
        at += 2;
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
