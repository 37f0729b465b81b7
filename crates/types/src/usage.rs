//! The usage record: one line in the books for each request that a valid key made.

use crate::class::{DataClass, Priority, words};
use crate::{
    ErrorCode, KeyId, MicroWon, Micros, MilliJoules, ModelId, ProjectId, ReplicaId, RequestId,
    SiteId, TenantId, Tokens,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Which door the request came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Completions,
    /// `/v1/embeddings`
    Embeddings,
    /// `/v1/responses`
    Responses,
    /// `/v1/messages`, Anthropic's
    Messages,
}

words!(Endpoint, EndpointError, "an endpoint is one of chat, completions, embeddings, responses, messages",
    "chat" => Endpoint::Chat, "completions" => Endpoint::Completions,
    "embeddings" => Endpoint::Embeddings, "responses" => Endpoint::Responses,
    "messages" => Endpoint::Messages);

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The engine's answer was complete.
    Finished,
    /// Refused before any engine was asked (bad input, no room, no replica).
    Refused,
    /// The engine answered with an error of the caller's making (4xx).
    EngineRefused,
    /// No attempt gave an answer: the engine failed before its first byte.
    EngineFailed,
    /// The answer began and the engine broke off.
    EngineCut,
    /// The client left before the end.
    ClientGone,
    /// A configured limit on waiting ended it.
    TimedOut,
    /// Madang died while it ran: what was known of it a moment before.
    Orphaned,
}

words!(Outcome, OutcomeError, "not a known outcome",
    "finished" => Outcome::Finished, "refused" => Outcome::Refused,
    "engine_refused" => Outcome::EngineRefused, "engine_failed" => Outcome::EngineFailed,
    "engine_cut" => Outcome::EngineCut, "client_gone" => Outcome::ClientGone,
    "timed_out" => Outcome::TimedOut, "orphaned" => Outcome::Orphaned);

/// Tokens of one request. `uncached + cached` is the prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUse {
    /// Prompt tokens that the engine computed.
    pub uncached: Tokens,
    /// Prompt tokens that the engine took from its prefix cache.
    pub cached: Tokens,
    /// Tokens that the engine made.
    pub output: Tokens,
    /// True where the engine gave no count and these are ours.
    pub estimated: bool,
}

/// One request in the books. Never holds content. Times are microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRecord {
    /// Made at the edge; writing the same id twice keeps the first.
    pub id: RequestId,
    /// When the request's headers had been read.
    pub arrived_at: Micros,
    /// Who is billed.
    pub tenant: TenantId,
    /// The key's project.
    pub project: Option<ProjectId>,
    /// The key that was shown.
    pub key: KeyId,
    /// The door.
    pub endpoint: Endpoint,
    /// The model asked for; `None` where the body named none that is known.
    pub model: Option<ModelId>,
    /// Where the last attempt ran (an upstream's id stands as a site).
    pub site: Option<SiteId>,
    /// The replica of the last attempt.
    pub replica: Option<ReplicaId>,
    /// How it ended.
    pub outcome: Outcome,
    /// The HTTP status that the client was sent.
    pub status: u16,
    /// Our code where we refused or failed it.
    pub error: Option<ErrorCode>,
    /// Whether the client asked for a stream.
    pub streamed: bool,
    /// Attempts made on replicas.
    pub attempts: u32,
    /// Effective data class.
    pub data_class: DataClass,
    /// Priority asked for.
    pub priority: Priority,
    /// Tokens used.
    pub tokens: TokenUse,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body sent to the client.
    pub bytes_out: u64,
    /// Time waiting at the gateway for a replica.
    pub queued_us: u64,
    /// From arrival to the answer's first body byte.
    pub first_token_us: Option<u64>,
    /// Mean time between output tokens after the first, where the answer was streamed and has two or more.
    pub per_token_us: Option<u64>,
    /// From arrival to the end.
    pub total_us: u64,
    /// Price, once a rate card exists.
    pub cost: Option<MicroWon>,
    /// Energy at its site's meter, as foretold when it ended; `None` where nobody says what its engine draws.
    pub energy: Option<MilliJoules>,
    /// The routing decision in one line.
    pub decision: Option<String>,
}
