//! What electricity costs by dated bands, and what a site's own renewables give. Both are files, never code.

use crate::trace::{RecordError, Records, read_text};
use jiff::civil::{Date, DateTime};
use madang_fleet::energy::{Band, Days, Numbers, Tariff, WordError};
use std::io::Read;

/// Rows of a file of tariffs or renewables.
const ROWS_MAX: usize = 100_000;
/// Bytes of it.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Why a file of energy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EnergyError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// It is no table.
    #[error("it cannot be read: {0}")]
    Record(#[from] RecordError),
    /// A column is missing.
    #[error("it has no column '{0}'; it has: {1}")]
    Column(&'static str, String),
    /// A value is not what its column holds.
    #[error("line {line}: '{value}' is not {expected}")]
    Value {
        /// From 1.
        line: u64,
        /// What stands there.
        value: String,
        /// What should.
        expected: &'static str,
    },
    /// It is too long.
    #[error("it has more than {ROWS_MAX} rows")]
    TooLong,
    /// Nothing is said of an hour.
    #[error(
        "it says nothing of {0}; the first row that matches an hour holds, so a last row for all of it would do"
    )]
    Missing(String),
}

/// A table's cells by the names in its header.
struct Cells {
    headers: csv::StringRecord,
    record: csv::StringRecord,
    line: u64,
}

impl Cells {
    fn get(&self, name: &'static str) -> Result<&str, EnergyError> {
        let at = self.headers.iter().position(|header| header == name);
        let at = at.ok_or_else(|| {
            EnergyError::Column(name, self.headers.iter().collect::<Vec<_>>().join(","))
        })?;
        Ok(self.record.get(at).unwrap_or(""))
    }

    fn wrong(&self, value: &str, expected: &'static str) -> EnergyError {
        EnergyError::Value {
            line: self.line,
            value: value.chars().take(40).collect(),
            expected,
        }
    }

    fn number(&self, name: &'static str, low: f64, high: f64) -> Result<f64, EnergyError> {
        let text = self.get(name)?;
        let number: Option<f64> = text.parse().ok();
        number
            .filter(|number| (low..=high).contains(number))
            .ok_or_else(|| self.wrong(text, "a number in its range"))
    }

    fn date(&self, name: &'static str) -> Result<Option<Date>, EnergyError> {
        match self.get(name)? {
            "" => Ok(None),
            text => match text.parse() {
                Ok(date) => Ok(Some(date)),
                Err(_) => Err(self.wrong(text, "a day, as 2026-04-16")),
            },
        }
    }

    fn word<T>(
        &self,
        name: &'static str,
        read: fn(&str) -> Result<T, WordError>,
    ) -> Result<T, EnergyError> {
        read(self.get(name)?).map_err(|error| self.wrong(&error.what, error.expected))
    }
}

fn rows(
    reader: impl Read,
    mut each: impl FnMut(&Cells) -> Result<(), EnergyError>,
) -> Result<(), EnergyError> {
    let text = read_text(reader, BYTES_MAX)?;
    let mut table = Records::new(&text, Some(b'#'));
    let mut cells = Cells {
        headers: table.header()?,
        record: csv::StringRecord::new(),
        line: 1,
    };
    let mut count = 0;
    while let Some(line) = table.next(&mut cells.record)? {
        cells.line = line;
        count += 1;
        if count > ROWS_MAX {
            return Err(EnergyError::TooLong);
        }
        each(&cells)?;
    }
    Ok(())
}

/// Reads a table with the columns `from,until,months,days,hours,won_per_kwh`. Days of `until` are no longer in it; months and hours
/// are ranges (`11-2`, `22-8`), days are `all`, `weekday` or `weekend`. What is empty holds always.
///
/// # Errors
/// What is wrong with it, and where.
pub fn tariff(reader: impl Read) -> Result<Tariff, EnergyError> {
    let mut bands = Vec::new();
    rows(reader, |cells| {
        bands.push(Band {
            from: cells.date("from")?,
            until: cells.date("until")?,
            months: cells.word("months", Numbers::months)?,
            days: cells.word("days", Days::read)?,
            hours: cells.word("hours", Numbers::hours)?,
            won_per_kwh: cells.number("won_per_kwh", -100_000.0, 100_000.0)?,
        });
        Ok(())
    })?;
    Ok(Tariff::new(bands))
}

