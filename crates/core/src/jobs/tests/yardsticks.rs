//! The field's rules: first come, shortest first, and who goes before those that wait.

use super::story::{Story, job};
use super::*;

#[test]
fn all_pieces_of_a_job_start_together_or_none() {
    let mut story = Story::new(JobRule::Fifo, &[4, 4]);
    story.comes(job(1, 5, 10)).check("+1");
    story.comes(job(2, 4, 10)).check("");
    story.at(10).ends(1).check("+2");
}

#[test]
fn first_come_is_first_served_and_nobody_goes_before() {
    let mut story = Story::new(JobRule::Fifo, &[8]);
    story
        .comes(job(1, 6, 100))
        .comes(job(2, 4, 10))
        .comes(job(3, 1, 1));
    story.check("+1").at(100).ends(1).check("+2 +3");
}

#[test]
fn who_delays_nobody_goes_before_the_first_that_waits() {
    let mut story = Story::new(JobRule::Easy, &[8]);
    story.comes(job(1, 6, 100)).comes(job(2, 6, 10));
    // Two are free until 100, and two beside job 2 from then on: 3 ends by then, 4 fits beside job 2, 5 does neither.
    story
        .comes(job(3, 1, 100))
        .comes(job(4, 1, 500))
        .comes(job(5, 1, 500));
    story.check("+1 +3 +4");
    story.at(100).ends(1).ends(3).check("+2 +5");
}

#[test]
fn a_job_that_fits_beside_nobody_waits_though_there_is_room_now() {
    let mut story = Story::new(JobRule::Easy, &[8]);
    story
        .comes(job(1, 6, 100))
        .comes(job(2, 8, 10))
        .comes(job(3, 2, 101));
    story.check("+1");
    story.comes(job(4, 2, 100)).check("+4");
}

#[test]
fn who_is_let_by_delays_the_first_that_waits_or_none_of_them() {
    // Job 4 delays job 3 and not job 2: two are free until 100, and job 2 leaves none free from then until 200.
    for (rule, expected) in [(JobRule::Easy, "+1 +4"), (JobRule::Conservative, "+1")] {
        let mut story = Story::new(rule, &[8]);
        story
            .comes(job(1, 6, 100))
            .comes(job(2, 6, 100))
            .comes(job(3, 8, 10))
            .comes(job(4, 2, 250));
        story.check(expected);
        story.comes(job(5, 2, 200));
        story.check(if rule == JobRule::Easy { "" } else { "+5" });
    }
}

#[test]
fn a_job_that_never_fits_holds_up_nobody() {
    let mut story = Story::new(JobRule::Easy, &[4]);
    story.comes(job(1, 8, 10)).comes(job(2, 4, 10)).check("+2");
}

#[test]
fn the_shortest_is_first_where_run_times_are_known() {
    let mut story = Story::new(JobRule::Sjf, &[1]);
    story
        .comes(job(1, 1, 50))
        .comes(job(2, 1, 5))
        .comes(job(3, 1, 20));
    story
        .check("+2")
        .at(5)
        .ends(2)
        .check("+3")
        .at(25)
        .ends(3)
        .check("+1");
}
