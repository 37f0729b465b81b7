//! The strict scanner: one pass, no recursion, nothing copied.

use std::ops::Range;

use super::{plain_end, skip_space};

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
            self.at = plain_end::<true>(self.text, self.at);
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
