//! What a request will take at a member.

use super::choose::Scratch;
use crate::fleet_view::RouteRule;
use crate::member::{Estimate, Member};
use crate::request::{MemberIndex, Request};
use crate::state::Core;
use madang_types::Micros;

/// What a request will take at a member, and what is cached of it there.
pub(super) struct Forecast {
    pub estimate: Estimate,
    pub cached_tokens: u64,
    pub cached_blocks: u32,
}

impl Core {
    /// For the request whose prompt was looked up last; beside prompt work that is promised to the member already.
    pub(super) fn forecast(
        &self,
        (now, request): (Micros, &Request),
        (index, member): (MemberIndex, &Member),
        (scratch, promised_us): (&Scratch, u64),
    ) -> Forecast {
        let submit = &request.submit;
        let ignores_cache = self.rules.route == RouteRule::PredictedTtftNoCache;
        let cached_blocks = if ignores_cache {
            0
        } else {
            scratch.matches.blocks(index)
        };
        let cached_tokens = (u64::from(cached_blocks) * u64::from(submit.prefix.block_tokens))
            .min(submit.prompt_tokens.saturating_sub(1));
        let uncached = submit.prompt_tokens.saturating_sub(cached_tokens).max(1);
        let outstanding_us = member.account.outstanding_us(now) + promised_us;
        let (running, kv_tokens) = (member.running_count(), member.account.kv_tokens);
        let estimate = member.speed.estimate(
            (uncached, cached_tokens, request.predicted_output),
            (
                outstanding_us,
                member.speed.iteration_us(running, kv_tokens),
            ),
        );
        Forecast {
            estimate,
            cached_tokens,
            cached_blocks,
        }
    }
}

/// The predicted first token, and once more the work that it takes: what one request saves by a cache, those after it save as well.
pub(super) fn price(estimate: &Estimate) -> u64 {
    estimate.ttft_us + estimate.prefill_us
}
