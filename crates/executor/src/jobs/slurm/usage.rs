//! How busy runs are, as Slurm's accounting has it.
//!
//! Of a run that runs, `sstat` tells what its steps use of GPUs where the site gathers that (`AccountingStorageTRES=gres/gpuutil`, and
//! `AutoDetect=nvml` in `gres.conf`). It is one figure for all GPUs of a step, so it is taken for runs of one whole accelerator alone. Of
//! all others it tells the processor time that they used (`JobAcctGatherType`), beside what `squeue` says that they were given: of
//! accelerators that is a hint, of machines of kind `cpu`, whose accelerators are processors, the thing itself. Of a run there that is over
//! `sacct` tells it.

use super::script::line;
use madang_types::Measured;
use std::collections::BTreeMap;

/// Jobs that are asked about in one line.
pub(super) const ASKED_COUNT_MAX: usize = 200;

/// Between what `sstat` says and what `squeue` does.
const BETWEEN: &str = "--";

/// What tells how busy these jobs are, which run. A job without a step makes it fail, and says nothing of the others.
pub(super) fn sstat(jobs: &[u32]) -> String {
    let words = [
        "sstat",
        "-a",
        "-n",
        "-P",
        "-o",
        "JobID,TRESUsageInTot",
        "-j",
    ];
    let mut line = line(words.map(str::to_owned).into_iter().chain([ids(jobs)]));
    // Of our user alone, as everywhere.
    line.push_str(&format!(
        " 2>/dev/null; echo {BETWEEN}; squeue --me -h -t R -o '%A|%C|%M'"
    ));
    line
}

/// What tells how much processor time these jobs used.
pub(super) fn sacct(jobs: &[u32]) -> String {
    let words = [
        "sacct",
        "-X",
        "-n",
        "-P",
        "-o",
        "JobIDRaw,TotalCPU,CPUTimeRAW,End",
        "-j",
    ];
    line(words.map(str::to_owned).into_iter().chain([ids(jobs)]))
}

fn ids(jobs: &[u32]) -> String {
    let ids: Vec<String> = jobs.iter().map(ToString::to_string).collect();
    ids.join(",")
}

/// `1042.batch|cpu=00:00:01,energy=0,gres/gpuutil=37,mem=4M`: of several steps the busiest.
pub(super) fn gpu_busy(text: &str) -> BTreeMap<u32, Measured> {
    let mut found: BTreeMap<u32, u32> = BTreeMap::new();
    for row in text.lines() {
        let Some((step, used)) = row.split_once('|') else {
            continue;
        };
        let job = step.split('.').next().and_then(|job| job.parse().ok());
        let used = used
            .split(',')
            .find_map(|one| one.strip_prefix("gres/gpuutil="));
        let percent: Option<u32> = used.and_then(|percent| percent.parse().ok());
        if let Some((job, percent)) = job.zip(percent) {
            let busiest = found.entry(job).or_default();
            *busiest = (*busiest).max(percent.min(100) * 10);
        }
    }
    let now = |(job, permille)| (job, Measured::Now(permille));
    found.into_iter().map(now).collect()
}

/// `1042.batch|cpu=00:00:01,mem=4M` of each step, and after a line `--` the processors and the time of each job: `1042|16|1-02:03:04`.
/// What was used of what was given so far; nothing of a job of which one of the two is not told.
pub(super) fn cpu_busy_now(text: &str) -> BTreeMap<u32, Measured> {
    let mut steps = true;
    let (mut used_ms, mut found) = (BTreeMap::<u32, u64>::new(), BTreeMap::new());
    for row in text.lines() {
        if row == BETWEEN {
            steps = false;
        } else if steps {
            let Some((step, used)) = row.split_once('|') else {
                continue;
            };
            let job = step.split('.').next().and_then(|job| job.parse().ok());
            let cpu = used.split(',').find_map(|one| one.strip_prefix("cpu="));
            if let Some((job, ms)) = job.zip(cpu.and_then(duration_ms)) {
                *used_ms.entry(job).or_default() += ms;
            }
        } else {
            let given = || {
                let mut fields = row.split('|');
                let job = fields.next()?.parse().ok()?;
                let processors: u64 = fields.next()?.parse().ok()?;
                let given_s = processors.checked_mul(duration_ms(fields.next()?)? / 1_000)?;
                let permille = used_ms.get(&job)?.checked_div(given_s)?.min(1_000);
                Some((job, Measured::SoFar(u32::try_from(permille).ok()?)))
            };
            found.extend(given());
        }
    }
    found
}

