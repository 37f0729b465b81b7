//! The new shape: v0.0.41 and later, as published with Slurm's own client (SlinkyProject/slurm-client, `api/v0042/slurm-openapi.gen.json`
//! to `v0045`) and in Slurm's `src/plugins/data_parser/v0.0.41`.

use super::{Shape, number, text, time};
use crate::jobs::slurm::ask::Ask;
use crate::jobs::slurm::job::{SlurmJob, SlurmState, word};
use serde_json::{Map, Value, json};

pub(super) struct New;

impl Shape for New {
    fn submission(&self, ask: &Ask) -> Value {
        let mut job = Map::new();
        let mut say = |name: &str, value: Value| job.insert(name.to_owned(), value);
        say("script", json!(ask.script));
        say("name", json!(ask.name));
        say("comment", json!(ask.comment));
        say("account", json!(ask.account));
        say("tasks", json!(ask.tasks));
        say("cpus_per_task", json!(ask.cpus));
        say("time_limit", some(ask.minutes));
        say("nice", json!(ask.nice));
        say("standard_output", json!(ask.log));
        say("open_mode", json!(["APPEND"]));
        say("current_working_directory", json!(ask.folder));
        say("requeue", json!(false));
        say("environment", json!([format!("PATH={}", super::PATH)]));
        if let Some(warn_s) = ask.warn_s {
            say("kill_warning_signal", json!(word::LIMIT));
            say("kill_warning_delay", some(warn_s));
            say("kill_warning_flags", json!(["BATCH_JOB"]));
        }
        let tres = |gres: String| json!(format!("gres/{gres}"));
        let optional = [
            ("qos", ask.qos.clone().map(Value::from)),
            ("partition", ask.partition.clone().map(Value::from)),
            ("reservation", ask.reservation.clone().map(Value::from)),
            ("tres_per_node", ask.gres_per_node().map(tres)),
            (
                "tres_per_task",
                ask.gpus_per_task().map(|gpus| tres(format!("gpu:{gpus}"))),
            ),
            ("tasks_per_node", ask.is_one_per_node().then(|| json!(1))),
            ("nodes", (ask.tasks == 1).then(|| json!("1"))),
            ("memory_per_node", ask.memory_mib_per_node().map(some)),
            ("memory_per_cpu", ask.memory_mib_per_cpu().map(some)),
            ("licenses", ask.licences.clone().map(Value::from)),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                say(name, value);
            }
        }
        json!({ "job": job })
    }

    fn live(&self, job: &Value) -> Option<SlurmJob> {
        Some(SlurmJob {
            id: u32::try_from(number(job.get("job_id"))?).ok()?,
            name: text(job, "name").to_owned(),
            state: state(job.get("job_state")?)?,
            reason: text(job, "state_reason").to_owned(),
            submitted_s: number(job.get("submit_time"))?,
            started_s: time(job.get("start_time")),
            ended_s: time(job.get("end_time")),
            had_nodes: !text(job, "nodes").is_empty(),
            exit: exit(job.get("exit_code")),
        })
    }

    fn accounted(&self, job: &Value) -> Option<SlurmJob> {
        let (told, times) = (job.get("state")?, job.get("time")?);
        let nodes = text(job, "nodes");
        Some(SlurmJob {
            id: u32::try_from(number(job.get("job_id"))?).ok()?,
            name: text(job, "name").to_owned(),
            state: state(told.get("current")?)?,
            reason: text(told, "reason").to_owned(),
            submitted_s: number(times.get("submission"))?,
            started_s: time(times.get("start")),
            ended_s: time(times.get("end")),
            had_nodes: !nodes.is_empty() && nodes != "None assigned",
            exit: exit(job.get("exit_code")),
        })
    }

    fn signal(&self, signal: &str) -> String {
        format!("?signal={signal}&flags=BATCH_JOB")
    }

    fn by_name(&self, name: &str, since_s: u64) -> String {
        // v0.0.41 takes no bare number.
        format!("jobs/?job_name={name}&start_time=uts{since_s}&skip_steps=true")
    }
}

fn some(number: u64) -> Value {
    json!({ "set": true, "infinite": false, "number": number })
}

fn state(words: &Value) -> Option<SlurmState> {
    SlurmState::read(words.as_array()?.iter().filter_map(Value::as_str))
}

fn exit(code: Option<&Value>) -> (u8, u8) {
    let byte = |value: Option<u64>| {
        value
            .and_then(|value| u8::try_from(value).ok())
            .unwrap_or(0)
    };
    let signal = code.and_then(|code| code.get("signal")?.get("id"));
    (
        byte(number(code.and_then(|code| code.get("return_code")))),
        byte(number(signal)),
    )
}
