//! How busy runs are, as Slurm's accounting has it.
//!
//! Of a run that runs, `sstat` tells what its steps use of GPUs where the site gathers that (`AccountingStorageTRES=gres/gpuutil`, and
//! `AutoDetect=nvml` in `gres.conf`). It is one figure for all GPUs of a step, so it is taken for runs of one whole accelerator alone. Of
//! a run that is over on machines of kind `cpu`, whose accelerators are processors, `sacct` tells the processor time that it used.

use super::script::line;
use madang_types::Measured;
use std::collections::BTreeMap;

/// Jobs that are asked about in one line.
pub(super) const ASKED_COUNT_MAX: usize = 200;

/// What tells how busy the GPUs of these jobs are. A job without a step makes it fail, and says nothing of the others.
pub(super) fn sstat(jobs: &[u32]) -> String {
    let words = [
        "sstat",
        "-a",
        "-n",
        "-P",
        "-o",
        "JobID,TRESUsageInAve",
        "-j",
    ];
    let mut line = line(words.map(str::to_owned).into_iter().chain([ids(jobs)]));
    line.push_str(" 2>/dev/null || true");
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
            "'sstat' '-a' '-n' '-P' '-o' 'JobID,TRESUsageInAve' '-j' '7,12' 2>/dev/null || true"
        );
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
