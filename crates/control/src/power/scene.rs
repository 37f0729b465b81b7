//! A site as its governor sees it: what the fleet file says of what stands there, what runs, and what meters say.

use super::kept::Machines;
use madang_core::power::gauge::{Believed, Modelled};
use madang_core::power::governor::{Bend, Load, LoadId, Pause, PauseHow, rise_watts_per_s};
use madang_core::power::model::{PowerProfile, WHOLE_MILLI, at_meter};
use madang_core::{MemberStatus, PoolStatus};
use madang_fleet::{Fleet, Meter, Nodes, Replica};
use madang_types::{JobCheckpoint, JobFlex, NodesId, ReplicaId, RunId, SiteId};
use std::collections::BTreeMap;

/// A run of a batch job that holds machines, as far as power is asked.
#[derive(Clone, Debug)]
pub(crate) struct BendingRun {
    pub run: RunId,
    pub nodes: NodesId,
    pub accelerator_milli: u64,
    /// Its program runs: until then it may draw at any moment, and does not.
    pub has_begun: bool,
    pub flex: JobFlex,
    pub checkpoint: Option<JobCheckpoint>,
    /// Its processes can be made to stand still.
    pub freezes: bool,
    /// They stand still.
    pub is_frozen: bool,
    /// This gateway can tell them so, or to go on.
    pub is_reached: bool,
}

/// What is believed of the meters of a site, by what they measure.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readings {
    pub site: Option<Believed>,
    pub replicas: BTreeMap<ReplicaId, Believed>,
    pub nodes: BTreeMap<NodesId, Believed>,
    /// A meter of the site's own never told anything, and nothing else says what it measures.
    pub is_mute: bool,
}

impl Readings {
    /// A meter more. Of several that measure the same each measures a part.
    pub fn add(&mut self, row: &Meter, believed: Believed, is_mute: bool) {
        let and =
            |before: Option<&Believed>| before.map_or(believed, |before| before.and(believed));
        match (&row.replica, &row.nodes) {
            (Some(replica), _) => {
                // The fleet file's names are sound.
                if let Ok(id) = replica.parse() {
                    let sum = and(self.replicas.get(&id));
                    self.replicas.insert(id, sum);
                }
            }
            (None, Some(nodes)) => {
                if let Ok(id) = nodes.parse() {
                    let sum = and(self.nodes.get(&id));
                    self.nodes.insert(id, sum);
                }
            }
            (None, None) => {
                self.site = Some(and(self.site.as_ref()));
                self.is_mute |= is_mute;
            }
        }
    }

    /// A meter that counts is not believed.
    pub fn is_doubted(&self) -> bool {
        let mut parts = self.replicas.values().chain(self.nodes.values());
        let of_parts = || parts.any(|believed| believed.doubt.is_some());
        self.site
            .map_or_else(of_parts, |believed| believed.doubt.is_some())
    }

    /// How much of what counts came out of nothing at this look, at the site's meter, in watts.
    pub fn sudden_watts(&self, pue_milli: u32) -> u64 {
        let parts = self.replicas.values().chain(self.nodes.values());
        let of_parts = || at_meter(parts.map(|believed| believed.sudden_watts).sum(), pue_milli);
        self.site
            .map_or_else(of_parts, |believed| believed.sudden_watts)
    }

    /// How old the oldest of what counts is, in microseconds: the site's own where it has one.
    pub fn age_us(&self) -> u64 {
        let parts = self.replicas.values().chain(self.nodes.values());
        let ages = parts.map(|believed| believed.age_us);
        let of_parts = || ages.max().unwrap_or(0);
        self.site.map_or_else(of_parts, |believed| believed.age_us)
    }
}

/// What draws power at a site.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub loads: Vec<Load>,
    /// All that draws is measured.
    pub measured: bool,
    /// Things of which nobody says what they draw.
    pub unknown: Vec<String>,
}

/// Power usage effectiveness of a site, in thousandths.
pub(crate) fn pue_milli(fleet: &Fleet, site: &SiteId) -> u32 {
    let pue = fleet.sites.get(site).and_then(|site| site.pue);
    // It is between 1 and 10.
    pue.map_or(WHOLE_MILLI, |pue| (pue * 1_000.0).round() as u32)
}

/// The cap of the fleet file, in watts.
pub(crate) fn standing_cap(fleet: &Fleet, site: &SiteId) -> Option<u64> {
    let kilowatts = fleet.sites.get(site)?.power_cap_kw?;
    Some((kilowatts * 1_000.0) as u64)
}

/// What one accelerator of machines draws, with its part of the machine: as the fleet file says, else by its rated power.
pub(crate) fn of_accelerator(nodes: &Nodes) -> Option<PowerProfile> {
    match nodes.power {
        Some(power) => Some(PowerProfile::new(power.idle_watts, power.full_watts)),
        None => PowerProfile::of_accelerator(&nodes.accelerator),
    }
}

