//! The generated texts that an event of a stream goes on with: which text, and the piece.

use std::borrow::Cow;
use std::ops::Range;

use crate::json::Value;
use crate::usage::AnswerKind;

#[cfg(test)]
mod tests;

/// One of the texts that a stream makes side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Channel {
    /// The choice, or the output item.
    pub item: u64,
    /// The tool call, or the content part, inside it.
    pub part: u64,
    /// What kind of text it is.
    pub kind: ChannelKind,
}

/// What kind of text a channel carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChannelKind {
    /// What the model says.
    Text,
    /// How it got there.
    Reasoning,
    /// Why it does not say it.
    Refusal,
    /// Arguments of a tool call: JSON inside the string.
    Arguments,
}

/// The next piece of a channel's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Which text.
    pub channel: Channel,
    /// Where the string stands in the event's data, with its quotes.
    pub span: Range<usize>,
    /// The piece.
    pub text: Cow<'a, str>,
}

/// What an event says of the stream's texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pieces<'a> {
    /// The pieces, in the order of the data.
    pub pieces: Vec<Piece<'a>>,
    /// Which texts end with this event: nothing of them is held back beyond it.
    pub ends: Ends,
}

/// Which texts end with an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Ends {
    /// None.
    #[default]
    Nothing,
    /// Those of these items.
    Items(Vec<u64>),
    /// All.
    All,
}

impl Ends {
    /// Whether a text ends.
    #[must_use]
    pub fn has(&self, channel: Channel) -> bool {
        match self {
            Self::Nothing => false,
            Self::Items(items) => items.contains(&channel.item),
            Self::All => true,
        }
    }

    fn all_if(ends: bool) -> Self {
        if ends { Self::All } else { Self::Nothing }
    }
}

/// Reads the data of one event. Anything that is no JSON object has no pieces.
#[must_use]
pub fn event_pieces(kind: AnswerKind, data: &[u8]) -> Pieces<'_> {
    let mut reading = Reading {
        data,
        found: Pieces::default(),
    };
    let top = Value::of(data);
    match kind {
        AnswerKind::Chat => reading.choices(top, Reading::chat_choice),
        AnswerKind::Completions => reading.choices(top, |reading, item, choice| {
            reading.piece((item, 0, ChannelKind::Text), choice.get_some("text"));
        }),
        AnswerKind::Responses => reading.response(top),
        AnswerKind::Messages => reading.message(top),
        AnswerKind::Embeddings => {}
    }
    reading.found.pieces.sort_by_key(|piece| piece.span.start);
    reading.found
}

struct Reading<'a> {
    data: &'a [u8],
    found: Pieces<'a>,
}

impl<'a> Reading<'a> {
    fn choices(&mut self, top: Value<'a>, each: impl Fn(&mut Self, u64, Value<'a>)) {
        let Some(choices) = top.get_some("choices") else {
            return;
        };
        let mut ended = Vec::new();
        for choice in choices.items() {
            let item = choice.get("index").and_then(Value::unsigned).unwrap_or(0);
            each(self, item, choice);
            if choice.get_some("finish_reason").is_some() {
                ended.push(item);
            }
        }
        if !ended.is_empty() {
            self.found.ends = Ends::Items(ended);
        }
    }

    fn chat_choice(&mut self, item: u64, choice: Value<'a>) {
        let Some(delta) = choice.get_some("delta") else {
            return;
        };
        for (key, kind) in [
            ("content", ChannelKind::Text),
            ("reasoning_content", ChannelKind::Reasoning),
            ("reasoning", ChannelKind::Reasoning),
            ("refusal", ChannelKind::Refusal),
        ] {
            self.piece((item, 0, kind), delta.get_some(key));
        }
        for call in delta
            .get_some("tool_calls")
            .into_iter()
            .flat_map(Value::items)
        {
            let part = call.get("index").and_then(Value::unsigned).unwrap_or(0);
            let arguments = call
                .get_some("function")
                .and_then(|f| f.get_some("arguments"));
            self.piece((item, part, ChannelKind::Arguments), arguments);
        }
    }

    fn response(&mut self, top: Value<'a>) {
        let event = top
            .get_some("type")
            .and_then(Value::text)
            .unwrap_or_default();
        let number = |name: &str| top.get(name).and_then(Value::unsigned).unwrap_or(0);
        let (item, part) = (number("output_index"), number("content_index"));
        let kind = match event.as_ref() {
            "response.output_text.delta" => ChannelKind::Text,
            "response.refusal.delta" => ChannelKind::Refusal,
            "response.function_call_arguments.delta" => ChannelKind::Arguments,
            other if other.starts_with("response.reasoning") && other.ends_with(".delta") => {
                ChannelKind::Reasoning
            }
            other => {
                let over = matches!(
                    other,
                    "response.completed" | "response.incomplete" | "response.failed"
                );
                self.found.ends = Ends::all_if(over || other.ends_with(".done"));
                return;
            }
        };
        self.piece((item, part, kind), top.get_some("delta"));
    }

    fn message(&mut self, top: Value<'a>) {
        let event = top
            .get_some("type")
            .and_then(Value::text)
            .unwrap_or_default();
        if event != "content_block_delta" {
            let ends = matches!(
                event.as_ref(),
                "content_block_stop" | "message_delta" | "message_stop"
            );
            self.found.ends = Ends::all_if(ends);
            return;
        }
        let item = top.get("index").and_then(Value::unsigned).unwrap_or(0);
        let Some(delta) = top.get_some("delta") else {
            return;
        };
        for (key, kind) in [
            ("text", ChannelKind::Text),
            ("thinking", ChannelKind::Reasoning),
            ("partial_json", ChannelKind::Arguments),
        ] {
            self.piece((item, 0, kind), delta.get_some(key));
        }
    }

    fn piece(&mut self, (item, part, kind): (u64, u64, ChannelKind), value: Option<Value<'a>>) {
        let Some(value) = value else {
            return;
        };
        let Some(text) = value.text() else {
            return;
        };
        // The value is a part of the data, so the difference of their addresses is its offset.
        let start = value.0.as_ptr().addr() - self.data.as_ptr().addr();
        self.found.pieces.push(Piece {
            channel: Channel { item, part, kind },
            span: start..start + value.0.len(),
            text,
        });
    }
}
