//! What electricity costs by dated bands, hour by hour: in fleet files by tables, in scenarios by files.

use jiff::civil::{Date, DateTime, Time, Weekday, date};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use madang_types::Micros;

/// A word or a range that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{what}' is not {expected}")]
pub struct WordError {
    /// What stands there.
    pub what: String,
    /// What should.
    pub expected: &'static str,
}

/// Which days a band is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Days {
    /// All of them.
    #[default]
    All,
    /// Monday to Friday.
    Weekday,
    /// Saturday and Sunday.
    Weekend,
}

impl Days {
    /// Reads `all`, `weekday` or `weekend`; nothing is all.
    ///
    /// # Errors
    /// It is another word.
    pub fn read(text: &str) -> Result<Self, WordError> {
        match text {
            "" | "all" => Ok(Self::All),
            "weekday" => Ok(Self::Weekday),
            "weekend" => Ok(Self::Weekend),
            other => Err(WordError {
                what: other.chars().take(40).collect(),
                expected: "all, weekday or weekend",
            }),
        }
    }

    fn has(self, at: DateTime) -> bool {
        let is_weekend = matches!(at.weekday(), Weekday::Saturday | Weekday::Sunday);
        match self {
            Self::All => true,
            Self::Weekday => !is_weekend,
            Self::Weekend => is_weekend,
        }
    }
}

/// Numbers of months or hours, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers(u32);

impl Numbers {
    /// Months by ranges that may go round, as `11-2 5`: both ends are in them. Nothing is all.
    ///
    /// # Errors
    /// One is no range of months.
    pub fn months(text: &str) -> Result<Self, WordError> {
        Self::read(text, (1, 13), true)
    }

    /// Hours of the day by ranges that may go round, as `22-8 12`: the end of a range is no longer in it, and a single number is the hour
    /// that begins then. Nothing is all.
    ///
    /// # Errors
    /// One is no range of hours.
    pub fn hours(text: &str) -> Result<Self, WordError> {
        Self::read(text, (0, 24), false)
    }

    fn read(text: &str, (low, high): (u32, u32), closed: bool) -> Result<Self, WordError> {
        if text.is_empty() || text == "all" {
            return Ok(Self((low..high).fold(0, |bits, at| bits | 1 << at)));
        }
        let mut bits = 0;
        for part in text.split_whitespace() {
            let wrong = || WordError {
                what: part.chars().take(40).collect(),
                expected: "a range, as 22-8",
            };
            let (first, last) = part.split_once('-').unwrap_or((part, ""));
            let first: u32 = first.parse().map_err(|_| wrong())?;
            let last: u32 = match last {
                "" if closed => first,
                "" => first.saturating_add(1),
                last => last.parse().map_err(|_| wrong())?,
            };
            let end = last.saturating_add(u32::from(closed));
            if !(low..high).contains(&first) || !(low + 1..=high).contains(&end) {
                return Err(wrong());
            }
            let mut at = first;
            loop {
                bits |= 1 << at;
                at += 1;
                if at == end {
                    break;
                }
                if at == high {
                    at = low;
                }
            }
        }
        Ok(Self(bits))
    }

    fn has(self, number: i8) -> bool {
        u32::try_from(number).is_ok_and(|at| self.0 >> at & 1 == 1)
    }
}

/// A price, and when it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Band {
    /// The first day.
    pub from: Option<Date>,
    /// The first day that is no longer in it.
    pub until: Option<Date>,
    /// Months.
    pub months: Numbers,
    /// Days of the week.
    pub days: Days,
    /// Hours of the day.
    pub hours: Numbers,
    /// Won for a kilowatt-hour.
    pub won_per_kwh: f64,
}

/// What electricity costs: of the bands that match an hour the first one holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Tariff {
    bands: Vec<Band>,
}

impl Tariff {
    /// Those bands, in their order.
    pub fn new(bands: Vec<Band>) -> Self {
        Self { bands }
    }

    /// Won for a kilowatt-hour in the hour that begins then; that of the first band that matches.
    pub fn won_per_kwh(&self, at: DateTime) -> Option<f64> {
        let matches = |band: &&Band| {
            band.from.is_none_or(|from| at.date() >= from)
                && band.until.is_none_or(|until| at.date() < until)
                && band.months.has(at.month())
                && band.hours.has(at.hour())
                && band.days.has(at)
        };
        Some(self.bands.iter().find(matches)?.won_per_kwh)
    }

    /// The first of so many hours of which it says nothing.
    pub fn hole(&self, start: Date, hours: u32) -> Option<DateTime> {
        let mut all = (0..hours).map(|hour| hour_of(start, hour));
        all.find(|at| self.won_per_kwh(*at).is_none())
    }

    /// The first hour of which it says nothing, from the day on which its first band begins, for ever: the year after each day on which a
    /// band begins or ends is looked through, and the one before the first of them where a band has no beginning.
    pub fn hole_ever(&self) -> Option<DateTime> {
        let dated = self.bands.iter().flat_map(|band| [band.from, band.until]);
        let mut days: Vec<Date> = dated.flatten().collect();
        let is_old = |band: &Band| band.from.is_none();
        if self.bands.iter().any(is_old) {
            let before = days.iter().min().map(|day| day.saturating_sub(1.year()));
            days.extend(before);
        }
        if days.is_empty() {
            days.push(date(2026, 1, 1));
        }
        days.sort_unstable();
        const YEAR_H: u32 = 366 * 24;
        days.into_iter().find_map(|day| self.hole(day, YEAR_H))
    }
}