/// What an engine's accelerators draw: as the fleet file says, else a whole machine of those that it runs on.
pub(crate) fn of_replica(fleet: &Fleet, replica: &Replica) -> Option<PowerProfile> {
    if let Some(power) = &replica.power {
        return Some(PowerProfile::new(power.idle_watts, power.full_watts));
    }
    let nodes = fleet.nodes.get(replica.nodes.as_ref()?)?;
    Some(of_accelerator(nodes)?.times(u64::from(nodes.per_node)))
}

/// So many thousandths of an accelerator.
pub(crate) fn part_of(one: PowerProfile, accelerator_milli: u64) -> PowerProfile {
    let part = |watts: u64| watts.saturating_mul(accelerator_milli) / u64::from(WHOLE_MILLI);
    PowerProfile {
        idle_watts: part(one.idle_watts),
        full_watts: part(one.full_watts),
        ..one
    }
}

/// What draws power at a site now.
pub(crate) fn parts(
    (fleet, site): (&Fleet, &SiteId),
    pools: &[PoolStatus],
    runs: &[BendingRun],
    readings: &Readings,
) -> Parts {
    let mut parts = Parts {
        measured: true,
        ..Parts::default()
    };
    for (id, replica) in &fleet.replicas {
        if replica.site == *site {
            engine(&mut parts, (fleet, id, replica), pools, readings);
        }
    }
    for (id, nodes) in &fleet.nodes {
        if nodes.site == *site && nodes.jobs.is_some() {
            machines(&mut parts, (id, nodes), runs, readings);
        }
    }
    parts
}

fn engine(
    parts: &mut Parts,
    (fleet, id, replica): (&Fleet, &ReplicaId, &Replica),
    pools: &[PoolStatus],
    readings: &Readings,
) {
    let Some(profile) = of_replica(fleet, replica) else {
        parts.measured = false;
        parts.unknown.push(format!("replica:{id}"));
        return;
    };
    let members = pools.iter().flat_map(|pool| &pool.members);
    let member = members.into_iter().find(|member| member.replica == *id);
    let running = member.map_or(0, |member| member.running);
    let believed = readings.replicas.get(id);
    parts.measured &= believed.is_some_and(|believed| believed.measured);
    parts.loads.push(Load {
        id: LoadId::Replica(id.clone()),
        watts: believed.map_or_else(|| busy_watts(&profile, running), |believed| believed.watts),
        profile,
        bend: Bend::Engine {
            slows: replica
                .power
                .as_ref()
                .is_some_and(|power| power.limit_path.is_some()),
            batch_milli: member.map_or(0, MemberStatus::rest_milli),
            rests: member.is_some_and(MemberStatus::rests),
        },
    });
}

/// What an engine draws that nobody measures: as if it computed prompts a quarter of the time where anything runs, which errs on the
/// side of the cap.
pub(crate) fn busy_watts(profile: &PowerProfile, running: u32) -> u64 {
    let decode = profile.decode_milli(running);
    let used = match running {
        0 => 0,
        _ => decode + (WHOLE_MILLI - decode) / 4,
    };
    profile.watts(used)
}

/// What machines of that name draw, as far as a model says.
pub(crate) fn of_nodes(fleet: &Fleet, name: &str, runs: &[BendingRun]) -> Parts {
    let mut parts = Parts::default();
    let found = fleet.nodes.iter().find(|(id, _)| id.as_str() == name);
    if let Some((id, nodes)) = found.filter(|(_, nodes)| nodes.jobs.is_some()) {
        machines(&mut parts, (id, nodes), runs, &Readings::default());
    }
    parts
}

/// What a site's parts draw at least, in watts without cooling: what meters say of those that are measured, and what the others draw where
/// they do nothing.
pub(crate) fn least_of_parts(
    (fleet, site): (&Fleet, &SiteId),
    runs: &[BendingRun],
    readings: &Readings,
) -> u64 {
    let least = |believed: Option<&Believed>, idle_watts| {
        let measured = believed.filter(|believed| believed.measured);
        measured.map_or(idle_watts, |believed| believed.watts)
    };
    let engines = fleet.replicas.iter();
    let engines = engines.filter(|(_, replica)| replica.site == *site);
    let engines = engines.map(|(id, replica)| {
        let idle = of_replica(fleet, replica).map_or(0, |profile| profile.idle_watts);
        least(readings.replicas.get(id), idle)
    });
    let machines = fleet.nodes.iter().filter(|(_, nodes)| nodes.site == *site);
    let machines = machines.map(|(id, _)| {
        let loads = of_nodes(fleet, id.as_str(), runs).loads;
        let idle = loads.iter().map(|load| load.profile.idle_watts).sum();
        least(readings.nodes.get(id), idle)
    });
    engines.chain(machines).sum()
}

