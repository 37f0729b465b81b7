//! The bank: what may be spent, and which gateway holds how much of it.

use crate::StoreError;
use async_trait::async_trait;
use madang_ledger::{
    AcceleratorPrice, Exchange, Fault, Holder, Order, PartAsk, PartGrant, Price, Purse, Suspended,
    check_allocation, check_release,
};
use madang_types::{
    Allocation, AllocationId, CeilingId, GatewayId, MicroWon, Micros, ProgrammeBudget, ProgrammeId,
    TenantId, Unit,
};

/// What came of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Rights that were moved to the gateway.
    pub moved: i64,
    /// What there is of the purse elsewhere: nobody's yet, or another gateway's.
    pub left: i64,
}

/// A gateway as the bank knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayRow {
    /// Its latest run; one that was given up has none yet.
    pub holder: Holder,
    /// When that run began.
    pub begun_at: Micros,
    /// When it was last heard of; before everything where it was given up.
    pub seen_at: Micros,
    /// Purses of which it holds, or held, a part.
    pub purses: u64,
}

/// What stands in the way of a grant; each says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// The books failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The rules do not allow it; the words are for whoever asked.
    #[error("{0}")]
    Refused(String),
}

/// Who may spend how much, and who holds it. Every method is one transaction.
#[async_trait]
pub trait Bank: Send + Sync + 'static {
    /// A run of a gateway begins. What earlier runs held goes back: whatever they spent is in the books by now.
    async fn run_begin(&self, gateway: GatewayId, at: Micros) -> Result<Holder, StoreError>;
    /// A run is alive. `false` where a later one has begun: it holds nothing any more.
    async fn run_seen(&self, holder: Holder, at: Micros) -> Result<bool, StoreError>;
    /// Carries an order out: once, however often it comes. What of an allocation has not come at `at` stays where it is.
    async fn order(&self, holder: Holder, order: Order, at: Micros) -> Result<Moved, StoreError>;
    /// Gives a gateway up of which nothing was heard for a minute: what it held waits in suspense for what it may still report, and its
    /// run is over. Says of how many purses it held a part. [`StoreError::Absent`] where no such gateway was ever there.
    async fn give_up(&self, gateway: GatewayId, at: Micros) -> Result<u64, GrantError>;
    /// Gives back to its purses what waits of a gateway that was given up an hour ago or earlier: it never comes back. What it reports all
    /// the same is owed by the tenants. Says how many parts that were. [`StoreError::Absent`] where no such gateway was ever there.
    async fn release(&self, gateway: GatewayId, at: Micros) -> Result<u64, GrantError>;
    /// The gateways that have begun a run here, by name.
    async fn gateway_list(&self) -> Result<Vec<GatewayRow>, StoreError>;

    /// Fills a ceiling up to its limit: from then on so much may be spent under it in all. A higher limit raises it by the difference,
    /// one as high or lower changes nothing.
    async fn ceiling_fill(
        &self,
        id: CeilingId,
        limit: MicroWon,
        at: Micros,
    ) -> Result<(), StoreError>;
    /// What of a purse nobody has spent: what no gateway holds, and what each holds as far as it has reported.
    async fn purse_left(&self, purse: Purse, unit: Unit) -> Result<i64, StoreError>;

    /// Sets what a programme has to allocate in a unit: the first time, or to another amount.
    async fn budget_put(&self, budget: ProgrammeBudget, at: Micros) -> Result<(), GrantError>;
    /// All budgets, by programme and unit.
    async fn budget_list(&self) -> Result<Vec<ProgrammeBudget>, StoreError>;
    /// Grants a part of a programme's budget to a tenant.
    async fn allocation_insert(&self, allocation: Allocation) -> Result<(), GrantError>;
    /// Allocations by id; of one programme or tenant where given.
    async fn allocation_list(
        &self,
        of: (Option<ProgrammeId>, Option<TenantId>),
    ) -> Result<Vec<Allocation>, StoreError>;
    /// Ends an allocation at `ends_at`, where it does not end earlier, and takes back what is not spent by then: at once where that is at
    /// `at` or before, else by [`Self::allocations_sweep`]. What gateways hold follows as they return it.
    async fn allocation_recall(
        &self,
        id: AllocationId,
        ends_at: Micros,
        at: Micros,
    ) -> Result<Allocation, GrantError>;
    /// Moves what is left of allocations that are over back to their programmes; says how many that was.
    async fn allocations_sweep(&self, at: Micros) -> Result<u64, StoreError>;

    /// How long before it begins a price or a rate of exchange must be added, in milliseconds, so that every gateway that shares the
    /// books knows it by then.
    fn notice_ms(&self) -> u64;
    /// Adds a price; it may not begin before `at` and the notice.
    async fn price_insert(&self, price: Price, at: Micros) -> Result<(), GrantError>;
    /// All prices, past ones too.
    async fn price_list(&self) -> Result<Vec<Price>, StoreError>;
    /// Adds a price of accelerator time, likewise.
    async fn accelerator_price_insert(
        &self,
        price: AcceleratorPrice,
        at: Micros,
    ) -> Result<(), GrantError>;
    /// All prices of accelerator time, past ones too.
    async fn accelerator_price_list(&self) -> Result<Vec<AcceleratorPrice>, StoreError>;
    /// Adds a rate of exchange; it may not begin before `at` and the notice.
    async fn exchange_insert(&self, exchange: Exchange, at: Micros) -> Result<(), GrantError>;
    /// All rates of exchange, past ones too.
    async fn exchange_list(&self) -> Result<Vec<Exchange>, StoreError>;

    /// The books that divide keys' rates among gateways; `None` where there is one gateway, which holds all of them.
    fn rate_books(&self) -> Option<&dyn RateBooks>;
}

