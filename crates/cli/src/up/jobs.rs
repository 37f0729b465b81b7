//! What drives batch jobs.

use super::GUARD_SUBCOMMAND;
use super::data_folder::DataFolder;
use anyhow::{Context, bail};
use madang_control::jobs::{Executors, JobsOptions};
use madang_executor::GuardProgram;
use madang_executor::jobs::JobExecutor;
use madang_executor::jobs::local::{
    Confinement, ContainerEngine, LocalExecutor, LocalOptions, StageOptions, StageRoot,
};
use madang_executor::jobs::slurm::{SlurmExecutor, SlurmOptions, SlurmRest, SlurmToken};
use madang_fleet::{Fleet, JobsExecutor, SlurmCluster};
use madang_store::{JobBook, Ledger};
use madang_types::GatewayId;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// Jobs in those books, driven by the gateway of that name or, where they are shared, by another one.
///
/// # Errors
/// A folder of runs cannot be used, or a cluster cannot be reached as the fleet file says.
pub fn options(
    (gateway, shared): (&GatewayId, bool),
    (book, ledger): (Arc<dyn JobBook>, Arc<dyn Ledger>),
    folder: &DataFolder,
    fleet: &Fleet,
) -> anyhow::Result<JobsOptions> {
    let terms = &fleet.jobs;
    let local: Arc<dyn JobExecutor> = Arc::new(LocalExecutor::open(local(folder, fleet))?);
    let mut executors = Executors::from([((JobsExecutor::Local, None), local)]);
    for cluster in &terms.slurm {
        let state = folder.path().join("slurm").join(&cluster.id);
        let named = || {
            format!(
                "the Slurm cluster '{}' of the fleet file cannot be used",
                cluster.id
            )
        };
        let options = slurm(cluster, state).with_context(named)?;
        let executor: Arc<dyn JobExecutor> =
            Arc::new(SlurmExecutor::open(options).with_context(named)?);
        executors.insert((JobsExecutor::Slurm, Some(cluster.id.clone())), executor);
    }
    Ok(JobsOptions {
        id: gateway.clone(),
        book,
        ledger,
        executors,
        shared,
    })
}

fn local(folder: &DataFolder, fleet: &Fleet) -> LocalOptions {
    let terms = &fleet.jobs;
    let root = |path: &String| StageRoot {
        path: path.clone(),
        writable: terms.stage_writable.contains(path),
    };
    // Where fine-tuning jobs find their inputs and leave their results, for each tenant.
    let tuned = fleet
        .fine_tuning
        .iter()
        .filter_map(|template| template.folder.clone());
    let tuned: BTreeSet<PathBuf> = tuned.chain([tuning_folder(folder)]).collect();
    let tuned = tuned.iter().map(|path| StageRoot {
        path: path.join("{tenant}").display().to_string(),
        writable: true,
    });
    let engine = terms.container_program.as_ref();
    LocalOptions {
        folder: folder.path().join("jobs"),
        runner: GuardProgram::this_binary(GUARD_SUBCOMMAND),
        stages: StageOptions {
            roots: terms.stage_roots.iter().map(root).chain(tuned).collect(),
            hosts: terms.stage_hosts.clone(),
            ..StageOptions::default()
        },
        confinement: Some(Confinement::default()),
        cgroup: terms.cgroup.clone(),
        engine: engine.map(|program| ContainerEngine {
            program: program.into(),
            args: Vec::new(),
            create_args: terms.container_args.clone(),
            device_args: terms.container_device_args.clone(),
        }),
    }
}

/// Where fine-tuning jobs find their inputs and leave their results, if their template names no other place.
pub fn tuning_folder(folder: &DataFolder) -> PathBuf {
    folder.path().join("fine-tuning")
}

fn slurm(cluster: &SlurmCluster, state: PathBuf) -> anyhow::Result<SlurmOptions> {
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
        prefix,
        account,
        qos,
        partition,
        reservation,
        shards,
        container,
    } = cluster.clone();
    let token = match (rest_token_file, rest_key_file) {
        (Some(file), None) => Some(SlurmToken::File(file)),
        (None, Some(file)) => Some(SlurmToken::Key(file)),
        (None, None) => None,
        (Some(_), Some(_)) => bail!("it has `rest_token_file` or `rest_key_file`, not both"),
    };
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
    let usual = SlurmOptions::here(&id, state, PathBuf::new());
    Ok(SlurmOptions {
        prefix: prefix.unwrap_or_else(|| usual.prefix.clone()),
        rest,
        shell,
        folder,
        mounted,
        account,
        qos,
        partition,
        reservation,
        shards,
        container: container.unwrap_or_default(),
        ..usual
    })
}
