//! Tool-call repair, for models that print a call as JSON text instead of calling.
//!
//! Flow: [`repair_request`] makes the body for the engine, then [`repair_answer`] (one answer) or [`RepairStream`] (an
//! event stream) turns the printed call into `tool_calls`. A text is a call only when all of it is one or more calls of
//! offered tools; any other text leaves byte for byte. Streamed and whole answers follow the same rule.

mod answer;
mod find;
mod request;
mod schema;
mod stream;
#[cfg(test)]
mod tests;

pub use answer::repair_answer;
pub use request::repair_request;
pub use stream::RepairStream;

/// The longest text, in bytes, that is held back or read as a call; a longer one is text.
pub const CALL_TEXT_BYTES_MAX: usize = 64 * 1024;

/// The most tools one request may offer.
pub const TOOLS_MAX: usize = 128;

/// A request made ready for an engine that does not call tools by itself, and what its answer must be read with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// The body for the engine.
    pub body: Vec<u8>,
    /// What the caller asked for.
    pub mode: ToolMode,
    /// The tools that the answer may call: all that were offered, or fewer where `tool_choice` names some.
    pub offered: Vec<ToolSpec>,
    /// The caller wants at most one call (`parallel_tool_calls: false`).
    pub one_call: bool,
}

/// What the caller's `tool_choice` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolMode {
    /// The model may call or not.
    Auto,
    /// The model must call one of these.
    Required(Vec<String>),
    /// The model must call this one.
    Named(String),
    /// No tools, or `tool_choice: "none"`: answers are left as they are.
    NoCall,
}

/// One tool that may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolSpec {
    /// The function's name.
    pub name: String,
    /// The JSON Schema of its arguments as the caller wrote it; none when it takes no arguments.
    pub parameters: Option<Vec<u8>>,
}
