//! A model on chips, by an engine: what is asked about its speed and its memory.

use crate::chip::Chip;
use crate::coefficients::{Coefficients, EngineKind};
use crate::model::Model;
use crate::rows::{Catalog, Confidence};
use serde::Serialize;
use thiserror::Error;

/// Part of the memory that an engine gives to weights and KV memory together.
const MEMORY_USED: f64 = 0.9;
/// What the program, its graphs and its work memory take on each accelerator, in bytes: vLLM's logs of models of 8 billion
/// parameters say 0.8 to 1.5 × 10^9.
const PROGRAM_BYTES: f64 = 1.2e9;
/// Bytes of what data sheets of memory call a GB.
const GB: f64 = 1024.0 * 1024.0 * 1024.0;

/// How a model is divided among accelerators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Parallel {
    /// Accelerators that share each layer.
    pub tensor: u32,
    /// Groups of layers, one after another.
    pub pipeline: u32,
    /// Ranks with whole attention of their own, each with its part of the sequences; experts are shared among all.
    pub data: u32,
    /// Accelerators among which experts are divided whole; 1: each expert is divided like a dense layer.
    pub expert: u32,
}

impl Parallel {
    /// Tensor parallel alone.
    pub fn tensor(tensor: u32) -> Self {
        Self {
            tensor,
            pipeline: 1,
            data: 1,
            expert: 1,
        }
    }

    /// Accelerators of one engine.
    pub fn accelerators(&self) -> u32 {
        self.tensor
            .saturating_mul(self.pipeline)
            .saturating_mul(self.data)
            .max(1)
    }
}

/// Forms of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Precision {
    /// Bits of a weight, scales included.
    pub weight_bits: f64,
    /// Weights are small, and what they are multiplied with is not.
    pub wide_activations: bool,
    /// Bytes of an element of KV memory.
    pub kv_bytes: f64,
}

impl Precision {
    /// By its usual name: `bf16`, `fp8`, `fp4` (with a scale for 16), `int4` (weights only).
    pub fn named(name: &str) -> Option<Self> {
        let (weight_bits, wide_activations, kv_bytes) = match name {
            "bf16" | "fp16" => (16.0, false, 2.0),
            "fp8" => (8.0, false, 1.0),
            "fp4" | "nvfp4" | "mxfp4" => (4.5, false, 1.0),
            "int8" => (8.0, true, 2.0),
            "int4" | "int4_wo" | "w4a16" => (4.25, true, 2.0),
            _ => return None,
        };
        Some(Self {
            weight_bits,
            wide_activations,
            kv_bytes,
        })
    }
}

/// A model on chips, by an engine.
#[derive(Clone, Debug, Serialize)]
pub struct Deployment {
    /// Which model.
    pub model: Model,
    /// On which chips.
    pub chip: Chip,
    /// How it is divided.
    pub parallel: Parallel,
    /// Forms of numbers.
    pub precision: Precision,
    /// Of the engine.
    pub coefficients: Coefficients,
}

/// What the memory of one engine is for, in bytes and tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Memory {
    /// Weights on one accelerator.
    pub weight_bytes: f64,
    /// KV memory on one accelerator.
    pub kv_bytes: f64,
    /// Tokens of a long context that KV memory of the whole engine holds.
    pub kv_tokens: u64,
}

/// Why there is no such deployment.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum DeploymentError {
    /// Not in the catalogue.
    #[error("{kind} {name} is not in the catalogue: `madang twin catalog` lists what is")]
    Unknown {
        /// A chip, a model, a precision.
        kind: &'static str,
        /// As asked for.
        name: String,
    },
    /// Its weights leave no room for one sequence.
    #[error(
        "{model} needs {needed_gb:.0} GB on each of {accelerators} × {chip}, which have {has_gb:.0}: take more of them, or smaller weights"
    )]
    Memory {
        /// Which model.
        model: String,
        /// On which chip.
        chip: String,
        /// How many.
        accelerators: u32,
        /// For weights, the program and one token.
        needed_gb: f64,
        /// Of one accelerator, as far as engines use it.
        has_gb: f64,
    },
}

