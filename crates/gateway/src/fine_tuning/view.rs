//! Fine-tuning jobs, their events and checkpoints, as OpenAI's clients know them.

use super::events::{Event, Kind};
use super::order::{End, Order, Status, Tuning};
use crate::batches::id::TuningId;
use madang_types::{Job, JobState};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A job, with the batch job that it is, where that is known.
pub(super) fn job(tuning: &Tuning, job: Option<&Job>) -> Value {
    let Tuning { order, end, .. } = tuning;
    let Order {
        id,
        tenant,
        model,
        training_file,
        validation_file,
        hyperparameters,
        suffix,
        seed,
        metadata,
        created_at,
        fine_tuned_model,
        ..
    } = order;
    let (end, numbers) = (end.as_ref(), numbers(hyperparameters));
    let succeeded = end.is_some_and(|end| end.status == Status::Succeeded);
    let error = end.and_then(|end| end.error.as_ref());
    let result_files = end.map_or(&[][..], |end| &end.result_files);
    json!({
        "id": id, "object": "fine_tuning.job", "created_at": created_at, "model": model,
        "organization_id": tenant, "status": status(end, job),
        "training_file": training_file, "validation_file": validation_file,
        "hyperparameters": numbers, "seed": seed, "metadata": metadata, "integrations": [],
        "method": { "type": "supervised", "supervised": { "hyperparameters": numbers } },
        "user_provided_suffix": suffix, "estimated_finish": null,
        "fine_tuned_model": succeeded.then_some(fine_tuned_model),
        "finished_at": end.map(|end| end.finished_at),
        "result_files": result_files,
        "trained_tokens": end.and_then(|end| end.trained_tokens),
        "error": error.map(|message| json!({ "code": "job_failed", "message": message, "param": null })),
        // Beside OpenAI's: the batch job that it is.
        "madang_job": tuning.job,
    })
}

fn status(end: Option<&End>, job: Option<&Job>) -> &'static str {
    match (end, job) {
        (Some(end), _) => end.status.as_str(),
        (None, None) => "validating_files",
        (None, Some(job)) if job.cancelled_at.is_some() => Status::Cancelled.as_str(),
        (None, Some(job)) => match job.state {
            JobState::Pending => "queued",
            JobState::Held => "paused",
            JobState::Cancelled => Status::Cancelled.as_str(),
            // What it printed and left is still being taken in.
            JobState::Running | JobState::Completed | JobState::Failed | JobState::TimedOut => {
                "running"
            }
        },
    }
}

/// Whole numbers without a point, as clients' types want them.
fn numbers(all: &BTreeMap<String, f64>) -> Map<String, Value> {
    let rows = all
        .iter()
        .map(|(name, value)| (name.clone(), number(*value)));
    rows.collect()
}

fn number(value: f64) -> Value {
    let whole: Option<i64> = (value.fract() == 0.0)
        .then(|| format!("{value:.0}").parse().ok())
        .flatten();
    whole.map_or_else(|| json!(value), |whole| json!(whole))
}

/// An event of a job: its place among them, from 1, is its name.
pub(super) fn event(id: TuningId, place: usize, event: &Event) -> (String, Value) {
    let name = id.to_string().replace("ftjob-", "ftevent-") + &format!("-{place}");
    let kind = match event.kind {
        Kind::Metrics => "metrics",
        Kind::Came
        | Kind::Began
        | Kind::Message
        | Kind::Checkpoint
        | Kind::RunEnded
        | Kind::Over => "message",
    };
    let data = (!event.metrics.is_empty()).then(|| numbers(&event.metrics));
    let value = json!({
        "id": name, "object": "fine_tuning.job.event", "created_at": event.at_s, "level": event.level,
        "message": event.message, "type": kind, "data": data,
    });
    (name, value)
}

/// A checkpoint of a job; `None` for events that are none.
pub(super) fn checkpoint(order: &Order, place: usize, event: &Event) -> Option<(String, Value)> {
    let step = event.step.filter(|_| event.kind == Kind::Checkpoint)?;
    let id = order.id;
    let name = id.to_string().replace("ftjob-", "ftckpt-") + &format!("-{place}");
    let value = json!({
        "id": name, "object": "fine_tuning.job.checkpoint", "created_at": event.at_s,
        "fine_tuning_job_id": id, "step_number": step, "metrics": numbers(&event.metrics),
        "fine_tuned_model_checkpoint": format!("{}:ckpt-step-{step}", order.fine_tuned_model),
        // Beside OpenAI's: where the program says that it wrote it.
        "path": event.path,
    });
    Some((name, value))
}
