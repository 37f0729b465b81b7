//! What a row is about, in the catalogue's words: conventions of its sources are undone here.

use super::guessing::guessing;
use super::rows::{EngineRow, Side, number_in};
use crate::engine::Speculation;
use madang_catalog::{
    Catalog, Chip, Confidence, Deployment, DeploymentError, EngineKind, Model, Parallel, Precision,
    model_of_name,
};

/// What stands in for a chip that the catalogue does not have.
const CHIP: &str = "H100-SXM";
/// Accelerators of the largest machine whose engine rows call one; beyond, they are several engines, added up.
const ONE_ENGINE_MAX: f64 = 8.0;

/// From so many requests on, one engine with attention on each accelerator makes tokens.
const MANY_REQUESTS: f64 = 512.0;
/// It has so many accelerators, where a row does not say it.
const MANY_RANKS: u32 = 32;
/// Accelerators of an engine that divides layers, where it has a machine to itself.
const NODE: u32 = 8;
/// Engines that share fewer requests.
const SPLIT_ENGINES: f64 = 3.0;

/// One point that can be predicted.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The engine, or each engine that decodes.
    pub deployment: Deployment,
    /// Prompts have engines of their own.
    pub split: bool,
    /// Accelerators of an engine for prompts; 0 where that is not known.
    pub prompt_accelerators: f64,
    /// Engines for prompts.
    pub prompt_engines: f64,
    /// Requests at once, over all engines.
    pub requests: f64,
    /// The same for each engine.
    pub concurrency: f64,
    /// Tokens of each prompt.
    pub input_tokens: f64,
    /// Tokens of each answer.
    pub output_tokens: f64,
    /// How it guesses tokens ahead.
    pub guessing: Option<Speculation>,
    /// What is compared by name: engine, version, chip, model, how it is built, precision.
    pub kinds: [String; 6],
    /// What was not known and taken from elsewhere.
    pub guesses: Vec<String>,
}

impl Setting {
    /// Of a row. Nothing is refused: what is not known is guessed, and said.
    pub fn of(row: &EngineRow, catalog: &Catalog) -> Self {
        let mut guesses = Vec::new();
        let chip = chip_or_guess(&row.system, catalog, &mut guesses);
        let model = model_or_guess(&row.model_path, catalog, &mut guesses);
        let precision = precision(row, &mut guesses);
        let experts = model.shape.experts > 0.0;
        let many = row.own.tensor.unwrap_or(1.0) > ONE_ENGINE_MAX && squared(&row.own).is_none();
        let split = row.split || many;
        let side = if row.split { &row.decode } else { &row.own };
        let said = parallel(side, experts);
        let workers = if row.split { row.decode.workers } else { None };
        let in_all = requests(row, workers);
        let requests = in_all.unwrap_or_else(|| {
            guesses.push("how many requests at once: 1".to_owned());
            1.0
        });
        let mut deployment = Deployment {
            model,
            chip,
            parallel: said,
            precision,
            coefficients: EngineKind::named(&row.backend).coefficients(),
        };
        let workers = match workers {
            None if split && experts => {
                let usual = usual_split(&mut deployment, (many, requests));
                // And enough of them to hold all that is asked for at once.
                let held_tokens = requests * (row.input_tokens + row.output_tokens);
                let each = deployment
                    .memory()
                    .map_or(f64::INFINITY, |memory| memory.kv_tokens as f64);
                let usual = usual.max((held_tokens / each).ceil());
                guesses.push(format!("{usual} engines make tokens"));
                usual
            }
            said => said.unwrap_or(1.0),
        };
        let prompts = if many {
            0.0
        } else if row.split {
            f64::from(self::parallel(&row.prefill, experts).accelerators())
        } else {
            f64::from(said.accelerators())
        };
        let build = match (experts, deployment.model.shape.kv_latent) {
            (false, _) => "dense",
            (true, None) => "experts",
            (true, Some(_)) => "experts, latent",
        };
        let guessing = guessing(row, &deployment.model.name, said.data > 1);
        let kinds = kinds(row, (&deployment.model.name, build), guessing.as_ref());
        Self {
            deployment,
            split,
            prompt_accelerators: prompts,
            prompt_engines: row.prefill.workers.unwrap_or(1.0),
            requests,
            concurrency: (requests / workers).max(1.0),
            input_tokens: row.input_tokens,
            output_tokens: row.output_tokens,
            guessing,
            kinds,
            guesses,
        }
    }

    /// Which engine's coefficients it takes.
    pub fn engine(&self) -> EngineKind {
        self.deployment.coefficients.engine
    }

    /// Why its weights have no room on the engine, or on each that decodes; `None` where they have.
    pub fn no_room(&self) -> Option<DeploymentError> {
        self.deployment.memory().err()
    }

    /// Where it stands beside others: logarithms, base 2.
    pub fn place(&self) -> [f64; 9] {
        let parallel = &self.deployment.parallel;
        let chip = &self.deployment.chip;
        let log = |value: f64| value.max(1.0).log2();
        let prompts = if self.split {
            log(self.prompt_accelerators)
        } else {
            0.0
        };
        [
            log(self.requests),
            log(self.input_tokens),
            log(self.output_tokens),
            log(f64::from(parallel.accelerators())),
            log(f64::from(parallel.data)),
            log(f64::from(parallel.expert)),
            prompts,
            log(chip.memory_gb_s),
            log(chip.bf16_tflops),
        ]
    }
}

