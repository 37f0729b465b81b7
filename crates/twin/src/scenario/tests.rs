//! Scenarios end to end: what is wrong is said, and a run is the same on one thread and on many.

mod engines;
mod gateways;
mod money;
mod power;
mod recording;
mod traces;

use super::{BUILTIN, Files, Progress, Report, parse, run};

/// One engine at one site, and a demand of which the rest is said by each test.
const SMALL: &str = r#"
[run]
start = "2026-07-15"
hours = 1

[slo]
ttft_ms = 2000
tpot_ms = 100

[[site]]
id = "here"
country = "KR"
tariff = "kr-industrial-2026.csv"
carbon_g_per_kwh = 400
pue = 1.5

[[engine]]
id = "one"
site = "here"
model = "m"
count = 2
profile = "h100-8b"
accelerator = "h100"

[[demand]]
id = "some"
model = "m"
tenants = { a = 3, b = 1 }
"#;
const DRAWN: &str = "requests_per_day = 100000\nlengths = \"azure-2023-conversation\"\n";

/// What is wrong with a text, one line for each problem.
fn problems(text: &str) -> String {
    let problems = match parse(text, &Files::Builtin) {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems,
    };
    let line = |problem: &madang_fleet::Problem| {
        let (line, column) = problem.line_column(text);
        assert!(problem.remedy.is_some(), "{problem:?}");
        format!("{line}:{column} {} {}\n", problem.code, problem.message)
    };
    problems.iter().map(line).collect()
}

fn report(text: &str, files: &Files, (threads, stepwise): (usize, bool)) -> Report {
    let (scenario, _) = parse(text, files).unwrap();
    let progress = Progress {
        stepwise,
        ..Progress::default()
    };
    run(&scenario, files, threads, &progress).unwrap()
}

fn written(report: &Report) -> String {
    format!(
        "{}{:?}",
        serde_json::to_string(report).unwrap(),
        report.rows
    )
}

#[test]
fn built_in_scenarios_have_no_problems() {
    for (name, text) in BUILTIN {
        assert_eq!(problems(text), "", "{name}");
    }
}

/// A text with one thing replaced, and what is said of it.
#[test]
fn what_is_wrong_is_said_where_it_stands() {
    let whole = format!("{SMALL}{DRAWN}");
    assert_eq!(problems(&whole), "");
    let check = |(from, to): (&str, &str), expected: &str| {
        assert!(whole.contains(from), "{from}");
        assert_eq!(problems(&whole.replacen(from, to, 1)), expected, "{to}");
    };
    check(
        ("hours = 1\n", "hours = 0\n"),
        "4:9 number_range `hours` is 0, it must be between 1 and 8784\n",
    );
    check(
        ("2026-07-15", "July"),
        "3:9 date_invalid `July` is no day\n",
    );
    check(
        ("\"here\"\nmodel", "\"there\"\nmodel"),
        "19:8 reference_unknown there is no site `there`\n",
    );
    check(
        ("count = 2", "count = 2000000"),
        "21:9 number_range `count` is 2000000, it must be between 1 and 100000\n",
    );
    check(
        ("h100-8b", "h100-9b"),
        "22:11 reference_unknown there is no profile `h100-9b`\n",
    );
    check(
        ("model = \"m\"\ntenants", "model = \"n\"\ntenants"),
        "27:9 reference_unknown there is no model `n`\n",
    );
    check(
        ("a = 3, b = 1", "a = 0"),
        "28:11 number_range parts of tenants are at least 0 and not all 0\n",
    );
    check(
        ("a = 3,", "\"a b\" = 3,"),
        "28:11 name_invalid `a b` is no name\n",
    );
    check(
        (
            "requests_per_day = 100000",
            "requests_per_day = 99999999999",
        ),
        "29:20 number_range that is more than 1000000 requests a second\n",
    );
    // Whose number is refused has chosen.
    check(
        ("requests_per_day = 100000", "requests_per_day = 200e9"),
        "29:20 number_range `requests_per_day` is 200e9, it must be between 0 and 100000000000\n",
    );
    check(
        ("requests_per_day = 100000\n", ""),
        "25:1 choose_one exactly one of `trace`, `requests_per_day` and `rates` says when it is asked\n",
    );
    check(
        ("requests_per_day = 100000\n", "trace = \"none.csv\"\n"),
        "29:9 path_invalid `none.csv` cannot be used: the trace cannot be read: there is no such file, and none of that name is built in\n30:11 choose_one a trace says this itself\n",
    );
    check(
        ("kr-industrial-2026.csv", "dear.csv"),
        "13:10 path_invalid `dear.csv` cannot be used: there is no such file, and none of that name is built in\n",
    );
    // How much a model needs is the catalogue's to say.
    let chip = "chip = \"H100-SXM\"\nweights = \"Llama-3.1-405B\"";
    let said = problems(&whole.replacen("profile = \"h100-8b\"", chip, 1));
    assert!(
        said.starts_with("22:8 kv_too_small Llama-3.1-405B needs "),
        "{said}"
    );
}

