//! Sites with the files that they name, and the table of effects.

use super::{Check, said};
use crate::effects::{Effects, Money, Spend, read};
use crate::goal::SiteGoal;
use crate::raw::{RawEffects, RawSite, RawSpend, Rows};
use jiff::civil::Date;
use madang_fleet::text::{At, brief};
use madang_twin::scenario::{Files, Renewables, covers, tariff};
use madang_types::Country;
use std::io::Read;

/// What parts may be above one together, as they are written with few digits.
const PARTS_ROUNDING: f64 = 1e-9;

impl Check<'_, '_> {
    pub(super) fn sites(&mut self, rows: Rows<RawSite>) -> Option<Vec<SiteGoal>> {
        let rows = self.rows("site", rows, |row| &row.id)?;
        let mut sites = Vec::new();
        let mut whole = !rows.is_empty();
        for row in rows {
            let site = self.site(row.value);
            whole &= site.is_some();
            sites.extend(site);
        }
        whole.then_some(sites)
    }

    /// A profile and how much of it: the one is nothing without the other.
    fn renewables_whole(&mut self, raw: &RawSite) {
        let (span, message, help) = match (&raw.renewables, &raw.renewables_kw) {
            (Some(at), None) => (
                &at.span,
                "`renewables` has no effect without `renewables_kw`",
                "say how much of them is the site's: renewables_kw = 100000",
            ),
            (None, Some(at)) => (
                &at.span,
                "`renewables_kw` has no effect without `renewables`",
                "name a file such as solar-jeonnam.csv",
            ),
            _ => return,
        };
        self.report.error("missing_key", span, message).help(help);
    }

    fn site(&mut self, raw: RawSite) -> Option<SiteGoal> {
        self.renewables_whole(&raw);
        let years = self.years;
        let tariff = raw.tariff.and_then(|text| {
            self.file(&text, |reader| {
                let tariff = tariff(reader).map_err(|error| error.to_string())?;
                if let Some((first, years)) = years {
                    let start = Date::new(first, 1, 1).map_err(|error| error.to_string())?;
                    let covered = covers(&tariff, start, years * 8_766);
                    covered.map_err(|error| error.to_string())?;
                }
                Ok(tariff)
            })
        });
        let renewables = raw.renewables.map(|text| {
            self.file(&text, |reader| {
                Renewables::read(reader, 1.0).map_err(|error| error.to_string())
            })
        });
        let text = raw.country?;
        let country = text.value.parse::<Country>();
        if country.is_err() {
            let message = format!("`{}` is no country", brief(&text.value));
            self.report
                .error("country_invalid", &text.span, message)
                .help("two capital letters, such as KR");
        }
        let id = raw.id?.value;
        let key = |key: &str| format!("site.{id}.{key}");
        let charge = self.or(
            &key("demand_charge_won_per_kw_month"),
            raw.demand_charge_won_per_kw_month,
            0.0,
        );
        let renewables_won = match renewables {
            Some(_) => self.or(
                &key("renewables_won_per_kwh"),
                raw.renewables_won_per_kwh,
                0.0,
            ),
            None => 0.0,
        };
        Some(SiteGoal {
            id,
            country: country.ok()?,
            cap_watts: raw.power_cap_kw?.value * 1_000.0,
            pue: raw.pue?.value,
            tariff: tariff?,
            tariff_factor: 1.0,
            demand_charge_won_per_kw_month: charge,
            carbon_g_per_kwh: raw.carbon_g_per_kwh?.value,
            renewables: said(renewables)?,
            renewables_watts: raw.renewables_kw.map_or(0.0, |at| at.value * 1_000.0),
            renewables_won_per_kwh: renewables_won,
        })
    }

    /// What a file says; what is wrong with it is said.
    fn file<T>(
        &mut self,
        text: &At<String>,
        read: impl FnOnce(Box<dyn Read + Send>) -> Result<T, String>,
    ) -> Option<T> {
        let opened = self
            .files
            .open(&text.value)
            .map_err(|error| error.to_string());
        match opened.and_then(read) {
            Ok(read) => Some(read),
            Err(error) => {
                let message = format!("`{}` cannot be used: {error}", brief(&text.value));
                let built_in: Vec<&str> = Files::built_in().collect();
                self.report
                    .error("path_invalid", &text.span, message)
                    .help(format!(
                        "paths begin at the goal's folder; built in are {}",
                        built_in.join(", ")
                    ));
                None
            }
        }
    }

    pub(super) fn effects(&mut self, raw: RawEffects) -> Option<Effects> {
        let table = self.file(&raw.table?, read)?;
        let mut spend: Vec<Spend> = Vec::new();
        for row in raw.spend? {
            let span = row.span.clone();
            let flow = self.spend(row.value, &table)?;
            let others = spend.iter().filter(|other| other.of == flow.of);
            let sum = flow.part + others.map(|other| other.part).sum::<f64>();
            if sum > 1.0 + PARTS_ROUNDING {
                let message = format!("parts of the same money are {sum:.3} together");
                let help = "all `part` with the same `of` are 1 together at most: it is spent once";
                self.range(&span, &message, help);
            }
            spend.push(flow);
        }
        Some(Effects { table, spend })
    }

    fn spend(&mut self, raw: RawSpend, table: &[crate::effects::Coefficient]) -> Option<Spend> {
        let sector = raw.sector?;
        if table.iter().all(|row| row.sector != sector.value) {
            let message = format!("the table has no sector `{}`", brief(&sector.value));
            let mut known: Vec<&str> = table.iter().map(|row| row.sector.as_str()).collect();
            known.sort_unstable();
            known.dedup();
            known.truncate(20);
            self.report
                .error("reference_unknown", &sector.span, message)
                .help(format!("known: {}", known.join(", ")));
        }
        Some(Spend {
            of: Money::named(&raw.of?.value)?,
            sector: sector.value,
            part: raw.part?.value,
            import_part: raw.import_part?.value,
        })
    }
}
