//! Single requests of a measured engine: its coefficients from one log, and what each request of another run will take.

mod carry;
mod log;
mod replay;
mod score;

pub use carry::{Carried, LearnError, Learnt, RequestPrediction, learn};
pub use log::{LoggedRequest, RequestRun, request_runs};
pub use score::{Score, scores};
