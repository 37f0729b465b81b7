//! The bodies that the engine sends. They are written by hand, oddly spaced, with unknown fields and numbers that no
//! 64-bit float holds, so that a gateway which parses and prints them again is found out.

use super::ask::{Ask, Door};
use super::{messages, responses};
use bytes::Bytes;

/// Output tokens as they stand inside JSON strings: Korean, quotes, escapes, an emoji, a line separator.
pub(crate) const TOKENS: &[&str] = &[
    "서울",
    "은",
    " 대한민국의",
    r#" \"수도\""#,
    r"\n",
    " 🏙️",
    r" caf\u00e9",
    r" a\/b",
    " \u{2028}",
    " data: [DONE]",
    r"\n\n",
    " the",
    " end",
];
/// Tokens of the arguments of a forced tool call, as they stand inside JSON strings.
pub(crate) const TOOL_ARGUMENTS: &[&str] = &[r#"{\"city\":"#, r#" \"서울\""#, "}"];
/// Fields that no gateway knows.
const UNKNOWN: &str = r#""x_engine" : {"z":18446744073709551615,"beyond":18446744073709551616,"one":1.0,"tiny":1e-7, "a":[ 1,2 ],"가":"\u00e9" }"#;
const CREATED: u64 = 1_780_000_000;

/// What is said about tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UsageTale {
    True,
    Silent,
    Absurd,
}

/// A part of a body that is written at once.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: Bytes,
    /// Output tokens in it.
    pub(crate) tokens: u64,
}

impl Piece {
    pub(crate) fn new(bytes: impl Into<Bytes>, tokens: u64) -> Self {
        Self {
            bytes: bytes.into(),
            tokens,
        }
    }

    /// `data: …` with its empty line.
    pub(crate) fn event(data: &str, tokens: u64) -> Self {
        Self::new(format!("data: {data}\n\n"), tokens)
    }

    pub(crate) fn done() -> Self {
        Self::event("[DONE]", 0)
    }
}

/// Everything that the builders need to know.
pub(crate) struct Pen<'a> {
    pub(crate) ask: &'a Ask,
    pub(crate) engine: &'a str,
    /// The model's name as the engine says it.
    pub(crate) model: &'a str,
    /// Number of this answer; part of its id.
    pub(crate) number: u64,
    pub(crate) tale: UsageTale,
}

/// The token at a place of the answer, inside a JSON string.
pub(crate) fn token(at: u64) -> &'static str {
    TOKENS[usize::try_from(at).unwrap_or(0) % TOKENS.len()]
}

fn text(tokens: u64) -> String {
    (0..tokens).map(token).collect()
}

