//! Drawn cases: what is done never weighs more than to run all at once.

use super::super::ground::Ground;
use super::super::walk::{Rule, Walk};
use super::super::{Drawn, ShiftRow, ways};
use super::JOBS;
use crate::random::Random;
use crate::scenario::{Files, parse};

const CASES: u64 = 180;
/// The stream of random numbers of these cases.
const PURPOSE: u64 = 1 << 59;

/// Few jobs or many, alone or in arrays, with much sun, little and none, where there is room and where there is not.
fn case(seed: u64) -> String {
    let mut random = Random::new(seed, PURPOSE);
    let asks = 5 + random.below(60);
    let asked = asks * (1 + random.below(8));
    let mut one_of = |of: &[&str]| {
        let at = random.below(of.len().try_into().unwrap());
        of[usize::try_from(at).unwrap()].to_owned()
    };
    let run = format!(
        "hours = 24\nseed = {seed}\nwon_per_kg_co2 = {}\nforecast_error = {}\n",
        one_of(&["0", "50", "300"]),
        one_of(&["0", "0.2", "0.5"])
    );
    let jobs = format!(
        "asks = {asks}\nasked_accelerators = {asked}\nrun_h = {}\nover_h = {}\nshift_h = {}\nparts = {}\ntasks = {}\n",
        one_of(&["0.3", "1", "2", "6"]),
        one_of(&["0", "12", "24"]),
        one_of(&["1", "3", "6", "12", "24"]),
        one_of(&["true", "false"]),
        one_of(&["1", "1", "4"])
    );
    let changes = [
        ("hours = 24\n", run),
        (
            "2026-07-15",
            one_of(&["2026-01-15", "2026-04-15", "2026-07-15", "2026-10-15"]),
        ),
        (
            "renewables_kw = 20",
            format!("renewables_kw = {}", one_of(&["0", "5", "20", "100"])),
        ),
        (
            "also_at = [\"there\"]\n",
            one_of(&["also_at = [\"there\"]\n", ""]),
        ),
        (
            "accelerators = 16",
            format!("accelerators = {}", one_of(&["8", "16", "24", "40"])),
        ),
        (
            "asks = 40\nasked_accelerators = 100\nrun_h = 2\nover_h = 24\nshift_h = 10\n",
            jobs,
        ),
    ];
    changes
        .into_iter()
        .fold(JOBS.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, &to, 1)
        })
}

#[test]
fn what_is_done_never_weighs_more_than_to_run_all_at_once() {
    let mut instead = 0;
    for seed in 1..=CASES {
        let text = case(seed);
        let (scenario, _) = parse(&text, &Files::Builtin).unwrap();
        let drawn = vec![Drawn::default(); scenario.sites.len()];
        let ground = Ground::new(&scenario, &drawn).unwrap();
        let ([once, shifted, foreseen], notes) = ways(&ground, scenario.forecast_error);
        let said = format!("seed {seed}: {once:?} {shifted:?} {foreseen:?} {notes:?}\n{text}");
        let errors = [scenario.forecast_error, 0.0];
        for (row, error) in [&shifted, &foreseen].into_iter().zip(errors) {
            assert!(
                row.weighed_won <= once.weighed_won * (1.0 + 1e-9) || row.undone < once.undone,
                "{said}"
            );
            let told = notes.iter().any(|note| note.starts_with(row.name));
            assert_eq!(row.at_once_instead, told, "{said}");
            // The row says what is done: one or the other, whole.
            let done = match row.at_once_instead {
                true => once.clone(),
                false => Walk::new(&ground, Rule::Shifted(error)).run(),
            };
            let done = ShiftRow {
                name: row.name,
                at_once_instead: row.at_once_instead,
                ..done
            };
            assert_eq!(*row, done, "{said}");
        }
        instead += u64::from(shifted.at_once_instead);
    }
    // Shifting is worth it nearly always, and the cases hold some where it is not.
    assert!((1..CASES / 4).contains(&instead), "{instead} of {CASES}");
}
