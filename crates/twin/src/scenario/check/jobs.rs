//! Batch jobs: those of a trace, or as many as are said to ask.

use super::{Check, Names};
use crate::random::Random;
use crate::scenario::energy::covers;
use crate::scenario::model::{FlexGroup, JobGroup, Site};
use crate::scenario::raw::{RawJobs, Rows};
use crate::scenario::shift::TAIL_H;
use crate::trace::{self, JobRow, JobTrace, TraceError};
use madang_core::power::model::PowerProfile;
use madang_fleet::text::{At, brief};

/// Jobs that may be put off, times hours in which they may run.
const SHIFTED_MAX: usize = 2_000_000;
/// Standard deviation of the logarithm of what jobs ask for: most ask for little, and few for much.
const SIZE_SPREAD: f64 = 1.0;
/// The stream of random numbers of jobs, beside those of requests.
const PURPOSE: u64 = 1 << 61;

impl Check<'_, '_> {
    pub(super) fn jobs(
        &mut self,
        rows: Rows<RawJobs>,
        sites: (&Names, &[Site]),
        seed: u64,
    ) -> Vec<JobGroup> {
        let rows = (0..).zip(rows.into_iter().flatten());
        let group = |(number, row): (u64, At<RawJobs>)| {
            self.job_group(&row, sites, Random::new(seed, PURPOSE | number))
        };
        rows.filter_map(group).collect()
    }

    fn job_group(
        &mut self,
        row: &At<RawJobs>,
        (sites, known): (&Names, &[Site]),
        mut random: Random,
    ) -> Option<JobGroup> {
        let raw = &row.value;
        let site = self.find(&raw.site, "site", sites);
        let kind = raw.accelerator.as_ref()?;
        let power = PowerProfile::of_accelerator(&kind.value);
        if power.is_none() {
            let message = format!("the power of `{}` is not known", brief(&kind.value));
            let problem = self.report.error("reference_unknown", &kind.span, message);
            problem.help("jobs share a cap of power: name a kind such as h100 or b200");
        }
        let trace = match (&raw.trace, &raw.asks, &raw.asked_accelerators, &raw.run_h) {
            (Some(file), None, None, None) => self.job_trace(file)?,
            (None, Some(asks), Some(asked), Some(run_h)) if asked.value >= asks.value => {
                let over_h = raw.over_h.as_ref().map_or(0.0, |at| at.value);
                let asked = (asks.value, asked.value);
                JobTrace {
                    rows: drawn(asked, (run_h.value, over_h), &mut random),
                    unordered: None,
                }
            }
            (None, Some(_), Some(asked), Some(_)) => {
                let message = "fewer accelerators are asked for than there are jobs";
                self.report
                    .error("limits_conflict", &asked.span, message)
                    .help("each job needs one at least");
                return None;
            }
            _ => {
                let message = "jobs are a `trace`, or `asks`, `asked_accelerators` and `run_h`";
                let help = "as asks = 514, asked_accelerators = 13712, run_h = 100";
                self.choose("jobs", &row.span, (message, help));
                return None;
            }
        };
        self.bends(raw);
        let flex = self.flex(raw, (sites, known), (site?, trace.rows.len()));
        Some(JobGroup {
            id: raw.id.as_ref()?.value.clone(),
            site: site?,
            accelerators: raw.accelerators.as_ref()?.value,
            power: power?,
            rows: trace.rows,
            unordered: trace.unordered,
            flex: flex?,
            pause_us: raw
                .pause_h
                .as_ref()
                .map_or(0, |at| (at.value * 3.6e9) as u64),
            slow_milli: raw
                .slow
                .as_ref()
                .map_or(0, |at| (at.value * 1e3).round() as u32),
            checkpoints: raw.checkpoints.as_ref().is_none_or(|at| at.value),
        })
    }

    /// Work that may be put off has its own way to do with less.
    fn bends(&mut self, raw: &RawJobs) {
        let pause = raw.pause_h.as_ref().or(raw.slow.as_ref());
        let pause = pause.map(|at| &at.span);
        let checkpoints = raw.checkpoints.as_ref().map(|at| &at.span);
        if let (Some(_), Some(span)) = (&raw.shift_h, pause.or(checkpoints)) {
            self.report
                .error(
                    "key_without_effect",
                    span,
                    "it has no effect with `shift_h`",
                )
                .help("such work runs on what each hour's cap leaves; leave one of both out");
        }
    }