/// `1042|00:01.230|60|2026-11-27T11:00:00`: processor time used, and had in seconds; nothing of a job that is not over.
pub(super) fn cpu_busy(text: &str) -> BTreeMap<u32, Measured> {
    let read = |row: &str| {
        let mut fields = row.split('|');
        let job = fields.next()?.parse().ok()?;
        let used_ms = duration_ms(fields.next()?)?;
        let had_s: u64 = fields.next()?.parse().ok()?;
        fields.next().filter(|end| *end != "Unknown")?;
        let permille = used_ms.checked_div(had_s)?.min(1_000);
        Some((job, Measured::SoFar(u32::try_from(permille).ok()?)))
    };
    text.lines().filter_map(read).collect()
}

/// `[days-][hours:]minutes:seconds[.milliseconds]`.
fn duration_ms(text: &str) -> Option<u64> {
    let (days, rest) = text.split_once('-').unwrap_or(("0", text));
    let (rest, ms) = rest.split_once('.').unwrap_or((rest, "0"));
    let mut seconds = days.parse::<u64>().ok()?;
    let parts: Vec<&str> = rest.split(':').collect();
    let missing = 3_usize.checked_sub(parts.len())?;
    let zeros = std::iter::repeat_n("0", missing);
    for (part, base) in zeros.chain(parts).zip([24, 60, 60]) {
        seconds = seconds.checked_mul(base)?.checked_add(part.parse().ok()?)?;
    }
    seconds.checked_mul(1_000)?.checked_add(ms.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_told_by_the_busiest_step_and_only_where_they_are_gathered() {
        let text = "1042.extern|cpu=00:00:00,gres/gpumem=0,gres/gpuutil=0\n\
            1042.batch|cpu=00:00:01,energy=0,fs/disk=3,gres/gpumem=9G,gres/gpuutil=37,mem=4M\n\
            1043.batch|cpu=00:00:01,energy=0,fs/disk=3,mem=4M\n1044.0|gres/gpuutil=180\n\nno line of its own";
        let expected = [(1042, Measured::Now(370)), (1044, Measured::Now(1_000))];
        assert_eq!(gpu_busy(text), BTreeMap::from(expected));
        assert_eq!(
            sstat(&[7, 12]),
            "'sstat' '-a' '-n' '-P' '-o' 'JobID,TRESUsageInTot' '-j' '7,12' 2>/dev/null; echo --; squeue --me -h -t R -o '%A|%C|%M'"
        );
    }

    #[test]
    fn processor_time_is_told_beside_what_was_given() {
        let text = "7.batch|cpu=00:00:01,mem=4M\n7.0|cpu=00:01:59,mem=4M\n8.batch|cpu=10:00:00\n9.batch|mem=4M\n10.batch|cpu=00:00:09\n\
            --\n7|16|1:00\n8|1|1:00\n9|1|1:00\n10|1|0:00\n11|1|1:00\nno line";
        let expected = [(7, Measured::SoFar(125)), (8, Measured::SoFar(1_000))];
        assert_eq!(cpu_busy_now(text), BTreeMap::from(expected));
        assert_eq!(gpu_busy(text), BTreeMap::new());
    }

    #[test]
    fn processors_are_told_of_jobs_that_are_over() {
        let text = "7|00:01.500|60|2026-11-27T11:00:00\n8|1-00:00:00|86400|2026-11-27T11:00:00\n\
            9|00:00:30|60|Unknown\n10|00:00:00|0|2026-11-27T11:00:00\n11|02:00:00|86400|2026-11-27T11:00:00";
        let expected = [
            (7, Measured::SoFar(25)),
            (8, Measured::SoFar(1_000)),
            (11, Measured::SoFar(83)),
        ];
        assert_eq!(cpu_busy(text), BTreeMap::from(expected));
    }
}
