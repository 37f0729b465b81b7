//! Scenarios end to end: what is wrong is said, and a run is the same on one thread and on many.

use super::{BUILTIN, Files, Progress, parse, run};

/// What is wrong with a text, one line for each problem.
fn problems(text: &str) -> String {
    let problems = match parse(text, &Files::Builtin) {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems,
    };
    let line = |problem: &madang_fleet::Problem| {
        let (line, column) = problem.line_column(text);
        format!("{line}:{column} {} {}\n", problem.code, problem.message)
    };
    problems.iter().map(line).collect()
}

#[test]
fn built_in_scenarios_have_no_problems() {
    for (name, text) in BUILTIN {
        assert_eq!(problems(text), "", "{name}");
    }
}

#[test]
fn a_run_is_the_same_on_one_thread_and_on_many() {
    let (_, text) = BUILTIN
        .iter()
        .find(|(name, _)| *name == "university")
        .unwrap();
    let text = text.replace("hours = 24\n", "hours = 2\ncells = 2\n");
    let (scenario, _) = parse(&text, &Files::Builtin).unwrap();
    let said = [1, 4].map(|threads| {
        let report = run(&scenario, &Files::Builtin, threads, &Progress::default()).unwrap();
        format!(
            "{}{:?}",
            serde_json::to_string(&report).unwrap(),
            report.rows
        )
    });
    assert_eq!(said[0], said[1]);
}
