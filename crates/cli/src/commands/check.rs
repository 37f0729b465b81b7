//! `madang check FILE`: every problem of a fleet file.

use crate::args::CheckArgs;
use crate::commands::load_failure;
use crate::{diagnose, out};
use madang_fleet::{LoadError, Problem};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Exit code 0 where the file can be used (warnings or not), 1 where it cannot.
pub fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    // What is wrong may be wrong in the policy file that the fleet file names.
    let (path, source, problems, usable) = match madang_fleet::load(&args.file) {
        Ok(loaded) => (args.file.clone(), loaded.source, loaded.warnings, true),
        Err(LoadError::Invalid {
            path,
            source_text,
            problems,
        }) => (path, source_text, problems, false),
        Err(other) => return Err(load_failure(other)),
    };
    if args.json {
        let rows: Vec<Value> = problems
            .iter()
            .map(|problem| problem_json(&source, problem))
            .collect();
        out::line(&json!({ "usable": usable, "problems": rows }).to_string());
    } else if problems.is_empty() {
        out::line(&format!("{}: no problem", args.file.display()));
    } else {
        out::result(&diagnose::render(&path, &source, &problems, out::color()));
    }
    Ok(if usable {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

fn problem_json(source: &str, problem: &Problem) -> Value {
    let (line, column) = problem.line_column(source);
    let severity = problem.severity.as_str();
    json!({
        "code": problem.code, "severity": severity, "line": line, "column": column,
        "message": problem.message, "remedy": problem.remedy,
    })
}
