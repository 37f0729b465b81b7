//! What an accelerator can do by its data sheet.

use crate::rows::Confidence;
use serde::{Deserialize, Serialize};

/// One accelerator. Operations are those of dense matrices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chip {
    /// Its name here.
    pub name: String,
    /// Parts of names that others give it, in lower case, with `|` between them.
    #[serde(rename = "match", default)]
    pub fragments: String,
    /// Who makes it.
    pub vendor: String,
    /// Memory that a program can use, in 2^30 bytes.
    pub memory_gb: f64,
    /// Memory bandwidth, in 10^9 bytes a second.
    pub memory_gb_s: f64,
    /// In 10^12 operations a second.
    pub bf16_tflops: f64,
    /// Likewise; none: it computes in bf16.
    pub fp8_tflops: Option<f64>,
    /// Likewise; none: it computes in fp8 or bf16.
    pub fp4_tflops: Option<f64>,
    /// To its peers in one direction, in 10^9 bytes a second.
    pub link_gb_s: f64,
    /// At full load, where its maker says it.
    pub tdp_w: Option<f64>,
    /// Of the row.
    pub confidence: Confidence,
    /// Where the figures are from.
    pub source: String,
}

/// What lies between accelerators of one engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// Made for it: NVLink, Infinity Fabric, ICI.
    Fabric,
    /// PCI Express.
    Pcie,
}

impl Chip {
    /// What connects it to its peers: PCI Express gives at most 64 GB/s in one direction.
    pub fn link(&self) -> Link {
        if self.link_gb_s > 64.0 {
            Link::Fabric
        } else {
            Link::Pcie
        }
    }

    /// Operations a second on weights of so many bits; those that it has no units for are computed in the next wider form that
    /// it has.
    pub fn operations_s(&self, weight_bits: f64, wide_activations: bool) -> f64 {
        let fp8 = self.fp8_tflops.unwrap_or(self.bf16_tflops);
        let tflops = if weight_bits > 9.0 || wide_activations {
            self.bf16_tflops
        } else if weight_bits > 6.0 {
            fp8
        } else {
            self.fp4_tflops.unwrap_or(self.bf16_tflops)
        };
        tflops * 1e12
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let figures = [
            ("memory_gb", self.memory_gb),
            ("memory_gb_s", self.memory_gb_s),
            ("bf16_tflops", self.bf16_tflops),
            ("link_gb_s", self.link_gb_s),
            ("fp8_tflops", self.fp8_tflops.unwrap_or(1.0)),
            ("fp4_tflops", self.fp4_tflops.unwrap_or(1.0)),
            ("tdp_w", self.tdp_w.unwrap_or(1.0)),
        ];
        match figures
            .iter()
            .find(|(_, value)| !(*value > 0.0 && *value < 1e7))
        {
            Some((name, value)) => Err(format!("{name} is {value}: a number above 0 is wanted")),
            None => Ok(()),
        }
    }
}
