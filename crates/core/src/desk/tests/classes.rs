//! Who goes before others, who makes room for them, and what is kept for whom.

use super::stories::{Story, small};
use super::*;

#[test]
fn a_job_that_makes_room_comes_back_and_its_tries_are_its_own() {
    let mut story = small();
    let mut first = job(1, 2);
    first.spec.checkpoint = Some(JobCheckpoint {
        signal: madang_types::StopSignal::Usr1,
        grace_ms: 1_000,
    });
    let mut other = job(2, 1);
    other.tenant = "hankuk".parse().unwrap();
    story.tell(arrival(first)).check("+1-1 1:running");
    story.at(7_200).tell(arrival(other)).check("-1-1");
    story.at(7_201).ends("1-1", RunOutcome::Stopped);
    story.check("=1-1 1:pending +2-1 2:running");
    story.at(7_300).ends("2-1", RunOutcome::Completed);
    story.check("=2-1 2:completed +1-2 1:running");
    story.tell(DeskInput::Requeued(JobId(1))).check("-1-2");
    story
        .ends("1-2", RunOutcome::Cancelled)
        .check("=1-2 1:pending +1-3 1:running");
}

#[test]
fn machines_that_are_kept_are_told_and_open_to_whom_they_are_kept_for() {
    let mut story = Story::new(vec![nodes("a", "h200", 2, 2)]);
    let keep = |owner| DeskReservation {
        id: "exam".to_owned(),
        nodes: "a".parse().unwrap(),
        machines: BTreeSet::from([1]),
        owner,
        from: at(100),
        until: at(10_000),
        notice_us: 0,
    };
    story.desk.reserve(vec![keep(None)]);
    story
        .tell(arrival(job(1, 2)))
        .tell(arrival(job(2, 2)))
        .check("+1-1 1:running")
        .check_waits(2, "it is next, and waits for machines to be free; machines are kept for others, or would be before it had ended, by: exam");
    // Machines that are told anew are kept as before.
    story.desk.machines(vec![nodes("a", "h200", 3, 2)]);
    story
        .check("+2-1 2:running")
        .tell(arrival(job(3, 2)))
        .check("");
    let hanbit = (None, Some("hanbit".parse().unwrap()));
    story.desk.reserve(vec![keep(Some(hanbit))]);
    story.at(100).check("+3-1 3:running");
}

#[test]
fn a_class_that_goes_before_others_has_them_write_their_checkpoints() {
    let mut story = small();
    story.desk.qos(vec![DeskQos {
        id: "urgent".to_owned(),
        priority: 50,
        tier: 1,
        held_max: Some(2),
    }]);
    let mut night = job(1, 2);
    let checkpoint = JobCheckpoint {
        signal: madang_types::StopSignal::Usr1,
        grace_ms: 30_000,
    };
    night.spec.checkpoint = Some(checkpoint);
    let mut urgent = job(2, 2);
    urgent.spec.qos = Some("urgent".to_owned());
    story.tell(arrival(night)).check("+1-1 1:running");
    // It has had its first minute, and is of the same tenant, with the same priority.
    story.at(70).tell(arrival(urgent));
    let mut effects = Vec::new();
    story.desk.pass(at(70), &mut effects);
    assert!(
        matches!(&effects[..], [DeskEffect::Stop(run, Some(how))] if run.state == RunState::Stopping && *how == checkpoint),
        "{effects:?}"
    );
    story
        .at(80)
        .ends("1-1", RunOutcome::Stopped)
        .check("=1-1 1:pending +2-1 2:running");
    story
        .at(90)
        .ends("2-1", RunOutcome::Completed)
        .check("=2-1 2:completed +1-2 1:running");
}

#[test]
fn a_class_that_is_full_is_told() {
    let mut story = Story::new(vec![nodes("a", "h200", 1, 8)]);
    story.desk.qos(vec![DeskQos {
        id: "urgent".to_owned(),
        priority: 50,
        tier: 1,
        held_max: Some(2),
    }]);
    for id in [1, 2] {
        let mut urgent = job(id, 2);
        urgent.spec.qos = Some("urgent".to_owned());
        story.tell(arrival(urgent));
    }
    story.check("+1-1 1:running");
    story.check_waits(
        2,
        "its class 'urgent' lets its tenant hold 2 accelerators at once",
    );
}
