//! What requests may spend: the live driver of the core's budgets, and this gateway's way to the bank.
//!
//! A request asks the budgets in memory. Only where the rights here do not suffice does it wait for the bank, and then for
//! [`BANK_WAIT_MAX`] at most.

mod entry;
mod hold;
mod teller;

pub use entry::{caller_of, entry_of};
pub use hold::Hold;

use crate::clock;
use crate::grants;
use arc_swap::ArcSwap;
use madang_core::Shares;
use madang_core::budget::{Bound, BudgetView, Budgets, PurseView, Reserved, Short, Spender};
use madang_ledger::{Holder, Purse, RateCard, key_ceiling, project_ceiling};
use madang_store::{Bank, StoreError};
use madang_types::{
    Allocation, CeilingId, GatewayId, KeyId, MicroWon, Micros, ProgrammeBudget, ProgrammeId,
    ProjectId, RequestId, TenantId, Unit,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// How long a request waits for rights at most.
const BANK_WAIT_MAX: Duration = Duration::from_secs(2);
/// How long rights count after the bank was heard of, in milliseconds: so long a gateway that is cut off goes on serving.
pub(crate) const LEASE_MS: u64 = 600_000;

/// Budgets and prices in force.
pub struct Purses {
    run: Mutex<Run>,
    /// What there is to spend, as it was read last.
    granted: Mutex<Granted>,
    /// How far this gateway has seen ceilings filled.
    filled: Mutex<BTreeMap<CeilingId, MicroWon>>,
    /// Whether anything has a price or a budget: else requests ask nothing here.
    metered: AtomicBool,
    card: ArcSwap<RateCard>,
    bank: Arc<dyn Bank>,
    /// The bank has answered an order.
    answered: Notify,
}

/// Over whom a ceiling stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Key(KeyId),
    Project(TenantId, ProjectId),
}

/// What pays for accelerators.
pub(crate) struct AcceleratorGrants {
    pub(crate) funded: BTreeSet<ProgrammeId>,
    pub(crate) kinds: BTreeMap<TenantId, Option<BTreeSet<String>>>,
}

/// Budgets and allocations of the books, which tenant is of which programme, and what keys and projects may spend.
#[derive(Default)]
struct Granted {
    budgets: Vec<ProgrammeBudget>,
    allocations: Vec<Allocation>,
    shares: Shares,
    /// Ceilings: over whom each stands, and how high.
    limits: BTreeMap<CeilingId, (Over, MicroWon)>,
}

/// One run of this gateway: its rights end with it.
struct Run {
    holder: Arc<Holder>,
    budgets: Budgets,
}

impl Purses {
    /// Begins a run at the bank, and reads what may be spent.
    ///
    /// # Errors
    /// The books cannot be read or written.
    pub async fn open(bank: Arc<dyn Bank>, gateway: GatewayId) -> Result<Arc<Self>, StoreError> {
        let run = Run::begin(&*bank, gateway).await?;
        Ok(Arc::new(Self {
            run: Mutex::new(run),
            granted: Mutex::default(),
            filled: Mutex::default(),
            metered: AtomicBool::new(false),
            card: ArcSwap::default(),
            bank,
            answered: Notify::new(),
        }))
    }

