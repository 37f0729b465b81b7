//! What an engine on its accelerators can do, by name.

use super::roofline::Roofline;
use super::speculation::Speculation;
use super::split::{Division, PartKind};
use super::tier::Tier;
use madang_catalog::{Deployment, DeploymentError, MACHINE_ACCELERATORS};
use madang_core::EngineCosts;
use std::borrow::Cow;

/// One engine's size and speed.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The name that the command line knows it by.
    pub name: Cow<'static, str>,
    /// What it stands for.
    pub about: Cow<'static, str>,
    /// Times of its iterations, as what stands before engines believes them.
    pub costs: EngineCosts,
    /// Those that it takes in truth; none: as believed.
    pub times: Option<Roofline>,
    /// Tokens that one iteration takes at most, decoding sequences included.
    pub batch_tokens: u64,
    /// Sequences at once.
    pub slots: u32,
    /// Tokens that its KV memory holds.
    pub kv_tokens: u64,
    /// Where it keeps prefixes behind its KV memory, the faster before the slower.
    pub tiers: Vec<Tier>,
    /// How it guesses tokens ahead; `None`: it does not.
    pub speculation: Option<Speculation>,
    /// Prompts and tokens have accelerators of their own; `None`: one process does both.
    pub split: Option<Box<Division>>,
    /// From the start of its process until it serves, in microseconds: its weights are read.
    pub load_us: u64,
}

/// Profiles by name. The 32B one is calibrated: 15,928 prompt tokens a second is llm-d's published figure for Qwen-32B at tensor
/// parallel 2 on H100; the others are scaled from it by parameters read per token and by memory bandwidth, and not measured. How long they take to
/// start follows from two bytes for each parameter, as [`Deployment::load_s`] has it.
pub const PROFILES: &[Profile] = &[
    Profile {
        name: Cow::Borrowed("h100x2-32b"),
        about: Cow::Borrowed("a dense model of 32 billion parameters on two H100"),
        costs: EngineCosts {
            step_us: 12_000,
            uncached_ns: 62_783,
            cached_ns: 4_000,
            output_ns: 20_000,
            kv_ps: 60_000,
            context_double_tokens: 32_768,
        },
        times: None,
        batch_tokens: 8_192,
        slots: 256,
        kv_tokens: 270_000,
        tiers: Vec::new(),
        speculation: None,
        split: None,
        load_us: 90_000_000,
    },
    Profile {
        name: Cow::Borrowed("h100-8b"),
        about: Cow::Borrowed("a dense model of 8 billion parameters on one H100"),
        costs: EngineCosts {
            step_us: 6_500,
            uncached_ns: 31_000,
            cached_ns: 2_000,
            output_ns: 15_000,
            kv_ps: 40_000,
            context_double_tokens: 24_576,
        },
        times: None,
        batch_tokens: 8_192,
        slots: 256,
        kv_tokens: 430_000,
        tiers: Vec::new(),
        speculation: None,
        split: None,
        load_us: 66_000_000,
    },
    Profile {
        name: Cow::Borrowed("npu-8b"),
        about: Cow::Borrowed(
            "a dense model of 8 billion parameters on one inference card with 1.5 TB/s",
        ),
        costs: EngineCosts {
            step_us: 14_000,
            uncached_ns: 120_000,
            cached_ns: 4_000,
            output_ns: 30_000,
            kv_ps: 90_000,
            context_double_tokens: 16_384,
        },
        times: None,
        batch_tokens: 4_096,
        slots: 64,
        kv_tokens: 200_000,
        tiers: Vec::new(),
        speculation: None,
        split: None,
        load_us: 66_000_000,
    },
    Profile {
        name: Cow::Borrowed("tiny"),
        about: Cow::Borrowed("an engine that hardly takes time, for tests"),
        costs: EngineCosts {
            step_us: 200,
            uncached_ns: 1_000,
            cached_ns: 100,
            output_ns: 1_000,
            kv_ps: 100,
            context_double_tokens: 0,
        },
        times: None,
        batch_tokens: 8_192,
        slots: 64,
        kv_tokens: 100_000,
        tiers: Vec::new(),
        speculation: None,
        split: None,
        load_us: 0,
    },
];

