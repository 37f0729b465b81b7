//! Batch jobs, live: what the desk of the core says is written to the books, paid, and carried out by executors.
//!
//! [`JobsPlane`] is what others ask; [`drive`](self) is one task that acts. Where gateways share the books one of them drives, for a term
//! that it renews; the others take jobs in, and say what the books say.

mod bars;
mod busy;
mod cashier;
mod dcgm;
mod drive;
mod electricity;
mod energy;
mod fine_tuning;
mod foresee;
mod late;
mod leftovers;
mod perform;
mod places;
mod power;
mod sites;
mod spec;
mod submit;
mod terms;

pub use madang_core::desk::{Counts, Lack, Totals, Waits};
pub use madang_executor::jobs::JobsError;
pub use sites::ClusterState;

use crate::power::Governors;
use crate::secrets::{SecretKeys, Secrets};
use energy::RunEnergies;
use madang_core::desk::{Desk, DeskInput, DeskNodes, UNSEEN_MS_MAX};
use madang_executor::jobs::slurm::SlurmSite;
use madang_executor::jobs::{JobExecutor, RunLog, RunMeter};
use madang_fleet::{Fleet, JobsExecutor, NodesJobs, SlurmCluster};
use madang_gateway::clock;
use madang_gateway::gateway::Gateway;
use madang_store::{JobBook, JobWish, Ledger, PowerBook, StoreError};
use madang_types::{GatewayId, Job, JobId, NodesId, RunId, RunRecord, RunState};
use sites::Sites;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// What jobs are driven with.
pub struct JobsOptions {
    /// This gateway's name among those that share the books.
    pub id: GatewayId,
    /// Where jobs are kept.
    pub book: Arc<dyn JobBook>,
    /// Where they are paid.
    pub ledger: Arc<dyn Ledger>,
    /// What runs them.
    pub executors: Executors,
    /// What tells how busy they are.
    pub meters: Meters,
    /// Slurm clusters that are set up from here, by their name in the fleet file.
    pub sites: BTreeMap<String, SlurmSite>,
    /// Other gateways may drive jobs in these books.
    pub shared: bool,
    /// What jobs' secrets are sealed with.
    pub secret_keys: SecretKeys,
}

/// What runs jobs, by the word of the fleet file and the cluster that it names.
pub type Executors = BTreeMap<(JobsExecutor, Option<String>), Arc<dyn JobExecutor>>;

/// What tells how busy runs are, likewise. A machine with a `dcgm_url` of its own needs none.
pub type Meters = BTreeMap<(JobsExecutor, Option<String>), Arc<dyn RunMeter>>;

/// What whoever drives knows of a job that is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How its tasks stand.
    pub tasks: Counts,
    /// What its owner is to know though it runs.
    pub warning: Option<String>,
    /// Why it, or the first task of it that waits, does not run.
    pub waits: Option<Waits>,
    /// Machines on which it may not be, and why; none where that was not asked.
    pub closed: Vec<Lack>,
}

