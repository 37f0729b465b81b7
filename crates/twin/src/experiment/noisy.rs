//! Noisy neighbours: tenants that ask steadily, and others that flood. How much later do the first tokens of the former come?
//!
//! Nine tenants of equal weight ask 2.6 times a second each (Poisson), with the sizes of the Azure 2023 conversation trace; the
//! floods join for five minutes. Compared are the same arrivals alone and beside the floods.

pub use super::crowd::TENANTS;
use super::crowd::{PLENTY_US, ROUND_TRIP_NS, SECOND_NS, Sizes, named_payer, payers, ratio};
use super::percentile;
use crate::engine::Profile;
use crate::random::Random;
use crate::trace::TraceError;
use crate::world::{Ask, Clients, Ended, Fleet, Outcome, Totals, World, WorldOptions};
pub use madang_core::ShareRule;
use madang_core::credit::Month;
use madang_core::{CreditRow, Holder, Payer, RouteRule, Rules, TenantShare};
use madang_types::{DataClass, NameError, Priority};
use serde::Serialize;
use std::sync::Arc;

/// Requests a second of each.
const TENANT_RATE: f64 = 2.6;
/// Until the floods begin.
pub const WARM_NS: u64 = 60 * SECOND_NS;
/// How long they last.
pub const FLOOD_NS: u64 = 300 * SECOND_NS;
/// A client waits as long as it takes.
const WAIT_MS: u64 = 3_600_000;

/// A tenant that floods.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Flood {
    /// Requests a second.
    pub rate: f64,
    /// Prompt tokens of each.
    pub input_tokens: u64,
    /// Output tokens of each.
    pub output_tokens: u64,
}

/// The text is not a flood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a flood is RATE,IN,OUT: requests a second, prompt tokens, output tokens, all above 0 (120,1155,211); '{0}' is not"
)]
pub struct FloodError(String);

impl std::str::FromStr for Flood {
    type Err = FloodError;

    fn from_str(text: &str) -> Result<Self, FloodError> {
        let wrong = || FloodError(text.chars().take(60).collect());
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let [rate, input, output] = parts.as_slice() else {
            return Err(wrong());
        };
        let rate: f64 = rate.parse().map_err(|_| wrong())?;
        let tokens = |text: &str| {
            text.parse::<u64>()
                .ok()
                .filter(|n| (1..=1_000_000).contains(n))
        };
        if !(rate > 0.0 && rate <= 100_000.0) {
            return Err(wrong());
        }
        Ok(Self {
            rate,
            input_tokens: tokens(input).ok_or_else(wrong)?,
            output_tokens: tokens(output).ok_or_else(wrong)?,
        })
    }
}

/// What is run.
#[derive(Clone, Debug)]
pub struct NoisyOptions {
    /// The floods, one tenant each.
    pub floods: Vec<Flood>,
    /// Who is next.
    pub share: ShareRule,
    /// The first flood has credit in full, and everybody else is in debt as deep.
    pub credit: bool,
    /// Of the arrivals.
    pub seed: u64,
    /// Engines.
    pub replicas: usize,
    /// What each is.
    pub profile: Profile,
}

/// What came of it. Times in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct NoisyReport {
    /// The rule.
    pub policy: ShareRule,
    /// Of the arrivals.
    pub seed: u64,
    /// The floods.
    pub floods: Vec<Flood>,
    /// Steady tenants' time to first token, nobody flooding.
    pub alone: Ttft,
    /// The same beside the floods.
    pub flooded: Ttft,
    /// p99 beside the floods ÷ p99 alone.
    pub inflation_p99: f64,
    /// Prompt and output tokens of all tenants in the floods' time.
    pub total_tokens: u64,
    /// The same a second.
    pub tokens_per_second: f64,
    /// Requests of steady tenants that got no first token.
    pub unserved: u64,
}

/// Time to first token, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Ttft {
    /// Median.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Worst tenant's 99th percentile.
    pub worst_tenant_p99_ms: f64,
    /// Requests counted.
    pub requests: u64,
}

/// Why an experiment cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    /// A trace cannot be read.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// A name of ours is no name.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Runs both, alone and flooded.
///
/// # Errors
/// The built-in trace or a name is broken.
pub fn noisy(options: &NoisyOptions) -> Result<NoisyReport, ExperimentError> {
    let sizes = Sizes::azure()?;
    let (alone, _) = run(options, &sizes, &[])?;
    let (flooded, totals) = run(options, &sizes, &options.floods)?;
    let total_tokens = totals.prompt_tokens + totals.output_tokens;
    let (alone_ttft, flooded_ttft) = (alone.ttft(), flooded.ttft());
    Ok(NoisyReport {
        policy: options.share,
        seed: options.seed,
        floods: options.floods.clone(),
        inflation_p99: flooded_ttft.p99_ms / alone_ttft.p99_ms.max(1e-9),
        alone: alone_ttft,
        flooded: flooded_ttft,
        total_tokens,
        tokens_per_second: ratio(total_tokens, FLOOD_NS / SECOND_NS),
        unserved: flooded.unserved,
    })
}

