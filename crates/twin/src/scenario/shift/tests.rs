//! Work that is put off costs less than at once, never less than the bound, and none waits longer than it may.

mod drawn;

use super::ShiftReport;
use crate::scenario::{Files, Progress, parse};

/// Jobs alone at a site with its own solar power and at one without, for each test to change.
const JOBS: &str = r#"
[run]
start = "2026-07-15"
hours = 24

[[site]]
id = "here"
country = "KR"
tariff = "kr-industrial-2026.csv"
carbon_g_per_kwh = 400
renewables = "solar-jeonnam.csv"
renewables_kw = 20

[[site]]
id = "there"
country = "KR"
tariff = "kr-industrial-2026.csv"
carbon_g_per_kwh = 400

[[jobs]]
id = "nightly"
site = "here"
also_at = ["there"]
accelerator = "h100"
accelerators = 16
asks = 40
asked_accelerators = 100
run_h = 2
over_h = 24
shift_h = 10
"#;

/// The same with other jobs: rows of a trace.
fn shift_rows(text: &str, rows: &str) -> ShiftReport {
    let folder = tempfile::tempdir().unwrap();
    let table = format!("submit_s,vc,gpus,duration_s\n{rows}");
    std::fs::write(folder.path().join("jobs.csv"), table).unwrap();
    let drawn = "asks = 40\nasked_accelerators = 100\nrun_h = 2\nover_h = 24\n";
    assert!(text.contains(drawn));
    let text = text.replace(drawn, "trace = \"jobs.csv\"\n");
    let files = Files::Folder(folder.path().to_owned());
    let (scenario, _) = parse(&text, &files).unwrap();
    let report = crate::scenario::run(&scenario, &files, 1, &Progress::default());
    report.unwrap().shift.unwrap()
}

fn shift(text: &str) -> ShiftReport {
    let (scenario, _) = parse(text, &Files::Builtin).unwrap();
    let report = crate::scenario::run(&scenario, &Files::Builtin, 1, &Progress::default());
    report.unwrap().shift.unwrap()
}

#[test]
fn shifted_work_costs_less_than_at_once_and_never_less_than_the_bound() {
    for (seed, parts) in [(1, false), (2, false), (3, true), (4, true), (5, true)] {
        let text = JOBS.replace(
            "hours = 24\n\n",
            &format!("hours = 24\nseed = {seed}\nwon_per_kg_co2 = 50\n\n"),
        );
        let text = text.replace(
            "shift_h = 10\n",
            &format!("shift_h = 10\nparts = {parts}\n"),
        );
        let report = shift(&text);
        let [once, shifted, foreseen, bound] = &report.rows[..] else {
            panic!("{report:?}");
        };
        let said = format!("seed {seed}, in parts {parts}: {report:?}");
        assert_eq!(report.jobs, 40, "{said}");
        for row in [once, shifted, foreseen] {
            assert!(row.kwh >= bound.kwh * 0.999_999, "{said}");
            assert!(
                (row.kwh - row.own_kwh - row.grid_kwh).abs() < 1e-6,
                "{said}"
            );
            assert!(row.weighed_won >= bound.weighed_won * 0.999_999, "{said}");
            let weighed = row.won + row.gco2 / 1e3 * 50.0;
            assert!((row.weighed_won - weighed).abs() < 1e-3, "{said}");
        }
        assert!(shifted.weighed_won < once.weighed_won * 0.97, "{said}");
        assert!(foreseen.weighed_won < once.weighed_won * 0.97, "{said}");
        assert_eq!((shifted.late, foreseen.late), (0, 0), "{said}");
        assert!(
            shifted.wait_h_mean > 0.5 && shifted.wait_h_mean < 10.0,
            "{said}"
        );
        assert_eq!(once.stops, 0, "{said}");
        assert_eq!(shifted.stops > 0, parts, "{said}");
        assert_eq!(format!("{report:?}"), format!("{:?}", shift(&text)));
    }
}

/// Arrays of eight tasks of a quarter of what the jobs above take: what has not begun of them waits, with checkpoints and without.
#[test]
fn shifted_arrays_cost_less_than_at_once_and_never_less_than_the_bound() {
    for (seed, parts) in [(1, false), (2, false), (3, true)] {
        let text = JOBS.replace(
            "hours = 24\n\n",
            &format!("hours = 24\nseed = {seed}\nwon_per_kg_co2 = 50\n\n"),
        );
        let text = text.replace(
            "run_h = 2\nover_h = 24\nshift_h = 10\n",
            &format!("run_h = 0.5\nover_h = 24\nshift_h = 10\ntasks = 8\nparts = {parts}\n"),
        );
        let report = shift(&text.replace("accelerators = 16", "accelerators = 64"));
        let [once, shifted, foreseen, bound] = &report.rows[..] else {
            panic!("{report:?}");
        };
        let said = format!("seed {seed}, in parts {parts}: {report:?}");
        for row in [once, shifted, foreseen] {
            assert!(row.kwh >= bound.kwh * 0.999_999, "{said}");
            assert!(row.weighed_won >= bound.weighed_won * 0.999_999, "{said}");
        }
        assert!(foreseen.weighed_won < once.weighed_won * 0.97, "{said}");
        assert_eq!((shifted.late, foreseen.late), (0, 0), "{said}");
        assert!(parts || shifted.stops == 0, "{said}");
    }
}

