//! Batch jobs, as far as policy, keys and shares are asked about them.

use crate::audit::JobPlace;
use crate::clock;
use crate::gateway::Gateway;
use crate::keyring::Account;
use crate::purses::Over;
use crate::refused::Refused;
use crate::rights::permit_period;
use crate::walk::Facts;
use madang_audit::AuditError;
use madang_core::PolicyDecision;
use madang_core::desk::{Funds, Payer};
use madang_core::policy::{Content, Whom};
use madang_types::{
    CeilingId, DataClass, DataFlags, DataMark, ErrorCode, Job, KeyId, MicroWon, Micros,
    PolicyEffect, ProgrammeId, ProgrammeJobs, ProjectId, SiteId, StopScope, TenantId, WhenEnded,
};
use std::collections::{BTreeMap, BTreeSet};

/// Who submits a job, and what its data counts as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobOwner {
    /// The tenant's programme.
    pub programme: Option<ProgrammeId>,
    /// The key's project.
    pub project: Option<ProjectId>,
    /// Class and flags as they count.
    pub mark: DataMark,
}

impl Gateway {
    /// Whose a job is that a key of a tenant submits, which says so much of its data.
    ///
    /// # Errors
    /// The tenant or the key is not in force, or its programme is closed.
    pub fn job_owner(
        &self,
        (tenant, key): (&TenantId, &KeyId),
        (class, flags): (DataClass, DataFlags),
    ) -> Result<JobOwner, Refused> {
        let account = self.keyring.account(tenant, Some(key));
        let Some(Account {
            programme,
            period,
            project,
            tenant_floor,
            key_floor,
        }) = account
        else {
            let message = "the tenant or its key is not in force";
            return Err(Refused::new(ErrorCode::NotFound, message).at("key"));
        };
        permit_period((programme.as_ref(), period), clock::now())?;
        let mut facts = Facts::new(programme, tenant_floor, key_floor);
        facts.claim(Some(class), flags);
        Ok(JobOwner {
            programme: facts.programme,
            project,
            mark: facts.mark,
        })
    }

    /// What the policy says of a job's data at a site. It cannot be masked: where that is asked for, it is denied.
    pub fn job_decide(&self, job: &Job, site: &SiteId) -> PolicyDecision {
        let whom = Whom {
            tenant: Some(&job.tenant),
            programme: job.programme.as_ref(),
            model: None,
        };
        let content = Content {
            class: job.spec.data_class,
            flags: job.spec.data_flags,
            maskable: false,
        };
        self.driver.decide_of(whom, content, site)
    }

    /// Logs that a run of a job may begin at a site, or may not; durable when it returns `Ok`. Says whether it may.
    ///
    /// # Errors
    /// The log cannot be written: it must not begin.
    pub async fn job_permit(&self, job: &Job, place: JobPlace) -> Result<bool, AuditError> {
        let decision = self.job_decide(job, &place.site);
        self.audit
            .job(job, place, &decision, self.driver.policy_hash())
            .await?;
        Ok(decision.effect == PolicyEffect::Allow)
    }

    /// What a job's key and its project may spend, where they have a limit.
    pub fn job_ceilings(&self, job: &Job) -> Vec<(CeilingId, MicroWon)> {
        let key = job.key.clone().map(Over::Key);
        let project = job.project.clone();
        let project = project.map(|project| Over::Project(job.tenant.clone(), project));
        self.purses.limits_of(key.into_iter().chain(project))
    }

    /// What each of these may have paid for at `now`.
    pub fn job_funds(
        &self,
        payers: impl Iterator<Item = Payer>,
        now: Micros,
    ) -> Vec<(Payer, Funds)> {
        let grants = self.purses.accelerator_grants(now);
        let with = |payer: Payer| {
            let (programme, tenant) = &payer;
            let (closed, jobs) = self.keyring.jobs_of(programme.as_ref(), tenant, now);
            let is_funded = programme
                .as_ref()
                .is_some_and(|id| grants.funded.contains(id));
            let granted = || grants.kinds.get(tenant).cloned();
            let funds = Funds {
                closed,
                kinds: match is_funded {
                    true => granted().unwrap_or_else(|| Some(BTreeSet::new())),
                    false => None,
                },
                stops: jobs.when_ended == WhenEnded::Stop,
            };
            (payer, funds)
        };
        payers.map(with).collect()
    }

    /// What a programme says of its tenants' batch jobs.
    pub fn programme_jobs(&self, job: &Job) -> ProgrammeJobs {
        let (_, jobs) = self
            .keyring
            .jobs_of(job.programme.as_ref(), &job.tenant, clock::now());
        jobs
    }

    /// Sites that an operator has stopped, by which switch.
    pub fn sites_stopped(&self) -> BTreeMap<SiteId, String> {
        let snapshot = self.snapshot();
        let mut stopped = BTreeMap::new();
        for scope in self.driver.stops() {
            // Also where it has left the fleet file, and something runs there yet.
            if let StopScope::Site(site) = &scope {
                stopped.insert(site.clone(), scope.to_string());
            }
            let sites = snapshot.fleet.sites.iter();
            for (id, _) in sites.filter(|(id, site)| scope.stops(id, &site.place)) {
                stopped.insert(id.clone(), scope.to_string());
            }
        }
        stopped
    }

    /// The weights of a tenant's programme, of the tenant and of its project, each among its siblings.
    pub fn job_weights(&self, programme: Option<&ProgrammeId>, tenant: &TenantId) -> [u32; 3] {
        let shares = self.shares.lock();
        let shares = shares.unwrap_or_else(std::sync::PoisonError::into_inner);
        let of_programme = |id: &ProgrammeId| {
            let row = shares.programmes.iter().find(|(other, _)| other == id);
            row.map_or(1, |(_, weight)| *weight)
        };
        let of_tenant = shares.tenants.iter().find(|row| row.tenant == *tenant);
        let of_tenant = of_tenant.map_or(1, |row| row.weight);
        [programme.map_or(1, of_programme), of_tenant, 1]
    }
}
