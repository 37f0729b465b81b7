//! What an executor is told of a run.

use madang_executor::jobs::{RunProgram, RunSpec, SecretText};
use madang_fleet::Fleet;
use madang_types::{Job, RunRecord};
use std::collections::BTreeMap;

/// The run of a job on the machines that it was given, with the values of its secrets; `None` where they left the fleet.
pub(super) fn run_spec(
    (job, run): (&Job, &RunRecord),
    fleet: &Fleet,
    secrets: BTreeMap<String, SecretText>,
) -> Option<RunSpec> {
    let nodes = fleet.nodes.get(&run.nodes)?;
    let jobs = nodes.jobs.as_ref()?;
    let spec = &job.spec;
    Some(RunSpec {
        run: run.run,
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
        nodes: run.nodes.clone(),
        accelerator: nodes.accelerator.clone(),
        device_variable: jobs.device_variable.clone(),
        pieces: run.pieces.clone(),
        time_limit_ms: spec.time_limit_ms,
        checkpoint: spec.checkpoint,
        inputs: spec.inputs.clone(),
        outputs: spec.outputs.clone(),
        tasks: spec.tasks(),
        log_bytes_max: fleet.jobs.log_bytes_max,
    })
}
