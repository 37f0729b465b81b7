//! What a place says, in the dialect that it speaks.

use crate::flow::MAPPED;
use serde_json::{Value, json};

/// How a place speaks.
#[derive(Clone, Copy)]
pub enum Speech {
    Chat,
    Completions,
    Messages,
}

impl Speech {
    pub fn of(place: &str, body: &Value) -> Self {
        match (place == MAPPED, body["messages"].is_array()) {
            (true, _) => Self::Messages,
            (false, true) => Self::Chat,
            (false, false) => Self::Completions,
        }
    }

    pub fn error(self) -> Value {
        match self {
            Self::Messages => {
                json!({"type": "error", "error": {"type": "api_error", "message": "it is not to be"}})
            }
            _ => json!({"error": {"message": "it is not to be", "type": "t", "code": "c"}}),
        }
    }

    /// A whole answer.
    pub fn answer(self, text: &str) -> Value {
        let choice = match self {
            Self::Messages => {
                return message(
                    json!([{"type": "text", "text": text}]),
                    &json!("end_turn"),
                    9,
                );
            }
            Self::Chat => json!({"role": "assistant", "content": text}),
            Self::Completions => json!(text),
        };
        let named = self.choice("message", choice, &json!("stop"));
        let usage = json!({"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18});
        json!({"id": "a", "object": "o", "created": 1, "model": "m", "choices": [named], "usage": usage})
    }

    /// The events of a stream before its text.
    pub fn begin(self) -> Vec<String> {
        let Self::Messages = self else {
            return Vec::new();
        };
        let block = json!({"type": "text", "text": ""});
        vec![
            named(
                &json!({"type": "message_start", "message": message(json!([]), &Value::Null, 1)}),
            ),
            named(&json!({"type": "content_block_start", "index": 0, "content_block": block})),
        ]
    }

    /// A piece of text.
    pub fn delta(self, text: &str) -> String {
        match self {
            Self::Messages => {
                let delta = json!({"type": "text_delta", "text": text});
                named(&json!({"type": "content_block_delta", "index": 0, "delta": delta}))
            }
            Self::Chat => self.chunk(json!({"content": text}), &Value::Null),
            Self::Completions => self.chunk(json!(text), &Value::Null),
        }
    }

    /// The events after it.
    pub fn end(self) -> Vec<String> {
        let last = match self {
            Self::Messages => {
                let delta = json!({"stop_reason": "end_turn", "stop_sequence": null});
                return vec![
                    named(&json!({"type": "content_block_stop", "index": 0})),
                    named(
                        &json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 9}}),
                    ),
                    named(&json!({"type": "message_stop"})),
                ];
            }
            Self::Chat => json!({}),
            Self::Completions => json!(""),
        };
        vec![
            self.chunk(last, &json!("stop")),
            "data: [DONE]\n\n".to_owned(),
        ]
    }

    fn chunk(self, said: Value, finish: &Value) -> String {
        let choice = self.choice("delta", said, finish);
        let chunk =
            json!({"id": "a", "object": "o", "created": 1, "model": "m", "choices": [choice]});
        format!("data: {chunk}\n\n")
    }

    fn choice(self, name: &str, said: Value, finish: &Value) -> Value {
        let name = if let Self::Completions = self {
            "text"
        } else {
            name
        };
        json!({"index": 0, name: said, "finish_reason": finish})
    }
}

fn message(content: Value, stop: &Value, output_tokens: u64) -> Value {
    let usage = json!({"input_tokens": 9, "output_tokens": output_tokens});
    json!({"id": "a", "type": "message", "role": "assistant", "model": "m", "content": content, "stop_reason": stop,
        "stop_sequence": null, "usage": usage})
}

fn named(event: &Value) -> String {
    format!(
        "event: {}\ndata: {event}\n\n",
        event["type"].as_str().unwrap_or_default()
    )
}
