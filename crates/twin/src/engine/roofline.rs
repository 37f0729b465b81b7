//! The time of one iteration. It is straight in the tokens held, so that many iterations alike can be taken at once.

use super::speculation::Speculation;
use super::tier::{Cached, Place, Tier};
use madang_catalog::{Batch, Deployment, product_time};
use madang_core::EngineCosts;

/// Bytes a second between the host's memory and an accelerator: PCI Express 5 with 16 lanes, as measured by most.
pub const HOST_BYTES_S: f64 = 50e9;

/// Times in picoseconds; parts that a product of matrices shares are put together where it is taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Roofline {
    /// Of an iteration, whatever is in it.
    pub step_ps: f64,
    /// Of an iteration with prompts in it, beyond one without.
    pub mixed_ps: f64,
    /// Of each sequence that makes a token.
    pub sequence_ps: f64,
    /// Of each token held by sequences that make one.
    pub kv_ps: u64,
    /// Of each pair of a prompt token and one before it.
    pub pair_ps: f64,
    /// Of each token copied from the host's memory.
    pub host_ps: f64,
    /// Bytes of KV memory of each token, over all accelerators; a latent counts once.
    pub token_bytes: f64,
    /// Beside them, in layers that see a window, for each token of it.
    pub window_token_bytes: f64,
    /// That window, in tokens.
    pub window: f64,
    /// Accelerators that each hold a part of a sequence: what one source gives to all of them comes so many times later.
    pub spread: f64,
    /// Weights that are always read.
    pub dense_ps: f64,
    /// Weights of all routed experts.
    pub experts_ps: f64,
    /// The part of them that a token passes by.
    pub missed: f64,
    /// Products of a decoding sequence's token.
    pub decode_ps: f64,
    /// Products of a prompt token.
    pub prompt_ps: f64,
    /// A decoding sequence's activations are exchanged.
    pub link_ps: f64,
    /// A prompt token's are.
    pub prompt_link_ps: f64,
    /// Tokens of a decoding sequence that go through an iteration: one, and those that were guessed.
    pub verified: f64,
    /// Iterations of one token each that guessing takes as long as, before each of them.
    pub drafts: f64,
}

/// Prompts in an iteration.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Prompts {
    pub tokens: u64,
    /// Pairs of one of them and a token before it.
    pub pairs: u64,
    /// Time in which tokens are copied from tiers instead.
    pub copy_ps: u64,
}

impl Roofline {
    /// Without products: every part is added up, as the core's predictions do.
    pub fn linear(costs: &EngineCosts) -> Self {
        let prompt_ps = float(costs.uncached_ns) * 1e3;
        let doubled = costs.context_double_tokens;
        Self {
            step_ps: float(costs.step_us) * 1e6,
            mixed_ps: 0.0,
            sequence_ps: 0.0,
            kv_ps: costs.kv_ps,
            pair_ps: if doubled > 0 {
                prompt_ps / float(doubled)
            } else {
                0.0
            },
            host_ps: float(costs.cached_ns) * 1e3,
            token_bytes: float(costs.cached_ns) * HOST_BYTES_S / 1e9,
            window_token_bytes: 0.0,
            window: 0.0,
            spread: 1.0,
            dense_ps: 0.0,
            experts_ps: 0.0,
            missed: 0.0,
            decode_ps: float(costs.output_ns) * 1e3,
            prompt_ps,
            link_ps: 0.0,
            prompt_link_ps: 0.0,
            verified: 1.0,
            drafts: 0.0,
        }
    }

