//! Anthropic's Messages API beside OpenAI's chat completions, both ways.
//!
//! [`upstream`] serves callers of chat at an upstream that speaks Messages: [`upstream::to_messages`] maps the request,
//! then [`upstream::to_completion`] maps one answer, or [`upstream::ChatStream`] an event stream. [`door`] serves callers
//! of Messages at an engine that speaks chat: [`door::to_chat`], [`door::to_message`], [`door::MessagesStream`].
//!
//! What both sides can say is carried without loss; what only one can say is refused by its field's name. Fields that
//! cannot change an answer (hints about caches and tiers) are left out. Field names and event order follow the API
//! reference and the types of anthropic-sdk-python 2.14.0.

mod betas;
mod counts;
pub mod door;
mod error;
#[cfg(test)]
mod tests;
pub mod upstream;

pub use betas::{BETAS_SENT, betas_sent};
pub use error::error_body;

use crate::json::Value;

/// The versions of the API that are spoken, as header `anthropic-version` says them; the first is ours. The second takes
/// less (no `temperature`, `top_p`, `top_k`; see platform.claude.com/docs/en/api/migration-2026-10-21) and answers alike.
pub const VERSIONS: [&str; 2] = ["2023-06-01", "2026-10-21"];

/// Why an answer could not be mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It is no JSON object.
    #[error("it is not a JSON object")]
    NotJson,
    /// It is an object of another kind than promised.
    #[error("it holds no message")]
    NoMessage,
    /// A tool call's arguments are no JSON object, which Messages cannot carry.
    #[error("it holds a tool call whose arguments are not a JSON object")]
    Arguments,
}

/// The most bytes of thinking or of tool input that are kept back of a stream.
const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The most content blocks or tool calls in one stream.
const BLOCKS_MAX: usize = 1024;

/// The text of a field, where it has one.
fn string(of: Value<'_>, name: &str) -> Option<String> {
    of.get_some(name).and_then(Value::text).map(Into::into)
}
