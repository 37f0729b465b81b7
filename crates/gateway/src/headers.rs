//! Names of the headers that Madang reads and writes.

use http::HeaderName;

/// Data class claimed by the client.
pub const DATA_CLASS: HeaderName = HeaderName::from_static("x-madang-data-class");
/// Flags of the data claimed by the client, with commas between them.
pub const DATA_FLAGS: HeaderName = HeaderName::from_static("x-madang-data-flags");
/// Urgency claimed by the client.
pub const PRIORITY: HeaderName = HeaderName::from_static("x-madang-priority");
/// A name for the conversation that a request belongs to: where the last one was served, the next one is best served.
pub const SESSION: HeaderName = HeaderName::from_static("x-madang-session");
/// Whether a shorter answer will do where the budget ends: `allow` or `refuse`.
pub const CLAMP: HeaderName = HeaderName::from_static("x-madang-clamp");
/// Tokens that may be made, where they are fewer than were asked for.
pub const OUTPUT_TOKENS_MAX: HeaderName = HeaderName::from_static("x-madang-output-tokens-max");
/// What the request cost, in won.
pub const COST: HeaderName = HeaderName::from_static("x-madang-cost-krw");
/// Requests before it when it was queued.
pub const QUEUE_PLACE: HeaderName = HeaderName::from_static("x-madang-queue-place");
/// Its wait as predicted then, in milliseconds.
pub const QUEUE_WAIT_MS: HeaderName = HeaderName::from_static("x-madang-queue-wait-ms");
/// `retry-after` in milliseconds, which OpenAI's SDKs prefer to the whole seconds.
pub const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
/// The id made at the edge, on every answer and to every engine.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-madang-request-id");
/// Where it was served.
pub const SITE: HeaderName = HeaderName::from_static("x-madang-site");
/// By which replica.
pub const REPLICA: HeaderName = HeaderName::from_static("x-madang-replica");
/// Under which country's law.
pub const JURISDICTION: HeaderName = HeaderName::from_static("x-madang-jurisdiction");
/// Which model served it.
pub const MODEL: HeaderName = HeaderName::from_static("x-madang-model");
/// Why there.
pub const DECISION: HeaderName = HeaderName::from_static("x-madang-decision");
/// A key, as Anthropic's SDKs send it and its API takes it.
pub const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// The version of Anthropic's API.
pub const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");
/// Features in beta that are switched on at an upstream that speaks Anthropic's dialect.
pub const ANTHROPIC_BETA: HeaderName = HeaderName::from_static("anthropic-beta");
/// The request's id once more, where Anthropic's SDKs look for it.
pub const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// What engines know as the request's id (vLLM, SGLang and frontier APIs log it).
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
