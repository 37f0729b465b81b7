//! Slurm by its own programs: sbatch, squeue, sacct, scancel.

use super::ask::Ask;
use super::job::{SlurmJob, SlurmState, word};
use super::script::line;
use super::shell::{Answer, Shell};
use super::transport::{Fault, Live, Transport};
use async_trait::async_trait;
use std::sync::Arc;

/// Times as seconds since 1970 from each of them.
const EPOCH: &str = "SLURM_TIME_FORMAT=%s";
/// What they say where the controller or the accounting is away. Where it is said of a connection, nothing was heard there.
const AWAY: [&str; 5] = [
    "Unable to contact slurm controller",
    "Connection refused",
    "Unable to connect",
    "Problem talking to the database",
    "Unable to establish connection",
];
/// What they say where nobody knows.
const UNKNOWN: [&str; 4] = ["timed out", "Timed out", "temporarily", "communication"];
/// Jobs that are shown one by one in one look.
const SHOWN_COUNT_MAX: usize = 32;
/// What they say where there is nothing to do.
const GONE: [&str; 2] = ["Invalid job id", "Job/step already completing or completed"];

/// A cluster by its programs.
pub(super) struct Cli {
    pub(super) shell: Arc<Shell>,
}

#[async_trait]
impl Transport for Cli {
    async fn submit(&self, ask: &Ask) -> Result<u32, Fault> {
        let answer = self
            .shell
            .run(&line(sbatch(ask)), ask.script.as_bytes())
            .await?;
        if answer.code != 0 {
            return Err(fault(&answer));
        }
        // "1042", or "1042;cluster".
        let text = answer.text();
        let id = text.trim().split(';').next().unwrap_or_default().parse();
        id.map_err(|_| Fault::Unknown(format!("sbatch answered {text:?}")))
    }

    async fn live(&self, ids: &[u32]) -> Result<Live, Fault> {
        // Of our user alone: the controller is not asked for everybody's.
        let squeue = format!("{EPOCH} squeue --me -h -o '%A|%j|%T|%V|%S|%N|%r'");
        let answer = self.shell.run(&squeue, b"").await?;
        if answer.code != 0 {
            return Err(fault(&answer));
        }
        let text = answer.text();
        let jobs = text.lines().filter_map(squeue_line);
        let mut live = Live {
            jobs: jobs.filter(|job| ids.contains(&job.id)).collect(),
            ..Live::default()
        };
        // Of those that are over the controller knows more than the accounting, and sooner.
        let over = ids
            .iter()
            .filter(|id| live.jobs.iter().all(|job| job.id != **id));
        let over = over.take(SHOWN_COUNT_MAX);
        let lines: Vec<String> = over
            .map(|id| format!("{EPOCH} scontrol -o show job {id}"))
            .collect();
        if lines.is_empty() {
            return Ok(live);
        }
        let answer = self.shell.run(&lines.join("; "), b"").await?;
        if AWAY
            .iter()
            .chain(&UNKNOWN)
            .any(|text| answer.complaint.contains(text))
        {
            return Err(fault(&answer));
        }
        let shown = answer.text();
        live.jobs.extend(shown.lines().filter_map(scontrol_line));
        Ok(live)
    }

    async fn accounted(&self, name: &str, since_s: u64) -> Result<Vec<SlurmJob>, Fault> {
        let since = format!("uts{since_s}");
        let fields = "JobIDRaw,JobName,State,Submit,Start,End,NodeList,ExitCode,Reason";
        let words = [
            "sacct", "-X", "-n", "-P", "-D", "--name", name, "-S", &since, "-o", fields,
        ];
        let answer = self
            .shell
            .run(&format!("{EPOCH} {}", line(words)), b"")
            .await?;
        if answer.code != 0 || !answer.complaint.is_empty() {
            return Err(fault(&answer));
        }
        Ok(answer.text().lines().filter_map(sacct_line).collect())
    }

    async fn signal(&self, id: u32, signal: &str) -> Result<(), Fault> {
        let signal = format!("--signal={signal}");
        self.scancel(&["scancel", "--batch", &signal, &id.to_string()])
            .await
    }

    async fn cancel(&self, id: u32) -> Result<(), Fault> {
        self.scancel(&["scancel", &id.to_string()]).await
    }
}

impl Cli {
    async fn scancel(&self, words: &[&str]) -> Result<(), Fault> {
        let answer = self.shell.run(&line(words), b"").await?;
        let gone = GONE.iter().any(|text| answer.complaint.contains(text));
        if answer.code == 0 || gone {
            return Ok(());
        }
        Err(fault(&answer))
    }
}

/// When the controller would begin it, in seconds since 1970, as far as it knows; nothing is submitted.
pub(super) async fn foretell(shell: &Shell, ask: &Ask) -> Result<Option<u64>, Fault> {
    let mut words = sbatch(ask);
    words.push("--test-only".to_owned());
    let asked = shell
        .run(&format!("{EPOCH} {}", line(words)), b"#!/bin/sh\n")
        .await?;
    if asked.code != 0 {
        return Err(fault(&asked));
    }
    Ok(foretold(&asked.complaint))
}

