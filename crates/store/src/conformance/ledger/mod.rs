//! Properties of the ledger. How the rules judge is tested with the rules; here, that the books hold what they allowed.

pub mod entries;
pub mod lists;

use super::Failure;
use super::sample::{LEASE, SITE, entry, won};
use crate::{EntryFilter, EntryRow, LEDGER_LIST_COUNT_MAX, Ledger};
use async_trait::async_trait;
use madang_ledger::{Entry, Phase};
use madang_types::Unit;
use std::sync::Arc;

/// What a property is tried on. Each test makes its own.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Opens the ledger, empty the first time. A later call, made when the earlier one has been dropped, finds what that one
    /// wrote.
    async fn open(&self) -> Arc<dyn Ledger>;
}

/// Expands to one `#[tokio::test]` for each property; `$make` is called without arguments and gives a [`Fixture`].
#[macro_export]
macro_rules! ledger_conformance_suite {
    ($make:path) => {
        $crate::ledger_conformance_suite! { @tests $make;
            entries: each_entry_is_judged_by_itself, every_word_reads_back, entries_survive_and_are_written_once,
                too_many_are_refused, a_lease_is_never_overspent, what_stands_verifies;
            lists: lists_are_last_written_first, lists_follow_one_filter, lists_follow_all_filters, lists_are_bounded,
                balances_are_by_name;
        }
    };
    (@tests $make:path; $($room:ident: $($property:ident),+;)+) => {
        $($(
            #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $property() {
                let fixture = $make();
                let kept = $crate::conformance::ledger::$room::$property(&fixture).await;
                kept.expect("the property holds");
            }
        )+)+
    };
}
pub use crate::ledger_conformance_suite as suite;

fn spend(id: u128, amount: i64) -> Result<Entry, Failure> {
    Ok(entry(id, Phase::Direct, vec![won(LEASE, SITE, amount)?]))
}

async fn available(ledger: &Arc<dyn Ledger>, account: &str) -> Result<i64, Failure> {
    let balances = ledger.balance(account.parse()?).await?;
    let won = balances
        .iter()
        .find(|(unit, _)| *unit == Unit::MicroWon)
        .map(|(_, balance)| balance.available());
    Ok(won.unwrap_or(0))
}

async fn all(ledger: &Arc<dyn Ledger>) -> Result<Vec<EntryRow>, Failure> {
    let filter = EntryFilter::default();
    Ok(ledger.entries(filter, None, LEDGER_LIST_COUNT_MAX).await?)
}

fn seqs(rows: &[EntryRow]) -> Vec<u64> {
    rows.iter().map(|row| row.seq).collect()
}
