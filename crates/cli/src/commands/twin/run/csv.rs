//! The same report as files of CSV: one for each table, and one with every combination of site, model, tenant and hour.

use madang_twin::scenario::{JobsLine, Line, Percentiles, REFUSALS, Report};
use std::path::Path;

/// Writes `total.csv`, `sites.csv`, `models.csv`, `tenants.csv`, `hours.csv`, `groups.csv`, `energy.csv`, `jobs.csv`, `shift.csv`, `events.csv`,
/// `deeds.csv`, `budgets.csv` and `rows.csv`.
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
    rows(folder, "groups.csv", &report.groups)?;
    rows(folder, "energy.csv", &report.energy)?;
    let mut table = csv::Writer::from_path(folder.join("jobs.csv"))?;
    table.write_record(JOBS)?;
    for line in &report.jobs {
        table.write_record(jobs_record(line))?;
    }
    table.flush()?;
    let mut table = csv::Writer::from_path(folder.join("shift.csv"))?;
    for row in report.shift.iter().flat_map(|shift| &shift.rows) {
        table.serialize(row)?;
    }
    table.flush()?;
    rows(folder, "events.csv", &report.events)?;
    rows(folder, "budgets.csv", &report.budgets)?;
    let mut table = csv::WriterBuilder::new();
    let mut table = table
        .has_headers(false)
        .from_path(folder.join("deeds.csv"))?;
    table.write_record(DEEDS)?;
    for site in &report.power {
        for deed in &site.deeds {
            table.serialize((&site.site, deed))?;
        }
    }
    table.flush()?;
    Ok(())
}

/// A table whose columns are the fields of its rows.
fn rows<T: serde::Serialize>(folder: &Path, name: &str, rows: &[T]) -> anyhow::Result<()> {
    let mut table = csv::Writer::from_path(folder.join(name))?;
    for row in rows {
        table.serialize(row)?;
    }
    table.flush()?;
    Ok(())
}

/// A site, and what a deed there has.
const DEEDS: [&str; 7] = [
    "site",
    "at",
    "deed",
    "act",
    "watts",
    "drawn_watts",
    "cap_watts",
];

const JOBS: [&str; 14] = [
    "name",
    "site",
    "asked_accelerators",
    "accelerators",
    "held_accelerators_max",
    "full_kw",
    "too_large",
    "accelerator_h",
    "kwh",
    "jobs",
    "completion_h_mean",
    "wait_h_mean",
    "wait_h_p99",
    "wait_h_max",
];

/// In the order of [`JOBS`]; how jobs went is empty where none could run.
fn jobs_record(line: &JobsLine) -> [String; JOBS.len()] {
    let [jobs, completion, mean, p99, max] =
        line.outcome
            .as_ref()
            .map_or_else(Default::default, |outcome| {
                [
                    outcome.jobs.to_string(),
                    outcome.completion_h_mean.to_string(),
                    outcome.wait_h_mean.to_string(),
                    outcome.wait_h_p99.to_string(),
                    outcome.wait_h_max.to_string(),
                ]
            });
    [
        line.name.clone(),
        line.site.clone(),
        line.asked_accelerators.to_string(),
        line.accelerators.to_string(),
        line.held_accelerators_max.to_string(),
        line.full_kw.to_string(),
        line.too_large.to_string(),
        line.accelerator_h.to_string(),
        line.kwh.to_string(),
        jobs,
        completion,
        mean,
        p99,
        max,
    ]
}

const COUNTS: [&str; 12] = [
    "asked",
    "finished",
    "left",
    "input_tokens",
    "cache_hit_ratio",
    "cached_device_tokens",
    "cached_host_tokens",
    "cached_disk_tokens",
    "output_tokens",
    "goodput_ratio",
    "goodput_per_s",
    "goodput_tokens_per_s",
];
const TIMES: [&str; 5] = ["queue", "ttft", "tpot", "e2e", "kv_transfer"];
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
        line.cached.device_tokens.to_string(),
        line.cached.host_tokens.to_string(),
        line.cached.disk_tokens.to_string(),
        line.output_tokens.to_string(),
        line.goodput_ratio.to_string(),
        line.goodput_per_s.to_string(),
        line.goodput_tokens_per_s.to_string(),
    ]);
    for time in [
        line.queue_ms,
        line.ttft_ms,
        line.tpot_ms,
        line.e2e_ms,
        line.kv_transfer_ms,
    ] {
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

#[cfg(test)]
mod tests {
    use super::*;
    use madang_twin::scenario::{BUILTIN, Files, Progress, parse, run};

    const JOBS_TABLE: &str = "\n[[jobs]]\nid = \"night\"\nsite = \"office\"\naccelerator = \"h100\"\naccelerators = 64\nasks = 9\nasked_accelerators = 90\nrun_h = 2\n\n[[jobs]]\nid = \"later\"\nsite = \"office\"\naccelerator = \"h100\"\naccelerators = 8\nasks = 2\nasked_accelerators = 2\nrun_h = 1\nshift_h = 2\n";

    #[test]
    fn each_table_is_a_file_and_each_record_has_a_cell_for_each_name_of_its_head() {
        let (_, text) = BUILTIN
            .iter()
            .find(|(known, _)| *known == "single-node")
            .unwrap();
        let text = format!("{text}{JOBS_TABLE}");
        let (mut scenario, _) = parse(&text, &Files::Builtin).unwrap();
        scenario.hours = 1;
        let report = run(&scenario, &Files::Builtin, 1, &Progress::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &report).unwrap();
        let rows = |table: &str| {
            let path = folder.path().join(format!("{table}.csv"));
            let mut table = csv::Reader::from_path(path).unwrap();
            // A record that is longer or shorter than its head is an error.
            let records: Result<Vec<_>, _> = table.records().collect();
            records.unwrap().len()
        };
        assert_eq!(rows("total"), 1);
        assert_eq!(rows("sites"), report.sites.len());
        assert_eq!(rows("models"), report.models.len());
        assert_eq!(rows("tenants"), report.tenants.len());
        assert_eq!(rows("hours"), report.hours.len());
        assert_eq!(rows("groups"), report.groups.len());
        assert_eq!(rows("energy"), report.energy.len());
        assert_eq!(rows("jobs"), 1);
        assert_eq!(rows("shift"), 4);
        assert_eq!(rows("rows"), report.rows.len());
    }
}
