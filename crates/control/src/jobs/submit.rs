//! A job comes: what it says is looked at before it is taken.

use super::{JobsPlane, desk_nodes};
use madang_core::desk::{Arrival, DeskInput, DeskNodes};
use madang_core::policy::Denial;
use madang_gateway::clock;
use madang_gateway::refused::Refused;
use madang_store::StoreError;
use madang_types::{
    DataMark, ErrorCode, Job, JobId, JobSpec, JobState, KeyId, NodesId, PolicyEffect, TenantId,
};
use std::collections::{BTreeMap, BTreeSet};

/// Machines of a refusal that are told what they lack.
pub const LACKS_SHOWN_MAX: usize = 8;

impl JobsPlane {
    /// Takes a job in for a tenant's key.
    ///
    /// # Errors
    /// It can never run, it may not, or there is no room for it; the books cannot be written.
    pub async fn submit(
        &self,
        (tenant, key): (TenantId, KeyId),
        mut spec: JobSpec,
    ) -> Result<Job, Refused> {
        spec.check().map_err(|error| {
            Refused::new(ErrorCode::FieldInvalid, error.to_string()).at(&error.field)
        })?;
        let said = (spec.data_class, spec.data_flags);
        let owner = self.gateway.job_owner((&tenant, &key), said)?;
        (spec.data_class, spec.data_flags) = (owner.mark.class, owner.mark.flags);
        let job = Job {
            id: JobId(0),
            tenant,
            project: owner.project,
            programme: owner.programme,
            key: Some(key),
            spec,
            state: JobState::Pending,
            held: false,
            cancelled_at: None,
            why: None,
            submitted_at: clock::now(),
            ended_at: None,
        };
        self.check_place(&job)?;
        self.check_after(&job).await?;
        self.check_open(&job).await?;
        let job = self.book.job_insert(job).await.map_err(store)?;
        let arrival = self.arrival(job.clone()).await.map_err(store)?;
        self.tell(DeskInput::Came(Box::new(arrival)));
        Ok(job)
    }

    /// It fits somewhere, and policy lets it be there.
    fn check_place(&self, job: &Job) -> Result<(), Refused> {
        let nodes = desk_nodes(&self.gateway.snapshot().fleet);
        let lack = |nodes: &DeskNodes| nodes.fits(&job.spec.resources).err();
        let lacks: Vec<String> = nodes
            .iter()
            .filter_map(lack)
            .map(|lack| format!("{} at {}: {}", lack.nodes, lack.site, lack.what))
            .take(LACKS_SHOWN_MAX)
            .collect();
        let fitting: Vec<&DeskNodes> = nodes.iter().filter(|nodes| lack(nodes).is_none()).collect();
        if fitting.is_empty() {
            let what = match lacks.as_slice() {
                [] => "no machines of this fleet take jobs".to_owned(),
                lacks => format!("no machines would do: {}", lacks.join("; ")),
            };
            return Err(Refused::new(ErrorCode::JobImpossible, what).at("resources"));
        }
        let allowed = self.allowed(job);
        if fitting.iter().any(|nodes| allowed.contains(&nodes.id)) {
            return Ok(());
        }
        let denial = |nodes: &&DeskNodes| {
            let whom = (&job.tenant, job.programme.as_ref());
            Denial {
                location: nodes.site.clone(),
                decision: self.gateway.job_decide(whom, mark(job), &nodes.site),
            }
        };
        let mut denials: Vec<Denial> = fitting.iter().map(denial).collect();
        denials.dedup_by(|one, other| one.location == other.location);
        let message = "policy keeps its data away from every machine that would do";
        let mut refused = Refused::new(ErrorCode::PolicyDenied, message);
        refused.denials = denials;
        Err(refused)
    }

    /// Jobs that it waits for are there, and are its tenant's own.
    async fn check_after(&self, job: &Job) -> Result<(), Refused> {
        for after in &job.spec.after {
            let found = self.book.job_get(after.job).await.map_err(store)?;
            if found.is_none_or(|other| other.tenant != job.tenant) {
                let message = format!("there is no job {} to wait for", after.job);
                return Err(Refused::new(ErrorCode::FieldInvalid, message).at("after"));
            }
        }
        Ok(())
    }

    async fn check_open(&self, job: &Job) -> Result<(), Refused> {
        let most = self.gateway.snapshot().fleet.jobs.open_tenant_max;
        let open = self.book.jobs_open_count(job.tenant.clone()).await;
        let open = open.map_err(store)?;
        if open < u64::from(most) {
            return Ok(());
        }
        let message = format!("the tenant has {open} jobs that are not over, and may have {most}");
        Err(Refused::new(ErrorCode::JobsTooMany, message))
    }

    /// A job as the desk takes it.
    pub(super) async fn arrival(&self, job: Job) -> Result<Arrival, StoreError> {
        let mut over = BTreeMap::new();
        for after in &job.spec.after {
            let other = self.book.job_get(after.job).await?;
            let state = other.map_or(JobState::Cancelled, |other| other.state);
            if state.is_over() {
                over.insert(after.job, state);
            }
        }
        let mut runs = Vec::new();
        loop {
            let after = runs.last().map(|run: &madang_types::RunRecord| run.run);
            let page = self.book.run_list(job.id, after).await?;
            if page.is_empty() {
                break;
            }
            runs.extend(page);
        }
        Ok(Arrival {
            runs,
            over,
            allowed: self.allowed(&job),
            weights: self
                .gateway
                .job_weights(job.programme.as_ref(), &job.tenant),
            job,
        })
    }

    /// Machines where policy lets a job's data be.
    pub(super) fn allowed(&self, job: &Job) -> BTreeSet<NodesId> {
        let whom = (&job.tenant, job.programme.as_ref());
        let snapshot = self.gateway.snapshot();
        let may = |nodes: &&DeskNodes| {
            let decision = self.gateway.job_decide(whom, mark(job), &nodes.site);
            decision.effect == PolicyEffect::Allow
        };
        let nodes = desk_nodes(&snapshot.fleet);
        nodes
            .iter()
            .filter(may)
            .map(|nodes| nodes.id.clone())
            .collect()
    }
}

fn mark(job: &Job) -> DataMark {
    DataMark {
        class: job.spec.data_class,
        flags: job.spec.data_flags,
    }
}

fn store(error: StoreError) -> Refused {
    Refused::new(ErrorCode::StoreUnavailable, error.to_string())
}
