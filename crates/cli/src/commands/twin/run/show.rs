//! The report as a person reads it.

pub mod power;

use crate::out;
use madang_twin::scenario::{
    BudgetLine, GroupLine, JobsLine, LeftOut, Line, Percentiles, Report, ShiftReport, SiteEnergy,
};

/// Tenants that are shown, those that asked most.
const TENANTS_SHOWN: usize = 20;

pub fn show(report: &Report) {
    let Report {
        start,
        run_hours,
        seed,
        cells,
        shards,
        engines,
        ..
    } = report;
    out::line(&report.about);
    out::line(&format!(
        "{run_hours} h from {start}, seed {seed}, {engines} engines behind {cells} gateways ({shards} pools)\n"
    ));
    if report.total.asked > 0 {
        requests(report);
    }
    failures(&report.groups);
    energy(&report.energy);
    power::show(&report.power, &report.events);
    jobs(&report.jobs);
    if let Some(report) = &report.shift {
        shift(report);
    }
    for note in &report.notes {
        out::line(&format!("note: {note}"));
    }
}

fn requests(report: &Report) {
    table("", std::slice::from_ref(&report.total));
    table("site", &report.sites);
    table("model", &report.models);
    let mut tenants: Vec<Line> = report.tenants.clone();
    tenants.sort_by(|one, other| (other.asked, &one.name).cmp(&(one.asked, &other.name)));
    table("tenant", &tenants[..tenants.len().min(TENANTS_SHOWN)]);
    if tenants.len() > TENANTS_SHOWN {
        out::line(&format!(
            "and {} more: --json has them\n",
            tenants.len() - TENANTS_SHOWN
        ));
    }
    table("hour", &report.hours);
    out::line(&format!(
        "fairness among tenants (Jain's index of what each got of its own): {:.3}",
        report.fairness
    ));
    if let Some(took) = report.total.kv_transfer_ms {
        out::line(&format!(
            "KV between parts of engines, ms 50/90/99: {}",
            times(Some(took), 1.0, 1)
        ));
    }
    refusals(&report.total);
    tenants_refused(&tenants);
    budgets(&report.budgets);
    for line in &report.recordings {
        out::line(&format!(
            "{}: {} steps of a gateway, {:.2} % decided as live",
            line.file,
            line.steps,
            line.equal_ratio * 100.0
        ));
    }
    out::line(&format!(
        "percentiles are within {} % of the true ones",
        report.percentile_error * 100.0
    ));
    out::line(&match report.engine_time_band {
        Some(band) => format!(
            "engines may be faster or slower than this by a factor of {band:.2} (90 of 100 measurements), and what they hold with them"
        ),
        None => "some engines are profiles: how far their speed is from measurements is not known"
            .to_owned(),
    });
    out::line("");
}

fn table(what: &str, lines: &[Line]) {
    out::line(&format!(
        "{what:<20} {:>10} {:>7} {:>6} {:>17} {:>20} {:>17} {:>20} {:>6} {:>5} {:>5} {:>5} {:>5} {:>9} {:>10}",
        "asked",
        "failed%",
        "good%",
        "queue ms 50/90/99",
        "TTFT ms 50/90/99",
        "TPOT ms 50/90/99",
        "end s 50/90/99",
        "cache%",
        "busy%",
        "comp%",
        "bw%",
        "KV%",
        "kW",
        "1000 won",
    ));
    for line in lines {
        out::line(&row(line));
    }
    out::line("");
}

fn row(line: &Line) -> String {
    let failed = 1.0 - line.finished as f64 / line.asked.max(1) as f64;
    let used = |part: fn(&madang_twin::scenario::Utilisation) -> f64| {
        line.utilisation.as_ref().map_or_else(
            || "-".to_owned(),
            |used| format!("{:.0}", part(used) * 100.0),
        )
    };
    format!(
        "{:<20} {:>10} {:>7.2} {:>6.1} {:>17} {:>20} {:>17} {:>20} {:>6.1} {:>5} {:>5} {:>5} {:>5} {:>9.1} {:>10.1}",
        line.name,
        line.asked,
        if line.asked == 0 { 0.0 } else { failed * 100.0 },
        line.goodput_ratio * 100.0,
        times(line.queue_ms, 1.0, 0),
        times(line.ttft_ms, 1.0, 0),
        times(line.tpot_ms, 1.0, 0),
        times(line.e2e_ms, 1_000.0, 1),
        line.cache_hit_ratio * 100.0,
        used(|used| used.busy),
        used(|used| used.compute),
        used(|used| used.bandwidth),
        used(|used| used.kv),
        line.watts / 1_000.0,
        line.won / 1_000.0,
    )
}

fn times(times: Option<Percentiles>, by: f64, digits: usize) -> String {
    let Some(Percentiles { p50, p90, p99 }) = times else {
        return "-".to_owned();
    };
    let [p50, p90, p99] = [p50, p90, p99].map(|ms| format!("{:.digits$}", ms / by));
    format!("{p50}/{p90}/{p99}")
}

/// Groups of which engines failed, and how long each takes to come back.
fn failures(groups: &[GroupLine]) {
    for group in groups.iter().filter(|group| group.failures > 0) {
        out::line(&format!(
            "{}: {} failures; an engine of it serves {:.0} s after its process is started\n",
            group.name, group.failures, group.load_s
        ));
    }
}

