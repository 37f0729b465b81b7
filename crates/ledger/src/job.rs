//! The entries of a job's run: what it may use at most is set aside before it starts, what it used is taken when it has ended.
//!
//! Whoever drives jobs writes them straight into the ledger, out of the purses themselves: what gateways hold of these as leases is not
//! theirs to spend. A run has one id, so that whatever is written again is written once.

use crate::accelerator::{cost_of, paid_by, used};
use crate::price::rounded;
use crate::tranche::{next_tranche, unreleased};
use crate::{Account, Entry, EntryId, LEGS_COUNT_MAX, Leg, Phase, Purse, Subject};
use madang_types::{
    Allocation, CeilingId, Class, MicroWon, Micros, MilliJoules, ProjectId, RunId, SiteId,
    TenantId, Unit,
};

/// Legs of what was delivered: time and energy.
const DELIVERED_COUNT: usize = 2;
/// Parts of a millisecond of one accelerator: microseconds of a thousandth of one.
const MS: i128 = 1_000_000;

/// One run of a job, on accelerators of one kind at one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRun {
    /// Which.
    pub run: RunId,
    /// Whose job it is.
    pub tenant: TenantId,
    /// For which of its projects.
    pub project: Option<ProjectId>,
    /// Where it runs.
    pub site: SiteId,
    /// On which accelerators.
    pub kind: Class,
    /// How many of them in all, in thousandths.
    pub accelerator_milli: u64,
    /// What an hour of one cost when its reservation was made: also where a later price is in force when it ends.
    pub hour: MicroWon,
}

/// What there is to pay for it.
#[derive(Clone, Copy, Debug)]
pub struct JobPurses<'a> {
    /// The tenant's allocations, past ones too, and what its account has available of each. `None` where its programme has no budget:
    /// it spends freely, and owes it.
    pub grants: Option<&'a [(Allocation, i64)]>,
    /// The ceilings over its key and its project, and what is available under each, in µ₩. They count, whoever pays.
    pub ceilings: &'a [(CeilingId, i64)],
}

/// What a run has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobUse {
    /// From its start to its end, in µs.
    pub span_us: u64,
    /// Energy, where somebody says what its machines draw.
    pub energy: Option<MilliJoules>,
    /// Whether it is charged: a stretch that was stopped for others and left no checkpoint may not be.
    pub charged: bool,
}

/// Why nothing is set aside for a run: what stands in its way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobShort {
    /// Nothing was granted to the tenant that may be spent now on such accelerators.
    #[error("'{tenant}' has no allocation that pays now for accelerators '{kind}'")]
    NoAllocation {
        /// Whose job it is.
        tenant: TenantId,
        /// On which accelerators.
        kind: Class,
        /// When one begins.
        renews_at: Option<Micros>,
    },
    /// It may use more than is left.
    #[error("{} has {available} {unit} left, {lacks} less than the run may need", Account::Purse(.purse.clone()))]
    Exhausted {
        /// Of what; of several allocations the one that is spent last.
        purse: Purse,
        /// In what that is counted.
        unit: Unit,
        /// What is left of it.
        available: i64,
        /// What is missing.
        lacks: i64,
        /// When more comes.
        renews_at: Option<Micros>,
    },
}

impl JobRun {
    /// The id of its entries.
    pub fn entry_id(&self) -> EntryId {
        Self::entry_id_of(self.run)
    }

    /// The id of the entries of a run.
    pub fn entry_id_of(run: RunId) -> EntryId {
        EntryId::named(&format!("run:{run}"))
    }

    /// The id of the entry of what a run used that was not known when it was settled.
    pub fn late_id_of(run: RunId) -> EntryId {
        EntryId::named(&format!("run:{run}:late"))
    }

    /// The reservation of a run that takes `span_us_max` at most; `None` where it costs nothing and no allocation pays. Of the allocations
    /// that pay for such accelerators at `at`, the one that ends first is spent first, and of those that end together the one for this
    /// kind: as the core's budget does with tokens.
    ///
    /// # Errors
    /// What is short, and by how much.
    pub fn reserve(
        &self,
        span_us_max: u64,
        purses: JobPurses<'_>,
        at: Micros,
    ) -> Result<Option<Entry>, JobShort> {
        let all = used(self.accelerator_milli, span_us_max);
        let mut legs = Vec::new();
        match purses.grants {
            None => legs.extend(self.won_leg(Account::Tenant(self.tenant.clone()), all)),
            Some(grants) if all > 0 => {
                self.draw(grants, (all, purses.ceilings.len()), at, &mut legs)?
            }
            Some(_) => {}
        }
        let cost = cost_of(self.hour, all).0;
        for (ceiling, available) in purses.ceilings {
            let purse = Purse::Ceiling(ceiling.clone());
            if cost > *available {
                return Err(JobShort::Exhausted {
                    purse,
                    unit: Unit::MicroWon,
                    available: *available,
                    lacks: cost - available,
                    renews_at: None,
                });
            }
            legs.extend(leg(
                Unit::MicroWon,
                cost,
                Account::Purse(purse),
                Account::World,
            ));
        }
        Ok((!legs.is_empty()).then(|| self.entry(Phase::Reserve, at, legs)))
    }