/// Whether a tariff says something of each of so many hours.
///
/// # Errors
/// The first hour of which it says nothing.
pub fn covers(tariff: &Tariff, start: Date, hours: u32) -> Result<(), EnergyError> {
    let Some(at) = tariff.hole(start, hours) else {
        return Ok(());
    };
    let (day, hour) = (at.date(), at.hour());
    Err(EnergyError::Missing(format!(
        "{day}, {hour} to {} h",
        hour + 1
    )))
}

/// The part of their capacity that renewables give, and the capacity.
#[derive(Clone, Debug)]
pub struct Renewables {
    /// Of each month and hour.
    parts: Vec<[Option<f64>; 24]>,
    /// Capacity, in watts.
    watts: f64,
}

impl Renewables {
    /// Reads a table with the columns `month,hour,part`; `watts` is the capacity.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn read(reader: impl Read, watts: f64) -> Result<Self, EnergyError> {
        let mut parts = vec![[None; 24]; 13];
        rows(reader, |cells| {
            let month = cells.number("month", 1.0, 12.0)? as usize;
            let hour = cells.number("hour", 0.0, 23.0)? as usize;
            parts[month][hour] = Some(cells.number("part", 0.0, 1.0)?);
            Ok(())
        })?;
        Ok(Self { parts, watts })
    }

    /// What they give in the hour that begins then, in watts; nothing where the file says nothing.
    pub fn watts(&self, at: DateTime) -> f64 {
        let month = usize::try_from(at.month()).unwrap_or(0);
        let hour = usize::try_from(at.hour()).unwrap_or(0);
        let part = self
            .parts
            .get(month)
            .and_then(|hours| hours.get(hour)?.as_ref());
        part.map_or(0.0, |part| part * self.watts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "from,until,months,days,hours,won_per_kwh\n";

    fn price(text: &str, at: &str) -> String {
        match tariff(format!("{HEAD}{text}").as_bytes()) {
            Ok(tariff) => format!("{:?}", tariff.won_per_kwh(at.parse().unwrap())),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_first_band_that_matches_holds() {
        let check = |text: &str, at: &str, expected: &str| {
            assert_eq!(price(text, at), expected, "{text} at {at}");
        };
        let night = ",,,,22-8,90\n,,,,,150\n";
        check(night, "2026-07-15T23:00", "Some(90.0)");
        check(night, "2026-07-15T00:00", "Some(90.0)");
        check(night, "2026-07-15T08:00", "Some(150.0)");
        let dated = "2026-04-16,,,,,2\n,2026-04-16,,,,1\n";
        check(dated, "2026-04-15T23:00", "Some(1.0)");
        check(dated, "2026-04-16T00:00", "Some(2.0)");
        let season = ",,11-2,weekend,0-24,7\n,,3-10 11-2,weekday,,8\n";
        check(season, "2026-12-05T10:00", "Some(7.0)");
        check(season, "2026-12-04T10:00", "Some(8.0)");
        check(season, "2026-07-04T10:00", "None");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let check = |text: &str, expected: &str| {
            assert_eq!(price(text, "2026-07-15T00:00"), expected, "{text}");
        };
        check(",,,,25-26,1\n", "line 2: '25-26' is not a range, as 22-8");
        // However lines end, and with comments and empty lines between.
        check(
            ",,,,,1\r\n# none\r\n\r\n,,,,25-26,1\r\n",
            "line 5: '25-26' is not a range, as 22-8",
        );
        check(
            ",,,,,1\r\n,,,1\r\n",
            "it cannot be read: line 3: it has 4 cells, and the header 6",
        );
        check(",,0,,,1\n", "line 2: '0' is not a range, as 22-8");
        check(
            ",,,holiday,,1\n",
            "line 2: 'holiday' is not all, weekday or weekend",
        );
        check(",,,,,much\n", "line 2: 'much' is not a number in its range");
        check(
            "tomorrow,,,,,1\n",
            "line 2: 'tomorrow' is not a day, as 2026-04-16",
        );
    }

    #[test]
    fn an_hour_without_a_price_is_named() {
        let tariff = tariff(format!("{HEAD},,,,0-13 14-24,1\n").as_bytes()).unwrap();
        let error = covers(&tariff, jiff::civil::date(2026, 7, 15), 24).unwrap_err();
        assert!(
            error.to_string().contains("2026-07-15, 13 to 14 h"),
            "{error}"
        );
    }
}
