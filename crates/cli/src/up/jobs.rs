//! What drives batch jobs.

use super::GUARD_SUBCOMMAND;
use super::data_folder::DataFolder;
use madang_control::jobs::{Executors, JobsOptions};
use madang_executor::GuardProgram;
use madang_executor::jobs::JobExecutor;
use madang_executor::jobs::local::{
    ContainerEngine, LocalExecutor, LocalOptions, StageOptions, StageRoot,
};
use madang_fleet::{JobsExecutor, JobsTerms};
use madang_store::{JobBook, Ledger};
use madang_types::GatewayId;
use std::sync::Arc;

/// Jobs in those books, driven by the gateway of that name.
///
/// # Errors
/// The folder of this machine's runs cannot be used.
pub fn options(
    (gateway, book, ledger): (&GatewayId, Arc<dyn JobBook>, Arc<dyn Ledger>),
    folder: &DataFolder,
    terms: &JobsTerms,
) -> anyhow::Result<JobsOptions> {
    let local: Arc<dyn JobExecutor> = Arc::new(LocalExecutor::open(local(folder, terms))?);
    Ok(JobsOptions {
        id: gateway.clone(),
        book,
        ledger,
        executors: Executors::from([(JobsExecutor::Local, local)]),
    })
}

fn local(folder: &DataFolder, terms: &JobsTerms) -> LocalOptions {
    let root = |path: &String| StageRoot {
        path: path.clone(),
        writable: terms.stage_writable.contains(path),
    };
    let engine = terms.container_program.as_ref();
    LocalOptions {
        folder: folder.path().join("jobs"),
        runner: GuardProgram::this_binary(GUARD_SUBCOMMAND),
        stages: StageOptions {
            roots: terms.stage_roots.iter().map(root).collect(),
            hosts: terms.stage_hosts.clone(),
            ..StageOptions::default()
        },
        engine: engine.map(|program| ContainerEngine {
            program: program.into(),
            args: Vec::new(),
            create_args: Vec::new(),
            device_args: Vec::new(),
        }),
    }
}
