//! Engines tuned for their peak: how many times as long as the closed form says they take, by MLPerf's Offline rows.
//!
//! The closed form is fitted on engines in closed loops, as many run them; MLPerf's submitters tune theirs for one model. How far that
//! brings them goes with the model and the engine, and a little with the chip: so rows of other chips tell it. Of a model that no
//! row is of they tell little, and the band says so.

use super::linear::{Cholesky, dot};
use super::shipped_rows;
use madang_catalog::{Coefficients, Deployment, EngineKind};
use serde::Deserialize;
use std::sync::LazyLock;

const SHIPPED: &str = include_str!("../../data/tuned.csv");

static ROWS: LazyLock<Vec<TunedRow>> = LazyLock::new(|| shipped_rows(SHIPPED));

/// Variance that a model on an engine has in common with itself on other chips, that a chip has with itself under other models, and that
/// nothing explains: squared logarithms, the likeliest of a few by the shipped rows.
const OF_MODEL: f64 = 0.03;
const OF_CHIP: f64 = 0.006;
const NOISE: f64 = 0.007;
/// Nine of ten values of a normal distribution lie within so many standard deviations.
const NINE_OF_TEN: f64 = 1.645;
/// What limits on times leave of a peak scatters more than peaks do: with a band so many times as wide, as a logarithm, nine of ten of
/// Offline's and Server's figures together lie in it, each predicted from rows of other pairs of model and chip.
const WIDER: f64 = 1.5;

/// What a pair of model and chip was measured to take at its peak.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TunedRow {
    /// Whose engine.
    pub engine: EngineKind,
    /// The catalogue's name of the model.
    pub model: String,
    /// That of the chip.
    pub chip: String,
    /// So many times as long as the closed form says.
    pub times: f64,
    /// Measurements that this is the median of.
    pub rows: u32,
    /// What was measured, and by whom.
    pub source: String,
}

/// What is expected of a tuned engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuned {
    /// It takes so many times as long as the closed form says.
    pub times: f64,
    /// Nine of ten peaks, with and without limits on times, are at most so many times more or less.
    pub band: f64,
}

impl TunedRow {
    /// Those that ship.
    pub fn shipped() -> &'static [Self] {
        &ROWS
    }

    /// How much two of them have in common.
    fn likeness(&self, (engine, model, chip): (EngineKind, &str, &str)) -> f64 {
        let of_model = self.engine == engine && self.model == model;
        let of_chip = self.chip == chip;
        f64::from(u8::from(of_model)) * OF_MODEL + f64::from(u8::from(of_chip)) * OF_CHIP
    }

    fn key(&self) -> (EngineKind, &str, &str) {
        (self.engine, &self.model, &self.chip)
    }
}

/// What these rows say of a model on a chip by an engine: interpolated between those that have the model and the engine, or the chip,
/// in common with it.
pub fn tuned<'a>(
    rows: impl IntoIterator<Item = &'a TunedRow>,
    asked: (EngineKind, &str, &str),
) -> Tuned {
    let rows: Vec<&TunedRow> = rows.into_iter().collect();
    let size = rows.len();
    let mut matrix = Vec::with_capacity(size * size);
    for (at, row) in rows.iter().enumerate() {
        let own = |other: usize| if at == other { NOISE } else { 0.0 };
        let others = rows.iter().enumerate();
        matrix.extend(others.map(|(other, of)| of.likeness(row.key()) + own(other)));
    }
    let common: Vec<f64> = rows.iter().map(|row| row.likeness(asked)).collect();
    let left: Vec<f64> = rows.iter().map(|row| row.times.ln()).collect();
    let (expected, explained) = Cholesky::of(matrix, size).map_or((0.0, 0.0), |cholesky| {
        let half = cholesky.half(&common);
        (dot(&half, &cholesky.half(&left)), dot(&half, &half))
    });
    let variance = (OF_MODEL + OF_CHIP - explained).max(0.0) + NOISE;
    Tuned {
        times: expected.exp(),
        band: (WIDER * NINE_OF_TEN * variance.sqrt()).exp(),
    }
}

/// The same as public rows have it, or where it `is_tuned` for its peak, as far as the shipped rows tell; and by what factor the truth may
/// be more or less, in nine of ten cases.
pub fn banded(deployment: Deployment, is_tuned: bool) -> (Deployment, f64) {
    if is_tuned {
        return tune(deployment);
    }
    let band = deployment.band();
    (deployment, band)
}

