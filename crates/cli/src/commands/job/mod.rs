//! `madang job`: batch jobs.

mod candidates;
mod file;
mod logs;
mod mark;
mod news;
mod units;

pub use units::span_ms;

use super::server::{Table, cell, instant_cell, print, rows};
use crate::args::ServerArgs;
use crate::http_client::{ApiClient, escape, path_with, sign_in_file};
use crate::job_args::{JobArgs, JobCommand};
use crate::out;
use anyhow::{Context, anyhow};
use madang_ledger::decimal_text;
use news::News;
use serde_json::{Value, json};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// Time between two looks at a job that is waited for.
const LOOK: Duration = Duration::from_millis(500);

/// Exit code 0 where the server did it; of a job that was waited for, where it ended well.
pub async fn run(command: JobCommand) -> anyhow::Result<ExitCode> {
    match command {
        JobCommand::Submit { file, wait, server } => {
            let spec = file::read(&file)?;
            let client = client(&server)?;
            let body = serde_json::to_value(spec).context("a job has no JSON")?;
            let answer = client.post("/api/v1/jobs", &body).await?;
            let id = cell(&answer.json()?, "id");
            let submitted = print(&answer, server.json && !wait, |job| {
                format!("submitted job {}\n", cell(job, "id"))
            })?;
            if wait {
                return until_over(&client, &id, server.json).await;
            }
            Ok(submitted)
        }
        JobCommand::List {
            state,
            tenant,
            project,
            before,
            limit,
            server,
        } => {
            let limit = limit.to_string();
            let asked = [
                ("state", state.as_deref()),
                ("tenant", tenant.as_deref()),
                ("project", project.as_deref()),
                ("before", before.as_deref()),
                ("limit", Some(&*limit)),
            ];
            let path = path_with("/api/v1/jobs", &asked);
            let answer = client(&server)?.get(&path).await?;
            print(&answer, server.json, |list| table(rows(list)))
        }
        JobCommand::Show { job, after, limit } => show(job, after.as_deref(), limit).await,
        JobCommand::Logs {
            task,
            run,
            follow,
            server,
        } => logs::run(&client(&server)?, (&task, run), follow, server.json).await,
        JobCommand::Cancel(args) => act(args, "cancel", "is withdrawn").await,
        JobCommand::Hold(args) => act(args, "hold", "is held back").await,
        JobCommand::Release(args) => act(args, "release", "goes on").await,
        JobCommand::Requeue(args) => act(args, "requeue", "begins anew").await,
        JobCommand::Shell { task, server } => shell(&task, &server).await,
    }
}

/// The job of a task, and the task where one of an array is named.
fn task_of(text: &str) -> (&str, Option<&str>) {
    let array = text.split_once('.');
    array.map_or((text, None), |(job, _)| (job, Some(text)))
}

/// The key of a job's owner: the one named, that of a sign-in, the first tenant's, or the operator's.
pub(super) fn client(server: &ServerArgs) -> anyhow::Result<ApiClient> {
    let tenant = server.data.join("tenant.key");
    if server.key_file.is_none() && !sign_in_file(server).exists() && tenant.exists() {
        return ApiClient::with_key(server, tenant);
    }
    ApiClient::new(server)
}

async fn act(args: JobArgs, what: &str, done: &str) -> anyhow::Result<ExitCode> {
    let path = format!("/api/v1/jobs/{}/{what}", escape(&args.job));
    let answer = client(&args.server)?.post(&path, &json!({})).await?;
    print(&answer, args.server.json, |job| {
        format!("job {} {done}\n", cell(job, "id"))
    })
}

fn table(rows: &[Value]) -> String {
    let mut table = Table::new(
        &[
            "job",
            "name",
            "tenant",
            "state",
            "tasks",
            "submitted",
            "ended",
        ],
        &[0],
    );
    for row in rows {
        table.row(vec![
            cell(row, "id"),
            cell(row, "name"),
            cell(row, "tenant"),
            cell(row, "state"),
            tasks(row),
            instant_cell(row, "submitted_at"),
            instant_cell(row, "ended_at"),
        ]);
    }
    let warnings = rows.iter().filter_map(|row| {
        let line = warning(row)?;
        Some(format!("job {} {line}\n", cell(row, "id")))
    });
    table.text() + &warnings.collect::<String>()
}

/// How many tasks there are; of an array that is not over also `8: 3 run, 2 wait, 3 done, 0 failed`.
fn tasks(job: &Value) -> String {
    let all = job["spec"]["array"]["tasks"].as_u64().unwrap_or(1);
    let count = |name: &str| job["tasks"][name].as_u64().unwrap_or(0);
    if job["tasks"].is_null() || all == 1 {
        return all.to_string();
    }
    let (completed, failed) = (count("completed"), count("failed"));
    format!(
        "{all}: {} run, {} wait, {completed} done, {failed} failed",
        count("running"),
        count("pending")
    )
}

