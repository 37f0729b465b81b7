//! The rules of the books of account: double entry, integers only, nothing is ever changed.
//!
//! An [`Entry`] moves amounts between [`Account`]s; each of its legs takes from one account what it gives to another, so that
//! every unit sums to zero over all accounts at any time. What was granted and may not be overspent is an account that may not
//! fall below zero: a budget, a part of it that a gateway holds, a key's ceiling are all the same thing.
//!
//! Pure: whoever keeps entries asks these rules inside its own transaction.

mod accelerator;
mod account;
mod award;
mod balance;
mod bank;
mod book;
mod ceiling;
mod decimal;
mod energy;
mod entry;
mod grants;
mod job;
mod moves;
mod parts;
mod price;
pub mod report;
mod rules;
mod suspense;
mod terms;
mod tranche;
mod verify;

pub use accelerator::{
    AcceleratorCard, AcceleratorPrice, AcceleratorPriceMissing, HOUR_PRICE_MAX, accelerator_cost,
};
pub use account::{Account, AccountError, Purse};
pub use award::{MinutesLeft, minutes_left};
pub use balance::Balance;
pub use bank::{Holder, LastOrder, Order, OrderKind};
pub use book::Book;
pub use ceiling::{check_project_limit, fill, key_ceiling, project_ceiling};
pub use decimal::{decimal, decimal_text};
pub use energy::{
    EnergyNote, EnergySpan, EnergyStand, EngineClaimed, EngineEnergy, energy_entries, shared,
    told_milli,
};
pub use entry::{Entry, EntryError, EntryId, EntryIdError, LEGS_COUNT_MAX, Leg, Phase, Subject};
pub use grants::{
    AMOUNT_MAX, check_accelerator_price, check_allocation, check_budget, check_exchange,
    check_price, class_of,
};
pub use job::{JobPurses, JobRun, JobShort, JobUse, legs_together};
pub use moves::{budget_entry, grant_entry, take_back_entry};
pub use parts::{KeyParts, PART_LEASE_MS, PART_MOVES_MS, PartAsk, PartGrant, WHOLE_PERMILLE};
pub use price::{
    Currency, CurrencyError, Exchange, PRICE_MAX, Price, PriceError, RateCard, TokenRates,
};
pub use rules::{Applied, Change, Fault, apply};
pub use suspense::{Lacking, RELEASE_AFTER_MS, Suspended, check_release, suspended};
pub use terms::check_within;
pub use tranche::{TRANCHES_COUNT_MAX, check_tranches, next_tranche, unreleased};
pub use verify::{FINDINGS_SHOWN_MAX, Finding, Report, Verifier};