/// One job of one accelerator for an hour, that comes at three in the afternoon: 138.1 won then, 121.5 from nine on, 100.8 from ten on.
#[test]
fn one_job_costs_what_its_hour_does() {
    let one = |shift_h: u32| {
        let text = JOBS.replace("renewables_kw = 20", "renewables_kw = 0");
        let text = text.replace("shift_h = 10", &format!("shift_h = {shift_h}"));
        let rows = shift_rows(&text, "54000,a,1,3600\n").rows;
        // An H100 with its part of the machine: 700 W times 1.25.
        let won = |at: usize| (rows[at].won / 0.875 * 10.0).round() / 10.0;
        (won(0), won(2), won(3))
    };
    assert_eq!(one(0), (138.1, 138.1, 138.1));
    assert_eq!(one(6), (138.1, 121.5, 121.5));
    assert_eq!(one(7), (138.1, 100.8, 100.8));
}

#[test]
fn jobs_that_nothing_can_run_are_counted_and_said() {
    // At 0.875 kW each, ten kilowatts feed eleven of the sixteen, at either site.
    let text = JOBS.replace("tariff = \"kr", "power_cap_kw = 10\ntariff = \"kr");
    let after = (24 + 14 * 24) * 3_600;
    let rows = format!(
        "0,a,17,3600\n0,a,40,3600\n0,a,12,3600\n0,a,11,3600\n{},a,1,3600\n{after},a,1,3600\n",
        after - 7_200
    );
    let report = shift_rows(&text, &rows);
    let said: Vec<_> = report
        .left_out
        .iter()
        .map(|line| (line.group.as_str(), line.reason, line.jobs))
        .collect();
    let expected = [
        ("nightly", "wider_than_group", 2),
        ("nightly", "no_power", 1),
        ("nightly", "after_end", 1),
    ];
    assert_eq!(said, expected);
    let notes: Vec<&str> = report.left_out.iter().map(|at| at.note.as_str()).collect();
    assert!(notes[0].contains("up to 40, of 16"), "{notes:?}");
    assert!(notes[1].contains("up to 12, and 11 have it"), "{notes:?}");
    assert!(notes[2].contains("14 days"), "{notes:?}");
    assert_eq!((report.jobs, report.accelerator_h), (2, 12.0));
    assert!(shift(JOBS).left_out.is_empty());
}

#[test]
fn where_no_plan_keeps_all_times_it_is_said_how_many_are_late_and_the_bound_lets_them_be() {
    // Sixteen accelerators at one site, and an hour in which a job may wait: of five that take them all for two hours, two are in time.
    let text = JOBS.replace("also_at = [\"there\"]\n", "");
    let text = text.replace("shift_h = 10", "shift_h = 1");
    let report = shift_rows(&text, &"0,a,16,7200\n".repeat(5));
    let [once, shifted, foreseen, bound] = &report.rows[..] else {
        panic!("{report:?}");
    };
    assert_eq!(report.late_min, 4, "{report:?}");
    for row in [once, shifted, foreseen] {
        assert!(row.late >= report.late_min && row.undone == 0, "{report:?}");
        assert!(row.weighed_won >= bound.weighed_won, "{report:?}");
    }
    assert!(report.above_bound.is_some_and(|above| above >= 0.0));
    assert!(
        report.notes[0].contains("at least 4 of 5 are late"),
        "{:?}",
        report.notes
    );
    // Where even two weeks more do not do, there is no bound, and it is said what is left undone.
    let report = shift_rows(&text, &"0,a,16,360000\n".repeat(5));
    assert_eq!(report.rows.len(), 3, "{report:?}");
    assert_eq!((report.above_bound, report.late_min), (None, 4));
    assert!(report.rows.iter().all(|row| row.undone == 2));
    let said = report.notes.join("; ");
    assert!(
        said.contains("not over 14 days after the end")
            && said.contains("there is no bound: at least 2 of them"),
        "{said}"
    );
    assert_eq!(shift(JOBS).late_min, 0);
}

#[test]
fn what_is_wrong_with_work_that_may_be_put_off_is_said() {
    let check = |(from, to): (&str, &str), expected: &str| {
        assert!(JOBS.contains(from), "{from}");
        let problems = parse(&JOBS.replacen(from, to, 1), &Files::Builtin).unwrap_err();
        let said: Vec<&str> = problems.iter().map(|of| of.message.as_str()).collect();
        assert_eq!(said, [expected], "{to}");
        assert!(problems.iter().all(|problem| problem.remedy.is_some()));
    };
    check(
        ("tariff = \"kr-industrial-2026.csv\"\n", ""),
        "jobs cannot wait for cheap hours: site `here` has no tariff",
    );
    check(
        ("[\"there\"]", "[\"nowhere\"]"),
        "there is no site `nowhere`",
    );
    check(("shift_h = 10\n", ""), "it has no effect without `shift_h`");
    check(
        (
            "carbon_g_per_kwh = 400\n",
            "carbon_g_per_kwh = 400\ncarbon_hours = [1, 2]\n",
        ),
        "there is one part for each of the 24 hours, none below 0",
    );
    check(
        (
            "asks = 40\nasked_accelerators = 100",
            "asks = 9000\nasked_accelerators = 9000",
        ),
        "9000 jobs in 360 hours are too many to be weighed",
    );
}
