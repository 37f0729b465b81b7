//! The features in beta that a caller may switch on at an upstream.

/// Names in `anthropic-beta` that are sent on. They change how a model reads, thinks or writes; none of them lets the
/// upstream fetch, run, store or call anything, or bills in another way.
pub const BETAS_SENT: [&str; 10] = [
    "context-1m-2025-08-07",
    "extended-cache-ttl-2025-04-11",
    "fine-grained-tool-streaming-2025-05-14",
    "interleaved-thinking-2025-05-14",
    "model-context-window-exceeded-2025-08-26",
    "output-128k-2025-02-19",
    "output-300k-2026-03-24",
    "prompt-caching-2024-07-31",
    "structured-outputs-2025-11-13",
    "token-efficient-tools-2025-02-19",
];

/// The value of `anthropic-beta` that goes out for a caller's values of that header: those of [`BETAS_SENT`], each once,
/// in that list's order; none where nothing is left.
pub fn betas_sent<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Option<String> {
    let mut wanted = [false; BETAS_SENT.len()];
    for value in values {
        for name in value.split(|byte| *byte == b',') {
            let name = name.trim_ascii();
            if let Some(at) = BETAS_SENT.iter().position(|known| known.as_bytes() == name) {
                wanted[at] = true;
            }
        }
    }
    let sent: Vec<&str> = BETAS_SENT
        .into_iter()
        .zip(wanted)
        .filter_map(|(name, wanted)| wanted.then_some(name))
        .collect();
    (!sent.is_empty()).then(|| sent.join(","))
}
