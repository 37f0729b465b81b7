//! Classes of jobs, as the operator defines them.

use super::Desk;
use crate::jobs::JobClass;
use madang_types::{JobId, JobSpec, RunRecord};

/// A class of jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeskQos {
    /// Its name.
    pub id: String,
    /// Among its tenant's own jobs of one tier those with the greatest priority are first: 0 to 100.
    pub priority: u8,
    /// Jobs of a higher tier go before all those of lower ones.
    pub tier: u8,
    /// What a tenant may hold at once in its jobs, in accelerators.
    pub held_max: Option<u32>,
}

const PRIORITY_MAX: u8 = 100;

impl DeskQos {
    /// The priority of jobs without a class, and of classes that name none.
    pub const PRIORITY: u8 = 50;
}

/// The class of a job; that of jobs without one where nobody defines its own any more.
pub(super) fn class(known: &[DeskQos], spec: &JobSpec) -> JobClass {
    let named = |(_, qos): &(u8, &DeskQos)| Some(&qos.id) == spec.qos.as_ref();
    let found = (1u8..).zip(known).find(named);
    let rank = |priority: u8| PRIORITY_MAX.saturating_sub(priority);
    match found {
        None => JobClass {
            rank: rank(DeskQos::PRIORITY),
            ..JobClass::default()
        },
        Some((key, qos)) => JobClass {
            key,
            tier: qos.tier,
            rank: rank(qos.priority),
            held_milli_max: qos
                .held_max
                .map_or(u64::MAX, |held| u64::from(held) * 1_000),
        },
    }
}

impl Desk {
    /// Why a job's class lets no more of it run now; `None` where it does.
    pub(super) fn bound_by(&self, id: JobId) -> Option<String> {
        let job = self.job(id)?;
        let mut known = self.qos.iter();
        let qos = known.find(|qos| Some(&qos.id) == job.spec.qos.as_ref())?;
        let held_max = qos.held_max?;
        let is_same = |run: &&RunRecord| {
            self.job(run.run.task.job).is_some_and(|of| {
                (&of.programme, &of.tenant, &of.spec.qos)
                    == (&job.programme, &job.tenant, &job.spec.qos)
            })
        };
        let held = self.runs().filter(is_same).map(|run| run.accelerator_milli);
        let held_milli: u64 = held.sum();
        let needed = held_milli + job.spec.resources.accelerator_milli();
        (needed > u64::from(held_max) * 1_000).then(|| {
            format!(
                "its class '{}' lets its tenant hold {held_max} accelerators at once",
                qos.id
            )
        })
    }

    /// Classes from now on; of more than 255 the first count. What runs stays in the class in which it began.
    pub fn qos(&mut self, mut qos: Vec<DeskQos>) {
        qos.truncate(usize::from(u8::MAX));
        if self.qos != qos {
            self.qos = qos;
            self.queue_anew();
        }
    }
}
