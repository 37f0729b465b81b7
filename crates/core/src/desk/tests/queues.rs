//! Sites with queues of their own: what their schedulers foretell, for how long that counts, and what they would never run.

use super::sites::{Two, of};
use super::*;

/// A desk whose machines `a` have a queue of their own; nothing has a price.
fn queued() -> Two {
    let mut two = Two::new([1_000, 1_000]);
    let mut machines = two.desk.nodes().to_vec();
    machines[0].has_queue = true;
    two.desk.machines(machines);
    two
}

#[test]
fn a_sites_own_scheduler_says_where_a_job_begins_sooner() {
    let check = |starts_at: Option<i64>, expected: &str, foretold_ms: Option<u64>| {
        let mut two = queued();
        let job = of(1, 4, 60);
        let allowed: [NodesId; 2] = ["a", "b"].map(|id| id.parse().unwrap());
        let asks = two.desk.to_foretell(at(0), Some((&job, &allowed)));
        assert_eq!(asks, [(job.clone(), allowed[0].clone())]);
        let told = (&job, allowed[0].clone());
        two.desk.foretell(at(0), told, starts_at.map(at));
        // Nobody is asked again while that counts.
        assert_eq!(
            two.desk.to_foretell(at(59), Some((&job, &allowed))),
            Vec::new()
        );
        assert_eq!(two.comes(1, job).as_deref(), Some(expected));
        let told = two.last().iter().find(|one| one.nodes.as_str() == "a");
        assert_eq!(told.unwrap().foretold_ms, foretold_ms, "{starts_at:?}");
    };
    check(None, "a", None);
    check(Some(0), "a", Some(0));
    check(Some(1_801), "b", Some(1_800_000));
}

#[test]
fn what_a_sites_own_scheduler_said_counts_for_a_while_and_until_something_of_ours_begins_there() {
    let mut two = queued();
    let allowed: [NodesId; 2] = ["a", "b"].map(|id| id.parse().unwrap());
    let a = || allowed[0].clone();
    let (first, second) = (of(1, 1, 60), of(2, 1, 60));
    two.desk.foretell(at(0), (&first, a()), Some(at(0)));
    assert_eq!(two.comes(1, first).as_deref(), Some("a"));
    // What was said before it was given machines is not told to the next one, for which the first one's wait there counts.
    assert_eq!(two.comes(2, second.clone()).as_deref(), Some("b"));
    assert!(two.last().iter().all(|one| one.foretold_ms.is_none()));
    assert_eq!(
        two.desk.to_foretell(at(4), Some((&second, &allowed))),
        Vec::new()
    );
    let due = two.desk.to_foretell(at(5), Some((&second, &allowed)));
    assert_eq!(due.len(), 1);
    // One that waits is asked for too, and goes elsewhere by what it is told.
    let mut two = queued();
    two.comes(0, of(1, 4, 600));
    two.comes(0, of(2, 4, 60));
    two.comes(0, of(3, 4, 60));
    let asks = two.desk.to_foretell(at(60), None);
    assert_eq!(asks, [(of(3, 4, 60), a())]);
    two.desk
        .foretell(at(60), (&of(3, 4, 60), a()), Some(at(9_000)));
    two.ends(70, "1-1");
    assert_eq!(two.pass(70), None, "it waits for b, which is free sooner");
    // It was asked in vain: nothing is known of that any more.
    two.desk.foretell(at(400), (&of(3, 4, 60), a()), None);
    assert_eq!(two.pass(400).as_deref(), Some("a"));
}

#[test]
fn what_was_foretold_to_those_behind_counts_no_longer_than_to_the_first() {
    // More wait than are looked at for questions.
    let mut two = queued();
    two.comes(0, of(1, 4, 600));
    two.comes(0, of(2, 4, 600));
    let last = 1_500;
    for id in 3..=last {
        two.desk.apply(at(0), arrival(of(id, 4, 60)));
    }
    two.pass(0);
    let a: NodesId = "a".parse().unwrap();
    two.desk
        .foretell(at(1), (&of(3, 4, 60), a.clone()), Some(at(9_000)));
    let told = |two: &Two, now| {
        let waits = two.desk.waits(at(now), JobId(last)).unwrap();
        let of_a = waits.candidates.iter().find(|one| one.nodes == a);
        of_a.unwrap().foretold_ms
    };
    assert_eq!(told(&two, 2), Some(8_998_000));
    assert_eq!(told(&two, 300), Some(8_700_000));
    assert_eq!(told(&two, 301), None, "five minutes later it is forgotten");
    // And what was said before one of ours began there is.
    two.desk
        .foretell(at(302), (&of(3, 4, 60), a.clone()), Some(at(9_000)));
    assert_eq!(told(&two, 303), Some(8_697_000));
    two.ends(304, "1-1");
    assert_eq!(two.pass(304).as_deref(), Some("a"), "b's line is longer");
    assert_eq!(told(&two, 305), None);
}

#[test]
fn where_nobody_would_run_it_a_job_is_not_put_and_that_is_told() {
    let unfit = |ids: &[&str]| -> BTreeMap<NodesId, String> {
        let why = |id: &&str| (id.parse().unwrap(), "runs no images".to_owned());
        ids.iter().map(why).collect()
    };
    let came = |id: u64, ids: &[&str]| {
        let DeskInput::Came(mut arrival) = arrival(of(id, 1, 60)) else {
            panic!("it comes");
        };
        arrival.unfit = unfit(ids);
        DeskInput::Came(arrival)
    };
    let mut two = Two::priced([Some(1_000), Some(5_000)]);
    two.desk.apply(at(0), came(1, &["a"]));
    assert_eq!(two.pass(0).as_deref(), Some("b"));
    two.desk.apply(at(0), came(2, &["a", "b"]));
    assert_eq!(two.pass(0), None);
    let waits = two.desk.waits(at(0), JobId(2)).unwrap();
    assert_eq!(
        waits.why,
        "no machines would do: a at pohang: runs no images; b at busan: runs no images"
    );
    // The fleet has changed since: it is put where it would be run now, and the other one goes from there.
    let allowed: BTreeSet<NodesId> = ["a", "b"].map(|id| id.parse().unwrap()).into();
    let say = |id, ids: &[&str]| DeskInput::Allowed(JobId(id), allowed.clone(), unfit(ids));
    two.desk.apply(at(1), say(2, &["b"]));
    assert_eq!(two.pass(1).as_deref(), Some("a"));
    two.desk.apply(at(2), came(3, &[]));
    two.desk.apply(at(2), say(3, &["a", "b"]));
    assert_eq!(two.pass(2), None);
}
