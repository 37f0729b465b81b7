//! Who asks for what: traces are looked through once, whole, before anything is run.

use super::{Check, Names};
use crate::scenario::model::{Demand, DrawnSource, EngineGroup, Lengths, Source, TraceSource};
use crate::scenario::raw::{RawDemand, Rows};
use crate::trace::{Rates, Requests, TraceError, TraceSummary};
use madang_fleet::text::{At, brief};
use std::sync::Arc;

/// Lengths that are drawn from a file.
const LENGTHS_MAX: usize = 1_000_000;
/// Requests a second of one demand.
const RATE_MAX: f64 = 1_000_000.0;
/// Where nothing is said, a client waits as long as the gateway's default lets it, in seconds.
const WAIT_S: u32 = 60;
const DAY_S: f64 = 86_400.0;

type Known<'k> = (&'k Names, &'k Names, &'k [Option<EngineGroup>]);

impl Check<'_, '_> {
    pub(super) fn demands(&mut self, rows: Rows<RawDemand>, known: Known<'_>) -> Vec<Demand> {
        let rows = rows.into_iter().flatten();
        rows.filter_map(|row| self.demand(&row, known)).collect()
    }

    fn demand(
        &mut self,
        row: &At<RawDemand>,
        (models, tenants, engines): Known<'_>,
    ) -> Option<Demand> {
        let raw = &row.value;
        let model = self.find(&raw.model, "model", models);
        if let (Some(model), Some(text)) = (model, &raw.model)
            && engines
                .iter()
                .all(|group| group.as_ref().is_some_and(|group| group.model != model))
        {
            let message = format!("no engine serves `{}`", brief(&text.value));
            self.report
                .error("model_unserved", &text.span, message)
                .help("add an [[engine]] for it, or ask for another model");
        }
        let parts = self.parts(raw, tenants);
        let source = match (&raw.trace, &raw.requests_per_day, &raw.rates) {
            (Some(trace), None, None) => self.trace(raw, trace).map(Source::Trace),
            (None, Some(_), None) | (None, None, Some(_)) => self.drawn(raw).map(Source::Drawn),
            _ => {
                let message =
                    "exactly one of `trace`, `requests_per_day` and `rates` says when it is asked";
                self.choose(
                    "demand",
                    &row.span,
                    (message, "as requests_per_day = 1000000"),
                );
                None
            }
        };
        let word = |text: &crate::scenario::raw::Text| text.as_ref().map(|at| at.value.clone());
        let parsed = |text: Option<String>| text.unwrap_or_default();
        Some(Demand {
            id: raw.id.as_ref()?.value.clone(),
            model: model?,
            tenants: parts?,
            priority: parsed(word(&raw.priority)).parse().unwrap_or_default(),
            data_class: parsed(word(&raw.data_class)).parse().unwrap_or_default(),
            wait_ms_max: u64::from(raw.wait_s_max.as_ref().map_or(WAIT_S, |at| at.value)) * 1000,
            patience_ns: u64::from(raw.patience_s.as_ref().map_or(0, |at| at.value))
                * 1_000_000_000,
            source: source?,
        })
    }

    /// Tenants, and the part of the requests up to and with each.
    fn parts(&mut self, raw: &RawDemand, tenants: &Names) -> Option<Vec<(usize, f64)>> {
        let asking = raw.tenants.as_ref()?;
        let sum: f64 = asking.value.values().sum();
        let sound = asking
            .value
            .values()
            .all(|part| (0.0..=1e12).contains(part));
        if !sound || sum <= 0.0 {
            self.report
                .error(
                    "number_range",
                    &asking.span,
                    "parts of tenants are at least 0 and not all 0",
                )
                .help("as tenants = { university = 3, city = 1 }");
            return None;
        }
        let mut so_far = 0.0;
        let mut parts = Vec::new();
        for (name, part) in &asking.value {
            so_far += part / sum;
            parts.push((tenants.position(name)?, so_far));
        }
        Some(parts)
    }

    fn open(&mut self, text: &At<String>) -> Option<Requests> {
        let opened = self.files.open(&text.value).map_err(TraceError::from);
        match opened.and_then(Requests::new) {
            Ok(requests) => Some(requests),
            Err(error) => {
                self.bad_file(text, error);
                None
            }
        }
    }

    fn summary(&mut self, text: &At<String>, model: Option<&str>) -> Option<TraceSummary> {
        let requests = self.open(text)?.of_model(model);
        match requests.and_then(Requests::summary) {
            Ok(summary) => Some(summary),
            Err(error) => {
                self.bad_file(text, error);
                None
            }
        }
    }

