//! The time of one iteration in closed form.

use crate::chip::Link;
use crate::coefficients::Coefficients;
use crate::deployment::Deployment;

/// Bytes of an activation between accelerators.
const ACTIVATION_BYTES: f64 = 2.0;

/// What a layer with experts has in steps beyond a dense one, as a part of that.
const MOE_LAYER: f64 = 0.5;

/// Where attention has ranks, accelerators wait for each other so many times as long: ranks first say how many tokens they send to
/// whom, then send them, and the same on the way back (DeepEP's dispatch and combine), where a sum is one exchange.
const RANK_HOPS: f64 = 2.0;

/// What an iteration is about, over all accelerators of the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Batch {
    /// Sequences that make a token.
    pub sequences: f64,
    /// Tokens of their pasts.
    pub kv_tokens: f64,
    /// Tokens of prompts.
    pub prompt_tokens: f64,
    /// Pairs of a prompt token and a token before it.
    pub prompt_pairs: f64,
}

/// What the data sheet says about an iteration: times in microseconds of what would be read, computed and sent if kernels
/// lost nothing beside what they do alone, and counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ideal {
    /// Layers; one with experts has more steps and counts for more.
    pub layers: f64,
    /// Layers after which accelerators wait for each other, twice each; 0 on one; more over a network.
    pub hops: f64,
    /// Of accelerators that do so, base 2.
    pub hops_log: f64,
    /// Sequences that one scheduler looks at.
    pub sequences: f64,
    /// Weights are read once.
    pub weights_us: f64,
    /// Tokens of decoding sequences are multiplied with those that every token goes through.
    pub compute_us: f64,
    /// The same with experts.
    pub expert_us: f64,
    /// The past is read.
    pub kv_us: f64,
    /// Tokens of prompts are multiplied with those that every token goes through.
    pub prompt_us: f64,
    /// The same with experts.
    pub prompt_expert_us: f64,
    /// They attend to what is before them.
    pub attention_us: f64,
    /// Activations of decoding sequences are exchanged.
    pub link_us: f64,
    /// Those of prompts are.
    pub prompt_link_us: f64,
}

/// Weights are read while tokens are multiplied with them: (reading^p + computing^p)^(1/p) with p = 1.5. Layers measured on
/// RTX PRO 6000 and products of matrices measured on nine accelerators turn from one to the other with p between 1.3 and 2.3.
pub fn product_time(reading: f64, computing: f64) -> f64 {
    let sum = reading * reading.sqrt() + computing * computing.sqrt();
    (sum * sum).cbrt()
}

/// What an engine's accelerators take to exchange activations over one kind of link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Between {
    /// They wait for each other after a layer, in microseconds.
    pub hop_us: f64,
    /// Sending takes so many times the ideal while decoding.
    pub decode: f64,
    /// Likewise with prompts.
    pub prompt: f64,
}

impl Deployment {
    /// What the data sheet says about an iteration.
    pub fn ideal(&self, batch: &Batch) -> Ideal {
        let shape = &self.model.shape;
        let parallel = &self.parallel;
        let tensor = f64::from(parallel.tensor.max(1));
        let data = f64::from(parallel.data.max(1));
        let accelerators = f64::from(parallel.accelerators());
        let spread = tensor * data;
        let byte = self.precision.weight_bits / 8.0;
        // Attention keeps wider numbers where experts are packed into four bits.
        let attention_byte = if byte < 0.6 { 0.8 } else { byte };
        let read = self.chip.reads_s() / 1e6;
        let tokens = batch.sequences + batch.prompt_tokens;
        let operations = self
            .chip
            .operations_s(self.precision.weight_bits, self.precision.wide_activations)
            / 1e6;
        let wide = self.chip.wide_operations_s() / 1e6;
        let weights = (attention_byte * shape.attention_params()
            + byte * shape.dense_params()
            + 2.0 * shape.head_params())
            / tensor
            + byte * shape.experts_touched(tokens) * shape.expert_params() / spread;
        let expert = 2.0 * shape.experts_per_token * shape.expert_params() / spread / operations;
        let flops = 2.0 * shape.active_params() / spread / operations - expert;
        let (link_s, hop_times) = self.chip.exchanges(spread);
        let ranked = if data > 1.0 { RANK_HOPS } else { 1.0 };
        let exchanged = self.exchanged_bytes() / data / (link_s / 1e6);
        let among = if accelerators > 1.0 { 1.0 } else { 0.0 };
        let past = shape.kv_layer_elements() * self.precision.kv_bytes;
        let mean = batch.kv_tokens / batch.sequences.max(1.0);
        let seen = shape.full_layers * batch.kv_tokens
            + shape.window_layers * mean.min(shape.window) * batch.sequences;
        Ideal {
            layers: shape.layers + MOE_LAYER * shape.moe_layers(),
            hops: among * hop_times * ranked * shape.layers,
            hops_log: spread.max(1.0).log2(),
            sequences: batch.sequences / data,
            weights_us: weights / read,
            compute_us: flops * batch.sequences,
            expert_us: expert * batch.sequences,
            kv_us: seen * past / self.kv_divided() / data / read,
            prompt_us: flops * batch.prompt_tokens,
            prompt_expert_us: expert * batch.prompt_tokens,
            attention_us: shape.prompt_attention_operations() * batch.prompt_pairs / spread / wide,
            link_us: among * exchanged * batch.sequences,
            prompt_link_us: among * exchanged * batch.prompt_tokens,
        }
    }