/// What drives jobs, and what others ask of it.
pub struct JobsPlane {
    id: GatewayId,
    gateway: Arc<Gateway>,
    book: Arc<dyn JobBook>,
    ledger: Arc<dyn Ledger>,
    executors: Executors,
    meters: Meters,
    sites: Sites,
    shared: bool,
    secrets: Secrets,
    /// Who is asked for power.
    governors: Arc<Governors>,
    /// What runs have drawn.
    energies: RunEnergies,
    /// Prices may be others than the desk was told.
    repriced: AtomicBool,
    /// `None` while another gateway drives.
    desk: Mutex<Option<Desk>>,
    /// Runs that could not be told to stop.
    unstopped: Mutex<BTreeSet<RunId>>,
    /// What could not be done with runs, of which an operator was told: when it begins, not at each look.
    complaints: Mutex<BTreeSet<(RunId, &'static str)>>,
    /// What was told of runs that had been given up, for whoever drives to book.
    told: Mutex<late::Told>,
    /// Something has happened.
    wake: Arc<Notify>,
    /// Who drives, and who listens to executors.
    tasks: Mutex<JoinSet<()>>,
}

impl JobsPlane {
    /// Begins to drive, as soon as no other gateway does.
    pub fn start(
        gateway: Arc<Gateway>,
        options: JobsOptions,
        power: Arc<dyn PowerBook>,
    ) -> Arc<Self> {
        let JobsOptions {
            id,
            book,
            ledger,
            executors,
            meters,
            sites,
            shared,
            secret_keys,
        } = options;
        let plane = Arc::new(Self {
            id,
            gateway,
            secrets: Secrets::new(Arc::clone(&book), secret_keys),
            governors: Arc::default(),
            energies: RunEnergies::new(power),
            book,
            ledger,
            executors,
            meters,
            sites: Sites::new(sites),
            shared,
            repriced: AtomicBool::new(false),
            desk: Mutex::new(None),
            unstopped: Mutex::default(),
            complaints: Mutex::default(),
            told: Mutex::default(),
            wake: Arc::default(),
            tasks: Mutex::default(),
        });
        let sampled = Arc::downgrade(&plane);
        let sampler = move || sampled.upgrade()?.totals();
        plane.gateway.metrics.jobs_sampler_set(Box::new(sampler));
        let mut tasks = JoinSet::new();
        tasks.spawn(drive::drive(
            Arc::downgrade(&plane),
            Arc::clone(&plane.wake),
        ));
        tasks.spawn(busy::keep(Arc::downgrade(&plane)));
        tasks.spawn(leftovers::keep(Arc::downgrade(&plane)));
        let has_queue = |(executor, _): &(JobsExecutor, _)| *executor == JobsExecutor::Slurm;
        if plane.executors.keys().any(has_queue) {
            tasks.spawn(foresee::keep(Arc::downgrade(&plane)));
        }
        if !plane.sites.are_none() {
            tasks.spawn(sites::keep(Arc::downgrade(&plane), plane.sites.wake()));
        }
        for executor in plane.executors.values() {
            tasks.spawn(drive::listen(Arc::clone(&plane.wake), executor.changes()));
        }
        *plane.tasks.lock().unwrap_or_else(PoisonError::into_inner) = tasks;
        plane
    }

    /// Ends the driving. What runs goes on, and is found again.
    pub fn stop(&self) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.abort_all();
    }

    /// The books of jobs.
    pub fn book(&self) -> &dyn JobBook {
        &*self.book
    }

    /// Secrets of jobs.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Says what somebody wants of a job.
    ///
    /// # Errors
    /// As [`JobBook::job_wish`].
    pub async fn wish(&self, id: JobId, wish: JobWish) -> Result<Job, StoreError> {
        let job = self.book.job_wish(id, wish).await?;
        self.tell(match wish {
            JobWish::Hold => DeskInput::Held(id, true),
            JobWish::Release => DeskInput::Held(id, false),
            JobWish::Cancel(at) => DeskInput::Cancelled(id, at),
        });
        // How it stands by that the books are told later.
        Ok(self.open_job(id).unwrap_or(job))
    }

    /// Budgets, allocations or prices have changed: who was refused may try again, and clusters are told what is left.
    pub fn granted(&self) {
        self.repriced.store(true, Ordering::Relaxed);
        self.tell(DeskInput::Granted);
        self.sites.changed();
    }

    /// Has what runs of a job begin anew; false where this gateway does not drive, or nothing of it runs.
    pub fn requeue(&self, id: JobId) -> bool {
        let runs = |desk: &Desk| desk.runs().any(|run| run.run.task.job == id);
        let found = self.lock().as_ref().is_some_and(runs);
        if found {
            self.tell(DeskInput::Requeued(id));
        }
        found
    }

    /// How all jobs that are not over stand; `None` where another gateway drives.
    pub fn totals(&self) -> Option<Totals> {
        Some(self.lock().as_ref()?.totals())
    }

