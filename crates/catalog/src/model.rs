//! What a model is made of, as far as its speed and its memory depend on it.

use crate::rows::Confidence;
use serde::{Deserialize, Serialize};

/// One model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Its name here.
    pub name: String,
    /// Parts of paths that stand for it, in lower case, with `|` between them.
    #[serde(rename = "match")]
    pub fragments: String,
    /// Parameters in 10^9, as published.
    pub params_b: f64,
    /// Its layers.
    #[serde(skip_deserializing)]
    pub shape: Shape,
    /// Of the row.
    pub confidence: Confidence,
    /// Where the figures are from.
    pub source: String,
}

/// Its layers. All counts are numbers of that thing; zero where there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// Layers.
    pub layers: f64,
    /// Width of the residual stream.
    pub hidden: f64,
    /// Heads of queries.
    pub heads: f64,
    /// Heads of keys and values; 1 with latent attention.
    pub kv_heads: f64,
    /// Width of a head.
    pub head_dim: f64,
    /// Elements of a token's latent in one layer, with latent attention (MLA).
    pub kv_latent: Option<f64>,
    /// Parameters of a layer's attention in 10^6 where they do not follow from the heads.
    pub attention_m: Option<f64>,
    /// Layers whose feed-forward part is dense.
    pub dense_layers: f64,
    /// Their inner width.
    pub dense_inter: f64,
    /// Routed experts of a layer.
    pub experts: f64,
    /// Those that a token goes through.
    pub experts_per_token: f64,
    /// Experts that every token goes through.
    pub shared_experts: f64,
    /// Inner width of an expert.
    pub expert_inter: f64,
    /// Layers that keep the whole past.
    pub full_layers: f64,
    /// Layers that keep a window of it. The rest has linear attention: a constant state.
    pub window_layers: f64,
    /// That window, in tokens.
    pub window: f64,
    /// Words.
    pub vocab: f64,
}

impl Shape {
    /// Parameters of the attention of all layers.
    pub fn attention_params(&self) -> f64 {
        let own = 2.0 * (self.heads + self.kv_heads) * self.head_dim * self.hidden;
        self.layers * self.attention_m.map_or(own, |millions| millions * 1e6)
    }

    /// Parameters of the feed-forward parts that every token goes through.
    pub fn dense_params(&self) -> f64 {
        let shared = self.moe_layers() * self.shared_experts * self.expert_inter;
        3.0 * self.hidden * (self.dense_layers * self.dense_inter + shared)
    }

    /// Parameters of one routed expert, taken over all layers.
    pub fn expert_params(&self) -> f64 {
        3.0 * self.hidden * self.expert_inter * self.moe_layers()
    }

    /// Parameters of the output head.
    pub fn head_params(&self) -> f64 {
        self.vocab * self.hidden
    }

    /// All of them; words are counted once for the input, once for the output where the model is wide enough not to share them.
    pub fn params(&self) -> f64 {
        let words = if self.hidden < 4000.0 && self.experts < 1.0 {
            1.0
        } else {
            2.0
        };
        self.attention_params()
            + self.dense_params()
            + self.experts * self.expert_params()
            + words * self.head_params()
    }

    /// Those that one token is multiplied with.
    pub fn active_params(&self) -> f64 {
        self.attention_params()
            + self.dense_params()
            + self.experts_per_token * self.expert_params()
            + self.head_params()
    }

    /// Experts of a layer that so many tokens go through, if each takes any with the same chance:
    /// E × (1 − (1 − k ÷ E)^tokens).
    pub fn experts_touched(&self, tokens: f64) -> f64 {
        if self.experts < 1.0 {
            return 0.0;
        }
        let missed = 1.0 - self.experts_per_token / self.experts;
        self.experts * (1.0 - missed.powf(tokens))
    }

    /// Elements of KV memory that a sequence of so many tokens holds.
    pub fn kv_elements(&self, tokens: f64) -> f64 {
        let layer = self.kv_layer_elements();
        layer * (self.full_layers * tokens + self.window_layers * tokens.min(self.window))
    }

    /// Elements of one token in one layer.
    pub fn kv_layer_elements(&self) -> f64 {
        self.kv_latent
            .unwrap_or(2.0 * self.kv_heads * self.head_dim)
    }

    /// Operations of attention for one token and one token of its past, over the layers that see it; with latent attention, of
    /// decoding, where the latent itself is attended to.
    pub fn attention_operations(&self) -> f64 {
        let width = self.kv_latent.unwrap_or(self.head_dim);
        4.0 * self.heads * width * self.full_layers
    }

    /// The same of prompts, where latents are unfolded first.
    pub fn prompt_attention_operations(&self) -> f64 {
        4.0 * self.heads * self.head_dim * self.full_layers
    }

    /// Layers with experts.
    pub fn moe_layers(&self) -> f64 {
        if self.experts < 1.0 {
            0.0
        } else {
            self.layers - self.dense_layers
        }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let least_one = [
            ("layers", self.layers),
            ("hidden", self.hidden),
            ("heads", self.heads),
            ("kv_heads", self.kv_heads),
            ("head_dim", self.head_dim),
            ("vocab", self.vocab),
        ];
        if let Some((name, value)) = least_one
            .iter()
            .find(|(_, value)| !(1.0..1e7).contains(value))
        {
            return Err(format!("{name} is {value}: a number from 1 is wanted"));
        }
        if self.dense_layers > self.layers || self.full_layers + self.window_layers > self.layers {
            return Err("more layers of one kind than layers".to_owned());
        }
        if self.experts_per_token > self.experts {
            return Err(format!(
                "experts_per_token is {}, of {} experts",
                self.experts_per_token, self.experts
            ));
        }
        if self.dense_layers < self.layers && self.experts < 1.0 {
            return Err("layers that are not dense need experts".to_owned());
        }
        Ok(())
    }
}
