//! How busy the accelerators of runs are: one trait, behind which each way to measure them stands.

use super::JobsError;
use async_trait::async_trait;
use madang_types::{BusySource, MILLI, Measured, RunId, RunRecord};
use std::collections::BTreeMap;

/// Measures runs on the machines of some `[[nodes]]`.
#[async_trait]
pub trait RunMeter: Send + Sync + 'static {
    /// How busy the accelerators of each of these runs are, or were. A run of which nobody knows is left out: nothing is guessed. A call
    /// ends within a bound of its own.
    ///
    /// # Errors
    /// [`JobsError::Unavailable`] where nobody could be asked.
    async fn measure(&self, runs: &[RunRecord]) -> Result<Vec<(RunId, Measured)>, JobsError>;

    /// What told a measurement of its, for whoever reads of it.
    fn source(&self, measured: Measured) -> BusySource;
}

/// How busy runs on one machine are whose accelerators are so busy, by number and in thousandths. Of a run that has a part of one, or of
/// which one was not measured, nobody knows.
pub fn of_devices(runs: &[RunRecord], busy: &BTreeMap<u16, u32>) -> Vec<(RunId, Measured)> {
    let of_run = |record: &RunRecord| {
        let whole = record.pieces.iter().all(|piece| piece.share_milli == MILLI);
        let devices = record.pieces.iter().flat_map(|piece| &piece.accelerators);
        let each: Vec<u64> = devices
            .map(|device| busy.get(device).map(|permille| u64::from(*permille)))
            .collect::<Option<_>>()?;
        let mean = each.iter().sum::<u64>().checked_div(each.len() as u64)?;
        let permille = u32::try_from(mean).ok().filter(|_| whole)?;
        Some((record.run, Measured::Now(permille)))
    };
    runs.iter().filter_map(of_run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_types::{JobId, Micros, RunPiece, RunState, TaskId};

    fn run(job: u64, pieces: &[(&[u16], u32)]) -> RunRecord {
        let piece = |(accelerators, share_milli): &(&[u16], u32)| RunPiece {
            node: 0,
            accelerators: accelerators.to_vec(),
            share_milli: *share_milli,
            cpu_milli: 0,
            memory_mib: 0,
        };
        RunRecord {
            run: RunId {
                task: TaskId::from(JobId(job)),
                number: 1,
            },
            nodes: "here".parse().unwrap(),
            place: None,
            pieces: pieces.iter().map(piece).collect(),
            accelerator_milli: 1_000,
            state: RunState::Running,
            stop: None,
            created_at: Micros(0),
            started_at: None,
            end: None,
            charge: None,
            unseen_since: None,
            unseen_until: None,
            candidates: Vec::new(),
        }
    }

    #[test]
    fn a_run_is_as_busy_as_its_accelerators_where_each_was_measured() {
        let runs = [
            run(1, &[(&[0], MILLI)]),
            run(2, &[(&[1], MILLI), (&[2, 3], MILLI)]),
            run(3, &[(&[3], 500)]),
            run(4, &[(&[3, 4], MILLI)]),
            run(5, &[]),
        ];
        let busy = BTreeMap::from([(0, 970), (1, 0), (2, 100), (3, 1_000)]);
        let told: Vec<_> = of_devices(&runs, &busy)
            .into_iter()
            .map(|(run, busy)| (run.task.job.0, busy))
            .collect();
        assert_eq!(told, [(1, Measured::Now(970)), (2, Measured::Now(366))]);
    }
}
