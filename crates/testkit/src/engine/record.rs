//! What a fake engine writes down.

use bytes::Bytes;
use http::{HeaderMap, Method};
use std::collections::VecDeque;
use std::time::Instant;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The headers, in a map; the order of different names is lost.
    pub headers: HeaderMap,
    /// The body, without transfer coding.
    pub body: Bytes,
    /// When its last byte had been read.
    pub at: Instant,
}

/// One generation: a POST to `/v1/*`, whatever came of it.
#[derive(Clone, Debug)]
pub struct Served {
    /// Counts the generations of one engine.
    pub(crate) number: u64,
    /// The header `x-madang-request-id`, else `x-request-id`.
    pub request_id: Option<String>,
    /// Path and query.
    pub path: String,
    /// The status sent; 0 where no head left.
    pub status: u16,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// Prompt tokens counted (cached ones included).
    pub prompt_tokens: u64,
    /// Of these, said to be cached.
    pub cached_tokens: u64,
    /// Output tokens sent.
    pub output_tokens: u64,
    /// Whether the answer was sent to its end as the protocol promises.
    pub complete: bool,
    /// Whether the client closed or reset before the end.
    pub client_gone: bool,
    /// When generation began (after the wait for a slot).
    pub started_at: Instant,
    /// When the slot was free again.
    pub freed_at: Instant,
    /// The body sent, without transfer coding; at most the first MiB.
    pub answer: Bytes,
}

impl Served {
    /// The line for `served_log`.
    pub(crate) fn line(&self) -> String {
        let mut line = serde_json::json!({
            "request_id": self.request_id,
            "path": self.path,
            "status": self.status,
            "stream": self.stream,
            "prompt_tokens": self.prompt_tokens,
            "cached_tokens": self.cached_tokens,
            "output_tokens": self.output_tokens,
            "complete": self.complete,
            "client_gone": self.client_gone,
        })
        .to_string();
        line.push('\n');
        line
    }
}

/// The newest `max` of something.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    items: VecDeque<T>,
    max: usize,
}

impl<T: Clone> Kept<T> {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            items: VecDeque::new(),
            max,
        }
    }

    pub(crate) fn push(&mut self, item: T) {
        if self.items.len() >= self.max {
            self.items.pop_front();
        }
        if self.max > 0 {
            self.items.push_back(item);
        }
    }

    /// Replaces the one that is the same, else adds it.
    pub(crate) fn put(&mut self, item: T, same: impl Fn(&T) -> bool) {
        match self.items.iter_mut().rev().find(|kept| same(kept)) {
            Some(kept) => *kept = item,
            None => self.push(item),
        }
    }

    pub(crate) fn to_vec(&self) -> Vec<T> {
        self.items.iter().cloned().collect()
    }

    pub(crate) fn last(&self) -> Option<&T> {
        self.items.back()
    }
}
