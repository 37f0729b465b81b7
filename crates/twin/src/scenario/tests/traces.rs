//! Traces that a scenario reads, and engines that are too many.

use super::{DRAWN, SMALL, folder, report};
use crate::scenario::parse;

const HEAD: &str = "arrival_ms,input_tokens,output_tokens\n";

#[test]
fn what_is_no_plain_file_or_no_recording_is_refused() {
    let (kept, files) = folder(&[("one.csv", &format!("{HEAD}0,1,1\n"))]);
    std::fs::create_dir(kept.path().join("folder")).unwrap();
    for (keys, expected) in [
        ("trace = \"folder\"", "it is no plain file"),
        ("trace = \"/dev/null\"", "it is no plain file"),
        (
            "trace = \"one.csv\"\ncategory = \"m\"",
            "only a gateway's recording tells models apart; this trace has one",
        ),
    ] {
        let problems = parse(&format!("{SMALL}{keys}\n"), &files).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        let message = &problems[0].message;
        assert!(message.ends_with(expected), "{keys}: {message}");
    }
}

#[test]
fn times_that_may_be_seconds_are_told() {
    let rows: String = (0..1_001).map(|at| format!("{},1,1\n", at / 2)).collect();
    let (_kept, files) = folder(&[("fast.csv", &format!("{HEAD}{rows}"))]);
    let text = format!("{SMALL}trace = \"fast.csv\"\n");
    let (_, warnings) = parse(&text, &files).unwrap();
    let said: Vec<_> = warnings.iter().map(|warning| &*warning.message).collect();
    assert_eq!(
        said,
        ["1001 requests in 500 ms of the trace are more than 1000 a second"]
    );
}

#[test]
fn jobs_below_later_ones_are_told_and_run() {
    let trace = "submit_s,vc,gpus,duration_s\n60,a,1,60\n0,a,1,60\n90,a,1,60\n";
    let (_kept, files) = folder(&[("jobs.csv", trace)]);
    let text = format!(
        "{SMALL}{DRAWN}[[jobs]]\nid = \"j\"\nsite = \"here\"\naccelerators = 8\naccelerator = \"h100\"\ntrace = \"jobs.csv\"\n"
    );
    let (_, warnings) = parse(&text, &files).unwrap();
    let said: Vec<_> = warnings.iter().map(|warning| &*warning.message).collect();
    assert_eq!(
        said,
        ["line 3: it comes before the line above; the trace was sorted by time"]
    );
    let report = report(&text, &files, (1, false));
    let outcome = report.jobs[0].outcome.as_ref().unwrap();
    let unordered = outcome.unordered.unwrap();
    assert_eq!(
        (outcome.jobs, unordered.rows, unordered.first_line),
        (3, 1, 3)
    );
}
