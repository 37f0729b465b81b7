//! Sites and the engines that stand at them.

use super::parts::{chips, parallel};
use super::{Check, Names};
use crate::engine::{PROFILES, Profile, Speculation, Tier};
use crate::fidelity::banded;
use crate::scenario::energy::{EnergyError, Renewables, covers, tariff};
use crate::scenario::model::{EngineGroup, Site};
use crate::scenario::raw::{RawEngine, RawSite, Rows};
use madang_catalog::{
    Catalog, Deployment, DeploymentError, EngineKind, MACHINE_ACCELERATORS, Parallel,
};
use madang_core::power::model::PowerProfile;
use madang_fleet::energy::DAY_H;
use madang_fleet::text::{At, brief, nearest};
use madang_types::SiteId;
use std::collections::BTreeMap;
use std::ops::Range;

/// Engines of a model behind one gateway: as many as the other experiments may have.
const POOL_ENGINES_MAX: u64 = 10_000;

/// All engines of a model.
#[derive(Default)]
struct Pool {
    engines: u64,
    /// How many the largest group of them has, and where that is said.
    most: u32,
    span: Range<usize>,
}

impl Pool {
    fn add(&mut self, count: At<u32>) {
        self.engines += u64::from(count.value);
        if count.value > self.most {
            (self.most, self.span) = (count.value, count.span);
        }
    }
}

/// A profile with what an engine's keys say instead.
pub(super) fn sized(profile: &Profile, raw: &RawEngine) -> Profile {
    let mut profile = match &raw.speed_milli {
        Some(milli) => profile.at_speed(u64::from(milli.value)),
        None => profile.clone(),
    };
    profile.slots = raw.slots.as_ref().map_or(profile.slots, |at| at.value);
    profile.kv_tokens = raw
        .kv_tokens
        .as_ref()
        .map_or(profile.kv_tokens, |at| at.value);
    keep(&mut profile, raw);
    profile.load_us = raw
        .load_s
        .as_ref()
        .map_or(profile.load_us, |at| microseconds(at.value));
    profile
}

/// The tiers of an engine's prefix cache.
fn keep(profile: &mut Profile, raw: &RawEngine) {
    if let Some(tokens) = &raw.host_kv_tokens {
        profile.keep(Tier::host(tokens.value));
    }
    if let Some(tokens) = &raw.disk_kv_tokens {
        let usual = Tier::disk(tokens.value);
        profile.keep(Tier {
            bytes_s: (raw.disk_gb_s.as_ref()).map_or(usual.bytes_s, |at| at.value * 1e9),
            latency_us: (raw.disk_latency_ms.as_ref())
                .map_or(usual.latency_us, |at| microseconds(at.value / 1e3)),
            ..usual
        });
    }
}

pub(super) fn microseconds(seconds: f64) -> u64 {
    (seconds * 1e6) as u64
}

/// Hours in nanoseconds.
pub(super) fn hours_ns(hours: f64) -> u64 {
    (hours * 3.6e12) as u64
}

impl Check<'_, '_> {
    pub(super) fn sites(&mut self, rows: Rows<RawSite>) -> Option<Vec<Site>> {
        let mut sites = Vec::new();
        let mut whole = true;
        for row in rows.into_iter().flatten() {
            let site = self.site(row.value);
            whole &= site.is_some();
            sites.extend(site);
        }
        whole.then_some(sites)
    }