    /// Draws all of it from the allocations that pay for it.
    fn draw(
        &self,
        grants: &[(Allocation, i64)],
        (all, ceilings): (i128, usize),
        at: Micros,
        legs: &mut Vec<Leg>,
    ) -> Result<(), JobShort> {
        let covers = |(grant, _): &&(Allocation, i64)| match grant.unit {
            Unit::MicroWon => true,
            Unit::AcceleratorMs => grant.class.as_ref().is_none_or(|kind| *kind == self.kind),
            _ => false,
        };
        let mut open: Vec<_> = grants.iter().filter(covers).collect();
        let coming = open.iter().filter_map(|(grant, _)| {
            let begins = Some(grant.from).filter(|from| at < *from);
            begins.or_else(|| next_tranche(grant, at).filter(|next| *next < grant.ends_at()))
        });
        let renews_at = coming.min();
        open.retain(|(grant, _)| grant.from <= at && at < grant.ends_at());
        // Won come last where an hour costs none.
        let idle = |unit| unit == Unit::MicroWon && self.hour.0 == 0;
        open.sort_by_key(|(grant, _)| {
            let narrow = grant.class.is_some();
            (idle(grant.unit), grant.ends_at(), !narrow, grant.id.clone())
        });
        open.truncate(LEGS_COUNT_MAX.saturating_sub(DELIVERED_COUNT + ceilings));
        let mut short = JobShort::NoAllocation {
            tenant: self.tenant.clone(),
            kind: self.kind.clone(),
            renews_at,
        };
        let mut rest = all;
        for (grant, available) in open {
            let purse = Purse::Allocation(grant.id.clone());
            let available = available.saturating_sub(unreleased(grant, at)).max(0);
            let needed = self.amount(grant.unit, rest);
            let amount = needed.min(available);
            legs.extend(leg(
                grant.unit,
                amount,
                Account::Purse(purse.clone()),
                self.place(),
            ));
            if needed <= available {
                return Ok(());
            }
            rest -= self.covered(grant.unit, amount).min(rest);
            short = JobShort::Exhausted {
                purse,
                unit: grant.unit,
                available,
                lacks: needed - available,
                renews_at,
            };
        }
        Err(short)
    }

    /// What becomes of a run that is over: a `Post` of what it used, or a `Void` where it used nothing. `reserved` is its reservation as
    /// the books have it; without one nobody pays, and what was delivered is written alone. `None` where there is nothing to write. What
    /// it used beyond its reservation nobody pays who was granted it, and the tenant owes who was not.
    pub fn settle(
        &self,
        reserved: Option<&Entry>,
        of: Option<JobUse>,
        at: Micros,
    ) -> Option<Entry> {
        let all = of.map_or(0, |of| used(self.accelerator_milli, of.span_us));
        let mut legs = Vec::new();
        if let Some(reserved) = reserved.filter(|_| of.is_some_and(|of| of.charged)) {
            self.take(&reserved.legs, all, &mut legs);
        }
        let caller = match &self.project {
            Some(project) => Account::Project(self.tenant.clone(), project.clone()),
            None => Account::Tenant(self.tenant.clone()),
        };
        let energy = of.and_then(|of| of.energy).map_or(0, |energy| energy.0);
        for (unit, amount) in [
            (Unit::AcceleratorMs, rounded(all, MS)),
            (Unit::MilliJoules, energy),
        ] {
            legs.extend(leg(unit, amount, self.place(), caller.clone()));
        }
        let phase = match (reserved.is_some(), legs.is_empty()) {
            (true, true) => Phase::Void,
            (true, false) => Phase::Post,
            (false, true) => return None,
            (false, false) => Phase::Direct,
        };
        Some(self.entry(phase, at, legs))
    }

