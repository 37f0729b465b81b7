//! One thing after another, and what is said to be done.

use super::*;
use madang_types::{After, AfterWhen};

struct Story {
    desk: Desk,
    now: i64,
}

impl Story {
    fn new(nodes: Vec<DeskNodes>) -> Self {
        Self {
            desk: Desk::new(JobTerms::default(), nodes),
            now: 0,
        }
    }

    fn at(&mut self, now: i64) -> &mut Self {
        self.now = now;
        self
    }

    fn tell(&mut self, input: DeskInput) -> &mut Self {
        self.desk.apply(at(self.now), input);
        self
    }

    fn ends(&mut self, run: &str, outcome: RunOutcome) -> &mut Self {
        let end = end(outcome, self.now - 1, self.now);
        self.tell(DeskInput::Ended(run.parse().unwrap(), end))
    }

    #[track_caller]
    fn check(&mut self, expected: &str) -> &mut Self {
        let mut effects = Vec::new();
        self.desk.pass(at(self.now), &mut effects);
        assert_eq!(said(&effects), expected);
        self
    }

    #[track_caller]
    fn check_waits(&mut self, id: u64, expected: &str) -> &mut Self {
        let waits = self.desk.waits(at(self.now), JobId(id));
        let why = waits.map_or_else(String::new, |waits| waits.why);
        assert!(why.contains(expected), "{why:?} has no {expected:?}");
        self
    }
}

fn small() -> Story {
    Story::new(vec![nodes("a", "h200", 1, 2)])
}

fn failed() -> RunOutcome {
    RunOutcome::Failed { exit_code: 3 }
}

#[test]
fn a_job_comes_runs_and_ends() {
    let mut story = small();
    story.tell(arrival(job(7, 2))).check("+7-1 7:running");
    story.tell(DeskInput::Began("7-1".parse().unwrap(), at(1)));
    story.tell(arrival(job(8, 1))).check("");
    story.check_waits(8, "it is next");
    story.at(9).ends("7-1", RunOutcome::Completed);
    story.check("=7-1 7:completed +8-1 8:running");
    assert_eq!(story.desk.jobs().count(), 1);
}

#[test]
fn what_failed_is_tried_again_as_often_as_it_says() {
    let mut story = small();
    let mut flaky = job(1, 1);
    flaky.spec.retries_max = 1;
    story.tell(arrival(flaky)).check("+1-1 1:running");
    story.at(5).ends("1-1", failed()).check("=1-1 1:pending");
    story.check_waits(1, "tried again");
    assert_eq!(story.desk.wake_at(at(5)), Some(at(15)));
    story.at(15).check("+1-2 1:running");
    story.ends("1-2", failed()).check("=1-2 1:failed");
}

#[test]
fn what_was_lost_with_its_machine_begins_anew_and_not_for_ever() {
    let mut story = small();
    story.tell(arrival(job(1, 1))).check("+1-1 1:running");
    for run in 1..=3 {
        let why = "the machine is gone".to_owned();
        story.ends(&format!("1-{run}"), RunOutcome::Lost { why });
        story.check(&format!("=1-{run} 1:pending +1-{} 1:running", run + 1));
    }
    let why = "the machine is gone".to_owned();
    story
        .ends("1-4", RunOutcome::Lost { why })
        .check("=1-4 1:failed");
}

#[test]
fn a_job_waits_for_others_and_is_cancelled_where_they_end_otherwise() {
    let check = |when, outcome: RunOutcome, expected: &str| {
        let mut story = small();
        let mut second = job(2, 1);
        second.spec.after = vec![After {
            job: JobId(1),
            when,
        }];
        story.tell(arrival(job(1, 1))).tell(arrival(second));
        story.check("+1-1 1:running").check_waits(2, "until job 1");
        story.ends("1-1", outcome).check(expected);
    };
    let begins = "=1-1 1:completed +2-1 2:running";
    check(AfterWhen::Completed, RunOutcome::Completed, begins);
    check(AfterWhen::Ended, RunOutcome::Completed, begins);
    check(
        AfterWhen::Failed,
        RunOutcome::Completed,
        "=1-1 1:completed 2:cancelled",
    );
    check(AfterWhen::Completed, failed(), "=1-1 1:failed 2:cancelled");
    check(AfterWhen::Failed, failed(), "=1-1 1:failed +2-1 2:running");
}

#[test]
fn what_is_held_is_not_started_and_what_is_withdrawn_is_stopped() {
    let mut story = small();
    let mut held = job(1, 1);
    held.held = true;
    story.tell(arrival(held)).check("1:held");
    story.check_waits(1, "madang job release 1");
    story.tell(DeskInput::Held(JobId(1), false));
    story.check("1:pending +1-1 1:running");
    story
        .tell(DeskInput::Cancelled(JobId(1), at(3)))
        .check("-1-1");
    story
        .ends("1-1", RunOutcome::Cancelled)
        .check("=1-1 1:cancelled");
    story
        .tell(arrival(job(2, 1)))
        .tell(DeskInput::Cancelled(JobId(2), at(3)));
    story.check("2:cancelled");
}

#[test]
fn who_was_refused_waits_and_tries_again() {
    let mut story = small();
    story.tell(arrival(job(1, 1))).check("+1-1 1:running");
    let why = "the allocation hours lacks 5".to_owned();
    story.tell(DeskInput::Refused("1-1".parse().unwrap(), why));
    story.check("1:pending").check_waits(1, "lacks 5");
    story.at(59).check("").at(60).check("+1-1 1:running");
    story
        .tell(DeskInput::Refused("1-1".parse().unwrap(), String::new()))
        .check("1:pending");
    story.tell(DeskInput::Granted).check("+1-1 1:running");
}

#[test]
fn an_array_runs_as_many_at_once_as_it_allows() {
    let mut story = Story::new(vec![nodes("a", "h200", 2, 4)]);
    let mut array = job(1, 1);
    array.spec.array = Some(JobArray {
        tasks: 4,
        at_once_max: Some(2),
    });
    story.tell(arrival(array)).check("+1.0-1 1:running +1.1-1");
    story.check_waits(1, "at once");
    story
        .ends("1.0-1", RunOutcome::Completed)
        .check("=1.0-1 +1.2-1");
    story.ends("1.2-1", failed()).check("=1.2-1 +1.3-1");
    let counts = story.desk.counts(JobId(1)).unwrap();
    assert_eq!(
        (
            counts.pending,
            counts.running,
            counts.completed,
            counts.failed
        ),
        (0, 2, 1, 1)
    );
    story
        .ends("1.1-1", RunOutcome::Completed)
        .ends("1.3-1", RunOutcome::Completed);
    story.check("=1.1-1 =1.3-1 1:failed");
}

#[test]
fn what_fits_nowhere_says_what_is_lacking_where() {
    let mut story = Story::new(vec![nodes("a", "h200", 1, 2), nodes("b", "rngd", 4, 8)]);
    let mut big = job(1, 16);
    big.spec.resources.per_node = Some(8);
    big.spec.resources.accelerator = vec!["h200".to_owned()];
    story.tell(arrival(big)).check("");
    story.check_waits(
        1,
        "a at pohang: 2 accelerators in one machine; b at pohang: its accelerators are rngd",
    );
    story.desk.machines(vec![nodes("a", "h200", 2, 8)]);
    story.check("+1-1 1:running");
}

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
        matches!(&effects[..], [DeskEffect::Stop(run, Some(how))] if run.makes_room && *how == checkpoint),
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
