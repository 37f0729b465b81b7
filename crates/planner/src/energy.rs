//! A year of one site: power by hour against own renewables, tariff and grid.

use crate::goal::{Goal, SiteGoal};
use jiff::ToSpan;
use jiff::civil::{Date, Weekday};
use serde::Serialize;

/// One hour of a month's weekdays or weekends.
struct Slot {
    /// How many such hours a year has.
    hours: f64,
    /// Power at the meter for each watt that the machines draw at most.
    used: f64,
    /// Power of own renewables.
    renewables_watts: f64,
    won_per_kwh: f64,
}

/// A year of a site, ready to be asked for any size of it.
pub(crate) struct Year {
    slots: Vec<Slot>,
    charge_won_per_watt: f64,
    renewables_won_per_kwh: f64,
    carbon_g_per_kwh: f64,
}

/// What a year of a site takes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct YearEnergy {
    /// At the meter, of the grid, in kilowatt-hours.
    pub grid_kwh: f64,
    /// Of own renewables.
    pub renewables_kwh: f64,
    /// What both cost, with the charge for the greatest power.
    pub won: f64,
    /// Of the grid, in grams.
    pub gco2: f64,
}

/// Part of their greatest power that machines draw in an hour: they stay on, and what they do beside idling follows the load.
pub(crate) fn used(goal: &Goal, hour: usize) -> f64 {
    let load = goal.demand.hours[hour] / goal.demand.peak_over_mean * goal.utilisation;
    goal.idle_part + (1.0 - goal.idle_part) * load.min(1.0)
}

fn is_weekend(day: Date) -> bool {
    matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday)
}

impl Year {
    /// Prices are those of the first weekday and the first Saturday or Sunday on or after the 15th of each month.
    pub fn new(goal: &Goal, site: &SiteGoal) -> Self {
        let mut slots = Vec::new();
        for month in 1..=12 {
            let Ok(first) = Date::new(goal.start_year, month, 1) else {
                continue;
            };
            let days: Vec<Date> = (0..i64::from(first.days_in_month()))
                .map(|day| first.saturating_add(day.days()))
                .collect();
            for weekend in [false, true] {
                let of_kind = |day: &&Date| is_weekend(**day) == weekend;
                let count = days.iter().filter(of_kind).fold(0.0, |sum, _| sum + 1.0);
                let Some(day) = days.iter().skip(14).find(of_kind) else {
                    continue;
                };
                for hour in 0..24_i8 {
                    let at = day.at(hour, 0, 0, 0);
                    let renewables = site.renewables.as_ref();
                    slots.push(Slot {
                        hours: count,
                        used: site.pue * used(goal, usize::try_from(hour).unwrap_or(0)),
                        renewables_watts: renewables
                            .map_or(0.0, |each| each.watts(at) * site.renewables_watts),
                        won_per_kwh: site.tariff.won_per_kwh(at).unwrap_or(0.0)
                            * site.tariff_factor,
                    });
                }
            }
        }
        Self {
            slots,
            charge_won_per_watt: site.demand_charge_won_per_kw_month * 12.0 * site.pue / 1_000.0,
            renewables_won_per_kwh: site.renewables_won_per_kwh,
            carbon_g_per_kwh: site.carbon_g_per_kwh,
        }
    }

    /// What machines take that draw so many watts at most.
    pub fn of(&self, watts: f64) -> YearEnergy {
        let mut sum = YearEnergy {
            won: self.charge_won_per_watt * watts,
            ..YearEnergy::default()
        };
        for slot in &self.slots {
            let drawn = watts * slot.used;
            let own = drawn.min(slot.renewables_watts);
            let kwh = slot.hours / 1_000.0;
            sum.grid_kwh += (drawn - own) * kwh;
            sum.renewables_kwh += own * kwh;
            sum.won += ((drawn - own) * slot.won_per_kwh + own * self.renewables_won_per_kwh) * kwh;
        }
        sum.gco2 = sum.grid_kwh * self.carbon_g_per_kwh;
        sum
    }
}

/// One hour of a day at one site, in kilowatts.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct HourPower {
    /// From 0.
    pub hour: usize,
    /// At the meter.
    pub load_kw: f64,
    /// Of it from own renewables.
    pub renewables_kw: f64,
    /// Of it from the grid.
    pub grid_kw: f64,
    /// What own renewables gave that was not used.
    pub spare_kw: f64,
    /// What a kilowatt-hour of the grid costs.
    pub won_per_kwh: f64,
}

/// The 15th of a month, or the first weekday after it.
pub(crate) fn day(goal: &Goal, site: &SiteGoal, month: i8, watts: f64) -> Vec<HourPower> {
    let Ok(mut day) = Date::new(goal.start_year, month, 15) else {
        return Vec::new();
    };
    while is_weekend(day) {
        day = day.saturating_add(1.day());
    }
    let hour = |hour: usize| {
        let at = day.at(i8::try_from(hour).unwrap_or(0), 0, 0, 0);
        let load = watts * site.pue * used(goal, hour) / 1_000.0;
        let renewables = site.renewables.as_ref();
        let made = renewables.map_or(0.0, |each| each.watts(at) * site.renewables_watts) / 1_000.0;
        HourPower {
            hour,
            load_kw: load,
            renewables_kw: made.min(load),
            grid_kw: (load - made).max(0.0),
            spare_kw: (made - load).max(0.0),
            won_per_kwh: site.tariff.won_per_kwh(at).unwrap_or(0.0) * site.tariff_factor,
        }
    };
    (0..24).map(hour).collect()
}
