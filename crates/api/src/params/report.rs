//! Query strings about reports.

use super::{offset, offset_default, ranged};
use madang_audit::Month;
use madang_types::{ProgrammeId, TenantId};
use serde::{Deserialize, Deserializer};
use utoipa::{IntoParams, ToSchema};

/// The form of a report.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReportFormat {
    /// All of it.
    #[default]
    Json,
    /// What was delivered, by tenant, model, site and day: RFC 4180, with a line of names.
    Csv,
    /// A page with charts that needs nothing beside it.
    Html,
}

/// The language of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Language {
    /// English.
    #[default]
    En,
    /// Korean.
    Ko,
}

/// Which report.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportQuery {
    /// The civil month; the running one where it is left out.
    #[param(value_type = Option<String>, example = "2026-11")]
    pub month: Option<Month>,
    /// Where a month and its days begin: seconds east of UTC; Asia/Seoul is 32400.
    #[serde(default = "offset_default", deserialize_with = "offset")]
    #[param(minimum = -43_200, maximum = 50_400, default = 32_400, required = false)]
    pub offset_s: i32,
    /// The form of the answer.
    #[serde(default)]
    #[param(inline, required = false)]
    pub format: ReportFormat,
    /// The language of the page.
    #[serde(default)]
    #[param(inline, required = false)]
    pub lang: Language,
}

/// Which costs.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct CostQuery {
    /// The civil month; the running one where it is left out.
    #[param(value_type = Option<String>, example = "2026-11")]
    pub month: Option<Month>,
    /// Where a month and its days begin: seconds east of UTC; Asia/Seoul is 32400.
    #[serde(default = "offset_default", deserialize_with = "offset")]
    #[param(minimum = -43_200, maximum = 50_400, default = 32_400, required = false)]
    pub offset_s: i32,
    /// Only those of tenants that are in this programme now.
    #[param(value_type = Option<String>)]
    pub programme: Option<ProgrammeId>,
    /// Only this tenant's.
    #[param(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
}

/// The form of a report of what stood idle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IdleFormat {
    /// All of it.
    #[default]
    Json,
    /// Its awards: RFC 4180, with a line of names.
    Csv,
}

/// Which report of what stood idle.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdleQuery {
    /// The civil month; the running one where it is left out.
    #[param(value_type = Option<String>, example = "2026-11")]
    pub month: Option<Month>,
    /// Where a month begins: seconds east of UTC; Asia/Seoul is 32400.
    #[serde(default = "offset_default", deserialize_with = "offset")]
    #[param(minimum = -43_200, maximum = 50_400, default = 32_400, required = false)]
    pub offset_s: i32,
    /// Only this programme's.
    #[param(value_type = Option<String>)]
    pub programme: Option<ProgrammeId>,
    /// Only this tenant's.
    #[param(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
    /// Runs that were less busy than this are told, in thousandths.
    #[serde(default = "below_default", deserialize_with = "below")]
    #[param(minimum = 0, maximum = 1000, default = 200, required = false)]
    pub below_permille: u32,
    /// Of those, the ones that were last measured so many seconds after their program began, or later.
    #[serde(default = "after_default")]
    #[param(minimum = 0, default = 600, required = false)]
    pub after_s: u32,
    /// The form of the answer.
    #[serde(default)]
    #[param(inline, required = false)]
    pub format: IdleFormat,
}

fn below_default() -> u32 {
    200
}

fn below<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    ranged(from, 0..=1_000)
}

fn after_default() -> u32 {
    600
}
