//! Where jobs' data stands, and what it takes to have it where they run.

use super::DeskNodes;
use crate::jobs::{Move, NodesKey};
use madang_types::{Job, JobStage, MicroWon, STAGE_TASK, SiteId};
use std::collections::{BTreeMap, BTreeSet};

/// What stands for the job's tenant in a prefix.
const TENANT: &str = "{tenant}";
const GIGABYTE: u128 = 1_000_000_000;

/// Where data stands, and what lies between sites.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataPlaces {
    /// By how the name begins under which jobs bring it or take it away.
    pub stands: Vec<DataPlace>,
    /// Between two sites, the smaller name first.
    pub links: BTreeMap<(SiteId, SiteId), Link>,
    /// Between all others; of those nobody can say how long it takes where nothing is given.
    pub link: Option<Link>,
}

/// What begins so stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataPlace {
    /// A path, or `s3://` or `https://` and more; `{tenant}` in it stands for the job's tenant.
    pub prefix: String,
    /// Where.
    pub sites: BTreeSet<SiteId>,
    /// Nobody brings it elsewhere: a job that names it runs there.
    pub stays: bool,
}

/// What lies between sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Megabits a second, at least 1.
    pub mbit_per_s: u64,
    /// What a gigabyte costs.
    pub gigabyte: MicroWon,
}

impl DataPlaces {
    /// What moves a job's inputs and outputs where it runs on each of `nodes`, of those where anything is moved. What is not said (how
    /// large a file is, where it stands, what lies between) weighs nothing.
    pub(super) fn moves(&self, job: &Job, nodes: &[DeskNodes]) -> Vec<(NodesKey, Move)> {
        let stages: Vec<(&BTreeSet<SiteId>, u64)> = ends(job)
            .filter_map(|(name, stage)| Some((&self.place(job, name)?.sites, stage.bytes?)))
            .collect();
        if stages.is_empty() {
            return Vec::new();
        }
        let to = |at: &SiteId| {
            let each = stages.iter().map(|(from, bytes)| self.to(from, at, *bytes));
            each.fold(Move::default(), |sum, one| Move {
                us: sum.us.saturating_add(one.us),
                won: MicroWon(sum.won.0.saturating_add(one.won.0)),
            })
        };
        let moves = (0u8..)
            .zip(nodes)
            .map(|(key, nodes)| (NodesKey(key), to(&nodes.site)));
        moves
            .filter(|(_, moved)| *moved != Move::default())
            .collect()
    }

    /// What of a job's data is not at a site, and is brought there by nobody.
    pub fn lacks(&self, job: &Job, site: &SiteId) -> Option<String> {
        ends(job).find_map(|(name, _)| {
            let place = self.place(job, name)?;
            let is_away = place.stays && !place.sites.contains(site);
            let sites: Vec<&str> = place.sites.iter().map(SiteId::as_str).collect();
            is_away.then(|| format!("{name} is at {} alone", sites.join(", ")))
        })
    }

    /// Sites to which a job takes outputs, each with the output.
    pub fn outputs<'a>(&'a self, job: &'a Job) -> impl Iterator<Item = (&'a str, &'a SiteId)> {
        let outputs = job.spec.outputs.iter().map(|stage| stage.to.as_str());
        outputs.flat_map(move |name| {
            // Where a task's number makes it another one's name, that one's place counts too.
            let head = name.split_once(STAGE_TASK).map(|(head, _)| head);
            let may_be = move |place: &&DataPlace| {
                let prefix = place.prefix.replace(TENANT, job.tenant.as_str());
                head.is_some_and(|head| prefix.starts_with(head))
            };
            let others = self.stands.iter().filter(may_be);
            let places = self.place(job, name).into_iter().chain(others);
            let sites: BTreeSet<&SiteId> = places.flat_map(|at| &at.sites).collect();
            sites.into_iter().map(move |site| (name, site))
        })
    }

    /// Where something stands: as the longest prefix says that fits.
    fn place(&self, job: &Job, name: &str) -> Option<&DataPlace> {
        let fits = |place: &&DataPlace| {
            let prefix = place.prefix.replace(TENANT, job.tenant.as_str());
            // A folder is not another one whose name goes on.
            let rest = name.strip_prefix(&prefix);
            rest.is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/')
            })
        };
        let found = self.stands.iter().filter(fits);
        found.max_by_key(|place| place.prefix.len())
    }

    /// What so many bytes take from the nearest of some sites.
    fn to(&self, from: &BTreeSet<SiteId>, at: &SiteId, bytes: u64) -> Move {
        if from.contains(at) {
            return Move::default();
        }
        let each = from.iter().filter_map(|from| self.between(from, at));
        let nearest = each.max_by_key(|link| link.mbit_per_s);
        nearest.map_or_else(Move::default, |link| {
            // A megabit a second is a bit a microsecond.
            let us = u128::from(bytes) * 8 / u128::from(link.mbit_per_s.max(1));
            let gigabyte = u128::try_from(link.gigabyte.0).unwrap_or(0);
            let won = u128::from(bytes).saturating_mul(gigabyte) / GIGABYTE;
            Move {
                us: u64::try_from(us).unwrap_or(u64::MAX),
                won: MicroWon(i64::try_from(won).unwrap_or(i64::MAX)),
            }
        })
    }

    fn between(&self, one: &SiteId, other: &SiteId) -> Option<Link> {
        let pair = match one < other {
            true => (one.clone(), other.clone()),
            false => (other.clone(), one.clone()),
        };
        self.links.get(&pair).copied().or(self.link)
    }
}

/// The ends of a job's files that are not in its folder.
fn ends(job: &Job) -> impl Iterator<Item = (&str, &JobStage)> {
    let inputs = job
        .spec
        .inputs
        .iter()
        .map(|stage| (stage.from.as_str(), stage));
    let outputs = job
        .spec
        .outputs
        .iter()
        .map(|stage| (stage.to.as_str(), stage));
    inputs.chain(outputs)
}
