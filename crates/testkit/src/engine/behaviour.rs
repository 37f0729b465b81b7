//! The ways in which a fake engine can misbehave, and their text forms.

use std::fmt;
use std::str::FromStr;

/// Marks a behaviour inside a request's body, such as `"user":"fake-behaviour=cut:3"`.
pub(crate) const BODY_MARK: &[u8] = b"fake-behaviour=";
/// Header that carries a behaviour for one request.
pub(crate) const HEADER: &str = "x-fake-behaviour";

/// How a broken-off answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutEnd {
    /// The chunked body ends as it should, but `[DONE]` and usage never came.
    Clean,
    /// The connection closes inside the chunked body.
    Abrupt,
    /// The connection is reset (TCP only; on a unix socket it closes).
    Reset,
}

/// What the engine does with a request. The text form (`parse`, `Display`) is given with each.
///
/// The hanging ones that come before the head ([`Loading`](Self::Loading),
/// [`CloseBeforeHeaders`](Self::CloseBeforeHeaders), [`Reset`](Self::Reset) and
/// [`StallBeforeHeaders`](Self::StallBeforeHeaders)), when set for the engine, befall `/health` and `/metrics` too, as
/// with a process that hangs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// `normal`
    #[default]
    Normal,
    /// `status:CODE` or `status:CODE:BODY`: answers with this status and body.
    Status {
        /// The status, 200 to 599.
        code: u16,
        /// The body, as it is; a JSON error in the engine's dialect where empty.
        body: String,
    },
    /// `loading`: 503 as llama.cpp answers while it loads.
    Loading,
    /// `close`: closes before any byte.
    CloseBeforeHeaders,
    /// `reset`: resets the connection before any byte (TCP only; on a unix socket it closes).
    Reset,
    /// `stall`: takes the request and never answers.
    StallBeforeHeaders,
    /// `stall-after:CHUNKS`: sends the head and this many pieces, then nothing more.
    StallAfter {
        /// Pieces sent; 0 sends the head only.
        chunks: usize,
    },
    /// `cut:CHUNKS` (abrupt), `cut-clean:CHUNKS`, `cut-reset:CHUNKS`: breaks off after this many pieces.
    Cut {
        /// Pieces sent; 0 sends the head only.
        chunks: usize,
        /// How it ends.
        end: CutEnd,
    },
    /// `error-event:CHUNKS`: after this many pieces an error event, then `[DONE]`, as vLLM does.
    ErrorEvent {
        /// Pieces sent before it.
        chunks: usize,
    },
    /// `endless`: the stream's tokens never end.
    Endless,
    /// `wrong-json`: the answer, or one event of the stream, is not JSON.
    WrongJson,
    /// `length:N`: announces a body longer (positive) or shorter (negative) than it sends, then closes. Never streams.
    ContentLength {
        /// Announced minus sent, bytes.
        delta: i64,
    },
    /// `no-usage`: no usage anywhere.
    NoUsage,
    /// `absurd-usage`: usage with a negative count, a count of 10³⁰ and a text for a number.
    AbsurdUsage,
    /// `huge-event:BYTES`: a stream of one event without a line end, then closes. Plain answers become as long.
    HugeEvent {
        /// Bytes of the event.
        bytes: usize,
    },
    /// `slow-headers:MS`: sends the head one byte at a time.
    SlowHeaders {
        /// Wait before each byte.
        ms: u64,
    },
    /// `split:BYTES`: sends each piece in writes of this many bytes, so that characters and events are torn.
    Split {
        /// Bytes in one write, at least 1.
        bytes: usize,
    },
    /// `odd-frames`: CR LF line ends, comments, `event:` and `id:` lines, no space after `data:`.
    OddFrames,
    /// `script:JSON` with an array of texts: a stream of just these pieces, as they are (`["data: {…}\n\n"]`), which
    /// counts as whole. Plain answers stay normal.
    Script {
        /// What is sent, one write each.
        pieces: Vec<String>,
    },
    /// `slow:FIRST_MS:TOKEN_MS`: like normal, with these waits.
    Slow {
        /// Wait before the first token.
        first_ms: u64,
        /// Wait before each further token.
        token_ms: u64,
    },
}

/// The text is no behaviour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BehaviourError(String);

impl fmt::Display for BehaviourError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a behaviour of the fake engine: {}", self.0)
    }
}

impl std::error::Error for BehaviourError {}

impl Behaviour {
    /// Whether it is that of a process that hangs or loads, which befalls every path.
    pub(crate) fn is_of_the_process(&self) -> bool {
        matches!(
            self,
            Self::Loading | Self::CloseBeforeHeaders | Self::Reset | Self::StallBeforeHeaders
        )
    }

    /// The behaviour that a request asks for by header or by the mark in its body.
    pub(crate) fn asked_for(headers: &http::HeaderMap, body: &[u8]) -> Option<Self> {
        if let Some(value) = headers.get(HEADER) {
            return value.to_str().ok()?.parse().ok();
        }
        let at = body.windows(BODY_MARK.len()).position(|w| w == BODY_MARK)? + BODY_MARK.len();
        let rest = &body[at..];
        let end = rest
            .iter()
            .position(|b| matches!(b, b'"' | b' ' | b'\\' | b','))
            .unwrap_or(rest.len());
        std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
    }
}

