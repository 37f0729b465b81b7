//! What a run may cost is set aside once the books have it and before it begins, and what it used is taken once it is over. Both may be
//! done twice.

use super::JobsPlane;
use super::bars::left_nothing;
use madang_ledger::{
    AcceleratorCard, Account, Applied, Entry, EntryId, Fault, JobPurses, JobRun, JobUse, Leg,
    Phase, Purse, legs_together,
};
use madang_store::{ENTRIES_APPEND_COUNT_MAX, StoreError};
use madang_types::{
    Allocation, CeilingId, Class, Job, MicroWon, Micros, Preempted, ProgrammeId, RunEnd, RunId,
    RunOutcome, RunRecord, TenantId, Unit,
};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of prices and purses while what the desk said at one time is carried out: each is read once, and what was taken for one
/// run is not there for the next.
pub(super) struct Till<'a> {
    plane: &'a JobsPlane,
    card: Option<AcceleratorCard>,
    funded: Option<BTreeSet<ProgrammeId>>,
    grants: BTreeMap<TenantId, Vec<(Allocation, i64)>>,
    ceilings: BTreeMap<CeilingId, i64>,
}

impl<'a> Till<'a> {
    pub(super) fn new(plane: &'a JobsPlane) -> Self {
        Self {
            plane,
            card: None,
            funded: None,
            grants: BTreeMap::new(),
            ceilings: BTreeMap::new(),
        }
    }

    /// The entry that sets aside what a run may cost as things stand at `at`; none where it costs nothing. Nothing is written. Why it
    /// cannot be set aside is said in words for the job's owner.
    ///
    /// # Errors
    /// The books cannot be read.
    pub(super) async fn reservation(
        &mut self,
        (job, run): (&Job, &RunRecord),
        at: Micros,
    ) -> Result<Result<Option<Entry>, String>, StoreError> {
        let paid = match self.paid_run(job, run).await? {
            Ok(paid) => paid,
            Err(why) => return Ok(Err(why)),
        };
        let is_funded = self.is_funded(job.programme.as_ref()).await?;
        if is_funded {
            self.read_grants(&job.tenant).await?;
        }
        let ceilings = self.ceilings(job).await?;
        let grants = self
            .grants
            .get(&job.tenant)
            .filter(|_| is_funded)
            .map(Vec::as_slice);
        let purses = JobPurses {
            grants,
            ceilings: &ceilings,
        };
        let span_us = job.spec.time_limit_ms.saturating_mul(1_000);
        let entry = paid.reserve(span_us, purses, at);
        let entry = entry.map_err(|short| short.to_string());
        if let Ok(Some(entry)) = &entry {
            self.take(&job.tenant, entry, i64::saturating_sub);
        }
        Ok(entry)
    }

    /// A run does not begin: what was to be set aside for it is there for others.
    pub(super) fn give_back(&mut self, tenant: &TenantId, entry: &Entry) {
        self.take(tenant, entry, i64::saturating_add);
    }

    /// What was set aside is there for nobody else.
    fn take(&mut self, tenant: &TenantId, entry: &Entry, change: fn(i64, i64) -> i64) {
        for leg in &entry.legs {
            let left = match &leg.from {
                Account::Purse(Purse::Allocation(id)) => {
                    let grants = self.grants.get_mut(tenant);
                    let grant = grants.and_then(|all| all.iter_mut().find(|(of, _)| of.id == *id));
                    grant.map(|(_, left)| left)
                }
                Account::Purse(Purse::Ceiling(id)) => self.ceilings.get_mut(id),
                _ => None,
            };
            if let Some(left) = left {
                *left = change(*left, leg.amount);
            }
        }
    }

    /// A run with the price that was in force when it was given its machines; why it has none.
    pub(super) async fn paid_run(
        &mut self,
        job: &Job,
        run: &RunRecord,
    ) -> Result<Result<JobRun, String>, StoreError> {
        let Some(place) = &run.place else {
            return Ok(Err("nobody has kept where it runs".to_owned()));
        };
        let Ok(kind) = place.accelerator.parse::<Class>() else {
            let kind = &place.accelerator;
            return Ok(Err(format!("'{kind}' is no kind that could be paid for")));
        };
        let card = match &self.card {
            Some(card) => card,
            None => {
                let bank = self.plane.gateway.purses.bank();
                let prices = bank.accelerator_price_list().await?;
                self.card.insert(AcceleratorCard::new(prices))
            }
        };
        let hour = card.hour(&kind, &place.site, run.created_at);
        Ok(hour
            .map(|hour| JobRun {
                run: run.run,
                tenant: job.tenant.clone(),
                project: job.project.clone(),
                site: place.site.clone(),
                kind,
                accelerator_milli: run.accelerator_milli,
                hour,
            })
            .map_err(|missing| missing.to_string()))
    }

