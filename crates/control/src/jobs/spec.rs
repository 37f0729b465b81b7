//! What an executor is told of a run.

use madang_executor::jobs::{RunProgram, RunSpec, SecretText};
use madang_fleet::Fleet;
use madang_types::{Job, JobStage, NodesId, RunId, RunPiece, RunRecord, TaskId};
use std::collections::BTreeMap;

/// What is asked of an executor that is to foretell when the first task of a job would begin on some machines; `None` where they left the
/// fleet.
pub(super) fn asked_spec(job: &Job, nodes: &NodesId, fleet: &Fleet) -> Option<RunSpec> {
    let wanted = &job.spec.resources;
    let (count, on_one) = wanted.pieces();
    let piece = RunPiece {
        node: 0,
        accelerators: (0..u16::try_from(on_one).ok()?).collect(),
        share_milli: wanted.share_milli,
        cpu_milli: wanted.cpu_milli,
        memory_mib: wanted.memory_mib,
    };
    let task = TaskId {
        job: job.id,
        index: job.spec.array.map(|_| 0),
    };
    let run = RunId { task, number: 1 };
    let pieces = vec![piece; usize::try_from(count).ok()?];
    spec_of(job, (run, nodes, pieces), fleet, BTreeMap::new())
}

/// The run of a job on the machines that it was given, with the values of its secrets; `None` where they left the fleet.
pub(super) fn run_spec(
    (job, run): (&Job, &RunRecord),
    fleet: &Fleet,
    secrets: BTreeMap<String, SecretText>,
) -> Option<RunSpec> {
    let at = (run.run, &run.nodes, run.pieces.clone());
    spec_of(job, at, fleet, secrets)
}

fn spec_of(
    job: &Job,
    (run, nodes_id, pieces): (RunId, &NodesId, Vec<RunPiece>),
    fleet: &Fleet,
    secrets: BTreeMap<String, SecretText>,
) -> Option<RunSpec> {
    let nodes = fleet.nodes.get(nodes_id)?;
    let jobs = nodes.jobs.as_ref()?;
    let spec = &job.spec;
    let index = run.task.index.unwrap_or(0);
    let own = |stages: &[JobStage]| stages.iter().map(|stage| stage.of_task(index)).collect();
    Some(RunSpec {
        run,
        owner: (
            job.programme.clone(),
            job.tenant.clone(),
            job.project.clone(),
        ),
        name: spec.name.clone(),
        priority: spec.priority,
        program: match &spec.script {
            Some(script) => RunProgram::Script(script.clone()),
            None => RunProgram::Command(spec.command.clone()),
        },
        image: spec.image.clone(),
        env: spec.env.clone(),
        secrets,
        nodes: nodes_id.clone(),
        accelerator: nodes.accelerator.clone(),
        device_variable: jobs.device_variable.clone(),
        pieces,
        time_limit_ms: spec.time_limit_ms,
        checkpoint: spec.checkpoint,
        inputs: own(&spec.inputs),
        outputs: own(&spec.outputs),
        tasks: spec.tasks(),
        log_bytes_max: fleet.jobs.log_bytes_max,
    })
}