    /// Of a model on chips, by the catalogue's closed form.
    pub fn of(deployment: &Deployment) -> Self {
        let shape = &deployment.model.shape;
        let own = &deployment.coefficients;
        let ps = 1e6;
        // Each part by itself: the ideal is straight in all but the experts touched.
        let one = deployment.ideal(&Batch {
            sequences: 1.0,
            ..Batch::default()
        });
        let prompt = deployment.ideal(&Batch {
            prompt_tokens: 1.0,
            prompt_pairs: 1.0,
            ..Batch::default()
        });
        let held = deployment.ideal(&Batch {
            kv_tokens: 1.0,
            ..Batch::default()
        });
        let idle = deployment.ideal(&Batch::default());
        let many = deployment.ideal(&Batch {
            prompt_tokens: 1e9,
            ..Batch::default()
        });
        let between = own.between(deployment.chip.link(), idle.hops_log);
        // What each sequence reads of its windows, which are taken to be full: beside what grows with its past.
        let past = deployment.ideal(&Batch {
            sequences: 1.0,
            kv_tokens: shape.window,
            ..Batch::default()
        });
        let windows_us = past.kv_us - held.kv_us * shape.window;
        let kv_ps = own.kv * held.kv_us * ps;
        let layer_bytes = shape.kv_layer_elements() * deployment.precision.kv_bytes;
        let token_bytes =
            shape.kv_elements(1.0) * deployment.precision.kv_bytes / deployment.parallel_spread();
        Self {
            step_ps: ps * (own.step_us + own.layer_us * idle.layers + between.hop_us * idle.hops),
            mixed_ps: ps * own.mixed_us,
            sequence_ps: ps * (own.sequence_us * one.sequences + own.kv * windows_us),
            kv_ps: kv_ps.round().max(0.0) as u64,
            pair_ps: ps * own.attention * prompt.attention_us,
            host_ps: token_bytes / HOST_BYTES_S * 1e12,
            token_bytes: layer_bytes * shape.full_layers,
            window_token_bytes: layer_bytes * shape.window_layers,
            window: shape.window,
            spread: deployment.parallel_spread(),
            dense_ps: ps * own.weights * idle.weights_us,
            experts_ps: ps * own.weights * (many.weights_us - idle.weights_us),
            missed: 1.0 - shape.experts_per_token / shape.experts.max(1.0),
            decode_ps: ps * own.decode_products_us(&one),
            prompt_ps: ps * own.prompt_products_us(&prompt),
            link_ps: ps * between.decode * one.link_us,
            prompt_link_ps: ps * between.prompt * prompt.prompt_link_us,
            verified: 1.0,
            drafts: 0.0,
        }
    }

    /// An iteration with so many decoding sequences that hold so many tokens, in picoseconds.
    pub(super) fn iteration_ps(&self, decoding: u64, held_tokens: u64, prompts: &Prompts) -> u64 {
        let decoding = float(decoding);
        let mut fixed = self.fixed_ps((decoding, self.verified), prompts);
        if self.drafts > 0.0 && decoding > 0.0 {
            fixed += self.drafts * self.fixed_ps((decoding, 1.0), &Prompts::default());
        }
        // What grows from one iteration to the next is a whole number: many at once end when one after the other would.
        (fixed.min(1e17).round() as u64)
            .saturating_add(prompts.copy_ps)
            .saturating_add(held_tokens.saturating_mul(self.held_ps()))
    }

    /// Of each token held by sequences that make some: it is read to verify, and as often as a draft takes.
    pub(super) fn held_ps(&self) -> u64 {
        if self.drafts > 0.0 {
            (float(self.kv_ps) * (1.0 + self.drafts)).round() as u64
        } else {
            self.kv_ps
        }
    }

    /// KV memory of a sequence of so many tokens, in bytes.
    pub(super) fn kv_bytes(&self, tokens: u64) -> f64 {
        let tokens = float(tokens);
        tokens * self.token_bytes + tokens.min(self.window) * self.window_token_bytes
    }

    /// The same, guessing ahead: all guesses are verified in one iteration, of which those before take their part each.
    #[must_use]
    pub fn speculating(&self, speculation: &Speculation) -> Self {
        let drafts = f64::from(speculation.draft_tokens);
        Self {
            verified: 1.0 + drafts,
            drafts: drafts * speculation.draft_part,
            ..self.clone()
        }
    }

    /// What does not depend on the tokens held, of sequences with so many tokens each.
    fn fixed_ps(&self, (decoding, each): (f64, f64), prompts: &Prompts) -> f64 {
        let tokens = float(prompts.tokens);
        let mixed_ps = if prompts.tokens > 0 {
            self.mixed_ps
        } else {
            0.0
        };
        self.step_ps
            + mixed_ps
            + decoding * (self.sequence_ps + each * self.link_ps)
            + tokens * self.prompt_link_ps
            + float(prompts.pairs) * self.pair_ps
            + self.product_ps(decoding * each, tokens)
    }

    /// Time in which tokens are copied from the tiers that have them, in picoseconds: one tier after the other, and the iteration waits.
    pub(super) fn copy_ps(&self, tiers: &[Tier], mut cached: Cached) -> u64 {
        let of_tier = |tier: &Tier| {
            let tokens = *cached.at(tier.place);
            if tokens == 0 {
                return 0.0;
            }
            // The host gives to each accelerator at once what is its own.
            let shared = if tier.place == Place::Host {
                1.0
            } else {
                self.spread
            };
            let token_ps = self.host_ps * shared * HOST_BYTES_S / tier.bytes_s;
            float(tier.latency_us) * 1e6 + float(tokens) * token_ps
        };
        let all: f64 = tiers.iter().map(of_tier).sum();
        all.min(1e17).round() as u64
    }

