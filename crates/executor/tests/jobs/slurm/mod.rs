//! Jobs on a real Slurm, by each way to it. Where this machine can have none, the tests say so and pass.

/// A test of each release, of what holds for either.
macro_rules! of_each_release {
    ($($name:ident),+ $(,)?) => {
        of_each_release!(packaged, Packaged: $($name),+);
        of_each_release!(new, New: $($name),+);
    };
    ($module:ident, $release:ident: $($name:ident),+) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(madang_testkit::SlurmRelease::$release).await;
                }
            )+
        }
    };
}

mod away;
mod bad;
mod found;
mod placed;
mod site;
mod store;
mod users;

use crate::conformance::{self, Fixture, run_id, suite};
use async_trait::async_trait;
use madang_executor::jobs::slurm::{SlurmExecutor, SlurmOptions, SlurmRest, SlurmToken};
use madang_executor::jobs::{JobExecutor, RunSpec};
use madang_testkit::{Slurm, SlurmRelease};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A site on the cluster that all tests share.
struct Site {
    options: SlurmOptions,
    executor: Option<SlurmExecutor>,
    _folder: tempfile::TempDir,
    site: tempfile::TempDir,
    cluster: Slurm,
}

impl Site {
    /// On the cluster of all tests, if there can be one.
    fn shared(
        release: SlurmRelease,
        shape: impl FnOnce(&Slurm, &mut SlurmOptions),
    ) -> Option<Self> {
        Some(Self::on(Slurm::shared(release).unwrap()?, shape))
    }

    fn on(cluster: Slurm, shape: impl FnOnce(&Slurm, &mut SlurmOptions)) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
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
            cluster,
        }
    }

    fn executor(&self) -> &SlurmExecutor {
        self.executor.as_ref().unwrap()
    }

    fn restart(&mut self) {
        self.executor.take();
        self.executor = Some(SlurmExecutor::open(self.options.clone()).unwrap());
    }
}

/// Polls until that line prints that: the accounting hears of jobs some seconds later.
async fn until_told(cluster: &Slurm, line: &str, expected: &str) {
    let mut told = String::new();
    for _ in 0..1_200 {
        told = cluster.run(line).unwrap();
        if told == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(told, expected, "{line}");
}

impl Site {
    /// A script that finds this site's folder in `SITE`, as the suite's.
    fn script(&self, job: u64, text: &str) -> RunSpec {
        let mut spec = conformance::script(self, text);
        spec.run = run_id(job);
        spec
    }
}

#[async_trait]
impl Fixture for Site {
    async fn new() -> Self {
        Self::shared(SlurmRelease::Packaged, programs).unwrap()
    }

    fn executor(&self) -> &dyn JobExecutor {
        self.executor()
    }

    async fn restart(&mut self) {
        self.restart();
    }

    fn site(&self) -> &Path {
        self.site.path()
    }
}

/// By Slurm's programs and lines of a shell alone.
fn programs(cluster: &Slurm, options: &mut SlurmOptions) {
    options.shell = Some(cluster.shell(&[]).unwrap());
    options.mounted = None;
}

/// By the REST daemon, the folder of the runs mounted.
fn daemon(cluster: &Slurm, options: &mut SlurmOptions) {
    options.shell = None;
    options.rest = Some(SlurmRest {
        url: cluster.rest().unwrap(),
        authority: None,
        user: "root".to_owned(),
        token: SlurmToken::Key(cluster.key()),
    });
}

macro_rules! fixture {
    ($name:ident, $release:expr, $shape:expr) => {
        struct $name(Site);

        #[async_trait]
        impl Fixture for $name {
            async fn new() -> Self {
                Self(Site::shared($release, $shape).unwrap())
            }

            fn is_there() -> bool {
                Slurm::shared($release).unwrap().is_some()
            }

            fn executor(&self) -> &dyn JobExecutor {
                self.0.executor()
            }

            async fn restart(&mut self) {
                self.0.restart();
            }

            fn site(&self) -> &Path {
                self.0.site.path()
            }
        }
    };
}

mod rest {
    use super::*;

    fixture!(Daemon, SlurmRelease::Packaged, daemon);
    suite!(Daemon);
}

mod new_rest {
    use super::*;

    fixture!(Daemon, SlurmRelease::New, daemon);
    suite!(Daemon);
}

mod cli {
    use super::*;

    fixture!(Programs, SlurmRelease::Packaged, programs);
    // What the batch script alone holds is the same by each way.
    suite!(Programs:
        begin::a_run_is_begun_once, begin::a_restart_finds_what_runs, begin::what_ended_meanwhile_is_told_after_a_restart,
        begin::variables_are_its_own, begin::nobody_knows_a_run_that_never_was, begin::a_change_is_told,
        end::exit_codes_and_signals_are_told, end::a_run_is_forgotten, stop::a_checkpoint_is_written,
        stop::cancel_is_more_urgent, stop::a_stop_survives_a_restart, stop::it_stands_still_and_goes_on,
        stop::who_stands_still_goes_on_where_it_is_stopped, log::output_is_read_by_its_offset,
        log::the_newest_is_kept, stage::what_is_missing_or_wrong_is_told, stage::outputs_are_kept);
}