impl Pen<'_> {
    /// The body of a plain answer.
    pub(crate) fn plain(&self) -> String {
        match self.ask.door {
            Door::Chat | Door::Completions => self.plain_text(),
            Door::Embeddings => self.plain_embeddings(),
            Door::Responses => responses::plain(self),
            Door::Messages => messages::plain(self),
        }
    }

    /// The events of a streamed answer.
    pub(crate) fn stream(&self) -> Vec<Piece> {
        match self.ask.door {
            Door::Responses => responses::stream(self),
            Door::Messages => messages::stream(self),
            Door::Chat | Door::Completions | Door::Embeddings => self.stream_text(),
        }
    }

    /// `,"usage":…` for the ordinary doors, or nothing.
    fn usage_field(&self) -> String {
        let (prompt, output) = (self.ask.prompt_tokens, self.ask.output_tokens_total());
        match self.tale {
            UsageTale::Silent => String::new(),
            UsageTale::Absurd => concat!(
                r#","usage":{"prompt_tokens":-5,"completion_tokens":1e30,"total_tokens":"many","#,
                r#""prompt_tokens_details":{"cached_tokens":99999999999}}"#
            )
            .to_owned(),
            UsageTale::True => {
                let total = prompt + output;
                let cached = self.cached_details();
                format!(
                    r#","usage" : {{"prompt_tokens":{prompt},"total_tokens":{total}, "completion_tokens":{output},"prompt_tokens_details":{cached}}}"#
                )
            }
        }
    }

    /// The count of cached tokens in the engine's own form.
    pub(crate) fn cached_details(&self) -> String {
        match self.ask.cached_tokens {
            0 => "null".to_owned(),
            cached => format!(r#"{{"cached_tokens":{cached}}}"#),
        }
    }

    /// llama.cpp's `timings`, which say the same once more.
    fn timings_field(&self) -> String {
        if self.engine != "llama.cpp" || self.tale != UsageTale::True {
            return String::new();
        }
        let (cached, output) = (self.ask.cached_tokens, self.ask.output_tokens_total());
        let fresh = self.ask.prompt_tokens - cached;
        format!(
            r#","timings":{{"cache_n":{cached},"prompt_n":{fresh},"prompt_ms":12.5,"predicted_n":{output},"predicted_per_second":38.953488372093020}}"#
        )
    }

    fn head(&self, object: &str) -> String {
        let prefix = if self.ask.door == Door::Chat {
            "chatcmpl"
        } else {
            "cmpl"
        };
        let (number, model) = (self.number, self.model);
        format!(
            r#""id":"{prefix}-{number}", "object" : "{object}","created":{CREATED},"model" : "{model}""#
        )
    }

    fn logprobs(&self, tokens: std::ops::Range<u64>) -> String {
        if !self.ask.logprobs {
            return "null".to_owned();
        }
        let each = |at| {
            format!(
                r#"{{"token":"{}","logprob":-0.25,"bytes":null,"top_logprobs":[]}}"#,
                token(at)
            )
        };
        let all: Vec<String> = tokens.map(each).collect();
        format!(r#"{{"content":[{}],"refusal":null}}"#, all.join(","))
    }

    fn plain_text(&self) -> String {
        let tokens = self.ask.output_tokens;
        let (object, content) = match (self.ask.door, &self.ask.tool) {
            (Door::Chat, Some(name)) => ("chat.completion", self.tool_message(name)),
            (Door::Chat, None) => (
                "chat.completion",
                format!(
                    r#""message":{{"role":"assistant","content":"{}","refusal":null,"tool_calls":[]}}"#,
                    text(tokens)
                ),
            ),
            _ => ("text_completion", format!(r#""text":"{}""#, text(tokens))),
        };
        let reason = if self.ask.tool.is_some() {
            "tool_calls"
        } else {
            "length"
        };
        let logprobs = self.logprobs(0..tokens);
        let choice = |index| {
            format!(
                r#"{{"index":{index},{content},"logprobs":{logprobs},"finish_reason":"{reason}","stop_reason":null}}"#
            )
        };
        let choices: Vec<String> = (0..self.ask.choices).map(choice).collect();
        format!(
            "{{{},\"choices\":[{}]{}{},{UNKNOWN}}}\n",
            self.head(object),
            choices.join(","),
            self.usage_field(),
            self.timings_field(),
        )
    }

    fn tool_message(&self, name: &str) -> String {
        let number = self.number;
        let arguments = TOOL_ARGUMENTS.concat();
        format!(
            r#""message":{{"role":"assistant","content":null,"tool_calls":[{{"id":"call_{number}","type":"function","function":{{"name":"{name}","arguments":"{arguments}"}}}}]}}"#
        )
    }

    fn chunk(&self, choice: &str, tokens: u64) -> Piece {
        let object = if self.ask.door == Door::Chat {
            "chat.completion.chunk"
        } else {
            "text_completion"
        };
        let usage = if self.ask.include_usage && self.engine != "vllm" {
            r#","usage":null"#
        } else {
            ""
        };
        let head = self.head(object);
        Piece::event(
            &format!(r#"{{{head},"choices":[{choice}]{usage},{UNKNOWN}}}"#),
            tokens,
        )
    }

    fn delta(&self, index: u64, at: u64) -> Piece {
        let logprobs = self.logprobs(at..at + 1);
        let part = match self.ask.door {
            Door::Chat => format!(r#""delta":{{"content":"{}"}}"#, token(at)),
            _ => format!(r#""text":"{}""#, token(at)),
        };
        let choice =
            format!(r#"{{"index":{index},{part},"logprobs":{logprobs},"finish_reason":null}}"#);
        self.chunk(&choice, 1)
    }

    fn stream_text(&self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let chat = self.ask.door == Door::Chat;
        if chat {
            for index in 0..self.ask.choices {
                let role = r#""delta":{"role":"assistant","content":""},"logprobs":null"#;
                pieces.push(self.chunk(
                    &format!(r#"{{"index":{index},{role},"finish_reason":null}}"#),
                    0,
                ));
            }
        }
        if let Some(name) = &self.ask.tool {
            self.stream_tool(name, &mut pieces);
        } else {
            for at in 0..self.ask.output_tokens {
                pieces.extend((0..self.ask.choices).map(|index| self.delta(index, at)));
            }
        }
        let reason = if self.ask.tool.is_some() {
            "tool_calls"
        } else {
            "length"
        };
        let empty = if chat {
            r#""delta":{}"#
        } else {
            r#""text":"""#
        };
        for index in 0..self.ask.choices {
            let choice = format!(
                r#"{{"index":{index},{empty},"logprobs":null,"finish_reason":"{reason}"}}"#
            );
            pieces.push(self.chunk(&choice, 0));
        }
        if self.ask.include_usage && self.tale != UsageTale::Silent {
            let object = if chat {
                "chat.completion.chunk"
            } else {
                "text_completion"
            };
            pieces.push(Piece::event(
                &format!(
                    r#"{{{},"choices":[]{}{}}}"#,
                    self.head(object),
                    self.usage_field(),
                    self.timings_field()
                ),
                0,
            ));
        }
        pieces.push(Piece::done());
        pieces
    }

    fn stream_tool(&self, name: &str, pieces: &mut Vec<Piece>) {
        let number = self.number;
        let start = format!(
            r#"{{"index":0,"delta":{{"tool_calls":[{{"index":0,"id":"call_{number}","type":"function","function":{{"name":"{name}","arguments":""}}}}]}},"finish_reason":null}}"#
        );
        pieces.push(self.chunk(&start, 0));
        for part in TOOL_ARGUMENTS {
            let choice = format!(
                r#"{{"index":0,"delta":{{"tool_calls":[{{"index":0,"function":{{"arguments":"{part}"}}}}]}},"finish_reason":null}}"#
            );
            pieces.push(self.chunk(&choice, 1));
        }
    }

    fn plain_embeddings(&self) -> String {
        // [0.0, 0.25, …] as little-endian 32-bit floats, where base64 is asked for
        let vector = if self.ask.base64 {
            r#""AAAAAAAAgD4AAAA/AABAPw==""#
        } else {
            "[0.0, 0.25,0.5,7.5e-1]"
        };
        let item =
            |index| format!(r#"{{"object":"embedding","index":{index},"embedding":{vector}}}"#);
        let items: Vec<String> = (0..self.ask.inputs).map(item).collect();
        format!(
            "{{\"object\":\"list\" ,\"data\":[{}],\"model\":\"{}\"{},{UNKNOWN}}}",
            items.join(","),
            self.model,
            self.usage_field()
        )
    }
}

/// An error in the engine's own shape.
pub(crate) fn error(engine: &str, code: u16, message: &str) -> String {
    let message = serde_json::Value::from(message);
    match engine {
        "anthropic" => messages::error(code, &message),
        "vllm" | "sglang" => format!(
            r#"{{"object":"error","message":{message},"type":"BadRequestError","param":null,"code":{code}}}"#
        ),
        _ => format!(
            r#"{{"error":{{"code":{code},"message":{message},"type":"invalid_request_error"}}}}"#
        ),
    }
}