/// Who holds which part of keys' rates.
#[async_trait]
pub trait RateBooks: Send + Sync {
    /// A run of a gateway gives up what it counts on no longer, and is told what it holds from now on: all in one transaction, by the
    /// books' own clock. What runs hold of which a later one has begun, or that were given up, is free. `None` where this run is one of
    /// them: nothing was done.
    async fn rate_parts(
        &self,
        holder: Holder,
        asks: Vec<PartAsk>,
    ) -> Result<Option<Vec<PartGrant>>, StoreError>;
}

/// A gateway of which nothing was heard for so long takes no part when a purse is divided, in milliseconds.
pub(crate) const GATEWAY_ABSENT_MS: u64 = 60_000;

/// Why an allocation may not be granted, if so, where one of its id is there already or not.
pub(crate) fn check_grant(
    new: &Allocation,
    is_there: bool,
    (budget, others): (Option<&ProgrammeBudget>, &[Allocation]),
) -> Result<(), String> {
    if is_there {
        return Err(format!("the allocation '{}' exists already", new.id));
    }
    check_allocation(new, budget, others)
}

/// Why a gateway that was seen then may not be given up at `at`, if so.
pub(crate) fn check_absent(gateway: &GatewayId, seen_at: Micros, at: Micros) -> Result<(), String> {
    if seen_at.plus_ms(GATEWAY_ABSENT_MS) <= at {
        return Ok(());
    }
    let seconds = GATEWAY_ABSENT_MS / 1_000;
    Err(format!(
        "the gateway '{gateway}' was heard of within {seconds} s: it runs, or has just ended. Stop it, and wait as long"
    ))
}

/// Of a purse and a run the part that waits in suspense.
pub(crate) type Part = (Purse, Holder, Suspended);

/// Why what waits of a gateway may not be released at `at`, if so.
pub(crate) fn check_parts(gateway: &GatewayId, parts: &[Part], at: Micros) -> Result<(), String> {
    let since = parts.iter().map(|(_, _, part)| part.since).max();
    let since = since.ok_or_else(|| {
        format!(
            "nothing waits of the gateway '{gateway}': it was released before, or gave everything back, or was not given up \
             (`madang gateway give-up {gateway}`)"
        )
    })?;
    check_release(gateway, since, at)
}

/// What is asked of a bank that writes.
pub(crate) enum About {
    RunBegin(GatewayId),
    RunSeen(Holder),
    Order(Holder, Order),
    GiveUp(GatewayId),
    Release(GatewayId),
    Ceiling(CeilingId, MicroWon),
    Left(Purse, Unit),
    Budget(ProgrammeBudget),
    Allocation(Allocation),
    Recall(AllocationId, Micros),
    Sweep,
    Price(Price),
    AcceleratorPrice(AcceleratorPrice),
    Exchange(Exchange),
}

/// What came of it.
pub(crate) enum Answer {
    Run(Holder),
    Seen(bool),
    Moved(Moved),
    /// The rules do not allow it: why.
    Refused(String),
    Done,
    Allocation(Box<Allocation>),
    Count(u64),
    Left(i64),
}

/// Where the bank's questions go: a database, as one transaction each or many in one.
#[async_trait]
pub(crate) trait Counter: Send + Sync + 'static {
    async fn ask(&self, about: About, at: Micros) -> Result<Answer, StoreError>;
    fn notice_ms(&self) -> u64 {
        0
    }
    async fn gateways(&self) -> Result<Vec<GatewayRow>, StoreError>;
    async fn budgets(&self) -> Result<Vec<ProgrammeBudget>, StoreError>;
    async fn allocations(
        &self,
        of: (Option<ProgrammeId>, Option<TenantId>),
    ) -> Result<Vec<Allocation>, StoreError>;
    async fn prices(&self) -> Result<Vec<Price>, StoreError>;
    async fn accelerator_prices(&self) -> Result<Vec<AcceleratorPrice>, StoreError>;
    async fn exchanges(&self) -> Result<Vec<Exchange>, StoreError>;
    fn rate_books(&self) -> Option<&dyn RateBooks> {
        None
    }
}

/// An entry that was worked out from the balances of the same transaction is not refused.
pub(crate) fn must(entered: Result<(), Fault>) -> Result<(), StoreError> {
    entered.map_err(|fault| {
        StoreError::Damaged(format!("the ledger refused an entry of the bank: {fault}"))
    })
}