/// Machines that take jobs: each run's part, and the accelerators that nobody uses.
fn machines(
    parts: &mut Parts,
    (id, nodes): (&NodesId, &Nodes),
    runs: &[BendingRun],
    readings: &Readings,
) {
    let own = || runs.iter().filter(|run| run.nodes == *id);
    let Some(one) = of_accelerator(nodes) else {
        parts.measured = false;
        parts.unknown.push(format!("nodes:{id}"));
        return;
    };
    let all = u64::from(nodes.count) * u64::from(nodes.per_node) * u64::from(WHOLE_MILLI);
    let used: u64 = own().map(|run| run.accelerator_milli).sum();
    let idle = part_of(one, all.saturating_sub(used)).idle_watts;
    let believed = readings.nodes.get(id);
    parts.measured &= believed.is_some_and(|believed| believed.measured);
    let profiles: Vec<PowerProfile> = own()
        .map(|run| part_of(one, run.accelerator_milli))
        .collect();
    let modelled = |run: &BendingRun, profile: &PowerProfile| match run.is_frozen {
        true => profile.idle_watts,
        false => profile.full_watts,
    };
    let idles: u64 = idle
        + profiles
            .iter()
            .map(|profile| profile.idle_watts)
            .sum::<u64>();
    let above = |run, profile: &PowerProfile| modelled(run, profile) - profile.idle_watts;
    let all_above: u64 = own()
        .zip(&profiles)
        .map(|(run, profile)| above(run, profile))
        .sum();
    // What is measured above idle is shared as the model shares it.
    let measured_above = believed.map(|believed| believed.watts.saturating_sub(idles));
    let mut left = believed.map(|believed| believed.watts);
    for (run, profile) in own().zip(&profiles) {
        let above = above(run, profile);
        let watts = match measured_above {
            Some(measured) if all_above > 0 => {
                let part = u128::from(measured) * u128::from(above) / u128::from(all_above);
                profile.idle_watts + u64::try_from(part).unwrap_or(above)
            }
            _ => modelled(run, profile),
        };
        left = left.map(|left| left.saturating_sub(watts));
        parts.loads.push(Load {
            id: LoadId::Run(run.run),
            watts,
            profile: *profile,
            bend: Bend::Run {
                pause: pause(run, profile),
                slow_milli: if run.freezes { run.flex.slow_milli } else { 0 },
            },
        });
    }
    parts.loads.push(Load {
        id: LoadId::Rest,
        // What is measured and no run accounts for is drawn all the same.
        watts: left.unwrap_or(idle),
        profile: PowerProfile::new(idle, idle),
        bend: Bend::Rigid,
    });
}

/// What machines draw beyond what is seen of them here, where whoever governs saw that of them.
pub(super) fn unseen((noted, pue_milli): (Machines, u32), loads: &[Load]) -> Option<Load> {
    let stood = noted.stood_watts.saturating_mul(u64::from(WHOLE_MILLI));
    let left = noted
        .watts
        .saturating_sub(stood / u64::from(pue_milli.max(1)));
    let seen = loads.iter().filter(|load| load.id == LoadId::Rest);
    let watts = left.saturating_sub(seen.map(|load| load.watts).sum());
    (watts > 0).then_some(Load {
        id: LoadId::Rest,
        watts,
        profile: PowerProfile::new(watts, watts),
        bend: Bend::Rigid,
    })
}

/// How a run can be made to stand still: one whose owner said so, by its checkpoint where it writes one; else one that writes one.
fn pause(run: &BendingRun, profile: &PowerProfile) -> Option<Pause> {
    let us_max = run.flex.pause_ms.saturating_mul(1_000);
    let how = match run.checkpoint {
        _ if us_max > 0 && run.freezes => PauseHow::Freeze { us_max },
        Some(JobCheckpoint { grace_ms, .. }) => PauseHow::Checkpoint {
            takes_us: grace_ms.saturating_mul(1_000),
            us_max,
        },
        None => return None,
    };
    Some(Pause {
        how,
        left_watts: profile.idle_watts,
    })
}

/// What loads draw, and may, together at a site's meter.
pub(crate) fn modelled(loads: &[Load], pue_milli: u32, rise_milli_per_s: u32) -> Modelled {
    let sum = |watts: fn(&Load) -> u64| loads.iter().map(watts).sum::<u64>();
    Modelled {
        idle_watts: at_meter(sum(|load| load.profile.idle_watts), pue_milli),
        likely_watts: at_meter(sum(|load| load.watts), pue_milli),
        full_watts: at_meter(sum(|load| load.profile.full_watts), pue_milli),
        rise_watts_per_s: rise_watts_per_s(loads, rise_milli_per_s, pue_milli),
    }
}

pub(crate) fn is_at(fleet: &Fleet, run: &BendingRun, site: &SiteId) -> bool {
    let nodes = fleet.nodes.get(&run.nodes);
    nodes.is_some_and(|nodes| nodes.site == *site)
}

/// Whether some other site serves a model that this one serves.
pub(crate) fn is_served_elsewhere(fleet: &Fleet, site: &SiteId) -> bool {
    let here = fleet
        .replicas
        .values()
        .filter(|replica| replica.site == *site);
    let mut here = here.map(|replica| &replica.model);
    here.any(|model| {
        let mut others = fleet.replicas.values();
        others.any(|other| other.site != *site && other.model == *model)
    })
}

/// Nothing is known of what a meter measures: any reading is possible.
pub(crate) fn unbounded() -> Modelled {
    Modelled {
        idle_watts: 0,
        likely_watts: 0,
        full_watts: u64::MAX / 4,
        rise_watts_per_s: 0,
    }
}
