use super::*;
use crate::load::Sample;
use crate::scenario;

/// One row for each gateway, with requests a second and CPU of each round.
fn row(gateway: &str, rounds: &[(f64, f64)]) -> Row {
    let sample = |&(per_s, cpu_us): &(f64, f64)| Sample {
        per_s,
        cpu_us,
        p50_us: 1e6 / per_s,
        p99_us: 2e6 / per_s,
        ..Sample::default()
    };
    Row {
        gateway: gateway.into(),
        samples: rounds.iter().map(sample).collect(),
    }
}

fn measured(name: &str, rows: Vec<Row>) -> Measured {
    let mut all = scenario::all().into_iter();
    Measured {
        scenario: all.find(|scenario| scenario.name == name).unwrap(),
        rows,
    }
}

fn line<'a>(lines: &'a [Ratio], what: &str) -> &'a Ratio {
    lines
        .iter()
        .find(|line| line.what.starts_with(what))
        .unwrap()
}

#[test]
fn each_round_is_compared_for_itself() {
    let rows = vec![
        row(
            "nginx",
            &[(20_000.0, 20.0), (10_000.0, 40.0), (20_000.0, 20.0)],
        ),
        row(
            "madang",
            &[(10_000.0, 30.0), (5_000.0, 60.0), (10_000.0, 50.0)],
        ),
    ];
    let lines = all(&[measured("plain, 1 kB, 16 at once", rows)]);
    let cpu = line(&lines, "CPU, Madang ÷ nginx");
    assert!((cpu.measured.median - 1.5).abs() < 1e-9, "{cpu:?}");
    assert!((cpu.measured.max - 2.5).abs() < 1e-9, "{cpu:?}");
    assert_eq!(cpu.verdict(), "met, not in every round");
    let throughput = line(&lines, "requests/s, Madang ÷ nginx");
    assert!((throughput.measured.median - 0.5).abs() < 1e-9);
    assert_eq!(throughput.verdict(), "");
}

#[test]
fn routers_and_litellm_have_goals() {
    let rows = || {
        vec![
            row("madang", &[(1000.0, 100.0)]),
            row("sglang-router", &[(1000.0, 100.0)]),
            row("litellm", &[(50.0, 10_000.0)]),
        ]
    };
    let lines = all(&[measured("plain, 1 kB, 16 at once", rows())]);
    let cases = [
        ("CPU, Madang ÷ nginx", "not measured"),
        ("requests/s, Madang ÷ sglang-router", "missed"),
        ("requests/s, Madang ÷ litellm", "met"),
        ("CPU, LiteLLM ÷ Madang", ""),
    ];
    for (what, expected) in cases {
        assert_eq!(line(&lines, what).verdict(), expected, "{what}");
    }
    let compared = |load: &str| {
        let lines = all(&[measured(load, rows())]);
        lines.iter().any(|line| line.what.starts_with("requests/s"))
    };
    assert!(compared("plain, 1 kB, 64 at once") && compared("stream, 50 kB, 16 at once"));
    assert!(!compared("plain, 1 kB, 1 at once") && !compared("plain, 1 kB, 1000 a second"));
    let litellm = line(&lines, "CPU, LiteLLM ÷ Madang");
    assert!((litellm.measured.median - 100.0).abs() < 1e-9);
}

#[test]
fn latency_is_compared_in_the_open_loop() {
    let rows = vec![
        row("nginx", &[(10_000.0, 20.0)]),
        row("madang", &[(4_000.0, 30.0)]),
    ];
    let lines = all(&[measured("plain, 1 kB, 1000 a second", rows)]);
    let p50 = line(&lines, "p50, Madang over nginx");
    assert!((p50.measured.median - 150.0).abs() < 1e-6, "{p50:?}");
    assert_eq!(line(&lines, "p99, Madang over nginx").verdict(), "met");
}

#[test]
fn the_audit_logs_sync_has_lines_where_both_ran() {
    let rows = |relaxed: &str| {
        vec![
            row("madang", &[(2_000.0, 30.0)]),
            row(relaxed, &[(4_000.0, 30.0)]),
        ]
    };
    let lines = all(&[measured("plain, 1 kB, 1 at once", rows("madang-relaxed"))]);
    let p50 = line(&lines, "p50, the audit log's sync");
    assert!((p50.measured.median - 250.0).abs() < 1e-6, "{p50:?}");
    let lines = all(&[measured("plain, 1 kB, 1 at once", rows("smg"))]);
    assert!(!lines.iter().any(|line| line.what.contains("sync")));
}

#[test]
fn reserve_and_post_have_lines_where_both_ran() {
    let rows = vec![
        row("madang", &[(4_000.0, 30.0)]),
        row("madang-priced", &[(2_000.0, 30.0)]),
    ];
    let lines = all(&[measured("plain, 1 kB, 1 at once", rows)]);
    let p50: Vec<f64> = lines
        .iter()
        .filter(|line| line.what.starts_with("p50, reserve and post"))
        .map(|line| line.measured.median)
        .collect();
    assert_eq!(p50, [250.0, 2.0]);
}

#[test]
fn failed_requests_void_a_line() {
    let mut madang = row("madang", &[(1000.0, 10.0)]);
    if let Some(sample) = madang.samples.first_mut() {
        sample.failed = 2;
        sample.unanswered = 1;
    }
    let rows = vec![row("nginx", &[(1000.0, 10.0)]), madang];
    let lines = all(&[measured("plain, 1 kB, 16 at once", rows)]);
    let cpu = line(&lines, "CPU, Madang ÷ nginx");
    assert_eq!(cpu.verdict(), "void: 3 requests failed");
}
