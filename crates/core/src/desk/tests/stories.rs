//! One thing after another, and what is said to be done.

use super::*;
use madang_types::{After, AfterWhen, StopWhy};

pub(super) struct Story {
    pub(super) desk: Desk,
    now: i64,
}

impl Story {
    pub(super) fn new(nodes: Vec<DeskNodes>) -> Self {
        Self {
            desk: Desk::new(JobTerms::default(), nodes),
            now: 0,
        }
    }

    pub(super) fn at(&mut self, now: i64) -> &mut Self {
        self.now = now;
        self
    }

    pub(super) fn tell(&mut self, input: DeskInput) -> &mut Self {
        self.desk.apply(at(self.now), input);
        self
    }

    pub(super) fn ends(&mut self, run: &str, outcome: RunOutcome) -> &mut Self {
        let end = end(outcome, self.now - 1, self.now);
        self.tell(DeskInput::Ended(run.parse().unwrap(), end))
    }

    #[track_caller]
    pub(super) fn check(&mut self, expected: &str) -> &mut Self {
        let mut effects = Vec::new();
        self.desk.pass(at(self.now), &mut effects);
        assert_eq!(said(&effects), expected);
        self
    }

    #[track_caller]
    pub(super) fn check_waits(&mut self, id: u64, expected: &str) -> &mut Self {
        let waits = self.desk.waits(at(self.now), JobId(id));
        let why = waits.map_or_else(String::new, |waits| waits.why);
        assert!(why.contains(expected), "{why:?} has no {expected:?}");
        self
    }
}

