//! Shapes of models that are not in the catalogue, by the size in their names.

use crate::model::{Model, Shape};
use crate::rows::Confidence;

/// Taken where a name says no size, in 10^9.
const PARAMS_B: f64 = 70.0;
const VOCAB: f64 = 150_000.0;

/// A model of the size that its name says, as in `some-70b` or `some-30B-A3B`: 30 in all, 3 for each token. Widths follow those
/// of models of such sizes.
pub fn model_of_name(name: &str) -> Model {
    let lower = name.to_lowercase();
    let words: Vec<&str> = lower.split(['-', '_', '/', ' ']).collect();
    let size = |word: &str| {
        let number = word.strip_suffix('b')?.parse::<f64>().ok();
        number.filter(|size| (0.05..10_000.0).contains(size))
    };
    let total = words.iter().find_map(|word| size(word));
    let active = words.iter().find_map(|word| size(word.strip_prefix('a')?));
    let params_b = total.unwrap_or(PARAMS_B);
    let shape = match active.filter(|active| *active < params_b) {
        Some(active) => experts(params_b * 1e9, active),
        None => dense(params_b * 1e9),
    };
    let source = match total {
        Some(_) => "guessed from the size in its name",
        None => "its name says no size: 70 billion parameters are assumed",
    };
    Model {
        name: name.to_owned(),
        fragments: String::new(),
        params_b,
        shape,
        confidence: Confidence::Guessed,
        source: source.to_owned(),
    }
}

fn of_width(hidden: f64, layers: f64) -> Shape {
    Shape {
        layers,
        hidden,
        heads: (hidden / 128.0).max(8.0),
        kv_heads: 8.0,
        head_dim: 128.0,
        full_layers: layers,
        vocab: VOCAB,
        ..Shape::default()
    }
}

fn dense(params: f64) -> Shape {
    let hidden = whole_heads(4_096.0 * (params / 8e9).powf(0.33));
    let layer = 12.5 * hidden * hidden + 2_048.0 * hidden;
    let words = if hidden < 4_000.0 { 1.0 } else { 2.0 };
    let layers = ((params - words * VOCAB * hidden) / layer).round().max(4.0);
    Shape {
        dense_layers: layers,
        dense_inter: 3.5 * hidden,
        ..of_width(hidden, layers)
    }
}

fn experts(params: f64, active_b: f64) -> Shape {
    let hidden = whole_heads(2_048.0 * (active_b / 3.0).powf(0.35));
    let layers = (48.0 * (params / 30e9).powf(0.15)).round();
    let shape = of_width(hidden, layers);
    let rest = params - shape.attention_params() - 2.0 * shape.head_params();
    let experts = 128.0;
    let expert_inter = (rest / (3.0 * hidden * layers * experts)).max(64.0).round();
    Shape {
        experts,
        experts_per_token: 8.0,
        expert_inter,
        ..shape
    }
}

fn whole_heads(width: f64) -> f64 {
    (width / 128.0).round().max(8.0) * 128.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_has_the_size_that_the_name_says() {
        for (name, params_b) in [
            ("somebody/new-8b", 8.0),
            ("new-32B-instruct-fp8", 32.0),
            ("new-405B", 405.0),
            ("new-30B-A3B", 30.0),
            ("new_235b_a22b", 235.0),
            ("nameless", 70.0),
        ] {
            let model = model_of_name(name);
            assert_eq!(model.params_b, params_b);
            let ratio = model.shape.params() / 1e9 / params_b;
            assert!((0.9..1.1).contains(&ratio), "{name}: {ratio}");
            assert!(model.shape.check().is_ok());
        }
    }
}
