//! Reports of what stood idle: as JSON, and its awards as a table.

use super::csv::{Cells, csv, text_cell};
use super::instant;
use super::money::class_names;
use madang_ledger::Leg;
use madang_ledger::report::{AwardUse, payers};
use madang_store::BusyRun;
use madang_types::{BusySource, NodesHeld};
use serde::Serialize;
use utoipa::ToSchema;

/// What of awards and accelerators stood idle in a month, as far as it was measured. Times are milliseconds of a whole accelerator.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IdleView {
    /// The civil month, as `2026-11`.
    pub(crate) month: String,
    /// Where it begins: seconds east of UTC.
    pub(crate) offset_s: i32,
    /// When the books were read.
    #[schema(format = DateTime)]
    pub(crate) made_at: String,
    /// Runs that were less busy than this, in thousandths, stand in `runs`.
    pub(crate) below_permille: u32,
    /// Awards of won and of accelerator time.
    pub(crate) awards: Vec<AwardView>,
    /// Runs that were measured and little used, those that left most idle first.
    pub(crate) runs: Vec<IdleRunView>,
    /// How many more there are.
    pub(crate) runs_left_out: u64,
    /// Machines that take jobs, as they were looked at in the month; null for whoever may not see all of the fleet.
    pub(crate) machines: Option<Vec<MachinesView>>,
}

/// One award. Amounts are in its unit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AwardView {
    /// The allocation.
    allocation: String,
    /// Whose budget it is of.
    programme: String,
    /// Whose it is.
    tenant: String,
    /// `micro_won` or `accelerator_ms`.
    #[schema(value_type = String)]
    unit: &'static str,
    /// What is for accelerators of this kind alone; null for the rest.
    accelerator: Option<String>,
    /// The part of it that falls into the month.
    promised: i64,
    /// What was spent of it in the month.
    used: i64,
    /// `promised` less `used`; below zero where more was spent than the month's part.
    unused: i64,
    /// Of what runs held that it pays for, so much was measured; how busy the rest was nobody knows.
    measured_ms: u64,
    /// What of that stood idle.
    idle_ms: u64,
    /// When it is recalled, or was.
    #[schema(format = DateTime)]
    recalled_at: Option<String>,
}

/// A run that was little used.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IdleRunView {
    /// The run.
    #[schema(example = "1042.7-1")]
    run: String,
    /// Its job.
    job: u64,
    /// Whose programme's it was when the job came.
    programme: Option<String>,
    /// Whose it is.
    tenant: String,
    /// Of which project.
    project: Option<String>,
    /// What pays for it.
    allocations: Vec<String>,
    /// On which machines.
    nodes: String,
    /// Their kind of accelerator.
    accelerator: Option<String>,
    /// How many it has, in thousandths.
    accelerators_milli: u64,
    /// Whether it is over.
    ended: bool,
    /// When its program began.
    #[schema(format = DateTime)]
    began_at: String,
    /// When it was last measured.
    #[schema(format = DateTime)]
    measured_at: String,
    /// Since when its accelerators are not at work any more (a twentieth of their time).
    #[schema(format = DateTime)]
    idle_since: String,
    /// How busy it was, in thousandths of what was measured.
    busy_permille: u32,
    /// What told so: `nvml`, `dcgm`, `slurm_gpuutil`, or `slurm_cpu_time`: processor time, of what was given, which of accelerators is a hint
    /// alone. Null where that was not kept yet.
    #[schema(value_type = Option<String>)]
    measured_by: Option<&'static str>,
    /// Of what it held, so much was measured.
    measured_ms: u64,
    /// What of that stood idle.
    idle_ms: u64,
}

/// What was held of machines.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MachinesView {
    /// Their name in the fleet file.
    nodes: String,
    /// What there was while they were looked at.
    capacity_ms: u64,
    /// What of it runs held.
    held_ms: u64,
    /// What of it nobody held.
    free_ms: u64,
}

impl From<AwardUse> for AwardView {
    fn from(row: AwardUse) -> Self {
        let award = row.allocation;
        let (_, accelerator) = class_names(award.unit, award.class);
        Self {
            allocation: award.id.to_string(),
            programme: award.programme.to_string(),
            tenant: award.tenant.to_string(),
            unit: award.unit.as_str(),
            accelerator,
            promised: row.promised,
            used: row.used,
            unused: row.unused,
            measured_ms: row.measured_ms,
            idle_ms: row.idle_ms,
            recalled_at: award.recalled_at.map(instant),
        }
    }
}

impl IdleRunView {
    /// The view of a run that was so busy, and is paid by these legs.
    pub(crate) fn of(row: &BusyRun, busy_permille: u32, legs: &[Leg]) -> Self {
        let (record, busy) = (&row.record, &row.busy);
        Self {
            run: record.run.to_string(),
            job: record.run.task.job.0,
            programme: row.programme.as_ref().map(ToString::to_string),
            tenant: row.tenant.to_string(),
            project: row.project.as_ref().map(ToString::to_string),
            allocations: payers(legs).iter().map(ToString::to_string).collect(),
            nodes: record.nodes.to_string(),
            accelerator: record.place.as_ref().map(|place| place.accelerator.clone()),
            accelerators_milli: record.accelerator_milli,
            ended: record.end.is_some(),
            began_at: instant(busy.began_at),
            measured_at: instant(busy.measured_at),
            idle_since: instant(busy.idle_since()),
            busy_permille,
            measured_by: busy.source.map(BusySource::as_str),
            measured_ms: busy.measured_ms,
            idle_ms: busy.idle_ms(),
        }
    }
}

impl From<NodesHeld> for MachinesView {
    fn from(held: NodesHeld) -> Self {
        Self {
            nodes: held.nodes.to_string(),
            capacity_ms: held.capacity_ms,
            held_ms: held.held_ms,
            free_ms: held.capacity_ms.saturating_sub(held.held_ms),
        }
    }
}

/// The awards of a report.
pub(crate) fn idle_csv(awards: &[AwardUse]) -> String {
    let names = [
        "allocation",
        "programme",
        "tenant",
        "unit",
        "accelerator",
        "promised",
        "used",
        "unused",
        "measured_ms",
        "idle_ms",
        "recalled_at",
    ];
    let row = |award: &AwardUse| -> Cells {
        let AwardView {
            allocation,
            programme,
            tenant,
            unit,
            accelerator,
            promised,
            used,
            unused,
            measured_ms,
            idle_ms,
            recalled_at,
        } = award.clone().into();
        vec![
            text_cell(&allocation),
            text_cell(&programme),
            text_cell(&tenant),
            unit.to_owned(),
            text_cell(&accelerator.unwrap_or_default()),
            promised.to_string(),
            used.to_string(),
            unused.to_string(),
            measured_ms.to_string(),
            idle_ms.to_string(),
            recalled_at.unwrap_or_default(),
        ]
    };
    csv(&names, awards.iter().map(row))
}
