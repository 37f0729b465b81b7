//! Properties of the bank: orders are carried out once, a run that begins takes back what the one before it held, what a gateway that
//! was given up still reports is paid, no grant breaks a rule or moves a part of what it says, and keys' rates are divided and not made.

pub mod classes;
pub mod grants;
pub mod jobs;
pub mod orders;
pub mod rates;
pub mod settled;
pub mod tranches;

use super::Failure;
use crate::{Bank, GrantError, JobBook, Ledger, Store};
use async_trait::async_trait;
use madang_ledger::{Holder, Order, OrderKind, Purse};
use madang_types::{Allocation, Micros, ProgrammeBudget, Tranche, Unit};
use std::sync::Arc;

/// Books with a bank in them.
pub trait Books: Store + Bank + Ledger + JobBook {}

impl<T: Store + Bank + Ledger + JobBook> Books for T {}

/// What a property is tried on. Each test makes its own.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Opens the books, empty the first time. A later call, made when the earlier ones have been dropped, finds what they wrote.
    async fn open(&self) -> Arc<dyn Books>;
}

/// Expands to one `#[tokio::test]` for each property; `$make` is called without arguments and gives a [`Fixture`].
#[macro_export]
macro_rules! bank_conformance_suite {
    ($make:path) => {
        $crate::bank_conformance_suite! { @tests $make;
            orders: an_order_is_carried_out_once, an_order_that_moved_nothing_moves_nothing_later,
                a_run_that_begins_takes_back_what_the_one_before_it_held, what_is_given_up_waits_in_suspense,
                orders_at_one_time_move_what_there_is;
            grants: a_refused_grant_moves_nothing, what_is_left_of_a_grant_that_is_over_goes_back,
                a_recall_ends_a_grant, a_ceiling_is_filled_once_and_raised_by_the_difference, a_price_begins_now_or_later_and_once,
                a_price_of_accelerator_time_begins_once,
                a_rate_of_exchange_begins_once, grants_and_prices_survive;
            jobs: a_run_is_paid_once_and_nothing_stays_set_aside, energy_is_read_by_who_took_it_and_by_where_it_was_drawn, a_run_that_lacks_is_not_set_aside,
                what_runs_took_is_in_its_programmes_extract;
            classes: budgets_of_classes_stand_side_by_side, what_is_left_goes_back_to_its_class;
            tranches: a_tranche_can_be_had_from_its_instant_on_and_what_came_before_stays,
                a_recall_takes_back_what_has_not_come_yet_too, tranches_that_break_a_rule_move_nothing;
            rates: parts_are_kept_and_moved, a_run_that_is_over_holds_no_part, first_asks_at_one_time_divide_one_whole;
            settled: a_settlement_is_booked_once, what_is_refused_is_kept_apart, a_draft_is_settled_by_the_next_start,
                what_has_ended_has_no_draft, what_a_gateway_reports_late_is_taken_from_suspense,
                what_is_released_can_be_spent_and_what_comes_after_is_owed,
                what_was_granted_is_in_its_programmes_extract;
        }
    };
    (@tests $make:path; $($room:ident: $($property:ident),+;)+) => {
        $($(
            #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $property() {
                let fixture = $make();
                let kept = $crate::conformance::bank::$room::$property(&fixture).await;
                kept.expect("the property holds");
            }
        )+)+
    };
}
pub use crate::bank_conformance_suite as suite;

/// The grant of every world.
const GRANT: &str = "hanbit-2026";

/// A minute after everything else here.
const LATER: Micros = Micros(60_000_020);

/// An hour after that.
const MUCH_LATER: Micros = Micros(3_660_000_020);

/// A budget of 1,000 µ₩, of which 600 are granted until 100.
struct World {
    books: Arc<dyn Books>,
}

impl World {
    async fn new(fixture: &impl Fixture) -> Result<Self, Failure> {
        let world = Self {
            books: fixture.open().await,
        };
        world.budget(1_000, 1).await?;
        world.grant(GRANT, (600, 100), 2).await?;
        Ok(world)
    }

    async fn budget(&self, amount: i64, at: i64) -> Result<(), Failure> {
        let budget = ProgrammeBudget {
            programme: "startups".parse()?,
            unit: Unit::MicroWon,
            class: None,
            amount,
            concentration_permille_max: 1_000,
        };
        Ok(self.books.budget_put(budget, Micros(at)).await?)
    }

    async fn grant(&self, id: &str, (amount, until): (i64, i64), at: i64) -> Result<(), Failure> {
        self.grant_parts(id, (amount, until), (at, &[])).await
    }

    async fn grant_parts(
        &self,
        id: &str,
        (amount, until): (i64, i64),
        (at, tranches): (i64, &[(i64, i64)]),
    ) -> Result<(), Failure> {
        let tranches = tranches.iter().map(|(from, amount)| Tranche {
            from: Micros(*from),
            amount: *amount,
        });
        let tenant = id.split('-').next().unwrap_or(id);
        let allocation = Allocation {
            id: id.parse()?,
            programme: "startups".parse()?,
            tenant: tenant.parse()?,
            unit: Unit::MicroWon,
            class: None,
            amount,
            hard: true,
            from: Micros(at),
            tranches: tranches.collect(),
            until: Micros(until),
            created_at: Micros(at),
            recalled_at: None,
        };
        Ok(self.books.allocation_insert(allocation).await?)
    }

    /// What was moved to the gateway, and what is elsewhere.
    async fn order(
        &self,
        holder: &Holder,
        number: u64,
        kind: OrderKind,
    ) -> Result<(i64, i64), Failure> {
        self.order_at(holder, (&purse()?, number, kind), 10).await
    }

    async fn order_at(
        &self,
        holder: &Holder,
        (purse, number, kind): (&Purse, u64, OrderKind),
        at: i64,
    ) -> Result<(i64, i64), Failure> {
        let order = Order {
            number,
            purse: purse.clone(),
            unit: Unit::MicroWon,
            kind,
        };
        let moved = self.books.order(holder.clone(), order, Micros(at)).await?;
        Ok((moved.moved, moved.left))
    }

    async fn begin(&self, gateway: &str) -> Result<Holder, Failure> {
        Ok(self.books.run_begin(gateway.parse()?, Micros(10)).await?)
    }

    async fn left(&self) -> Result<i64, Failure> {
        Ok(self.books.purse_left(purse()?, Unit::MicroWon).await?)
    }

    async fn available(&self, account: &str) -> Result<i64, Failure> {
        let balances = self.books.balance(account.parse()?).await?;
        Ok(balances
            .first()
            .map_or(0, |(_, balance)| balance.available()))
    }

    async fn check_sound(&self) -> Result<(), Failure> {
        let report = self.books.ledger_verify().await?;
        assert!(report.findings.is_empty(), "{report:?}");
        Ok(())
    }
}

fn purse() -> Result<Purse, Failure> {
    Ok(format!("allocation:{GRANT}").parse()?)
}

fn take(want: i64, need: i64) -> OrderKind {
    OrderKind::Take { want, need }
}

fn give_back(amount: i64) -> OrderKind {
    OrderKind::Return { amount }
}

/// That something was refused, in such words.
fn refused<T>(found: Result<T, Failure>, expected: &str) -> Result<(), Failure> {
    let error = found.err().ok_or("it is not refused")?;
    match error.downcast_ref() {
        Some(GrantError::Refused(why)) if why.contains(expected) => Ok(()),
        _ => Err(error),
    }
}
