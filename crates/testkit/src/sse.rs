//! Server-sent events as a client reads them, with the order and the time of their arrival.

use crate::client::HttpStream;
use anyhow::bail;
use http::HeaderMap;
use std::collections::VecDeque;
use std::time::Duration;

/// Longest event, bytes.
const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseEvent {
    /// The `event:` line; `None` where there is none.
    pub event: Option<String>,
    /// The `data:` lines, joined by line ends.
    pub data: String,
    /// Which part of the body completed it, counted from 0: events that came apart have different numbers.
    pub chunk: usize,
    /// Since the request was sent.
    pub at: Duration,
}

impl SseEvent {
    /// The data as JSON; an error where it is not (such as `[DONE]`).
    pub fn json(&self) -> anyhow::Result<serde_json::Value> {
        Ok(serde_json::from_str(&self.data)?)
    }

    /// Whether it is the `[DONE]` of OpenAI's streams.
    pub fn is_done(&self) -> bool {
        self.data == "[DONE]"
    }
}

/// A body read as server-sent events. Dropping it closes the connection.
#[derive(Debug)]
pub struct SseStream {
    /// All bytes read so far.
    pub bytes: Vec<u8>,
    /// Comment lines read so far, without the colon.
    pub comments: Vec<String>,
    stream: HttpStream,
    /// Start of the line not yet read, in `bytes`.
    line_at: usize,
    chunks: usize,
    event: Option<String>,
    data: Option<String>,
    ready: VecDeque<SseEvent>,
}

impl SseStream {
    pub(crate) fn new(stream: HttpStream) -> Self {
        Self {
            bytes: Vec::new(),
            comments: Vec::new(),
            stream,
            line_at: 0,
            chunks: 0,
            event: None,
            data: None,
            ready: VecDeque::new(),
        }
    }

    /// The status of the answer.
    pub fn status(&self) -> u16 {
        self.stream.status
    }

    /// The headers of the answer.
    pub fn headers(&self) -> &HeaderMap {
        &self.stream.headers
    }

    /// The next event; `None` at the body's clean end. An error where the body is cut off.
    pub async fn next_event(&mut self) -> anyhow::Result<Option<SseEvent>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let Some(chunk) = self.stream.next_chunk().await? else {
                return Ok(None);
            };
            self.bytes.extend_from_slice(&chunk);
            self.read_lines();
            self.chunks += 1;
            if self.bytes.len() - self.line_at > EVENT_BYTES_MAX {
                bail!("a line of the event stream is longer than {EVENT_BYTES_MAX} bytes");
            }
        }
    }

    /// All events to the end, and the error that ended them where the body was cut off.
    pub async fn to_end(&mut self) -> (Vec<SseEvent>, Option<anyhow::Error>) {
        let mut events = Vec::new();
        loop {
            match self.next_event().await {
                Ok(Some(event)) => events.push(event),
                Ok(None) => return (events, None),
                Err(error) => return (events, Some(error)),
            }
        }
    }

    fn read_lines(&mut self) {
        while let Some(length) = self.bytes[self.line_at..].iter().position(|b| *b == b'\n') {
            let line = &self.bytes[self.line_at..self.line_at + length];
            let line =
                String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
            self.line_at += length + 1;
            self.read_line(&line);
        }
    }

    fn read_line(&mut self, line: &str) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            _ if line.is_empty() => {
                let event = self.event.take();
                if let Some(data) = self.data.take() {
                    let at = self.stream.sent_at.elapsed();
                    self.ready.push_back(SseEvent {
                        event,
                        data,
                        chunk: self.chunks,
                        at,
                    });
                }
            }
            "" => self.comments.push(value.to_owned()),
            "event" => self.event = Some(value.to_owned()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            _ => {}
        }
    }
}
