//! What a request asks for: sizes, prefix blocks, form of the answer. The words themselves are only counted and hashed.

use crate::fault::{FAULT_HEADER, Fault};
use crate::options::Options;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

/// Tokens of a block of the prefix cache.
pub(crate) const BLOCK_TOKENS: u64 = 512;
/// Bytes that count as a token.
const TOKEN_BYTES: usize = 4;
/// Bytes of a block.
const BLOCK_BYTES: usize = 512 * TOKEN_BYTES;
/// Tokens made where the request names no bound.
const OUTPUT_TOKENS_DEFAULT: u64 = 128;

/// The two ways to ask for tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Chat,
    Completions,
}

/// A request, read.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub endpoint: Endpoint,
    pub stream: bool,
    /// A stream's last event tells the usage.
    pub include_usage: bool,
    pub prompt_tokens: u64,
    pub output_tokens: u64,
    /// The answer is as long as the request allows.
    pub at_limit: bool,
    /// Chained hashes of the prompt's whole blocks.
    pub blocks: Arc<[u64]>,
    /// Chooses the words.
    pub digest: u64,
    /// What goes wrong with it, where the body says so.
    pub fault: Option<Fault>,
}

/// Why a request is refused, in the words of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub status: StatusCode,
    pub message: String,
    pub param: Option<&'static str>,
}

impl Refusal {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            param: None,
        }
    }

    fn of(param: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            message: message.into(),
            param: Some(param),
        }
    }
}

#[derive(Deserialize)]
struct Body {
    model: Option<String>,
    messages: Option<Vec<Message>>,
    prompt: Option<Value>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    n: Option<u64>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    cache_salt: Option<String>,
    x_prompt_tokens: Option<u64>,
    x_output_tokens: Option<u64>,
    x_rehearsal_fault: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<Value>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

/// Reads a body. `drawn` is the length of the answer where the engine draws it.
pub(crate) fn read(
    endpoint: Endpoint,
    body: &[u8],
    options: &Options,
    drawn: Option<u64>,
) -> Result<Ask, Refusal> {
    let body: Body = serde_json::from_slice(body).map_err(|error| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            format!("the body is not a request: {error}"),
        )
    })?;
    if let Some(model) = body
        .model
        .as_deref()
        .filter(|model| *model != options.model.as_str())
    {
        let shown: String = model.chars().take(100).collect();
        let mut refusal = Refusal::of("model", format!("The model `{shown}` does not exist."));
        refusal.status = StatusCode::NOT_FOUND;
        return Err(refusal);
    }
    if body.n.is_some_and(|n| n != 1) {
        return Err(Refusal::of("n", "only n = 1 is rehearsed"));
    }
    let fault = body.x_rehearsal_fault.as_deref().map(fault).transpose()?;
    let content = match endpoint {
        Endpoint::Chat => messages(body.messages)?,
        Endpoint::Completions => prompt(body.prompt)?,
    };
    let counted = u64::try_from(content.len().div_ceil(TOKEN_BYTES)).unwrap_or(u64::MAX);
    let prompt_tokens = body.x_prompt_tokens.unwrap_or(counted).max(1);
    let bound = body.max_completion_tokens.or(body.max_tokens);
    if bound == Some(0) {
        return Err(Refusal::of(
            "max_tokens",
            "max_tokens must be at least 1, got 0.",
        ));
    }
    let output_max = bound.unwrap_or(OUTPUT_TOKENS_DEFAULT);
    let output_tokens = body
        .x_output_tokens
        .or(drawn)
        .unwrap_or(output_max)
        .clamp(1, output_max);
    let context_max = options.profile.request_tokens_max();
    if prompt_tokens.saturating_add(output_tokens) > context_max {
        let text = format!(
            "This model's maximum context length is {context_max} tokens. However, you requested {output_tokens} output tokens and your prompt contains {prompt_tokens} tokens."
        );
        return Err(Refusal::of("messages", text));
    }
    let (mut blocks, digest) = blocks(&content, prompt_tokens);
    if let Some(salt) = &body.cache_salt {
        blocks
            .iter_mut()
            .for_each(|block| *block = salted(*block, salt));
    }
    Ok(Ask {
        endpoint,
        stream: body.stream == Some(true),
        include_usage: body
            .stream_options
            .and_then(|options| options.include_usage)
            == Some(true),
        prompt_tokens,
        output_tokens,
        at_limit: output_tokens == output_max,
        blocks: blocks.into(),
        digest,
        fault,
    })
}

