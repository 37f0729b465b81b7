//! Flexible work: when and where it is worth running, by what electricity costs and what it emits, hour by hour.
//!
//! [`EnergyOutlook`] says what an hour of an accelerator costs at a site at a time; whoever weighs one place or one hour against
//! another asks it, so that all weigh alike. [`Shifts`] says when work starts that may be put off: the live desk and the twin ask the same.

mod price;
mod shift;
mod slots;
mod tasks;

pub use price::{EnergyCost, EnergyHour, EnergyOutlook, EnergyTerms, HOUR_US};
pub use shift::{AHEAD_US_MAX, Shift, ShiftPlace, Shifts, Work};
pub use tasks::{Tasks, TasksDone};
