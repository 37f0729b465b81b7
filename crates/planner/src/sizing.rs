//! One engine in closed form: the greatest batch that keeps the SLO, and the requests a second that it then serves.

use crate::goal::{ChipGoal, Goal, ModelGoal};
use crate::said::{self, Said};
use madang_catalog::{Batch, Deployment, DeploymentError, Parallel, Precision};
use madang_twin::fidelity::banded;
use serde::Serialize;
use std::fmt::Write;

/// Sequences at once on each rank of an engine: more are not scheduled well.
const SEQUENCES_MAX: u32 = 1_024;
/// Tokens that one iteration takes at most, as vLLM has it by itself.
pub(crate) const ITERATION_TOKENS: f64 = 8_192.0;
/// Engines of several machines: so many machines at most.
const MACHINES_MAX: u32 = 4;

/// What keeps an engine from serving more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// KV memory holds no more sequences.
    HbmBytes,
    /// Tokens would come too slowly; most of an iteration reads memory.
    HbmBandwidth,
    /// Tokens would come too slowly; most of an iteration computes.
    Compute,
    /// Tokens would come too slowly; most of an iteration waits for other accelerators.
    Link,
    /// Tokens would come too slowly; most of an iteration is what the engine itself takes.
    Engine,
    /// First tokens would come too late.
    FirstToken,
    /// One iteration takes no more prompts, or no more sequences are scheduled.
    Schedule,
}

/// One way to serve a model.
#[derive(Clone, Debug)]
pub struct Engine {
    /// Place of the model among the goal's.
    pub model: usize,
    /// Place of the chip among the goal's.
    pub chip: usize,
    /// Its closed form.
    pub deployment: Deployment,
    /// Word for the form of its weights.
    pub precision: String,
    /// Sequences at once.
    pub sequences: u32,
    /// Requests a second that it serves where it is full.
    pub requests_per_s: f64,
    /// Time for each further token then.
    pub tpot_ms: f64,
    /// Time to the first token then.
    pub ttft_ms: f64,
    /// What keeps it from more.
    pub bound: Bound,
    /// By what factor the truth may be more or less, in nine of ten cases.
    pub band: f64,
}

/// A way that was looked at and does not serve, and why.
#[derive(Clone, Debug, Serialize)]
pub struct Refused {
    /// The model.
    pub model: String,
    /// The chip.
    pub chip: String,
    /// How it would be divided, and in which form.
    pub division: String,
    /// memory, slo, power, stock, cost or precision.
    pub reason: &'static str,
    /// In words.
    pub why: Said,
}

/// How a model is divided, in a word.
pub fn division(parallel: &Parallel, precision: &str) -> String {
    let mut text = precision.to_owned();
    let parts = [
        ("TP", parallel.tensor),
        ("PP", parallel.pipeline),
        ("DP", parallel.data),
        ("EP", parallel.expert),
    ];
    for (name, count) in parts {
        if count > 1 || name == "TP" && parallel.accelerators() == 1 {
            // Writing to a string cannot fail.
            let _written = write!(text, " {name}{count}").is_ok();
        }
    }
    text
}

/// Divisions that are looked at: tensor parallel inside a machine, several machines in a pipeline, experts spread over ranks.
fn divisions(model: &ModelGoal, chip: &ChipGoal) -> Vec<Parallel> {
    let mut all = Vec::new();
    let shape = &model.model.shape;
    let mut tensor = 1;
    while tensor <= chip.per_machine {
        if shape.heads % f64::from(tensor) < 0.5 {
            all.push(Parallel::tensor(tensor));
        }
        if shape.experts >= 1.0 && tensor > 1 {
            all.push(Parallel {
                tensor: 1,
                pipeline: 1,
                data: tensor,
                expert: tensor,
            });
        }
        tensor *= 2;
    }
    for machines in 2..=MACHINES_MAX {
        all.push(Parallel {
            pipeline: machines,
            ..Parallel::tensor(chip.per_machine)
        });
    }
    all
}