    /// How a job stands, without why it waits; `None` where it is over or another gateway drives.
    pub fn standing(&self, id: JobId) -> Option<Standing> {
        let desk = self.lock();
        let desk = desk.as_ref()?;
        Some(Standing {
            tasks: desk.counts(id)?,
            warning: desk.warning(id),
            waits: None,
            closed: Vec::new(),
        })
    }

    /// How a job stands, why it waits, and where it may not be; `None` where it is over or another gateway drives.
    pub fn outlook(&self, id: JobId) -> Option<Standing> {
        let standing = self.standing(id)?;
        let desk = self.lock();
        let desk = desk.as_ref()?;
        Some(Standing {
            waits: desk.waits(clock::now(), id),
            closed: desk.closed(id),
            ..standing
        })
    }

    /// The output of a run: none while its executor has yet to be told of it.
    ///
    /// # Errors
    /// [`JobsError::Absent`] where this gateway has no executor for its machines, too.
    pub async fn log(
        &self,
        run: &RunRecord,
        from: u64,
        bytes_max: usize,
    ) -> Result<RunLog, JobsError> {
        let executor = self.executor_of(run).await?;
        let executor = executor.ok_or(JobsError::Absent(run.run))?;
        match executor.log(run.run, from, bytes_max).await {
            Err(JobsError::Absent(_)) if run.state == RunState::Starting => Ok(RunLog {
                from,
                bytes: Vec::new(),
            }),
            read => read,
        }
    }

    /// What leads into a run, on this machine.
    ///
    /// # Errors
    /// As [`JobExecutor::shell`].
    pub async fn shell(&self, run: &RunRecord) -> Result<Vec<String>, JobsError> {
        let executor = self.executor_of(run).await?;
        let executor = executor.ok_or(JobsError::Absent(run.run))?;
        executor.shell(run.run).await
    }

    fn executor(&self, nodes: &NodesId) -> Option<Arc<dyn JobExecutor>> {
        let snapshot = self.gateway.snapshot();
        let jobs = snapshot.fleet.nodes.get(nodes)?.jobs.as_ref()?;
        if !self.reaches(jobs) {
            return None;
        }
        let named = (jobs.executor, jobs.cluster.clone());
        self.executors.get(&named).cloned()
    }

    /// What runs a run, as far as this gateway can know: where its machines have left the fleet file, whoever knows of it.
    async fn executor_of(
        &self,
        run: &RunRecord,
    ) -> Result<Option<Arc<dyn JobExecutor>>, JobsError> {
        if !self.has_left(&run.nodes) {
            return Ok(self.executor(&run.nodes));
        }
        for executor in self.executors.values() {
            if executor.look(run.run).await?.is_some() {
                return Ok(Some(Arc::clone(executor)));
            }
        }
        Ok(None)
    }

    /// Whether machines are none of the fleet file's any more, or take no jobs.
    fn has_left(&self, nodes: &NodesId) -> bool {
        let snapshot = self.gateway.snapshot();
        let nodes = snapshot.fleet.nodes.get(nodes);
        nodes.is_none_or(|nodes| nodes.jobs.is_none())
    }

    /// Whether this gateway can know what runs there.
    fn reaches(&self, jobs: &NodesJobs) -> bool {
        reaches(jobs, &self.id, self.shared)
    }

    /// Whether any gateway can.
    fn takes(&self, jobs: &NodesJobs) -> bool {
        takes(jobs, self.shared)
    }