impl FromStr for Behaviour {
    type Err = BehaviourError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let wrong = || BehaviourError(text.to_owned());
        let number = || rest.parse::<usize>().map_err(|_| wrong());
        Ok(match name {
            "normal" => Self::Normal,
            "status" => {
                let (code, body) = rest.split_once(':').unwrap_or((rest, ""));
                let code = code.parse().map_err(|_| wrong())?;
                if !(200..600).contains(&code) {
                    return Err(wrong());
                }
                Self::Status {
                    code,
                    body: body.to_owned(),
                }
            }
            "loading" => Self::Loading,
            "close" => Self::CloseBeforeHeaders,
            "reset" => Self::Reset,
            "stall" => Self::StallBeforeHeaders,
            "stall-after" => Self::StallAfter { chunks: number()? },
            "cut" => Self::Cut {
                chunks: number()?,
                end: CutEnd::Abrupt,
            },
            "cut-clean" => Self::Cut {
                chunks: number()?,
                end: CutEnd::Clean,
            },
            "cut-reset" => Self::Cut {
                chunks: number()?,
                end: CutEnd::Reset,
            },
            "error-event" => Self::ErrorEvent { chunks: number()? },
            "endless" => Self::Endless,
            "wrong-json" => Self::WrongJson,
            "length" => Self::ContentLength {
                delta: rest.parse().map_err(|_| wrong())?,
            },
            "no-usage" => Self::NoUsage,
            "absurd-usage" => Self::AbsurdUsage,
            "huge-event" => Self::HugeEvent { bytes: number()? },
            "slow-headers" => Self::SlowHeaders {
                ms: rest.parse().map_err(|_| wrong())?,
            },
            "split" => Self::Split {
                bytes: number()?.max(1),
            },
            "odd-frames" => Self::OddFrames,
            "script" => Self::Script {
                pieces: serde_json::from_str(rest).map_err(|_| wrong())?,
            },
            "slow" => {
                let (first, token) = rest.split_once(':').ok_or_else(wrong)?;
                Self::Slow {
                    first_ms: first.parse().map_err(|_| wrong())?,
                    token_ms: token.parse().map_err(|_| wrong())?,
                }
            }
            _ => return Err(wrong()),
        })
    }
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("normal"),
            Self::Status { code, body } if body.is_empty() => write!(f, "status:{code}"),
            Self::Status { code, body } => write!(f, "status:{code}:{body}"),
            Self::Loading => f.write_str("loading"),
            Self::CloseBeforeHeaders => f.write_str("close"),
            Self::Reset => f.write_str("reset"),
            Self::StallBeforeHeaders => f.write_str("stall"),
            Self::StallAfter { chunks } => write!(f, "stall-after:{chunks}"),
            Self::Cut {
                chunks,
                end: CutEnd::Abrupt,
            } => write!(f, "cut:{chunks}"),
            Self::Cut {
                chunks,
                end: CutEnd::Clean,
            } => write!(f, "cut-clean:{chunks}"),
            Self::Cut {
                chunks,
                end: CutEnd::Reset,
            } => write!(f, "cut-reset:{chunks}"),
            Self::ErrorEvent { chunks } => write!(f, "error-event:{chunks}"),
            Self::Endless => f.write_str("endless"),
            Self::WrongJson => f.write_str("wrong-json"),
            Self::ContentLength { delta } => write!(f, "length:{delta}"),
            Self::NoUsage => f.write_str("no-usage"),
            Self::AbsurdUsage => f.write_str("absurd-usage"),
            Self::HugeEvent { bytes } => write!(f, "huge-event:{bytes}"),
            Self::SlowHeaders { ms } => write!(f, "slow-headers:{ms}"),
            Self::Split { bytes } => write!(f, "split:{bytes}"),
            Self::OddFrames => f.write_str("odd-frames"),
            Self::Script { pieces } => {
                write!(f, "script:{}", serde_json::Value::from(pieces.clone()))
            }
            Self::Slow { first_ms, token_ms } => write!(f, "slow:{first_ms}:{token_ms}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_read_back() {
        for text in [
            "normal",
            "status:429",
            "status:500:{\"x\":1}",
            "loading",
            "close",
            "reset",
            "stall",
            "stall-after:2",
            "cut:0",
            "cut-clean:3",
            "cut-reset:1",
            "error-event:2",
            "endless",
            "wrong-json",
            "length:-10",
            "length:7",
            "no-usage",
            "absurd-usage",
            "huge-event:1000",
            "slow-headers:5",
            "split:1",
            "odd-frames",
            r#"script:["data: {}\n\n"]"#,
            "slow:10:20",
        ] {
            let behaviour: Behaviour = text.parse().unwrap();
            assert_eq!(behaviour.to_string(), text);
        }
        for text in ["", "status:99", "status:x", "cut:-1", "nonsense", "slow:1"] {
            assert!(text.parse::<Behaviour>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_header_wins_over_the_body() {
        let body = br#"{"user":"fake-behaviour=cut:3","x":1}"#;
        let mut headers = http::HeaderMap::new();
        let cut = Behaviour::Cut {
            chunks: 3,
            end: CutEnd::Abrupt,
        };
        assert_eq!(Behaviour::asked_for(&headers, body), Some(cut));
        headers.insert(HEADER, "stall".parse().unwrap());
        assert_eq!(
            Behaviour::asked_for(&headers, body),
            Some(Behaviour::StallBeforeHeaders)
        );
        assert_eq!(Behaviour::asked_for(&http::HeaderMap::new(), b"{}"), None);
    }
}