    fn site(&mut self, raw: RawSite) -> Option<Site> {
        let id = raw.id.as_ref().and_then(|id| self.name(id, SiteId::new));
        let country = raw.country.as_ref().and_then(|text| self.country(text));
        let (start, hours) = (self.start, self.hours);
        let tariff = raw.tariff.as_ref().and_then(|text| {
            self.energy(text, |reader| {
                let tariff = tariff(reader)?;
                covers(&tariff, start, hours)?;
                Ok(tariff)
            })
        });
        let watts = raw
            .renewables_kw
            .as_ref()
            .map_or(0.0, |kw| kw.value * 1000.0);
        let renewables = raw
            .renewables
            .as_ref()
            .and_then(|text| self.energy(text, |reader| Renewables::read(reader, watts)));
        let (capacity, file) = (raw.renewables_kw.as_ref(), raw.renewables.as_ref());
        match (capacity, file) {
            (Some(at), None) => {
                let message = "`renewables_kw` has no effect without `renewables`";
                self.report
                    .error("missing_key", &at.span, message)
                    .help("name a file such as solar-jeonnam.csv");
            }
            (None, Some(at)) => {
                let message = "`renewables` has no effect without `renewables_kw`";
                self.report
                    .error("missing_key", &at.span, message)
                    .help("say their capacity, as renewables_kw = 100000");
            }
            _ => {}
        }
        let carbon_hours = match &raw.carbon_hours {
            None => None,
            Some(at) => Some(self.day(at)?),
        };
        Some(Site {
            id: id?,
            country: country?,
            cap_watts: raw.power_cap_kw.map(|kw| (kw.value * 1000.0) as u64),
            pue_milli: raw
                .pue
                .map_or(1_000, |pue| (pue.value * 1000.0).round() as u32),
            tariff,
            carbon_g_per_kwh: raw.carbon_g_per_kwh.map(|grams| grams.value),
            carbon_hours,
            renewables,
            storage_gb_s: raw.storage_gb_s.map(|at| at.value),
        })
    }

    /// One number for each hour of the day, none below nothing.
    fn day(&mut self, at: &At<Vec<f64>>) -> Option<[f64; DAY_H]> {
        let hours = <[f64; DAY_H]>::try_from(at.value.as_slice()).ok();
        let hours = hours.filter(|hours| hours.iter().all(|part| (0.0..=1e3).contains(part)));
        if hours.is_none() {
            let message = "there is one part for each of the 24 hours, none below 0";
            self.report
                .error("number_range", &at.span, message)
                .help("begin at midnight; 1 is the mean");
        }
        hours
    }

    fn energy<T>(
        &mut self,
        text: &At<String>,
        read: impl FnOnce(Box<dyn std::io::Read + Send>) -> Result<T, EnergyError>,
    ) -> Option<T> {
        let reader = match self.files.open(&text.value) {
            Ok(reader) => reader,
            Err(error) => {
                self.bad_file(text, error);
                return None;
            }
        };
        match read(reader) {
            Ok(read) => Some(read),
            Err(error) => {
                self.bad_file(text, error);
                None
            }
        }
    }

    /// Groups of engines, each `None` where something is wrong with it.
    pub(super) fn engines(
        &mut self,
        rows: Rows<RawEngine>,
        names: (&Names, &Names),
        sites: Option<&[Site]>,
    ) -> Vec<Option<EngineGroup>> {
        let mut groups = Vec::new();
        let mut pools: BTreeMap<usize, Pool> = BTreeMap::new();
        for row in rows.into_iter().flatten() {
            let count = row.value.count.clone();
            let group = self.engine(row.value, names, sites);
            if let (Some(group), Some(count)) = (&group, count) {
                pools.entry(group.model).or_default().add(count);
            }
            groups.push(group);
        }
        for (model, pool) in pools {
            self.pool(names.1.0.get(model).map_or("", String::as_str), &pool);
        }
        groups
    }

    /// Each request looks at all engines of a model behind its gateway.
    fn pool(&mut self, model: &str, pool: &Pool) {
        if pool.engines.div_ceil(u64::from(self.cells)) > POOL_ENGINES_MAX {
            let (engines, cells) = (pool.engines, self.cells);
            let message = format!(
                "`{}` has {engines} engines behind {cells} gateways",
                brief(model)
            );
            let problem = self.report.error("limits_conflict", &pool.span, message);
            problem.help(format!(
                "a gateway may have {POOL_ENGINES_MAX} of a model: say cells = {} in [run], or have fewer engines",
                engines.div_ceil(POOL_ENGINES_MAX)
            ));
        }
    }

