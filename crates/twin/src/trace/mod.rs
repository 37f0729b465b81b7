//! Traces: who asked when, for how much; which jobs came. Read from CSV, plain or gzip.

mod jobs;
mod read;
mod table;

pub use jobs::{JobRow, MachineRow, TaskRow, jobs, machines, tasks};
pub use read::{TraceError, TraceRow, azure_conversation, parse};
