//! What a program prints, line by line, and the lines that say how far it is. What does not is its output, and nobody's concern here.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The longest line that is read as progress; a longer one is output.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// Numbers of one line that are kept, and letters of their names.
const METRICS_MAX: usize = 16;
const NAME_CHARS_MAX: usize = 64;
/// Characters of a message or a path that are kept.
const TEXT_CHARS_MAX: usize = 512;

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    /// Numbers, by name: `step`, `train_loss` and others.
    Metrics(BTreeMap<String, f64>),
    /// A checkpoint was written, at that step; where, and the numbers then.
    Checkpoint {
        step: u64,
        path: Option<String>,
        metrics: BTreeMap<String, f64>,
    },
    /// A sentence.
    Message { level: Level, text: String },
    /// It begins as progress does, and cannot be read.
    Unreadable,
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    #[default]
    Info,
    Warn,
    Error,
}

/// What a line says; `None` where it is output.
pub(super) fn said(line: &[u8]) -> Option<Said> {
    let line = line.trim_ascii();
    let begins = line.strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    if !begins.is_some_and(|rest| rest.starts_with(b"\"event\"")) {
        return None;
    }
    let object: Option<Map<String, Value>> = serde_json::from_slice(line).ok();
    Some(object.and_then(read).unwrap_or(Said::Unreadable))
}

fn read(object: Map<String, Value>) -> Option<Said> {
    let text = |name: &str| {
        let text = object.get(name)?.as_str()?;
        let printed = text.chars().filter(|c| !c.is_control());
        Some(printed.take(TEXT_CHARS_MAX).collect::<String>())
    };
    match object.get("event")?.as_str()? {
        "metrics" => {
            let metrics = metrics(&object);
            (!metrics.is_empty()).then_some(Said::Metrics(metrics))
        }
        "checkpoint" => Some(Said::Checkpoint {
            step: object.get("step")?.as_u64()?,
            path: text("path"),
            metrics: metrics(&object),
        }),
        "message" => {
            let level = object.get("level").cloned();
            let level = level.map(serde_json::from_value).transpose().ok()?;
            Some(Said::Message {
                level: level.unwrap_or_default(),
                text: text("message")?,
            })
        }
        _ => None,
    }
}

fn metrics(object: &Map<String, Value>) -> BTreeMap<String, f64> {
    let numbers = object.iter().filter_map(|(name, value)| {
        let fits = name.chars().count() <= NAME_CHARS_MAX;
        Some((name.clone(), value.as_f64().filter(|_| fits)?))
    });
    numbers.take(METRICS_MAX).collect()
}

/// Bytes of a run's output, put together to lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// What of the last line is there yet.
    rest: Vec<u8>,
    /// The last line is too long already.
    long: bool,
}

impl Lines {
    /// What follows was not read: the line that it cut is none.
    pub fn skip(&mut self) {
        *self = Self {
            rest: Vec::new(),
            long: true,
        };
    }

    /// Takes the next bytes, which begin at `from`; gives each whole line with the byte after it.
    pub fn feed(&mut self, from: u64, bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let (mut lines, mut at) = (Vec::new(), from);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            at += u64::try_from(piece.len()).unwrap_or(0);
            self.long |= self.rest.len() + piece.len() > LINE_BYTES_MAX;
            if self.long {
                self.rest.clear();
            } else {
                self.rest.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.rest);
                if !std::mem::take(&mut self.long) {
                    lines.push((at, line));
                }
            }
        }
        lines
    }

    /// The last line, where nothing ends it.
    pub fn last(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.rest);
        (!std::mem::take(&mut self.long) && !line.is_empty()).then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_of_progress_are_told_from_output() {
        let number = |name: &str, value: f64| (name.to_owned(), value);
        let check = |line: &str, expected: Option<Said>| {
            assert_eq!(said(line.as_bytes()), expected, "{line}");
        };
        check("", None);
        check("epoch 1", None);
        check(r#"{"step": 1}"#, None);
        check(r#"["event"]"#, None);
        check(
            r#" { "event": "metrics", "step": 3, "train_loss": 0.5, "note": "x"}"#,
            Some(Said::Metrics(
                [number("step", 3.0), number("train_loss", 0.5)].into(),
            )),
        );
        check(
            r#"{"event":"checkpoint","step":3,"path":"output/3","valid_loss":0.25}"#,
            Some(Said::Checkpoint {
                step: 3,
                path: Some("output/3".to_owned()),
                metrics: [number("step", 3.0), number("valid_loss", 0.25)].into(),
            }),
        );
        let message = |level, text: &str| {
            let text = text.to_owned();
            Some(Said::Message { level, text })
        };
        check(
            r#"{"event":"message","message":"hi\u001b"}"#,
            message(Level::Info, "hi"),
        );
        check(
            r#"{"event":"message","level":"warn","message":"hi"}"#,
            message(Level::Warn, "hi"),
        );
        for broken in [
            r#"{"event""#,
            r#"{"event":7}"#,
            r#"{"event":"metrics"}"#,
            r#"{"event":"metrics","train_loss":NaN}"#,
            r#"{"event":"checkpoint","step":-1}"#,
            r#"{"event":"message"}"#,
            r#"{"event":"message","level":"loud","message":"x"}"#,
            r#"{"event":"else"}"#,
        ] {
            check(broken, Some(Said::Unreadable));
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_none_and_the_next_is_one() {
        let mut lines = Lines::default();
        let long = "x".repeat(LINE_BYTES_MAX);
        let text = format!("a\n{long}\nb\n{long}");
        let found = lines.feed(10, text.as_bytes());
        let b = 10 + u64::try_from(text.len() - long.len()).unwrap();
        assert_eq!(found, [(12, b"a\n".to_vec()), (b, b"b\n".to_vec())]);
        lines.feed(b, b"y");
        assert_eq!(lines.last(), None);
        lines.skip();
        assert_eq!(lines.feed(0, b"cut\nc\n"), [(6, b"c\n".to_vec())]);
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(text: Vec<u8>, cuts: Vec<prop::sample::Index>) {
            let mut whole = Lines::default();
            let expected = (whole.feed(0, &text), whole.last());
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            places.extend([0, text.len()]);
            places.sort_unstable();
            let (mut lines, mut found) = (Lines::default(), Vec::new());
            for pair in places.windows(2) {
                found.extend(lines.feed(pair[0] as u64, &text[pair[0]..pair[1]]));
            }
            prop_assert_eq!((found, lines.last()), expected);
        }
    }
}