async fn show(args: JobArgs, after: Option<&str>, limit: u32) -> anyhow::Result<ExitCode> {
    let client = client(&args.server)?;
    let path = format!("/api/v1/jobs/{}", escape(&args.job));
    let answer = client.get(&path).await?;
    let count = limit.to_string();
    let asked = [("after", after), ("limit", Some(&*count))];
    let runs = path_with(&format!("{path}/runs"), &asked);
    let runs = client.get(&runs).await?.json()?;
    let mut job = answer.json()?;
    if args.server.json {
        job["runs"] = runs["data"].clone();
        out::line(&job.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    let runs = rows(&runs);
    let last = runs
        .last()
        .filter(|_| u32::try_from(runs.len()) == Ok(limit));
    let more = last.map_or_else(String::new, |last| {
        let last = cell(last, "id");
        format!("the next: madang job show {} --after {last}\n", args.job)
    });
    out::result(&(shown(&job, runs) + &more));
    Ok(ExitCode::SUCCESS)
}

fn shown(job: &Value, runs: &[Value]) -> String {
    let mut text = format!(
        "job {} '{}' of {}: {}\n",
        cell(job, "id"),
        cell(job, "name"),
        cell(job, "tenant"),
        cell(job, "state")
    );
    for line in [warning(job), waits(job)].into_iter().flatten() {
        text.push_str(&format!("  {line}\n"));
    }
    if !job["why"].is_null() {
        text.push_str(&format!("  {}\n", cell(job, "why")));
    }
    let mut table = Table::new(
        &[
            "run",
            "machines",
            "state",
            "started",
            "ended",
            "outcome",
            "exit",
            "accelerator-s",
            "joules",
            "won",
        ],
        &[6, 7, 8, 9],
    );
    for run in runs {
        let seconds = run["accelerator_ms"]
            .as_f64()
            .map_or("-".to_owned(), |ms| format!("{:.1}", ms / 1e3));
        let joules = run["milli_joules"]
            .as_f64()
            .map_or("-".to_owned(), |mj| format!("{:.0}", mj / 1e3));
        let won = run["micro_won"].as_i64();
        let won = won.map_or("-".to_owned(), decimal_text);
        table.row(vec![
            cell(run, "id"),
            cell(run, "nodes"),
            state(run),
            instant_cell(run, "started_at"),
            instant_cell(run, "ended_at"),
            cell(run, "outcome"),
            cell(run, "exit_code"),
            seconds,
            joules,
            won,
        ]);
    }
    if !runs.is_empty() {
        text.push_str(&table.text());
    }
    let chosen = runs.last().map(|run| (cell(run, "id"), &run["candidates"]));
    let waits = (cell(job, "id"), &job["waits"]["candidates"]);
    for (of, offered) in [waits].into_iter().chain(chosen) {
        text.push_str(&candidates::text(&of, offered));
    }
    text.push_str(&candidates::closed(&job["closed"]));
    text
}

/// How a run stands, and since when nobody can be asked.
fn state(run: &Value) -> String {
    let state = cell(run, "state");
    match run["unseen_since"].as_str() {
        Some(_) if run["ended_at"].is_null() => {
            format!(
                "{state}, unseen since {}",
                instant_cell(run, "unseen_since")
            )
        }
        _ => state,
    }
}

/// What the owner of a job is to know though it runs.
fn warning(job: &Value) -> Option<String> {
    Some(format!("warning: {}", job["warning"].as_str()?))
}

/// Why a job waits, and when it is expected to start.
fn waits(job: &Value) -> Option<String> {
    let waits = &job["waits"];
    let why = waits["why"].as_str()?;
    let when = match waits["starts_at"].as_str() {
        Some(_) => format!(
            "; expected to start at {}",
            instant_cell(waits, "starts_at")
        ),
        None => String::new(),
    };
    Some(format!("waits: {why}{when}"))
}

/// Looks at a job until it is over, and says each time that something else is to be said.
async fn until_over(client: &ApiClient, id: &str, json: bool) -> anyhow::Result<ExitCode> {
    let path = format!("/api/v1/jobs/{}", escape(id));
    let mut news = News::default();
    loop {
        let answer = client.get(&path).await?;
        let job = answer.json()?;
        if !job["ended_at"].is_null() {
            let done = print(&answer, json, |job| {
                let why = job["why"]
                    .as_str()
                    .map_or(String::new(), |why| format!(": {why}"));
                format!("job {} is {}{why}\n", cell(job, "id"), cell(job, "state"))
            })?;
            let well = job["state"] == "completed";
            return Ok(if well { done } else { ExitCode::FAILURE });
        }
        news.tell(id, &job);
        tokio::time::sleep(LOOK).await;
    }
}

async fn shell(task: &str, server: &ServerArgs) -> anyhow::Result<ExitCode> {
    let (job, task) = task_of(task);
    let path = format!("/api/v1/jobs/{}/shell", escape(job));
    let path = path_with(&path, &[("task", task)]);
    let answer = client(server)?.get(&path).await?.json()?;
    if server.json {
        out::line(&answer.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    let words = answer["command"].as_array();
    let words = words.context("the server's answer names no command")?;
    let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
    let (program, rest) = words
        .split_first()
        .context("the server's answer names no command")?;
    let error = Command::new(program).args(rest).exec();
    Err(anyhow!(error).context(format!(
        "cannot start {program}: is this the server's own machine?"
    )))
}
