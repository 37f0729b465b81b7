//! From the goal as written to one whose references all resolve. Every problem is said at once.

mod place;

use crate::goal::{ChipGoal, Demand, Goal, Input, ModelGoal, Money};
use crate::inputs::DEFAULT;
use crate::raw::{RawChip, RawDemand, RawGoal, RawModel, RawMoney, Rows, Text};
use crate::said::Said;
use madang_catalog::{Catalog, EngineKind, Precision};
use madang_fleet::text::{At, Report, brief, nearest};
use madang_twin::scenario::Files;
use std::fmt::Display;
use std::ops::Range;

/// Rows of one table.
const ROWS_MAX: usize = 32;
/// Tokens a second that anybody could ask for: a thousand times what the greatest service serves.
const TOKENS_PER_S_MAX: f64 = 1e12;

pub(crate) struct Check<'c, 's> {
    pub report: &'c mut Report<'s>,
    pub files: &'c Files,
    pub catalog: &'c Catalog,
    /// First year and number of years: what tariffs must cover. None where the goal does not say them.
    pub years: Option<(i16, u32)>,
    /// The keys as written; those that are not join them as what is taken then.
    pub inputs: Vec<Input>,
}

/// Builds the goal; `None` where something without which it cannot be built is missing, which has been said.
pub(crate) fn build(raw: RawGoal, check: &mut Check<'_, '_>) -> Option<Goal> {
    let plan = raw.plan.map(|plan| plan.value);
    check.years = plan.as_ref().and_then(|plan| {
        let (first, years) = (plan.start_year.as_ref()?, plan.years.as_ref()?);
        Some((first.value, years.value))
    });
    let demand = raw.demand.and_then(|demand| check.demand(demand.value));
    let models = check.models(raw.model);
    let chips = check.chips(raw.chip);
    let sites = check.sites(raw.site);
    let effects = raw.effects.map(|effects| check.effects(effects.value));
    let (plan, slo) = (plan?, raw.slo?.value);
    let (start_year, years) = check.years?;
    let power = raw.power.map(|power| power.value);
    let (server, idle) = power.map_or((None, None), |power| {
        (power.server_power_factor, power.idle_part)
    });
    Some(Goal {
        about: about(plan.about, plan.about_ko),
        start_year,
        years,
        utilisation: check.or("plan.utilisation", plan.utilisation, 0.8),
        good_part: check.or("plan.good_part", plan.good_part, 0.9),
        demand: demand?,
        ttft_ms: slo.ttft_ms?.value,
        tpot_ms: slo.tpot_ms?.value,
        models: models?,
        chips: chips?,
        sites: sites?,
        money: money(raw.money?.value)?,
        server_power_factor: check.or("power.server_power_factor", server, 1.25),
        idle_part: check.or("power.idle_part", idle, 0.27),
        effects: said(effects)?,
        inputs: std::mem::take(&mut check.inputs),
    })
}

/// What need not be said: none where it is not, nothing at all where it is and is wrong.
fn said<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    value.map_or(Some(None), |value| value.map(Some))
}

/// What it is about: in Korean as in English where only one was said.
fn about(english: Text, korean: Text) -> Said {
    let english = english.map(|about| about.value).unwrap_or_default();
    let korean = korean.map_or_else(|| english.clone(), |about| about.value);
    Said::new(english, korean)
}

fn money(raw: RawMoney) -> Option<Money> {
    Some(Money {
        server_price_factor: raw.server_price_factor?.value,
        life_years: raw.life_years?.value,
        facility_won_per_kw: raw.facility_won_per_kw?.value,
        facility_life_years: raw.facility_life_years?.value,
        discount_per_year: raw.discount_per_year?.value,
        opex_part_per_year: raw.opex_part_per_year?.value,
    })
}

impl Check<'_, '_> {
    /// What is said, or what is taken where nothing is: then that is an input too.
    fn or<T: Display>(&mut self, key: &str, said: Option<At<T>>, default: T) -> T {
        let Some(said) = said else {
            self.inputs.push(Input {
                key: key.to_owned(),
                value: default.to_string(),
                source: DEFAULT.to_owned(),
            });
            return default;
        };
        said.value
    }

