//! Engines of a scenario: they fail, begin later, and come back when their weights are read.

use super::{DRAWN, Files, SMALL, problems, report, written};
use crate::fidelity::{TunedRow, tuned};
use crate::scenario::Report;
use madang_catalog::EngineKind;

/// Ten requests a second, and the rest of the file.
fn steady(rest: &str) -> String {
    format!("{SMALL}{}\n{rest}", DRAWN.replace("100000", "864000")).replacen(
        "hours = 1",
        "hours = 2",
        1,
    )
}

fn run(text: &str) -> Report {
    let one = report(text, &Files::Builtin, (1, false));
    let by_steps = report(text, &Files::Builtin, (2, true));
    let answers = |report: &Report| {
        (
            report.total.finished,
            report.total.refused.clone(),
            report.total.e2e_ms,
        )
    };
    assert_eq!(answers(&one), answers(&by_steps));
    assert!(written(&one) == written(&report(text, &Files::Builtin, (4, false))));
    one
}

#[test]
fn an_engine_that_fails_loses_what_it_holds_and_comes_back_when_its_weights_are_read() {
    let whole = run(&steady(""));
    assert_eq!(whole.total.finished, whole.total.asked);
    let failed = run(&steady(
        "[[failure]]\nengine = \"one\"\nat_h = 0.5\ncount = 1\ndown_min = 5\n",
    ));
    let total = &failed.total;
    // What had begun is lost, what had not goes to the other engine; nothing is lost afterwards.
    let broken = total.refused["broken_off"];
    assert!((1..100).contains(&broken), "{broken}");
    assert_eq!(total.finished + broken, total.asked);
    assert_eq!(failed.hours[1].finished, failed.hours[1].asked);
    assert_eq!(
        (failed.groups[0].failures, failed.groups[0].load_s),
        (1, 66.0)
    );
}

#[test]
fn nothing_is_answered_while_all_read_their_weights() {
    // Both are away for two minutes: whoever may wait for half of one is refused.
    let text = steady("[[failure]]\nengine = \"one\"\nat_h = 1\n")
        .replacen("profile = ", "load_s = 120\nprofile = ", 1)
        .replacen("requests_per_day", "wait_s_max = 30\nrequests_per_day", 1);
    let failed = run(&text);
    let lost = failed.total.asked - failed.total.finished;
    // Some ninety seconds of requests, of which there are ten each.
    assert!(
        (600..1_300).contains(&lost),
        "{lost}: {:?}",
        failed.total.refused
    );
    let quick = run(&text.replacen("load_s = 120", "load_s = 1", 1));
    assert!(quick.total.asked - quick.total.finished < 100);
}

#[test]
fn engines_that_begin_later_serve_from_then_on() {
    let text = steady("").replacen("count = 2", "count = 2\nfrom_h = 1", 1);
    let report = run(&text);
    assert_eq!(report.hours[0].finished, 0);
    // The first minute of the second hour is the weights'.
    let part = report.hours[1].finished as f64 / report.hours[1].asked as f64;
    assert!((0.9..0.999).contains(&part), "{part}");
}

#[test]
fn a_slower_disk_is_a_longer_start() {
    let text = steady("").replacen(
        "profile = \"h100-8b\"",
        "chip = \"H100-SXM\"\nweights = \"Llama-3.1-8B\"",
        1,
    );
    let load_s = |text: &str| run(text).groups[0].load_s;
    assert!((load_s(&text) - 66.0).abs() < 0.5);
    let slow = text.replacen("pue = 1.5", "pue = 1.5\nstorage_gb_s = 0.2", 1);
    assert!((load_s(&slow) - 138.3).abs() < 1.0);
}

#[test]
fn tokens_that_are_guessed_come_sooner() {
    let tpot_ms = |rest: &str| {
        let text = steady("").replacen("profile = ", &format!("{rest}profile = "), 1);
        run(&text).total.tpot_ms.unwrap().p50
    };
    let guessed = "draft_tokens = 3\nacceptance = 0.8\ndraft_part = 0.05\n";
    // 2.95 tokens in 1.15 of the time and what verifying takes; with shorter answers fewer are in a batch.
    let factor = tpot_ms("") / tpot_ms(guessed);
    assert!((2.2..2.9).contains(&factor), "{factor}");
    let half = steady("").replacen("profile = ", "acceptance = 0.8\nprofile = ", 1);
    assert!(
        problems(&half).ends_with(
            "missing_key `draft_tokens`, `acceptance` and `draft_part` stand together\n"
        )
    );
}

