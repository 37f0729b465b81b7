//! Coefficients of an engine from logs of its requests, carried to other chips and models by their data sheets.

use super::log::{LoggedRequest, RequestRun};
use super::replay::{Took, replay};
use super::score::{Score, score};
use crate::engine::Profile;
use crate::fidelity::least::{Search, softened, walk};
use crate::fidelity::setting::{chip_or_guess, model_or_guess};
use madang_catalog::{
    Catalog, Chip, Coefficients, Deployment, DeploymentError, EngineKind, Model, Parallel,
    Precision,
};
use serde::Serialize;
use std::sync::Arc;

/// vLLM's settings of the runs.
const SLOTS: u32 = 128;
const BATCH_TOKENS: u64 = 2_048;
/// Numbers of accelerators that are tried where a log does not say it.
const ACCELERATORS: [u32; 5] = [1, 2, 4, 8, 16];
/// What each sequence of a full batch holds then, in tokens: a prompt of one iteration's budget and an answer of 1,024.
const SEQUENCE_TOKENS: u64 = BATCH_TOKENS + 1_024;
/// Cards with less memory than this, in 2^30 bytes, are taken alone where so many sequences have room: their hosts have slow links.
const SMALL_GB: f64 = 40.0;
const SLOTS_SMALL: u32 = 8;
/// Where the search begins. Kernels take what they take alone: the layers of both public models measured op by op on RTX PRO 6000
/// say 1.0 to 1.05 of what the catalogue expects, attention of prompts 1.7. Experts are as in the public rows of whole engines: neither
/// run has any. A host's times are about those of the public runs; links over PCI Express are between those with and without direct
/// copies between cards.
const USUAL: [f64; Coefficients::NAMES.len()] = [
    2_000.0, 6.0, 18.0, 1.02, 1.05, 1.05, 2.0, 1.0, 1.7, 8.0, 3.0, 3.0, 2.0, 100.0, 4.0,
];
/// How firmly coefficients are held to the usual ones: what a log says nothing about stays there.
const HELD: [f64; Coefficients::NAMES.len() + 2] = [
    0.5, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1,
];
/// First tokens scatter more than ends do, and weigh less.
const FIRST_WEIGHT: f64 = 0.35;
/// A percentile of all requests weighs as much as so many squared of them.
const WHOLE_WEIGHT: f64 = 6.0;
const OUTLIER: f64 = 0.15;
/// Where the search for what lies between making and seeing begins.
const ANSWER_S: f64 = 0.003;
/// Where the search for the time of an iteration with prompts, beyond one without, begins, in microseconds.
const MIXED_US: f64 = 1_000.0;
/// The band is at least so wide: the parts of an hour are not those of another.
const BAND_MIN: f64 = 1.03;
/// What another chip, another model or another number of accelerators adds to it, as a logarithm.
const CARRIED: f64 = 0.08;

/// A chip or a model that the catalogue does not know may be half as fast as what is taken for it, or twice: added for each, likewise.
const UNKNOWN: f64 = 0.7;

/// Of few requests a fit says little: this over their number is added, likewise, and no more than for what is unknown.
const FEW: f64 = 3.0;

/// Why nothing can be learnt from a log.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LearnError {
    /// No request says what it took.
    #[error(
        "no request says both ttft_s and e2e_s: they are what is learnt from, in seconds above 0"
    )]
    NothingMeasured,
    /// A model cannot be on its chips.
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
}

/// What was learnt from logs.
#[derive(Clone, Debug, Serialize)]
pub struct Learnt {
    /// Of the engine.
    pub coefficients: Coefficients,
    /// Between an answer's being made and its being seen, in seconds.
    pub answer_s: f64,
    /// Runs that it was fitted on: hardware, model, accelerators.
    pub runs: Vec<(String, String, u32)>,
    /// Errors of the fit, run by run.
    pub scores: Vec<Score>,
}

/// A run's predictions.
#[derive(Clone, Debug, Serialize)]
pub struct Carried {
    /// For each request.
    pub requests: Vec<RequestPrediction>,
    /// Accelerators that it was taken to be on.
    pub accelerators: u32,
    /// What was not known and taken from elsewhere.
    pub guessed: Arc<[String]>,
}

/// One request's. Times in seconds from when the engine takes it, at most one iteration after its arrival; bands hold nine of ten.
#[derive(Clone, Debug, Serialize)]
pub struct RequestPrediction {
    /// As in the log.
    pub hardware: String,
    /// As in the log.
    pub model: String,
    /// As in the log.
    pub request: String,
    /// As in the log.
    pub arrival_s: f64,
    /// Its line in the log.
    #[serde(skip)]
    pub line: u64,
    /// To the first token.
    pub ttft_s: f64,
    /// Its band's lower end.
    pub ttft_low_s: f64,
    /// Its band's upper end.
    pub ttft_high_s: f64,
    /// To the last token.
    pub e2e_s: f64,
    /// Its band's lower end.
    pub e2e_low_s: f64,
    /// Its band's upper end.
    pub e2e_high_s: f64,
    /// Accelerators that its run was taken to be on.
    pub accelerators: u32,
    /// What was not known of its run, and what was taken instead.
    pub guessed: Arc<[String]>,
}

