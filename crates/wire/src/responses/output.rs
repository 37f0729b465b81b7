//! The items of a streamed response while they grow.

use super::item::{
    FunctionCall, function_call_item, message_item, reasoning_item, reasoning_part, refusal_part,
    text_part,
};
use super::object::Ids;
use crate::json::Value;

/// The kinds of running text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prose {
    Text,
    Refusal,
    Reasoning,
}

impl Prose {
    /// The middle of the names of its events.
    pub(super) fn event(self) -> &'static str {
        match self {
            Self::Text => "output_text",
            Self::Refusal => "refusal",
            Self::Reasoning => "reasoning_text",
        }
    }
}

/// One item of the output.
#[derive(Debug)]
pub(super) enum Item {
    /// A message or reasoning.
    Prose {
        id: String,
        reasoning: bool,
        parts: Vec<Part>,
        done: Option<&'static str>,
    },
    /// A call.
    Call {
        call: FunctionCall,
        done: Option<&'static str>,
    },
}

/// One part of an item; the last one grows.
#[derive(Debug)]
pub(super) struct Part {
    kind: Prose,
    text: String,
    /// The items of a JSON array, without its brackets.
    logprobs: Vec<u8>,
}

impl Part {
    fn json(&self) -> Vec<u8> {
        match self.kind {
            Prose::Text => text_part(&self.text, &self.logprobs_json()),
            Prose::Refusal => refusal_part(&self.text),
            Prose::Reasoning => reasoning_part(&self.text),
        }
    }

    fn logprobs_json(&self) -> Vec<u8> {
        [b"[", self.logprobs.as_slice(), b"]"].concat()
    }
}

impl Item {
    /// A message or reasoning without parts yet.
    pub(super) fn prose(kind: Prose, ids: &Ids, position: usize) -> Self {
        let reasoning = kind == Prose::Reasoning;
        let id = ids.item(if reasoning { "rs" } else { "msg" }, position);
        Self::Prose {
            id,
            reasoning,
            parts: Vec::new(),
            done: None,
        }
    }

    pub(super) fn id(&self) -> &str {
        match self {
            Self::Prose { id, .. } => id,
            Self::Call { call, .. } => &call.id,
        }
    }

    pub(super) fn is_reasoning(&self) -> bool {
        matches!(
            self,
            Self::Prose {
                reasoning: true,
                ..
            }
        )
    }

    pub(super) fn part_count(&self) -> usize {
        match self {
            Self::Prose { parts, .. } => parts.len(),
            Self::Call { .. } => 0,
        }
    }

    /// The kind of the part that grows.
    pub(super) fn open_part(&self) -> Option<Prose> {
        match self {
            Self::Prose { parts, .. } => parts.last().map(|part| part.kind),
            Self::Call { .. } => None,
        }
    }

    /// Adds an empty part and gives it as JSON.
    pub(super) fn add_part(&mut self, kind: Prose) -> Vec<u8> {
        let part = Part {
            kind,
            text: String::new(),
            logprobs: Vec::new(),
        };
        let json = part.json();
        if let Self::Prose { parts, .. } = self {
            parts.push(part);
        }
        json
    }

    /// The last part: its kind, text, log probabilities, and itself as JSON.
    pub(super) fn last_part(&self) -> Option<(Prose, String, Vec<u8>, Vec<u8>)> {
        let Self::Prose { parts, .. } = self else {
            return None;
        };
        let part = parts.last()?;
        Some((
            part.kind,
            part.text.clone(),
            part.logprobs_json(),
            part.json(),
        ))
    }

    /// Appends to the last part, or to a call's arguments.
    pub(super) fn push_text(&mut self, text: &str, logprobs: Option<Value<'_>>) {
        match self {
            Self::Call { call, .. } => call.arguments.push_str(text),
            Self::Prose { parts, .. } => {
                let Some(part) = parts.last_mut() else { return };
                part.text.push_str(text);
                for item in logprobs.iter().flat_map(|list| list.items()) {
                    if !part.logprobs.is_empty() {
                        part.logprobs.push(b',');
                    }
                    part.logprobs.extend_from_slice(item.0);
                }
            }
        }
    }

    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::Prose { done, .. } | Self::Call { done, .. } => done.is_some(),
        }
    }

    pub(super) fn set_done(&mut self, status: &'static str) {
        match self {
            Self::Prose { done, .. } | Self::Call { done, .. } => *done = Some(status),
        }
    }

    /// The item as JSON; `open` is its status as long as it is not done.
    pub(super) fn json(&self, open: &str) -> Vec<u8> {
        match self {
            Self::Call { call, done } => function_call_item(call, done.unwrap_or(open)),
            Self::Prose {
                id,
                reasoning,
                parts,
                done,
            } => {
                let parts: Vec<Vec<u8>> = parts.iter().map(Part::json).collect();
                let write = if *reasoning {
                    reasoning_item
                } else {
                    message_item
                };
                write(id, done.unwrap_or(open), &parts)
            }
        }
    }
}
