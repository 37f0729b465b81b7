//! OpenAI's wire format, and Anthropic's beside it, as pure functions over bytes: request bodies that keep every byte
//! they are not asked to change, event streams split without copying, usage read from answers, errors in the shape the
//! SDKs raise.
//!
//! Nothing here does I/O, waits, or reads a clock. Everything is linear in its input, bounded, and never panics on
//! what a caller or an engine sends.

pub mod anthropic;
pub mod body;
pub mod error;
#[cfg(test)]
mod fixtures;
mod json;
mod mapping;
pub mod pieces;
pub mod prefix;
pub mod responses;
pub mod sniff;
pub mod sse;
pub mod strings;
pub mod text;
pub mod tools;
pub mod urls;
pub mod usage;

pub use body::{BodyEdit, BodyError, FieldError, RequestBody};
pub use error::{EngineError, ErrorFields, PolicyReason};
pub use mapping::{MapCode, MapError};
pub use pieces::{Channel, ChannelKind, Ends, event_pieces};
pub use prefix::PromptBlocks;
pub use sniff::Features;
pub use sse::{SseError, SseEvent, SseSplitter};
pub use strings::{JsonText, JsonTextKind, json_replaced, json_texts};
pub use text::TextSize;
pub use usage::{AnswerFacts, AnswerKind, EngineUsage, EventFacts};
