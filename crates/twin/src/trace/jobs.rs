//! Traces of jobs, and of tasks and the machines that they were placed on.

use super::TraceError;
use super::error::{BEFORE, wrong};
use super::stream::DAYS_MAX;
use super::table::Table;
use madang_core::jobs::WHOLE_MILLI;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;

/// Neither comes a job so long after the trace's beginning nor runs it longer, in seconds.
const SECONDS_MAX: u64 = DAYS_MAX * 86_400;
/// Whose jobs they are: each is looked at whenever anything happens.
const TENANTS_MAX: usize = 10_000;
const TENANT_CHARS_MAX: usize = 96;
const TENANT: &str = "a name of up to 96 characters, without control characters";
const SHARE: &str = "a part of an accelerator, in thousandths up to 1000";

/// A job of a trace: `submit_s,vc,gpus,duration_s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    /// Since the trace's beginning, in seconds.
    pub submit_s: u64,
    /// Whose it is.
    pub tenant: String,
    /// How many accelerators it needs, all at once.
    pub accelerators: u32,
    /// How long it ran, in seconds.
    pub run_s: u64,
}

/// A task of a trace: `cpu_milli,mem_mib,gpus,gpu_milli,gpu_spec`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRow {
    /// Thousandths of a core.
    pub cpu_milli: u64,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// How many accelerators.
    pub accelerators: u16,
    /// How much of each, in thousandths.
    pub share_milli: u16,
    /// Of which kinds; empty for any.
    pub kinds: Vec<String>,
}

/// A machine: `cpu_milli,mem_mib,gpus,gpu_model`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineRow {
    /// Thousandths of a core.
    pub cpu_milli: u64,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// How many accelerators.
    pub accelerators: u16,
    /// Of which kind.
    pub kind: String,
}

/// Jobs of a trace in the order of their coming, those of one instant as they stand in the file.
#[derive(Clone, Debug)]
pub struct JobTrace {
    /// The jobs.
    pub rows: Vec<JobRow>,
    /// Rows that stood below later ones, where there were any.
    pub unordered: Option<Unordered>,
}

/// Rows that stand below later ones in a trace whose order does not matter: it is sorted, and that is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Unordered {
    /// How many.
    pub rows: usize,
    /// The line of the first of them.
    pub first_line: usize,
}

impl Unordered {
    /// One more at that line.
    pub(crate) fn note(seen: &mut Option<Self>, first_line: usize) {
        let seen = seen.get_or_insert(Self {
            rows: 0,
            first_line,
        });
        seen.rows += 1;
    }
}

impl fmt::Display for Unordered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {BEFORE}", self.first_line)?;
        match self.rows - 1 {
            0 => {}
            others => write!(f, ", and {others} more come before one above them")?,
        }
        f.write_str("; the trace was sorted by time")
    }
}

/// Reads jobs, and sorts them by their coming.
///
/// # Errors
/// What is wrong with the trace, and where.
pub fn jobs(reader: impl Read + Send) -> Result<JobTrace, TraceError> {
    let table = Table::new(reader)?;
    let (submit, tenant) = (table.column("submit_s")?, table.column("vc")?);
    let (gpus, run) = (table.column("gpus")?, table.column("duration_s")?);
    let mut rows = table.rows(|row| {
        let accelerators: u32 = row.count(gpus, "a number of accelerators")?;
        if accelerators == 0 {
            return Err(wrong(row.line, row.cell(gpus), "a number of accelerators"));
        }
        let tenant = row.cell(tenant);
        if tenant.chars().count() > TENANT_CHARS_MAX || tenant.chars().any(char::is_control) {
            return Err(wrong(row.line, tenant, TENANT));
        }
        let seconds = |at| row.up_to(at, SECONDS_MAX, "a time within 400 days, in seconds");
        let job = JobRow {
            submit_s: seconds(submit)?,
            tenant: tenant.into(),
            accelerators,
            run_s: seconds(run)?,
        };
        Ok((row.line, job))
    })?;
    let (mut unordered, mut latest_s) = (None, 0);
    let mut tenants: BTreeSet<&str> = BTreeSet::new();
    for (line, row) in &rows {
        tenants.insert(&row.tenant);
        if tenants.len() > TENANTS_MAX {
            return Err(wrong(*line, &row.tenant, "one of at most 10,000 tenants"));
        }
        if row.submit_s < latest_s {
            Unordered::note(&mut unordered, *line);
        }
        latest_s = latest_s.max(row.submit_s);
    }
    rows.sort_by_key(|(_, row)| row.submit_s);
    Ok(JobTrace {
        rows: rows.into_iter().map(|(_, row)| row).collect(),
        unordered,
    })
}

