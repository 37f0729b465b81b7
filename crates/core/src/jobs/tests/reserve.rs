//! Machines that are kept.

use super::story::{J, Story, job};
use super::*;

/// Machine 1 is kept from 100 until 200, and cleared from 90 on.
fn keep(story: &mut Story, account: Option<AccountKey>) {
    story.jobs.reserve(vec![Reservation {
        machines: [MachineKey(1)].into(),
        account,
        from: at(100),
        until: at(200),
        notice_us: 10 * SECOND_US,
    }]);
}

#[test]
fn who_has_ended_by_then_is_let_in_before_and_nobody_while_machines_are_mended() {
    for rule in [
        JobRule::Madang,
        JobRule::Easy,
        JobRule::Fifo,
        JobRule::Conservative,
    ] {
        let mut story = Story::new(rule, &[4, 4]);
        keep(&mut story, None);
        story.comes(job(1, 4, 150).rigid()).check("+1");
        // Four are free, and will be mended before it had ended.
        story.comes(job(2, 4, 150).rigid()).check("");
        if rule != JobRule::Fifo {
            story.comes(job(3, 4, 100).rigid()).check("+3");
            story.at(100).ends(3).check("");
        }
        story.at(150).ends(1).check("+2");
        story.at(199).comes(job(4, 4, 10).rigid()).check("");
        assert_eq!(story.jobs.wake_at(at(199)), Some(at(200)), "{rule:?}");
        story.at(200).check("+4");
    }
}

#[test]
fn who_is_there_and_can_be_stopped_leaves_in_time() {
    let mut story = Story::new(JobRule::Madang, &[4, 4]);
    keep(&mut story, None);
    story.comes(job(1, 8, 500)).check("+1");
    assert_eq!(story.jobs.wake_at(at(0)), Some(at(90)));
    story.at(89).check("").at(90).check("-1").check("");
    story.at(95).has_stopped(1).check("");
    story.at(200).check("+1");
}

#[test]
fn machines_are_there_for_those_for_whom_they_are_kept() {
    let mut story = Story::new(JobRule::Madang, &[4, 4]);
    let programme = story.jobs.account(Jobs::ROOT, 1);
    let ours = story.jobs.account(programme, 1);
    let others = story.jobs.account(Jobs::ROOT, 1_000);
    keep(&mut story, Some(programme));
    story.comes(job(1, 4, 1_000).rigid().of(others)).check("+1");
    // Before it begins machines are nobody's, and who has not ended by its end has no room.
    story.comes(job(2, 4, 250).rigid().of(ours)).check("");
    story.comes(job(3, 1, 1_000).rigid().of(others)).check("");
    story.comes(job(4, 3, 90).rigid().of(ours)).check("+4");
    story.at(90).ends(4).check("");
    story
        .at(100)
        .comes(job(5, 4, 50).rigid().of(others))
        .check("");
    story.comes(job(6, 2, 100).rigid().of(ours)).check("+6");
    story.comes(job(7, 3, 50).rigid().of(ours)).check("");
    story
        .at(150)
        .comes(job(8, 2, 50).rigid().of(ours))
        .check("+8");
}

#[test]
fn a_job_that_would_be_in_the_way_is_told_when_it_starts() {
    let mut story = Story::new(JobRule::Madang, &[4, 4]);
    keep(&mut story, None);
    story.comes(job(1, 4, 120).rigid()).check("+1");
    story.comes(job(2, 8, 120).rigid()).check("");
    let outlook = story.jobs.outlook(at(0), JobKey(2)).unwrap();
    assert_eq!(outlook.starts_at, Some(at(200)));
    let outlook = story
        .comes(job(3, 4, 120).rigid())
        .jobs
        .outlook(at(0), JobKey(3));
    assert!(outlook.unwrap().starts_at >= Some(at(120)));
}

#[test]
fn who_owns_a_reservation_is_told_that_it_starts_with_it() {
    let starts = |first: J, second: Option<J>| {
        let mut story = Story::new(JobRule::Madang, &[4, 4]);
        let ours = story.jobs.account(Jobs::ROOT, 1);
        let others = story.jobs.account(Jobs::ROOT, 1_000);
        keep(&mut story, Some(ours));
        story.comes(first.of(others)).check("+1");
        if let Some(second) = second {
            story.comes(second.of(ours)).check("");
        }
        story.at(10).comes(job(3, 4, 50).rigid().of(ours)).check("");
        story.jobs.outlook(at(10), JobKey(3)).unwrap().starts_at
    };
    // Who is there now is stopped in time.
    assert_eq!(starts(job(1, 8, 500), None), Some(at(100)));
    // Its own that comes first has these machines.
    let first = job(2, 4, 60).rigid();
    assert!(starts(job(1, 8, 500), Some(first)) > Some(at(100)));
}
