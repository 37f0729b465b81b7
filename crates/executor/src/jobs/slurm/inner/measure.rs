//! How busy runs are, asked of the cluster's programs. Where there is no shell of it nobody is asked: its REST daemon of old does not tell.

use super::Inner;
use crate::jobs::JobsError;
use crate::jobs::slurm::cli::fault;
use crate::jobs::slurm::usage::{ASKED_COUNT_MAX, cpu_busy, gpu_busy, sacct, sstat};
use madang_types::{MILLI, Measured, PROCESSORS, RunId, RunRecord};
use std::collections::BTreeMap;

/// Reads what a line answered, by job.
type Read = fn(&str) -> BTreeMap<u32, Measured>;

impl Inner {
    /// See [`crate::jobs::RunMeter`].
    pub(in crate::jobs::slurm) async fn measure(
        &self,
        runs: &[RunRecord],
    ) -> Result<Vec<(RunId, Measured)>, JobsError> {
        let (mut gpus, mut processors) = (BTreeMap::new(), BTreeMap::new());
        for record in runs {
            let Some(entry) = self.book.get(record.run) else {
                continue;
            };
            let Some(job) = entry.job else { continue };
            let kind = record
                .place
                .as_ref()
                .map(|place| place.accelerator.as_str());
            if kind == Some(PROCESSORS) {
                if entry.end.is_some() {
                    processors.insert(job, record.run);
                }
            } else if entry.end.is_none() && record.accelerator_milli == u64::from(MILLI) {
                gpus.insert(job, record.run);
            }
        }
        let mut found = self.asked(&gpus, (sstat, gpu_busy)).await?;
        found.extend(self.asked(&processors, (sacct, cpu_busy)).await?);
        Ok(found)
    }

    async fn asked(
        &self,
        runs: &BTreeMap<u32, RunId>,
        (line, read): (fn(&[u32]) -> String, Read),
    ) -> Result<Vec<(RunId, Measured)>, JobsError> {
        let Some(shell) = &self.shell else {
            return Ok(Vec::new());
        };
        let jobs: Vec<u32> = runs.keys().copied().collect();
        let mut found = Vec::new();
        for jobs in jobs.chunks(ASKED_COUNT_MAX) {
            let answer = shell.run(&line(jobs), b"").await;
            let answer = answer.map_err(|fault| self.named(fault))?;
            if answer.code != 0 {
                return Err(self.named(fault(&answer)));
            }
            let told = read(&answer.text()).into_iter();
            found.extend(told.filter_map(|(job, measured)| Some((*runs.get(&job)?, measured))));
        }
        Ok(found)
    }
}
