//! Values back into answers: what a masked request's answer says of placeholders, its caller reads as values.

use madang_pii::Unmasker;
use madang_wire::{
    AnswerKind, Channel, ChannelKind, Ends, JsonTextKind, event_pieces, json_replaced, json_texts,
};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

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
    pub fn stream(self: &Arc<Self>, kind: AnswerKind) -> RestoreStream {
        RestoreStream {
            kind,
            restore: Arc::clone(self),
            channels: BTreeMap::new(),
        }
    }
}

/// Puts values back into a stream, a placeholder that is cut into several events included.
#[derive(Debug)]
pub struct RestoreStream {
    kind: AnswerKind,
    restore: Arc<Restore>,
    channels: BTreeMap<Channel, Held>,
}

/// A text under way, and the last event of which something is held back: it leaves in the form of that.
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
            self.end(&read.ends, out);
            // Events that repeat a whole text have it in other strings than pieces.
            out.push(self.restore.answer(data));
            return;
        }
        let mut changes = Vec::new();
        for piece in read.pieces {
            let held = self.channel(piece.channel);
            let mut text = held.unmasker.push(&piece.text);
            if read.ends.has(piece.channel) {
                text += &held.unmasker.finish();
            } else if held.unmasker.is_holding() {
                held.event = data.to_vec();
                held.span = piece.span.clone();
            }
            changes.push((piece.span, text));
        }
        self.end(&read.ends, out);
        out.push(json_replaced(data, &changes));
    }

    /// The stream has ended: adds what was held back.
    pub fn finish(&mut self, out: &mut Vec<Vec<u8>>) {
        self.end(&Ends::All, out);
    }

    /// Texts have ended: adds what was held back of them.
    fn end(&mut self, ends: &Ends, out: &mut Vec<Vec<u8>>) {
        for held in self
            .channels
            .extract_if(.., |channel, _| ends.has(*channel))
        {
            let Held {
                mut unmasker,
                event,
                span,
            } = held.1;
            let rest = unmasker.finish();
            if !rest.is_empty() {
                out.push(json_replaced(&event, &[(span, rest)]));
            }
        }
    }

    fn channel(&mut self, channel: Channel) -> &mut Held {
        let prototype = match channel.kind {
            ChannelKind::Arguments => &self.restore.arguments,
            ChannelKind::Text | ChannelKind::Reasoning | ChannelKind::Refusal => {
                &self.restore.texts
            }
        };
        self.channels.entry(channel).or_insert_with(|| Held {
            unmasker: prototype.clone(),
            event: Vec::new(),
            span: 0..0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_pii::{Masker, scan};
    use serde_json::json;

    const SAID: &str = "call 010-2345-6789 now";

    fn restore() -> Arc<Restore> {
        let mut masker = Masker::new([SAID]);
        assert_eq!(
            masker.mask(SAID, &scan(SAID.as_bytes())),
            "call [PHONE_1] now"
        );
        Arc::new(Restore::new(masker.unmasker()))
    }

    #[test]
    fn an_end_of_one_choice_is_no_end_of_the_other() {
        let chunk = |index: u32, text: &str, end: Option<&str>| json!({ "choices": [{ "index": index, "delta": { "content": text }, "finish_reason": end }] });
        let events = [
            chunk(0, "[PHO", None),
            chunk(1, "at [PHONE", None),
            chunk(0, "NE_1]", Some("stop")),
            chunk(1, "_1]", None),
            chunk(1, " [", Some("length")),
        ];
        let mut stream = restore().stream(AnswerKind::Chat);
        let mut out = Vec::new();
        for event in events {
            stream.event(event.to_string().as_bytes(), &mut out);
        }
        stream.finish(&mut out);
        let mut said = [String::new(), String::new()];
        for event in out {
            let event: serde_json::Value = serde_json::from_slice(&event).unwrap();
            let choice = &event["choices"][0];
            let index = usize::from(choice["index"] == 1);
            said[index] += choice["delta"]["content"].as_str().unwrap();
        }
        assert_eq!(said, ["010-2345-6789", "at 010-2345-6789 ["]);
    }
}