/// A run as it is simulated.
struct Place<'a> {
    run: &'a RequestRun,
    deployment: Deployment,
    guessed: Vec<String>,
    /// Of them, chip and model.
    unknown: usize,
}

impl<'a> Place<'a> {
    fn of(
        run: &'a RequestRun,
        catalog: &Catalog,
        tensor: Option<u32>,
    ) -> Result<Self, DeploymentError> {
        let mut guessed = Vec::new();
        let chip = chip_or_guess(&run.hardware, catalog, &mut guessed);
        let model = model_or_guess(&run.model, catalog, &mut guessed);
        let unknown = guessed.len();
        let precision = Precision::named("bf16").expect("the catalogue knows bf16");
        let mut deployment = Deployment {
            model,
            chip,
            parallel: Parallel::tensor(1),
            precision,
            coefficients: EngineKind::Vllm.coefficients(),
        };
        let accelerators = tensor.or(run.tensor).unwrap_or_else(|| {
            let fewest = ACCELERATORS.into_iter().find(|count| {
                deployment.parallel = divided(&deployment.model, *count);
                holds_batch(&deployment)
            });
            let accelerators = fewest.unwrap_or(ACCELERATORS[ACCELERATORS.len() - 1]);
            guessed.push(format!(
                "accelerators are not said: {accelerators}, the fewest that hold the weights and {} sequences of {SEQUENCE_TOKENS} tokens each",
                sized_for(&deployment.chip)
            ));
            accelerators
        });
        deployment.parallel = divided(&deployment.model, accelerators);
        deployment.memory()?;
        Ok(Self {
            run,
            deployment,
            guessed,
            unknown,
        })
    }

    fn profile(&self, own: &Coefficients) -> Result<Profile, DeploymentError> {
        let mut deployment = self.deployment.clone();
        deployment.coefficients = own.clone();
        let mut profile = Profile::of(&deployment)?;
        let ranks = deployment.parallel.data;
        profile.slots = SLOTS * ranks;
        profile.batch_tokens = BATCH_TOKENS * u64::from(ranks);
        Ok(profile)
    }

    fn took(&self, own: &Coefficients, answer_s: f64) -> Vec<Took> {
        let mut took = self
            .profile(own)
            .map_or_else(|_| Vec::new(), |profile| replay(self.run, &profile));
        for took in &mut took {
            took.ttft_s += answer_s;
            took.e2e_s += answer_s;
        }
        took
    }
}

/// How a model is divided where a log says nothing but how many accelerators there are: one of experts keeps attention whole on
/// each, with requests of its own, and divides experts among them, as vLLM's recipes for such models do.
fn divided(model: &Model, accelerators: u32) -> Parallel {
    if model.shape.experts > 0.0 {
        Parallel {
            data: accelerators,
            expert: accelerators,
            ..Parallel::tensor(1)
        }
    } else {
        Parallel::tensor(accelerators)
    }
}

/// Sequences that an engine is sized for.
fn sized_for(chip: &Chip) -> u32 {
    if chip.memory_gb < SMALL_GB {
        SLOTS_SMALL
    } else {
        SLOTS
    }
}

/// Whether the memory holds the weights and each rank's sequences, which is what makers' guides size engines for.
fn holds_batch(deployment: &Deployment) -> bool {
    let sequences = u64::from(sized_for(&deployment.chip) * deployment.parallel.data.max(1));
    let needed = sequences * SEQUENCE_TOKENS;
    deployment
        .memory()
        .is_ok_and(|memory| memory.kv_tokens >= needed)
}

/// Coefficients for a search: logarithms, with one number for all products of matrices.
fn coefficients(at: &[f64]) -> Coefficients {
    let mut values = [0.0; USUAL.len()];
    for (value, at) in values.iter_mut().zip(at) {
        *value = at.exp();
    }
    let mut own = EngineKind::Vllm.coefficients().with(&values);
    own.compute = own.prompt;
    own.mixed_us = at.get(USUAL.len()).map_or(0.0, |at| at.exp());
    own
}

/// Where the search begins: the engine's numbers, and beside them what lies between an answer's being made and its being seen, in
/// seconds, as logarithms.
fn usual() -> Vec<f64> {
    let mut usual = USUAL.map(f64::ln).to_vec();
    usual.extend([MIXED_US.ln(), ANSWER_S.ln()]);
    usual
}

fn answer_s(at: &[f64]) -> f64 {
    at.last().map_or(0.0, |at| at.exp())
}