    fn engine(
        &mut self,
        raw: RawEngine,
        (sites, models): (&Names, &Names),
        built: Option<&[Site]>,
    ) -> Option<EngineGroup> {
        let site = self.find(&raw.site, "site", sites);
        let model = self.find(&raw.model, "model", models);
        let storage_gb_s = site.and_then(|at| built?.get(at)?.storage_gb_s);
        let profile = self.profile(&raw, storage_gb_s);
        let power = self.power(&raw);
        let profile = profile?;
        Some(EngineGroup {
            id: raw.id?.value,
            site: site?,
            model: model?,
            count: raw.count?.value,
            profile: profile.0,
            band: profile.1,
            power,
            from_ns: raw.from_h.map_or(0, |at| hours_ns(at.value)),
        })
    }

    /// What each can do, and how far that may be from the truth.
    fn profile(
        &mut self,
        raw: &RawEngine,
        storage_gb_s: Option<f64>,
    ) -> Option<(Profile, Option<f64>)> {
        let (profile, band) = match (&raw.profile, &raw.chip) {
            (Some(name), None) => {
                if let Some(tuned) = &raw.tuned {
                    let message = "`tuned` has no effect on a profile that is named";
                    self.report
                        .error("missing_key", &tuned.span, message)
                        .help("say the chip instead, as chip = \"H100-SXM\"");
                }
                (self.named_profile(name)?, None)
            }
            (None, Some(chip)) => {
                let (deployment, band) = self.deployment(raw, chip, parallel(raw))?;
                let mut profile = Profile::of(&deployment).ok()?;
                profile.load_us =
                    microseconds(deployment.load_s(MACHINE_ACCELERATORS, storage_gb_s));
                (profile, Some(band))
            }
            (one, _) => {
                let span = one
                    .as_ref()
                    .or(raw.id.as_ref())
                    .map_or(0..0, |at| at.span.clone());
                let message = "exactly one of `profile` and `chip` says what an engine can do";
                self.choose("engine", &span, (message, "as chip = \"H100-SXM\""));
                return None;
            }
        };
        let mut profile = sized(&profile, raw);
        if let Some(speculation) = self.speculation(raw) {
            profile = profile.speculating(speculation);
        }
        let profile = self.of_parts(raw, profile, storage_gb_s)?;
        Some((profile, band))
    }

    /// How an engine guesses ahead: all three keys, or none.
    fn speculation(&mut self, raw: &RawEngine) -> Option<Speculation> {
        match (&raw.draft_tokens, &raw.acceptance, &raw.draft_part) {
            (Some(tokens), Some(acceptance), Some(part)) => Some(Speculation {
                draft_tokens: tokens.value,
                acceptance: acceptance.value,
                draft_part: part.value,
            }),
            (None, None, None) => None,
            (tokens, acceptance, part) => {
                let spans = [
                    tokens.as_ref().map(|at| at.span.clone()),
                    acceptance.as_ref().map(|at| at.span.clone()),
                    part.as_ref().map(|at| at.span.clone()),
                ];
                let span = spans.into_iter().flatten().next().unwrap_or_default();
                let message = "`draft_tokens`, `acceptance` and `draft_part` stand together";
                self.report.error("missing_key", &span, message).help(
                    "say all three, as draft_tokens = 3, acceptance = 0.7, draft_part = 0.05",
                );
                None
            }
        }
    }

    fn named_profile(&mut self, text: &At<String>) -> Option<Profile> {
        let found = Profile::named(&text.value);
        if found.is_none() {
            let known = || PROFILES.iter().map(|profile| &*profile.name);
            let help = match nearest(&text.value, known()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known: {}", known().collect::<Vec<_>>().join(", ")),
            };
            let message = format!("there is no profile `{}`", brief(&text.value));
            self.report
                .error("reference_unknown", &text.span, message)
                .help(help);
        }
        found.cloned()
    }