/// All ways to serve a model on a chip, and those that were refused.
pub(crate) fn engines(
    goal: &Goal,
    (model_at, chip_at): (usize, usize),
    refused: &mut Vec<Refused>,
) -> Vec<Engine> {
    let (model, chip) = (&goal.models[model_at], &goal.chips[chip_at]);
    let mut engines = Vec::new();
    for word in &model.precisions {
        for parallel in divisions(model, chip) {
            let mut refuse = |reason, why: Said| {
                refused.push(Refused {
                    model: model.model.name.clone(),
                    chip: chip.chip.name.clone(),
                    division: division(&parallel, word),
                    reason,
                    why,
                });
            };
            let Some(precision) = Precision::named(word) else {
                continue;
            };
            if unsupported(chip, &precision) {
                refuse("precision", said::no_units(&chip.chip.name, word));
                break;
            }
            let deployment = Deployment {
                model: model.model.clone(),
                chip: chip.chip.clone(),
                parallel,
                precision,
                coefficients: model.engine.coefficients(),
            };
            match size(goal, banded(deployment, model.tuned)) {
                Ok(sized) => engines.push(Engine {
                    model: model_at,
                    chip: chip_at,
                    precision: word.clone(),
                    ..sized
                }),
                Err((reason, why)) => refuse(reason, why),
            }
        }
    }
    engines
}

fn unsupported(chip: &ChipGoal, precision: &Precision) -> bool {
    let narrow = !precision.wide_activations && precision.weight_bits < 9.0;
    narrow
        && (chip.chip.fp8_tflops.is_none()
            || precision.weight_bits < 6.0 && chip.chip.fp4_tflops.is_none())
}

/// The load of one engine at a batch, in steady state: each sequence that ends is followed by another.
struct Steady<'g> {
    goal: &'g Goal,
    deployment: &'g Deployment,
    /// Prompt tokens that are computed, of one request.
    uncached: f64,
    /// Pairs of attention of one prompt.
    pairs: f64,
}

impl Steady<'_> {
    fn batch(&self, sequences: f64, prompts: f64) -> Batch {
        let demand = &self.goal.demand;
        Batch {
            sequences,
            kv_tokens: sequences * (demand.input_tokens + demand.output_tokens / 2.0),
            prompt_tokens: prompts * self.uncached,
            prompt_pairs: prompts * self.pairs,
        }
    }

    /// The mean time of an iteration, in milliseconds, with the prompts that come in meanwhile.
    fn tpot_ms(&self, sequences: f64) -> f64 {
        let batch = self.batch(sequences, sequences / self.goal.demand.output_tokens);
        self.deployment.iteration_us(&batch) / 1e3
    }

    fn requests_per_s(&self, sequences: f64) -> f64 {
        sequences / (self.goal.demand.output_tokens * self.tpot_ms(sequences) / 1e3)
    }

    /// Time to the first token: the prompt's iterations, half of one that runs, and the wait behind other prompts as in a queue of
    /// random arrivals and even service (M/D/1), at the planned utilisation.
    fn ttft_ms(&self, sequences: f64) -> f64 {
        let room = (ITERATION_TOKENS - sequences).max(1.0);
        let iterations = (self.uncached / room).ceil().max(1.0);
        let with = self
            .deployment
            .iteration_us(&self.batch(sequences, 1.0 / iterations))
            / 1e3;
        let without = self.deployment.iteration_us(&self.batch(sequences, 0.0)) / 1e3;
        let service_ms = iterations * (with - without).max(0.0);
        let load = self.requests_per_s(sequences) * self.goal.utilisation * service_ms / 1e3;
        if load >= 1.0 {
            return f64::INFINITY;
        }
        iterations * with + without / 2.0 + load * service_ms / (2.0 * (1.0 - load))
    }
}

