//! Shares over time: what each tenant has beside its share, and what of its month was delivered.

use madang_control::view::{Month, ShareStatus};
use serde::Serialize;
use utoipa::ToSchema;

/// A tenant's share over time, of all models together.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ShareView {
    /// Who.
    tenant: String,
    /// Of which programme.
    programme: Option<String>,
    /// Its part by weight of everything that there is, 0 to 1.
    part_ratio: f64,
    /// Accelerator time that it left to others and has not had back, in seconds.
    credit_s: f64,
    /// Accelerator time that it took of others' and has not given back, in seconds.
    debt_s: f64,
    /// What its share may become by that, in times itself.
    factor: f64,
    /// Accelerator time charged to it in this month, in seconds.
    month_delivered_s: f64,
    /// What it asked for in this month, served or not, in seconds.
    month_asked_s: f64,
    /// Its share of what there was in this month, in seconds.
    month_entitled_s: f64,
    /// Delivered over promised, which is the less of what it asked for and its share; null where nothing was promised.
    month_delivered_ratio: Option<f64>,
}

impl From<ShareStatus> for ShareView {
    fn from(share: ShareStatus) -> Self {
        let ShareStatus {
            tenant,
            programme,
            part_ppm,
            balance_us,
            reach_permille,
            month,
        } = share;
        let Month {
            number: _,
            delivered_us,
            asked_us,
            entitled_us,
        } = month;
        let balance_s = balance_us as f64 / 1e6;
        let seconds = |us: u64| us as f64 / 1e6;
        let ratio = month
            .delivered_permille()
            .map(|permille| permille as f64 / 1000.0);
        Self {
            tenant: tenant.to_string(),
            programme: programme.map(|id| id.to_string()),
            part_ratio: f64::from(part_ppm) / 1e6,
            credit_s: balance_s.max(0.0),
            debt_s: (-balance_s).max(0.0),
            factor: f64::from(reach_permille) / 1000.0,
            month_delivered_s: seconds(delivered_us),
            month_asked_s: seconds(asked_us),
            month_entitled_s: seconds(entitled_us),
            month_delivered_ratio: ratio,
        }
    }
}
