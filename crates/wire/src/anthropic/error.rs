//! Errors in Anthropic's shape, with our code and remedy beside its type and message.
//!
//! anthropic-sdk-python (`_streaming.py`, `_exceptions.py`) and anthropic-sdk-typescript (`core/streaming.ts`) raise by
//! the status, and inside a stream on `event: error`; both read `error.type` and keep the whole body.

use crate::error::{ErrorFields, PolicyReason, text};
use serde::Serialize;

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    shape: &'static str,
    error: Error<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct Error<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    doc: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    reasons: &'a [PolicyReason],
}

/// The body of an error answer: `{"type": "error", "error": {…}, "request_id": …}`.
#[must_use]
pub fn error_body(fields: &ErrorFields<'_>) -> String {
    let ErrorFields {
        message,
        kind,
        param,
        code,
        request_id,
        remedy,
        doc,
        retry_after_ms,
        reasons,
    } = *fields;
    text(&Body {
        shape: "error",
        error: Error {
            kind: error_kind(kind, code),
            message,
            code,
            param,
            remedy,
            doc,
            retry_after_ms,
            reasons,
        },
        request_id,
    })
}

/// Anthropic's word for an error's class, from our code, or else from OpenAI's word or its own.
fn error_kind(kind: &str, code: &str) -> &'static str {
    match code {
        "model_not_found" | "url_not_found" => return "not_found_error",
        "body_too_large" => return "request_too_large",
        _ => {}
    }
    match kind {
        "authentication_error" => "authentication_error",
        "permission_error" => "permission_error",
        "not_found_error" => "not_found_error",
        "request_too_large" => "request_too_large",
        "rate_limit_error" => "rate_limit_error",
        "overloaded_error" => "overloaded_error",
        "timeout_error" => "timeout_error",
        "billing_error" | "insufficient_quota" => "billing_error",
        "api_error" | "server_error" | "internal_error" => "api_error",
        _ => "invalid_request_error",
    }
}
