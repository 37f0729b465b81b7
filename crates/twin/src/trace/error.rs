//! What may be wrong with a trace.

/// What a row that stands below a later one does.
pub(super) const BEFORE: &str = "it comes before the line above";

/// Why a trace cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The bytes cannot be unpacked, or are no text.
    #[error("the trace cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// A column is missing.
    #[error("the trace has no column '{0}'; it has: {1}")]
    Column(&'static str, String),
    /// A column is there twice.
    #[error("the trace has two columns '{0}'; leave one of them")]
    Twice(&'static str),
    /// It says how often somebody asks, not who asks for what.
    #[error(
        "it holds requests a second, not requests; a scenario reads it as the `rates` of a demand"
    )]
    Rates,
    /// A row has more cells than there are columns.
    #[error(
        "line {line}: it has {cells} cells, and the header {columns}; a cell with a comma in it stands in quotes"
    )]
    Wide {
        /// From 1.
        line: usize,
        /// Cells of the row.
        cells: usize,
        /// Cells of the header.
        columns: usize,
    },
    /// A value is not what its column holds.
    #[error("line {line}: '{value}' is not {expected}")]
    Value {
        /// From 1.
        line: usize,
        /// What stands there, at most 40 characters.
        value: String,
        /// What should.
        expected: &'static str,
    },
    /// A request stands after a later one.
    #[error("line {0}: {before}; sort the trace by time", before = BEFORE)]
    Order(usize),
    /// There is a header and nothing else.
    #[error("the trace has no rows")]
    Empty,
    /// Nobody asks for the model that was named.
    #[error("the recording has no request for the model '{0}'")]
    Model(String),
    /// A model was named of a trace that tells none apart.
    #[error("only a gateway's recording tells models apart; this trace has one")]
    OneModel,
    /// It has too many rows.
    #[error("it has more than {0} rows")]
    Long(usize),
    /// It is held in memory where it is read, and is too long for that.
    #[error(
        "it has more than {requests} requests, or {blocks} blocks of prompts; cut it, or have a scenario replay it, which does not hold it"
    )]
    Size {
        /// Requests that may be.
        requests: usize,
        /// Blocks that may be.
        blocks: usize,
    },
}

pub(super) fn wrong(line: usize, value: &str, expected: &'static str) -> TraceError {
    TraceError::Value {
        line,
        value: shown(value, 40),
        expected,
    }
}

/// The beginning of what stands in a file, without what would move a terminal's cursor or colour its text.
pub(super) fn shown(text: &str, characters: usize) -> String {
    let plain = |c: char| match c.is_control() && c != '\t' {
        true => char::REPLACEMENT_CHARACTER,
        false => c,
    };
    text.chars().take(characters).map(plain).collect()
}