    /// Machines that take jobs, of which that holds.
    fn nodes(&self, holds: fn(&Self, &NodesJobs) -> bool) -> Vec<DeskNodes> {
        let snapshot = self.gateway.snapshot();
        let nodes = snapshot.fleet.nodes.iter().filter_map(|(id, nodes)| {
            let jobs = nodes.jobs.as_ref().filter(|jobs| holds(self, jobs))?;
            Some(DeskNodes {
                id: id.clone(),
                site: nodes.site.clone(),
                accelerator: nodes.accelerator.clone(),
                count: nodes.count,
                per_node: u16::try_from(nodes.per_node).unwrap_or(u16::MAX),
                worth_milli: jobs.worth_milli.unwrap_or(1000),
                accelerator_memory_mib: jobs.accelerator_memory_mib,
                cpu_milli: jobs.cpu_milli,
                memory_mib: jobs.memory_mib,
                has_queue: jobs.executor == JobsExecutor::Slurm,
                unseen_ms_max: away_ms_max(&snapshot.fleet, jobs),
            })
        });
        nodes.collect()
    }

    /// Tells the desk, where this gateway drives, and wakes whoever drives.
    fn tell(&self, input: DeskInput) {
        self.note(input);
        self.wake.notify_one();
    }

    /// Tells the desk, where this gateway drives.
    fn note(&self, input: DeskInput) {
        if let Some(desk) = self.lock().as_mut() {
            desk.apply(clock::now(), input);
        }
    }

    /// A job that is not over, where this gateway drives.
    pub fn open_job(&self, id: JobId) -> Option<Job> {
        self.lock().as_ref()?.job(id).cloned()
    }

    fn unstopped(&self) -> MutexGuard<'_, BTreeSet<RunId>> {
        self.unstopped
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn complaints(&self) -> MutexGuard<'_, BTreeSet<(RunId, &'static str)>> {
        self.complaints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// An operator is told that something cannot be done with a run, unless he knows.
    fn complain(&self, run: RunId, what: &'static str, error: &JobsError) {
        if self.complaints().insert((run, what)) {
            tracing::warn!(%run, %error, "{what}");
        }
    }

    fn told(&self) -> MutexGuard<'_, late::Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Desk>> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for JobsPlane {
    fn drop(&mut self) {
        self.stop();
    }
}

/// How long a run there is waited for while nobody can be asked how it stands.
fn away_ms_max(fleet: &Fleet, jobs: &NodesJobs) -> u64 {
    let clusters = &fleet.jobs.slurm;
    let named = |cluster: &&SlurmCluster| jobs.cluster.as_ref() == Some(&cluster.id);
    let cluster = clusters.iter().find(named);
    cluster
        .and_then(|cluster| cluster.away_ms_max)
        .unwrap_or(UNSEEN_MS_MAX)
}

/// Whether a gateway can know what runs there: where the books are shared it does not see another one's own machine.
fn reaches(jobs: &NodesJobs, id: &GatewayId, shared: bool) -> bool {
    let own = jobs.gateway.as_deref() == Some(id.as_str());
    own || !shared || jobs.executor == JobsExecutor::Slurm
}

/// Whether there is a gateway that can.
fn takes(jobs: &NodesJobs, shared: bool) -> bool {
    !shared || jobs.executor == JobsExecutor::Slurm || jobs.gateway.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_of_shared_books_is_its_own_gateways() {
        let id: GatewayId = "one".parse().unwrap();
        let check = |executor, gateway: Option<&str>, shared, expected| {
            let jobs = NodesJobs {
                executor,
                cluster: None,
                gateway: gateway.map(str::to_owned),
                worth_milli: None,
                accelerator_memory_mib: None,
                cpu_milli: None,
                memory_mib: None,
                device_variable: None,
                dcgm_url: None,
                gres: None,
                watts: None,
            };
            let found = (takes(&jobs, shared), reaches(&jobs, &id, shared));
            assert_eq!(found, expected, "{executor:?} {gateway:?} {shared}");
        };
        let (local, slurm) = (JobsExecutor::Local, JobsExecutor::Slurm);
        check(local, None, false, (true, true));
        check(local, Some("two"), false, (true, true));
        check(local, None, true, (false, false));
        check(local, Some("one"), true, (true, true));
        check(local, Some("two"), true, (true, false));
        check(slurm, None, true, (true, true));
    }
}
