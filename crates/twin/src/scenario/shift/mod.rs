//! Work that may be put off: when and where it runs by the core's decision, beside the same work at once, and beside the least that any
//! plan could cost that had known everything. Where the core's plan weighs more than the same work at once, it is said.

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
/// What a sum may be off by rounding, as a part of it.
const ROUNDING: f64 = 1e-9;

/// What came of work that may be put off.
#[derive(Clone, Debug, Serialize)]
pub struct ShiftReport {
    /// Jobs that are run.
    pub jobs: usize,
    /// Jobs that are not, as nothing can run them, and why.
    pub left_out: Vec<LeftOut>,
    /// What those that are run need together, in accelerator-hours.
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
    /// Jobs, at the least, that are late by any plan.
    pub late_min: usize,
    /// What the bound leaves open, why there is none, and what the ways leave undone.
    pub notes: Vec<String>,
}

/// Jobs of a group that nothing can run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LeftOut {
    /// Their group.
    pub group: String,
    /// How many.
    pub jobs: usize,
    /// `wider_than_group`, `no_power` or `after_end`.
    pub reason: &'static str,
    /// The same in words, with what to do.
    pub note: String,
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
    /// Of them, those that are not over when the time that is looked at ends; what is left of them is in no other figure.
    pub undone: usize,
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

/// The ways to run the work that are plans, in the order of the report, and what is to be said of them.
fn ways(ground: &Ground, forecast_error: f64) -> ([ShiftRow; 3], Vec<String>) {
    let once = Walk::new(ground, Rule::AtOnce).run();
    let mut notes = Vec::new();
    let mut shifted = |name: &'static str, error: f64| {
        let plan = Walk::new(ground, Rule::Shifted(error)).run();
        let row = ShiftRow { name, ..plan };
        notes.extend(heavier(&once, &row));
        row
    };
    let own = shifted("shifted", forecast_error);
    let foreseen = shifted("foreseen", 0.0);
    notes.extend(undone([&once, &own, &foreseen]));
    ([once, own, foreseen], notes)
}

/// Says where a plan weighs more than to run all at once: the core decides job by job and knows nothing of those that come later, and where
/// they all want the same hours it may do worse. One that does more of the work may weigh more for it.
fn heavier(once: &ShiftRow, plan: &ShiftRow) -> Option<String> {
    let more_won = plan.weighed_won - once.weighed_won;
    if more_won <= once.weighed_won.abs() * ROUNDING || plan.undone < once.undone {
        return None;
    }
    Some(format!(
        "{}: the core's plan weighs {:.2} thousand won, {:.2} thousand more than to run all at once; such work needs no `shift_h`",
        plan.name,
        plan.weighed_won / 1e3,
        more_won / 1e3
    ))
}

/// Runs what may be put off of a scenario beside what its sites draw anyway; `None` where nothing may be.
pub(super) fn run(scenario: &Scenario, drawn: &[Drawn]) -> Option<ShiftReport> {
    let ground = Ground::new(scenario, drawn)?;
    let (ways, mut notes) = ways(&ground, scenario.forecast_error);
    let bound = bound::least(&ground);
    let [once, own, _] = &ways;
    // What leaves work undone is no plan that the bound holds for.
    let above = |least: &ShiftRow| {
        let weighs = least.weighed_won > 0.0 && own.undone == 0;
        weighs.then(|| own.weighed_won / least.weighed_won - 1.0)
    };
    let above_bound = bound.row.as_ref().and_then(above);
    notes.extend(bound.notes);
    Some(ShiftReport {
        jobs: ground.jobs.len(),
        accelerator_h: ground.accelerator_h(),
        forecast_error: scenario.forecast_error,
        won_per_kg_co2: scenario.won_per_kg_co2,
        saved_won: once.won - own.won,
        saved_gco2: once.gco2 - own.gco2,
        rows: ways.into_iter().chain(bound.row).collect(),
        above_bound,
        late_min: bound.late_min,
        notes,
        left_out: ground.left_out,
    })
}

/// Which ways leave jobs undone: they weigh less for it.
fn undone(rows: [&ShiftRow; 3]) -> Option<String> {
    let each = rows.into_iter().filter(|row| row.undone > 0);
    let each: Vec<String> = each
        .map(|row| format!("{} {}", row.name, row.undone))
        .collect();
    let days = TAIL_H / 24;
    (!each.is_empty()).then(|| {
        format!(
            "jobs that are not over {days} days after the end, whose rest no figure counts: {}; there are too few accelerators, or is too little power, for so much work",
            each.join(", ")
        )
    })
}
