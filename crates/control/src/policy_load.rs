//! What a load of the fleet changes in the policy: said in the server's log, and in the audit log before it is in force.

use crate::source::ApplyError;
use madang_core::policy::{Change, Difference};
use madang_gateway::audit::PolicyLoad;
use madang_gateway::gateway::Gateway;
use madang_gateway::snapshot::Snapshot;

/// Says what the policy of `after` changes against the running one.
///
/// # Errors
/// The audit log cannot be written: the policy must not come into force.
pub(crate) async fn tell(gateway: &Gateway, after: &Snapshot) -> Result<(), ApplyError> {
    let before = gateway.snapshot();
    let first = before.generation == 0;
    let (table, policy) = (&after.policy_table, after.policy_table.hash());
    if !first && before.policy_table.hash() == policy {
        return Ok(());
    }
    let mut load = PolicyLoad {
        before: (!first).then(|| before.policy_table.hash().to_string()),
        after: policy.to_string(),
        combinations: table.combinations(),
        gained: 0,
        lost: 0,
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
