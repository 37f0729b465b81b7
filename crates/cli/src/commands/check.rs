//! `madang check FILE`: every problem of a fleet file.

use crate::args::CheckArgs;
use crate::commands::{load_failure, policy};
use crate::{diagnose, out};
use madang_fleet::{FileProblems, LoadError, Problem};
use madang_gateway::policy::compile;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Exit code 0 where the file can be used (warnings or not), 1 where it cannot.
pub fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let (files, usable) = match madang_fleet::load(&args.file) {
        Ok(loaded) => match compile(&loaded.fleet) {
            Ok(_) => (loaded.warnings, true),
            Err(error) => {
                let refused = policy::refused(&loaded.policy, &error);
                ([loaded.warnings, vec![refused]].concat(), false)
            }
        },
        Err(LoadError::Invalid(file)) => (vec![file], false),
        Err(other) => return Err(load_failure(other)),
    };
    if args.json {
        let rows: Vec<Value> = files.iter().flat_map(problems_json).collect();
        out::line(&json!({ "usable": usable, "problems": rows }).to_string());
    } else if files.is_empty() {
        out::line(&format!("{}: no problem", args.file.display()));
    } else {
        for file in &files {
            out::result(&diagnose::render(file, out::color()));
        }
    }
    Ok(if usable {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

fn problems_json(file: &FileProblems) -> impl Iterator<Item = Value> {
    let row = |problem: &Problem| {
        let (line, column) = problem.line_column(&file.source);
        let severity = problem.severity.as_str();
        json!({
            "file": file.path.display().to_string(), "code": problem.code, "severity": severity,
            "line": line, "column": column, "message": problem.message, "remedy": problem.remedy,
        })
    };
    file.problems.iter().map(row)
}
