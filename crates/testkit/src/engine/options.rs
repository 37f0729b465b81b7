//! How a fake engine is set up.

use std::path::PathBuf;

/// Where a fake engine listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Listen {
    /// A free port of 127.0.0.1.
    #[default]
    AnyPort,
    /// This port of 127.0.0.1: to come back where an engine died.
    Port(u16),
    /// A unix socket; a file left there by a dead engine is replaced.
    Unix(PathBuf),
}

/// How a fake engine is set up. `..Default::default()` gives a fast vLLM with the model `m`.
#[derive(Clone, Debug)]
pub struct FakeEngineOptions {
    /// Dialect of `/metrics`, of errors and of small habits: `vllm`, `sglang`, `llama.cpp` or `openai`; `anthropic` serves
    /// `/v1/messages` and nothing else.
    pub engine: String,
    /// The model that it serves. vLLM, SGLang and OpenAI answer 404 to another name, llama.cpp answers anyway.
    pub model: String,
    /// Where it listens.
    pub listen: Listen,
    /// Key that `/v1/*` must carry as `Authorization: Bearer`, or for Anthropic as `x-api-key`; none asked for where absent.
    pub key: Option<String>,
    /// Wait before the first output token.
    pub first_token_ms: u64,
    /// Wait before each further output token.
    pub token_ms: u64,
    /// Output tokens where the request gives no maximum.
    pub output_tokens: u64,
    /// Prompt tokens said to come from the prefix cache, at most the prompt's.
    pub cached_tokens: u64,
    /// Requests generated at once; more wait, as in an engine's own queue.
    pub slots: usize,
    /// Whether `/v1/responses` exists; 404 otherwise.
    pub responses: bool,
    /// File that gets one JSON line for each request served, before the last piece of its answer leaves.
    pub served_log: Option<PathBuf>,
    /// Requests and answers kept in memory; the oldest go first.
    pub kept_max: usize,
}

impl Default for FakeEngineOptions {
    fn default() -> Self {
        Self {
            engine: "vllm".to_owned(),
            model: "m".to_owned(),
            listen: Listen::AnyPort,
            key: None,
            first_token_ms: 0,
            token_ms: 0,
            output_tokens: 16,
            cached_tokens: 2,
            slots: 1024,
            responses: true,
            served_log: None,
            kept_max: 10_000,
        }
    }
}