/// The beginning of the hour of that number, counted from midnight of a day.
pub fn hour_of(start: Date, hour: u32) -> DateTime {
    start
        .to_datetime(Time::midnight())
        .saturating_add(i64::from(hour).hours())
}

/// Hours of a day.
pub const DAY_H: usize = 24;

/// What is known of a site's electricity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SiteElectricity {
    /// What the grid's costs.
    pub tariff: Option<Tariff>,
    /// CO2 of a kilowatt-hour of the grid, in grams.
    pub carbon_g_per_kwh: Option<f64>,
    /// What of that counts in each hour of the day; 1 where nothing is said.
    pub carbon_hours: Option<[f64; DAY_H]>,
    /// What the site's own renewables give in each hour of the day, in kilowatts.
    pub renewables_kw: Option<[f64; DAY_H]>,
    /// How far local time is ahead of UTC, in seconds.
    pub utc_offset_s: i32,
}

/// An hour of a site's electricity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ElectricHour {
    /// Won for a kilowatt-hour of the grid.
    pub won_per_kwh: f64,
    /// CO2 of it, in grams.
    pub carbon_g_per_kwh: f64,
    /// What the site's own renewables give, in watts.
    pub own_watts: f64,
}

impl SiteElectricity {
    /// So many hours from the beginning of that in which `now` lies, up to the first of which nobody says what it costs; and that
    /// beginning.
    pub fn hours(&self, now: Micros, count: usize) -> (Micros, Vec<ElectricHour>) {
        const HOUR_US: i64 = 3_600_000_000;
        let offset_us = i64::from(self.utc_offset_s) * 1_000_000;
        let local = now.0.saturating_add(offset_us).div_euclid(HOUR_US) * HOUR_US;
        let begins = (0..count).map_while(|hour| {
            let at = local.saturating_add(i64::try_from(hour).ok()?.saturating_mul(HOUR_US));
            let at = Timestamp::from_microsecond(at).ok()?;
            self.hour(at.to_zoned(TimeZone::UTC).datetime())
        });
        (Micros(local.saturating_sub(offset_us)), begins.collect())
    }

    /// The hour that begins then, local time; `None` where nobody says what it costs.
    fn hour(&self, at: DateTime) -> Option<ElectricHour> {
        let hour = usize::try_from(at.hour()).ok()?;
        let part = self.carbon_hours.map_or(1.0, |parts| parts[hour]);
        Some(ElectricHour {
            won_per_kwh: self.tariff.as_ref()?.won_per_kwh(at)?,
            carbon_g_per_kwh: self.carbon_g_per_kwh.unwrap_or(0.0) * part,
            own_watts: self.renewables_kw.map_or(0.0, |kw| kw[hour] * 1_000.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn band(until: Option<Date>, hours: &str, won_per_kwh: f64) -> Band {
        Band {
            from: None,
            until,
            months: Numbers::months("").unwrap(),
            days: Days::All,
            hours: Numbers::hours(hours).unwrap(),
            won_per_kwh,
        }
    }

    #[test]
    fn a_hole_is_found_wherever_it_is() {
        let check = |bands: Vec<Band>, expected: Option<&str>| {
            let hole = Tariff::new(bands).hole_ever();
            assert_eq!(hole.map(|at| at.to_string()).as_deref(), expected);
        };
        let end = Some(date(2031, 1, 1));
        check(vec![band(None, "", 1.0)], None);
        check(vec![band(None, "22-8", 1.0), band(None, "8-22", 2.0)], None);
        check(
            vec![band(None, "22-8", 1.0), band(None, "9-22", 2.0)],
            Some("2026-01-01T08:00:00"),
        );
        check(vec![band(end, "", 1.0)], Some("2031-01-01T00:00:00"));
        check(vec![band(end, "12", 9.0), band(None, "", 1.0)], None);
        let weekend = Band {
            days: Days::Weekend,
            ..band(None, "", 1.0)
        };
        check(vec![weekend], Some("2026-01-01T00:00:00"));
        let later = Band {
            from: Some(date(2026, 4, 16)),
            ..band(None, "", 1.0)
        };
        check(vec![later], None);
        check(Vec::new(), Some("2026-01-01T00:00:00"));
    }

    #[test]
    fn hours_to_come_are_those_of_the_site() {
        let mut renewables_kw = [0.0; DAY_H];
        renewables_kw[8] = 50.0;
        let site = SiteElectricity {
            tariff: Some(Tariff::new(vec![
                band(Some(date(2026, 7, 2)), "22-8", 100.0),
                band(Some(date(2026, 7, 2)), "", 150.0),
            ])),
            carbon_g_per_kwh: Some(400.0),
            carbon_hours: Some([0.5; DAY_H]),
            renewables_kw: Some(renewables_kw),
            utc_offset_s: 9 * 3_600 + 10,
        };
        // Ten minutes before eight in the morning there.
        let now: Timestamp = "2026-06-30T22:50:00Z".parse().unwrap();
        let (from, hours) = site.hours(Micros(now.as_microsecond()), 40);
        let from = Timestamp::from_microsecond(from.0).unwrap();
        assert_eq!(from.to_string(), "2026-06-30T21:59:50Z");
        let won: Vec<f64> = hours.iter().map(|hour| hour.won_per_kwh).collect();
        assert_eq!(won[..3], [100.0, 150.0, 150.0]);
        assert_eq!(
            (hours[1].own_watts, hours[1].carbon_g_per_kwh),
            (50_000.0, 200.0)
        );
        // The tariff ends with the day.
        assert_eq!(hours.len(), 17);
    }
}
