//! `madang job logs`: what a job prints, to its end where that is wanted.

use super::news::News;
use super::{LOOK, cell, rows, task_of};
use crate::http_client::{Answer, ApiClient, ApiError, escape, path_with};
use crate::out;
use anyhow::Context;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Exit code 0 once all of it is shown: as it is, or for programs an object for each part, a line each.
pub async fn run(
    client: &ApiClient,
    (task, run): (&str, Option<u32>),
    follow: bool,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let (job, task) = task_of(task);
    let mut output = Output {
        client,
        job,
        path: format!("/api/v1/jobs/{}", escape(job)),
        task,
        // One that is named is all that is wanted.
        through: follow && run.is_none(),
        run: run.map(|run| run.to_string()),
        from: 0,
        json,
        news: News::default(),
    };
    loop {
        match output.part(follow).await? {
            Part::More => {}
            Part::Later if follow => tokio::time::sleep(LOOK).await,
            Part::End if output.through && output.goes_on().await? => {
                tokio::time::sleep(LOOK).await;
            }
            Part::Later | Part::End => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// What of an output was read.
enum Part {
    /// Something, and perhaps there is more.
    More,
    /// Nothing yet.
    Later,
    /// Nothing more of this run.
    End,
}

struct Output<'a> {
    client: &'a ApiClient,
    job: &'a str,
    path: String,
    task: Option<&'a str>,
    /// All of its runs, one after the other.
    through: bool,
    /// The number of the one that is read: another one is another output.
    run: Option<String>,
    from: u64,
    json: bool,
    news: News,
}

impl Output<'_> {
    /// Shows the next part.
    async fn part(&mut self, follow: bool) -> anyhow::Result<Part> {
        let at = self.from.to_string();
        let asked = [
            ("task", self.task),
            ("run", self.run.as_deref()),
            ("from", Some(&*at)),
        ];
        let path = path_with(&format!("{}/log", self.path), &asked);
        let answer = match self.client.get(&path).await {
            Ok(answer) => answer,
            Err(error) if follow && is_absent(&error) => {
                let shown = self.client.get(&self.path).await?.json()?;
                if !shown["ended_at"].is_null() {
                    return Err(error);
                }
                self.news.tell(self.job, &shown);
                return Ok(Part::Later);
            }
            Err(error) => return Err(error),
        };
        let next = header(&answer, "x-madang-log-next")?;
        let next: u64 = next
            .parse()
            .context("the server's answer names no next byte")?;
        let met = header(&answer, "x-madang-run")?;
        let is_new = next > self.from;
        if !self.json {
            out::result(&answer.text);
        } else if is_new {
            let part = json!({ "run": met, "next": next, "text": answer.text });
            out::line(&part.to_string());
        }
        self.run = met.rsplit_once('-').map(|(_, number)| number.to_owned());
        self.from = next;
        let is_end = header(&answer, "x-madang-log-end")? == "true";
        Ok(match (is_end, is_new) {
            (true, _) => Part::End,
            (false, true) => Part::More,
            (false, false) => Part::Later,
        })
    }

    /// Whether another run of the task follows the one that is over: that one is read from then on, once it is there.
    async fn goes_on(&mut self) -> anyhow::Result<bool> {
        let job = self.client.get(&self.path).await?.json()?;
        let number: u32 = self.run.as_deref().unwrap_or_default().parse()?;
        let of = match (self.task, job["spec"]["array"].is_null()) {
            (Some(task), _) => task.to_owned(),
            (None, true) => self.job.to_owned(),
            (None, false) => format!("{}.0", self.job),
        };
        let before = format!("{of}-{}", number.saturating_sub(1));
        let asked = [("after", Some(&*before)), ("limit", Some("2"))];
        let runs = path_with(&format!("{}/runs", self.path), &asked);
        let runs = self.client.get(&runs).await?.json()?;
        let mut own = rows(&runs).iter().filter(|run| cell(run, "task") == of);
        let over = own.next();
        if let Some(next) = own.next() {
            let next = cell(next, "id");
            out::note(&format!("job {} goes on as {next}", self.job));
            self.run = next.rsplit_once('-').map(|(_, number)| number.to_owned());
            self.from = 0;
            return Ok(true);
        }
        if !job["ended_at"].is_null() || over.is_none_or(|run| is_last(&job, run)) {
            return Ok(false);
        }
        self.news.tell(self.job, &job);
        Ok(true)
    }
}

/// Whether a run that is over is certainly its task's last one, though other tasks of its job go on.
fn is_last(job: &Value, run: &Value) -> bool {
    let was_stopped = !run["stopped_for"].is_null();
    let ended_well = run["outcome"] == "completed";
    !job["spec"]["array"].is_null() && ended_well && !was_stopped
}

fn header<'a>(answer: &'a Answer, name: &str) -> anyhow::Result<&'a str> {
    let value = answer
        .headers
        .get(name)
        .and_then(|value| value.to_str().ok());
    value.with_context(|| format!("the server's answer has no {name}: is it a Madang?"))
}

/// Nothing of it has begun.
fn is_absent(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<ApiError>()
        .is_some_and(|error| error.status == 404)
}