    /// What becomes of a run that was settled before it was known what it used, once that is known: what both entries move together is
    /// what one of all of it would have moved. `known` are its entries as the books have them, `of` all that it used, and `left` what is
    /// available now of what is limited: what is not there nobody pays, as what was set aside for it was free for others since. What was
    /// taken too much goes back. `None` where there is nothing to write.
    pub fn settle_late(
        &self,
        (known, of): (&[Entry], JobUse),
        left: impl Fn(&Account) -> i64,
        at: Micros,
    ) -> Option<Entry> {
        let reserved = known.iter().find(|entry| entry.phase == Phase::Reserve);
        let moved = known.iter().filter(|entry| entry.phase.ends());
        let moved: Vec<&Leg> = moved.flat_map(|entry| &entry.legs).collect();
        let due = self.settle(reserved, Some(of), at);
        let due = due.as_ref().map_or(&[][..], |entry| &entry.legs);
        let mut legs = Vec::new();
        for one in due {
            let like = moved.iter().filter(|leg| leg.is_like(one));
            let before: i64 = like.map(|leg| leg.amount).sum();
            let more = one.amount - before;
            let more = match one.from.is_limited() {
                true => more.min(left(&one.from).max(0)),
                false => more,
            };
            legs.extend(leg(one.unit, more, one.from.clone(), one.to.clone()));
            legs.extend(leg(
                one.unit,
                before - one.amount,
                one.to.clone(),
                one.from.clone(),
            ));
        }
        for undue in moved {
            if !due.iter().any(|one| one.is_like(undue)) {
                legs.push(undue.back());
            }
        }
        (!legs.is_empty()).then(|| Entry {
            id: Self::late_id_of(self.run),
            ..self.entry(Phase::Direct, at, legs)
        })
    }

    /// Takes from who set it aside, in the same order, no more than that.
    fn take(&self, reserved: &[Leg], all: i128, legs: &mut Vec<Leg>) {
        let mut rest = all;
        for Leg {
            unit,
            amount,
            from,
            to,
        } in reserved
        {
            let amount = match from {
                // It counts all of it.
                Account::Purse(Purse::Ceiling(_)) => self.amount(*unit, all).min(*amount),
                Account::Purse(_) => {
                    let taken = self.amount(*unit, rest).min(*amount);
                    rest -= self.covered(*unit, taken).min(rest);
                    taken
                }
                _ => self.amount(*unit, rest),
            };
            legs.extend(leg(*unit, amount, from.clone(), to.clone()));
        }
    }

    /// What so much accelerator time comes to in a unit.
    fn amount(&self, unit: Unit, parts: i128) -> i64 {
        match unit {
            Unit::MicroWon => cost_of(self.hour, parts).0,
            _ => rounded(parts, MS),
        }
    }

    /// How much accelerator time an amount pays for; of nothing, none.
    fn covered(&self, unit: Unit, amount: i64) -> i128 {
        match unit {
            _ if amount == 0 => 0,
            Unit::MicroWon => paid_by(self.hour, MicroWon(amount)),
            _ => i128::from(amount) * MS,
        }
    }

    fn won_leg(&self, from: Account, parts: i128) -> Option<Leg> {
        leg(
            Unit::MicroWon,
            cost_of(self.hour, parts).0,
            from,
            self.place(),
        )
    }

    fn place(&self) -> Account {
        Account::Site(self.site.clone())
    }

    fn entry(&self, phase: Phase, at: Micros, legs: Vec<Leg>) -> Entry {
        Entry {
            id: self.entry_id(),
            phase,
            at,
            subject: Subject::Job(self.run.task.job),
            legs,
        }
    }
}

/// What the entries of a run move together: what goes back is taken off.
pub fn legs_together<'a>(legs: impl IntoIterator<Item = &'a Leg>) -> Vec<Leg> {
    let mut all: Vec<Leg> = Vec::new();
    for leg in legs {
        let back = leg.back();
        if let Some(same) = all.iter_mut().find(|other| other.is_like(leg)) {
            same.amount = same.amount.saturating_add(leg.amount);
        } else if let Some(other) = all.iter_mut().find(|other| other.is_like(&back)) {
            other.amount = other.amount.saturating_sub(leg.amount);
        } else {
            all.push(leg.clone());
        }
    }
    all.retain(|leg| leg.amount > 0);
    all
}

/// A leg, where it moves anything.
fn leg(unit: Unit, amount: i64, from: Account, to: Account) -> Option<Leg> {
    (amount > 0).then_some(Leg {
        unit,
        amount,
        from,
        to,
    })
}
