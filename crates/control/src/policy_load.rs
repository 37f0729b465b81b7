//! What a load of the fleet changes in the policy: said in the server's log, and in the audit log before it is in force.

use crate::source::ApplyError;
use madang_core::policy::{Change, Difference};
use madang_gateway::audit::{FloorChange, PolicyLoad};
use madang_gateway::gateway::Gateway;
use madang_gateway::snapshot::Snapshot;
use madang_types::{ProgrammeId, Zone};
use std::collections::{BTreeMap, BTreeSet};

type Floors = BTreeMap<ProgrammeId, Zone>;

/// Says what the policy of `after` changes against the running one.
///
/// # Errors
/// The audit log cannot be written: the policy must not come into force.
pub(crate) async fn tell(gateway: &Gateway, after: &Snapshot) -> Result<(), ApplyError> {
    let before = gateway.snapshot();
    let first = before.generation == 0;
    let (table, policy) = (&after.policy_table, after.policy_table.hash());
    let floors = floor_changes(before.policy_table.floors(), table.floors());
    if !first && before.policy_table.hash() == policy && floors.is_empty() {
        return Ok(());
    }
    for change in &floors {
        let FloorChange {
            programme,
            before,
            after,
        } = change;
        tracing::info!(%programme, ?before, ?after, "residency floor changes");
    }
    let mut load = PolicyLoad {
        before: (!first).then(|| before.policy_table.hash().to_string()),
        after: policy.to_string(),
        combinations: table.combinations(),
        gained: 0,
        lost: 0,
        floors,
    };
    if first {
        tracing::info!(%policy, combinations = load.combinations, "policy worked out");
    } else {
        match Difference::between(&before.policy_table, table) {
            Ok(difference) => {
                (load.gained, load.lost) = (difference.gained, difference.lost);
                log(&difference);
            }
            Err(error) => {
                tracing::warn!(%policy, %error, "policy cannot be compared with the running one");
            }
        }
    }
    Ok(gateway.audit.policy(load).await?)
}

/// What changes of the fleet file's residency floors, programme by programme.
fn floor_changes(before: &Floors, after: &Floors) -> Vec<FloorChange> {
    let programmes: BTreeSet<&ProgrammeId> = before.keys().chain(after.keys()).collect();
    let changes = programmes.into_iter().map(|programme| FloorChange {
        programme: programme.clone(),
        before: before.get(programme).copied(),
        after: after.get(programme).copied(),
    });
    changes
        .filter(|change| change.before != change.after)
        .collect()
}

fn log(difference: &Difference) {
    let Difference {
        combinations,
        gained,
        lost,
        gains,
        losses,
    } = difference;
    tracing::info!(
        combinations,
        gained,
        lost,
        "policy worked out and compared with the running one"
    );
    for change in gains.iter().chain(losses) {
        let Change {
            tenant,
            programme,
            model,
            location,
            class,
            flags,
            before,
            after,
            rules: _,
        } = change;
        tracing::info!(?tenant, ?programme, ?model, %location, %class, %flags, %before, %after, "policy changes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_that_is_set_changed_or_taken_away_is_told() {
        let floors = |of: &[(&str, Zone)]| -> Floors {
            let floors = of.iter().map(|(id, zone)| (id.parse().unwrap(), *zone));
            floors.collect()
        };
        let before = floors(&[
            ("same", Zone::GovIsolated),
            ("raised", Zone::Foreign),
            ("gone", Zone::GovIsolated),
        ]);
        let after = floors(&[
            ("same", Zone::GovIsolated),
            ("raised", Zone::GovIsolated),
            ("new", Zone::GovIsolated),
        ]);
        let told = floor_changes(&before, &after);
        let told: Vec<_> = told
            .iter()
            .map(|change| (change.programme.as_str(), change.before, change.after))
            .collect();
        let expected = [
            ("gone", Some(Zone::GovIsolated), None),
            ("new", None, Some(Zone::GovIsolated)),
            ("raised", Some(Zone::Foreign), Some(Zone::GovIsolated)),
        ];
        assert_eq!(told, expected);
        assert_eq!(floor_changes(&after, &after), []);
    }
}
