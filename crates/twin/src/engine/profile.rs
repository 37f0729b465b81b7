//! What an engine on its accelerators can do, by name.

use madang_core::EngineCosts;

/// One engine's size and speed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The name that the command line knows it by.
    pub name: &'static str,
    /// What it stands for.
    pub about: &'static str,
    /// Times of its iterations.
    pub costs: EngineCosts,
    /// Tokens that one iteration takes at most, decoding sequences included.
    pub batch_tokens: u64,
    /// Sequences at once.
    pub slots: u32,
    /// Tokens that its KV memory holds.
    pub kv_tokens: u64,
    /// Tokens of prefixes that it keeps in a tier behind its KV memory.
    pub host_tokens: u64,
}

/// Profiles by name. The 32B one is calibrated: 15,928 prompt tokens a second is llm-d's published figure for Qwen-32B at tensor
/// parallel 2 on H100; the others are scaled from it by parameters read per token and by memory bandwidth, and not measured.
pub const PROFILES: &[Profile] = &[
    Profile {
        name: "h100x2-32b",
        about: "a dense model of 32 billion parameters on two H100",
        costs: EngineCosts {
            step_us: 12_000,
            uncached_ns: 62_783,
            cached_ns: 4_000,
            output_ns: 20_000,
            kv_ps: 60_000,
            context_double_tokens: 32_768,
        },
        batch_tokens: 8_192,
        slots: 256,
        kv_tokens: 270_000,
        host_tokens: 0,
    },
    Profile {
        name: "h100-8b",
        about: "a dense model of 8 billion parameters on one H100",
        costs: EngineCosts {
            step_us: 6_500,
            uncached_ns: 31_000,
            cached_ns: 2_000,
            output_ns: 15_000,
            kv_ps: 40_000,
            context_double_tokens: 24_576,
        },
        batch_tokens: 8_192,
        slots: 256,
        kv_tokens: 430_000,
        host_tokens: 0,
    },
    Profile {
        name: "npu-8b",
        about: "a dense model of 8 billion parameters on one inference card with 1.5 TB/s",
        costs: EngineCosts {
            step_us: 14_000,
            uncached_ns: 120_000,
            cached_ns: 4_000,
            output_ns: 30_000,
            kv_ps: 90_000,
            context_double_tokens: 16_384,
        },
        batch_tokens: 4_096,
        slots: 64,
        kv_tokens: 200_000,
        host_tokens: 0,
    },
    Profile {
        name: "tiny",
        about: "an engine that hardly takes time, for tests",
        costs: EngineCosts {
            step_us: 200,
            uncached_ns: 1_000,
            cached_ns: 100,
            output_ns: 1_000,
            kv_ps: 100,
            context_double_tokens: 0,
        },
        batch_tokens: 8_192,
        slots: 64,
        kv_tokens: 100_000,
        host_tokens: 0,
    },
];

impl Profile {
    /// The profile of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        PROFILES.iter().find(|profile| profile.name == name)
    }

    /// The same engine, `permille` thousandths as fast.
    #[must_use]
    pub fn at_speed(&self, permille: u64) -> Self {
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
            ..self.clone()
        }
    }
}
