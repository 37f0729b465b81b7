//! Who asks: arrivals in the order of time, and what a client does when its request ends.

use crate::engine::Cached;
use madang_core::{Payer, Refusal};
use madang_types::{DataClass, Priority};
use std::sync::Arc;

/// One request as its client makes it.
#[derive(Clone, Debug)]
pub struct Ask {
    /// When, in nanoseconds.
    pub at_ns: u64,
    /// The client's own number for it, handed back in [`Ended`].
    pub label: u64,
    /// Who pays.
    pub payer: Payer,
    /// Urgency.
    pub priority: Priority,
    /// How sensitive its data is.
    pub data_class: DataClass,
    /// Prompt tokens.
    pub prompt_tokens: u64,
    /// Tokens that the engine will make.
    pub output_tokens: u64,
    /// Tokens that the client allows at most.
    pub output_tokens_max: u64,
    /// Chained hashes of the prompt's blocks.
    pub blocks: Arc<[u64]>,
    /// Tokens of each.
    pub block_tokens: u32,
    /// Longest wait at the gateway, in milliseconds.
    pub wait_ms_max: u64,
    /// The client leaves where no first token has come by then, in nanoseconds after it asked; 0: it stays.
    pub patience_ns: u64,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All tokens came.
    Finished,
    /// The gateway refused it.
    Refused(Refusal),
    /// The client left before its first token.
    Left,
    /// Its engine failed after its first token.
    Broken,
}

/// A request that ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// The client's number.
    pub label: u64,
    /// When it asked.
    pub asked_ns: u64,
    /// When it ended.
    pub at_ns: u64,
    /// When its first token came.
    pub first_token_ns: Option<u64>,
    /// How.
    pub outcome: Outcome,
    /// Prompt tokens.
    pub prompt_tokens: u64,
    /// Of them from a cache.
    pub cached: Cached,
    /// What its KV took between parts of an engine, in nanoseconds; `None` where it was not sent.
    pub transfer_ns: Option<u64>,
    /// Tokens made.
    pub output_tokens: u64,
    /// Attempts that reached an engine.
    pub attempts: u32,
    /// When the gateway sent it to an engine, the first time.
    pub started_ns: Option<u64>,
    /// The engine that answered, or the last that it was sent to.
    pub engine: Option<u32>,
    /// When trying again makes sense, as the refusal said, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

/// Clients of an experiment.
pub trait Clients {
    /// The next arrival, never before the last one; `None` where no more come by themselves.
    fn next(&mut self) -> Option<Ask>;

    /// A request reaches the gateway: whether it is let in, and as what. One that is not never was.
    fn admit(&mut self, _ask: &mut Ask) -> bool {
        true
    }

    /// A request ended: returns what its client asks because of it, not before the end.
    fn ended(&mut self, ended: &Ended) -> Option<Ask>;

    /// A first token came.
    fn first_token(&mut self, _label: u64, _at_ns: u64, _asked_ns: u64) {}

    /// All that the experiment wants to know has happened: the rest need not be waited for.
    fn done(&self) -> bool {
        false
    }
}
