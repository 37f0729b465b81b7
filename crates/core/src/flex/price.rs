//! What an hour of an accelerator costs at a site at a time: electricity of the grid, and its carbon at a price.

use madang_types::{MicroWon, Micros};
use serde::{Deserialize, Serialize};

/// An hour, in microseconds.
pub const HOUR_US: u64 = 3_600_000_000;
/// One watt for one microsecond, of a kilowatt-hour.
const WATT_US_PER_KWH: i128 = 1_000 * HOUR_US as i128;
/// Milligrams of a kilogram.
const MG_PER_KG: i128 = 1_000_000;
/// Hours after which days are taken to repeat, where nothing more is known.
const DAY_H: usize = 24;

/// Electricity of one hour at one site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnergyHour {
    /// What a kilowatt-hour of the grid costs; it may be below nothing.
    pub grid_per_kwh: MicroWon,
    /// CO2 of a kilowatt-hour of the grid, in milligrams.
    pub co2_mg_per_kwh: u64,
    /// What the site's own renewables are expected to give beyond all that is drawn already, in watts at the meter. It costs nothing and
    /// emits nothing.
    pub own_spare_watts: u64,
}

/// What one thing is worth beside another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnergyTerms {
    /// What a kilogram of CO2 weighs beside what electricity costs.
    pub per_kg_co2: MicroWon,
}

impl EnergyTerms {
    /// What a kilowatt-hour of the grid weighs: its price, and its CO2 at its own, in millionths of a won.
    pub(super) fn weighed_per_kwh(&self, hour: &EnergyHour) -> i128 {
        let carbon = i128::from(hour.co2_mg_per_kwh).saturating_mul(self.per_kg_co2.0.into());
        i128::from(hour.grid_per_kwh.0).saturating_add(carbon / MG_PER_KG)
    }
}

/// Energy of the grid that something takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnergyCost {
    /// What is paid for it.
    pub paid: MicroWon,
    /// Its CO2, in milligrams.
    pub co2_mg: u64,
    /// What it weighs: paid, and CO2 at its price.
    pub weighed: MicroWon,
}

impl EnergyCost {
    /// Both together.
    pub fn add(&mut self, other: &Self) {
        let sum = |one: MicroWon, other: MicroWon| MicroWon(one.0.saturating_add(other.0));
        self.paid = sum(self.paid, other.paid);
        self.co2_mg = self.co2_mg.saturating_add(other.co2_mg);
        self.weighed = sum(self.weighed, other.weighed);
    }
}

/// Electricity of a site, hour by hour from a time on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnergyOutlook {
    from: Micros,
    hours: Vec<EnergyHour>,
}

impl EnergyOutlook {
    /// Hours from `from` on. What comes after the last one is taken to be as it was a day before.
    pub fn new(from: Micros, hours: Vec<EnergyHour>) -> Self {
        Self { from, hours }
    }

    /// The beginning of its first hour.
    pub fn from(&self) -> Micros {
        self.from
    }

    /// The hours that are known.
    pub fn hours(&self) -> &[EnergyHour] {
        &self.hours
    }

    /// The hour in which `at` lies; `None` where nothing is known of it.
    pub fn hour(&self, at: Micros) -> Option<&EnergyHour> {
        if at < self.from {
            return None;
        }
        let index = usize::try_from(at.since_us(self.from) / HOUR_US).ok()?;
        let beyond = index.saturating_sub(self.hours.len().saturating_sub(1));
        self.hours
            .get(index.saturating_sub(beyond.div_ceil(DAY_H) * DAY_H))
    }

    /// So many watts of what the site makes itself are spoken for in that hour.
    pub(super) fn take(&mut self, index: usize, watts: u64) {
        if let Some(hour) = self.hours.get_mut(index) {
            hour.own_spare_watts = hour.own_spare_watts.saturating_sub(watts);
        }
    }

    /// When the hour ends in which `at` lies.
    pub fn hour_end(&self, at: Micros) -> Micros {
        let within_us = at.since_us(self.from) % HOUR_US;
        after(at, HOUR_US - within_us)
    }

    /// What so many watts at the meter cost between two times; `None` where nothing is known of one of these hours.
    pub fn cost(
        &self,
        watts: u64,
        (from, until): (Micros, Micros),
        terms: &EnergyTerms,
    ) -> Option<EnergyCost> {
        let (mut paid, mut co2) = (0i128, 0i128);
        let mut at = from;
        while at < until {
            let hour = self.hour(at)?;
            let end = self.hour_end(at).min(until);
            let grid_watts = watts.saturating_sub(hour.own_spare_watts);
            let watt_us = i128::from(grid_watts) * i128::from(end.since_us(at));
            paid = paid.saturating_add(watt_us.saturating_mul(hour.grid_per_kwh.0.into()));
            co2 = co2.saturating_add(watt_us.saturating_mul(hour.co2_mg_per_kwh.into()));
            at = end;
        }
        let paid = paid / WATT_US_PER_KWH;
        let co2_mg = co2 / WATT_US_PER_KWH;
        let carbon = co2_mg.saturating_mul(terms.per_kg_co2.0.into()) / MG_PER_KG;
        Some(EnergyCost {
            paid: micro_won(paid),
            co2_mg: u64::try_from(co2_mg).unwrap_or(u64::MAX),
            weighed: micro_won(paid.saturating_add(carbon)),
        })
    }