    /// The model on its chips by the catalogue, and how far that may be from the truth.
    pub(super) fn deployment(
        &mut self,
        raw: &RawEngine,
        chip: &At<String>,
        parallel: Parallel,
    ) -> Option<(Deployment, f64)> {
        let model = raw.weights.as_ref().or(raw.model.as_ref())?;
        let word = |text: &Option<At<String>>, default: &str| {
            text.as_ref()
                .map_or_else(|| default.to_owned(), |at| at.value.clone())
        };
        let engine = EngineKind::named(&word(&raw.server, "vllm"));
        let precision = word(&raw.precision, "bf16");
        let place = (model.value.as_str(), chip.value.as_str());
        match self.catalog.deployment(place, parallel, &precision, engine) {
            Ok(deployment) => {
                let is_tuned = raw.tuned.as_ref().is_some_and(|at| at.value);
                Some(banded(deployment, is_tuned))
            }
            Err(error) => {
                let (code, at, help) = match &error {
                    DeploymentError::Unknown { kind: "model", .. } => (
                        "reference_unknown",
                        model,
                        "name the model of the catalogue that has its form, as weights = \"Qwen3-32B\"",
                    ),
                    DeploymentError::Unknown { .. } => (
                        "reference_unknown",
                        chip,
                        "name a chip of the catalogue, as chip = \"H100-SXM\"",
                    ),
                    DeploymentError::Memory { .. } => (
                        "kv_too_small",
                        chip,
                        "more chips for each engine (`tensor`), or a smaller `precision`",
                    ),
                };
                self.report
                    .error(code, &at.span, error.to_string())
                    .help(help);
                None
            }
        }
    }

    /// What each draws: as said, or by the kind of its accelerators, or by what the catalogue says that its chips are rated at; nothing
    /// where none of these is known.
    fn power(&mut self, raw: &RawEngine) -> Option<PowerProfile> {
        let count = raw
            .accelerators
            .as_ref()
            .map_or_else(|| chips(raw), |at| u64::from(at.value));
        let by_kind = raw.accelerator.as_ref().and_then(|kind| {
            let found = PowerProfile::of_accelerator(&kind.value);
            if found.is_none() && raw.full_watts.is_none() {
                let message = format!("the power of `{}` is not known", brief(&kind.value));
                self.report
                    .warning("reference_unknown", &kind.span, message)
                    .help("say idle_watts and full_watts of each engine; without them its energy is not counted");
            }
            found.map(|one| one.times(count))
        });
        match (&raw.idle_watts, &raw.full_watts) {
            (Some(idle), Some(full)) if idle.value <= full.value => {
                Some(PowerProfile::new(idle.value, full.value))
            }
            (Some(idle), Some(_)) => {
                self.report
                    .error(
                        "limits_conflict",
                        &idle.span,
                        "`idle_watts` is above `full_watts`",
                    )
                    .help("an engine draws least where it does nothing");
                None
            }
            (Some(one), None) | (None, Some(one)) => {
                self.report
                    .error(
                        "missing_key",
                        &one.span,
                        "`idle_watts` and `full_watts` stand together",
                    )
                    .help("say both, or name the kind of `accelerator`");
                None
            }
            (None, None) => by_kind.or_else(|| Some(rated(&self.catalog, raw)?.times(count))),
        }
    }
}

/// What one of its chips draws by the catalogue, with its part of the machine.
fn rated(catalog: &Catalog, raw: &RawEngine) -> Option<PowerProfile> {
    let watts = catalog.chip(&raw.chip.as_ref()?.value)?.tdp_w?;
    // The catalogue holds no chip above some kilowatts.
    Some(PowerProfile::of_rated(watts.round() as u64))
}