/// The greatest batch that keeps the SLO, and what it gives; or why there is none.
fn size(
    goal: &Goal,
    (deployment, band): (Deployment, f64),
) -> Result<Engine, (&'static str, Said)> {
    let memory = deployment.memory().map_err(|error| {
        let reason = match &error {
            DeploymentError::Memory { .. } => "memory",
            DeploymentError::Unknown { .. } => "precision",
        };
        (reason, said::cannot_be(&error))
    })?;
    let demand = &goal.demand;
    let uncached = demand.input_tokens * (1.0 - demand.cached_part);
    let spread = 1.0 + demand.length_cv * demand.length_cv;
    let cached = demand.input_tokens - uncached;
    let steady = Steady {
        goal,
        deployment: &deployment,
        uncached,
        pairs: (uncached * cached + uncached * uncached / 2.0) * spread,
    };
    let held = demand.input_tokens + demand.output_tokens;
    let by_memory = memory.kv_tokens as f64 / held;
    if by_memory < 1.0 {
        return Err(("memory", said::kv_full(memory.kv_tokens, held)));
    }
    let ranks = f64::from(deployment.parallel.data.max(1));
    let by_schedule = f64::from(SEQUENCES_MAX) * ranks;
    let prompts = |sequences: f64| sequences * (1.0 + uncached / demand.output_tokens) / ranks;
    let fits = |sequences: f64| {
        steady.tpot_ms(sequences) <= goal.tpot_ms
            && steady.ttft_ms(sequences) <= goal.ttft_ms
            && prompts(sequences) <= ITERATION_TOKENS
    };
    if !fits(1.0) {
        let why = said::too_slow_alone(steady.ttft_ms(1.0), steady.tpot_ms(1.0));
        return Err(("slo", why));
    }
    let sequences = greatest(by_memory.min(by_schedule), fits);
    let next = sequences + 1.0;
    let bound = if next > by_memory {
        Bound::HbmBytes
    } else if next > by_schedule || prompts(next) > ITERATION_TOKENS {
        Bound::Schedule
    } else if steady.tpot_ms(next) > goal.tpot_ms {
        slowest(
            &deployment,
            &steady.batch(sequences, sequences / demand.output_tokens),
        )
    } else {
        Bound::FirstToken
    };
    Ok(Engine {
        model: 0,
        chip: 0,
        precision: String::new(),
        sequences: sequences as u32,
        requests_per_s: steady.requests_per_s(sequences),
        tpot_ms: steady.tpot_ms(sequences),
        ttft_ms: steady.ttft_ms(sequences),
        bound,
        band,
        deployment,
    })
}

/// The greatest whole number up to `most` that fits, where 1 does; what fits less fits.
fn greatest(most: f64, fits: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (1.0, most.floor());
    while low < high {
        let middle = ((low + high + 1.0) / 2.0).floor();
        if fits(middle) {
            low = middle;
        } else {
            high = middle - 1.0;
        }
    }
    low
}

/// What takes most of an iteration.
fn slowest(deployment: &Deployment, batch: &Batch) -> Bound {
    let (ideal, c) = (deployment.ideal(batch), &deployment.coefficients);
    let parts = [
        (
            c.weights * ideal.weights_us + c.kv * ideal.kv_us,
            Bound::HbmBandwidth,
        ),
        (
            c.decode_products_us(&ideal)
                + c.prompt_products_us(&ideal)
                + c.attention * ideal.attention_us,
            Bound::Compute,
        ),
        (
            (c.hop_us + c.hop_log_us * ideal.hops_log) * ideal.hops
                + c.link * ideal.link_us
                + c.prompt_link * ideal.prompt_link_us,
            Bound::Link,
        ),
        (
            c.step_us + c.layer_us * ideal.layers + c.sequence_us * ideal.sequences,
            Bound::Engine,
        ),
    ];
    let most = parts.iter().max_by(|one, other| one.0.total_cmp(&other.0));
    most.map_or(Bound::Engine, |(_, bound)| *bound)
}

impl Bound {
    /// Its word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::HbmBytes => "hbm_bytes",
            Self::HbmBandwidth => "hbm_bandwidth",
            Self::Compute => "compute",
            Self::Link => "link",
            Self::Engine => "engine",
            Self::FirstToken => "first_token",
            Self::Schedule => "schedule",
        }
    }
}
