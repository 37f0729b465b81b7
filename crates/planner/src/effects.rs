//! Effects on the economy: spending at home times coefficients of a table that the user brings. None ships.

use madang_twin::trace::{RecordError, Records};
use serde::{Deserialize, Serialize};
use std::io::Read;

/// Rows of a table.
const ROWS_MAX: usize = 10_000;
/// Bytes of it.
const BYTES_MAX: u64 = 16 * 1024 * 1024;
const KINDS: [&str; 3] = ["production", "value_added", "jobs"];

/// One coefficient: won of production or value added for a won of final demand at home, or jobs for 10^9 won of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Coefficient {
    /// Of which sector.
    pub sector: String,
    /// production, value_added or jobs.
    pub kind: String,
    /// It.
    pub coefficient: f64,
    /// Of which year's table.
    pub year: i16,
    /// Who says so.
    pub source: String,
}

/// Which money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Money {
    /// Servers, once.
    Servers,
    /// Buildings, once.
    Facility,
    /// Staff, repair, software, each year.
    Opex,
    /// Electricity, each year.
    Energy,
}

impl Money {
    /// By its word.
    pub fn named(word: &str) -> Option<Self> {
        match word {
            "servers" => Some(Self::Servers),
            "facility" => Some(Self::Facility),
            "opex" => Some(Self::Opex),
            "energy" => Some(Self::Energy),
            _ => None,
        }
    }

    /// Spent to build, not to run.
    pub fn is_construction(self) -> bool {
        matches!(self, Self::Servers | Self::Facility)
    }
}

/// One flow of money.
#[derive(Clone, Debug)]
pub struct Spend {
    /// Which money.
    pub of: Money,
    /// To which sector.
    pub sector: String,
    /// Part of that money.
    pub part: f64,
    /// Part of it that goes abroad.
    pub import_part: f64,
}

/// A table, and where money goes.
#[derive(Clone, Debug)]
pub struct Effects {
    /// Its rows.
    pub table: Vec<Coefficient>,
    /// Flows.
    pub spend: Vec<Spend>,
}

/// What comes of the money that was spent at home.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Effect {
    /// Spent, in won.
    pub spent_won: f64,
    /// Of it at home: what the coefficients are times of.
    pub domestic_won: f64,
    /// Production, in won.
    pub production_won: Option<f64>,
    /// Value added, in won; part of production, never to be added to it.
    pub value_added_won: Option<f64>,
    /// Jobs.
    pub jobs: Option<f64>,
}

/// Building and running, apart.
#[derive(Clone, Debug, Serialize)]
pub struct EffectsReport {
    /// Once.
    pub construction: Effect,
    /// Each year.
    pub operation: Effect,
    /// Rows that were used.
    pub table: Vec<Coefficient>,
    /// Coefficients that the table does not have, so that a sum of that kind is without those sectors.
    pub missing: Vec<Missing>,
}

/// A coefficient that is not in the table, where others of its kind are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Missing {
    /// production, value_added or jobs.
    pub kind: &'static str,
    /// Of which sector.
    pub sector: String,
}

/// Reads a table with the columns `sector,kind,coefficient,year,source`.
///
/// # Errors
/// What is wrong with it, and where.
pub fn read(reader: impl Read) -> Result<Vec<Coefficient>, String> {
    let mut text = String::new();
    let read = reader.take(BYTES_MAX + 1).read_to_string(&mut text);
    let read = read.map_err(|error| error.to_string())?;
    if u64::try_from(read).is_ok_and(|read| read > BYTES_MAX) {
        return Err(format!("it has more than {BYTES_MAX} bytes"));
    }
    let mut records = Records::new(&text, Some(b'#'));
    let said = |error: RecordError| error.to_string();
    let header = records.header().map_err(said)?;
    let mut table: Vec<Coefficient> = Vec::new();
    let mut record = csv::StringRecord::new();
    while let Some(line) = records.next(&mut record).map_err(said)? {
        let row = record.deserialize(Some(&header));
        let row = row.map_err(|error| said(RecordError::new(line, &error)))?;
        check(&row, &table).map_err(|problem| format!("line {line}: {problem}"))?;
        table.push(row);
        if table.len() > ROWS_MAX {
            return Err(format!("it has more than {ROWS_MAX} rows"));
        }
    }
    Ok(table)
}

/// What is wrong with a row, beside those above it.
fn check(row: &Coefficient, above: &[Coefficient]) -> Result<(), String> {
    let name = format!("{} {}", row.sector, row.kind);
    if !KINDS.contains(&row.kind.as_str()) {
        return Err(format!("{name}: kind is production, value_added or jobs"));
    }
    if !(0.0..=1e4).contains(&row.coefficient) {
        return Err(format!("{name}: {} is no coefficient", row.coefficient));
    }
    if row.source.is_empty() {
        return Err(format!("{name}: say its source"));
    }
    let of = |kind: &str| {
        let mut own = above.iter().filter(|other| other.sector == row.sector);
        own.find(|other| other.kind == kind)
    };
    if of(&row.kind).is_some() {
        return Err(format!("{name} stands twice"));
    }
    let (production, value_added) = match row.kind.as_str() {
        "production" => (Some(row), of("value_added")),
        "value_added" => (of("production"), Some(row)),
        _ => (None, None),
    };
    match (production, value_added) {
        (Some(all), Some(part)) if part.coefficient > all.coefficient => Err(format!(
            "{}: value_added is {}, more than production, {}, of which it is a part",
            row.sector, part.coefficient, all.coefficient
        )),
        _ => Ok(()),
    }
}