/// The fault of that name.
pub(crate) fn fault(name: &str) -> Result<Fault, Refusal> {
    Fault::named(name.trim()).ok_or_else(|| {
        let text = format!("{FAULT_HEADER} is one of: {}", Fault::names());
        Refusal::of("x_rehearsal_fault", text)
    })
}

/// The messages' texts, one after the other.
fn messages(messages: Option<Vec<Message>>) -> Result<Vec<u8>, Refusal> {
    let messages = messages.filter(|messages| !messages.is_empty());
    let messages =
        messages.ok_or_else(|| Refusal::of("messages", "`messages` is missing or empty"))?;
    let mut content = Vec::new();
    for message in messages {
        match message.content {
            Some(Value::String(text)) => content.extend_from_slice(text.as_bytes()),
            Some(Value::Array(parts)) => {
                let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
                texts.for_each(|text| content.extend_from_slice(text.as_bytes()));
            }
            None | Some(Value::Null) => {}
            Some(_) => {
                return Err(Refusal::of(
                    "messages",
                    "a message's content is a text or a list of parts",
                ));
            }
        }
    }
    Ok(content)
}

/// A text, a list of one text, or a list of token ids.
fn prompt(prompt: Option<Value>) -> Result<Vec<u8>, Refusal> {
    let wrong = || Refusal::of("prompt", "`prompt` is one text or one list of token ids");
    match prompt.ok_or_else(wrong)? {
        Value::String(text) => Ok(text.into_bytes()),
        Value::Array(items) => match items.as_slice() {
            [Value::String(text)] => Ok(text.as_bytes().to_vec()),
            ids => {
                let mut content = Vec::with_capacity(ids.len() * TOKEN_BYTES);
                for id in ids {
                    let id = id
                        .as_u64()
                        .and_then(|id| u32::try_from(id).ok())
                        .ok_or_else(wrong)?;
                    content.extend_from_slice(&id.to_le_bytes());
                }
                Ok(content)
            }
        },
        _ => Err(wrong()),
    }
}

/// Chained hashes of as many whole blocks as the prompt has tokens for, and the hash of all. Where the content is shorter than
/// `prompt_tokens` says, its rest stands in the first block that it does not fill, and the others follow from it.
fn blocks(content: &[u8], prompt_tokens: u64) -> (Vec<u64>, u64) {
    let mut pieces = content.chunks(BLOCK_BYTES);
    let mut chain = 0;
    let mut next = |piece: &[u8]| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(chain);
        hasher.write(piece);
        chain = hasher.finish();
        chain
    };
    let blocks = (0..prompt_tokens / BLOCK_TOKENS)
        .map(|_| next(pieces.next().unwrap_or_default()))
        .collect();
    let rest: u64 = next(pieces.next().unwrap_or_default());
    (blocks, rest)
}

