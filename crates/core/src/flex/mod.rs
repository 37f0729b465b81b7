//! Flexible work: when and where it is worth running, by what electricity costs and what it emits, hour by hour.
//!
//! [`EnergyOutlook`] says what an hour of an accelerator costs at a site at a time; whoever weighs one place or one hour against
//! another asks it, so that all weigh alike.

mod price;

pub use price::{EnergyCost, EnergyHour, EnergyOutlook, EnergyTerms, HOUR_US};
