//! What an accelerator can do by its data sheet.

use crate::rows::Confidence;
use serde::{Deserialize, Serialize};

/// Accelerators that links join where nothing says it.
const PEERS: f64 = 8.0;
/// What a machine's network gives each of its accelerators in one direction, in 10^9 bytes a second: 400 Gbit/s.
const NETWORK_GB_S: f64 = 50.0;
/// Waiting for each other over a network takes so many times as long as over links of a machine: some 40 µs instead of 13.
const NETWORK_HOPS: f64 = 3.0;

/// Part of the memory bandwidth that products of matrices reach where none were measured: about the mean of those that were.
const READ_PART: f64 = 0.86;
/// Likewise of operations in bf16, fp8 and fp4.
const BF16_PART: f64 = 0.8;
const FP8_PART: f64 = 0.7;
const FP4_PART: f64 = 0.46;

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
    /// Accelerators that the links join; beyond them, a network. None: eight.
    #[serde(default)]
    pub peers: Option<f64>,
    /// At full load, where its maker says it.
    pub tdp_w: Option<f64>,
    /// Part of the memory bandwidth that measured products of matrices reach; none: what is usual.
    #[serde(default)]
    pub read_part: Option<f64>,
    /// Part of `bf16_tflops` that they reach; likewise.
    #[serde(default)]
    pub bf16_part: Option<f64>,
    /// Part of `fp8_tflops`; likewise.
    #[serde(default)]
    pub fp8_part: Option<f64>,
    /// Part of `fp4_tflops`; likewise.
    #[serde(default)]
    pub fp4_part: Option<f64>,
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

    /// Bytes a second between so many of them, and how many times as long as over links they wait for each other.
    pub fn exchanges(&self, accelerators: f64) -> (f64, f64) {
        if accelerators > self.peers.unwrap_or(PEERS) {
            (self.link_gb_s.min(NETWORK_GB_S) * 1e9, NETWORK_HOPS)
        } else {
            (self.link_gb_s * 1e9, 1.0)
        }
    }

    /// Bytes a second that kernels read.
    pub fn reads_s(&self) -> f64 {
        self.memory_gb_s * 1e9 * self.read_part.unwrap_or(READ_PART)
    }

    /// Operations a second in bf16 that kernels reach.
    pub fn wide_operations_s(&self) -> f64 {
        self.bf16_tflops * 1e12 * self.bf16_part.unwrap_or(BF16_PART)
    }

    /// Operations a second that kernels reach on weights of so many bits; those that it has no units for are computed in the next
    /// wider form that it has.
    pub fn operations_s(&self, weight_bits: f64, wide_activations: bool) -> f64 {
        let wide = self.wide_operations_s();
        let reached = |tflops: Option<f64>, part: Option<f64>, usual: f64| {
            tflops.map_or(wide, |tflops| tflops * 1e12 * part.unwrap_or(usual))
        };
        if weight_bits > 9.0 || wide_activations {
            wide
        } else if weight_bits > 6.0 {
            reached(self.fp8_tflops, self.fp8_part, FP8_PART)
        } else {
            reached(self.fp4_tflops, self.fp4_part, FP4_PART)
        }
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
            ("peers", self.peers.unwrap_or(1.0)),
            ("read_part", self.read_part.unwrap_or(1.0)),
            ("bf16_part", self.bf16_part.unwrap_or(1.0)),
            ("fp8_part", self.fp8_part.unwrap_or(1.0)),
            ("fp4_part", self.fp4_part.unwrap_or(1.0)),
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