    /// Whether a programme has a budget, so that its tenants spend what they were granted and nothing else.
    async fn is_funded(&mut self, programme: Option<&ProgrammeId>) -> Result<bool, StoreError> {
        let funded = match &mut self.funded {
            Some(funded) => funded,
            unread => {
                let budgets = self.plane.gateway.purses.bank().budget_list().await?;
                unread.insert(budgets.into_iter().map(|of| of.programme).collect())
            }
        };
        Ok(programme.is_some_and(|programme| funded.contains(programme)))
    }

    /// A tenant's allocations, and what is left of each.
    async fn read_grants(&mut self, tenant: &TenantId) -> Result<(), StoreError> {
        if self.grants.contains_key(tenant) {
            return Ok(());
        }
        let bank = self.plane.gateway.purses.bank();
        let mut grants = Vec::new();
        for grant in bank.allocation_list((None, Some(tenant.clone()))).await? {
            if matches!(grant.unit, Unit::AcceleratorMs | Unit::MicroWon) {
                let purse = Purse::Allocation(grant.id.clone());
                let left = bank.purse_left(purse, grant.unit).await?;
                grants.push((grant, left));
            }
        }
        self.grants.insert(tenant.clone(), grants);
        Ok(())
    }

    /// What a job's key and project may spend, as far as they have a limit, and what is left under each.
    async fn ceilings(&mut self, job: &Job) -> Result<Vec<(CeilingId, i64)>, StoreError> {
        let bank = self.plane.gateway.purses.bank();
        let mut ceilings = Vec::new();
        for (ceiling, limit) in self.plane.gateway.job_ceilings(job) {
            let left = match self.ceilings.get(&ceiling) {
                Some(left) => *left,
                None => {
                    let at = madang_gateway::clock::now();
                    bank.ceiling_fill(ceiling.clone(), limit, at).await?;
                    let purse = Purse::Ceiling(ceiling.clone());
                    bank.purse_left(purse, Unit::MicroWon).await?
                }
            };
            self.ceilings.insert(ceiling.clone(), left);
            ceilings.push((ceiling, left));
        }
        Ok(ceilings)
    }
}

impl JobsPlane {
    /// Writes reservations of runs that the books have, and says of each what stands in its way, in words for the job's owner.
    ///
    /// # Errors
    /// The books cannot be written: nothing is lost by asking again.
    pub(super) async fn reserve(
        &self,
        entries: Vec<Entry>,
    ) -> Result<Vec<Result<(), String>>, StoreError> {
        let written = self.append(entries).await?;
        let told = written.into_iter().map(|told| match told {
            // It was set aside before, when other allocations were there.
            Ok(_) | Err(Fault::Conflict(Phase::Reserve)) => Ok(()),
            Err(fault) => Err(fault.to_string()),
        });
        Ok(told.collect())
    }