    /// Reads again what may be spent and what things cost.
    ///
    /// # Errors
    /// The books cannot be read; what was in force stays.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let prices = self.bank.price_list().await?;
        let card = RateCard::new(prices, self.bank.exchange_list().await?);
        let budgets = self.bank.budget_list().await?;
        let allocations = self.bank.allocation_list((None, None)).await?;
        if self.is_granted(&budgets, &allocations) && *self.card.load_full() == card {
            return Ok(());
        }
        self.card.store(Arc::new(card));
        self.regrant(|granted| {
            granted.budgets = budgets;
            granted.allocations = allocations;
        });
        // Rights may count from now on, and the bank was perhaps never told of this run.
        self.seen().await
    }

    fn is_granted(&self, budgets: &[ProgrammeBudget], allocations: &[Allocation]) -> bool {
        let granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        granted.budgets == budgets && granted.allocations == allocations
    }

    /// Tells which tenant is of which programme.
    pub(crate) fn shares_apply(&self, shares: &Shares) {
        self.regrant(|granted| granted.shares.clone_from(shares));
    }

    /// Tells what keys and projects may spend at most.
    pub(crate) fn limits_apply(&self, limits: Vec<(Over, MicroWon)>) {
        let named = |(over, limit): (Over, MicroWon)| Some((over.ceiling()?, (over, limit)));
        let limits: BTreeMap<_, _> = limits.into_iter().filter_map(named).collect();
        let granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        let same = granted.limits == limits;
        drop(granted);
        if !same {
            self.regrant(|granted| granted.limits = limits);
        }
    }

    /// Puts what is granted in the place of weights.
    pub(crate) fn weigh(&self, shares: &mut Shares) {
        let granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        grants::weigh(shares, &granted.allocations, clock::now());
    }

    /// Programmes with a budget, and for which kinds of accelerators something is in force at `now` that each of their tenants was
    /// granted; `None` for any kind.
    pub(crate) fn accelerator_grants(&self, now: Micros) -> AcceleratorGrants {
        let granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        let funded = granted.budgets.iter().map(|of| of.programme.clone());
        let mut grants = AcceleratorGrants {
            funded: funded.collect(),
            kinds: BTreeMap::new(),
        };
        let in_force = |grant: &&Allocation| grant.from <= now && now < grant.ends_at();
        for grant in granted.allocations.iter().filter(in_force) {
            let kind = match grant.unit {
                Unit::AcceleratorMs => grant.class.as_ref(),
                Unit::MicroWon => None,
                _ => continue,
            };
            let some = || Some(BTreeSet::new());
            let kinds = grants
                .kinds
                .entry(grant.tenant.clone())
                .or_insert_with(some);
            match (kind, kinds.as_mut()) {
                (Some(kind), Some(kinds)) => drop(kinds.insert(kind.as_str().to_owned())),
                (None, _) => *kinds = None,
                (Some(_), None) => {}
            }
        }
        grants
    }

    /// Ceilings over those of them who have one, and how high each stands.
    pub(crate) fn limits_of(&self, over: impl Iterator<Item = Over>) -> Vec<(CeilingId, MicroWon)> {
        let ceilings = over.filter_map(|over| over.ceiling());
        let with = |id: CeilingId| self.limit(&id).map(|limit| (id, limit));
        ceilings.filter_map(with).collect()
    }

    /// How high a ceiling stands.
    fn limit(&self, ceiling: &CeilingId) -> Option<MicroWon> {
        let granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        granted.limits.get(ceiling).map(|(_, limit)| *limit)
    }

    fn regrant(&self, change: impl FnOnce(&mut Granted)) {
        // Held over both, so that of two changes the later one counts.
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut granted);
        let priced = !self.card.load().is_empty(Micros(i64::MAX));
        let metered = priced || !granted.budgets.is_empty();
        self.metered.store(metered, Ordering::Relaxed);
        self.lock().budgets.apply(granted.view());
    }

    /// Whether anything has a price or a budget.
    pub fn is_metered(&self) -> bool {
        self.metered.load(Ordering::Relaxed)
    }

    /// The prices in force.
    pub fn card(&self) -> Arc<RateCard> {
        self.card.load_full()
    }

    /// The bank behind it.
    pub fn bank(&self) -> &dyn Bank {
        &*self.bank
    }

    /// The run of this gateway that the bank knows.
    pub(crate) fn holder(&self) -> Arc<Holder> {
        Arc::clone(&self.lock().holder)
    }

    /// Sets aside what a request can cost at most.
    ///
    /// # Errors
    /// Why it may not be served. [`Short::Asked`] where the bank did not answer in time.
    pub async fn reserve(
        self: &Arc<Self>,
        request: RequestId,
        about: (&Spender, &Bound),
    ) -> Result<Hold, Short> {
        let until = Instant::now() + BANK_WAIT_MAX;
        loop {
            // Before the try: an answer that comes between it and the wait is heard.
            let answered = self.answered.notified();
            tokio::pin!(answered);
            answered.as_mut().enable();
            let (tried, holder) = self.try_reserve(request, about);
            match tried {
                Ok(reserved) => {
                    return Ok(Hold::new(Arc::clone(self), (request, holder), reserved));
                }
                Err(asked @ Short::Asked(_)) => {
                    if timeout_at(until, answered).await.is_err() {
                        return Err(asked);
                    }
                }
                Err(short) => return Err(short),
            }
        }
    }

    fn try_reserve(
        self: &Arc<Self>,
        request: RequestId,
        about: (&Spender, &Bound),
    ) -> (Result<Reserved, Short>, Arc<Holder>) {
        let mut orders = Vec::new();
        let mut run = self.lock();
        let now = clock::now();
        let tried = run.budgets.reserve(now, request, about, &mut orders);
        let holder = Arc::clone(&run.holder);
        drop(run);
        self.send(&holder, orders);
        (tried, holder)
    }

    fn lock(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Run {
    async fn begin(bank: &dyn Bank, gateway: GatewayId) -> Result<Self, StoreError> {
        let now = clock::now();
        let holder = bank.run_begin(gateway, now).await?;
        let mut budgets = Budgets::new();
        budgets.contact(now, now.plus_ms(LEASE_MS));
        Ok(Self {
            holder: Arc::new(holder),
            budgets,
        })
    }
}

impl Over {
    /// The ceiling over what it may spend in its life.
    fn ceiling(&self) -> Option<CeilingId> {
        match self {
            Self::Key(key) => key_ceiling(key).ok(),
            Self::Project(tenant, project) => project_ceiling(tenant, project).ok(),
        }
    }
}

/// When more comes of what pays for whatever this one pays for: its own parts, and allocations that begin later.
fn renewals<'a>(of: &Allocation, others: impl Iterator<Item = &'a Allocation>) -> Vec<Micros> {
    let covers = |other: &&Allocation| other.class.is_none() || other.class == of.class;
    let later = others.filter(covers).map(|other| other.from);
    let later = later.filter(|from| *from > of.from);
    let parts = of.tranches.iter().map(|tranche| tranche.from);
    let all: BTreeSet<Micros> = later.chain(parts).collect();
    all.into_iter().collect()
}

