//! What every [`Store`] must do, as properties that any implementation runs against itself.
//!
//! ```ignore
//! madang_store::conformance::suite!(make_fixture); // one #[tokio::test] for each property
//! madang_store::conformance::ledger::suite!(make_ledger_fixture);
//! madang_store::conformance::bank::suite!(make_bank_fixture);
//! madang_store::conformance::jobs::suite!(make_jobs_fixture);
//! madang_store::conformance::power::suite!(make_power_fixture);
//! ```

pub mod bank;
pub mod extract;
pub mod jobs;
pub mod ledger;
pub mod people;
pub mod power;
pub mod sample;
pub mod stops;
pub mod sums;
pub mod usage;

use crate::Store;
use async_trait::async_trait;
use std::sync::Arc;

/// What a property is tried on. Each test makes its own.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Opens the store, empty the first time. A later call, made when the earlier store has been dropped, finds what
    /// that one wrote.
    async fn open(&self) -> Arc<dyn Store>;
}

/// What a property fails with beside its assertions.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Expands to one `#[tokio::test]` for each property; `$make` is called without arguments and gives a [`Fixture`].
#[macro_export]
macro_rules! store_conformance_suite {
    ($make:path) => {
        $crate::store_conformance_suite! { @tests $make;
            usage: append_keeps_the_first, absent_is_none, every_field_reads_back, extreme_numbers,
                list_is_newest_first, list_pages_meet, list_filters_at_both_ends, list_is_bounded,
                list_before_an_absent_record_is_refused, appends_of_one_id_leave_one_row,
                appends_are_visible_and_survive;
            sums: all_is_one_row, by_model_counts_records_without_one, by_tenant_within_a_filter,
                by_project_within_its_tenant, by_tenant_and_model, of_a_programmes_tenants, by_day_follows_the_offset, sums_never_overflow;
            extract: records_are_by_tenant_model_site_and_day, an_extract_has_its_span_and_its_tenants,
                an_extract_never_overflows, entries_stand_beside_their_records;
            people: put_replaces, lists_are_by_id, a_key_is_inserted_once, a_key_is_put_again, revocation_keeps_the_first_instant,
                revoking_an_absent_key_is_refused, labels_are_any_text, keys_of_one_tenant, projects_are_their_tenants,
                people_survive;
            stops: a_stop_is_set_once_and_survives, a_stop_is_lifted_once;
        }
    };
    (@tests $make:path; $($room:ident: $($property:ident),+;)+) => {
        $($(
            #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $property() {
                let fixture = $make();
                let kept = $crate::conformance::$room::$property(&fixture).await;
                kept.expect("the property holds");
            }
        )+)+
    };
}
pub use crate::store_conformance_suite as suite;
