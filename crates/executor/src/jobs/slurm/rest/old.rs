//! The old shape: v0.0.37 and v0.0.38.

use super::{Shape, number, text, time};
use crate::jobs::slurm::ask::Ask;
use crate::jobs::slurm::job::{SlurmJob, SlurmState};
use serde_json::{Map, Value, json};

pub(super) struct Old;

impl Shape for Old {
    fn submission(&self, ask: &Ask) -> Value {
        let mut job = Map::new();
        let mut say = |name: &str, value: Value| job.insert(name.to_owned(), value);
        say("name", json!(ask.name));
        say("comment", json!(ask.comment));
        say("account", json!(ask.account));
        say("tasks", json!(ask.tasks));
        say("cpus_per_task", json!(ask.cpus));
        say("time_limit", json!(ask.minutes));
        say("nice", json!(ask.nice));
        say("standard_output", json!(ask.log));
        say("open_mode", json!("append"));
        say("current_working_directory", json!(ask.folder));
        // `requeue` is read as true whatever stands there. A `signal` for the batch script alone is refused; the script keeps time itself.
        say("no_requeue", json!(true));
        say("environment", json!({ "PATH": super::PATH }));
        let optional = [
            ("qos", ask.qos.clone().map(Value::from)),
            ("partition", ask.partition.clone().map(Value::from)),
            ("reservation", ask.reservation.clone().map(Value::from)),
            ("gres", ask.gres_per_node().map(Value::from)),
            ("gpus_per_task", ask.gpus_per_task().map(Value::from)),
            ("tasks_per_node", ask.is_one_per_node().then(|| json!(1))),
            ("nodes", (ask.tasks == 1).then(|| json!([1, 1]))),
            (
                "memory_per_node",
                ask.memory_mib_per_node().map(Value::from),
            ),
            ("memory_per_cpu", ask.memory_mib_per_cpu().map(Value::from)),
            ("licenses", ask.licences.clone().map(Value::from)),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                say(name, value);
            }
        }
        json!({ "script": ask.script, "job": job })
    }

    fn live(&self, job: &Value) -> Option<SlurmJob> {
        // As `wait` gives it.
        let status = number(job.get("exit_code")).unwrap_or(0);
        let byte = |value: u64| u8::try_from(value & 0xff).unwrap_or(0);
        Some(SlurmJob {
            id: u32::try_from(number(job.get("job_id"))?).ok()?,
            name: text(job, "name").to_owned(),
            state: SlurmState::read([text(job, "job_state")])?,
            reason: text(job, "state_reason").to_owned(),
            submitted_s: number(job.get("submit_time"))?,
            started_s: time(job.get("start_time")),
            ended_s: time(job.get("end_time")),
            had_nodes: !text(job, "nodes").is_empty(),
            exit: (byte(status >> 8), byte(status & 0x7f)),
        })
    }

    fn accounted(&self, job: &Value) -> Option<SlurmJob> {
        let (state, times) = (job.get("state")?, job.get("time")?);
        let nodes = text(job, "nodes");
        // Of 22.05 the exit code is 0 here, whatever it was.
        let exit = job.get("exit_code")?;
        let code = number(exit.get("return_code")).and_then(|code| u8::try_from(code).ok());
        let signal = exit
            .get("signal")
            .and_then(|signal| number(signal.get("signal_id")));
        let signal = signal.and_then(|signal| u8::try_from(signal).ok());
        Some(SlurmJob {
            id: u32::try_from(number(job.get("job_id"))?).ok()?,
            name: text(job, "name").to_owned(),
            state: SlurmState::read([text(state, "current")])?,
            reason: text(state, "reason").to_owned(),
            submitted_s: number(times.get("submission"))?,
            started_s: time(times.get("start")),
            ended_s: time(times.get("end")),
            had_nodes: !nodes.is_empty() && nodes != "None assigned",
            exit: (code.unwrap_or(0), signal.unwrap_or(0)),
        })
    }

    fn signal(&self, signal: &str) -> String {
        format!("?signal={signal}")
    }

    fn by_name(&self, name: &str, since_s: u64) -> String {
        format!("jobs?job_name={name}&start_time=uts{since_s}&skip_steps=true")
    }
}
