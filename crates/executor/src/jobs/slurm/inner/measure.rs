//! How busy runs are, asked of the cluster's programs. Where there is no shell of it nobody is asked: its REST daemon of old does not tell.

use super::Inner;
use crate::jobs::JobsError;
use crate::jobs::slurm::cli::fault;
use crate::jobs::slurm::usage::{ASKED_COUNT_MAX, cpu_busy, cpu_busy_now, gpu_busy, sacct, sstat};
use madang_types::{MILLI, Measured, PROCESSORS, RunId, RunRecord};
use std::collections::{BTreeMap, BTreeSet};

/// Whom a cluster is asked about, by job.
#[derive(Default)]
struct Asked {
    /// They run.
    live: BTreeMap<u32, RunId>,
    /// Of those, who has one whole accelerator that is no processor.
    of_one: BTreeSet<u32>,
    /// They are over, and had processors.
    over: BTreeMap<u32, RunId>,
}

impl Inner {
    /// See [`crate::jobs::RunMeter`].
    pub(in crate::jobs::slurm) async fn measure(
        &self,
        runs: &[RunRecord],
    ) -> Result<Vec<(RunId, Measured)>, JobsError> {
        let Asked { live, of_one, over } = self.to_ask(runs);
        let mut found = Vec::new();
        for text in self.told(&live, sstat).await? {
            let gpus = gpu_busy(&text).into_iter();
            let gpus: BTreeMap<u32, Measured> =
                gpus.filter(|(job, _)| of_one.contains(job)).collect();
            let mut all = cpu_busy_now(&text);
            all.extend(gpus);
            found.extend(of_runs(&live, all));
        }
        for text in self.told(&over, sacct).await? {
            found.extend(of_runs(&over, cpu_busy(&text)));
        }
        Ok(found)
    }

    fn to_ask(&self, runs: &[RunRecord]) -> Asked {
        let mut asked = Asked::default();
        for record in runs {
            let Some(entry) = self.book.get(record.run) else {
                continue;
            };
            let Some(job) = entry.job else { continue };
            let place = record.place.as_ref();
            let on_processors = place.is_some_and(|place| place.accelerator == PROCESSORS);
            if entry.end.is_none() {
                asked.live.insert(job, record.run);
                if !on_processors && record.accelerator_milli == u64::from(MILLI) {
                    asked.of_one.insert(job);
                }
            } else if on_processors {
                asked.over.insert(job, record.run);
            }
        }
        asked
    }

    /// What a line answers about jobs, so many at a time.
    async fn told(
        &self,
        runs: &BTreeMap<u32, RunId>,
        line: fn(&[u32]) -> String,
    ) -> Result<Vec<String>, JobsError> {
        let Some(shell) = &self.shell else {
            return Ok(Vec::new());
        };
        let jobs: Vec<u32> = runs.keys().copied().collect();
        let mut told = Vec::new();
        for jobs in jobs.chunks(ASKED_COUNT_MAX) {
            let answer = shell.run(&line(jobs), b"").await;
            let answer = answer.map_err(|fault| self.named(fault))?;
            if answer.code != 0 {
                return Err(self.named(fault(&answer)));
            }
            told.push(answer.text());
        }
        Ok(told)
    }
}

fn of_runs(
    runs: &BTreeMap<u32, RunId>,
    told: BTreeMap<u32, Measured>,
) -> impl Iterator<Item = (RunId, Measured)> {
    let told = told.into_iter();
    told.filter_map(|(job, measured)| Some((*runs.get(&job)?, measured)))
}