    /// What a token's activations are to the links: two sums over all accelerators in each layer; or, where attention has ranks
    /// and experts are whole, each copy to the ranks of its experts in a byte an element, and back in two.
    fn exchanged_bytes(&self) -> f64 {
        let shape = &self.model.shape;
        let ranks = f64::from(self.parallel.expert.max(1));
        if self.parallel.data > 1 && ranks > 1.0 && shape.experts > 0.0 {
            let reached = ranks * (1.0 - (1.0 - 1.0 / ranks).powf(shape.experts_per_token));
            shape.moe_layers() * shape.hidden * reached * (1.0 + ACTIVATION_BYTES)
        } else {
            2.0 * shape.layers * shape.hidden * ACTIVATION_BYTES
        }
    }

    /// The time of an iteration, in microseconds.
    pub fn iteration_us(&self, batch: &Batch) -> f64 {
        self.coefficients
            .iteration_us(&self.ideal(batch), self.chip.link())
    }
}

impl Coefficients {
    /// What products of decoding sequences take, in microseconds.
    pub fn decode_products_us(&self, ideal: &Ideal) -> f64 {
        self.compute * (ideal.compute_us + self.experts * ideal.expert_us)
    }

    /// What those of prompts take.
    pub fn prompt_products_us(&self, ideal: &Ideal) -> f64 {
        self.prompt * (ideal.prompt_us + self.experts * ideal.prompt_expert_us)
    }

    /// The time of an iteration of which the data sheet says `ideal`, in microseconds.
    pub fn iteration_us(&self, ideal: &Ideal, link: Link) -> f64 {
        let computing = self.decode_products_us(ideal) + self.prompt_products_us(ideal);
        let reading = self.weights * ideal.weights_us;
        let product = product_time(reading, computing);
        let between = self.between(link, ideal.hops_log);
        let mixed_us = if ideal.prompt_us > 0.0 {
            self.mixed_us
        } else {
            0.0
        };
        self.step_us
            + mixed_us
            + self.layer_us * ideal.layers
            + self.sequence_us * ideal.sequences
            + product
            + self.kv * ideal.kv_us
            + self.attention * ideal.attention_us
            + between.hop_us * ideal.hops
            + between.decode * ideal.link_us
            + between.prompt * ideal.prompt_link_us
    }

    /// What lies between accelerators; `hops_log` is [`Ideal::hops_log`].
    pub fn between(&self, link: Link, hops_log: f64) -> Between {
        match link {
            Link::Fabric => Between {
                hop_us: self.hop_us + self.hop_log_us * hops_log,
                decode: self.link,
                prompt: self.prompt_link,
            },
            Link::Pcie => Between {
                hop_us: self.pcie_hop_us,
                decode: self.pcie_link,
                prompt: self.pcie_link,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Catalog, EngineKind, Parallel};

    #[test]
    fn products_of_experts_have_a_number_of_their_own() {
        let catalog = Catalog::shipped().unwrap();
        let slower = |model: &str| {
            let place = (model, "H200-SXM");
            let mut deployment = catalog
                .deployment(place, Parallel::tensor(8), "fp8", EngineKind::Vllm)
                .unwrap();
            let batch = Batch {
                sequences: 512.0,
                prompt_tokens: 8_192.0,
                ..Batch::default()
            };
            let plain_us = deployment.iteration_us(&batch);
            let ideal = deployment.ideal(&batch);
            deployment.coefficients.experts *= 2.0;
            let share = (ideal.expert_us + ideal.prompt_expert_us)
                / (ideal.compute_us + ideal.prompt_us + ideal.expert_us + ideal.prompt_expert_us);
            (deployment.iteration_us(&batch) / plain_us, share)
        };
        assert_eq!(slower("Llama-3.1-70B"), (1.0, 0.0));
        let (times, share) = slower("Mixtral-8x7B");
        // 2 of 8 experts of 176 million parameters in each of 32 layers, of 12.9 × 10^9 that a token is multiplied with.
        assert!((share - 0.88).abs() < 0.01, "{share}");
        assert!((1.3..2.0).contains(&times), "{times}");
    }
}
