//! `madang job logs`: what a job prints, to its end where that is wanted.

use super::{LOOK, waits};
use crate::http_client::{Answer, ApiClient, ApiError, escape, path_with};
use crate::out;
use anyhow::Context;
use serde_json::json;
use std::process::ExitCode;

/// Exit code 0 once all of it is shown: as it is, or for programs an object for each part, a line each.
pub async fn run(
    client: &ApiClient,
    (task, run): (&str, Option<u32>),
    follow: bool,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let job = task.split('.').next().unwrap_or(task);
    let path = format!("/api/v1/jobs/{}", escape(job));
    // A run that is followed is the one that was met first: another one is another output.
    let mut run = run.map(|run| run.to_string());
    let (mut from, mut told) = (0_u64, String::new());
    loop {
        let at = from.to_string();
        let task = task.contains('.').then_some(task);
        let asked = [
            ("task", task),
            ("run", run.as_deref()),
            ("from", Some(&*at)),
        ];
        let answer = match client.get(&path_with(&format!("{path}/log"), &asked)).await {
            Ok(answer) => answer,
            Err(error) if follow && is_absent(&error) => {
                let shown = client.get(&path).await?.json()?;
                if !shown["ended_at"].is_null() {
                    return Err(error);
                }
                let line = waits(&shown).unwrap_or_default();
                if line != told {
                    out::note(&format!("job {job} {line}"));
                    told = line;
                }
                tokio::time::sleep(LOOK).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        let next = header(&answer, "x-madang-log-next")?;
        let next: u64 = next
            .parse()
            .context("the server's answer names no next byte")?;
        let met = header(&answer, "x-madang-run")?;
        if !json {
            out::result(&answer.text);
        } else if next > from {
            let part = json!({ "run": met, "next": next, "text": answer.text });
            out::line(&part.to_string());
        }
        run = met.rsplit_once('-').map(|(_, number)| number.to_owned());
        let is_end = header(&answer, "x-madang-log-end")? == "true";
        if is_end || (!follow && next == from) {
            return Ok(ExitCode::SUCCESS);
        }
        if next == from {
            tokio::time::sleep(LOOK).await;
        }
        from = next;
    }
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
