//! A shard whose engines are looked at each second, and slowed.

use super::site::LOOK_US;
use crate::engine::Spent;
use crate::scenario::shard::{SAMPLE_NS, Shard, ShardPlan, ShardResult};
use crate::scenario::{Files, Progress, RunError, Scenario};
use madang_core::power::governor::{Bend, Load, LoadId, Orders, PowerTerms};
use madang_core::power::model::{PowerProfile, Stretch, WHOLE_MILLI};
use madang_types::{ReplicaId, SiteId};

const LOOK_NS: u64 = LOOK_US * 1_000;
const LOOKS_PER_SAMPLE: u64 = SAMPLE_NS / LOOK_NS;

/// One engine whose power is known.
struct Governed {
    /// Its place in the shard.
    engine: usize,
    /// Its site's place among the governed ones.
    site: usize,
    spent: Spent,
    level_milli: u32,
    load: Load,
}

/// A shard with engines at governed sites.
pub(super) struct GovernedShard<'s> {
    shard: Shard<'s>,
    /// The names of governed sites, and what requests meet there.
    sites: Vec<(SiteId, PowerTerms)>,
    engines: Vec<Governed>,
    /// How full each governed engine was, summed over the looks of a sample; `None` of the others, which are told by what they did.
    full_milli: Vec<Option<u64>>,
    is_over: bool,
    failed: Option<RunError>,
}

impl<'s> GovernedShard<'s> {
    /// `places`: governed sites, by their places among the scenario's.
    pub fn new(
        (scenario, files): (&'s Scenario, &'s Files),
        plan: &'s ShardPlan,
        progress: &'s Progress,
        places: &[usize],
    ) -> Result<Self, RunError> {
        let mut engines = Vec::new();
        let mut full_milli = vec![None; plan.groups.len()];
        for (engine, group) in plan.groups.iter().enumerate() {
            let group = &scenario.engines[*group];
            let site = places.iter().position(|place| *place == group.site);
            let (Some(site), Some(power)) = (site, group.power) else {
                continue;
            };
            full_milli[engine] = Some(0);
            engines.push(Governed {
                engine,
                site,
                spent: Spent::default(),
                level_milli: WHOLE_MILLI,
                load: Load {
                    id: LoadId::Replica(ReplicaId::new(&format!("engine-{engine}"))?),
                    watts: power.idle_watts,
                    profile: power,
                    bend: Bend::Engine {
                        slows: true,
                        batch_milli: 0,
                        rests: false,
                    },
                },
            });
        }
        let sites = places.iter().map(|place| scenario.sites[*place].id.clone());
        Ok(Self {
            shard: Shard::new((scenario, files), plan, progress)?,
            sites: sites.map(|site| (site, PowerTerms::default())).collect(),
            full_milli,
            engines,
            is_over: false,
            failed: None,
        })
    }

    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// What its engines draw, each with its site's place among the governed ones.
    pub fn loads(&self) -> impl Iterator<Item = (usize, &Load)> {
        self.engines
            .iter()
            .map(|engine| (engine.site, &engine.load))
    }

    /// Does what was ordered at the last look, and goes on until then.
    pub fn go(&mut self, now_us: u64, orders: &[&Orders]) {
        if self.is_over {
            return;
        }
        self.obey(orders);
        let at_ns = now_us * 1_000;
        self.shard.advance(at_ns);
        if at_ns > 0 {
            self.look();
        }
        if at_ns > 0 && at_ns.is_multiple_of(SAMPLE_NS) {
            for full in self.full_milli.iter_mut().flatten() {
                *full /= LOOKS_PER_SAMPLE;
            }
            let sampled = self.shard.sample(Some(&self.full_milli));
            self.full_milli
                .iter_mut()
                .flatten()
                .for_each(|full| *full = 0);
            self.is_over = self.shard.is_over() || sampled.is_err();
            self.failed = sampled.err();
        }
        if self.is_over {
            for engine in &mut self.engines {
                engine.load.watts = engine.load.profile.idle_watts;
            }
        }
    }

    fn obey(&mut self, orders: &[&Orders]) {
        for ((site, terms), orders) in self.sites.iter_mut().zip(orders) {
            if *terms != orders.terms {
                *terms = orders.terms;
                self.shard.world().power_set(site.clone(), orders.terms);
            }
        }
        for engine in &mut self.engines {
            let level_milli = orders[engine.site].level_milli;
            if engine.level_milli != level_milli {
                engine.level_milli = level_milli;
                let index = u32::try_from(engine.engine).unwrap_or(u32::MAX);
                let stretch = stretch(&engine.load.profile, level_milli);
                self.shard.world().stretch(index, stretch);
            }
        }
    }

    fn look(&mut self) {
        let world = self.shard.world();
        let spent: Vec<Spent> = world.engines().map(|view| view.spent).collect();
        let bends = world.bends();
        for engine in &mut self.engines {
            let (now, power) = (spent[engine.engine], engine.load.profile);
            let used = power.used_milli(now.mix(&engine.spent, LOOK_NS));
            let used = used.min(engine.level_milli);
            engine.spent = now;
            engine.load.watts = power.watts(used);
            let (batch_milli, rests) = bends[engine.engine];
            engine.load.bend = Bend::Engine {
                slows: true,
                batch_milli,
                rests,
            };
            if let Some(full) = &mut self.full_milli[engine.engine] {
                *full += u64::from(used);
            }
        }
    }

    pub fn finish(self) -> Result<ShardResult, RunError> {
        match self.failed {
            Some(error) => Err(error),
            None => Ok(self.shard.finish()),
        }
    }
}

fn stretch(power: &PowerProfile, level_milli: u32) -> Stretch {
    match level_milli < WHOLE_MILLI {
        true => power.stretch(power.limit_watts(level_milli)),
        false => Stretch::NONE,
    }
}
