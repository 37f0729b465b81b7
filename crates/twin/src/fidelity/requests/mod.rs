//! Single requests of a measured engine: its coefficients from one log, and what each request of another run will take.

mod carry;
mod log;
mod replay;

pub use carry::{Carried, Learnt, RequestPrediction, Score, learn, scores};
pub use log::{LoggedRequest, RequestRun, request_runs};
