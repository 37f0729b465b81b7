//! Usage: sums and single records.

use super::csv::{csv, text_cell};
use super::instant;
use madang_store::UsageSum;
use madang_types::{MicroWon, MilliJoules, TokenUse, Tokens, UsageRecord};
use serde::Serialize;
use utoipa::ToSchema;

/// Sums over the records of one group.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageView {
    /// A model, a tenant, a project as `tenant/project`, a day as `YYYY-MM-DD`, or empty for all; `-` where the request named no known model.
    group: String,
    /// Requests.
    requests: u64,
    /// Requests whose answer was complete.
    finished: u64,
    /// Prompt tokens computed.
    uncached_tokens: u64,
    /// Prompt tokens from the engines' caches.
    cached_tokens: u64,
    /// Tokens made.
    output_tokens: u64,
    /// Requests whose counts are estimates.
    estimated: u64,
    /// Bytes of requests' bodies.
    bytes_in: u64,
    /// Bytes of answers.
    bytes_out: u64,
}

impl From<UsageSum> for UsageView {
    fn from(sum: UsageSum) -> Self {
        let UsageSum {
            group,
            requests,
            finished,
            uncached_tokens,
            cached_tokens,
            output_tokens,
            estimated,
            bytes_in,
            bytes_out,
        } = sum;
        Self {
            group,
            requests,
            finished,
            uncached_tokens,
            cached_tokens,
            output_tokens,
            estimated,
            bytes_in,
            bytes_out,
        }
    }
}

/// Sums as a table.
pub(crate) fn usage_csv(rows: &[UsageView]) -> String {
    let names = [
        "group",
        "requests",
        "finished",
        "uncached_tokens",
        "cached_tokens",
        "output_tokens",
        "estimated",
        "bytes_in",
        "bytes_out",
    ];
    let cells = rows.iter().map(|row| {
        let UsageView {
            group,
            requests,
            finished,
            uncached_tokens,
            cached_tokens,
            output_tokens,
            estimated,
            bytes_in,
            bytes_out,
        } = row;
        let counts = [
            requests,
            finished,
            uncached_tokens,
            cached_tokens,
            output_tokens,
            estimated,
            bytes_in,
            bytes_out,
        ];
        let counts = counts.map(u64::to_string);
        std::iter::once(text_cell(group)).chain(counts).collect()
    });
    csv(&names, cells)
}

/// A page of requests, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RequestList {
    /// Always `list`.
    #[schema(value_type = String)]
    pub object: &'static str,
    /// The requests.
    pub data: Vec<RequestView>,
    /// The parameter `before` of the next page; null where this one was not full.
    pub next_before: Option<String>,
}

/// One request in the books. Never holds content.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RequestView {
    /// Its id, as in the header `x-madang-request-id`.
    pub id: String,
    /// When its headers had been read.
    #[schema(format = DateTime)]
    arrived_at: String,
    /// Who is billed.
    tenant: String,
    /// The key's project.
    project: Option<String>,
    /// The key's id.
    key: String,
    /// `chat`, `completions`, `embeddings` or `responses`.
    #[schema(value_type = String)]
    endpoint: &'static str,
    /// The model asked for; null where it is not known.
    model: Option<String>,
    /// Where the last attempt ran.
    site: Option<String>,
    /// The replica of the last attempt.
    replica: Option<String>,
    /// How it ended.
    #[schema(value_type = String)]
    outcome: &'static str,
    /// The HTTP status sent.
    status: u16,
    /// Our error code.
    #[schema(value_type = Option<String>)]
    error: Option<&'static str>,
    /// Whether a stream was asked for.
    streamed: bool,
    /// Attempts made on replicas.
    attempts: u32,
    /// Effective data class.
    #[schema(value_type = String)]
    data_class: &'static str,
    /// Priority asked for.
    #[schema(value_type = String)]
    priority: &'static str,
    /// Tokens used.
    tokens: TokensView,
    /// Bytes of the request's body.
    bytes_in: u64,
    /// Bytes of the answer's body.
    bytes_out: u64,
    /// Microseconds waiting for a replica.
    queued_us: u64,
    /// Microseconds from arrival to the answer's first byte.
    first_token_us: Option<u64>,
    /// Mean microseconds between output tokens after the first.
    per_token_us: Option<u64>,
    /// Microseconds from arrival to the end.
    total_us: u64,
    /// Price in won, exact to a millionth; null until it is priced.
    cost_krw: Option<String>,
    /// Energy in thousandths of a joule at its site's meter, as foretold; null where nobody says what its engine draws.
    energy_millijoules: Option<i64>,
    /// The routing decision in one line.
    decision: Option<String>,
}

/// Tokens of one request; the prompt is `uncached` and `cached` together.
#[derive(Debug, Serialize, ToSchema)]
struct TokensView {
    /// Prompt tokens computed.
    uncached: u64,
    /// Prompt tokens from the engine's cache.
    cached: u64,
    /// Tokens made.
    output: u64,
    /// Whether the counts are estimates of ours.
    estimated: bool,
}

impl From<TokenUse> for TokensView {
    fn from(tokens: TokenUse) -> Self {
        let TokenUse {
            uncached: Tokens(uncached),
            cached: Tokens(cached),
            output: Tokens(output),
            estimated,
        } = tokens;
        Self {
            uncached,
            cached,
            output,
            estimated,
        }
    }
}

impl From<UsageRecord> for RequestView {
    fn from(record: UsageRecord) -> Self {
        let UsageRecord {
            id,
            arrived_at,
            tenant,
            project,
            key,
            endpoint,
            model,
            site,
            replica,
            outcome,
            status,
            error,
            streamed,
            attempts,
            data_class,
            priority,
            tokens,
            bytes_in,
            bytes_out,
            queued_us,
            first_token_us,
            per_token_us,
            total_us,
            cost,
            energy,
            decision,
        } = record;
        Self {
            id: id.to_string(),
            arrived_at: instant(arrived_at),
            tenant: tenant.to_string(),
            project: project.map(|id| id.to_string()),
            key: key.to_string(),
            endpoint: endpoint.as_str(),
            model: model.map(|id| id.to_string()),
            site: site.map(|id| id.to_string()),
            replica: replica.map(|id| id.to_string()),
            outcome: outcome.as_str(),
            status,
            error: error.map(|code| code.as_str()),
            streamed,
            attempts,
            data_class: data_class.as_str(),
            priority: priority.as_str(),
            tokens: tokens.into(),
            bytes_in,
            bytes_out,
            queued_us,
            first_token_us,
            per_token_us,
            total_us,
            cost_krw: cost.map(won),
            energy_millijoules: energy.map(|MilliJoules(mj)| mj),
            decision,
        }
    }
}

/// Money as a decimal number of won, exact.
pub(super) fn won(MicroWon(micro): MicroWon) -> String {
    let sign = if micro < 0 { "-" } else { "" };
    let micro = micro.unsigned_abs();
    format!("{sign}{}.{:06}", micro / 1_000_000, micro % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_exact() {
        let check = |micro: i64, text: &str| assert_eq!(won(MicroWon(micro)), text);
        check(0, "0.000000");
        check(1_234_567, "1.234567");
        check(-1, "-0.000001");
        check(i64::MIN, "-9223372036854.775808");
    }
}
