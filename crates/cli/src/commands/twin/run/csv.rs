//! The same report as files of CSV: one for each table, and one with every combination of site, model, tenant and hour.

use madang_twin::scenario::{Line, Percentiles, REFUSALS, Report};
use std::path::Path;

/// Writes `total.csv`, `sites.csv`, `models.csv`, `tenants.csv`, `hours.csv`, `energy.csv` and `rows.csv`.
pub fn write(folder: &Path, report: &Report) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    let tables = [
        ("total", std::slice::from_ref(&report.total)),
        ("sites", &report.sites),
        ("models", &report.models),
        ("tenants", &report.tenants),
        ("hours", &report.hours),
    ];
    for (name, lines) in tables {
        let mut table = csv::Writer::from_path(folder.join(format!("{name}.csv")))?;
        table.write_record(head(&["name"]))?;
        for line in lines {
            table.write_record(record(&[&line.name], line))?;
        }
        table.flush()?;
    }
    let mut table = csv::Writer::from_path(folder.join("rows.csv"))?;
    table.write_record(head(&["site", "model", "tenant", "hour"]))?;
    for row in &report.rows {
        table.write_record(record(
            &[&row.site, &row.model, &row.tenant, &row.hour],
            &row.line,
        ))?;
    }
    table.flush()?;
    let mut table = csv::Writer::from_path(folder.join("energy.csv"))?;
    for site in &report.energy {
        table.serialize(site)?;
    }
    table.flush()?;
    Ok(())
}

const COUNTS: [&str; 9] = [
    "asked",
    "finished",
    "left",
    "input_tokens",
    "cache_hit_ratio",
    "output_tokens",
    "goodput_ratio",
    "goodput_per_s",
    "goodput_tokens_per_s",
];
const TIMES: [&str; 4] = ["queue", "ttft", "tpot", "e2e"];
const USES: [&str; 4] = ["busy", "compute", "bandwidth", "kv"];
const ENERGY: [&str; 4] = ["watts", "joules", "won", "gco2"];

fn head(names: &[&str]) -> Vec<String> {
    let plain = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    let times = TIMES
        .iter()
        .flat_map(|time| ["p50", "p90", "p99"].map(|part| format!("{time}_{part}_ms")));
    let refused = REFUSALS.iter().map(|reason| format!("refused_{reason}"));
    plain(names)
        .into_iter()
        .chain(plain(&COUNTS))
        .chain(times)
        .chain(plain(&USES))
        .chain(plain(&ENERGY))
        .chain(refused)
        .collect()
}

/// In the order of the head; what is not known is empty.
fn record(names: &[&str], line: &Line) -> Vec<String> {
    let mut cells: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    cells.extend([
        line.asked.to_string(),
        line.finished.to_string(),
        line.left.to_string(),
        line.input_tokens.to_string(),
        line.cache_hit_ratio.to_string(),
        line.output_tokens.to_string(),
        line.goodput_ratio.to_string(),
        line.goodput_per_s.to_string(),
        line.goodput_tokens_per_s.to_string(),
    ]);
    for time in [line.queue_ms, line.ttft_ms, line.tpot_ms, line.e2e_ms] {
        let each = |p: Percentiles| [p.p50, p.p90, p.p99].map(|ms| ms.to_string());
        cells.extend(time.map_or_else(Default::default, each));
    }
    let used = |used: madang_twin::scenario::Utilisation| {
        [used.busy, used.compute, used.bandwidth, used.kv].map(|part| part.to_string())
    };
    cells.extend(line.utilisation.map_or_else(Default::default, used));
    cells.extend([line.watts, line.joules, line.won, line.gco2].map(|number| number.to_string()));
    cells.extend(
        REFUSALS
            .iter()
            .map(|reason| line.refused.get(reason).unwrap_or(&0).to_string()),
    );
    cells
}
