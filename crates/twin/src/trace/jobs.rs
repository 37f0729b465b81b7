//! Traces of jobs, and of tasks and the machines that they were placed on.

use super::TraceError;
use super::read::DAYS_MAX;
use super::table::{Table, unpacked, wrong};

/// Neither comes a job so long after the trace's beginning nor runs it longer, in seconds.
const SECONDS_MAX: u64 = DAYS_MAX * 86_400;

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

/// Reads jobs; rows are sorted by their coming, those of one instant as they stand in the file.
///
/// # Errors
/// What is wrong with the trace, and where.
pub fn jobs(bytes: &[u8]) -> Result<Vec<JobRow>, TraceError> {
    let text = unpacked(bytes)?;
    let table = Table::new(&text)?;
    let (submit, tenant) = (table.column("submit_s")?, table.column("vc")?);
    let (gpus, run) = (table.column("gpus")?, table.column("duration_s")?);
    let mut rows = Vec::new();
    for row in table.rows() {
        let accelerators = u32::try_from(row.number(gpus)?)
            .ok()
            .filter(|count| *count > 0);
        let seconds = |at| row.up_to(at, SECONDS_MAX, "a time within 400 days, in seconds");
        rows.push(JobRow {
            submit_s: seconds(submit)?,
            tenant: row.cell(tenant).into(),
            accelerators: accelerators
                .ok_or_else(|| wrong(row.line, row.cell(gpus), "a number of accelerators"))?,
            run_s: seconds(run)?,
        });
    }
    rows.sort_by_key(|row| row.submit_s);
    some(rows)
}

/// Reads tasks, in the order of the file.
///
/// # Errors
/// What is wrong with the trace, and where.
pub fn tasks(bytes: &[u8]) -> Result<Vec<TaskRow>, TraceError> {
    let text = unpacked(bytes)?;
    let table = Table::new(&text)?;
    let (cpu, memory) = (table.column("cpu_milli")?, table.column("mem_mib")?);
    let (gpus, share) = (table.column("gpus")?, table.column("gpu_milli")?);
    let spec = table.column("gpu_spec")?;
    let mut rows = Vec::new();
    for row in table.rows() {
        let kinds = row.cell(spec).split('|').filter(|kind| !kind.is_empty());
        rows.push(TaskRow {
            cpu_milli: row.number(cpu)?,
            memory_mib: row.number(memory)?,
            accelerators: row.small(gpus)?,
            share_milli: row.small(share)?,
            kinds: kinds.map(str::to_owned).collect(),
        });
    }
    some(rows)
}

/// Reads machines, in the order of the file.
///
/// # Errors
/// What is wrong with the file, and where.
pub fn machines(bytes: &[u8]) -> Result<Vec<MachineRow>, TraceError> {
    let text = unpacked(bytes)?;
    let table = Table::new(&text)?;
    let (cpu, memory) = (table.column("cpu_milli")?, table.column("mem_mib")?);
    let (gpus, kind) = (table.column("gpus")?, table.column("gpu_model")?);
    let mut rows = Vec::new();
    for row in table.rows() {
        rows.push(MachineRow {
            cpu_milli: row.number(cpu)?,
            memory_mib: row.number(memory)?,
            accelerators: row.small(gpus)?,
            kind: row.cell(kind).into(),
        });
    }
    some(rows)
}

fn some<T>(rows: Vec<T>) -> Result<Vec<T>, TraceError> {
    if rows.is_empty() {
        return Err(TraceError::Empty);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn check(text: &str, expected: &str) {
        let said = match jobs(text.as_bytes()) {
            Ok(rows) => format!("{} rows", rows.len()),
            Err(error) => error.to_string(),
        };
        assert_eq!(said, expected, "{text}");
    }

    #[test]
    fn what_is_wrong_with_jobs_is_said_with_its_line() {
        let head = "job,submit_s,vc,gpus,duration_s\n";
        check(
            "job,submit_s\n0,1\n",
            "the trace has no column 'vc'; it has: job,submit_s",
        );
        check(head, "the trace has no rows");
        check(
            &format!("{head}0,5,a,0,9\n"),
            "line 2: '0' is not a number of accelerators",
        );
        check(
            &format!("{head}0,5,a,1,9\n1,5,a,1,x\n"),
            "line 3: 'x' is not a number",
        );
        for (row, wrong) in [
            ("0,9000000000000000000,a,1,9", "9000000000000000000"),
            ("0,5,a,1,1000000000000", "1000000000000"),
        ] {
            check(
                &format!("{head}{row}\n"),
                &format!("line 2: '{wrong}' is not a time within 400 days, in seconds"),
            );
        }
        check(&format!("\u{feff}{head}0,5,a,1,9\r\n"), "1 rows");
        check(&format!("{head}0,5,a,1,9\n"), "1 rows");
    }

    #[test]
    fn jobs_are_read_whatever_they_are_packed_with() {
        let (head, row) = ("submit_s,vc,gpus,duration_s\n", "0,a,1,9\n");
        let gzip = |text: &str| {
            let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
            packer.write_all(text.as_bytes()).unwrap();
            packer.finish().unwrap()
        };
        // Files that are packed and then put one behind the other are one file.
        let parts = [gzip(head), gzip(row), gzip(row)].concat();
        assert_eq!(jobs(&parts).unwrap().len(), 2);
        let zstd = ruzstd::encoding::compress_to_vec(
            format!("{head}{row}").as_bytes(),
            ruzstd::encoding::CompressionLevel::Fastest,
        );
        assert_eq!(jobs(&zstd).unwrap().len(), 1);
    }
}
