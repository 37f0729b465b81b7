//! What drives batch jobs.

mod slurm;

use super::GUARD_SUBCOMMAND;
use super::data_folder::DataFolder;
use anyhow::Context;
use madang_control::jobs::{Executors, JobsOptions, Meters};
use madang_control::secrets::SecretKeys;
use madang_executor::GuardProgram;
use madang_executor::jobs::local::{
    Confinement, ContainerEngine, LocalExecutor, LocalOptions, StageBucket, StageOptions, StageRoot,
};
use madang_executor::jobs::nvml::NvmlMeter;
use madang_executor::jobs::slurm::{SlurmExecutor, SlurmSite};
use madang_executor::jobs::{JobExecutor, SecretText};
use madang_fleet::{Fleet, JobsBucket, JobsExecutor};
use madang_store::{JobBook, Ledger};
use madang_types::GatewayId;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Jobs in those books, driven by the gateway of that name or, where they are shared, by another one.
///
/// # Errors
/// A folder of runs cannot be used, a cluster cannot be reached as the fleet file says, or a key of a bucket cannot be read.
pub fn options(
    (gateway, shared): (&GatewayId, bool),
    (book, ledger): (Arc<dyn JobBook>, Arc<dyn Ledger>),
    folder: &DataFolder,
    fleet: &Fleet,
) -> anyhow::Result<JobsOptions> {
    let buckets = buckets(fleet)?;
    let local = LocalExecutor::open(local(folder, fleet, buckets.clone())?)?;
    let local: Arc<dyn JobExecutor> = Arc::new(local);
    let mut executors = Executors::from([((JobsExecutor::Local, None), local)]);
    let mut meters = Meters::new();
    if let Some(meter) = NvmlMeter::find() {
        meters.insert((JobsExecutor::Local, None), Arc::new(meter));
    }
    let mut sites = BTreeMap::new();
    for cluster in &fleet.jobs.slurm {
        let state = folder.path().join("slurm").join(&cluster.id);
        let named = || {
            format!(
                "the Slurm cluster '{}' of the fleet file cannot be used",
                cluster.id
            )
        };
        let mut options = slurm::options(cluster, fleet, state).with_context(named)?;
        options.buckets.clone_from(&buckets);
        options.shared = shared;
        if cluster.manages {
            let site = SlurmSite::new(&options).with_context(named)?;
            sites.insert(cluster.id.clone(), site);
        }
        let executor = Arc::new(SlurmExecutor::open(options).with_context(named)?);
        let key = (JobsExecutor::Slurm, Some(cluster.id.clone()));
        meters.insert(key.clone(), Arc::<SlurmExecutor>::clone(&executor));
        executors.insert(key, executor);
    }
    let secret_keys = match (&fleet.jobs.secrets_key_file, shared) {
        (Some(path), _) => SecretKeys::Named(path.clone()),
        (None, true) => SecretKeys::Unnamed,
        (None, false) => SecretKeys::Own(folder.path().join("secrets.key")),
    };
    let checked = secret_keys.check();
    checked.context("`jobs.secrets_key_file` of the fleet file; make one with: (umask 077; openssl rand -base64 32 > FILE)")?;
    Ok(JobsOptions {
        id: gateway.clone(),
        book,
        ledger,
        executors,
        meters,
        sites,
        shared,
        secret_keys,
    })
}

fn local(
    folder: &DataFolder,
    fleet: &Fleet,
    buckets: Vec<StageBucket>,
) -> anyhow::Result<LocalOptions> {
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
    Ok(LocalOptions {
        folder: folder.path().join("jobs"),
        runner: GuardProgram::this_binary(GUARD_SUBCOMMAND),
        stages: StageOptions {
            roots: terms.stage_roots.iter().map(root).chain(tuned).collect(),
            hosts: terms.stage_hosts.clone(),
            buckets,
            authority: terms.stage_authority_file.clone(),
            ..StageOptions::default()
        },
        confinement: Some(Confinement::default()),
        cgroup: terms.cgroup.clone(),
        engine: engine.map(|program| ContainerEngine {
            program: program.into(),
            args: Vec::new(),
            create_args: terms.container_args.clone(),
            device_args: terms.container_device_args.clone(),
            image_ms_max: terms.container_image_ms_max,
        }),
    })
}

/// Buckets that are open to jobs.
fn buckets(fleet: &Fleet) -> anyhow::Result<Vec<StageBucket>> {
    fleet.jobs.bucket.iter().map(bucket).collect()
}

/// A bucket with its keys, which are read once.
fn bucket(bucket: &JobsBucket) -> anyhow::Result<StageBucket> {
    let key = |path: &Path| {
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| {
            let (name, path) = (&bucket.name, path.display());
            format!("the bucket '{name}' of the fleet file cannot be used: {path} cannot be read")
        })?;
        anyhow::Ok(text.trim().to_owned())
    };
    let region = bucket.region.clone();
    Ok(StageBucket {
        name: bucket.name.clone(),
        prefix: bucket.prefix.clone(),
        endpoint: bucket.endpoint.clone(),
        region: region.unwrap_or_else(|| "us-east-1".to_owned()),
        virtual_host: bucket.virtual_host,
        access_key: key(&bucket.access_key_file)?,
        secret: SecretText(key(&bucket.secret_key_file)?),
        writable: bucket.writable,
    })
}

/// Where fine-tuning jobs find their inputs and leave their results, if their template names no other place.
pub fn tuning_folder(folder: &DataFolder) -> PathBuf {
    folder.path().join("fine-tuning")
}
