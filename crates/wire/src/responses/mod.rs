//! The Responses API for engines that only have chat completions.
//!
//! Flow: [`to_chat`] maps the request, then [`to_response`] maps one answer, or [`ResponsesStream`] maps an event
//! stream. Nothing is kept between requests, and every answer says so (`store: false`); what would need a memory or a
//! hosted tool is refused by name, never ignored.

mod answer;
mod input;
mod item;
mod object;
mod output;
mod request;
mod stream;
#[cfg(test)]
mod tests;
mod tools;

pub use answer::{AnswerError, to_response};
pub use object::{Echo, Ids};
pub use request::{ChatRequest, to_chat};
pub use stream::{ResponsesStream, StreamEnd};