    /// How they may be put off: where each hour has a price.
    fn flex(
        &mut self,
        raw: &RawJobs,
        (names, sites): (&Names, &[Site]),
        (own, count): (usize, usize),
    ) -> Option<Option<FlexGroup>> {
        let Some(shift_h) = &raw.shift_h else {
            let parts = raw.parts.as_ref().map(|at| &at.span);
            let other = raw.also_at.as_ref().map(|at| &at.span);
            let tasks = raw.tasks.as_ref().map(|at| &at.span);
            if let Some(span) = parts.or(other).or(tasks) {
                self.report
                    .error("missing_key", span, "it has no effect without `shift_h`")
                    .help("say by how many hours they may be put off, as shift_h = 12");
                return None;
            }
            return Some(None);
        };
        let mut all = vec![own];
        for text in raw.also_at.iter().flat_map(|at| &at.value) {
            let at = self.find(&Some(text.clone()), "site", names)?;
            if !all.contains(&at) {
                all.push(at);
            }
        }
        let hours = self.hours + TAIL_H;
        let tasks = raw.tasks.as_ref().map_or(1, |at| at.value);
        let count = count.saturating_mul(usize::try_from(tasks).unwrap_or(usize::MAX));
        if count.saturating_mul(usize::try_from(hours).unwrap_or(usize::MAX)) > SHIFTED_MAX {
            let message = format!("{count} jobs in {hours} hours are too many to be weighed");
            self.report
                .error("limits_conflict", &shift_h.span, message)
                .help(format!(
                    "they may be {SHIFTED_MAX}, multiplied: fewer jobs, or fewer hours"
                ));
            return None;
        }
        for site in all.iter().filter_map(|at| sites.get(*at)) {
            let priced = match &site.tariff {
                None => Err("has no tariff".to_owned()),
                Some(tariff) => covers(tariff, self.start, hours)
                    .map_err(|error| format!("has a tariff that does not do: {error}")),
            };
            if let Err(why) = priced {
                let message = format!("jobs cannot wait for cheap hours: site `{}` {why}", site.id);
                self.report
                    .error("missing_key", &shift_h.span, message)
                    .help("two weeks after the scenario's end need a price too; or take out `shift_h`");
                return None;
            }
        }
        Some(Some(FlexGroup {
            shift_us: (shift_h.value * 3.6e9) as u64,
            parts: raw.parts.as_ref().is_some_and(|at| at.value),
            tasks,
            sites: all,
        }))
    }

    fn job_trace(&mut self, file: &At<String>) -> Option<JobTrace> {
        let opened = self.files.open(&file.value).map_err(TraceError::from);
        match opened.and_then(trace::jobs) {
            Ok(trace) => {
                if let Some(unordered) = &trace.unordered {
                    self.report
                        .warning("number_range", &file.span, unordered.to_string())
                        .help("it is run so; sort the file to be sure that its times are meant");
                }
                Some(trace)
            }
            Err(error) => {
                self.bad_file(file, error);
                None
            }
        }
    }
}

/// So many jobs, each of a tenant of its own, that ask for so many accelerators together.
fn drawn(
    (asks, asked): (u32, u32),
    (run_h, over_h): (f64, f64),
    random: &mut Random,
) -> Vec<JobRow> {
    let wishes: Vec<f64> = (0..asks)
        .map(|_| (SIZE_SPREAD * random.normal()).exp())
        .collect();
    let all: f64 = wishes.iter().sum();
    // Each has one, and of the rest a part by its wish; what rounding leaves goes to the first.
    let rest = f64::from(asked - asks);
    let mut sizes: Vec<u32> = wishes
        .iter()
        .map(|wish| 1 + (rest * wish / all) as u32)
        .collect();
    let mut left = asked - sizes.iter().sum::<u32>().min(asked);
    for size in &mut sizes {
        let more = u32::from(left > 0);
        *size += more;
        left -= more;
    }
    let mut rows: Vec<JobRow> = (0..)
        .zip(sizes)
        .map(|(number, accelerators): (u32, u32)| JobRow {
            submit_s: (random.unit() * over_h * 3_600.0) as u64,
            tenant: format!("ask-{number}"),
            accelerators,
            run_s: (random.exponential() * run_h * 3_600.0).ceil().max(60.0) as u64,
        })
        .collect();
    rows.sort_by_key(|row| row.submit_s);
    rows
}
