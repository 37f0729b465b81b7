//! A Slurm cluster as the fleet file has it.

use anyhow::bail;
use madang_executor::jobs::slurm::{SlurmOptions, SlurmPower, SlurmRest, SlurmToken};
use madang_fleet::{Fleet, SlurmCluster};
use madang_types::TenantId;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Watts that a licence for power stands for, where the fleet file does not say: a kilowatt.
const TOKEN_WATTS: u64 = 1_000;

/// # Errors
/// Its keys do not fit together.
pub(super) fn options(
    cluster: &SlurmCluster,
    fleet: &Fleet,
    state: PathBuf,
) -> anyhow::Result<SlurmOptions> {
    let SlurmCluster {
        id,
        folder,
        mounted,
        rest_url,
        rest_authority_file,
        rest_user,
        rest_token_file,
        rest_key_file,
        shell,
        users,
        prefix,
        account,
        qos,
        partition,
        reservation,
        shards,
        container,
        manages: _,
        power_licence,
        power_token_watts,
        // Both may change while we run: the first is set where the cluster is managed, the second is the desk's.
        power_tokens: _,
        away_ms_max: _,
    } = cluster.clone();
    // Where tenants have users of their own, each of them is one's.
    let rest_user = rest_user.or_else(|| (!users.is_empty()).then(String::new));
    let token = token(rest_token_file, rest_key_file)?;
    let rest = match (rest_url, rest_user, token) {
        (None, _, _) => None,
        (Some(url), Some(user), Some(token)) => Some(SlurmRest {
            url,
            authority: rest_authority_file,
            user,
            token,
        }),
        (Some(_), _, _) => {
            bail!("`rest_url` needs `rest_user`, and `rest_token_file` or `rest_key_file`")
        }
    };
    let (mut gres, mut watts) = (BTreeMap::new(), BTreeMap::new());
    for (nodes, _, jobs) in fleet.nodes_of_cluster(&id) {
        gres.extend(jobs.gres.clone().map(|name| (nodes.clone(), name)));
        watts.extend(jobs.watts.map(|watts| (nodes.clone(), watts)));
    }
    let usual = SlurmOptions::here(&id, state, PathBuf::new());
    Ok(SlurmOptions {
        prefix: prefix.unwrap_or_else(|| usual.prefix.clone()),
        rest,
        shell,
        users: by_tenant(users)?,
        folder,
        mounted,
        account,
        qos,
        partition,
        reservation,
        gres,
        shards,
        power: power_licence.map(|licence| SlurmPower {
            licence,
            token_watts: power_token_watts.unwrap_or(TOKEN_WATTS),
            watts,
        }),
        container: container.unwrap_or_default(),
        ..usual
    })
}

fn token(file: Option<PathBuf>, key_file: Option<PathBuf>) -> anyhow::Result<Option<SlurmToken>> {
    Ok(match (file, key_file) {
        (Some(file), None) => Some(SlurmToken::File(file)),
        (None, Some(file)) => Some(SlurmToken::Key(file)),
        (None, None) => None,
        (Some(_), Some(_)) => bail!("it has `rest_token_file` or `rest_key_file`, not both"),
    })
}

fn by_tenant(users: BTreeMap<String, String>) -> anyhow::Result<BTreeMap<TenantId, String>> {
    let users = users.into_iter();
    users
        .map(|(tenant, user)| Ok((tenant.parse()?, user)))
        .collect()
}
