//! Work that may be put off: when and where it runs by the core's decision, beside the same work at once, and beside the least that any
//! plan could cost that had known everything.

mod bound;
mod ground;
#[cfg(test)]
mod tests;
mod walk;

use super::Scenario;
use super::model::GridEvent;
use ground::Ground;
use madang_core::flex::HOUR_US;
use serde::Serialize;
use walk::{Rule, Walk};

/// Hours after the last one of the scenario in which work that came late may run.
pub(super) const TAIL_H: u32 = 2 * 7 * 24;
/// Won for a unit of [`madang_types::MicroWon`].
const WON: f64 = 1e-6;

/// What came of work that may be put off.
#[derive(Clone, Debug, Serialize)]
pub struct ShiftReport {
    /// Jobs.
    pub jobs: usize,
    /// What they need together, in accelerator-hours.
    pub accelerator_h: f64,
    /// How far forecasts may be from what comes: standard deviation beside the value.
    pub forecast_error: f64,
    /// What a kilogram of CO2 weighs, in won.
    pub won_per_kg_co2: f64,
    /// Each way to run them: `at once`, `shifted`, `foreseen` (shifted, where forecasts are true), `bound`.
    pub rows: Vec<ShiftRow>,
    /// What shifting saves of what at once costs, in won.
    pub saved_won: f64,
    /// The same in grams of CO2.
    pub saved_gco2: f64,
    /// By what part the shifted weigh more than the bound; `None` where the bound is not known, or is nothing.
    pub above_bound: Option<f64>,
    /// Why there is no bound.
    pub note: Option<String>,
}

/// One way to run the work. All is at the meter.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ShiftRow {
    /// Which.
    pub name: &'static str,
    /// Energy, in kWh.
    pub kwh: f64,
    /// Of it from own renewables that nothing else used.
    pub own_kwh: f64,
    /// Of it from the grid.
    pub grid_kwh: f64,
    /// What that costs.
    pub won: f64,
    /// Grams of CO2 of that.
    pub gco2: f64,
    /// What both weigh, in won.
    pub weighed_won: f64,
    /// Jobs that waited longer than they may be put off.
    pub late: usize,
    /// All the time in which a job waited, the mean, in hours.
    pub wait_h_mean: f64,
    /// How often one was stopped in between.
    pub stops: u64,
}

/// Power of a site that is drawn anyway, of each hour, in watts at the meter.
#[derive(Clone, Debug, Default)]
pub(super) struct Drawn {
    /// The mean.
    pub mean_watts: Vec<f64>,
    /// The greatest of five minutes.
    pub peak_watts: Vec<f64>,
    /// What may be drawn at the site in each hour of the run; without a limit [`f64::INFINITY`]. After the run it is the last.
    pub cap_watts: Vec<f64>,
}

impl Drawn {
    /// An event leaves so much in the hours that it touches.
    pub fn lower(&mut self, event: &GridEvent, watts: Option<f64>) {
        let hour = |us: u64| usize::try_from(us / HOUR_US).unwrap_or(usize::MAX);
        let (first, last) = (hour(event.from_us), hour(event.until_us - 1));
        let within = self.cap_watts.len().saturating_sub(1);
        let hours = self.cap_watts.iter_mut().take(within);
        for cap in hours.skip(first).take(last + 1 - first) {
            *cap = cap.min(watts.unwrap_or(f64::INFINITY));
        }
    }

    /// So much more is drawn in each hour.
    pub fn raise(&mut self, watts: f64) {
        for of in self.mean_watts.iter_mut().chain(&mut self.peak_watts) {
            *of += watts;
        }
    }
}

/// Runs what may be put off of a scenario beside what its sites draw anyway; `None` where nothing may be.
pub(super) fn run(scenario: &Scenario, drawn: &[Drawn]) -> Option<ShiftReport> {
    let ground = Ground::new(scenario, drawn)?;
    let shifted = |error: f64| Walk::new(&ground, Rule::Shifted(error)).run();
    let mut rows = vec![
        Walk::new(&ground, Rule::AtOnce).run(),
        shifted(scenario.forecast_error),
        ShiftRow {
            name: "foreseen",
            ..shifted(0.0)
        },
    ];
    let bound = bound::least(&ground);
    let (once, own) = (rows[0].clone(), rows[1].clone());
    let above = |least: &ShiftRow| {
        let weighs = least.weighed_won > 0.0;
        weighs.then(|| own.weighed_won / least.weighed_won - 1.0)
    };
    let above_bound = bound.as_ref().ok().and_then(above);
    let note = bound.as_ref().err().cloned();
    rows.extend(bound);
    Some(ShiftReport {
        jobs: ground.jobs.len(),
        accelerator_h: ground.accelerator_h(),
        forecast_error: scenario.forecast_error,
        won_per_kg_co2: scenario.won_per_kg_co2,
        saved_won: once.won - own.won,
        saved_gco2: once.gco2 - own.gco2,
        rows,
        above_bound,
        note,
    })
}
