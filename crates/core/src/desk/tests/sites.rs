//! Which of several machines a job is given, and what is said of the others.

use super::*;
use madang_types::MicroWon;

/// Jobs of so many accelerators come one after the other to `a` and `b`, which have four each and such prices of an hour: on which each is
/// begun, and why.
#[track_caller]
fn check(worth: [u32; 2], won: [Option<i64>; 2], jobs: &[u32], expected: &[(&str, Option<&str>)]) {
    let mut two = ["a", "b"].map(|id| nodes(id, "h200", 1, 4));
    for (nodes, worth) in two.iter_mut().zip(worth) {
        nodes.worth_milli = worth;
    }
    let mut desk = Desk::new(JobTerms::default(), two.to_vec());
    let hours = two.iter().zip(won).filter_map(|(nodes, won)| {
        let hour = MicroWon(won? * 1_000_000);
        Some((nodes.id.clone(), hour))
    });
    desk.prices(hours.collect());
    let mut found = Vec::new();
    for (id, count) in (1..).zip(jobs) {
        desk.apply(at(0), arrival(job(id, *count)));
        let mut effects = Vec::new();
        desk.pass(at(0), &mut effects);
        found.extend(effects.into_iter().filter_map(|effect| match effect {
            DeskEffect::Begin(run) => Some((run.nodes.to_string(), run.why_here)),
            _ => None,
        }));
    }
    let found: Vec<_> = found
        .iter()
        .map(|(on, why)| (on.as_str(), why.as_deref()))
        .collect();
    assert_eq!(found, expected, "{won:?}");
}

#[test]
fn of_machines_with_room_those_are_taken_that_are_cheapest_for_the_same_work() {
    let same = [1_000, 1_000];
    let priced = |a, b| [Some(a), Some(b)];
    check(same, [None, None], &[4], &[("a", None)]);
    check(same, priced(5_000, 5_000), &[4], &[("a", None)]);
    check(
        same,
        priced(5_600, 5_000),
        &[4],
        &[("b", Some("a is 12 % dearer"))],
    );
    check(
        same,
        priced(0, 5_000),
        &[4],
        &[("a", Some("b is 100000 % dearer"))],
    );
    // Twice the price for twice the work is the same.
    check([1_000, 2_000], priced(5_000, 10_000), &[1], &[("a", None)]);
    check(
        [1_000, 2_000],
        priced(5_000, 7_500),
        &[1],
        &[("b", Some("a is 33 % dearer"))],
    );
    // What has no price weighs nothing.
    check(same, [Some(5_000), None], &[1], &[("a", None)]);
}

#[test]
fn nobody_waits_for_cheaper_machines_while_there_is_room() {
    let same = [1_000, 1_000];
    let priced = [Some(10_000), Some(5_000)];
    let told = [
        ("b", Some("a is 100 % dearer")),
        ("a", Some("b has no room now")),
    ];
    check(same, priced, &[3, 2, 4], &told);
}