impl Profile {
    /// The profile of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        PROFILES.iter().find(|profile| profile.name == name)
    }

    /// A model on chips as the catalogue knows them, with the sizes that vLLM has by itself: 8,192 tokens an iteration and 256
    /// sequences on each rank.
    ///
    /// # Errors
    /// The model has no room there.
    pub fn of(deployment: &Deployment) -> Result<Self, DeploymentError> {
        let parallel = &deployment.parallel;
        let times = Roofline::of(deployment);
        let batch_tokens = 8_192;
        let name = format!(
            "{} on {} × {}",
            deployment.model.name,
            parallel.accelerators(),
            deployment.chip.name
        );
        Ok(Self {
            about: Cow::Owned(name.clone()),
            name: Cow::Owned(name),
            costs: times.costs(batch_tokens),
            times: Some(times),
            batch_tokens,
            slots: 256_u32.saturating_mul(parallel.data.max(1)),
            kv_tokens: deployment.memory()?.kv_tokens,
            tiers: Vec::new(),
            speculation: None,
            split: None,
            load_us: (deployment.load_s(MACHINE_ACCELERATORS, None) * 1e6) as u64,
        })
    }

    /// Keeps prefixes in that tier, too; one of no tokens is none.
    pub fn keep(&mut self, tier: Tier) {
        self.tiers.retain(|other| other.place != tier.place);
        if tier.tokens > 0 {
            self.tiers.push(tier);
            self.tiers.sort_by_key(|tier| tier.place);
        }
    }

    /// Tokens of prefixes that it keeps behind its KV memory: each tier holds what those before it hold.
    pub fn tier_tokens(&self) -> u64 {
        let tokens = self.tiers.iter().map(|tier| tier.tokens);
        tokens.max().unwrap_or(0)
    }

    /// The times of its iterations, did it not guess ahead.
    fn plain_times(&self) -> Roofline {
        let own = self.times.clone();
        own.unwrap_or_else(|| Roofline::linear(&self.costs))
    }

    /// The times of its iterations.
    pub fn roofline(&self) -> Roofline {
        let plain = self.plain_times();
        match &self.speculation {
            Some(speculation) => plain.speculating(speculation),
            None => plain,
        }
    }

    /// The same engine, guessing ahead. What stands before it believes of its tokens what they take in the mean.
    #[must_use]
    pub fn speculating(&self, speculation: Speculation) -> Self {
        let plain = self.plain_times();
        let tokens = speculation.tokens();
        let each = |time: u64| (time as f64 / tokens).round() as u64;
        let costs = plain.speculating(&speculation).costs(self.batch_tokens);
        Self {
            costs: EngineCosts {
                step_us: each(costs.step_us),
                output_ns: each(costs.output_ns),
                kv_ps: each(costs.kv_ps),
                ..self.costs
            },
            times: Some(plain),
            speculation: Some(speculation),
            ..self.clone()
        }
    }

    /// An engine of such parts. What stands before it sees the tokens of those that make them and the prompts of the others.
    pub fn of_parts(division: Division) -> Self {
        let (prefill, decode) = (&division.prefill, &division.decode);
        let whole = |kind: &PartKind| format!("{} × {}", kind.count, kind.profile.name);
        let name = format!(
            "{} for prompts, {} for tokens",
            whole(prefill),
            whole(decode)
        );
        let costs = &prefill.profile.costs;
        Self {
            about: Cow::Owned(name.clone()),
            name: Cow::Owned(name),
            costs: EngineCosts {
                uncached_ns: costs.uncached_ns.div_ceil(u64::from(prefill.count.max(1))),
                cached_ns: costs.cached_ns,
                context_double_tokens: costs.context_double_tokens,
                ..decode.profile.costs
            },
            times: None,
            batch_tokens: prefill.profile.batch_tokens,
            slots: decode.profile.slots.saturating_mul(decode.count),
            kv_tokens: decode
                .profile
                .kv_tokens
                .saturating_mul(u64::from(decode.count)),
            tiers: prefill.profile.tiers.clone(),
            speculation: decode.profile.speculation,
            load_us: prefill.profile.load_us.max(decode.profile.load_us),
            split: Some(Box::new(division)),
        }
    }

    /// Prompt and answer of the longest request that it has the memory for, in tokens.
    pub fn request_tokens_max(&self) -> u64 {
        match &self.split {
            None => self.kv_tokens,
            Some(parts) => {
                let (prefill, decode) = (&parts.prefill.profile, &parts.decode.profile);
                prefill.kv_tokens.min(decode.kv_tokens)
            }
        }
    }

    /// The same engine, `permille` thousandths as fast.
    #[must_use]
    pub fn at_speed(&self, permille: u64) -> Self {
        if let Some(division) = &self.split {
            let kind = |kind: &PartKind| PartKind {
                profile: kind.profile.at_speed(permille),
                ..kind.clone()
            };
            return Self::of_parts(Division {
                prefill: kind(&division.prefill),
                decode: kind(&division.decode),
                ..Division::clone(division)
            });
        }
        let slower = |time: u64| time.saturating_mul(1000) / permille.max(1);
        let costs = &self.costs;
        Self {
            costs: EngineCosts {
                step_us: slower(costs.step_us),
                uncached_ns: slower(costs.uncached_ns),
                cached_ns: slower(costs.cached_ns),
                output_ns: slower(costs.output_ns),
                kv_ps: slower(costs.kv_ps),
                context_double_tokens: costs.context_double_tokens,
            },
            times: self
                .times
                .as_ref()
                .map(|times| times.slower(1000.0 / permille.max(1) as f64)),
            ..self.clone()
        }
    }
}