#[test]
fn a_model_that_nothing_serves_is_said() {
    let text =
        format!("{SMALL}{DRAWN}").replacen("[[engine]]", "[[model]]\nid = \"n\"\n\n[[engine]]", 1);
    let text = text.replacen("model = \"m\"\ntenants", "model = \"n\"\ntenants", 1);
    assert_eq!(
        problems(&text),
        "30:9 model_unserved no engine serves `n`\n"
    );
}

/// Files of a test's own, beside which a scenario stands.
fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, Files) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let files = Files::Folder(folder.path().to_owned());
    (folder, files)
}

#[test]
fn bad_files_are_refused_with_their_line() {
    let check = |from: &str, file: &str, expected: &str| {
        let (_folder, files) = folder(&[("bad.csv", file)]);
        let text = match from {
            "tariff" => format!("{SMALL}{DRAWN}").replacen("kr-industrial-2026.csv", "bad.csv", 1),
            _ => format!("{SMALL}trace = \"bad.csv\"\n"),
        };
        let problems = parse(&text, &files).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].message.ends_with(expected),
            "{}",
            problems[0].message
        );
    };
    let head = "arrival_ms,input_tokens,output_tokens\n";
    check(
        "trace",
        &format!("{head}9,1,1\n5,1,1\n"),
        "line 3: it comes before the line above; sort the trace by time",
    );
    check(
        "trace",
        &format!("{head}-9,1,1\n"),
        "line 2: '-9' is not a number of milliseconds at or above zero",
    );
    check("trace", head, "the trace has no rows");
    check(
        "tariff",
        "from,until,months,days,hours,won_per_kwh\n,,,,1-24,100\n",
        "it says nothing of 2026-07-15, 0 to 1 h; the first row that matches an hour holds, so a last row for all of it would do",
    );
}

#[test]
fn a_hole_in_a_trace_is_told_and_run() {
    let head = "arrival_ms,input_tokens,output_tokens\n";
    let (_folder, files) = folder(&[("holed.csv", &format!("{head}0,1,1\n7200000,1,1\n"))]);
    let text = format!("{SMALL}trace = \"holed.csv\"\nspeed = 4\n");
    let (_, warnings) = parse(&text, &files).unwrap();
    let said: Vec<&str> = warnings
        .iter()
        .map(|warning| warning.message.as_str())
        .collect();
    assert_eq!(said, ["nobody asks for 7200 s of the trace, from second 0"]);
    assert_eq!(report(&text, &files, (1, false)).total.finished, 2);
}

#[test]
fn a_trace_is_repeated_copied_and_what_is_too_long_is_refused() {
    let head = "arrival_ms,input_tokens,output_tokens,prefix_block_ids_512\n";
    let rows = format!("{head}0,1100,10,1-2\n1000,1100,10,1-2\n600000,9000000,10,\n");
    let (_folder, files) = folder(&[("three.csv", &rows)]);
    let text = format!("{SMALL}trace = \"three.csv\"\nrepeat = true\ncopies = 3\n");
    let total = report(&text, &files, (1, false)).total;
    // Six times in the hour; the sixth long one would come just after it.
    assert_eq!(
        (total.asked, total.refused["context_too_long"]),
        (6 * 6 + 5 * 3, 5 * 3)
    );
    assert!(total.cache_hit_ratio > 0.5, "{}", total.cache_hit_ratio);
}

