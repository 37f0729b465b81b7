//! Splits an event stream into events without copying what came in one piece.
//!
//! The raw bytes of all events and of the unterminated rest, joined, are the stream. Where the stream was cut into
//! chunks makes no difference to the events.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use memchr::{memchr, memchr2};

#[cfg(test)]
mod tests;

/// Why a stream cannot be split further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// One event is longer than allowed.
    #[error("an event is longer than {event_bytes_max} bytes")]
    EventTooLarge {
        /// The limit in bytes, blank line included.
        event_bytes_max: usize,
    },
}

/// Where the splitter stands in the stream. Only bytes move it, never the end of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the first byte of an event.
    EventStart,
    /// Inside a line.
    Line,
    /// After a line ended by `\n` or `\r\n`.
    LineStart,
    /// After a line ended by `\r`, whose `\n` may follow.
    LineCr,
    /// After a blank line's `\r`, whose `\n` may follow.
    BlankCr,
}

/// Splits a stream into events, holding back at most one unfinished event.
#[derive(Debug)]
pub struct SseSplitter {
    event_bytes_max: usize,
    pending: BytesMut,
    at: At,
}

impl SseSplitter {
    /// A splitter at the start of a stream; an event of more than `event_bytes_max` bytes is an error.
    #[must_use]
    pub fn new(event_bytes_max: usize) -> Self {
        Self {
            event_bytes_max,
            pending: BytesMut::new(),
            at: At::EventStart,
        }
    }

    /// Takes the next bytes and appends the events they complete to `out`.
    ///
    /// Lines end in `\n`, `\r\n` or `\r`. A blank line that ends in `\r` closes its event at once when the line before
    /// ended in a bare `\r` too, and otherwise with the byte after it, which may be its `\n`.
    ///
    /// # Errors
    /// [`SseError::EventTooLarge`]; events completed before it are in `out`, and the stream cannot be followed further.
    pub fn push(&mut self, chunk: Bytes, out: &mut Vec<SseEvent>) -> Result<(), SseError> {
        let mut start = 0;
        let mut here = 0;
        while here < chunk.len() {
            if let Some(end) = self.step(&chunk, &mut here) {
                self.check(end - start)?;
                let raw = if self.pending.is_empty() {
                    chunk.slice(start..end)
                } else {
                    self.pending.extend_from_slice(&chunk[start..end]);
                    self.pending.split().freeze()
                };
                out.push(SseEvent { raw });
                start = end;
            }
        }
        self.check(chunk.len() - start)?;
        self.pending.extend_from_slice(&chunk[start..]);
        Ok(())
    }

    /// Ends the stream; what came after the last complete event, if anything.
    #[must_use]
    pub fn finish(self) -> Option<Bytes> {
        (!self.pending.is_empty()).then(|| self.pending.freeze())
    }

    /// How many bytes of an unfinished event are held back.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    fn check(&self, more: usize) -> Result<(), SseError> {
        if self.pending.len() + more > self.event_bytes_max {
            return Err(SseError::EventTooLarge {
                event_bytes_max: self.event_bytes_max,
            });
        }
        Ok(())
    }

    /// Moves over one line or one line end; the end of the event, when it is complete.
    fn step(&mut self, chunk: &[u8], here: &mut usize) -> Option<usize> {
        let byte = chunk[*here];
        let (next, ends) = match (self.at, byte) {
            (At::Line, _) => return self.skip_line(chunk, here),
            (At::LineCr, b'\n') => (At::LineStart, false),
            (At::EventStart | At::LineStart | At::BlankCr, b'\n') | (At::LineCr, b'\r') => {
                (At::EventStart, true)
            }
            (At::EventStart | At::LineStart, b'\r') => (At::BlankCr, false),
            (At::BlankCr, _) => {
                // This byte starts the next event.
                self.at = At::EventStart;
                return Some(*here);
            }
            (At::EventStart | At::LineStart | At::LineCr, _) => (At::Line, false),
        };
        self.at = next;
        *here += 1;
        ends.then_some(*here)
    }

    fn skip_line(&mut self, chunk: &[u8], here: &mut usize) -> Option<usize> {
        match memchr2(b'\n', b'\r', &chunk[*here..]) {
            Some(len) => {
                *here += len + 1;
                self.at = if chunk[*here - 1] == b'\n' {
                    At::LineStart
                } else {
                    At::LineCr
                };
            }
            None => *here = chunk.len(),
        }
        None
    }
}

/// One event with its blank line, exactly as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent {
    /// The bytes, blank line included.
    pub raw: Bytes,
}

impl SseEvent {
    /// The data lines joined by `\n`; none when there is no data line. Borrowed when there is one line.
    #[must_use]
    pub fn data(&self) -> Option<Cow<'_, [u8]>> {
        let mut lines = self.values(b"data");
        let first = lines.next()?;
        let Some(second) = lines.next() else {
            return Some(Cow::Borrowed(first));
        };
        let mut joined = first.to_vec();
        for line in std::iter::once(second).chain(lines) {
            joined.push(b'\n');
            joined.extend_from_slice(line);
        }
        Some(Cow::Owned(joined))
    }

    /// The same event with other data, in one line where `data` has no line end.
    #[must_use]
    pub fn with_data(&self, data: &[u8]) -> Self {
        let mut raw = Vec::with_capacity(self.raw.len() + data.len());
        for line in lines(&self.raw) {
            if !line.is_empty() && !line.starts_with(b"data:") && line != b"data" {
                raw.extend_from_slice(line);
                raw.push(b'\n');
            }
        }
        for line in lines(data) {
            raw.extend_from_slice(b"data: ");
            raw.extend_from_slice(line);
            raw.push(b'\n');
        }
        raw.push(b'\n');
        Self { raw: raw.into() }
    }

    /// The event's name; none when it has none or one that is not UTF-8.
    #[must_use]
    pub fn event_name(&self) -> Option<&str> {
        self.values(b"event")
            .last()
            .and_then(|name| std::str::from_utf8(name).ok())
            .filter(|name| !name.is_empty())
    }

    /// Whether this is `data: [DONE]`, the end of a chat or completions stream (read as the SDKs read it).
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.values(b"data")
            .next()
            .is_some_and(|line| line.starts_with(b"[DONE]"))
    }

    /// Whether it says nothing to a client: comments (as keep-alives are) and blank lines only.
    #[must_use]
    pub fn is_comment(&self) -> bool {
        lines(&self.raw).all(|line| line.is_empty() || line.starts_with(b":"))
    }

    /// The values of every line of one field.
    fn values<'a>(&'a self, field: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
        lines(&self.raw).filter_map(move |line| {
            let (name, value) = match memchr(b':', line) {
                Some(colon) => (&line[..colon], &line[colon + 1..]),
                None => (line, &line[line.len()..]),
            };
            (name == field).then(|| value.strip_prefix(b" ").unwrap_or(value))
        })
    }
}

/// The lines of an event without their ends. A byte order mark, allowed before the first event, is left out.
fn lines(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = raw.strip_prefix("\u{feff}".as_bytes()).unwrap_or(raw);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let len = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let line = &rest[..len];
        let end = if rest[len..].starts_with(b"\r\n") {
            len + 2
        } else {
            (len + 1).min(rest.len())
        };
        rest = &rest[end..];
        Some(line)
    })
}
