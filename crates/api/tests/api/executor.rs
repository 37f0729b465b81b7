//! Machines that are not there: what runs on them runs until it is stopped, and prints its name.

use async_trait::async_trait;
use madang_executor::jobs::{
    JobExecutor, JobsError, RunLog, RunMeter, RunSpec, RunStatus, StopHow,
};
use madang_gateway::clock;
use madang_types::{BusySource, Measured, RunEnd, RunId, RunOutcome, RunRecord};
use std::collections::BTreeMap;
use std::sync::Mutex;
use tokio::sync::watch;

/// Runs by id, and what each is called.
#[derive(Default)]
pub struct Paper {
    runs: Mutex<BTreeMap<RunId, (String, RunStatus)>>,
    changes: watch::Sender<u64>,
    /// Nothing begins while it is held.
    pub gate: tokio::sync::Mutex<()>,
    /// How busy each is that somebody measures, in thousandths.
    pub busy: Mutex<BTreeMap<RunId, u32>>,
}

impl Paper {
    fn status(&self, run: RunId) -> Option<(String, RunStatus)> {
        self.runs.lock().unwrap().get(&run).cloned()
    }

    /// The program of a run ends.
    pub fn end(&self, run: RunId, outcome: RunOutcome) {
        let mut runs = self.runs.lock().unwrap();
        if let Some((_, status)) = runs.get_mut(&run)
            && let RunStatus::Running { since } = *status
        {
            *status = RunStatus::Ended(RunEnd {
                outcome,
                started_at: Some(since),
                ended_at: clock::now(),
                energy: None,
            });
        }
        self.changes.send_modify(|changes| *changes += 1);
    }
}

#[async_trait]
impl JobExecutor for Paper {
    async fn start(&self, spec: RunSpec) -> Result<(), JobsError> {
        let _open = self.gate.lock().await;
        let running = RunStatus::Running {
            since: clock::now(),
        };
        let mut runs = self.runs.lock().unwrap();
        runs.entry(spec.run).or_insert((spec.name, running));
        self.changes.send_modify(|changes| *changes += 1);
        Ok(())
    }

    async fn stop(&self, run: RunId, how: StopHow) -> Result<(), JobsError> {
        self.end(
            run,
            match how {
                StopHow::Checkpoint(_) => RunOutcome::Stopped,
                StopHow::Cancel => RunOutcome::Cancelled,
            },
        );
        Ok(())
    }

    async fn freeze(&self, run: RunId, _: bool) -> Result<(), JobsError> {
        self.status(run).ok_or(JobsError::Absent(run)).map(drop)
    }

    async fn look(&self, run: RunId) -> Result<Option<RunStatus>, JobsError> {
        Ok(self.status(run).map(|(_, status)| status))
    }

    async fn runs(&self) -> Result<Vec<(RunId, RunStatus)>, JobsError> {
        let runs = self.runs.lock().unwrap();
        let all = runs.iter().map(|(run, (_, status))| (*run, status.clone()));
        Ok(all.collect())
    }

    async fn log(&self, run: RunId, from: u64, bytes_max: usize) -> Result<RunLog, JobsError> {
        let (name, _) = self.status(run).ok_or(JobsError::Absent(run))?;
        let skipped = name
            .into_bytes()
            .into_iter()
            .skip(usize::try_from(from).unwrap());
        Ok(RunLog {
            from,
            bytes: skipped.take(bytes_max).collect(),
        })
    }

    async fn shell(&self, run: RunId) -> Result<Vec<String>, JobsError> {
        self.status(run).ok_or(JobsError::Absent(run))?;
        Ok(vec!["sh".to_owned()])
    }

    async fn forget(&self, run: RunId) -> Result<(), JobsError> {
        self.runs.lock().unwrap().remove(&run);
        Ok(())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

#[async_trait]
impl RunMeter for Paper {
    async fn measure(&self, runs: &[RunRecord]) -> Result<Vec<(RunId, Measured)>, JobsError> {
        let busy = self.busy.lock().unwrap();
        let told = |record: &RunRecord| Some((record.run, Measured::Now(*busy.get(&record.run)?)));
        Ok(runs.iter().filter_map(told).collect())
    }

    fn source(&self, _measured: Measured) -> BusySource {
        BusySource::Nvml
    }
}
