//! What a run may cost is set aside before it begins, and what it used is taken once it is over. Both may be done twice.

use super::JobsPlane;
use madang_fleet::Nodes;
use madang_ledger::{
    AcceleratorCard, Account, Entry, Fault, JobPurses, JobRun, JobUse, Phase, Purse,
};
use madang_store::StoreError;
use madang_types::{
    Allocation, CeilingId, Class, Job, MicroWon, RunEnd, RunOutcome, RunRecord, Unit,
};

impl JobsPlane {
    /// Sets aside what a run may cost.
    ///
    /// # Errors
    /// It is not there, or the books cannot be asked: why, in words for the job's owner.
    pub(super) async fn reserve(
        &self,
        job: &Job,
        run: &RunRecord,
        nodes: &Nodes,
    ) -> Result<(), String> {
        let unread = |error: StoreError| format!("the books cannot be read: {error}");
        let paid = self
            .paid_run(job, run, nodes)
            .await
            .map_err(|error| match error {
                StoreError::Invalid(what) => what,
                other => unread(other),
            })?;
        let grants = self.grants(job).await.map_err(unread)?;
        let ceilings = self.ceilings(job).await.map_err(unread)?;
        let purses = JobPurses {
            grants: grants.as_deref(),
            ceilings: &ceilings,
        };
        let span_us = job.spec.time_limit_ms.saturating_mul(1_000);
        let entry = paid.reserve(span_us, purses, run.created_at);
        let Some(entry) = entry.map_err(|short| short.to_string())? else {
            return Ok(());
        };
        let written = self
            .ledger
            .entries_append(vec![entry])
            .await
            .map_err(unread)?;
        match written.into_iter().next() {
            // It was set aside before, when other allocations were there.
            Some(Ok(_) | Err(Fault::Conflict(Phase::Reserve))) => Ok(()),
            Some(Err(fault)) => Err(fault.to_string()),
            None => Err("the books said nothing of an entry".to_owned()),
        }
    }

    /// Takes what a run used, and says what it cost; nothing where it cost nothing.
    ///
    /// # Errors
    /// The books cannot be written: nothing is lost by asking again.
    pub(super) async fn settle(
        &self,
        job: &Job,
        run: &RunRecord,
    ) -> Result<Option<MicroWon>, StoreError> {
        let snapshot = self.gateway.snapshot();
        let (Some(nodes), Some(end)) = (snapshot.fleet.nodes.get(&run.nodes), &run.end) else {
            tracing::error!(run = %run.run, "a run is not paid: its machines have left the fleet");
            return Ok(None);
        };
        let paid = match self.paid_run(job, run, nodes).await {
            Ok(paid) => paid,
            // Asking again would say the same for ever, and hold up everybody.
            Err(StoreError::Invalid(what)) => {
                tracing::error!(run = %run.run, what, "a run is not paid");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let known = self.ledger.entry(paid.entry_id()).await?;
        let known: Vec<Entry> = known.into_iter().map(|row| row.entry).collect();
        if let Some(done) = known.iter().find(|entry| entry.phase != Phase::Reserve) {
            return Ok(charge(done));
        }
        let settled = paid.settle(known.first(), used(end), end.ended_at);
        let Some(entry) = settled else {
            return Ok(None);
        };
        let cost = charge(&entry);
        let written = self.ledger.entries_append(vec![entry]).await?;
        if let Some(Err(fault)) = written.into_iter().next() {
            tracing::error!(run = %run.run, %fault, "the ledger refused what a run used");
            return Ok(None);
        }
        Ok(cost)
    }

    /// A run with the price that was in force when it was given its machines.
    async fn paid_run(
        &self,
        job: &Job,
        run: &RunRecord,
        nodes: &Nodes,
    ) -> Result<JobRun, StoreError> {
        let invalid = |what: String| StoreError::Invalid(what);
        let kind: Class = nodes.accelerator.parse().map_err(|_| {
            invalid(format!(
                "'{}' is no kind that could be paid for",
                nodes.accelerator
            ))
        })?;
        let prices = self.gateway.purses.bank().accelerator_price_list().await?;
        let card = AcceleratorCard::new(prices);
        let hour = card.hour(&kind, &nodes.site, run.created_at);
        Ok(JobRun {
            run: run.run,
            tenant: job.tenant.clone(),
            project: job.project.clone(),
            site: nodes.site.clone(),
            kind,
            accelerator_milli: run.accelerator_milli,
            hour: hour.map_err(|missing| invalid(missing.to_string()))?,
        })
    }

    /// A tenant's allocations, and what is left of each; `None` where its programme has no budget.
    async fn grants(&self, job: &Job) -> Result<Option<Vec<(Allocation, i64)>>, StoreError> {
        let bank = self.gateway.purses.bank();
        let budgets = bank.budget_list().await?;
        let funded = budgets
            .iter()
            .any(|budget| Some(&budget.programme) == job.programme.as_ref());
        if !funded {
            return Ok(None);
        }
        let mut grants = Vec::new();
        for grant in bank
            .allocation_list((None, Some(job.tenant.clone())))
            .await?
        {
            if matches!(grant.unit, Unit::AcceleratorMs | Unit::MicroWon) {
                let purse = Purse::Allocation(grant.id.clone());
                let left = bank.purse_left(purse, grant.unit).await?;
                grants.push((grant, left));
            }
        }
        Ok(Some(grants))
    }

    /// What a job's key and project may spend, as far as they have a limit, and what is left under each.
    async fn ceilings(&self, job: &Job) -> Result<Vec<(CeilingId, i64)>, StoreError> {
        let bank = self.gateway.purses.bank();
        let mut ceilings = Vec::new();
        for (ceiling, limit) in self.gateway.job_ceilings(job) {
            let at = madang_gateway::clock::now();
            bank.ceiling_fill(ceiling.clone(), limit, at).await?;
            let purse = Purse::Ceiling(ceiling.clone());
            ceilings.push((ceiling, bank.purse_left(purse, Unit::MicroWon).await?));
        }
        Ok(ceilings)
    }
}

/// What a run used; `None` where its program never began. What was lost with a machine is not its owner's to pay.
fn used(end: &RunEnd) -> Option<JobUse> {
    let began = end.started_at?;
    Some(JobUse {
        span_us: end.ended_at.since_us(began),
        energy: end.energy,
        charged: !matches!(end.outcome, RunOutcome::Lost { .. }),
    })
}

/// The won that an entry takes from who pays.
fn charge(entry: &Entry) -> Option<MicroWon> {
    let paid = entry.legs.iter().filter(|leg| {
        leg.unit == Unit::MicroWon && !matches!(leg.from, Account::Purse(Purse::Ceiling(_)))
    });
    let sum: i64 = paid.map(|leg| leg.amount).sum();
    (sum > 0).then_some(MicroWon(sum))
}
