//! Traces: who asked when, for how much; which jobs came. Read from CSV or JSON lines, plain or packed.

mod error;
mod form;
mod jobs;
mod lines;
mod packed;
mod rates;
mod recording;
mod records;
mod stream;
mod summary;
mod table;

pub(crate) use packed::{read_text, unpacked_text};
pub(crate) use recording::replayed;

pub use error::TraceError;
pub use jobs::{JobRow, JobTrace, MachineRow, TaskRow, Unordered, jobs, machines, tasks};
pub use lines::LINE_BYTES_MAX;
pub use packed::unpacked;
pub use rates::{RateError, Rates};
pub use records::{RecordError, Records};
pub(crate) use stream::AZURE_CONVERSATION;
pub use stream::{Request, Requests};
pub use summary::{Doubt, TraceSummary};