impl Catalog {
    /// The deployment of a model on chips that the catalogue knows by these names.
    ///
    /// # Errors
    /// One of them is not known, or the model has no room there.
    pub fn deployment(
        &self,
        (model, chip): (&str, &str),
        parallel: Parallel,
        precision: &str,
        engine: EngineKind,
    ) -> Result<Deployment, DeploymentError> {
        let unknown = |kind, name: &str| DeploymentError::Unknown {
            kind,
            name: name.to_owned(),
        };
        let deployment = Deployment {
            model: self
                .model(model)
                .ok_or_else(|| unknown("model", model))?
                .clone(),
            chip: self
                .chip(chip)
                .ok_or_else(|| unknown("chip", chip))?
                .clone(),
            parallel,
            precision: Precision::named(precision)
                .ok_or_else(|| unknown("precision", precision))?,
            coefficients: engine.coefficients(),
        };
        deployment.memory()?;
        Ok(deployment)
    }
}

impl Deployment {
    /// Bytes of one accelerator's memory that an engine uses.
    pub fn usable_bytes(&self) -> f64 {
        self.chip.memory_gb * GB * MEMORY_USED
    }

    /// Bytes of all weights.
    pub fn weight_bytes(&self) -> f64 {
        self.model.shape.params() * self.precision.weight_bits / 8.0
    }

    /// What its memory is for.
    ///
    /// # Errors
    /// The weights leave no room.
    pub fn memory(&self) -> Result<Memory, DeploymentError> {
        let shape = &self.model.shape;
        let parallel = &self.parallel;
        let accelerators = f64::from(parallel.accelerators());
        let byte = self.precision.weight_bits / 8.0;
        let shared = f64::from(parallel.tensor.max(1)) * f64::from(parallel.pipeline.max(1));
        let experts = shape.experts * shape.expert_params();
        let weight_bytes = byte * ((shape.params() - experts) / shared + experts / accelerators);
        let has = self.usable_bytes();
        let kv_bytes = has - weight_bytes - PROGRAM_BYTES;
        // What a token adds to a long context, on the accelerator that holds most of it.
        let layer = shape.kv_layer_elements() * self.precision.kv_bytes;
        let layers = shape.full_layers.max(1.0) / f64::from(parallel.pipeline.max(1));
        let token_bytes = layer * layers / self.kv_divided();
        let tokens = kv_bytes / token_bytes * f64::from(parallel.data.max(1));
        if tokens < 16.0 {
            return Err(DeploymentError::Memory {
                model: self.model.name.clone(),
                chip: self.chip.name.clone(),
                accelerators: parallel.accelerators(),
                needed_gb: (weight_bytes + PROGRAM_BYTES) / GB,
                has_gb: has / GB,
            });
        }
        Ok(Memory {
            weight_bytes,
            kv_bytes,
            kv_tokens: whole(tokens),
        })
    }

    /// Among how many accelerators the KV memory of one sequence is divided: heads are not cut, and a latent has none.
    pub(crate) fn kv_divided(&self) -> f64 {
        let tensor = f64::from(self.parallel.tensor.max(1));
        match self.model.shape.kv_latent {
            Some(_) => 1.0,
            None => tensor.min(self.model.shape.kv_heads),
        }
    }

    /// Accelerators that hold parts of one sequence's layers.
    pub fn parallel_spread(&self) -> f64 {
        self.kv_divided() * f64::from(self.parallel.pipeline.max(1))
    }

    /// By what factor the truth may be above or below what is predicted for 90 of 100 measurements, by how near to measured
    /// engines this one is.
    pub fn band(&self) -> f64 {
        let sure = |confidence| matches!(confidence, Confidence::Seen);
        let own = &self.coefficients;
        let (chip, model) = own.measured(&self.chip.name, &self.model.name);
        match (
            chip && sure(self.chip.confidence),
            model && sure(self.model.confidence),
        ) {
            (true, true) => own.band,
            (true, false) | (false, true) => own.band_elsewhere,
            (false, false) => own.band_elsewhere.powf(1.5),
        }
    }
}

/// Rounds down; what is no number is 0.
fn whole(value: f64) -> u64 {
    value.clamp(0.0, 1e15) as u64
}
