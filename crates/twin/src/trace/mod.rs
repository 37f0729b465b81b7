//! Traces: who asked when, for how much; which jobs came. Read from CSV or JSON lines, plain or packed.

mod jobs;
mod rates;
mod read;
mod recording;
mod stream;
mod table;

pub(crate) use recording::replayed;
pub(crate) use table::unpacked;

pub use jobs::{JobRow, MachineRow, TaskRow, jobs, machines, tasks};
pub use rates::{RateError, Rates};
pub use read::{TraceError, TraceRow, azure_conversation, parse};
pub use stream::{Request, Requests, TraceSummary};