#[test]
fn a_run_is_the_same_on_one_thread_and_on_many_and_by_steps() {
    let (_, text) = BUILTIN
        .iter()
        .find(|(name, _)| *name == "university")
        .unwrap();
    let text = text.replace("hours = 24\n", "hours = 1\ncells = 2\n");
    let one = report(&text, &Files::Builtin, (1, false));
    assert!(one.total.finished > 1_000);
    let many = report(&text, &Files::Builtin, (4, false));
    assert!(written(&one) == written(&many));
    let mut by_steps = report(&text, &Files::Builtin, (2, true));
    // What sequences hold is looked at between iterations: there are more of those by steps.
    let lines = [
        &mut by_steps.sites,
        &mut by_steps.models,
        &mut by_steps.hours,
    ];
    let lines = lines.into_iter().flatten().chain([&mut by_steps.total]);
    let of_one = one
        .sites
        .iter()
        .chain(&one.models)
        .chain(&one.hours)
        .chain([&one.total]);
    for (line, of_one) in lines.zip(of_one) {
        let (used, other) = (
            line.utilisation.as_mut().unwrap(),
            of_one.utilisation.unwrap(),
        );
        assert!((used.kv - other.kv).abs() < 0.02, "{used:?} {other:?}");
        used.kv = other.kv;
    }
    assert!(written(&one) == written(&by_steps));
}

#[test]
fn tables_add_up() {
    let (_, text) = BUILTIN
        .iter()
        .find(|(name, _)| *name == "university")
        .unwrap();
    let text = text
        .replace("hours = 24\n", "hours = 2\n")
        .replace("patience_s = 60", "patience_s = 1");
    let report = report(&text, &Files::Builtin, (2, false));
    let total = &report.total;
    let asked = |lines: &[super::Line]| lines.iter().map(|line| line.asked).sum::<u64>();
    assert_eq!(
        total.asked,
        total.finished + total.left + total.refused.values().sum::<u64>()
    );
    for lines in [&report.models, &report.tenants, &report.hours] {
        assert_eq!(asked(lines), total.asked);
    }
    let joules = |lines: &[super::Line]| lines.iter().map(|line| line.joules).sum::<f64>();
    for lines in [
        &report.sites,
        &report.models,
        &report.hours,
        &report.tenants,
    ] {
        let (sum, whole) = (joules(lines), total.joules);
        assert!((sum - whole).abs() < whole * 1e-9, "{sum} of {whole}");
    }
    let kwh: f64 = report.energy.iter().map(|site| site.kwh).sum();
    assert!((kwh * 3.6e6 - total.joules).abs() < total.joules * 1e-9);
}

/// Two engines that are idle all hour long draw what idle ones draw.
#[test]
fn energy_of_idleness_is_that_of_the_power_model() {
    let text = format!("{SMALL}{}", DRAWN.replace("100000", "0"));
    let report = report(&text, &Files::Builtin, (1, false));
    let idle = madang_core::power::model::PowerProfile::of_accelerator("h100")
        .unwrap()
        .idle_watts;
    // Two, at a PUE of 1.5, for an hour.
    let joules = idle as f64 * 2.0 * 1.5 * 3_600.0;
    assert!(
        (report.total.joules - joules).abs() < 1.0,
        "{} {joules}",
        report.total.joules
    );
    // Midnight in summer: 95.7 and 5.1 won a kilowatt-hour.
    let won = joules / 3.6e6 * 100.8;
    assert!(
        (report.total.won - won).abs() < 0.01,
        "{} {won}",
        report.total.won
    );
    assert!((report.total.gco2 - joules / 3.6e6 * 400.0).abs() < 0.01);
}

/// Where no kind of accelerator is given, its chip is one of the catalogue.
#[test]
fn a_chip_draws_what_its_data_sheet_says() {
    let chip = "chip = \"H100-SXM\"\nweights = \"Llama-3.1-8B\"\n";
    let text = SMALL.replace("accelerator = \"h100\"\n", "");
    let text = text.replace("profile = \"h100-8b\"\n", chip);
    let text = format!("{text}{}", DRAWN.replace("100000", "0"));
    assert!(text.contains(chip) && !text.contains("accelerator"));
    let by_chip = report(&text, &Files::Builtin, (1, false)).total.joules;
    let text = format!("{SMALL}{}", DRAWN.replace("100000", "0"));
    let by_kind = report(&text, &Files::Builtin, (1, false)).total.joules;
    assert!(
        by_kind > 0.0 && (by_chip - by_kind).abs() < 1.0,
        "{by_chip} {by_kind}"
    );
}