fn energy(sites: &[SiteEnergy]) {
    out::line(
        "engines of a site       cap kW    mean kW    peak kW   s over cap          MWh    own MWh   grid MWh   million won    t CO2",
    );
    let or_dash = |number: Option<f64>, by: f64, digits: usize| {
        number.map_or_else(
            || "-".to_owned(),
            |number| format!("{:.digits$}", number / by),
        )
    };
    for site in sites {
        out::line(&format!(
            "{:<20} {:>9} {:>10.1} {:>10.1} {:>14} {:>10.2} {:>10.2} {:>10.2} {:>13} {:>8}",
            site.site,
            or_dash(site.cap_kw, 1.0, 0),
            site.mean_kw,
            site.peak_kw,
            site.over_cap_ms / 1_000,
            site.kwh / 1_000.0,
            site.own_kwh / 1_000.0,
            site.grid_kwh / 1_000.0,
            or_dash(site.won, 1e6, 3),
            or_dash(site.gco2, 1e6, 3),
        ));
    }
    out::line("");
}

fn jobs(lines: &[JobsLine]) {
    if lines.is_empty() {
        return;
    }
    out::line(
        "jobs                 site                  asked   there are   at once   too large     jobs   completion h   wait h: mean      p99      max   accelerator-h        MWh",
    );
    for line in lines {
        let outcome = line.outcome.as_ref().map_or_else(
            || format!("{:>8} {:>14} {:>14} {:>8} {:>8}", 0, "-", "-", "-", "-"),
            |jobs| {
                format!(
                    "{:>8} {:>14.1} {:>14.1} {:>8.1} {:>8.1}",
                    jobs.jobs,
                    jobs.completion_h_mean,
                    jobs.wait_h_mean,
                    jobs.wait_h_p99,
                    jobs.wait_h_max
                )
            },
        );
        out::line(&format!(
            "{:<20} {:<18} {:>8} {:>11} {:>9} {:>11} {outcome} {:>15.0} {:>10.1}",
            line.name,
            line.site,
            line.asked_accelerators,
            line.accelerators,
            line.held_accelerators_max,
            line.too_large,
            line.accelerator_h,
            line.kwh / 1_000.0,
        ));
    }
    out::line("");
}

/// Work that may be put off: each way to run it, and what shifting saves.
fn shift(report: &ShiftReport) {
    out::line(&format!(
        "{} jobs that may be put off, {:.0} accelerator-hours; forecasts err by {:.0} %",
        report.jobs,
        report.accelerator_h,
        report.forecast_error * 100.0
    ));
    out::line(
        "way                         kWh    own kWh   grid kWh     1000 won     kg CO2   weighs 1000 won    late   wait h    stops",
    );
    for row in &report.rows {
        // The bound is no plan: what it cuts and moves is nobody's wait.
        let how = match row.name {
            "bound" => format!("{:>7} {:>8} {:>8}", "-", "-", "-"),
            _ => format!("{:>7} {:>8.1} {:>8}", row.late, row.wait_h_mean, row.stops),
        };
        out::line(&format!(
            "{:<20} {:>10.1} {:>10.1} {:>10.1} {:>12.2} {:>10.1} {:>17.2} {how}",
            row.name,
            row.kwh,
            row.own_kwh,
            row.grid_kwh,
            row.won / 1e3,
            row.gco2 / 1e3,
            row.weighed_won / 1e3,
        ));
    }
    out::line(&format!(
        "shifting saves {:.2} thousand won and {:.1} kg CO2 of what the same work takes at once",
        report.saved_won / 1e3,
        report.saved_gco2 / 1e3
    ));
    if let Some(above) = report.above_bound {
        out::line(&format!(
            "it weighs {:.1} % more than the bound, which no plan can be below",
            above * 100.0
        ));
    }
    for note in &report.notes {
        out::line(&format!("note: {note}"));
    }
    for line in &report.left_out {
        let LeftOut {
            group, jobs, note, ..
        } = line;
        out::line(&format!("not run: {jobs} jobs of {group}: {note}"));
    }
    out::line("");
}

fn refusals(total: &Line) {
    if let Some(reasons) = unanswered(total) {
        out::line(&format!("not answered: {reasons}"));
    }
}

/// The same of those tenants that are shown.
fn tenants_refused(tenants: &[Line]) {
    for tenant in tenants.iter().take(TENANTS_SHOWN) {
        if let Some(reasons) = unanswered(tenant) {
            out::line(&format!("  of {}: {reasons}", tenant.name));
        }
    }
}

/// Why requests were not answered, each reason with its count.
fn unanswered(line: &Line) -> Option<String> {
    if line.refused.is_empty() && line.left == 0 {
        return None;
    }
    let reasons = line
        .refused
        .iter()
        .map(|(reason, count)| format!("{reason} {count}"));
    let reasons: Vec<String> = reasons.chain([format!("left {}", line.left)]).collect();
    Some(reasons.join(", "))
}

/// What tenants spent of what they were granted.
fn budgets(lines: &[BudgetLine]) {
    for line in lines.iter().take(TENANTS_SHOWN) {
        out::line(&format!(
            "granted to {}: {:.0} {}, spent {:.0}, answers cut short {}",
            line.tenant, line.granted, line.unit, line.spent, line.clamped
        ));
    }
}
