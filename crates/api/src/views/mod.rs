//! What callers get. Each view is made from one inner type by taking it apart whole, so that a new field there is
//! met here. Instants are RFC 3339 in UTC; spans of time and counts carry their unit in their name.

mod csv;
mod energy;
mod error;
mod fleet;
mod idle;
mod jobs;
mod money;
mod people;
mod policy;
mod pool;
mod power;
mod report;
mod secrets;
mod share;
mod usage;

pub(crate) use energy::{EnergyView, SiteEnergyView, TenantEnergyView};
pub(crate) use error::{ErrorBody, ProblemView, problem_views};
pub(crate) use fleet::{
    GatewayView, LogView, ModelView, NodesView, ReloadView, ReplicaView, SiteView, StatusView,
};
pub(crate) use idle::{IdleRunView, IdleView, idle_csv};
pub(crate) use jobs::{JobRunView, JobShellView, JobView};
pub(crate) use money::{AcceleratorPriceView, AllocationView, BudgetView, ExchangeView, PriceView};
pub(crate) use people::{KeyView, ProgrammeView, ProjectView, TenantView};
pub(crate) use policy::{ErasureView, ExplainView, StopView};
pub(crate) use pool::PoolView;
pub(crate) use power::{PowerEventView, SitePowerView};
pub(crate) use report::{About, ReportView, costs_csv, report_csv, report_html};
pub(crate) use secrets::SecretView;
pub(crate) use share::ShareView;
pub(crate) use usage::{RequestList, RequestView, UsageView, usage_csv};

use madang_types::Micros;
use serde::Serialize;
use utoipa::ToSchema;

/// A list, whole.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    /// Always `list`.
    #[schema(value_type = String)]
    pub object: &'static str,
    /// The rows.
    pub data: Vec<T>,
}

impl<T> List<T> {
    pub fn new(data: Vec<T>) -> Self {
        Self {
            object: "list",
            data,
        }
    }
}

/// An instant as text, to the microsecond.
pub(crate) fn instant(at: Micros) -> String {
    format!("{:.6}", stamp(at))
}

/// An instant in the calendar. What no calendar holds is brought to its end.
fn stamp(at: Micros) -> jiff::Timestamp {
    let end = if at.0 < 0 {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    };
    jiff::Timestamp::from_microsecond(at.0).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_rfc_3339_to_the_microsecond() {
        assert_eq!(instant(Micros(0)), "1970-01-01T00:00:00.000000Z");
        assert_eq!(
            instant(Micros(1_795_000_000_000_001)),
            "2026-11-18T11:06:40.000001Z"
        );
        assert!(instant(Micros(i64::MAX)).starts_with("9999-"));
        assert!(instant(Micros(i64::MIN)).starts_with("-009999-"));
    }
}