    /// Takes what runs used, and notes with each what it cost; nothing where it cost nothing.
    ///
    /// # Errors
    /// The books cannot be written: nothing is lost by asking again.
    pub(super) async fn settle(
        &self,
        till: &mut Till<'_>,
        ended: &mut [(Job, RunRecord)],
    ) -> Result<(), StoreError> {
        // What whoever drove before had added up is asked for here too: a run may end before anybody has looked at power.
        if !ended.is_empty() {
            self.energies.open().await?;
        }
        for (_, run) in ended.iter_mut() {
            let energy = self.energies.of(run.run);
            if let Some(end) = &mut run.end {
                end.energy = energy.or(end.energy);
            }
        }
        let mut paid = BTreeMap::new();
        for (at, (job, run)) in ended.iter().enumerate() {
            match till.paid_run(job, run).await? {
                Ok(found) => drop(paid.insert(at, found)),
                // Asking again would say the same for ever, and hold up everybody.
                Err(why) => tracing::error!(run = %run.run, why, "a run is not paid"),
            }
        }
        let known = self.known(paid.values().map(JobRun::entry_id)).await?;
        let (mut asked, mut entries) = (Vec::new(), Vec::new());
        for (at, paid) in paid {
            let (job, run) = &mut ended[at];
            let Some(end) = &run.end else {
                continue;
            };
            let known = known.get(&paid.entry_id()).map_or(&[][..], Vec::as_slice);
            if let Some(done) = known.iter().find(|entry| entry.phase != Phase::Reserve) {
                run.charge = booked(std::slice::from_ref(done));
                continue;
            }
            let free = self.gateway.programme_jobs(job).preempted == Preempted::Free
                && left_nothing(job, run);
            let of = used(run, end, free);
            if let Some(entry) = paid.settle(known.first(), of, end.ended_at) {
                run.charge = booked(std::slice::from_ref(&entry));
                asked.push(at);
                entries.push(entry);
            }
        }
        for (at, told) in asked.into_iter().zip(self.append(entries).await?) {
            if let Err(fault) = told {
                let run = &mut ended[at].1;
                tracing::error!(run = %run.run, %fault, "the ledger refused what a run used");
                run.charge = None;
            }
        }
        Ok(())
    }

    /// The entries that the books have of these ids.
    pub(crate) async fn known(
        &self,
        ids: impl Iterator<Item = EntryId>,
    ) -> Result<BTreeMap<EntryId, Vec<Entry>>, StoreError> {
        let ids: Vec<EntryId> = ids.collect();
        let mut known: BTreeMap<EntryId, Vec<Entry>> = BTreeMap::new();
        for ids in ids.chunks(ENTRIES_APPEND_COUNT_MAX) {
            for row in self.ledger.entries_of(ids.to_vec()).await? {
                known.entry(row.entry.id).or_default().push(row.entry);
            }
        }
        Ok(known)
    }

    /// What pays for runs: what the entries of each move.
    ///
    /// # Errors
    /// As [`madang_store::Ledger::entries_of`].
    pub async fn paid(
        &self,
        runs: impl Iterator<Item = RunId>,
    ) -> Result<BTreeMap<RunId, Vec<Leg>>, StoreError> {
        let ids = |run| {
            let ids = [JobRun::entry_id_of(run), JobRun::late_id_of(run)];
            ids.map(|id| (id, run))
        };
        let ids: BTreeMap<EntryId, RunId> = runs.flat_map(ids).collect();
        let mut paid: BTreeMap<RunId, Vec<Leg>> = BTreeMap::new();
        for (id, mut entries) in self.known(ids.keys().copied()).await? {
            if let (Some(run), Some(last)) = (ids.get(&id), entries.pop()) {
                paid.entry(*run).or_default().extend(last.legs);
            }
        }
        paid.values_mut()
            .for_each(|legs| *legs = legs_together(legs.iter()));
        Ok(paid)
    }

    pub(crate) async fn append(
        &self,
        entries: Vec<Entry>,
    ) -> Result<Vec<Result<Applied, Fault>>, StoreError> {
        let mut told = Vec::with_capacity(entries.len());
        for entries in entries.chunks(ENTRIES_APPEND_COUNT_MAX) {
            told.extend(self.ledger.entries_append(entries.to_vec()).await?);
        }
        Ok(told)
    }
}

/// What a run used; `None` where its program never began. What was lost with a machine is not its owner's to pay, nor what its programme
/// leaves `free`. One that was given up, as nobody could be asked how it stands, had its machines until it was last seen.
pub(super) fn used(run: &RunRecord, end: &RunEnd, free: bool) -> Option<JobUse> {
    let began = end.started_at?;
    Some(JobUse {
        span_us: end.ended_at.since_us(began),
        energy: end.energy,
        charged: !free
            && (run.unseen_since.is_some() || !matches!(end.outcome, RunOutcome::Lost { .. })),
    })
}

/// The won that entries of a run take from who pays.
pub(super) fn booked(entries: &[Entry]) -> Option<MicroWon> {
    let legs = entries.iter().filter(|entry| entry.phase.ends());
    let legs = legs_together(legs.flat_map(|entry| &entry.legs));
    let paid = legs.iter().filter(|leg| {
        leg.unit == Unit::MicroWon && !matches!(leg.from, Account::Purse(Purse::Ceiling(_)))
    });
    let sum: i64 = paid.map(|leg| leg.amount).sum();
    (sum > 0).then_some(MicroWon(sum))
}