    /// Weights are read while tokens are multiplied with them: the longer of both, with a soft turn between them.
    fn product_ps(&self, decoding: f64, tokens: f64) -> f64 {
        let computing = decoding * self.decode_ps + tokens * self.prompt_ps;
        if self.dense_ps <= 0.0 {
            return computing;
        }
        let touched = if self.experts_ps > 0.0 {
            1.0 - self.missed.powf(decoding + tokens)
        } else {
            0.0
        };
        let reading = self.dense_ps + self.experts_ps * touched;
        product_time(reading, computing)
    }

    /// So many times as long.
    #[must_use]
    pub fn slower(&self, times: f64) -> Self {
        Self {
            step_ps: self.step_ps * times,
            mixed_ps: self.mixed_ps * times,
            sequence_ps: self.sequence_ps * times,
            kv_ps: (float(self.kv_ps) * times).round() as u64,
            pair_ps: self.pair_ps * times,
            host_ps: self.host_ps * times,
            token_bytes: self.token_bytes,
            window_token_bytes: self.window_token_bytes,
            window: self.window,
            spread: self.spread,
            dense_ps: self.dense_ps * times,
            experts_ps: self.experts_ps * times,
            missed: self.missed,
            decode_ps: self.decode_ps * times,
            prompt_ps: self.prompt_ps * times,
            link_ps: self.link_ps * times,
            prompt_link_ps: self.prompt_link_ps * times,
            verified: self.verified,
            drafts: self.drafts,
        }
    }

    /// What the core believes of it: straight lines through an iteration of one sequence, one of 64 and a prompt of
    /// `chunk` tokens.
    pub fn costs(&self, chunk: u64) -> EngineCosts {
        let none = Prompts::default();
        let at = |decoding, prompts: &Prompts| float(self.iteration_ps(decoding, 0, prompts));
        let chunk = chunk.max(1);
        let prompts = Prompts {
            tokens: chunk,
            ..none
        };
        let (one, many) = (at(1, &none), at(64, &none));
        let token = (at(1, &prompts) - one).max(0.0) / float(chunk);
        let rounded = |value: f64| value.max(0.0).round() as u64;
        EngineCosts {
            step_us: rounded(one / 1e6),
            uncached_ns: rounded(token / 1e3).max(1),
            cached_ns: 0,
            output_ns: rounded((many - one) / 63.0 / 1e3),
            kv_ps: self.held_ps(),
            context_double_tokens: if self.pair_ps > 0.0 {
                rounded(token / self.pair_ps)
            } else {
                0
            },
        }
    }
}

fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_catalog::{Catalog, EngineKind, Parallel, Shape};

    /// Iterations that make tokens, on one chip of each kind of link: within a thousandth of the closed form.
    fn check(deployment: &Deployment, what: &str) {
        let times = Roofline::of(deployment);
        let past = 3.0 * deployment.model.shape.window.max(1_000.0);
        for sequences in [1, 7, 64, 500] {
            let held = float(sequences) * past;
            let took_us =
                float(times.iteration_ps(sequences, held as u64, &Prompts::default())) / 1e6;
            let expected_us = deployment.iteration_us(&Batch {
                sequences: float(sequences),
                kv_tokens: held,
                ..Batch::default()
            });
            let error = (took_us / expected_us - 1.0).abs();
            assert!(
                error < 1e-3,
                "{what}, {sequences}: {took_us} of {expected_us}"
            );
        }
    }

    #[test]
    fn tokens_take_the_time_that_the_closed_form_says() {
        let catalog = Catalog::shipped().unwrap();
        for model in &catalog.models {
            for chip in ["H200-SXM", "RTX-PRO-6000"] {
                let parallel = Parallel {
                    data: 2,
                    ..Parallel::tensor(16)
                };
                let place = (model.name.as_str(), chip);
                let deployment = catalog
                    .deployment(place, parallel, "fp8", EngineKind::Trtllm)
                    .unwrap();
                check(&deployment, &format!("{} on {chip}", model.name));
            }
        }
    }

    #[test]
    fn a_model_of_windows_alone_reads_them() {
        let catalog = Catalog::shipped().unwrap();
        let place = ("Llama-3.1-8B", "H200-SXM");
        let mut deployment = catalog
            .deployment(place, Parallel::tensor(1), "bf16", EngineKind::Vllm)
            .unwrap();
        let shape = &mut deployment.model.shape;
        *shape = Shape {
            full_layers: 0.0,
            window_layers: shape.layers,
            window: 4_096.0,
            ..shape.clone()
        };
        check(&deployment, "windows alone");
    }
}
