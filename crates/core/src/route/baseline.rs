//! Routing rules of others, as their public descriptions give them: to compare with, never the default.

use super::choose::Candidate;
use crate::fleet_view::RouteRule;
use crate::request::Request;

/// Load bound of consistent hashing with bounded loads.
const BOUND_PERCENT: u64 = 125;
/// Part of the prompt that must match for affinity, in percent.
const MATCH_PERCENT: u64 = 30;
/// Loads count as uneven where they differ by more requests than this, and by half.
const UNEVEN_REQUESTS: u32 = 64;

/// PCG-XSH-RR 64/32 with a fixed seed: rules that draw lots draw the same in every run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pcg(u64);

impl Default for Pcg {
    fn default() -> Self {
        Self(0x4D59_5DF4_D0F3_3173)
    }
}

impl Pcg {
    /// A number below `bound` (which is small, so that the bias is of no account).
    fn below(&mut self, bound: usize) -> usize {
        let state = self.0;
        self.0 = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let shifted = ((state >> 18) ^ state) >> 27;
        let word = u32::try_from(shifted & u64::from(u32::MAX)).unwrap_or(0);
        let rotation = u32::try_from(state >> 59).unwrap_or(0);
        usize::try_from(word.rotate_right(rotation)).unwrap_or(0) % bound.max(1)
    }
}

/// Picks by the rule; `None` where the field is empty.
pub(super) fn pick<'a>(
    rule: RouteRule,
    field: &[&'a Candidate],
    request: &Request,
    random: &mut Pcg,
) -> Option<&'a Candidate> {
    let load = |c: &&&Candidate| (c.running, c.sequence);
    let least_request = || field.iter().min_by_key(load).copied();
    match rule {
        RouteRule::Random => field.get(random.below(field.len())).copied(),
        RouteRule::RoundRobin => field.iter().min_by_key(|c| c.sequence).copied(),
        RouteRule::LeastRequest | RouteRule::PredictedTtft | RouteRule::PredictedTtftNoCache => {
            least_request()
        }
        RouteRule::PowerOfTwo => {
            let [one, other] = [0, 1].map(|_| random.below(field.len()));
            [field.get(one), field.get(other)]
                .into_iter()
                .flatten()
                .min_by_key(|c| c.running)
                .copied()
        }
        RouteRule::PrefixHash => hashed(field, request).first().copied(),
        RouteRule::Chwbl => {
            let total: u64 = field.iter().map(|c| u64::from(c.running)).sum::<u64>() + 1;
            let count = u64::try_from(field.len()).unwrap_or(1).max(1);
            let bound = (total * BOUND_PERCENT).div_ceil(100 * count);
            let order = hashed(field, request);
            let below = order.iter().find(|c| u64::from(c.running) < bound);
            below.or(order.first()).copied()
        }
        RouteRule::CacheAware => cache_aware(field, request).or_else(least_request),
        RouteRule::BlockCost => {
            let block = u64::from(request.submit.prefix.block_tokens.max(1));
            let cost = |c: &&&Candidate| {
                let uncached = request.submit.prompt_tokens.saturating_sub(c.cached_tokens);
                ((uncached + c.kv_tokens) / block, c.sequence)
            };
            field.iter().min_by_key(cost).copied()
        }
    }
}

/// The field in the order of rendezvous hashes of the prompt's first blocks.
fn hashed<'a>(field: &[&'a Candidate], request: &Request) -> Vec<&'a Candidate> {
    let blocks = &request.submit.prefix.blocks;
    let key = blocks.get(1).or(blocks.first()).copied().unwrap_or(0);
    let mut order: Vec<&Candidate> = field.to_vec();
    order.sort_by_key(|c| {
        let seed = key ^ (u64::from(c.member) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        std::cmp::Reverse(mixed ^ (mixed >> 31))
    });
    order
}

fn cache_aware<'a>(field: &[&'a Candidate], request: &Request) -> Option<&'a Candidate> {
    let least = field.iter().map(|c| c.running).min()?;
    let most = field.iter().map(|c| c.running).max()?;
    if most - least > UNEVEN_REQUESTS && most > least + least / 2 {
        return None;
    }
    let best = field
        .iter()
        .max_by_key(|c| (c.cached_blocks, std::cmp::Reverse(c.sequence)))?;
    let matched = best.cached_tokens.saturating_mul(100);
    if matched > request.submit.prompt_tokens.saturating_mul(MATCH_PERCENT) {
        return Some(best);
    }
    field
        .iter()
        .min_by_key(|c| (c.cache_tokens, c.sequence))
        .copied()
}