impl Granted {
    /// What there is to spend, as the core is told. A tenant of a programme that has a budget spends what it was granted; the
    /// others spend freely, and owe it.
    fn view(&self) -> BudgetView {
        let funded = self.budgets.iter().map(|budget| &budget.programme);
        let funded: BTreeSet<&ProgrammeId> = funded.collect();
        let tenants = self.shares.tenants.iter();
        let tenants = tenants.filter(|share| {
            let programme = share.programme.as_ref();
            programme.is_some_and(|programme| funded.contains(programme))
        });
        let mut tenants: BTreeMap<TenantId, Vec<Purse>> = tenants
            .map(|share| (share.tenant.clone(), Vec::new()))
            .collect();
        // Accelerator time is for jobs.
        let for_requests = |allocation: &&Allocation| allocation.unit != Unit::AcceleratorMs;
        let mut all: BTreeMap<&TenantId, Vec<&Allocation>> = BTreeMap::new();
        for allocation in self.allocations.iter().filter(for_requests) {
            all.entry(&allocation.tenant).or_default().push(allocation);
        }
        let mut purses = Vec::with_capacity(self.allocations.len());
        for allocation in all.values().flatten().copied() {
            let Some(granted) = tenants.get_mut(&allocation.tenant) else {
                continue;
            };
            let purse = Purse::Allocation(allocation.id.clone());
            granted.push(purse.clone());
            let others = all.get(&allocation.tenant).into_iter().flatten();
            purses.push(PurseView {
                purse,
                unit: allocation.unit,
                model_class: allocation.class.clone().map(Into::into),
                hard: allocation.hard,
                from: allocation.from,
                until: Some(allocation.ends_at()),
                renews_at: renewals(allocation, others.copied()),
            });
        }
        let (mut keys, mut projects) = (Vec::new(), Vec::new());
        for (ceiling, (over, _)) in &self.limits {
            let purse = Purse::Ceiling(ceiling.clone());
            match over {
                Over::Key(key) => keys.push((key.clone(), vec![purse.clone()])),
                Over::Project(tenant, project) => {
                    let name = (tenant.clone(), project.clone());
                    projects.push((name, vec![purse.clone()]));
                }
            }
            purses.push(PurseView {
                purse,
                unit: Unit::MicroWon,
                model_class: None,
                hard: true,
                from: Micros(i64::MIN),
                until: None,
                renews_at: Vec::new(),
            });
        }
        BudgetView {
            purses,
            tenants: tenants.into_iter().collect(),
            keys,
            projects,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_types::Tranche;

    #[test]
    fn more_comes_of_what_pays_for_all_that_this_one_pays_for() {
        let tokens = |class: Option<&str>, from: i64| Allocation {
            id: format!("a-{from}").parse().unwrap(),
            programme: "p".parse().unwrap(),
            tenant: "t".parse().unwrap(),
            unit: Unit::Tokens,
            class: class.map(|class| class.parse().unwrap()),
            amount: 2,
            hard: true,
            from: Micros(from),
            tranches: Vec::new(),
            until: Micros(100),
            created_at: Micros(0),
            recalled_at: None,
        };
        let part = |at| Tranche {
            from: Micros(at),
            amount: 1,
        };
        let mut all = [
            tokens(None, 5),
            tokens(Some("large"), 10),
            tokens(Some("large"), 40),
            tokens(Some("small"), 30),
            tokens(None, 20),
        ];
        all[1].tranches = vec![part(10), part(15)];
        let check = |of: usize, expected: &[i64]| {
            let found = renewals(&all[of], all.iter());
            let found: Vec<i64> = found.into_iter().map(|at| at.0).collect();
            assert_eq!(found, expected, "{of}");
        };
        check(0, &[20]);
        check(1, &[10, 15, 20, 40]);
        check(2, &[]);
        check(3, &[]);
        check(4, &[]);
    }
}
