//! The fleet's policy as the core takes it: with its hash, over the fleet's places.

use crate::clock;
use madang_core::PolicyTable;
use madang_core::policy::PolicyError;
use madang_fleet::Fleet;
use madang_types::{Place, Policy, PolicyHash, ProgrammeId, SiteId, Zone};
use std::collections::BTreeMap;

/// The places of a fleet: its sites, its upstreams, whose ids stand as sites, and the origins that stand at no site.
pub fn places(fleet: &Fleet) -> impl Iterator<Item = (SiteId, Place)> {
    let sites = fleet
        .sites
        .iter()
        .map(|(id, site)| (id.clone(), site.place.clone()));
    let upstreams = fleet.upstreams.iter();
    // An upstream's name has the form of a site's.
    let upstreams = upstreams.filter_map(|(id, upstream)| {
        Some((SiteId::new(id.as_str()).ok()?, upstream.place.clone()))
    });
    let origins = fleet.origins.iter();
    let origins = origins.filter(|(_, origin)| origin.site.is_none());
    let origins = origins.map(|(id, origin)| (id.clone(), origin.place.clone()));
    sites.chain(upstreams).chain(origins)
}

/// Ground below which no data of the file's programmes is served.
fn floors(fleet: &Fleet) -> BTreeMap<ProgrammeId, Zone> {
    let programmes = fleet.programmes.iter();
    let floors =
        programmes.filter_map(|(id, entry)| Some((id.clone(), entry.terms.residency_floor?)));
    floors.collect()
}

/// The fleet's policy with its hash: BLAKE3 over the policy and the places, as compact JSON in the order of their fields and
/// names. Two fleets with the same hash decide alike, but for programmes' residency floors, which stand beside it.
pub fn policy_of(fleet: &Fleet) -> Policy {
    let policy = Policy {
        hash: PolicyHash::default(),
        ..fleet.policy.clone()
    };
    let places: Vec<(SiteId, Place)> = places(fleet).collect();
    let mut hasher = blake3::Hasher::new();
    // What is hashed has texts as keys only, and a hasher takes every write.
    let written = serde_json::to_writer(&mut hasher, &(&policy, places));
    debug_assert!(written.is_ok(), "{written:?}");
    Policy {
        hash: PolicyHash(*hasher.finalize().as_bytes()),
        ..policy
    }
}

/// The fleet's policy as it stands now, as the core takes it and compiled; it also stands when its legal bases expire.
///
/// # Errors
/// It is too large, or permits what must never be.
pub fn worked_out(fleet: &Fleet) -> Result<(Policy, PolicyTable), PolicyError> {
    let policy = policy_of(fleet);
    let mut table = PolicyTable::load(&policy, places(fleet), clock::now())?;
    table.floors_set(&floors(fleet));
    Ok((policy, table))
}

/// The same, compiled only.
///
/// # Errors
/// As [`worked_out`].
pub fn compile(fleet: &Fleet) -> Result<PolicyTable, PolicyError> {
    Ok(worked_out(fleet)?.1)
}