/// `sbatch: Job 7 to start at 1795804814 using 8 processors on nodes n1 in partition batch`
fn foretold(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once(" to start at ")?;
    rest.split(' ').next()?.parse().ok()
}

fn sbatch(ask: &Ask) -> Vec<String> {
    let mut words: Vec<String> = ["sbatch", "--parsable", "--no-requeue", "--export=NIL"]
        .map(str::to_owned)
        .to_vec();
    let mut say = |name: &str, value: &str| words.push(format!("--{name}={value}"));
    say("job-name", &ask.name);
    say("comment", &ask.comment);
    say("account", &ask.account);
    say("ntasks", &ask.tasks.to_string());
    say("cpus-per-task", &ask.cpus.to_string());
    say("time", &ask.minutes.to_string());
    say("nice", &ask.nice.to_string());
    say("output", &ask.log);
    say("open-mode", "append");
    say("chdir", &ask.folder);
    let shape = ask.is_one_per_node().then(|| "1".to_owned());
    let optional = [
        ("qos", ask.qos.clone()),
        ("partition", ask.partition.clone()),
        ("reservation", ask.reservation.clone()),
        ("gres", ask.gres_per_node()),
        ("gpus-per-task", ask.gpus_per_task()),
        ("ntasks-per-node", shape),
        ("nodes", (ask.tasks == 1).then(|| "1".to_owned())),
        (
            "mem",
            ask.memory_mib_per_node().map(|mib| format!("{mib}M")),
        ),
        (
            "mem-per-cpu",
            ask.memory_mib_per_cpu().map(|mib| format!("{mib}M")),
        ),
        (
            "signal",
            ask.warn_s.map(|s| format!("B:{}@{s}", word::LIMIT)),
        ),
        ("licenses", ask.licences.clone()),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            say(name, &value);
        }
    }
    words
}

/// `1042|madang-7-1|PENDING|1795748873|1795749173||Resources`; a time that is not known is a word.
fn squeue_line(text: &str) -> Option<SlurmJob> {
    let mut fields = text.splitn(7, '|');
    let mut next = || fields.next();
    let (id, name, state) = (next()?.parse().ok()?, next()?, next()?);
    let (submitted_s, started_s, nodes) = (next()?.parse().ok()?, next()?.parse().ok(), next()?);
    Some(SlurmJob {
        id,
        name: name.to_owned(),
        state: SlurmState::read([state])?,
        reason: next().unwrap_or_default().to_owned(),
        submitted_s,
        started_s,
        ended_s: None,
        had_nodes: !nodes.is_empty(),
        exit: (0, 0),
    })
}

/// `JobId=1042 JobName=madang-7-1 …`
fn scontrol_line(text: &str) -> Option<SlurmJob> {
    let field = |name: &str| {
        let mut words = text.split(' ');
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    };
    let nodes = field("NodeList").unwrap_or_default();
    let (code, signal) = field("ExitCode")?.split_once(':')?;
    Some(SlurmJob {
        id: field("JobId")?.parse().ok()?,
        name: field("JobName")?.to_owned(),
        state: SlurmState::read([field("JobState")?])?,
        reason: field("Reason").unwrap_or_default().to_owned(),
        submitted_s: field("SubmitTime")?.parse().ok()?,
        started_s: field("StartTime")?.parse().ok(),
        ended_s: field("EndTime")?.parse().ok(),
        had_nodes: !nodes.is_empty() && nodes != "(null)",
        exit: (code.parse().ok()?, signal.parse().ok()?),
    })
}

/// `1042|madang-7-1|CANCELLED by 0|1795748873|1795748873|1795748877|n[1,3]|0:0|None`
fn sacct_line(text: &str) -> Option<SlurmJob> {
    let mut fields = text.splitn(9, '|');
    let mut next = || fields.next();
    let (id, name, state) = (next()?.parse().ok()?, next()?, next()?);
    let submitted_s = next()?.parse().ok()?;
    let (started_s, ended_s) = (next()?.parse().ok(), next()?.parse().ok());
    let nodes = next()?;
    let (code, signal) = next()?.split_once(':')?;
    Some(SlurmJob {
        id,
        name: name.to_owned(),
        state: SlurmState::read([state])?,
        reason: next().unwrap_or_default().to_owned(),
        submitted_s,
        started_s,
        ended_s,
        had_nodes: !nodes.is_empty() && nodes != "None assigned",
        exit: (code.parse().ok()?, signal.parse().ok()?),
    })
}

/// Why a program did not do it.
pub(super) fn fault(answer: &Answer) -> Fault {
    let said = |words: &[&str]| words.iter().any(|text| answer.complaint.contains(text));
    let told = answer.complaint.lines().last().unwrap_or_default();
    // Of what is only asked for they say it in other words.
    const REFUSED: [&str; 2] = ["error: ", "allocation failure: "];
    let told = REFUSED.iter().fold(told, |told, words| {
        told.rsplit(words).next().unwrap_or(told)
    });
    let told = told.to_owned();
    if said(&AWAY) {
        Fault::NotSent(told)
    } else if said(&UNKNOWN) {
        Fault::Unknown(told)
    } else if said(&REFUSED) {
        Fault::Refused(told)
    } else {
        // No such program, for one.
        Fault::NotSent(answer.told())
    }
}

#[cfg(test)]
mod tests;