    fn trace(&mut self, raw: &RawDemand, trace: &At<String>) -> Option<TraceSource> {
        let drawn = [
            raw.input_tokens.as_ref().map(|at| &at.span),
            raw.output_tokens.as_ref().map(|at| &at.span),
            raw.hours.as_ref().map(|at| &at.span),
            raw.lengths.as_ref().map(|at| &at.span),
            raw.prefix_families.as_ref().map(|at| &at.span),
        ];
        for span in drawn.into_iter().flatten() {
            let message = "a trace says this itself";
            self.report
                .error("choose_one", span, message)
                .help("leave it out, or take `requests_per_day` instead of `trace`");
        }
        let recorded_model = raw.category.as_ref().map(|at| at.value.clone());
        let summary = self.summary(trace, recorded_model.as_deref())?;
        for doubt in summary.doubts() {
            self.report
                .warning("number_range", &trace.span, doubt.what)
                .help(doubt.help);
        }
        Some(TraceSource {
            file: trace.value.clone(),
            recorded_model,
            requests: summary.requests,
            speed: raw.speed.as_ref().map_or(1.0, |at| at.value),
            copies: raw.copies.as_ref().map_or(1.0, |at| at.value),
            repeat: raw.repeat.as_ref().is_some_and(|at| at.value),
            span_ms: summary.span_us.div_ceil(1000).max(1),
        })
    }

    fn drawn(&mut self, raw: &RawDemand) -> Option<DrawnSource> {
        for at in [&raw.speed, &raw.copies].into_iter().flatten() {
            let message = "only a trace goes faster or is copied";
            self.report
                .error("key_without_effect", &at.span, message)
                .help("say another `requests_per_day`");
        }
        let (rates, span_s) = match &raw.rates {
            Some(text) => self.rates(raw, text)?,
            None => (self.hourly(raw)?, 3_600),
        };
        if rates.iter().any(|rate| *rate > RATE_MAX) {
            let span = raw
                .requests_per_day
                .as_ref()
                .map_or(0..0, |at| at.span.clone());
            let message = format!("that is more than {RATE_MAX} requests a second");
            self.report
                .error("number_range", &span, message)
                .help("nobody asks so much; say less");
            return None;
        }
        let families = raw.prefix_families.as_ref().map_or(0, |at| at.value);
        let part = raw.prefix_part.as_ref().map_or(0.5, |at| at.value);
        Some(DrawnSource {
            rates,
            rate_span_ns: span_s * 1_000_000_000,
            lengths: self.lengths(raw)?,
            prefix_families: families,
            prefix_part: part,
        })
    }

    /// Rates of each hour of a day.
    fn hourly(&mut self, raw: &RawDemand) -> Option<Vec<f64>> {
        let day = raw.requests_per_day.as_ref()?.value;
        let Some(hours) = &raw.hours else {
            return Some(vec![day / DAY_S]);
        };
        let sum: f64 = hours.value.iter().sum();
        let sound = hours.value.iter().all(|part| (0.0..=1e12).contains(part));
        if hours.value.len() != 24 || !sound || sum <= 0.0 {
            self.report
                .error(
                    "number_range",
                    &hours.span,
                    "`hours` are 24 numbers from 0 on, not all 0",
                )
                .help("the first is for the hour from midnight to one");
            return None;
        }
        Some(
            hours
                .value
                .iter()
                .map(|part| day * part / sum / 3_600.0)
                .collect(),
        )
    }

    fn rates(&mut self, raw: &RawDemand, text: &At<String>) -> Option<(Vec<f64>, u64)> {
        let category = raw.category.as_ref().map(|at| at.value.as_str());
        let opened = self.files.open(&text.value).map_err(Into::into);
        match opened.and_then(|reader| Rates::read(reader, category)) {
            Ok(rates) => Some((rates.per_second, rates.span_s)),
            Err(error) => {
                self.bad_file(text, error);
                None
            }
        }
    }

    fn lengths(&mut self, raw: &RawDemand) -> Option<Lengths> {
        match (&raw.lengths, &raw.input_tokens, &raw.output_tokens) {
            (Some(file), None, None) => self.length_rows(file),
            (None, Some(input), Some(output)) => {
                let cv = |at: &Option<At<f64>>| at.as_ref().map_or(0.0, |at| at.value);
                Some(Lengths::LogNormal(
                    (input.value, cv(&raw.input_cv)),
                    (output.value, cv(&raw.output_cv)),
                ))
            }
            _ => {
                let span = raw.id.as_ref().map_or(0..0, |id| id.span.clone());
                let message = "lengths are `lengths`, or `input_tokens` and `output_tokens`";
                let help = "as lengths = \"azure-2023-conversation\"";
                self.choose("demand", &span, (message, help));
                None
            }
        }
    }

    fn length_rows(&mut self, file: &At<String>) -> Option<Lengths> {
        let mut requests = self.open(file)?;
        let mut rows = Vec::new();
        while rows.len() < LENGTHS_MAX {
            match requests.next_request() {
                Ok(Some(request)) => {
                    let small = |tokens: u64| u32::try_from(tokens).unwrap_or(u32::MAX);
                    rows.push((small(request.input_tokens), small(request.output_tokens)));
                }
                Ok(None) => break,
                Err(error) => {
                    self.bad_file(file, error);
                    return None;
                }
            }
        }
        if rows.is_empty() {
            self.bad_file(file, TraceError::Empty);
            return None;
        }
        Some(Lengths::Rows(Arc::from(rows)))
    }
}
