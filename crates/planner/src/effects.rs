//! Effects on the economy: spending at home times coefficients of a table that the user brings. None ships.

use serde::{Deserialize, Serialize};
use std::io::Read;

/// Rows of a table.
const ROWS_MAX: usize = 10_000;
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
}

/// Reads a table with the columns `sector,kind,coefficient,year,source`.
///
/// # Errors
/// What is wrong with it, and where.
pub fn read(reader: impl Read) -> Result<Vec<Coefficient>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_reader(reader);
    let mut table: Vec<Coefficient> = Vec::new();
    for row in reader.deserialize() {
        let row: Coefficient = row.map_err(|error: csv::Error| error.to_string())?;
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
        let known = |other: &Coefficient| other.sector == row.sector && other.kind == row.kind;
        if table.iter().any(known) {
            return Err(format!("{name} stands twice"));
        }
        table.push(row);
        if table.len() > ROWS_MAX {
            return Err(format!("it has more than {ROWS_MAX} rows"));
        }
    }
    Ok(table)
}

impl Effects {
    /// Of so much money: servers, facility, and of a year opex and energy.
    pub fn of(&self, amount: impl Fn(Money) -> f64) -> EffectsReport {
        let sum = |construction: bool| {
            let mut effect = Effect::default();
            let flows = self.spend.iter();
            for flow in flows.filter(|flow| flow.of.is_construction() == construction) {
                let spent = amount(flow.of) * flow.part;
                let home = spent * (1.0 - flow.import_part);
                effect.spent_won += spent;
                effect.domestic_won += home;
                let more = |kind: &str| {
                    let mut rows = self.table.iter();
                    let row = rows.find(|row| row.sector == flow.sector && row.kind == kind);
                    row.map(|row| row.coefficient * home)
                };
                add(&mut effect.production_won, more("production"));
                add(&mut effect.value_added_won, more("value_added"));
                add(&mut effect.jobs, more("jobs").map(|jobs| jobs / 1e9));
            }
            effect
        };
        let used = |row: &&Coefficient| self.spend.iter().any(|flow| flow.sector == row.sector);
        EffectsReport {
            construction: sum(true),
            operation: sum(false),
            table: self.table.iter().filter(used).cloned().collect(),
        }
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
    }

    #[test]
    fn a_table_without_sources_is_refused() {
        for (text, expected) in [
            ("build,production,2,2020,\n", "say its source"),
            ("build,magic,2,2020,me\n", "kind is"),
            ("build,jobs,-2,2020,me\n", "no coefficient"),
            ("build,jobs,1,2020,me\nbuild,jobs,1,2020,me\n", "twice"),
        ] {
            let text = format!("sector,kind,coefficient,year,source\n{text}");
            assert!(read(text.as_bytes()).unwrap_err().contains(expected));
        }
    }
}
