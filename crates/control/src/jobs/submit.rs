//! A job comes: what it says is looked at before it is taken.

use super::places::data_places;
use super::{JobsPlane, spec};
use crate::secrets::SecretsError;
use madang_core::desk::{Arrival, DeskInput, DeskNodes, nowhere};
use madang_core::policy::Denial;
use madang_gateway::clock;
use madang_gateway::refused::Refused;
use madang_store::StoreError;
use madang_types::{
    ErrorCode, Job, JobId, JobSpec, JobState, KeyId, NodesId, PolicyEffect, RunRecord, TenantId,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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
        let checked = self
            .secrets
            .check((&tenant, owner.project.as_ref()), &spec)
            .await;
        checked.map_err(|error| secret(&error))?;
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
        self.check_qos(&job)?;
        self.check_place(&job)?;
        self.check_outputs(&job)?;
        let over = self.check_after(&job).await?;
        self.check_open(&job).await?;
        // Before it is written down: a caller who goes meanwhile leaves nothing that nobody is told of.
        self.foresee_coming(&job).await;
        let job = self.book.job_insert(job).await.map_err(store)?;
        let arrival = self.arrival(job.clone(), Vec::new(), over);
        self.tell(DeskInput::Came(Box::new(arrival)));
        Ok(job)
    }

    /// It fits somewhere, and policy lets it be there.
    fn check_place(&self, job: &Job) -> Result<(), Refused> {
        let nodes = self.nodes(Self::takes);
        let data = data_places(&self.gateway.snapshot().fleet);
        let (mut fits, mut lacks) = (false, Vec::new());
        let mut denials: Vec<Denial> = Vec::new();
        for nodes in &nodes {
            let away = || {
                let what = data.lacks(job, &nodes.site)?;
                Some(nodes.lack(what))
            };
            let never = || Some(nodes.lack(self.never(job, nodes)?));
            let lack = nodes.fits(&job.spec.resources).err();
            if let Some(lack) = lack.or_else(away).or_else(never) {
                lacks.push(lack);
                continue;
            }
            fits = true;
            let decision = self.gateway.job_decide(job, &nodes.site);
            if decision.effect == PolicyEffect::Allow {
                return Ok(());
            }
            let location = nodes.site.clone();
            if denials.iter().all(|denial| denial.location != location) {
                denials.push(Denial { location, decision });
            }
        }
        if !fits {
            let message = nowhere(lacks);
            return Err(Refused::new(ErrorCode::JobImpossible, message).at("resources"));
        }
        let message = "policy keeps its data away from every machine that would do";
        let mut refused = Refused::new(ErrorCode::PolicyDenied, message);
        refused.denials = denials;
        Err(refused)
    }

    /// Policy lets its data be where its outputs go, as far as it is known where that is.
    fn check_outputs(&self, job: &Job) -> Result<(), Refused> {
        let data = data_places(&self.gateway.snapshot().fleet);
        for (name, site) in data.outputs(job) {
            let decision = self.gateway.job_decide(job, site);
            if decision.effect != PolicyEffect::Allow {
                let message = format!("policy keeps its data away from {site}, where {name} is");
                let mut refused = Refused::new(ErrorCode::PolicyDenied, message).at("outputs");
                let location = site.clone();
                refused.denials = vec![Denial { location, decision }];
                return Err(refused);
            }
        }
        Ok(())
    }

    /// Jobs that it waits for are there, and are its tenant's own; how those of them ended that are over.
    async fn check_after(&self, job: &Job) -> Result<BTreeMap<JobId, JobState>, Refused> {
        let mut over = BTreeMap::new();
        for after in &job.spec.after {
            let found = self.book.job_get(after.job).await.map_err(store)?;
            let Some(other) = found.filter(|other| other.tenant == job.tenant) else {
                let message = format!("there is no job {} to wait for", after.job);
                return Err(Refused::new(ErrorCode::FieldInvalid, message).at("after"));
            };
            if other.state.is_over() {
                over.insert(after.job, other.state);
            }
        }
        Ok(over)
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
    pub(super) fn arrival(
        &self,
        job: Job,
        runs: Vec<RunRecord>,
        over: BTreeMap<JobId, JobState>,
    ) -> Arrival {
        let programme = job.programme.as_ref();
        let nodes = self.nodes(Self::takes);
        Arrival {
            runs,
            over,
            unfit: self.unfit(&job, &nodes),
            allowed: self.allowed(&job, &nodes),
            weights: self.gateway.job_weights(programme, &job.tenant),
            job,
        }
    }

    /// Why what runs jobs on some machines would never run that one there, as far as this gateway knows.
    pub(super) fn never(&self, job: &Job, nodes: &DeskNodes) -> Option<String> {
        let Some(executor) = self.executor(&nodes.id) else {
            // Of several gateways another one may have it.
            let unread = "its cluster is read at the next start of Madang";
            return (nodes.has_queue && !self.shared).then(|| unread.to_owned());
        };
        let fleet = Arc::clone(&self.gateway.snapshot().fleet);
        executor.never(&spec::asked_spec(job, &nodes.id, &fleet)?)
    }

    /// Those machines whose executor would never run a job, and why.
    pub(super) fn unfit(&self, job: &Job, nodes: &[DeskNodes]) -> BTreeMap<NodesId, String> {
        let unfit = nodes.iter().filter_map(|nodes| {
            let why = self.never(job, nodes)?;
            Some((nodes.id.clone(), why))
        });
        unfit.collect()
    }

    /// Those machines where policy lets a job's data be.
    pub(super) fn allowed(&self, job: &Job, nodes: &[DeskNodes]) -> BTreeSet<NodesId> {
        let may = |nodes: &&DeskNodes| {
            self.gateway.job_decide(job, &nodes.site).effect == PolicyEffect::Allow
        };
        let allowed = nodes.iter().filter(may);
        allowed.map(|nodes| nodes.id.clone()).collect()
    }
}

fn secret(error: &SecretsError) -> Refused {
    let code = match error {
        SecretsError::Store(_) => ErrorCode::StoreUnavailable,
        _ => ErrorCode::FieldInvalid,
    };
    let refused = Refused::new(code, error.to_string()).at("secrets");
    refused.remedied("Put the secret first (`madang secret put NAME`), or name one that `madang secret list` shows.")
}

fn store(error: StoreError) -> Refused {
    Refused::new(ErrorCode::StoreUnavailable, error.to_string())
}
