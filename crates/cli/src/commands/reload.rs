//! `madang reload`: has the running server load its fleet file again.

use super::server::{cell, printable};
use crate::args::ServerArgs;
use crate::http_client::{Answer, ApiClient, ApiError};
use crate::out;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Exit code 0 where the new fleet serves; 1 where the file has problems and the last good one goes on.
pub async fn run(args: ServerArgs) -> anyhow::Result<ExitCode> {
    let answer = ApiClient::new(&args)?
        .post("/api/v1/reload", &json!({}))
        .await;
    match answer {
        Ok(answer) => loaded(&answer, args.json),
        Err(error) => match error.downcast_ref::<ApiError>() {
            Some(refused) if refused.error["problems"].is_array() => Ok(kept(refused, args.json)),
            _ => Err(error),
        },
    }
}

fn loaded(answer: &Answer, json: bool) -> anyhow::Result<ExitCode> {
    let value = answer.json()?;
    if json {
        out::line(answer.text.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    for line in problem_lines(&value["warnings"]) {
        out::note(&line);
    }
    let (generation, started, leaving) =
        (&value["generation"], &value["started"], &value["leaving"]);
    out::line(&format!(
        "loaded (load {generation}): {started} start, {leaving} leave"
    ));
    Ok(ExitCode::SUCCESS)
}

fn kept(refused: &ApiError, json: bool) -> ExitCode {
    if json {
        out::line(&json!({ "error": refused.error }).to_string());
        return ExitCode::from(1);
    }
    for line in problem_lines(&refused.error["problems"]) {
        out::note(&line);
    }
    out::note(&format!(
        "error: {}",
        printable(&cell(&refused.error, "message"))
    ));
    out::note("the last good fleet goes on serving");
    ExitCode::from(1)
}

/// Each problem as `FILE:LINE:COLUMN: severity: what` and, under it, what mends it.
fn problem_lines(problems: &Value) -> Vec<String> {
    let problems = problems.as_array().map_or(&[][..], Vec::as_slice);
    problems.iter().map(problem_line).collect()
}

fn problem_line(problem: &Value) -> String {
    let field = |name: &str| printable(&cell(problem, name));
    let place = format!("{}:{}:{}", field("file"), field("line"), field("column"));
    let said = format!(
        "{place}: {}: {} ({})",
        field("severity"),
        field("message"),
        field("code")
    );
    match &problem["remedy"] {
        Value::String(remedy) => format!("{said}\n  help: {}", printable(remedy)),
        _ => said,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_name_their_place_and_remedy() {
        let problems = json!([
            {"file": "fleet.toml", "line": 3, "column": 1, "severity": "error", "code": "unknown_key", "message": "no key 'weigth'", "remedy": "did you mean 'weight'?"},
            {"file": "policy.toml", "line": 9, "column": 4, "severity": "warning", "code": "kv_too_small", "message": "small", "remedy": null},
        ]);
        assert_eq!(
            problem_lines(&problems),
            [
                "fleet.toml:3:1: error: no key 'weigth' (unknown_key)\n  help: did you mean 'weight'?",
                "policy.toml:9:4: warning: small (kv_too_small)",
            ]
        );
    }
}
