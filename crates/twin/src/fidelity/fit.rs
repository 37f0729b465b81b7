//! Least squares that outliers hardly move: coefficients of engines, in logarithms.

use super::least::{Search, softened};
use super::physics::times;
use super::setting::Setting;
use madang_catalog::{Coefficients, EngineKind};

/// Numbers of one engine.
pub(super) const COUNT: usize = Coefficients::NAMES.len();
/// Where all engines begin: kernels take what measured ones do, and accelerators exchange what they have as measured ones do.
const USUAL: [f64; COUNT] = [
    800.0, 25.0, 8.0, 1.1, 1.1, 1.1, 1.3, 1.1, 1.8, 10.0, 4.0, 2.0, 2.5, 150.0, 4.0,
];
/// How firmly the shared numbers are held to the usual ones: a host's times are anybody's guess, kernels' and links' are not.
const HELD: [f64; COUNT] = [
    0.3, 0.3, 0.3, 4.0, 4.0, 4.0, 1.0, 4.0, 2.0, 3.0, 3.0, 3.0, 3.0, 1.0, 1.0,
];
/// Likewise each engine's to the shared ones.
const HELD_OWN: [f64; COUNT] = [
    1.0, 1.0, 1.0, 4.0, 4.0, 4.0, 4.0, 4.0, 3.0, 3.0, 3.0, 3.0, 3.0, 1.0, 1.0,
];
/// Logarithm of an error from which on it counts by its size, not by its square.
const OUTLIER: f64 = 0.2;

/// Fits all engines at once: shared numbers, and how each engine departs from them. In the order of [`EngineKind::ALL`].
pub(super) fn fit(measured: &[(&Setting, f64)]) -> Vec<Coefficients> {
    let mut start = vec![0.0; COUNT * (1 + EngineKind::ALL.len())];
    for (value, usual) in start.iter_mut().zip(USUAL) {
        *value = usual.ln();
    }
    let search = Search {
        nudge: 1e-4,
        rounds: 40,
        enough: 1e-7,
    };
    let at = search.least(start, |at| residuals(measured, at));
    EngineKind::ALL
        .iter()
        .map(|kind| of_engine(&at, *kind))
        .collect()
}

fn of_engine(at: &[f64], kind: EngineKind) -> Coefficients {
    let own = 1 + EngineKind::ALL
        .iter()
        .position(|other| *other == kind)
        .unwrap_or(0);
    let mut values = [0.0; COUNT];
    for (number, value) in values.iter_mut().enumerate() {
        *value = (at[number] + at[own * COUNT + number]).exp();
    }
    kind.coefficients().with(&values)
}

fn residuals(measured: &[(&Setting, f64)], at: &[f64]) -> Vec<f64> {
    let engines: Vec<Coefficients> = EngineKind::ALL
        .iter()
        .map(|kind| of_engine(at, *kind))
        .collect();
    let mut values: Vec<f64> = measured
        .iter()
        .map(|(setting, tpot_ms)| {
            let own = engines
                .iter()
                .find(|own| own.engine == setting.engine())
                .map_or(0.0, |own| times(setting, own).tpot_ms);
            softened((own.max(1e-9) / tpot_ms).ln(), OUTLIER)
        })
        .collect();
    let shared = at.iter().zip(USUAL).zip(HELD);
    values.extend(shared.map(|((value, usual), held)| held * (value - usual.ln())));
    let own = at[COUNT..].iter().zip(HELD_OWN.iter().cycle());
    values.extend(own.map(|(own, held)| held * own));
    values
}
