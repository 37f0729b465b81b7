//! How far an engine is from what the data sheet says: fitted on measurements, and shipped with them named.

use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

const SHIPPED: &str = include_str!("../data/coefficients.csv");

/// Coefficients of the engines, as shipped.
pub static COEFFICIENTS: LazyLock<Vec<Coefficients>> = LazyLock::new(|| {
    csv::Reader::from_reader(SHIPPED.as_bytes())
        .deserialize()
        .collect::<Result<_, _>>()
        .expect("the shipped table is read by a test")
});

/// An engine that measurements are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    /// vLLM.
    Vllm,
    /// SGLang.
    Sglang,
    /// TensorRT-LLM.
    Trtllm,
}

impl EngineKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Vllm, Self::Sglang, Self::Trtllm];

    /// By its usual name; one that is not known is taken for vLLM, which most others resemble.
    pub fn named(name: &str) -> Self {
        match name {
            "sglang" => Self::Sglang,
            "trtllm" | "tensorrt_llm" | "tensorrt-llm" => Self::Trtllm,
            _ => Self::Vllm,
        }
    }

    /// Its shipped coefficients.
    pub fn coefficients(self) -> Coefficients {
        let of_it = COEFFICIENTS.iter().find(|row| row.engine == self);
        of_it.expect("each engine has a row").clone()
    }
}

/// How far an engine is from what the data sheet says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coefficients {
    /// Whose.
    pub engine: EngineKind,
    /// Of an iteration, whatever is in it, in microseconds.
    pub step_us: f64,
    /// Of a layer, whatever is in it, in microseconds.
    pub layer_us: f64,
    /// Of a sequence, in microseconds.
    pub sequence_us: f64,
    /// Reading weights takes so many times the ideal.
    pub weights: f64,
    /// Likewise multiplying tokens of decoding sequences.
    pub compute: f64,
    /// Likewise those of prompts.
    pub prompt: f64,
    /// Products with experts take so many times what those that every token goes through take. A calibration that was fitted before
    /// it was told apart says nothing of it: the same.
    #[serde(default = "alike")]
    pub experts: f64,
    /// Likewise reading the past.
    pub kv: f64,
    /// Likewise attention of prompts.
    pub attention: f64,
    /// Accelerators wait for each other after a layer, over a fabric, in microseconds.
    pub hop_us: f64,
    /// So much longer for each doubling of them.
    pub hop_log_us: f64,
    /// Sending takes so many times the ideal, over a fabric, while decoding.
    pub link: f64,
    /// Likewise with prompts.
    pub prompt_link: f64,
    /// Accelerators wait for each other after a layer, over PCI Express, in microseconds.
    pub pcie_hop_us: f64,
    /// Sending takes so many times the ideal, over PCI Express.
    pub pcie_link: f64,
    /// Of an iteration with prompts in it, beyond one without, in microseconds: its steps are not launched all at once. Fitted
    /// on logs of requests alone; rows of closed loops do not tell it from the rest.
    #[serde(default)]
    pub mixed_us: f64,
    /// The truth is at most so many times more or less in 90 of 100 measurements of models in `models` on chips in `chips`.
    pub band: f64,
    /// The same elsewhere: half as much again, as a logarithm. Chosen, not measured.
    pub band_elsewhere: f64,
    /// Measurements that it was fitted on.
    pub rows: u32,
    /// Chips that they are of, with `|` between them.
    pub chips: String,
    /// Models that they are of, likewise.
    #[serde(default)]
    pub models: String,
    /// When, and from what.
    pub source: String,
}

fn alike() -> f64 {
    1.0
}

impl Coefficients {
    /// Names of the fitted numbers.
    pub const NAMES: [&'static str; 15] = [
        "step_us",
        "layer_us",
        "sequence_us",
        "weights",
        "compute",
        "prompt",
        "experts",
        "kv",
        "attention",
        "hop_us",
        "hop_log_us",
        "link",
        "prompt_link",
        "pcie_hop_us",
        "pcie_link",
    ];

    /// The fitted numbers, in the order of their names.
    pub fn values(&self) -> [f64; 15] {
        [
            self.step_us,
            self.layer_us,
            self.sequence_us,
            self.weights,
            self.compute,
            self.prompt,
            self.experts,
            self.kv,
            self.attention,
            self.hop_us,
            self.hop_log_us,
            self.link,
            self.prompt_link,
            self.pcie_hop_us,
            self.pcie_link,
        ]
    }

    /// The same with other numbers.
    #[must_use]
    pub fn with(&self, values: &[f64; 15]) -> Self {
        let mut new = self.clone();
        [
            new.step_us,
            new.layer_us,
            new.sequence_us,
            new.weights,
            new.compute,
            new.prompt,
            new.experts,
            new.kv,
            new.attention,
            new.hop_us,
            new.hop_log_us,
            new.link,
            new.prompt_link,
            new.pcie_hop_us,
            new.pcie_link,
        ] = *values;
        new
    }

    /// Whether measurements of that chip are among those that they were fitted on, and whether those of that model are.
    pub fn measured(&self, chip: &str, model: &str) -> (bool, bool) {
        let among = |names: &str, name| names.split('|').any(|other| other == name);
        (among(&self.chips, chip), among(&self.models, model))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_engine_has_its_numbers() {
        for engine in EngineKind::ALL {
            let row = engine.coefficients();
            assert!(row.values().iter().all(|value| *value >= 0.0), "{row:?}");
            assert!(row.band > 1.0 && row.band_elsewhere >= row.band, "{row:?}");
            assert_eq!(row.with(&row.values()), row);
        }
    }
}
