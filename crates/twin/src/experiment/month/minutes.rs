//! Request by request: three tenants of weights 4, 2 and 1 with three projects each, all with more waiting than is served. Over
//! each minute, how near is the service of each to its part?

use super::MonthOptions;
use crate::experiment::crowd::{PLENTY_US, ROUND_TRIP_NS, SECOND_NS, Sizes, ratio};
use crate::experiment::noisy::ExperimentError;
use crate::random::Random;
use crate::world::{Ask, Clients, Ended, Fleet, World, WorldOptions};
use madang_core::credit::Month;
use madang_core::{CreditRow, Holder, Payer, Rules, TenantShare, TenantStatus};
use madang_types::{DataClass, KeyId, NameError, Priority, ProjectId, TenantId};
use serde::Serialize;
use std::sync::Arc;

/// Tenants and their weights.
const TENANTS: [(&str, u32); 3] = [("large", 4), ("middle", 2), ("small", 1)];
/// Requests that each project of a tenant has waiting or running at any time: few clients ask most.
const CLIENTS: [u64; 3] = [900, 80, 20];
/// Until the minutes begin.
const WARM_S: u64 = 120;
const MINUTES: u64 = 10;

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct MinutesReport {
    /// Each tenant.
    pub tenants: Vec<MinutesRow>,
    /// Part of all tenants' minutes whose service is within 5 % of the part with credit.
    pub within_5_percent_ratio: f64,
}

/// One tenant over the minutes.
#[derive(Clone, Debug, Serialize)]
pub struct MinutesRow {
    /// Who.
    pub tenant: String,
    /// Its part by weight.
    pub share: f64,
    /// Its part with credit counted, at the end.
    pub lean: f64,
    /// Service ÷ part with credit, minute by minute.
    pub minutes: Vec<f64>,
}

/// Runs the minutes: with credit in full for the small one, and the others in debt, or with neither.
pub(super) fn minutes(
    options: &MonthOptions,
    credit: bool,
) -> Result<MinutesReport, ExperimentError> {
    let mut world = World::new(
        WorldOptions {
            fleet: fleet(options, credit)?,
            round_trip_ns: ROUND_TRIP_NS,
            until_ns: u64::MAX / 2,
            window_ns: (0, 1),
        },
        Crowd::new(options.seed)?,
    )?;
    let mut moments: Vec<Vec<TenantStatus>> = Vec::new();
    for minute in 0..=MINUTES {
        world.run_until((WARM_S + 60 * minute) * SECOND_NS);
        let tenants = world.status().into_iter().flat_map(|pool| pool.tenants);
        moments.push(tenants.collect());
    }
    let tenants: Vec<MinutesRow> = TENANTS
        .iter()
        .map(|(name, _)| row(name, &moments))
        .collect();
    let all: Vec<f64> = tenants.iter().flat_map(|row| row.minutes.clone()).collect();
    let near = all.iter().filter(|ratio| (**ratio - 1.0).abs() <= 0.05);
    let (near, all) = (near.count(), all.len().max(1));
    Ok(MinutesReport {
        within_5_percent_ratio: ratio(
            u64::try_from(near).unwrap_or(0),
            u64::try_from(all).unwrap_or(1),
        ),
        tenants,
    })
}

fn fleet(options: &MonthOptions, credit: bool) -> Result<Fleet, NameError> {
    let mut fleet = Fleet::new(&options.profile, options.replicas, Rules::default())?;
    fleet.limits.queue_length_max = u32::MAX;
    fleet.credit = options.terms;
    for (name, weight) in TENANTS {
        let tenant = TenantId::new(name)?;
        if credit {
            fleet.credits.push(CreditRow {
                holder: Holder::Tenant(tenant.clone()),
                balance_us: if name == "small" {
                    PLENTY_US
                } else {
                    -PLENTY_US
                },
                month: Month::default(),
            });
        }
        fleet.shares.tenants.push(TenantShare {
            tenant,
            programme: None,
            weight,
        });
    }
    Ok(fleet)
}

/// One tenant's minutes between the moments.
fn row(name: &str, moments: &[Vec<TenantStatus>]) -> MinutesRow {
    let find = |moment: &[TenantStatus]| {
        let found = moment.iter().find(|tenant| tenant.tenant.as_str() == name);
        found.map_or((0, 0, 0), |tenant| {
            (
                tenant.service_us,
                tenant.share_permille,
                tenant.lean_permille,
            )
        })
    };
    let all = |moment: &[TenantStatus]| moment.iter().map(|tenant| tenant.service_us).sum::<u64>();
    let mut minutes = Vec::new();
    for pair in moments.windows(2) {
        let [before, after] = pair else { continue };
        let (_, _, lean) = find(after);
        let served = find(after).0.saturating_sub(find(before).0);
        let part = ratio(served, all(after).saturating_sub(all(before)).max(1));
        minutes.push(part * 1000.0 / f64::from(lean.max(1)));
    }
    let (_, share, lean) = moments.last().map_or((0, 0, 0), |moment| find(moment));
    MinutesRow {
        tenant: name.to_owned(),
        share: f64::from(share) / 1000.0,
        lean: f64::from(lean) / 1000.0,
        minutes,
    }
}

/// Everybody asks anew when answered.
struct Crowd {
    random: Random,
    sizes: Sizes,
    /// Each project's payer.
    payers: Vec<Payer>,
    /// Whose first requests are still to come.
    first: Vec<usize>,
}

impl Crowd {
    fn new(seed: u64) -> Result<Self, ExperimentError> {
        let mut payers = Vec::new();
        let mut first = Vec::new();
        for (name, _) in TENANTS {
            for (project, clients) in (0..).zip(CLIENTS) {
                first.extend((0..clients).map(|_| payers.len()));
                payers.push(payer(name, project)?);
            }
        }
        Ok(Self {
            random: Random::new(seed, 400),
            sizes: Sizes::azure()?,
            payers,
            first,
        })
    }

    fn ask(&mut self, at_ns: u64, whose: usize) -> Option<Ask> {
        let (prompt_tokens, output_tokens) = self.sizes.draw(&mut self.random);
        Some(Ask {
            at_ns,
            label: u64::try_from(whose).unwrap_or(0),
            payer: self.payers.get(whose)?.clone(),
            priority: Priority::Standard,
            data_class: DataClass::Open,
            prompt_tokens,
            output_tokens,
            output_tokens_max: output_tokens.max(2_048),
            blocks: Arc::from([]),
            block_tokens: 512,
            wait_ms_max: 3_600_000,
            patience_ns: 0,
        })
    }
}

fn payer(tenant: &str, project: u32) -> Result<Payer, NameError> {
    let project = format!("project-{project}");
    Ok(Payer {
        tenant: TenantId::new(tenant)?,
        project: Some(ProjectId::new(&project)?),
        key: KeyId::new(&format!("{tenant}-{project}"))?,
    })
}

impl Clients for Crowd {
    fn next(&mut self) -> Option<Ask> {
        let whose = self.first.pop()?;
        self.ask(0, whose)
    }

    fn ended(&mut self, ended: &Ended) -> Option<Ask> {
        self.ask(ended.at_ns, usize::try_from(ended.label).ok()?)
    }
}
