//! Brings weights and built-in engines onto this machine, checks their digests and keeps them; `doctor` says what is missing.
//!
//! Everything lands in one [`Cache`] beside the data folder, under a temporary name until its digest is right, so that
//! a start that fails or is killed leaves nothing half done. This room starts no engine and decides nothing about where
//! one runs: it hands back a file ([`fetch_weights`]) or a command line ([`ensure_engine`]).

mod cache;
mod catalogue;
mod digest;
mod doctor;
mod engine;
mod error;
mod gguf;
mod needs;
mod package;
mod pip;
mod progress;
mod python;
mod recipe;
mod url;
mod weights;

pub use cache::{Cache, Tools};
pub use catalogue::{qwen25_coder_0_5b, smollm2_135m};
pub use digest::of_file as sha256_of_file;
pub use doctor::{Check, DoctorOptions, Verdict, doctor};
pub use engine::{EngineCommand, EngineOrigin, EngineShape, Listen, ensure_engine};
pub use error::{FailureKind, ProvisionError, SourceFailure};
pub use gguf::{ModelFileFacts, model_file};
pub use needs::{Need, Prepared, needs, prepare};
pub use progress::{Bars, Lines, Progress, Quiet, progress_for_terminal};
pub use weights::fetch_weights;
