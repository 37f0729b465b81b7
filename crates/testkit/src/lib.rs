//! What tests and benches talk to instead of accelerators: an engine that speaks the OpenAI protocol, breaks it on
//! demand and writes down what it served; clients, one well-behaved, one that sends raw bytes; a PostgreSQL, a Slurm, and a
//! Docker.
//!
//! It must not ship (only dev-dependencies may name it), must not know any of our crates' logic, and must never reach
//! beyond the loopback.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use madang_testkit::{Behaviour, FakeEngine, FakeEngineOptions, http_post_json};
//! let engine = FakeEngine::start(FakeEngineOptions::default()).await;
//! let url = format!("{}/v1/chat/completions", engine.url());
//! let body = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":3}"#;
//! let answer = http_post_json(&url, None, body).await?;
//! assert_eq!(answer.body, engine.last_answer_bytes());
//! engine.set_behaviour(Behaviour::CloseBeforeHeaders);
//! # Ok(()) }
//! ```

mod client;
mod docker;
mod engine;
mod link;
mod pages;
mod postgres;
mod raw_client;
mod served;
mod slurm;
mod sse;

pub use client::{HttpAnswer, HttpStream, http_get, http_post_json, http_send, http_stream};
pub use docker::Docker;
pub use engine::behaviour::{Behaviour, BehaviourError, CutEnd};
pub use engine::options::{FakeEngineOptions, Listen};
pub use engine::record::{Recorded, Served};
pub use engine::{FakeEngine, eventually, eventually_async};
pub use link::{Link, Way};
pub use pages::{PageAnswer, Pages};
pub use postgres::{Database, Postgres};
pub use raw_client::{RawClient, RawEnd, RawRead};
pub use slurm::{Slurm, SlurmRelease};
pub use sse::{SseEvent, SseStream};
