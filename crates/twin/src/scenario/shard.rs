//! One pool of one gateway: a world of its own.

use super::arrivals::{Arrivals, Part, demand_of, numbered, tenant_of};
use super::purses::{Purses, Spending};
use super::tally::{Measure, TOO_LONG, Tally};
use super::{Files, Progress, RunError, Scenario};
use crate::engine::Spent;
use crate::world::{
    Ask, Clients, Ended, Failure, Fleet, FleetEngine, Outcome, World, WorldOptions,
};
use madang_types::{Place, Policy, Priority};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

const HOUR_NS: u64 = 3_600_000_000_000;
/// Engines are looked at so often.
pub(super) const SAMPLE_NS: u64 = 10_000_000_000;
/// Power is averaged over so long, as meters do.
pub const INTERVAL_NS: u64 = 300_000_000_000;

/// Which pool of which gateway, and which part of the model's requests is its.
#[derive(Clone, Debug)]
pub(super) struct ShardPlan {
    pub cell: u32,
    pub model: usize,
    /// The group of each of its engines.
    pub groups: Vec<usize>,
    /// Its place in that group.
    pub places: Vec<u32>,
    pub part: Part,
}

/// What the engines of a group did in an interval.
#[derive(Clone, Copy, Debug, Default)]
pub struct Use {
    /// Engines.
    pub engines: u32,
    /// Time in which prompts were computed, in nanoseconds of one engine.
    pub prefill_ns: u64,
    /// Likewise tokens made.
    pub decode_ns: u64,
    /// How often one of them was looked at.
    pub samples: u64,
    /// How full the power model says that they were, in thousandths, summed over samples.
    pub full_milli: u64,
    /// Tokens held in KV memory, summed over samples.
    pub kv_tokens: u64,
}

impl Use {
    fn add(&mut self, other: &Self) {
        self.engines += other.engines;
        self.prefill_ns += other.prefill_ns;
        self.decode_ns += other.decode_ns;
        self.samples += other.samples;
        self.full_milli += other.full_milli;
        self.kv_tokens += other.kv_tokens;
    }
}

/// What a shard says.
#[derive(Debug)]
pub(super) struct ShardResult {
    pub model: usize,
    pub tally: Tally,
    pub uses: Uses,
    /// What tenants spent of their grants.
    pub spent: BTreeMap<usize, Spending>,
}

/// By group of engines and interval.
#[derive(Debug)]
pub struct Uses(pub Vec<Vec<Use>>);

impl Uses {
    pub(super) fn new(groups: usize, hours: u32) -> Self {
        let intervals = usize::try_from(u64::from(hours) * HOUR_NS / INTERVAL_NS).unwrap_or(0);
        Self(vec![vec![Use::default(); intervals]; groups])
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (sums, more) in self.0.iter_mut().zip(&other.0) {
            for (sum, more) in sums.iter_mut().zip(more) {
                sum.add(more);
            }
        }
    }

    fn at(&mut self, group: usize, at_ns: u64) -> Option<&mut Use> {
        let interval = usize::try_from(at_ns / INTERVAL_NS).ok()?;
        self.0.get_mut(group)?.get_mut(interval)
    }
}

pub(super) struct Crowd<'s> {
    scenario: &'s Scenario,
    arrivals: Arrivals<'s>,
    groups: Vec<usize>,
    measure: Measure,
    /// Prompt and answer of the longest request that an engine has the memory for.
    tokens_max: u64,
    tally: Tally,
    uses: Uses,
    /// What tenants may spend here; `None` where nobody was granted anything.
    purses: Option<Purses>,
    /// Requests that came so far.
    number: u64,
    failed: Option<RunError>,
}

impl Crowd<'_> {
    fn key(&self, engine: Option<u32>, label: u64, asked_ns: u64) -> (usize, usize, u32) {
        let group = engine.and_then(|engine| self.groups.get(usize::try_from(engine).ok()?));
        let site = group.map_or(self.scenario.sites.len(), |group| {
            self.scenario.engines[*group].site
        });
        (
            site,
            tenant_of(label),
            u32::try_from(asked_ns / HOUR_NS).unwrap_or(u32::MAX),
        )
    }
}

