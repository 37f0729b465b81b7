//! Jobs at the desk: stories, and random worlds with restarts.

mod arrays;
mod classes;
mod data;
mod queues;
mod shift;
mod shift_arrays;
mod sites;
mod stories;
mod unseen;
mod worlds;

use super::*;
use madang_types::{JobArray, JobResources, JobSpec, Priority, RunOutcome};

fn at(seconds: i64) -> Micros {
    Micros(1_700_000_000_000_000 + seconds * 1_000_000)
}

fn nodes(id: &str, accelerator: &str, count: u32, per_node: u16) -> DeskNodes {
    DeskNodes {
        id: id.parse().unwrap(),
        site: "pohang".parse().unwrap(),
        accelerator: accelerator.to_owned(),
        count,
        per_node,
        worth_milli: 1000,
        accelerator_memory_mib: Some(80_000),
        cpu_milli: None,
        memory_mib: None,
        has_queue: false,
        unseen_ms_max: 3_600_000,
    }
}

fn job(id: u64, count: u32) -> Job {
    Job {
        id: JobId(id),
        tenant: "hanbit".parse().unwrap(),
        project: None,
        programme: None,
        key: None,
        spec: JobSpec {
            name: format!("job {id}"),
            command: vec!["true".to_owned()],
            script: None,
            image: None,
            resources: JobResources {
                accelerator: Vec::new(),
                count,
                per_node: None,
                share_milli: 1000,
                accelerator_memory_mib_min: None,
                cpu_milli: 0,
                memory_mib: 0,
            },
            time_limit_ms: 3_600_000,
            data_class: madang_types::DataClass::Open,
            data_flags: madang_types::DataFlags::NONE,
            inputs: Vec::new(),
            outputs: Vec::new(),
            array: None,
            after: Vec::new(),
            checkpoint: None,
            priority: Priority::Standard,
            qos: None,
            flex: madang_types::JobFlex::default(),
            retries_max: 0,
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
        },
        state: JobState::Pending,
        held: false,
        cancelled_at: None,
        why: None,
        submitted_at: at(0),
        ended_at: None,
    }
}

fn arrival(job: Job) -> DeskInput {
    DeskInput::Came(Box::new(Arrival {
        job,
        runs: Vec::new(),
        over: BTreeMap::new(),
        allowed: ["a", "b"].map(|id| id.parse().unwrap()).into(),
        unfit: BTreeMap::new(),
        weights: [1, 1, 1],
    }))
}

fn end(outcome: RunOutcome, from: i64, until: i64) -> RunEnd {
    RunEnd {
        outcome,
        started_at: Some(at(from)),
        ended_at: at(until),
        energy: None,
    }
}

/// Says effects in short: `+1-1` begins a run, `-1-1` stops it, `=1-1` settles it, `1:completed` is how a job stands.
fn said(effects: &[DeskEffect]) -> String {
    let words = effects.iter().filter_map(|effect| match effect {
        DeskEffect::Begin(run) => Some(format!("+{}", run.run)),
        DeskEffect::Run(_) => None,
        DeskEffect::Stop(run, _) => Some(format!("-{}", run.run)),
        DeskEffect::Settle(run) => Some(format!("={}", run.run)),
        DeskEffect::Job(job) => Some(format!("{}:{}", job.id, job.state)),
    });
    words.collect::<Vec<_>>().join(" ")
}
