//! Request traces: who asked when, for how much. Read from CSV, plain or gzip.

mod read;

pub use read::{TraceError, TraceRow, azure_conversation, parse};
