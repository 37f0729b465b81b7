//! The plan as a person reads it at the terminal.

use crate::out;
use madang_planner::{EffectsReport, Report};

/// Ways that were refused of which is told here; JSON and the page have all.
const REFUSED_SHOWN: usize = 12;
/// Lines of sensitivity and of shadow values.
const LINES_SHOWN: usize = 8;
const MWON: f64 = 1e6;

fn line(text: String) {
    out::line(&text);
}

pub fn show(report: &Report) {
    let totals = &report.totals;
    line(format!("{}\n", report.about));
    line(format!(
        "{:.2} M requests a day, {:.1} a second, {:.1} at the peak; {:.1} % of it is served",
        totals.requests_per_day / 1e6,
        totals.mean_per_s,
        totals.peak_per_s,
        totals.served_part * 100.0
    ));
    line(format!(
        "{} accelerators ({} to {} by the error band), {:.1} TB of HBM, {:.1} TB of host memory for KV, {:.0} kW at the peak",
        totals.accelerators,
        totals.accelerators_low,
        totals.accelerators_high,
        totals.hbm_bytes / 1e12,
        totals.dram_bytes / 1e12,
        totals.peak_kw
    ));
    let cost = &totals.cost;
    line(format!(
        "{:.1} won for a million tokens: servers {:.0} M won a year, buildings {:.0}, running {:.0}, electricity {:.0}",
        totals.won_per_m_tokens,
        cost.servers_won / MWON,
        cost.facility_won / MWON,
        cost.opex_won / MWON,
        cost.energy_won / MWON
    ));
    line(format!(
        "{:.1} gCO2 for a million tokens, {:.0} t a year; {:.1} % of the energy is of own renewables",
        totals.gco2_per_m_tokens,
        totals.energy.gco2 / 1e6,
        totals.renewable_part * 100.0
    ));
    line(format!(
        "binding: {}, {}\n",
        report.binding.resource, report.binding.why
    ));
    fleet(report);
    sites(report);
    changes(report);
    phases(report);
    if let Some(report) = &report.effects {
        effects(report);
    }
    refused(report);
    for note in &report.notes {
        line(format!("note: {note}"));
    }
}

fn fleet(report: &Report) {
    line(format!(
        "{:<28} {:<10} {:<14} {:>8} {:>7} {:>5} {:>8} {:>8} {:>7} {:>7} {:>5}  {}",
        "model",
        "chip",
        "division",
        "engines",
        "accel.",
        "batch",
        "out/s/a",
        "in/s/a",
        "TTFT ms",
        "TPOT ms",
        "band",
        "bound"
    ));
    for each in &report.fleet {
        line(format!(
            "{:<28} {:<10} {:<14} {:>8} {:>7} {:>5} {:>8.0} {:>8.0} {:>7.0} {:>7.1} {:>5.2}  {}",
            each.model,
            each.chip,
            each.division,
            each.engines,
            each.accelerators,
            each.sequences,
            each.output_tokens_per_s,
            each.input_tokens_per_s,
            each.ttft_ms,
            each.tpot_ms,
            each.band,
            each.bound.word()
        ));
    }
    for ran in &report.confirmed {
        line(format!(
            "the twin on {}, {}, {}: {:.2} requests a second of each engine keep the SLO for {:.1} %, {:.2} were planned ({:.2})",
            ran.model,
            ran.chip,
            ran.division,
            ran.simulated_per_s,
            ran.good_part * 100.0,
            ran.planned_per_s,
            ran.ratio
        ));
    }
    line(String::new());
}

fn sites(report: &Report) {
    line(format!(
        "{:<16} {:>8} {:>9} {:>10} {:>10} {:>10} {:>8} {:>10}",
        "site", "accel.", "HBM TB", "peak kW", "cap kW", "GWh/y", "own %", "tCO2/y"
    ));
    for site in &report.sites {
        line(format!(
            "{:<16} {:>8} {:>9.1} {:>10.0} {:>10.0} {:>10.2} {:>8.1} {:>10.0}",
            site.id,
            site.accelerators,
            site.hbm_bytes / 1e12,
            site.peak_kw,
            site.cap_kw,
            (site.energy.grid_kwh + site.energy.renewables_kwh) / 1e6,
            site.renewable_part * 100.0,
            site.energy.gco2 / 1e6
        ));
        for note in &site.notes {
            line(format!("  {note}"));
        }
    }
    line(String::new());
}

fn changes(report: &Report) {
    line(
        "one more of                                 saves M won/y   accelerators   serves more %"
            .to_owned(),
    );
    for each in report.shadows.iter().take(LINES_SHOWN) {
        line(format!(
            "{:<42} {:>14.1} {:>14} {:>15.2}",
            each.what,
            each.saved_won_per_year / MWON,
            each.saved_accelerators,
            each.more_served_part * 100.0
        ));
    }
    line("\nwon for a million tokens where it is        a fifth less   a fifth more".to_owned());
    let number =
        |won: Option<f64>| won.map_or_else(|| "none".to_owned(), |won| format!("{won:.1}"));
    for each in report.tornado.iter().take(LINES_SHOWN) {
        line(format!(
            "{:<42} {:>13} {:>14}",
            each.what,
            number(each.less),
            number(each.more)
        ));
    }
    line(String::new());
}

fn phases(report: &Report) {
    line(format!(
        "{:<6} {:>9} {:>8} {:>8} {:>8} {:>9} {:>14} {:>14} {:>12}",
        "year",
        "peak/s",
        "served%",
        "accel.",
        "bought",
        "peak kW",
        "capex M won",
        "running M won",
        "won/M tokens"
    ));
    for each in &report.phases {
        line(format!(
            "{:<6} {:>9.1} {:>8.1} {:>8} {:>8} {:>9.0} {:>14.0} {:>14.0} {:>12.1}",
            each.year,
            each.peak_per_s,
            each.served_part * 100.0,
            each.accelerators,
            each.bought,
            each.peak_kw,
            each.capex_won / MWON,
            each.running_won / MWON,
            each.won_per_m_tokens
        ));
    }
    line(String::new());
}

/// Effects on the economy: building and running apart, and what they rest on.
fn effects(report: &EffectsReport) {
    let number = |value: Option<f64>, unit: f64| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{:.0}", value / unit))
    };
    line(format!(
        "{:<20} {:>14} {:>14} {:>14} {:>14} {:>10}",
        "effects, M won", "spent", "of it at home", "production", "value added", "jobs"
    ));
    for (name, effect) in [
        ("building, once", &report.construction),
        ("running, each year", &report.operation),
    ] {
        line(format!(
            "{name:<20} {:>14.0} {:>14.0} {:>14} {:>14} {:>10}",
            effect.spent_won / MWON,
            effect.domestic_won / MWON,
            number(effect.production_won, MWON),
            number(effect.value_added_won, MWON),
            number(effect.jobs, 1.0)
        ));
    }
    for row in &report.table {
        line(format!(
            "  {} {}: {} ({}, {})",
            row.sector, row.kind, row.coefficient, row.source, row.year
        ));
    }
    line("value added is part of production: never add the two\n".to_owned());
}

fn refused(report: &Report) {
    for each in report.refused.iter().take(REFUSED_SHOWN) {
        line(format!(
            "not {} on {} ({}): {}: {}",
            each.model, each.chip, each.division, each.reason, each.why
        ));
    }
    if report.refused.len() > REFUSED_SHOWN {
        let more = report.refused.len() - REFUSED_SHOWN;
        line(format!(
            "and {more} more ways that were not taken: --json has them"
        ));
    }
}
