//! What every executor of jobs holds. An executor's own tests give a [`Fixture`] and call [`suite`].
//!
//! Runs and tests talk through files in the site's folder. Nothing is timed: a state is waited for, and a wait that ends in vain fails.

pub mod begin;
pub mod end;
pub mod log;
pub mod stage;
pub mod stop;

use async_trait::async_trait;
use madang_executor::jobs::{JobExecutor, RunProgram, RunSpec, RunStatus};
use madang_types::{JobId, NodesId, Priority, RunEnd, RunId, RunPiece, TaskId, TenantId};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const POLL_MS: u64 = 50;
const POLLS_MAX: u32 = 2_400;

/// An executor over a site with nothing on it.
#[async_trait]
pub trait Fixture: Send + Sync + Sized {
    async fn new() -> Self;
    /// Whether this machine can have such a site. Where it cannot, that is told, and the tests pass.
    fn is_there() -> bool {
        true
    }
    fn executor(&self) -> &dyn JobExecutor;
    /// Madang's side dies, as by `kill -9`, and begins again over what is there.
    async fn restart(&mut self);
    /// A folder of the site, from which jobs may take inputs and in which they may keep outputs; seen from here too.
    fn site(&self) -> &Path;
    /// Makes a plain run one that this site can run.
    fn place(&self, _spec: &mut RunSpec) {}
    /// Whether a process lives that a run told the number of.
    fn lives(&self, pid: &str) -> bool {
        end::lives(pid)
    }
}

/// One test for each property.
macro_rules! suite {
    ($fixture:ty) => {
        suite!($fixture:
            begin::a_run_is_begun_once, begin::a_restart_finds_what_runs, begin::what_ended_meanwhile_is_told_after_a_restart,
            begin::variables_are_its_own, begin::a_script_has_its_interpreter, begin::what_cannot_be_run_is_told,
            begin::the_next_run_finds_the_folder, begin::nobody_knows_a_run_that_never_was, begin::a_change_is_told,
            end::exit_codes_and_signals_are_told, end::a_run_ends_with_its_program, end::a_run_is_forgotten,
            stop::the_time_limit_ends_it, stop::it_is_told_before_its_time_limit, stop::a_checkpoint_is_written,
            stop::a_program_that_ends_well_when_told_is_done, stop::who_ignores_a_checkpoint_is_killed,
            stop::cancel_is_more_urgent, stop::nothing_is_left_of_who_lingers, stop::a_stop_survives_a_restart,
            stop::it_stands_still_and_goes_on, stop::who_stands_still_goes_on_where_it_is_stopped,
            log::output_is_read_by_its_offset, log::the_newest_is_kept,
            stage::inputs_are_brought, stage::what_is_missing_or_wrong_is_told, stage::outputs_are_kept,
            stage::nothing_is_kept_of_who_failed, stage::what_cannot_be_kept_is_told);
    };
    ($fixture:ty: $($part:ident::$property:ident),+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $property() {
            if !<$fixture as $crate::conformance::Fixture>::is_there() {
                return;
            }
            let site = <$fixture as $crate::conformance::Fixture>::new().await;
            $crate::conformance::$part::$property(site).await;
        }
    )+};
}
pub(crate) use suite;

pub fn run_id(job: u64) -> RunId {
    RunId {
        task: TaskId::from(JobId(job)),
        number: 1,
    }
}

/// A plain run of a script that finds the site's folder in `SITE`.
pub fn script<F: Fixture>(site: &F, text: &str) -> RunSpec {
    let mut spec = RunSpec {
        run: run_id(1042),
        owner: (None, TenantId::new("hanbit").unwrap(), None),
        name: "a test".to_owned(),
        priority: Priority::default(),
        program: RunProgram::Script(text.to_owned()),
        image: None,
        env: BTreeMap::from([("SITE".to_owned(), site.site().display().to_string())]),
        secrets: BTreeMap::new(),
        nodes: NodesId::new("here").unwrap(),
        accelerator: "h200".to_owned(),
        device_variable: None,
        pieces: vec![RunPiece {
            node: 0,
            accelerators: Vec::new(),
            share_milli: 1_000,
            cpu_milli: 100,
            memory_mib: 64,
        }],
        time_limit_ms: 600_000,
        checkpoint: None,
        inputs: Vec::new(),
        outputs: Vec::new(),
        tasks: 1,
        log_bytes_max: 1 << 20,
    };
    site.place(&mut spec);
    spec
}

/// Polls until `done` gives something.
pub async fn until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    for _ in 0..POLLS_MAX {
        if let Some(value) = done() {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
    }
    panic!("waited too long for: {what}");
}

pub async fn until_file(path: PathBuf) -> String {
    let what = path.display().to_string();
    // A line is there whole once its end is.
    let whole = || {
        fs::read_to_string(&path)
            .ok()
            .filter(|text| text.ends_with('\n'))
    };
    until(&what, whole).await
}

pub async fn until_status<F: Fixture>(
    site: &F,
    run: RunId,
    fits: impl Fn(&RunStatus) -> bool,
) -> RunStatus {
    let mut last = None;
    for _ in 0..POLLS_MAX {
        last = site.executor().look(run).await.unwrap();
        if let Some(status) = last.as_ref().filter(|status| fits(status)) {
            return status.clone();
        }
        tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
    }
    panic!("waited too long for {run}, which stands at {last:?}");
}

pub async fn until_running<F: Fixture>(site: &F, run: RunId) {
    until_status(site, run, |status| {
        matches!(status, RunStatus::Running { .. })
    })
    .await;
}

pub async fn until_ended<F: Fixture>(site: &F, run: RunId) -> RunEnd {
    let status = until_status(site, run, |status| matches!(status, RunStatus::Ended(_))).await;
    match status {
        RunStatus::Ended(end) => end,
        other => panic!("{other:?}"),
    }
}

/// Starts it and waits for its end.
pub async fn run<F: Fixture>(site: &F, spec: RunSpec) -> RunEnd {
    let run = spec.run;
    site.executor().start(spec).await.unwrap();
    until_ended(site, run).await
}

/// All its output.
pub async fn output<F: Fixture>(site: &F, run: RunId) -> String {
    let log = site.executor().log(run, 0, 1 << 20).await.unwrap();
    String::from_utf8_lossy(&log.bytes).into_owned()
}