/// Fits the coefficients of an engine on logs by running the simulator over them.
///
/// # Errors
/// Nothing is measured in them, or a model has no room on its chips.
pub fn learn(
    catalog: &Catalog,
    runs: &[RequestRun],
    tensor: Option<u32>,
) -> Result<Learnt, LearnError> {
    let places: Result<Vec<Place<'_>>, _> = runs
        .iter()
        .filter(|run| run.requests.iter().any(LoggedRequest::is_measured))
        .map(|run| Place::of(run, catalog, tensor))
        .collect();
    let places = places?;
    if places.is_empty() {
        return Err(LearnError::NothingMeasured);
    }
    let usual = usual();
    let residuals = |at: &[f64]| {
        let own = coefficients(at);
        let mut values: Vec<f64> = places
            .iter()
            .flat_map(|place| errors(place, &place.took(&own, answer_s(at))))
            .collect();
        let held = at.iter().zip(&usual).zip(HELD);
        values.extend(held.map(|((at, usual), held)| held * (at - usual)));
        values
    };
    let search = Search {
        nudge: 0.05,
        rounds: 25,
        enough: 1e-4,
    };
    // A walk finds the valley, the slopes its bottom, and another walk what jumps hid from them.
    let near = search.least(walk(usual.clone(), residuals), residuals);
    let at = walk(near, residuals);
    let (own, answer_s) = (coefficients(&at), answer_s(&at));
    Ok(Learnt {
        scores: places
            .iter()
            .map(|place| score(place.run, &place.took(&own, answer_s)))
            .collect(),
        runs: places
            .iter()
            .map(|place| {
                let accelerators = place.deployment.parallel.accelerators();
                (
                    place.run.hardware.clone(),
                    place.run.model.clone(),
                    accelerators,
                )
            })
            .collect(),
        coefficients: own,
        answer_s,
    })
}

/// Softened logarithms of predicted over measured times.
fn errors(place: &Place<'_>, took: &[Took]) -> Vec<f64> {
    let pairs = place.run.requests.iter().zip(took);
    let score = score(place.run, took);
    let whole = score.aggregates.into_iter().flatten();
    let whole = whole.map(|error| WHOLE_WEIGHT * softened(error.clamp(-10.0, 10.0), OUTLIER));
    pairs
        .flat_map(|(request, took)| {
            let error = |said: f64, measured: Option<f64>| {
                measured.map_or(0.0, |measured| {
                    softened((said.max(1e-6) / measured).ln(), OUTLIER)
                })
            };
            [
                error(took.e2e_s, request.e2e_s),
                FIRST_WEIGHT * error(took.ttft_s, request.ttft_s),
            ]
        })
        .chain(whole)
        .collect()
}

impl Learnt {
    /// An engine as engines are.
    #[cfg(test)]
    pub(in crate::fidelity) fn usual() -> Self {
        let at = usual();
        Self {
            coefficients: coefficients(&at),
            answer_s: answer_s(&at),
            runs: Vec::new(),
            scores: Vec::new(),
        }
    }

    /// Predicts each request of a run.
    ///
    /// # Errors
    /// The model has no room on the chip.
    pub fn carry(
        &self,
        catalog: &Catalog,
        run: &RequestRun,
        tensor: Option<u32>,
    ) -> Result<Carried, DeploymentError> {
        let place = Place::of(run, catalog, tensor)?;
        let accelerators = place.deployment.parallel.accelerators();
        let took = place.took(&self.coefficients, self.answer_s);
        let (first, last) = self.bands(&place);
        let guessed: Arc<[String]> = place.guessed.into();
        let pairs = run.requests.iter().zip(took);
        Ok(Carried {
            requests: pairs
                .map(|(request, took)| RequestPrediction {
                    hardware: run.hardware.clone(),
                    model: run.model.clone(),
                    request: request.request.clone(),
                    arrival_s: request.arrival_s,
                    line: request.line,
                    ttft_s: took.ttft_s,
                    ttft_low_s: took.ttft_s / first,
                    ttft_high_s: took.ttft_s * first,
                    e2e_s: took.e2e_s,
                    e2e_low_s: took.e2e_s / last,
                    e2e_high_s: took.e2e_s * last,
                    accelerators,
                    guessed: Arc::clone(&guessed),
                })
                .collect(),
            accelerators,
            guessed,
        })
    }

    /// Factors of the bands of first and last tokens: what nine of ten errors of the fit are below, and what was carried.
    fn bands(&self, place: &Place<'_>) -> (f64, f64) {
        let run = place.run;
        let accelerators = place.deployment.parallel.accelerators();
        let worst = |of: fn(&Score) -> f64| self.scores.iter().map(of).fold(0.0, f64::max);
        let fitted = |of: fn(&Score) -> f64| worst(of).ln_1p().max(BAND_MIN.ln());
        let known = |same: &dyn Fn(&(String, String, u32)) -> bool| self.runs.iter().any(same);
        let new = [
            known(&|(hardware, ..)| *hardware == run.hardware),
            known(&|(_, model, _)| *model == run.model),
            known(&|(.., other)| *other == accelerators),
            place.guessed.len() < 2,
        ];
        let new = new.iter().filter(|known| !**known).count();
        let fitted_on: usize = self.scores.iter().map(|score| score.requests).sum();
        let few = match fitted_on {
            0 => 0.0,
            count => (FEW / count as f64).min(UNKNOWN),
        };
        let carried = CARRIED * new as f64 + UNKNOWN * place.unknown as f64 + few;
        (
            (fitted(|score| score.ttft_p90_error) + 1.5 * carried).exp(),
            (fitted(|score| score.e2e_p90_error) + carried).exp(),
        )
    }
}