fn tune(deployment: Deployment) -> (Deployment, f64) {
    let own = &deployment.coefficients;
    let place = (
        own.engine,
        deployment.model.name.as_str(),
        deployment.chip.name.as_str(),
    );
    let expected = tuned(TunedRow::shipped(), place);
    let coefficients = slower(own, expected.times);
    let tuned = Deployment {
        coefficients,
        ..deployment
    };
    (tuned, expected.band)
}

/// All times so many times as long; what experts take is said beside other products.
fn slower(own: &Coefficients, times: f64) -> Coefficients {
    let mut values = own.values();
    for (value, name) in values.iter_mut().zip(Coefficients::NAMES) {
        if name != "experts" {
            *value *= times;
        }
    }
    Coefficients {
        mixed_us: own.mixed_us * times,
        ..own.with(&values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_catalog::{Batch, Catalog, Parallel};

    fn row(model: &str, chip: &str, times: f64) -> TunedRow {
        TunedRow {
            engine: EngineKind::Trtllm,
            model: model.to_owned(),
            chip: chip.to_owned(),
            times,
            rows: 1,
            source: String::new(),
        }
    }

    #[test]
    fn shipped_rows_are_of_models_and_chips_of_the_catalogue_each_pair_once() {
        let catalog = Catalog::shipped().unwrap();
        let rows = TunedRow::shipped();
        assert!(rows.len() > 20);
        for row in rows {
            let (model, chip) = (catalog.model(&row.model), catalog.chip(&row.chip));
            assert_eq!(model.map(|model| &model.name), Some(&row.model));
            assert_eq!(chip.map(|chip| &chip.name), Some(&row.chip));
            assert!((0.5..2.0).contains(&row.times), "{row:?}");
            assert!(row.rows > 0 && row.source.contains("MLPerf"), "{row:?}");
            let same = rows.iter().filter(|other| other.key() == row.key());
            assert_eq!(same.count(), 1, "{row:?}");
        }
    }

    #[test]
    fn a_model_is_known_by_its_other_chips_and_a_strange_one_hardly() {
        let rows = [
            row("large", "one", 0.75),
            row("large", "two", 0.8),
            row("small", "one", 1.05),
        ];
        let of = |model, chip| tuned(&rows, (EngineKind::Trtllm, model, chip));
        let other = of("large", "three");
        assert!((0.78..0.83).contains(&other.times), "{other:?}");
        let strange = of("other", "three");
        assert_eq!(strange.times, 1.0);
        let known = of("large", "one");
        assert!(known.band < other.band && other.band < strange.band);
        // Another engine shows nothing of this one's tuning, and little by its chip.
        let engine = tuned(&rows, (EngineKind::Vllm, "large", "one"));
        assert!((0.95..1.0).contains(&engine.times), "{engine:?}");
        let nothing = tuned(&[], (EngineKind::Vllm, "large", "one"));
        assert_eq!(nothing, strange);
    }

    #[test]
    fn every_time_of_a_tuned_engine_is_so_many_times_as_long() {
        let catalog = Catalog::shipped().unwrap();
        for (model, parallel) in [("Llama-3.1-70B", 2), ("Mixtral-8x7B", 1)] {
            let place = (model, "H200-SXM");
            let parallel = Parallel::tensor(parallel);
            let plain = catalog
                .deployment(place, parallel, "fp8", EngineKind::Trtllm)
                .unwrap();
            let (engine, band) = tune(plain.clone());
            let expected = tuned(TunedRow::shipped(), (EngineKind::Trtllm, model, "H200-SXM"));
            assert!(expected.times < 0.9, "{model}: {expected:?}");
            assert_eq!(band, expected.band);
            let batch = Batch {
                sequences: 200.0,
                kv_tokens: 100_000.0,
                prompt_tokens: 500.0,
                prompt_pairs: 125_000.0,
            };
            let times = engine.iteration_us(&batch) / plain.iteration_us(&batch);
            assert!((times - expected.times).abs() < 1e-9, "{model}: {times}");
            assert_eq!(engine.memory(), plain.memory());
        }
    }
}
