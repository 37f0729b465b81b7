//! The bytes of answers: filler words in the protocol's forms.

use crate::ask::{Ask, Endpoint, Refusal};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What answers are made of; which word stands where follows from the prompt.
const WORDS: [&str; 16] = [
    "time", "river", "mountain", "yard", "wind", "light", "stone", "paper", "bridge", "market",
    "garden", "winter", "letter", "field", "harbour", "bell",
];

/// Usage as it is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub prompt_tokens: u64,
    pub output_tokens: u64,
    pub cached_tokens: u64,
}

impl Usage {
    fn json(self) -> Value {
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.output_tokens,
            "total_tokens": self.prompt_tokens + self.output_tokens,
            "prompt_tokens_details": { "cached_tokens": self.cached_tokens },
        })
    }
}

/// Writes the answer to one request.
#[derive(Debug)]
pub(crate) struct Writer {
    endpoint: Endpoint,
    /// `"id":…,"object":…,"created":…,"model":…` of each event.
    event_head: String,
    id: String,
    created: u64,
    model: String,
    digest: u64,
}

impl Writer {
    /// For the answer with that number. `created` is in seconds since 1970.
    pub fn new(ask: &Ask, tag: u64, created: u64, model: &str) -> Self {
        let (id, object) = match ask.endpoint {
            Endpoint::Chat => (format!("chatcmpl-{tag:016x}"), "chat.completion.chunk"),
            Endpoint::Completions => (format!("cmpl-{tag:016x}"), "text_completion"),
        };
        let event_head =
            format!(r#""id":"{id}","object":"{object}","created":{created},"model":"{model}""#);
        Self {
            endpoint: ask.endpoint,
            event_head,
            id,
            created,
            model: model.to_owned(),
            digest: ask.digest,
        }
    }

    /// The word of the token at `index`, with the space before it.
    fn word(&self, index: u64) -> (&'static str, &'static str) {
        let mixed = self
            .digest
            .rotate_left(u32::try_from(index % 61).unwrap_or(0))
            ^ index.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let at = usize::try_from(mixed >> 60).unwrap_or(0);
        (
            if index == 0 { "" } else { " " },
            WORDS.get(at).copied().unwrap_or("word"),
        )
    }

    /// One event for one token. `finish` is the reason where it is the last.
    pub fn token(&self, out: &mut String, index: u64, finish: Option<&str>) {
        let (space, word) = self.word(index);
        let role = if index == 0 {
            r#""role":"assistant","#
        } else {
            ""
        };
        let head = &self.event_head;
        let written = match self.endpoint {
            Endpoint::Chat => write!(
                out,
                r#"data: {{{head},"choices":[{{"index":0,"delta":{{{role}"content":"{space}{word}"}},"logprobs":null,"#
            ),
            Endpoint::Completions => write!(
                out,
                r#"data: {{{head},"choices":[{{"index":0,"text":"{space}{word}","logprobs":null,"#
            ),
        };
        let ended = match finish {
            Some(reason) => write!(out, "\"finish_reason\":\"{reason}\"}}]}}\n\n"),
            None => write!(out, "\"finish_reason\":null}}]}}\n\n"),
        };
        // writing to a String cannot fail
        written.and(ended).unwrap_or_default();
    }

    /// An event that breaks off before its JSON ends.
    pub fn broken_event(&self, out: &mut String) {
        write!(
            out,
            "data: {{{},\"choices\":[{{\"index\":0,\n\n",
            self.event_head
        )
        .unwrap_or_default();
    }

    /// The event of the usage.
    pub fn usage(&self, out: &mut String, usage: Usage) {
        write!(
            out,
            "data: {{{},\"choices\":[],\"usage\":{}}}\n\n",
            self.event_head,
            usage.json()
        )
        .unwrap_or_default();
    }

    /// An answer in one piece.
    pub fn whole(&self, output_tokens: u64, finish: &str, usage: Option<Usage>) -> String {
        let mut text = String::new();
        for index in 0..output_tokens {
            let (space, word) = self.word(index);
            text.push_str(space);
            text.push_str(word);
        }
        let (object, choice) = match self.endpoint {
            Endpoint::Chat => (
                "chat.completion",
                json!({ "index": 0, "message": { "role": "assistant", "content": text }, "logprobs": null, "finish_reason": finish }),
            ),
            Endpoint::Completions => (
                "text_completion",
                json!({ "index": 0, "text": text, "logprobs": null, "finish_reason": finish }),
            ),
        };
        let mut body = json!({ "id": self.id, "object": object, "created": self.created, "model": self.model, "choices": [choice] });
        if let (Some(usage), Some(body)) = (usage, body.as_object_mut()) {
            body.insert("usage".into(), usage.json());
        }
        body.to_string()
    }
}

/// The end of every stream.
pub(crate) const DONE: &str = "data: [DONE]\n\n";

/// An error's body.
pub(crate) fn error(refusal: &Refusal) -> String {
    let kind = match refusal.status.as_u16() {
        404 => "not_found_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    let body = json!({ "error": { "message": refusal.message, "type": kind, "param": refusal.param, "code": refusal.status.as_u16() } });
    body.to_string()
}