/// A long prompt is computed all the while that its engine iterates: nothing of that time is taken for the making of tokens.
#[test]
fn a_prompt_draws_all_that_its_engine_can() {
    let head = "arrival_ms,input_tokens,output_tokens\n";
    let (_folder, files) = folder(&[("one.csv", &format!("{head}0,400000,1\n"))]);
    let text = format!("{SMALL}trace = \"one.csv\"\n").replacen("count = 2", "count = 1", 1);
    let total = report(&text, &files, (1, false)).total;
    let used = total.utilisation.unwrap();
    assert!(used.busy > 0.01, "{used:?}");
    assert_eq!((used.bandwidth, used.compute), (0.0, used.busy));
    let power = madang_core::power::model::PowerProfile::of_accelerator("h100").unwrap();
    let watts = power.idle_watts as f64 + power.dynamic_watts() as f64 * used.busy;
    // At a PUE of 1.5, for an hour; means of power are whole watts, and parts of time whole thousandths.
    let joules = watts * 1.5 * 3_600.0;
    assert!(
        (total.joules - joules).abs() < joules * 0.002,
        "{} {joules}",
        total.joules
    );
}

#[test]
fn jobs_get_the_power_that_engines_leave() {
    let jobs = "[[jobs]]\nid = \"night\"\nsite = \"here\"\naccelerator = \"h100\"\naccelerators = 64\nasks = 9\nasked_accelerators = 90\nrun_h = 2\n";
    let capped = |cap_kw: u32| {
        let cap = format!("pue = 1.5\npower_cap_kw = {cap_kw}");
        let text = format!("{SMALL}{DRAWN}\n{jobs}").replacen("pue = 1.5", &cap, 1);
        report(&text, &Files::Builtin, (1, false))
    };
    let plenty = capped(1_000);
    let line = &plenty.jobs[0];
    assert_eq!(
        (line.held_accelerators_max, line.asked_accelerators),
        (63, 90)
    );
    // All of it together stays below: nobody looks.
    assert!(plenty.power.is_empty() && plenty.energy[0].over_cap_ms == 0);
    assert_eq!(
        line.outcome.as_ref().unwrap().jobs + usize::try_from(line.too_large).unwrap(),
        9
    );
    // Each draws 875 W at most, 1.3125 kW at the meter, and 236 W idle: 30 kW less what engines and idle machines draw.
    let scarce = capped(30);
    let (line, power) = (&scarce.jobs[0], &scarce.power[0]);
    assert_eq!(scarce.energy[0].over_cap_ms, 0, "{power:?}");
    assert!(power.peak_kw <= 30.0, "{power:?}");
    assert!((1..64).contains(&line.held_accelerators_max), "{line:?}");
}

#[test]
fn what_is_wrong_with_jobs_is_said() {
    let check = |jobs: &str, expected: &str| {
        let head =
            "[run]\nstart = \"2026-07-15\"\nhours = 1\n[[site]]\nid = \"here\"\ncountry = \"KR\"\n";
        let jobs = format!("[[jobs]]\nid = \"j\"\nsite = \"here\"\naccelerators = 64\n{jobs}");
        assert_eq!(problems(&format!("{head}{jobs}")), expected, "{jobs}");
    };
    check(
        "accelerator = \"abacus\"\nasks = 1\nasked_accelerators = 1\nrun_h = 1\n",
        "11:15 reference_unknown the power of `abacus` is not known\n",
    );
    check(
        "accelerator = \"h100\"\nasks = 9\nasked_accelerators = 8\nrun_h = 1\n",
        "13:22 limits_conflict fewer accelerators are asked for than there are jobs\n",
    );
    check(
        "accelerator = \"h100\"\nasks = 9\n",
        "7:1 choose_one jobs are a `trace`, or `asks`, `asked_accelerators` and `run_h`\n",
    );
    check(
        "accelerator = \"h100\"\ntrace = \"no.csv\"\n",
        "12:9 path_invalid `no.csv` cannot be used: the trace cannot be read: there is no such file, and none of that name is built in\n",
    );
    let nothing =
        "[run]\nstart = \"2026-07-15\"\nhours = 1\n[[site]]\nid = \"here\"\ncountry = \"KR\"\n";
    assert_eq!(
        problems(nothing),
        "3:9 nothing_to_serve the scenario has no engine, or nobody who asks, and no jobs\n"
    );
}
