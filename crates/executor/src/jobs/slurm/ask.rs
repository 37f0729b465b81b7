//! A run in Slurm's own words: what is asked of the cluster for it. Pure.

use super::options::SlurmOptions;
use super::script;
use crate::jobs::{JobsError, RunSpec};
use madang_types::{MILLI, Priority, RunId, RunPiece};

/// The most bytes of a batch script: Slurm's own bound where nothing else is set (`max_script_size`).
const SCRIPT_BYTES_MAX: usize = 4 << 20;
/// Minutes that inputs and outputs may take beside the time limit.
const STAGE_MIN: u64 = 60;
/// The longest warning that Slurm takes, in seconds.
const WARN_S_MAX: u64 = 65_535;

/// What is submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) run: RunId,
    pub(super) name: String,
    /// For the site's people: whose it is and what it is called.
    pub(super) comment: String,
    pub(super) script: String,
    pub(super) account: String,
    pub(super) qos: Option<String>,
    pub(super) partition: Option<String>,
    pub(super) reservation: Option<String>,
    /// As many tasks as pieces: each whole on one machine.
    pub(super) tasks: usize,
    /// What a task has of accelerators: `gpu:h200` and how many.
    pub(super) gres: Option<(String, u64)>,
    pub(super) cpus: u64,
    /// Of a task, in MiB; the site's own measure where it is 0.
    pub(super) memory_mib: u64,
    /// The whole allocation, in minutes.
    pub(super) minutes: u64,
    /// The script is warned so long before the end of that, in seconds.
    pub(super) warn_s: Option<u64>,
    /// How far it stands back.
    pub(super) nice: u32,
    pub(super) licences: Option<String>,
    /// Its output, `%j` for the job's number.
    pub(super) log: String,
    /// Where it begins.
    pub(super) folder: String,
}

/// The minutes for which a run is submitted, where it may bring or keep files or not: all of them have to be left of its award.
pub fn minutes_asked(time_limit_ms: u64, stages: bool) -> u64 {
    // The script keeps to the limit by itself and to the second; Slurm counts in minutes, and ends a script that does not.
    time_limit_ms.div_ceil(60_000) + 1 + if stages { STAGE_MIN } else { 0 }
}

/// What a run's job is called, and no other job: by it a run is found whose submission was not answered.
pub(super) fn job_name(options: &SlurmOptions, run: RunId) -> String {
    format!("{}-{run}", options.prefix)
}

/// `hanbit/search/train`: tenant, project and name, with nothing in it that Slurm's own lists would be misread by.
fn comment(spec: &RunSpec) -> String {
    let (_, tenant, project) = &spec.owner;
    let project = project.as_ref().map(ToString::to_string);
    let words = [Some(tenant.to_string()), project, Some(spec.name.clone())];
    let plain = |c: char| {
        if c.is_alphanumeric() || "-._".contains(c) {
            c
        } else {
            '_'
        }
    };
    let words = words.into_iter().flatten();
    let words: Vec<String> = words
        .map(|word| word.chars().map(plain).collect())
        .collect();
    words.join("/")
}

impl Ask {
    /// # Errors
    /// [`JobsError::Refused`] where this site can never run it.
    pub(super) fn new(options: &SlurmOptions, spec: &RunSpec) -> Result<Self, JobsError> {
        let (programme, tenant, _) = &spec.owner;
        let piece = even_piece(spec)?;
        let script = script::write(options, spec)?;
        if script.len() > SCRIPT_BYTES_MAX {
            let bytes = script.len();
            return Err(refused(format!(
                "its script has {bytes} bytes, and Slurm takes {SCRIPT_BYTES_MAX}"
            )));
        }
        let stages = !spec.inputs.is_empty() || !spec.outputs.is_empty();
        let accelerators = piece.accelerators.len() as u64;
        Ok(Self {
            run: spec.run,
            name: job_name(options, spec.run),
            comment: comment(spec),
            script,
            account: options
                .account
                .clone()
                .unwrap_or_else(|| tenant.to_string()),
            qos: options
                .qos
                .clone()
                .or_else(|| programme.as_ref().map(ToString::to_string)),
            partition: options.partition.clone(),
            reservation: options.reservation.clone(),
            tasks: spec.pieces.len(),
            gres: gres(options, spec, piece)?,
            cpus: piece.cpu_milli.div_ceil(u64::from(MILLI)).max(1),
            memory_mib: piece.memory_mib,
            minutes: minutes_asked(spec.time_limit_ms, stages),
            warn_s: spec
                .checkpoint
                .map(|c| c.grace_ms.div_ceil(1000).min(WARN_S_MAX)),
            nice: match spec.priority {
                Priority::Critical => 0,
                Priority::Standard => 1_000,
                Priority::Batch => 10_000,
            },
            licences: licences(options, spec, accelerators)?,
            log: log_path(options, spec.run, "%j"),
            folder: options.folder.clone(),
        })
    }