    /// What an hour of one accelerator costs that draws so many watts at the meter, were all of it as the hour in which `at` lies; `None`
    /// where nothing is known of that.
    pub fn accelerator_hour(
        &self,
        watts: u64,
        at: Micros,
        terms: &EnergyTerms,
    ) -> Option<EnergyCost> {
        let hour = *self.hour(at)?;
        let alone = Self::new(Micros(0), vec![hour]);
        alone.cost(watts, (Micros(0), after(Micros(0), HOUR_US)), terms)
    }
}

/// So many microseconds later.
pub(super) fn after(at: Micros, us: u64) -> Micros {
    Micros(at.0.saturating_add_unsigned(us))
}

/// So many microseconds earlier.
pub(super) fn before(at: Micros, us: u64) -> Micros {
    Micros(at.0.saturating_sub_unsigned(us))
}

fn micro_won(won: i128) -> MicroWon {
    let most = if won < 0 { i64::MIN } else { i64::MAX };
    MicroWon(i64::try_from(won).unwrap_or(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WON: i64 = 1_000_000;

    fn hour(won: i64, grams: u64, own_spare_watts: u64) -> EnergyHour {
        EnergyHour {
            grid_per_kwh: MicroWon(won * WON),
            co2_mg_per_kwh: grams * 1_000,
            own_spare_watts,
        }
    }

    fn at(hours: f64) -> Micros {
        Micros((hours * HOUR_US as f64) as i64)
    }

    #[test]
    fn what_something_costs_is_that_of_its_hours_less_what_the_site_makes_itself() {
        let hours = vec![hour(100, 400, 0), hour(200, 500, 600), hour(-50, 0, 0)];
        let outlook = EnergyOutlook::new(at(0.0), hours);
        let terms = EnergyTerms {
            per_kg_co2: MicroWon(10 * WON),
        };
        let check = |watts: u64, span: (f64, f64), won: f64, grams: u64| {
            let cost = outlook.cost(watts, (at(span.0), at(span.1)), &terms);
            let cost = cost.unwrap();
            let expected = (won * WON as f64) as i64;
            let weighed = expected + grams as i64 * 10 * WON / 1_000;
            assert_eq!(
                cost,
                EnergyCost {
                    paid: MicroWon(expected),
                    co2_mg: grams * 1_000,
                    weighed: MicroWon(weighed),
                },
                "{watts} W from {} to {}",
                span.0,
                span.1
            );
        };
        check(1_000, (0.0, 1.0), 100.0, 400);
        check(1_000, (0.5, 1.5), 50.0 + 40.0, 200 + 100);
        check(500, (1.0, 2.0), 0.0, 0);
        check(2_000, (2.0, 3.0), -100.0, 0);
        check(2_000, (1.0, 1.0), 0.0, 0);
    }

    #[test]
    fn days_repeat_where_nothing_more_is_known_and_before_the_first_hour_nothing_is() {
        let hours: Vec<EnergyHour> = (0..30).map(|won| hour(won, 0, 0)).collect();
        let outlook = EnergyOutlook::new(at(0.0), hours);
        let won = |at: Micros| outlook.hour(at).map(|hour| hour.grid_per_kwh.0 / WON);
        let check = |hours: f64, expected: Option<i64>| {
            assert_eq!(won(at(hours)), expected, "{hours} h");
        };
        check(-0.1, None);
        check(0.0, Some(0));
        check(29.9, Some(29));
        check(30.0, Some(6));
        check(53.5, Some(29));
        check(54.0, Some(6));
        check(30.0 + 240.0, Some(6));
        assert_eq!(EnergyOutlook::default().hour(at(1.0)), None);
    }

    #[test]
    fn an_hour_of_an_accelerator_is_its_watts_at_the_price_of_the_hour() {
        let outlook = EnergyOutlook::new(at(0.0), vec![hour(100, 400, 0), hour(200, 400, 0)]);
        let terms = EnergyTerms::default();
        let cost = outlook.accelerator_hour(1_500, at(1.9), &terms).unwrap();
        assert_eq!(cost.paid, MicroWon(300 * WON));
        assert_eq!(cost.weighed, cost.paid);
    }
}
