//! Values back into answers: what a masked request's answer says of placeholders, its caller reads as values.

use madang_pii::Unmasker;
use madang_wire::{
    AnswerKind, Channel, ChannelKind, JsonTextKind, event_pieces, json_replaced, json_texts,
};
use std::collections::BTreeMap;
use std::ops::Range;

/// Puts the values of one request back. Lives as long as its answer, in memory only.
#[derive(Debug)]
pub struct Restore {
    texts: Unmasker,
    /// The same for JSON inside a string: arguments of tool calls.
    arguments: Unmasker,
}

impl Restore {
    /// From what masked its request.
    pub(crate) fn new(unmasker: Unmasker) -> Self {
        Self {
            arguments: unmasker.escaped(),
            texts: unmasker,
        }
    }

    /// A whole answer with the values back in.
    pub fn answer(&self, json: &[u8]) -> Vec<u8> {
        let mut changes = Vec::new();
        for text in json_texts(json) {
            if text.kind == JsonTextKind::Number {
                continue;
            }
            let restored = match text.key {
                b"arguments" | b"partial_json" => self.arguments.unmask(&text.text),
                _ => self.texts.unmask(&text.text),
            };
            if restored != text.text {
                changes.push((text.span, restored));
            }
        }
        json_replaced(json, &changes)
    }

    /// For the events of a streamed answer.
    pub fn stream(&self, kind: AnswerKind) -> RestoreStream {
        RestoreStream {
            kind,
            texts: self.texts.clone(),
            arguments: self.arguments.clone(),
            channels: BTreeMap::new(),
        }
    }
}

/// Puts values back into a stream, a placeholder that is cut into several events included.
#[derive(Debug)]
pub struct RestoreStream {
    kind: AnswerKind,
    texts: Unmasker,
    arguments: Unmasker,
    channels: BTreeMap<Channel, Held>,
}

/// A text under way, and its last event: what is held back leaves in the form of that.
#[derive(Debug)]
struct Held {
    unmasker: Unmasker,
    event: Vec<u8>,
    span: Range<usize>,
}

impl RestoreStream {
    /// The data of the next event; adds to `out` the data of what may leave.
    pub fn event(&mut self, data: &[u8], out: &mut Vec<Vec<u8>>) {
        let read = event_pieces(self.kind, data);
        if read.pieces.is_empty() {
            if read.ends {
                self.finish(out);
            }
            // Events that repeat a whole text have it in other strings than pieces.
            let whole = Restore {
                texts: self.texts.clone(),
                arguments: self.arguments.clone(),
            };
            out.push(whole.answer(data));
            return;
        }
        let mut changes = Vec::new();
        for piece in read.pieces {
            let held = self.channel(piece.channel);
            let mut text = held.unmasker.push(&piece.text);
            if read.ends {
                text += &held.unmasker.finish();
            }
            held.event = data.to_vec();
            held.span = piece.span.clone();
            changes.push((piece.span, text));
        }
        if read.ends {
            self.finish(out);
        }
        out.push(json_replaced(data, &changes));
    }

    /// The stream, or its texts, have ended: adds what was held back.
    pub fn finish(&mut self, out: &mut Vec<Vec<u8>>) {
        for held in std::mem::take(&mut self.channels).into_values() {
            let Held {
                mut unmasker,
                event,
                span,
            } = held;
            let rest = unmasker.finish();
            if !rest.is_empty() {
                out.push(json_replaced(&event, &[(span, rest)]));
            }
        }
    }

    fn channel(&mut self, channel: Channel) -> &mut Held {
        let prototype = match channel.kind {
            ChannelKind::Arguments => &self.arguments,
            ChannelKind::Text | ChannelKind::Reasoning | ChannelKind::Refusal => &self.texts,
        };
        self.channels.entry(channel).or_insert_with(|| Held {
            unmasker: prototype.clone(),
            event: Vec::new(),
            span: 0..0,
        })
    }
}
