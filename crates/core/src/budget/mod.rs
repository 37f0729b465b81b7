//! Who may spend how much: what each request may cost at most is set aside before it starts, what it cost is taken when it ends.
//!
//! Budgets are *purses* ([`Purse`]): what a programme granted to a tenant, what a key or a project may spend in a month. A gateway
//! never spends from a purse itself. It holds *rights*, a part of the purse that was moved to it (a lease), and every request has its
//! greatest possible cost set aside from them. Rights are moved, never made, so the sum of what all gateways spend cannot pass
//! what was granted, whoever is cut off from whom, and no request asks a database while the rights here suffice
//! (escrow, or bounded counters: Balegas et al., "Extending Eventually Consistent Cloud Databases for Enforcing Numeric Invariants",
//! 2015).
//!
//! Whoever keeps the purses is the *bank*: the store. [`Budgets`] says what to ask of it ([`madang_ledger::Order`]), the driver asks and says what
//! came of it. Orders are numbered, so that one whose answer was lost is asked again without being carried out twice.

mod lease;
mod purse;
mod reserve;
mod settle;
mod view;

pub use purse::PurseStatus;
pub use reserve::{Bound, Part, Reserved, Short, Spender};
pub use settle::{Draw, Settled, settle_orphan};
pub use view::{BudgetView, PurseView};

use madang_ledger::Purse;
use madang_types::{KeyId, Micros, ProjectId, RequestId, TenantId};
use purse::Held;
use reserve::Reservation;
use std::collections::BTreeMap;

/// The fewest tokens that an answer is cut down to.
pub const OUTPUT_TOKENS_MIN: u64 = 16;
/// Tokens that a chat template may add to a prompt whose length is estimated.
pub const TEMPLATE_TOKENS: u64 = 64;

/// What may be spent here, and what is set aside for whom.
#[derive(Clone, Debug, Default)]
pub struct Budgets {
    purses: BTreeMap<Purse, Held>,
    /// Purses that pay for a tenant, in the order in which they are spent.
    allocations: BTreeMap<TenantId, Vec<Purse>>,
    /// Ceilings over a key, over a project.
    keys: BTreeMap<KeyId, Vec<Purse>>,
    projects: BTreeMap<(TenantId, ProjectId), Vec<Purse>>,
    requests: BTreeMap<RequestId, Reservation>,
    /// The bank has heard from this gateway: its rights count until then.
    lease_until: Option<Micros>,
    /// The latest instant that was told: time does not go back here.
    latest: Micros,
    /// The number of the last order.
    orders: u64,
}

impl Budgets {
    /// No purse, no request.
    pub fn new() -> Self {
        Self::default()
    }

    /// The present, where the clock was set back too.
    fn present(&mut self, now: Micros) -> Micros {
        self.latest = self.latest.max(now);
        self.latest
    }
}