/// A block as it is among those of the same `cache_salt`, which alone know it again.
fn salted(block: u64, salt: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(block);
    hasher.write(salt.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_twin::engine::Profile;
    use madang_types::ModelId;

    fn ask(endpoint: Endpoint, body: &str) -> Result<Ask, Refusal> {
        let options = Options::new(
            Profile::named("tiny").unwrap().clone(),
            ModelId::new("m").unwrap(),
        );
        read(endpoint, body.as_bytes(), &options, None)
    }

    #[test]
    fn sizes_are_read() {
        let check = |endpoint, body: &str, expected: (u64, u64, bool)| {
            let ask = ask(endpoint, body).unwrap();
            assert_eq!(
                (ask.prompt_tokens, ask.output_tokens, ask.at_limit),
                expected,
                "{body}"
            );
        };
        let chat = |rest: &str| {
            format!(
                r#"{{"messages":[{{"content":"12345678"}},{{"content":[{{"text":"9"}}]}}]{rest}}}"#
            )
        };
        check(Endpoint::Chat, &chat(""), (3, 128, true));
        check(Endpoint::Chat, &chat(r#","max_tokens":5"#), (3, 5, true));
        check(
            Endpoint::Chat,
            &chat(r#","max_tokens":5,"max_completion_tokens":4"#),
            (3, 4, true),
        );
        check(
            Endpoint::Chat,
            &chat(r#","max_tokens":5,"x_output_tokens":2"#),
            (3, 2, false),
        );
        check(
            Endpoint::Chat,
            &chat(r#","max_tokens":5,"x_output_tokens":9"#),
            (3, 5, true),
        );
        check(
            Endpoint::Chat,
            &chat(r#","x_prompt_tokens":30000"#),
            (30_000, 128, true),
        );
        check(
            Endpoint::Completions,
            r#"{"prompt":"1234","max_tokens":1}"#,
            (1, 1, true),
        );
        check(
            Endpoint::Completions,
            r#"{"prompt":["12345"],"max_tokens":1}"#,
            (2, 1, true),
        );
        check(
            Endpoint::Completions,
            r#"{"prompt":[7,8,9],"max_tokens":1}"#,
            (3, 1, true),
        );
    }

    #[test]
    fn bad_requests_are_named() {
        let check = |endpoint, body: &str, status: u16, words: &str| {
            let refusal = ask(endpoint, body).unwrap_err();
            assert_eq!(refusal.status.as_u16(), status, "{body}");
            assert!(
                refusal.message.contains(words),
                "{body}: {}",
                refusal.message
            );
        };
        check(Endpoint::Chat, "{", 400, "not a request");
        check(Endpoint::Chat, "{}", 400, "messages");
        check(Endpoint::Chat, r#"{"messages":[]}"#, 400, "messages");
        check(
            Endpoint::Chat,
            r#"{"messages":[{"content":7}]}"#,
            400,
            "content",
        );
        check(
            Endpoint::Chat,
            r#"{"messages":[{"content":"a"}],"model":"other"}"#,
            404,
            "`other` does not exist",
        );
        check(
            Endpoint::Chat,
            r#"{"messages":[{"content":"a"}],"max_tokens":0}"#,
            400,
            "max_tokens",
        );
        check(
            Endpoint::Chat,
            r#"{"messages":[{"content":"a"}],"max_tokens":-1}"#,
            400,
            "not a request",
        );
        check(
            Endpoint::Chat,
            r#"{"messages":[{"content":"a"}],"n":2}"#,
            400,
            "n = 1",
        );
        check(
            Endpoint::Chat,
            r#"{"messages":[{"content":"a"}],"x_prompt_tokens":100000}"#,
            400,
            "maximum context length is 100000",
        );
        check(
            Endpoint::Completions,
            r#"{"prompt":["a","b"]}"#,
            400,
            "prompt",
        );
        check(
            Endpoint::Completions,
            r#"{"messages":[{"content":"a"}]}"#,
            400,
            "prompt",
        );
    }

    #[test]
    fn equal_beginnings_have_equal_blocks() {
        let long = vec![b'a'; 3 * BLOCK_BYTES + 100];
        let mut other = long.clone();
        other[2 * BLOCK_BYTES] = b'b';
        let (first, _) = blocks(&long, 1_561);
        let (second, _) = blocks(&other, 1_561);
        assert_eq!(first.len(), 3);
        assert_eq!(first[..2], second[..2]);
        assert_ne!(first[2], second[2]);
        // A length that the content does not fill: the shorter prompt begins the longer one.
        let (short, _) = blocks(b"question", 30_000);
        let (longer, _) = blocks(b"question", 31_000);
        assert_eq!(short.len(), 58);
        assert_eq!(short[..], longer[..58]);
        assert_ne!(short, blocks(b"another question", 30_000).0);
    }
}