fn run(
    options: &NoisyOptions,
    sizes: &Sizes,
    floods: &[Flood],
) -> Result<(Crowd, Totals), ExperimentError> {
    let rules = Rules {
        share: options.share,
        route: RouteRule::PredictedTtft,
    };
    let mut fleet = Fleet::new(&options.profile, options.replicas, rules)?;
    // A pass-through queue has no end.
    fleet.limits.queue_length_max = match options.share {
        ShareRule::Madang => 4_096,
        _ => u32::MAX,
    };
    if options.credit {
        indebt(&mut fleet, options.floods.len())?;
    }
    let world = World::new(
        WorldOptions {
            fleet,
            round_trip_ns: ROUND_TRIP_NS,
            until_ns: WARM_NS + FLOOD_NS,
            window_ns: (WARM_NS, WARM_NS + FLOOD_NS),
        },
        Crowd::new(options.seed, sizes, floods)?,
    )?;
    Ok(world.run())
}

/// Everybody weighs 1; the first flood has credit, all others are in debt.
fn indebt(fleet: &mut Fleet, floods: usize) -> Result<(), NameError> {
    let mut payers = payers()?;
    for number in (0..floods).rev() {
        payers.push(named_payer(&format!("flood-{number}"))?);
    }
    let last = payers.len().saturating_sub(1);
    for (number, payer) in (0..).zip(payers) {
        let balance_us = if number == last {
            PLENTY_US
        } else {
            -PLENTY_US
        };
        let tenant = payer.tenant;
        fleet.credits.push(CreditRow {
            holder: Holder::Tenant(tenant.clone()),
            balance_us,
            month: Month::default(),
        });
        fleet.shares.tenants.push(TenantShare {
            tenant,
            programme: None,
            weight: 1,
        });
    }
    Ok(())
}

/// One tenant's arrivals.
struct Stream {
    payer: Payer,
    random: Random,
    rate: f64,
    next_ns: u64,
    /// Fixed sizes; steady tenants draw from the trace.
    fixed: Option<(u64, u64)>,
}

/// All tenants: who asks when, and how long the steady ones wait.
pub struct Crowd {
    streams: Vec<Stream>,
    sizes: Sizes,
    /// First tokens in the window of each steady tenant, in nanoseconds.
    ttft_ns: Vec<Vec<u64>>,
    asked: u64,
    answered: u64,
    unserved: u64,
    closed: bool,
}

impl Crowd {
    /// The arrivals of that seed.
    ///
    /// # Errors
    /// None: all names are names.
    pub fn new(seed: u64, sizes: &Sizes, floods: &[Flood]) -> Result<Self, NameError> {
        let stream = |payer, number: u64, rate: f64, fixed: Option<(u64, u64)>| {
            let mut random = Random::new(seed, number);
            let start_ns = if fixed.is_some() { WARM_NS } else { 0 };
            let first_ns = start_ns + random.gap_ns(rate);
            Stream {
                payer,
                random,
                rate,
                next_ns: first_ns,
                fixed,
            }
        };
        let steady = (0..).zip(payers()?);
        let steady = steady.map(|(number, payer)| stream(payer, number, TENANT_RATE, None));
        let mut streams: Vec<Stream> = steady.collect();
        for (number, flood) in (0..).zip(floods) {
            let payer = named_payer(&format!("flood-{number}"))?;
            let sizes = Some((flood.input_tokens, flood.output_tokens));
            streams.push(stream(payer, 1_000 + number, flood.rate, sizes));
        }
        Ok(Self {
            ttft_ns: (0..TENANTS).map(|_| Vec::new()).collect(),
            streams,
            sizes: sizes.clone(),
            asked: 0,
            answered: 0,
            unserved: 0,
            closed: false,
        })
    }

    /// Steady tenants' times to first token so far.
    pub fn ttft(&self) -> Ttft {
        let mut all: Vec<u64> = self.ttft_ns.iter().flatten().copied().collect();
        all.sort_unstable();
        let ms = |value: Option<u64>| ratio(value.unwrap_or(0), 1_000_000);
        let worst = self.ttft_ns.iter().map(|tenant| {
            let mut sorted = tenant.clone();
            sorted.sort_unstable();
            percentile(&sorted, 990).unwrap_or(0)
        });
        Ttft {
            p50_ms: ms(percentile(&all, 500)),
            p99_ms: ms(percentile(&all, 990)),
            worst_tenant_p99_ms: ms(worst.max()),
            requests: u64::try_from(all.len()).unwrap_or(0),
        }
    }
}