/// Reads tasks, in the order of the file.
///
/// # Errors
/// What is wrong with the trace, and where.
pub fn tasks(reader: impl Read + Send) -> Result<Vec<TaskRow>, TraceError> {
    let table = Table::new(reader)?;
    let (cpu, memory) = (table.column("cpu_milli")?, table.column("mem_mib")?);
    let (gpus, share) = (table.column("gpus")?, table.column("gpu_milli")?);
    let spec = table.column("gpu_spec")?;
    table.rows(|row| {
        let kinds = row.cell(spec).split('|').filter(|kind| !kind.is_empty());
        let share_milli = row.count(share, SHARE)?;
        if share_milli > WHOLE_MILLI {
            return Err(wrong(row.line, row.cell(share), SHARE));
        }
        Ok(TaskRow {
            cpu_milli: row.number(cpu)?,
            memory_mib: row.number(memory)?,
            accelerators: row.count(gpus, "a number of accelerators")?,
            share_milli,
            kinds: kinds.map(str::to_owned).collect(),
        })
    })
}

/// Reads machines, in the order of the file.
///
/// # Errors
/// What is wrong with the file, and where.
pub fn machines(reader: impl Read + Send) -> Result<Vec<MachineRow>, TraceError> {
    let table = Table::new(reader)?;
    let (cpu, memory) = (table.column("cpu_milli")?, table.column("mem_mib")?);
    let (gpus, kind) = (table.column("gpus")?, table.column("gpu_model")?);
    table.rows(|row| {
        Ok(MachineRow {
            cpu_milli: row.number(cpu)?,
            memory_mib: row.number(memory)?,
            accelerators: row.count(gpus, "a number of accelerators")?,
            kind: row.cell(kind).into(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "job,submit_s,vc,gpus,duration_s\n";

    fn said<T>(read: Result<Vec<T>, TraceError>) -> String {
        match read {
            Ok(rows) => format!("{} rows", rows.len()),
            Err(error) => error.to_string(),
        }
    }

    fn check(text: &str, expected: &str) {
        let rows = jobs(text.as_bytes()).map(|trace| trace.rows);
        assert_eq!(said(rows), expected, "{text}");
    }

    #[test]
    fn what_is_wrong_with_jobs_is_said_with_its_line() {
        check(
            "job,submit_s\n0,1\n",
            "the trace has no column 'vc'; it has: job,submit_s",
        );
        check(
            "job;submit_s;vc;gpus;duration_s\n0;5;a;1;9\n",
            "the trace has no column 'submit_s'; it has: job;submit_s;vc;gpus;duration_s (columns are set apart by commas)",
        );
        check(
            "vc,submit_s,vc,gpus,duration_s\n",
            "the trace has two columns 'vc'; leave one of them",
        );
        check("", "the trace has no rows");
        check(HEAD, "the trace has no rows");
        check(&format!("{HEAD}0,5,a,1,9\n"), "1 rows");
        check(&format!("\u{feff}{HEAD}\r\n0,5,a,1,9\r\n"), "1 rows");
        check(&format!("{HEAD}0,5.7,\"a, b\",\"1.0\",9e2,\n"), "1 rows");
    }

    #[test]
    fn values_that_are_none_are_said_with_their_lines() {
        let time = "a time within 400 days, in seconds";
        let number = "a number at or above zero";
        for (row, value, expected) in [
            ("0,5,a,0,9", "0", "a number of accelerators"),
            ("0,5,a,1.5,9", "1.5", "a number of accelerators"),
            ("0,5,a,-1,9", "-1", "a number of accelerators"),
            (
                "0,5,a,4294967296,9",
                "4294967296",
                "a number of accelerators",
            ),
            (
                "0,5,\u{1b}[31mred,1,9",
                "\u{fffd}[31mred",
                "a name of up to 96 characters, without control characters",
            ),
            ("0,5,a,1,x", "x", number),
            ("0,5,a,1,1.x", "1.x", number),
            ("0,5,a,1,NaN", "NaN", number),
            ("0,5,a,1,inf", "inf", number),
            ("0,-5,a,1,9", "-5", number),
            ("0,,a,1,9", "", number),
            ("0,5,a,1", "", number),
            ("0,9000000000000000000,a,1,9", "9000000000000000000", time),
            ("0,5,a,1,1e12", "1e12", time),
        ] {
            let expected = format!("line 3: '{value}' is not {expected}");
            check(&format!("{HEAD}0,5,a,1,9\n{row}\n"), &expected);
        }
        let many: String = (0..10_001)
            .map(|at| format!("{at},5,t{at},1,9\n"))
            .collect();
        check(
            &format!("{HEAD}{many}"),
            "line 10002: 't10000' is not one of at most 10,000 tenants",
        );
        check(
            &format!("{HEAD}0,5,a,1,9,5\n"),
            "line 2: it has 6 cells, and the header 5; a cell with a comma in it stands in quotes",
        );
    }

    #[test]
    fn tasks_and_machines_are_read_likewise() {
        let check = |row: &str, expected: &str| {
            let text = format!("cpu_milli,mem_mib,gpus,gpu_milli,gpu_spec\n{row}\n");
            assert_eq!(said(tasks(text.as_bytes())), expected, "{row}");
        };
        check("1,2,1,500,a|b", "1 rows");
        check(
            "1,2,1,1001,",
            "line 2: '1001' is not a part of an accelerator, in thousandths up to 1000",
        );
        check(
            "1,2,0.5,500,",
            "line 2: '0.5' is not a number of accelerators",
        );
        check(
            "2000000000000,2,1,500,",
            "line 2: '2000000000000' is not a number up to 2^40",
        );
        let text = "cpu_milli,mem_mib,gpus,gpu_model\n1,2,70000,a\n";
        assert_eq!(
            said(machines(text.as_bytes())),
            "line 2: '70000' is not a number of accelerators"
        );
    }

    #[test]
    fn jobs_below_later_ones_are_sorted_and_told() {
        let told = |submits: &[u64]| {
            let rows = submits.iter().map(|at| format!("0,{at},t{at},1,9\n"));
            let text = format!("{HEAD}{}", rows.collect::<String>());
            let trace = jobs(text.as_bytes()).unwrap();
            let order: Vec<u64> = trace.rows.iter().map(|row| row.submit_s).collect();
            assert!(order.is_sorted(), "{order:?}");
            trace.unordered.map(|unordered| unordered.to_string())
        };
        assert_eq!(told(&[1, 1, 5]), None);
        assert_eq!(
            told(&[1, 5, 4, 9]).as_deref(),
            Some("line 4: it comes before the line above; the trace was sorted by time")
        );
        // Those below the first belong above the line with 9, too.
        assert_eq!(
            told(&[9, 5, 6, 7, 10]).as_deref(),
            Some(
                "line 3: it comes before the line above, and 2 more come before one above them; the trace was sorted by time"
            )
        );
    }
}