impl Effects {
    /// Of so much money: servers, facility, and of a year opex and energy.
    pub fn of(&self, amount: impl Fn(Money) -> f64) -> EffectsReport {
        let (construction, mut missing) = self.sum(true, &amount);
        let (operation, more) = self.sum(false, &amount);
        missing.extend(more);
        missing.sort_unstable();
        missing.dedup();
        let used = |row: &&Coefficient| self.spend.iter().any(|flow| flow.sector == row.sector);
        EffectsReport {
            construction,
            operation,
            table: self.table.iter().filter(used).cloned().collect(),
            missing,
        }
    }

    /// Of building or of running; and what its sums are without.
    fn sum(&self, construction: bool, amount: impl Fn(Money) -> f64) -> (Effect, Vec<Missing>) {
        let mut effect = Effect::default();
        let mut missing = Vec::new();
        let flows = self.spend.iter();
        for flow in flows.filter(|flow| flow.of.is_construction() == construction) {
            let spent = amount(flow.of) * flow.part;
            let home = spent * (1.0 - flow.import_part);
            effect.spent_won += spent;
            effect.domestic_won += home;
            let mut more = |kind: &'static str| {
                let mut rows = self.table.iter();
                let row = rows.find(|row| row.sector == flow.sector && row.kind == kind);
                if row.is_none() && home > 0.0 {
                    let sector = flow.sector.clone();
                    missing.push(Missing { kind, sector });
                }
                row.map(|row| row.coefficient * home)
            };
            add(&mut effect.production_won, more("production"));
            add(&mut effect.value_added_won, more("value_added"));
            add(&mut effect.jobs, more("jobs").map(|jobs| jobs / 1e9));
        }
        // A kind of which nothing is known has no sum that could be taken for the whole.
        missing.retain(|missing| match missing.kind {
            "production" => effect.production_won.is_some(),
            "value_added" => effect.value_added_won.is_some(),
            _ => effect.jobs.is_some(),
        });
        (effect, missing)
    }
}

fn add(sum: &mut Option<f64>, more: Option<f64>) {
    if let Some(more) = more {
        *sum = Some(sum.unwrap_or(0.0) + more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "sector,kind,coefficient,year,source\nbuild,production,2,2020,a test\nbuild,jobs,10,2020,a test\n";

    #[test]
    fn only_what_is_spent_at_home_counts_and_building_is_apart_from_running() {
        let flow = |of, import_part| Spend {
            of,
            sector: "build".to_owned(),
            part: 0.5,
            import_part,
        };
        let effects = Effects {
            table: read(TABLE.as_bytes()).unwrap(),
            spend: vec![flow(Money::Servers, 0.9), flow(Money::Opex, 0.0)],
        };
        let report = effects.of(|_| 2e9);
        assert!((report.construction.domestic_won - 1e8).abs() < 1.0);
        assert!((report.construction.production_won.unwrap() - 2e8).abs() < 1.0);
        assert!((report.operation.jobs.unwrap() - 10.0).abs() < 1e-9);
        assert_eq!(report.operation.value_added_won, None);
        assert!(report.missing.is_empty(), "{report:?}");
    }

    #[test]
    fn a_sum_that_is_without_a_sector_says_so() {
        let flow = |sector: &str, import_part| Spend {
            of: Money::Facility,
            sector: sector.to_owned(),
            part: 0.5,
            import_part,
        };
        let table = format!("{TABLE}steel,production,3,2020,a test\ncars,jobs,1,2020,a test\n");
        let effects = |spend| Effects {
            table: read(table.as_bytes()).unwrap(),
            spend,
        };
        // Of steel no jobs are known; of neither value added, so that there is no sum of it.
        let report = effects(vec![flow("build", 0.0), flow("steel", 0.0)]).of(|_| 2e9);
        assert!((report.construction.jobs.unwrap() - 10.0).abs() < 1e-9);
        let steel = Missing {
            kind: "jobs",
            sector: "steel".to_owned(),
        };
        assert_eq!(report.missing, [steel]);
        // What goes abroad has no effect, and lacks none.
        let report = effects(vec![flow("build", 0.0), flow("steel", 1.0)]).of(|_| 2e9);
        assert!(report.missing.is_empty(), "{report:?}");
    }

    #[test]
    fn a_table_without_sources_is_refused() {
        for (text, expected) in [
            ("build,production,2,2020,\n", "say its source"),
            ("build,magic,2,2020,me\n", "kind is"),
            ("build,jobs,-2,2020,me\n", "no coefficient"),
            (
                "build,jobs,1,2020,me\nbuild,jobs,1,2020,me\n",
                "line 3: build jobs stands twice",
            ),
            (
                "build,jobs,1,2020,me\n# it\nbuild,jobs,many,2020,me\n",
                "line 4: field 2: invalid float",
            ),
            (
                "build,value_added,0.9,2020,me\nsteel,production,0.8,2020,me\nbuild,production,0.8,2020,me\n",
                "line 4: build: value_added is 0.9, more than production, 0.8, of which it is a part",
            ),
            (
                "build,production,1.8,2020,me\nbuild,value_added,1.9,2020,me\n",
                "line 3: build: value_added is 1.9, more than production, 1.8",
            ),
        ] {
            for end in ["\n", "\r\n"] {
                let text = format!("sector,kind,coefficient,year,source\n{text}");
                let error = read(text.replace('\n', end).as_bytes()).unwrap_err();
                assert!(error.contains(expected), "{error}");
            }
        }
    }
}
