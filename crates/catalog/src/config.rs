//! A model's shape from the `config.json` that is published with its weights.

use crate::model::{Model, Shape};
use crate::rows::{CatalogError, Confidence};
use serde_json::Value;

/// Reads one. Parts that describe the words of a model for images and words (`text_config`) go before the whole.
///
/// # Errors
/// It is not JSON, or lacks the sizes of the layers.
pub fn model_of_config(name: &str, json: &str) -> Result<Model, CatalogError> {
    let whole: Value =
        serde_json::from_str(json).map_err(|error| CatalogError::Config(error.to_string()))?;
    let text = whole.get("text_config").unwrap_or(&whole);
    let shape = shape(text)?;
    shape.check().map_err(CatalogError::Config)?;
    Ok(Model {
        name: name.to_owned(),
        fragments: name.to_lowercase(),
        params_b: shape.params() / 1e9,
        shape,
        confidence: Confidence::Seen,
        source: "its config.json".to_owned(),
    })
}

fn shape(config: &Value) -> Result<Shape, CatalogError> {
    let number = |names: &[&str]| names.iter().find_map(|name| config.get(name)?.as_f64());
    let needed = |name: &str| {
        number(&[name]).ok_or_else(|| CatalogError::Config(format!("{name} is not there")))
    };
    let layers = needed("num_hidden_layers")?;
    let hidden = needed("hidden_size")?;
    let heads = needed("num_attention_heads")?;
    let latent = number(&["kv_lora_rank"]);
    let rotary = number(&["qk_rope_head_dim"]).unwrap_or(0.0);
    let plain = number(&["qk_nope_head_dim"]).unwrap_or(0.0);
    let head_dim = match latent {
        Some(_) => plain + rotary,
        None => number(&["head_dim"]).unwrap_or(hidden / heads.max(1.0)),
    };
    let experts = number(&[
        "n_routed_experts",
        "num_local_experts",
        "num_experts",
        "moe_num_experts",
    ])
    .unwrap_or(0.0);
    let inter = number(&["intermediate_size"]).unwrap_or(4.0 * hidden);
    let dense_layers = if experts < 1.0 {
        layers
    } else {
        number(&["first_k_dense_replace"]).unwrap_or(0.0)
    };
    let window = number(&["sliding_window"]).unwrap_or(0.0);
    let (full_layers, window_layers) = kinds(config, layers, window);
    Ok(Shape {
        layers,
        hidden,
        heads,
        kv_heads: latent.map_or_else(
            || number(&["num_key_value_heads"]).unwrap_or(heads),
            |_| 1.0,
        ),
        head_dim,
        kv_latent: latent.map(|rank| rank + rotary),
        attention_m: latent.map(|rank| {
            let values = number(&["v_head_dim"]).unwrap_or(plain);
            let queries = number(&["q_lora_rank"]).map_or(hidden * heads * head_dim, |rank| {
                rank * (hidden + heads * head_dim)
            });
            let keys = hidden * (rank + rotary) + rank * heads * (plain + values);
            (queries + keys + heads * values * hidden) / 1e6
        }),
        dense_layers,
        dense_inter: inter,
        experts,
        experts_per_token: number(&["num_experts_per_tok", "num_experts_per_token", "moe_topk"])
            .unwrap_or(0.0),
        shared_experts: number(&["n_shared_experts", "num_shared_experts"]).unwrap_or(0.0),
        expert_inter: number(&["moe_intermediate_size"]).unwrap_or(inter),
        full_layers,
        window_layers,
        window,
        vocab: needed("vocab_size")?,
    })
}

/// Layers that keep the whole past, and those that keep a window of it.
fn kinds(config: &Value, layers: f64, window: f64) -> (f64, f64) {
    if let Some(kinds) = config.get("layer_types").and_then(Value::as_array) {
        let count = |kind: &str| {
            let of_it = kinds.iter().filter(|other| other.as_str() == Some(kind));
            of_it.fold(0.0, |sum, _| sum + 1.0)
        };
        return (count("full_attention"), count("sliding_attention"));
    }
    if let Some(period) = config
        .get("full_attention_interval")
        .and_then(Value::as_f64)
        .filter(|period| *period >= 1.0)
    {
        return ((layers / period).floor(), 0.0);
    }
    if let Some(period) = config
        .get("sliding_window_pattern")
        .and_then(Value::as_f64)
        .filter(|period| *period >= 1.0 && window > 0.0)
    {
        let full = (layers / period).floor();
        return (full, layers - full);
    }
    let used = config
        .get("use_sliding_window")
        .and_then(Value::as_bool)
        .unwrap_or(true);
    if window > 0.0 && used {
        (0.0, layers)
    } else {
        (layers, 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_configs_give_the_published_sizes() {
        let deepseek = r#"{"num_hidden_layers": 61, "hidden_size": 7168, "num_attention_heads": 128, "num_key_value_heads": 128,
            "kv_lora_rank": 512, "q_lora_rank": 1536, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128,
            "n_routed_experts": 256, "num_experts_per_tok": 8, "n_shared_experts": 1, "first_k_dense_replace": 3,
            "moe_intermediate_size": 2048, "intermediate_size": 18432, "vocab_size": 129280}"#;
        let gpt_oss = r#"{"num_hidden_layers": 4, "hidden_size": 2880, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64,
            "num_local_experts": 128, "num_experts_per_tok": 4, "intermediate_size": 2880, "sliding_window": 128, "vocab_size": 201088,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]}"#;
        let model = model_of_config("DeepSeek-V3", deepseek).unwrap();
        assert!((model.params_b - 671.0).abs() < 1.0, "{}", model.params_b);
        assert_eq!(2.0 * model.shape.kv_elements(1.0), 70_272.0);
        let model = model_of_config("small-oss", gpt_oss).unwrap();
        assert_eq!(model.shape.full_layers, 2.0);
        assert_eq!(
            model.shape.kv_elements(1_000.0),
            2.0 * 8.0 * 64.0 * (2_000.0 + 256.0)
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = model_of_config("x", r#"{"hidden_size": 10}"#).unwrap_err();
        assert!(error.to_string().contains("num_hidden_layers"), "{error}");
    }
}