    /// Rows of a table that has at least one and not too many, each with another name.
    fn rows<T>(
        &mut self,
        table: &str,
        rows: Rows<T>,
        id: impl Fn(&T) -> &Text,
    ) -> Option<Vec<At<T>>> {
        let rows = rows?;
        if let Some(row) = rows.get(ROWS_MAX) {
            let message = format!("[[{table}]] has more than {ROWS_MAX} rows");
            self.report
                .error("limits_conflict", &row.span, message)
                .help("a plan is made of a few kinds: put alike ones together");
        }
        let mut names: Vec<&str> = Vec::new();
        for id in rows.iter().filter_map(|row| id(&row.value).as_ref()) {
            if names.contains(&id.value.as_str()) {
                let message = format!("there are two of `{}` in [[{table}]]", brief(&id.value));
                self.report
                    .error("id_duplicate", &id.span, message)
                    .help("take one of them out, or put them together");
            }
            names.push(&id.value);
        }
        Some(rows)
    }

    fn unknown<'n>(
        &mut self,
        (kind, text): (&str, &At<String>),
        known: impl Iterator<Item = &'n str> + Clone,
    ) {
        let help = match nearest(&text.value, known.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known: {}", known.collect::<Vec<_>>().join(", ")),
        };
        let message = format!(
            "there is no {kind} `{}` in the catalogue",
            brief(&text.value)
        );
        self.report
            .error("reference_unknown", &text.span, message)
            .help(help);
    }

    fn range(&mut self, span: &Range<usize>, message: &str, help: &str) {
        self.report.error("number_range", span, message).help(help);
    }

    fn demand(&mut self, raw: RawDemand) -> Option<Demand> {
        let peak = raw.peak_over_mean?;
        let hours = raw.hours.and_then(|hours| self.hours(&hours, &peak));
        let (users, messages) = (raw.users?, raw.messages_per_user_day?);
        for at in [&users, &messages] {
            if at.value <= 0.0 {
                self.range(
                    &at.span,
                    "nobody asks for anything: there is nothing to plan",
                    "say how many people ask, and how often",
                );
            }
        }
        let demand = Demand {
            users: users.value,
            messages_per_user_day: messages.value,
            input_tokens: raw.input_tokens?.value,
            output_tokens: raw.output_tokens?.value,
            cached_part: self.or("demand.cached_part", raw.cached_part, 0.0),
            length_cv: self.or("demand.length_cv", raw.length_cv, 0.5),
            peak_over_mean: peak.value,
            hours: hours?,
            growth_per_year: self.or("demand.growth_per_year", raw.growth_per_year, 0.0),
            kv_keep_s: self.or("demand.kv_keep_s", raw.kv_keep_s, 0.0),
        };
        if demand.year_tokens() * demand.peak_over_mean > TOKENS_PER_S_MAX * crate::goal::YEAR_S {
            self.range(
                &users.span,
                "that is more than 10^12 tokens a second, which nobody asks for",
                "look at users, messages and lengths: one of them is too great",
            );
        }
        Some(demand)
    }

    /// Load of each hour beside the mean one.
    fn hours(&mut self, hours: &At<Vec<f64>>, peak: &At<f64>) -> Option<[f64; 24]> {
        let mean = hours.value.iter().sum::<f64>() / 24.0;
        let sound = hours.value.iter().all(|part| (0.0..=1e9).contains(part));
        let Ok(mut parts) = <[f64; 24]>::try_from(hours.value.as_slice()) else {
            let message = format!(
                "`hours` has {} numbers; a day has 24 hours",
                hours.value.len()
            );
            self.range(&hours.span, &message, "from 0 h on, one for each hour");
            return None;
        };
        if !sound || mean <= 0.0 {
            self.range(
                &hours.span,
                "numbers of hours are at least 0 and not all 0",
                "how much comes in each hour, beside the others",
            );
            return None;
        }
        for part in &mut parts {
            *part /= mean;
        }
        let most = parts.iter().fold(0.0, |most: f64, part| most.max(*part));
        if most > peak.value * 1.0001 {
            let message = format!(
                "the greatest of `hours` is {most:.2} times their mean: more than the peak"
            );
            self.report
                .error("limits_conflict", &peak.span, message)
                .help("peaks of minutes are above those of hours: raise peak_over_mean")
                .related(&hours.span, "these");
            return None;
        }
        Some(parts)
    }

    fn models(&mut self, rows: Rows<RawModel>) -> Option<Vec<ModelGoal>> {
        let rows = self.rows("model", rows, |row| &row.id)?;
        let sum: f64 = rows
            .iter()
            .filter_map(|row| row.value.share.as_ref())
            .map(|share| share.value)
            .sum();
        if sum <= 0.0 {
            let span = rows.first().map_or(0..0, |row| row.span.clone());
            self.range(&span, "no model has a share of the demand", "say share = 1");
            return None;
        }
        let mut models = Vec::new();
        let mut whole = true;
        for row in rows {
            let model = self.model(row.value, sum);
            whole &= model.is_some();
            models.extend(model.filter(|model| model.share > 0.0));
        }
        whole.then_some(models)
    }

    fn model(&mut self, raw: RawModel, sum: f64) -> Option<ModelGoal> {
        let id = raw.id?;
        let found = self.catalog.model(&id.value).cloned();
        if found.is_none() {
            let catalog = self.catalog;
            let known = catalog.models.iter().map(|model| model.name.as_str());
            self.unknown(("model", &id), known);
        }
        let mut precisions = vec!["bf16".to_owned(), "fp8".to_owned()];
        if let Some(named) = raw.precisions {
            if let Some(name) = named
                .value
                .iter()
                .find(|name| Precision::named(name).is_none())
            {
                let message = format!("`{}` is no form of weights", brief(name));
                self.report
                    .error("unknown_word", &named.span, message)
                    .help("known: bf16, fp8, fp4, int8, int4");
            }
            precisions = named.value;
        }
        let engine = raw
            .engine
            .map_or(EngineKind::Vllm, |name| EngineKind::named(&name.value));
        Some(ModelGoal {
            model: found?,
            share: raw.share?.value / sum,
            precisions,
            engine,
            tuned: raw.tuned.is_some_and(|at| at.value),
        })
    }

    fn chips(&mut self, rows: Rows<RawChip>) -> Option<Vec<ChipGoal>> {
        let rows = self.rows("chip", rows, |row| &row.id)?;
        let mut chips = Vec::new();
        let mut whole = !rows.is_empty();
        for row in rows {
            let chip = self.chip(row.value);
            whole &= chip.is_some();
            chips.extend(chip);
        }
        whole.then_some(chips)
    }

    fn chip(&mut self, raw: RawChip) -> Option<ChipGoal> {
        let id = raw.id?;
        let Some(chip) = self.catalog.chip(&id.value).cloned() else {
            let catalog = self.catalog;
            let known = catalog.chips.iter().map(|chip| chip.name.as_str());
            self.unknown(("chip", &id), known);
            return None;
        };
        let watts = raw.watts.map(|at| at.value).or(chip.tdp_w);
        if watts.is_none() {
            let message = format!("the power of `{}` is not in the catalogue", chip.name);
            self.report
                .error("missing_key", &id.span, message)
                .help("say watts = 700, what one draws at most");
        }
        let key = |key: &str| format!("chip.{}.{key}", chip.name);
        let trend = self.or(&key("price_trend_per_year"), raw.price_trend_per_year, 0.0);
        let per_machine = self.or(&key("per_machine"), raw.per_machine, 8);
        Some(ChipGoal {
            watts: watts?,
            price_won: raw.price_won?.value,
            rent_won_per_hour: raw.rent_won_per_hour.map(|at| at.value),
            price_trend_per_year: trend,
            count_max: raw.count_max.map(|at| at.value),
            per_machine,
            chip,
        })
    }
}