fn in_window(asked_ns: u64) -> bool {
    (WARM_NS..WARM_NS + FLOOD_NS).contains(&asked_ns)
}

impl Clients for Crowd {
    fn next(&mut self) -> Option<Ask> {
        let (number, stream) = (0_u64..)
            .zip(&mut self.streams)
            .min_by_key(|(number, stream)| (stream.next_ns, *number))?;
        let at_ns = stream.next_ns;
        stream.next_ns = at_ns + stream.random.gap_ns(stream.rate);
        let (prompt_tokens, output_tokens) = match stream.fixed {
            Some(sizes) => sizes,
            None => self.sizes.draw(&mut stream.random),
        };
        if at_ns >= WARM_NS + FLOOD_NS {
            self.closed = true;
        } else if number < TENANTS && in_window(at_ns) {
            self.asked += 1;
        }
        Some(Ask {
            at_ns,
            label: number,
            payer: stream.payer.clone(),
            priority: Priority::Standard,
            data_class: DataClass::Open,
            prompt_tokens,
            output_tokens,
            output_tokens_max: output_tokens.max(2_048),
            blocks: Arc::from([]),
            block_tokens: 512,
            wait_ms_max: WAIT_MS,
            patience_ns: 0,
        })
    }

    fn ended(&mut self, ended: &Ended) -> Option<Ask> {
        if ended.label < TENANTS
            && in_window(ended.asked_ns)
            && matches!(ended.outcome, Outcome::Refused(_))
        {
            self.unserved += 1;
            self.answered += 1;
        }
        None
    }

    fn first_token(&mut self, label: u64, at_ns: u64, asked_ns: u64) {
        let tenant = usize::try_from(label).unwrap_or(usize::MAX);
        if let Some(ttft) = self.ttft_ns.get_mut(tenant)
            && in_window(asked_ns)
        {
            ttft.push(at_ns - asked_ns);
            self.answered += 1;
        }
    }

    fn done(&self) -> bool {
        self.closed && self.answered == self.asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::PROFILES;

    fn run(floods: &str, share: ShareRule) -> NoisyReport {
        let floods = floods.split('+').map(|one| one.parse().unwrap());
        let report = noisy(&NoisyOptions {
            floods: floods.collect(),
            share,
            credit: false,
            seed: 1,
            replicas: 4,
            profile: PROFILES[0].clone(),
        });
        report.unwrap()
    }

    #[track_caller]
    fn check(floods: &str, inflation_max: f64) {
        let inflation = run(floods, ShareRule::Madang).inflation_p99;
        assert!(inflation <= inflation_max, "{floods:?}: {inflation}");
    }

    #[track_caller]
    fn check_tokens(floods: &str, part_min: f64) {
        let [tokens, of_vtc] =
            [ShareRule::Madang, ShareRule::Vtc].map(|share| run(floods, share).total_tokens);
        let part = ratio(tokens, 1) / ratio(of_vtc, 1);
        assert!(part >= part_min, "{floods:?}: {part} of VTC's");
    }

    #[test]
    fn long_prompts_are_kept_from_the_others_and_engines_busy() {
        for floods in ["6,30000,50", "12,12000,20"] {
            check(floods, 1.5);
            check_tokens(floods, 0.95);
        }
    }

    #[test]
    fn beside_many_answers_no_more_is_kept_than_the_others_will_need() {
        // Answers that end before long, of which memory holds more than would be if all ended together; others take turns in seconds.
        for floods in ["200,500,500", "150,28,124"] {
            check(floods, 1.3);
            check_tokens(floods, 0.96);
        }
        // Answers of minutes leave no room when it is needed.
        check("60,200,2000", 1.5);
    }

    #[test]
    fn what_first_tokens_have_in_hand_is_lent() {
        check("25,6000,5", 1.5);
        check_tokens("25,6000,5", 0.97);
    }

    #[test]
    fn whoever_is_flooded_with_small_requests_is_not_taken_for_a_flood() {
        // They are charged for more than an engine's second in each of its seconds; by that they ask for more than their parts.
        check("118.1,347,26+150.0,27,53+85.6,27,582", 1.5);
        check("150.0,81,19+145.5,699,3", 1.5);
        check("120,1155,211", 1.5);
    }

    #[test]
    fn tiny_requests_beside_long_answers_leave_the_others_their_memory() {
        // By the mean size of all requests that are not of floods, a sixth of the memory was kept that the others hold.
        check("150.0,30,1+17.1,442,1200", 1.5);
        check("150.0,114,1+8.8,19,1520", 1.5);
    }
}