pub(super) fn chip_or_guess(system: &str, catalog: &Catalog, guesses: &mut Vec<String>) -> Chip {
    if let Some(chip) = catalog.chip(system) {
        return chip.clone();
    }
    guesses.push(format!(
        "chip {system} is not in the catalogue: taken for {CHIP}"
    ));
    let mut chip = catalog.chip(CHIP).or(catalog.chips.first()).cloned();
    if let Some(chip) = &mut chip {
        chip.confidence = Confidence::Guessed;
    }
    chip.expect("a catalogue has chips")
}

pub(super) fn model_or_guess(path: &str, catalog: &Catalog, guesses: &mut Vec<String>) -> Model {
    if let Some(model) = catalog.model(path) {
        return model.clone();
    }
    let model = model_of_name(path);
    guesses.push(format!(
        "model {path} is not in the catalogue: {}",
        model.source
    ));
    model
}

fn precision(row: &EngineRow, guesses: &mut Vec<String>) -> Precision {
    let path = row.model_path.to_lowercase();
    let by_name = ["fp4", "fp8", "int4", "bf16"]
        .into_iter()
        .find(|name| path.contains(name));
    let named = Precision::named(&row.precision).or_else(|| by_name.and_then(Precision::named));
    named.unwrap_or_else(|| {
        guesses.push(match row.precision.as_str() {
            "" => "precision is not said: fp8".to_owned(),
            other => format!("precision {other} is not known: fp8"),
        });
        Precision {
            weight_bits: 8.0,
            wide_activations: false,
            kv_bytes: 1.0,
        }
    })
}

/// How engines that make tokens are usually laid out where a row counts accelerators alone, by the public rows that say it: few
/// requests are shared among several engines that divide each layer; many go to one whose accelerators have attention of their
/// own. With `all`, engines for prompts are counted too. Says how many engines there are.
fn usual_split(deployment: &mut Deployment, (all, requests): (bool, f64)) -> f64 {
    let ranks = |count: u32| Parallel {
        data: count,
        expert: count,
        ..Parallel::tensor(1)
    };
    let many = requests >= MANY_REQUESTS;
    let counted = deployment.parallel.accelerators();
    // Engines for prompts take what is over a power of two.
    let whole = if all {
        1 << counted.saturating_sub(1).max(1).ilog2()
    } else {
        counted
    };
    if deployment.memory().is_err() {
        let fits = [2, 4, 8, 16, 32].into_iter().find(|count| {
            deployment.parallel = ranks(*count);
            deployment.memory().is_ok()
        });
        let usual = fits.filter(|_| !many).unwrap_or(MANY_RANKS);
        deployment.parallel = ranks(usual);
    } else if many {
        deployment.parallel = ranks(whole);
    } else if all {
        deployment.parallel = Parallel {
            expert: NODE,
            ..Parallel::tensor(NODE)
        };
        return f64::from(whole / NODE).max(1.0).min(requests);
    }
    if many {
        1.0
    } else {
        SPLIT_ENGINES.min(requests)
    }
}

/// What a row is compared by, by name.
fn kinds(
    row: &EngineRow,
    (model, build): (&str, &str),
    guessing: Option<&Speculation>,
) -> [String; 6] {
    let version = match guessing {
        Some(own) => format!("{} guessing {}", row.version, own.draft_tokens),
        None => row.version.clone(),
    };
    [
        row.backend.clone(),
        version,
        row.system.clone(),
        model.to_owned(),
        build.to_owned(),
        row.precision.clone(),
    ]
}

/// Requests at once, where the row or its id says it.
fn requests(row: &EngineRow, workers: Option<f64>) -> Option<f64> {
    let side = if row.split { &row.decode } else { &row.own };
    let counted = side
        .batch
        .map(|batch| batch * side.data.unwrap_or(1.0) * workers.unwrap_or(1.0));
    let named = number_in(&row.id, "_c");
    if row.split {
        named.or(counted)
    } else {
        counted.or(named)
    }
}

/// Some sources write k for tensor and for expert parallel of the same k accelerators as a product: k × k of both.
fn squared(side: &Side) -> Option<f64> {
    let ranks = side.tensor.unwrap_or(1.0) * side.data.unwrap_or(1.0);
    let (tensor, expert) = (side.expert_tensor?, side.expert?);
    let both = tensor == expert && expert > 1.0 && ranks == expert * expert;
    // Likewise attention ranks beside tensor parallel: k of each, on k accelerators.
    let own = tensor == 1.0 && side.tensor == side.data && expert > 1.0 && ranks == expert;
    if both {
        Some(expert)
    } else if own {
        side.tensor
    } else {
        None
    }
}

fn parallel(side: &Side, experts: bool) -> Parallel {
    let (tensor, data) = (side.tensor.unwrap_or(1.0), side.data.unwrap_or(1.0));
    let count = |value: f64| value.clamp(1.0, 1e6) as u32;
    if experts && let Some(ranks) = squared(side) {
        let own = data > 1.0;
        return Parallel {
            tensor: if own { 1 } else { count(ranks) },
            data: if own { count(ranks) } else { 1 },
            pipeline: 1,
            expert: count(ranks),
        };
    }
    Parallel {
        tensor: count(tensor),
        data: count(data),
        pipeline: 1,
        expert: if experts {
            count(side.expert.unwrap_or(1.0).min(tensor * data))
        } else {
            1
        },
    }
}
