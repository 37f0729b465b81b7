//! Figures at the head of the page, and the keys of the goal that each rests on.

use super::grouped;
use crate::report::Totals;

/// Keys that the size of a fleet rests on.
const FLEET: &[&str] = &[
    "demand.users",
    "demand.messages_per_user_day",
    "demand.peak_over_mean",
    "demand.output_tokens",
    "demand.input_tokens",
    "slo.tpot_ms",
    "slo.ttft_ms",
    "plan.utilisation",
];
/// Keys that its cost rests on.
const MONEY: &[&str] = &[
    "chip.*.price_won",
    "money.server_price_factor",
    "money.life_years",
    "money.discount_per_year",
    "money.facility_won_per_kw",
];
const CARBON: &[&str] = &["site.*.carbon_g_per_kwh", "power.server_power_factor"];

const CAPS: &[&str] = &["site.*.power_cap_kw"];
const CHIPS: &[&str] = &["chip.*.id"];
const KEPT: &[&str] = &["demand.kv_keep_s", "model.*.id"];
const RENEWABLES: &[&str] = &["site.*.renewables", "site.*.renewables_kw"];
const POWER: &[&str] = &["power.server_power_factor", "site.*.pue"];

/// A name, a figure, and the keys that it rests on.
pub(super) type Tile = (&'static str, String, &'static [&'static str]);

pub(super) fn sizes(totals: &Totals) -> Vec<Tile> {
    let band = format!(
        "{}–{}",
        grouped(totals.accelerators_low as f64, 0),
        grouped(totals.accelerators_high as f64, 0)
    );
    let tb = |bytes: f64| format!("{} TB", grouped(bytes / 1e12, 1));
    vec![
        (
            "accelerators",
            grouped(totals.accelerators as f64, 0),
            FLEET,
        ),
        ("by the error band", band, FLEET),
        (
            "of the peak is served",
            format!("{:.1} %", totals.served_part * 100.0),
            CAPS,
        ),
        (
            "requests a second at the peak",
            grouped(totals.peak_per_s, 1),
            FLEET,
        ),
        ("memory of accelerators (HBM)", tb(totals.hbm_bytes), CHIPS),
        (
            "host memory for conversations (DRAM)",
            tb(totals.dram_bytes),
            KEPT,
        ),
    ]
}

pub(super) fn costs(totals: &Totals) -> Vec<Tile> {
    vec![
        (
            "won for a million tokens",
            grouped(totals.won_per_m_tokens, 1),
            MONEY,
        ),
        (
            "gCO2 for a million tokens",
            grouped(totals.gco2_per_m_tokens, 1),
            CARBON,
        ),
        ("tCO2 a year", grouped(totals.energy.gco2 / 1e6, 0), CARBON),
        (
            "renewable share",
            format!("{:.1} %", totals.renewable_part * 100.0),
            RENEWABLES,
        ),
        (
            "peak power",
            format!("{} kW", grouped(totals.peak_kw, 0)),
            POWER,
        ),
    ]
}