#[test]
fn a_tuned_engine_takes_the_times_and_the_band_that_rows_of_peaks_say() {
    let chip = "chip = \"H200-SXM\"\nserver = \"trtllm\"\nprecision = \"fp8\"\nweights = \"Llama-3.1-70B\"\n";
    let of = |rest: &str| {
        let text = steady("").replacen("profile = \"h100-8b\"\n", &format!("{rest}{chip}"), 1);
        run(&text.replacen("864000", "8640", 1))
    };
    let place = (EngineKind::Trtllm, "Llama-3.1-70B", "H200-SXM");
    let expected = tuned(TunedRow::shipped(), place);
    let (plain, tuned) = (of("tuned = false\n"), of("tuned = true\n"));
    let tpot_ms = |report: &Report| report.total.tpot_ms.unwrap().p50;
    let times = tpot_ms(&tuned) / tpot_ms(&plain);
    // Faster engines have fewer sequences at once besides.
    assert!(
        (expected.times - 0.05..expected.times + 0.01).contains(&times),
        "{times} {expected:?}"
    );
    assert_eq!(tuned.engine_time_band, Some(expected.band));
    let named = steady("").replacen("profile = ", "tuned = true\nprofile = ", 1);
    let said = problems(&named);
    assert!(
        said.ends_with("missing_key `tuned` has no effect on a profile that is named\n"),
        "{said}"
    );
}

#[test]
fn prompts_that_have_engines_of_their_own_disturb_no_tokens() {
    let chip = "chip = \"H100-SXM\"\nweights = \"Llama-3.1-8B\"\n";
    let whole = steady("")
        .replacen("profile = \"h100-8b\"\n", chip, 1)
        .replace("864000", "1728000");
    let split = whole
        .replacen(
            "chip = ",
            "prefill_engines = 1\ndecode_engines = 1\nchip = ",
            1,
        )
        .replacen("count = 2", "count = 1", 1);
    let (whole, split) = (run(&whole), run(&split));
    assert_eq!(split.total.finished, split.total.asked);
    assert_eq!(whole.total.kv_transfer_ms, None);
    // 131 kB a token at 50 GB/s, and a millisecond.
    let transfer_ms = split.total.kv_transfer_ms.unwrap();
    assert!((2.0..6.0).contains(&transfer_ms.p50), "{transfer_ms:?}");
    assert!(split.total.ttft_ms.unwrap().p50 > transfer_ms.p50);
    // Both have two accelerators, which draw alike where they do nothing.
    assert!((split.total.joules / whole.total.joules - 1.0).abs() < 0.3);
    let tpot = |report: &Report| report.total.tpot_ms.unwrap();
    assert!(tpot(&split).p99 / tpot(&split).p50 < tpot(&whole).p99 / tpot(&whole).p50);
    // A slow link is seen in first tokens.
    let slow = steady("")
        .replacen("profile = \"h100-8b\"\n", chip, 1)
        .replacen("chip = ", "prefill_engines = 1\ndecode_engines = 2\nkv_link_gb_s = 1\nkv_link_latency_ms = 0\nchip = ", 1);
    assert!(run(&slow).total.kv_transfer_ms.unwrap().p50 > 10.0 * transfer_ms.p50);
}

#[test]
fn what_is_wrong_with_parts_is_said() {
    let check = |keys: &str, expected: &str| {
        let text = steady("").replacen("profile = ", &format!("{keys}profile = "), 1);
        assert!(problems(&text).ends_with(expected), "{}", problems(&text));
    };
    check(
        "prefill_engines = 1\n",
        "missing_key `prefill_engines` and `decode_engines` stand together\n",
    );
    check(
        "kv_link_gb_s = 1\n",
        "missing_key this has no effect without `prefill_engines` and `decode_engines`\n",
    );
}

#[test]
fn what_is_wrong_with_failures_is_said() {
    let check = |failure: &str, expected: &str| {
        let text = steady(&format!("[[failure]]\nengine = \"one\"\n{failure}"));
        let said = problems(&text);
        assert!(said.ends_with(expected), "{said}");
    };
    check("at_h = 1\n", "");
    check(
        "at_h = 2\n",
        "number_range they fail after the scenario's end\n",
    );
    check(
        "at_h = 1\ncount = 3\n",
        "number_range `count` is 3, of 2 engines\n",
    );
    check(
        "at_h = 1\n[[failure]]\nengine = \"two\"\nat_h = 1\n",
        "reference_unknown there is no engine `two`\n",
    );
}