fn unexpected() -> StoreError {
    StoreError::Damaged("the bank answered another question".into())
}

async fn grant(counter: &impl Counter, (about, at): (About, Micros)) -> Result<Answer, GrantError> {
    match counter.ask(about, at).await? {
        Answer::Refused(why) => Err(GrantError::Refused(why)),
        answer => Ok(answer),
    }
}

#[async_trait]
impl<T: Counter> Bank for T {
    async fn run_begin(&self, gateway: GatewayId, at: Micros) -> Result<Holder, StoreError> {
        match self.ask(About::RunBegin(gateway), at).await? {
            Answer::Run(holder) => Ok(holder),
            _ => Err(unexpected()),
        }
    }

    async fn run_seen(&self, holder: Holder, at: Micros) -> Result<bool, StoreError> {
        match self.ask(About::RunSeen(holder), at).await? {
            Answer::Seen(alive) => Ok(alive),
            _ => Err(unexpected()),
        }
    }

    async fn order(&self, holder: Holder, order: Order, at: Micros) -> Result<Moved, StoreError> {
        match self.ask(About::Order(holder, order), at).await? {
            Answer::Moved(moved) => Ok(moved),
            _ => Err(unexpected()),
        }
    }

    async fn give_up(&self, gateway: GatewayId, at: Micros) -> Result<u64, GrantError> {
        match grant(self, (About::GiveUp(gateway), at)).await? {
            Answer::Count(count) => Ok(count),
            _ => Err(unexpected().into()),
        }
    }

    async fn release(&self, gateway: GatewayId, at: Micros) -> Result<u64, GrantError> {
        match grant(self, (About::Release(gateway), at)).await? {
            Answer::Count(count) => Ok(count),
            _ => Err(unexpected().into()),
        }
    }

    async fn gateway_list(&self) -> Result<Vec<GatewayRow>, StoreError> {
        self.gateways().await
    }

    async fn ceiling_fill(
        &self,
        id: CeilingId,
        limit: MicroWon,
        at: Micros,
    ) -> Result<(), StoreError> {
        self.ask(About::Ceiling(id, limit), at).await.map(drop)
    }

    async fn purse_left(&self, purse: Purse, unit: Unit) -> Result<i64, StoreError> {
        match self.ask(About::Left(purse, unit), Micros(0)).await? {
            Answer::Left(left) => Ok(left),
            _ => Err(unexpected()),
        }
    }

    async fn budget_put(&self, budget: ProgrammeBudget, at: Micros) -> Result<(), GrantError> {
        grant(self, (About::Budget(budget), at)).await.map(drop)
    }

    async fn budget_list(&self) -> Result<Vec<ProgrammeBudget>, StoreError> {
        self.budgets().await
    }

    async fn allocation_insert(&self, allocation: Allocation) -> Result<(), GrantError> {
        let at = allocation.created_at;
        grant(self, (About::Allocation(allocation), at))
            .await
            .map(drop)
    }

    async fn allocation_list(
        &self,
        of: (Option<ProgrammeId>, Option<TenantId>),
    ) -> Result<Vec<Allocation>, StoreError> {
        self.allocations(of).await
    }

    async fn allocation_recall(
        &self,
        id: AllocationId,
        ends_at: Micros,
        at: Micros,
    ) -> Result<Allocation, GrantError> {
        match grant(self, (About::Recall(id, ends_at), at)).await? {
            Answer::Allocation(allocation) => Ok(*allocation),
            _ => Err(unexpected().into()),
        }
    }

    async fn allocations_sweep(&self, at: Micros) -> Result<u64, StoreError> {
        match self.ask(About::Sweep, at).await? {
            Answer::Count(count) => Ok(count),
            _ => Err(unexpected()),
        }
    }

    fn notice_ms(&self) -> u64 {
        Counter::notice_ms(self)
    }

    async fn price_insert(&self, price: Price, at: Micros) -> Result<(), GrantError> {
        grant(self, (About::Price(price), at)).await.map(drop)
    }

    async fn price_list(&self) -> Result<Vec<Price>, StoreError> {
        self.prices().await
    }

    async fn accelerator_price_insert(
        &self,
        price: AcceleratorPrice,
        at: Micros,
    ) -> Result<(), GrantError> {
        let about = About::AcceleratorPrice(price);
        grant(self, (about, at)).await.map(drop)
    }

    async fn accelerator_price_list(&self) -> Result<Vec<AcceleratorPrice>, StoreError> {
        self.accelerator_prices().await
    }

    async fn exchange_insert(&self, exchange: Exchange, at: Micros) -> Result<(), GrantError> {
        grant(self, (About::Exchange(exchange), at)).await.map(drop)
    }

    async fn exchange_list(&self) -> Result<Vec<Exchange>, StoreError> {
        self.exchanges().await
    }

    fn rate_books(&self) -> Option<&dyn RateBooks> {
        Counter::rate_books(self)
    }
}