impl Crowd<'_> {
    /// What events change for those who wait: requests that its site answered, and those that it might have and were refused.
    fn notice_events(&mut self, site: usize, ended: &Ended) {
        if self.scenario.events.is_empty() {
            return;
        }
        let demand = &self.scenario.demands[demand_of(ended.label)];
        if demand.priority == Priority::Batch {
            return;
        }
        for (event, tally) in self.scenario.events.iter().zip(&mut self.tally.events) {
            let engines = &self.scenario.engines;
            let here = match ended.outcome {
                Outcome::Finished => site == event.site,
                Outcome::Refused(_) | Outcome::Left | Outcome::Broken => {
                    let mut groups = self.groups.iter();
                    groups.any(|group| engines[*group].site == event.site)
                }
            };
            if here {
                tally.ended(event, ended);
            }
        }
    }
}

impl Clients for Crowd<'_> {
    fn next(&mut self) -> Option<Ask> {
        loop {
            let ask = match self.arrivals.next() {
                Ok(ask) => ask?,
                Err(error) => {
                    self.failed = Some(error);
                    return None;
                }
            };
            if ask.prompt_tokens + ask.output_tokens <= self.tokens_max {
                return Some(ask);
            }
            let key = self.key(None, ask.label, ask.at_ns);
            self.tally.refused(key, TOO_LONG);
        }
    }

    fn admit(&mut self, ask: &mut Ask) -> bool {
        let Some(purses) = &mut self.purses else {
            return true;
        };
        self.number += 1;
        ask.label = numbered(ask.label, self.number);
        match purses.reserve(ask, tenant_of(ask.label)) {
            Ok(()) => true,
            Err(why) => {
                let key = self.key(None, ask.label, ask.at_ns);
                self.tally.refused(key, why);
                false
            }
        }
    }

    fn ended(&mut self, ended: &Ended) -> Option<Ask> {
        if let Some(purses) = &mut self.purses {
            purses.settle(ended);
        }
        let engine = ended.engine.filter(|_| ended.outcome == Outcome::Finished);
        let key = self.key(engine, ended.label, ended.asked_ns);
        self.tally.ended(key, ended, &self.measure);
        self.notice_events(key.0, ended);
        None
    }
}

/// A pool of a gateway, while it runs.
pub(super) struct Shard<'s> {
    scenario: &'s Scenario,
    plan: &'s ShardPlan,
    world: World<Crowd<'s>>,
    /// What each engine had done when it was looked at last.
    spent: Vec<Spent>,
    sampled_ns: u64,
    /// More is to come.
    more: bool,
    progress: &'s Progress,
}

/// Runs a shard for itself.
pub(super) fn run<'s>(
    scenario: (&'s Scenario, &'s Files),
    plan: &'s ShardPlan,
    progress: &'s Progress,
) -> Result<ShardResult, RunError> {
    let mut shard = Shard::new(scenario, plan, progress)?;
    while shard.more {
        shard.advance(shard.sampled_ns + SAMPLE_NS);
        shard.sample(None)?;
    }
    Ok(shard.finish())
}

impl<'s> Shard<'s> {
    pub(super) fn new(
        (scenario, files): (&'s Scenario, &'s Files),
        plan: &'s ShardPlan,
        progress: &'s Progress,
    ) -> Result<Self, RunError> {
        let first = &scenario.engines[plan.groups[0]].profile;
        let slo = scenario.models[plan.model].slo;
        let memory = plan
            .groups
            .iter()
            .map(|group| scenario.engines[*group].profile.request_tokens_max());
        let purpose = u64::from(plan.cell) + 1;
        let crowd = Crowd {
            scenario,
            arrivals: Arrivals::new((scenario, files), plan.model, (plan.part, purpose))?,
            groups: plan.groups.clone(),
            measure: Measure {
                ttft_ns: slo.ttft_ns,
                tpot_ns: slo.tpot_ns,
                costs: first.costs,
                slots: first.slots,
            },
            tokens_max: memory.max().unwrap_or(0),
            tally: Tally::new(&scenario.events),
            uses: Uses::new(scenario.engines.len(), scenario.hours),
            purses: Purses::new(scenario, plan)?,
            number: 0,
            failed: None,
        };
        let end_ns = u64::from(scenario.hours) * HOUR_NS;
        let options = WorldOptions {
            fleet: fleet(scenario, plan),
            round_trip_ns: scenario.round_trip_ns,
            until_ns: end_ns,
            window_ns: (0, end_ns),
        };
        let mut world = World::new(options, crowd)?.failing(failures(scenario, plan));
        if progress.stepwise {
            world = world.stepwise();
        }
        Ok(Self {
            scenario,
            plan,
            world,
            spent: vec![Spent::default(); plan.groups.len()],
            sampled_ns: 0,
            more: true,
            progress,
        })
    }