pub(super) fn small() -> Story {
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

fn payer() -> Payer {
    (None, "hanbit".parse().unwrap())
}

fn funds(kinds: &[&str], stops: bool) -> DeskInput {
    let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
    let funds = Funds {
        closed: None,
        kinds: Some(kinds),
        stops,
    };
    DeskInput::Funds(payer(), funds)
}

fn with_checkpoint(id: u64) -> Job {
    let mut job = job(id, 1);
    job.spec.checkpoint = Some(JobCheckpoint {
        signal: madang_types::StopSignal::Usr1,
        grace_ms: 1_000,
    });
    job
}

/// The checkpoint with which the first run is stopped that the next effects stop, and why.
fn stop_of(story: &mut Story) -> (Option<JobCheckpoint>, StopWhy) {
    let mut effects = Vec::new();
    story.desk.pass(at(story.now), &mut effects);
    let stop = effects.into_iter().find_map(|effect| match effect {
        DeskEffect::Stop(run, checkpoint) => Some((checkpoint, run.stop.unwrap().why)),
        _ => None,
    });
    stop.unwrap()
}

#[test]
fn a_budget_that_ends_stops_new_starts_and_what_runs_as_the_programme_says() {
    let mut story = Story::new(vec![nodes("a", "h200", 1, 1), nodes("b", "rngd", 1, 1)]);
    let mut first = with_checkpoint(1);
    first.spec.resources.accelerator = vec!["h200".to_owned()];
    let mut second = first.clone();
    second.id = JobId(2);
    story.tell(arrival(first)).tell(arrival(second));
    story.tell(funds(&["h200", "rngd"], false));
    story.check("+1-1 1:running").check_waits(2, "it is next");
    // What runs goes on, with a warning; what waits for that kind says why it does not start.
    story.tell(funds(&["rngd"], false)).check("");
    story.check_waits(
        2,
        "no budget: nothing that 'hanbit' was granted pays now for accelerators 'h200'",
    );
    let warning = story.desk.warning(JobId(1)).unwrap();
    assert!(
        warning.contains("1-1: no budget") && warning.contains("until its time limit"),
        "{warning}"
    );
    story.ends("1-1", failed()).check("=1-1 1:failed");
    // It is there again, and ends again; its programme stops what runs now.
    story.tell(funds(&["h200"], true)).check("+2-1 2:running");
    story.tell(funds(&[], true));
    let (checkpoint, why) = stop_of(&mut story);
    assert_eq!(
        (checkpoint.unwrap().grace_ms, why),
        (1_000, StopWhy::Budget)
    );
    let warning = story.desk.warning(JobId(2)).unwrap();
    assert!(warning.contains("it is being stopped"), "{warning}");
    story.tell(funds(&[], true)).check("");
    story
        .ends("2-1", RunOutcome::Stopped)
        .check("=2-1 2:pending");
    story.check_waits(2, "no budget");
    // The owner may withdraw it then, and it costs no try to wait.
    story.tell(funds(&["h200"], true)).check("+2-2 2:running");
}

#[test]
fn a_closed_programme_keeps_everything_back_and_who_needs_no_accelerator_needs_no_grant() {
    let mut story = small();
    let mut idle = job(1, 0);
    idle.spec.resources.cpu_milli = 100;
    story
        .tell(arrival(idle))
        .tell(funds(&[], true))
        .check("+1-1 1:running");
    let closed = Funds {
        closed: Some("the programme 'ours' is closed".to_owned()),
        kinds: None,
        stops: true,
    };
    story.tell(DeskInput::Funds(payer(), closed));
    // It writes no checkpoint: its executor ends it as if it had been withdrawn, and it waits again all the same.
    assert_eq!(stop_of(&mut story), (None, StopWhy::Budget));
    story
        .ends("1-1", RunOutcome::Cancelled)
        .check("=1-1 1:pending");
    story.check_waits(1, "no budget: the programme 'ours' is closed");
    let open = Funds::default();
    story
        .tell(DeskInput::Funds(payer(), open))
        .check("+1-2 1:running");
}

#[test]
fn a_stop_switch_stops_what_runs_at_its_site_until_it_is_lifted() {
    let mut story = small();
    let switch =
        || DeskInput::Stopped([("pohang".parse().unwrap(), "site:pohang".to_owned())].into());
    story
        .tell(arrival(with_checkpoint(1)))
        .check("+1-1 1:running");
    story.tell(switch());
    let (checkpoint, why) = stop_of(&mut story);
    assert!(checkpoint.is_some());
    assert_eq!(why, StopWhy::Switch);
    story
        .ends("1-1", RunOutcome::Stopped)
        .check("=1-1 1:pending");
    // Policy says so too.
    story.tell(DeskInput::Allowed(
        JobId(1),
        BTreeSet::new(),
        BTreeMap::new(),
    ));
    story.check_waits(1, "an operator stopped pohang (site:pohang)");
    let allowed = ["a".parse().unwrap()].into();
    story.tell(DeskInput::Allowed(JobId(1), allowed, BTreeMap::new()));
    // Who comes meanwhile waits too.
    story.tell(arrival(job(2, 1))).check("");
    story.tell(DeskInput::Stopped(BTreeMap::new()));
    story.check("+1-2 1:running +2-1 2:running");
    // One that was running when the desk was opened is stopped as well.
    let mut run = story.desk.runs().next().unwrap().clone();
    run.state = RunState::Running;
    let mut again = small();
    again.tell(switch());
    let mut came = arrival(with_checkpoint(1));
    if let DeskInput::Came(arrival) = &mut came {
        arrival.runs.push(run);
    }
    again.tell(came);
    assert_eq!(stop_of(&mut again).1, StopWhy::Switch);
}

#[test]
fn what_begins_anew_is_known_as_that_after_a_restart() {
    let mut story = small();
    story.tell(arrival(job(1, 1))).check("+1-1 1:running");
    story.tell(DeskInput::Requeued(JobId(1)));
    let mut run = story.desk.runs().next().unwrap().clone();
    assert_eq!(run.stop.map(|stop| stop.why), Some(StopWhy::Requeued));
    (run.state, run.end) = (RunState::Ended, Some(end(failed(), 0, 1)));
    let mut again = small();
    let mut came = arrival(job(1, 1));
    if let DeskInput::Came(arrival) = &mut came {
        arrival.runs.push(run);
    }
    again.tell(came).check("+1-2 1:running");
}

#[test]
fn a_run_that_the_books_have_and_nothing_pays_for_waits_and_costs_no_try() {
    let mut story = small();
    story.tell(arrival(job(1, 1))).check("+1-1 1:running");
    let why = "the allocation hours lacks 5".to_owned();
    story.ends("1-1", RunOutcome::Refused { why });
    story.check("=1-1 1:pending").check_waits(1, "lacks 5");
    story.at(60).check("+1-2 1:running");
    let why = "another is short".to_owned();
    story.ends("1-2", RunOutcome::Refused { why });
    story.tell(DeskInput::Cancelled(JobId(1), at(61)));
    story.check("=1-2 1:pending 1:cancelled");
}

#[test]
fn what_was_used_before_the_desk_was_opened_counts() {
    let mut story = Story::new(vec![nodes("a", "h200", 1, 1)]);
    story.tell(arrival(job(1, 1))).check("+1-1 1:running");
    let mut second = job(3, 1);
    second.tenant = "hankuk".parse().unwrap();
    let used = Used {
        owner: (None, "hanbit".parse().unwrap(), None),
        weights: [1, 1, 1],
        accelerator_ms: 1_000_000_000,
        at: at(-86_400),
    };
    story.tell(DeskInput::Used(used));
    // Who came first would be first.
    story.tell(arrival(job(2, 1))).tell(arrival(second));
    story.at(1).ends("1-1", RunOutcome::Completed);
    story.check("=1-1 1:completed +3-1 3:running");
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