    /// A GPU and its type, where these accelerators are GPUs: Slurm has words of its own for them.
    pub(super) fn gpus_per_task(&self) -> Option<String> {
        let (name, count) = self.gres.as_ref()?;
        let kind = name.strip_prefix("gpu:")?;
        (self.tasks > 1).then(|| format!("{kind}:{count}"))
    }

    /// `gpu:h200:8` on each machine, where there is one task on each.
    pub(super) fn gres_per_node(&self) -> Option<String> {
        let (name, count) = self.gres.as_ref()?;
        self.gpus_per_task()
            .is_none()
            .then(|| format!("{name}:{count}"))
    }

    /// Each task is on a machine of its own.
    pub(super) fn is_one_per_node(&self) -> bool {
        self.gpus_per_task().is_none() && self.gres.is_some()
    }

    /// Memory for each processor, where tasks share machines.
    pub(super) fn memory_mib_per_cpu(&self) -> Option<u64> {
        let shared = self.tasks > 1 && self.memory_mib > 0;
        shared.then(|| self.memory_mib.div_ceil(self.cpus))
    }

    /// Memory for each machine, where it holds one task.
    pub(super) fn memory_mib_per_node(&self) -> Option<u64> {
        (self.tasks == 1 && self.memory_mib > 0).then_some(self.memory_mib)
    }
}

/// The output of a run's job on the cluster.
pub(super) fn log_path(options: &SlurmOptions, run: RunId, job: &str) -> String {
    format!("{}/{run}.{job}.log", options.folder)
}

/// One of its pieces, which are all alike.
fn even_piece(spec: &RunSpec) -> Result<&RunPiece, JobsError> {
    let measure = |piece: &RunPiece| {
        let held = piece.accelerators.len();
        (held, piece.share_milli, piece.cpu_milli, piece.memory_mib)
    };
    let first = spec.pieces.first();
    let first = first.ok_or_else(|| refused("it asks for nothing".to_owned()))?;
    if spec
        .pieces
        .iter()
        .any(|piece| measure(piece) != measure(first))
    {
        return Err(refused(
            "its pieces differ; on Slurm they are all alike".to_owned(),
        ));
    }
    Ok(first)
}

fn gres(
    options: &SlurmOptions,
    spec: &RunSpec,
    piece: &RunPiece,
) -> Result<Option<(String, u64)>, JobsError> {
    let count = piece.accelerators.len() as u64;
    let whole = options.gres(&spec.nodes, &spec.accelerator);
    if count == 0 {
        return Ok(None);
    }
    if piece.share_milli >= MILLI {
        return Ok(Some((whole, count)));
    }
    let shards = options.shards.ok_or_else(|| {
        let cluster = &options.cluster;
        refused(format!(
            "the cluster {cluster} gives whole accelerators only: ask for share_milli = 1000"
        ))
    })?;
    let share = u64::from(piece.share_milli) * u64::from(shards);
    let kind = whole.split_once(':').map_or("", |(_, kind)| kind);
    let shards = share.div_ceil(u64::from(MILLI)).max(1) * count;
    let name = if kind.is_empty() {
        "shard".to_owned()
    } else {
        format!("shard:{kind}")
    };
    Ok(Some((name, shards)))
}

fn licences(
    options: &SlurmOptions,
    spec: &RunSpec,
    on_one: u64,
) -> Result<Option<String>, JobsError> {
    let Some(power) = options.power.as_ref().filter(|_| on_one > 0) else {
        return Ok(None);
    };
    let watts = power.watts.get(&spec.nodes).ok_or_else(|| {
        refused(format!(
            "nobody says how many watts an accelerator of {} takes",
            spec.nodes
        ))
    })?;
    let share = spec.pieces.first().map_or(MILLI, |piece| piece.share_milli);
    let milliwatts = watts * on_one * spec.pieces.len() as u64 * u64::from(share);
    let tokens = milliwatts.div_ceil(power.token_watts.max(1) * u64::from(MILLI));
    Ok(Some(format!("{}:{tokens}", power.licence)))
}

pub(super) fn refused(why: String) -> JobsError {
    JobsError::Refused(why)
}

#[cfg(test)]
pub(super) mod tests;