    pub(super) fn is_over(&self) -> bool {
        !self.more
    }

    pub(super) fn world(&mut self) -> &mut World<Crowd<'s>> {
        &mut self.world
    }

    /// Runs until that instant, or until all is over.
    pub(super) fn advance(&mut self, at_ns: u64) {
        if self.more {
            self.more = self.world.run_until(at_ns);
        }
    }

    /// Notes what the engines did since they were looked at last, [`SAMPLE_NS`] ago; how full they were is as it is said, else by what
    /// they did.
    pub(super) fn sample(&mut self, full_milli: Option<&[Option<u64>]>) -> Result<(), RunError> {
        self.sampled_ns += SAMPLE_NS;
        let end_ns = u64::from(self.scenario.hours) * HOUR_NS;
        self.note(full_milli);
        let progress = &self.progress.done_ns;
        if self.sampled_ns <= end_ns {
            progress.fetch_add(SAMPLE_NS, Ordering::Relaxed);
        }
        if !self.more {
            progress.fetch_add(end_ns.saturating_sub(self.sampled_ns), Ordering::Relaxed);
        }
        match self.world.clients_mut().failed.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn note(&mut self, full_milli: Option<&[Option<u64>]>) {
        let views: Vec<_> = self.world.engines().collect();
        // What ends now was done in the interval that ends now.
        let first = self.sampled_ns % INTERVAL_NS == SAMPLE_NS;
        let uses = &mut self.world.clients_mut().uses;
        let engines = views.iter().zip(&self.plan.groups).zip(&mut self.spent);
        for (at, ((view, group), before)) in engines.enumerate() {
            let Some(used) = uses.at(*group, self.sampled_ns - 1) else {
                return;
            };
            let done = view.spent.since(before);
            used.engines += u32::from(first);
            let ns = |ps: u128| u64::try_from(ps / 1_000).unwrap_or(u64::MAX);
            used.prefill_ns += ns(done.prefill_ps);
            used.decode_ns += ns(done.decode_ps);
            used.samples += 1;
            used.kv_tokens += view.status.kv_tokens_used;
            if let Some(power) = &self.scenario.engines[*group].power {
                let mix = view.spent.mix(before, SAMPLE_NS);
                let full = full_milli.and_then(|full| full[at]);
                used.full_milli += full.unwrap_or_else(|| u64::from(power.used_milli(mix)));
            }
            *before = view.spent;
        }
    }

    pub(super) fn finish(self) -> ShardResult {
        let Crowd {
            tally,
            uses,
            purses,
            ..
        } = self.world.into_clients();
        ShardResult {
            model: self.plan.model,
            tally,
            uses,
            spent: purses.map(|purses| purses.spent).unwrap_or_default(),
        }
    }
}

/// Which engines of a shard fail, and those that begin later.
fn failures(scenario: &Scenario, plan: &ShardPlan) -> Vec<Failure> {
    let mut failures = Vec::new();
    for (engine, (group, place)) in (0..).zip(plan.groups.iter().zip(&plan.places)) {
        let from_ns = scenario.engines[*group].from_ns;
        failures.extend((from_ns > 0).then_some(Failure {
            engine,
            at_ns: 0,
            down_ns: from_ns,
        }));
        let own = scenario.failures.iter();
        let own = own.filter(|failure| failure.group == *group && *place < failure.count);
        failures.extend(own.map(|failure| Failure {
            engine,
            at_ns: failure.at_ns,
            down_ns: failure.down_ns,
        }));
    }
    failures
}

fn fleet(scenario: &Scenario, plan: &ShardPlan) -> Fleet {
    let engines = plan.groups.iter().map(|group| {
        let group = &scenario.engines[*group];
        let site = &scenario.sites[group.site];
        FleetEngine {
            profile: group.profile.clone(),
            site: site.id.clone(),
            place: Place::own(site.country),
        }
    });
    let model = scenario.models[plan.model].id.clone();
    let mut fleet = Fleet::of(model, engines.collect(), scenario.rules);
    fleet.policy = Policy::of_home(scenario.home);
    fleet.limits = scenario.limits.clone();
    fleet.shares = scenario.shares.clone();
    fleet
}
