//! Names of the headers that Madang reads and writes.

use http::HeaderName;

/// Data class claimed by the client.
pub const DATA_CLASS: HeaderName = HeaderName::from_static("x-madang-data-class");
/// Urgency claimed by the client.
pub const PRIORITY: HeaderName = HeaderName::from_static("x-madang-priority");
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
/// What engines know as the request's id (vLLM, SGLang and frontier APIs log it).
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
