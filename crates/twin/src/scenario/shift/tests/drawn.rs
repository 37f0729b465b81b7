//! Drawn cases: where the core's plan weighs more than to run all at once it is said, and all together weigh less.

use super::super::ground::Ground;
use super::super::{Drawn, ways};
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
fn a_plan_that_weighs_more_than_to_run_all_at_once_is_told_and_all_weigh_less() {
    let (mut count, mut sums, mut most) = (0, [0.0; 3], 0.0_f64);
    for seed in 1..=CASES {
        let text = case(seed);
        let (scenario, _) = parse(&text, &Files::Builtin).unwrap();
        let drawn = vec![Drawn::default(); scenario.sites.len()];
        let ground = Ground::new(&scenario, &drawn).unwrap();
        let ([once, shifted, foreseen], notes) = ways(&ground, scenario.forecast_error);
        let said = format!("seed {seed}: {once:?} {shifted:?} {foreseen:?} {notes:?}\n{text}");
        for row in [&shifted, &foreseen] {
            let heavier =
                row.weighed_won > once.weighed_won * (1.0 + 1e-9) && row.undone >= once.undone;
            let told = notes.iter().any(|note| note.starts_with(row.name));
            assert_eq!(heavier, told, "{said}");
            count += u64::from(heavier);
        }
        most = most.max(shifted.weighed_won / once.weighed_won);
        sums = [
            sums[0] + once.weighed_won,
            sums[1] + shifted.weighed_won,
            sums[2] + foreseen.weighed_won,
        ];
    }
    // Most cases ask for more than there is, and of two ways to run late either may be the lighter one; together it is worth it.
    let found = format!("{count} of {} plans, {most} at most, {sums:?}", 2 * CASES);
    assert!(count > 0 && count < CASES / 2 && most < 1.2, "{found}");
    let [once, shifted, foreseen] = sums;
    assert!(shifted.max(foreseen) < 0.98 * once, "{found}");
}
