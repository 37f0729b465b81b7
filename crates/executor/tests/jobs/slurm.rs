//! Jobs on a real Slurm, by each way to it. Where this machine can have none, the tests say so and pass.

use crate::conformance::{Fixture, suite};
use async_trait::async_trait;
use madang_executor::jobs::slurm::{SlurmExecutor, SlurmOptions, SlurmRest, SlurmToken};
use madang_executor::jobs::{JobExecutor, RunSpec};
use madang_testkit::Slurm;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// A site on the cluster that all tests share.
struct Site {
    options: SlurmOptions,
    executor: Option<SlurmExecutor>,
    _folder: tempfile::TempDir,
    site: tempfile::TempDir,
    _cluster: Slurm,
}

impl Site {
    fn new(shape: impl FnOnce(&Slurm, &mut SlurmOptions)) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let cluster = Slurm::shared().unwrap().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let site = tempfile::tempdir_in(cluster.runs()).unwrap();
        let runs = site.path().join("runs");
        std::fs::create_dir(&runs).unwrap();
        let mut options = SlurmOptions::here("madang", folder.path().join("book"), runs);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        options.prefix = format!("t{}.{count}", std::process::id());
        options.account = Some("root".to_owned());
        shape(&cluster, &mut options);
        let executor = SlurmExecutor::open(options.clone()).unwrap();
        Self {
            options,
            executor: Some(executor),
            _folder: folder,
            site,
            _cluster: cluster,
        }
    }

    fn restart(&mut self) {
        self.executor.take();
        self.executor = Some(SlurmExecutor::open(self.options.clone()).unwrap());
    }
}

fn words(cluster: &Slurm) -> Vec<String> {
    let conf = format!("SLURM_CONF={}", cluster.conf().display());
    ["env", &conf, "sh", "-c"].map(str::to_owned).to_vec()
}

macro_rules! fixture {
    ($name:ident, $shape:expr) => {
        struct $name(Site);

        #[async_trait]
        impl Fixture for $name {
            async fn new() -> Self {
                Self(Site::new($shape))
            }

            fn is_there() -> bool {
                Slurm::shared().unwrap().is_some()
            }

            fn executor(&self) -> &dyn JobExecutor {
                self.0.executor.as_ref().unwrap()
            }

            async fn restart(&mut self) {
                self.0.restart();
            }

            fn site(&self) -> &Path {
                self.0.site.path()
            }

            fn place(&self, spec: &mut RunSpec) {
                spec.accelerator = "h200".to_owned();
            }
        }
    };
}

mod rest {
    //! By the REST daemon (of 22.05: the old shape), the folder of the runs mounted.
    use super::*;

    fixture!(Daemon, |cluster: &Slurm, options: &mut SlurmOptions| {
        options.shell = None;
        options.rest = Some(SlurmRest {
            url: cluster.rest().unwrap(),
            authority: None,
            user: "root".to_owned(),
            token: SlurmToken::Key(cluster.key()),
        });
    });
    suite!(Daemon);
}

mod cli {
    //! By Slurm's programs and lines of a shell alone.
    use super::*;

    fixture!(Programs, |cluster: &Slurm, options: &mut SlurmOptions| {
        options.shell = Some(words(cluster));
        options.mounted = None;
    });
    suite!(Programs);
}
