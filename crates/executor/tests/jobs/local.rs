//! Jobs on this machine.

mod cgroup;
mod container;
mod crash;
mod files;
mod mixed;
mod s3;
mod web;

use crate::conformance::{Fixture, suite};
use async_trait::async_trait;
use madang_executor::GuardProgram;
use madang_executor::jobs::JobExecutor;
use madang_executor::jobs::local::{
    Confinement, LocalExecutor, LocalOptions, StageOptions, StageRoot,
};
use std::path::{Path, PathBuf};

/// An executor in a folder of its own.
pub struct Local {
    pub executor: LocalExecutor,
    pub options: LocalOptions,
    site: PathBuf,
    // Dropped last: removes both.
    _place: tempfile::TempDir,
}

/// The runner as a program of its own.
pub fn runner() -> GuardProgram {
    GuardProgram {
        program: env!("CARGO_BIN_EXE_engine-guard").into(),
        args: Vec::new(),
    }
}

pub fn options(place: &Path) -> LocalOptions {
    let site = place.join("site");
    LocalOptions {
        folder: place.join("runs"),
        runner: runner(),
        stages: StageOptions {
            roots: vec![StageRoot {
                path: site.display().to_string(),
                writable: true,
            }],
            ..StageOptions::default()
        },
        confinement: Some(Confinement::default()),
        cgroup: None,
        engine: None,
    }
}

impl Local {
    pub fn with(place: tempfile::TempDir, options: LocalOptions) -> Self {
        let site = place.path().join("site");
        std::fs::create_dir_all(&site).unwrap();
        Self {
            executor: LocalExecutor::open(options.clone()).unwrap(),
            options,
            site,
            _place: place,
        }
    }
}

#[async_trait]
impl Fixture for Local {
    async fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let options = options(place.path());
        Self::with(place, options)
    }

    fn executor(&self) -> &dyn JobExecutor {
        &self.executor
    }

    async fn restart(&mut self) {
        self.executor = LocalExecutor::open(self.options.clone()).unwrap();
    }

    fn site(&self) -> &Path {
        &self.site
    }
}

suite!(Local);
