//! Inside an account: who makes room for whom, and when its turn comes again.

use super::story::{Story, job};
use super::*;

/// Six of eight accelerators are free, and a job that has had more holds the others: it is stopped where the power suffices then.
#[test]
fn nobody_is_stopped_for_one_that_has_no_power_then() {
    let stops = |headroom: u64| {
        let mut story = Story::new(JobRule::Madang, &[8]);
        story.comes(job(1, 2, 1_000_000)).check("+1");
        story.jobs.site_terms(SiteTerms {
            feeds: vec![Some(Feed {
                number: 0,
                watts: 700,
            })],
            headroom_watts: vec![headroom],
            ..SiteTerms::default()
        });
        let effects = story.at(7_200).comes(job(2, 8, 1_000)).pass();
        effects == [JobEffect::Stop { job: JobKey(1) }]
    };
    // Eight draw 5,600 watts, and two of them are drawn by the first.
    assert_eq!(
        [0, 4_199, 4_200, 9_000].map(stops),
        [false, false, true, true]
    );
}

#[test]
fn a_job_that_has_had_much_makes_room_and_comes_back() {
    let mut story = Story::new(JobRule::Madang, &[8]);
    story.comes(job(1, 8, 100_000)).check("+1");
    // 3,600 accelerator-seconds are its first level.
    story.at(400).comes(job(2, 8, 100_000)).check("");
    story.at(460).check("-1");
    // It holds its machines until it has written its checkpoint.
    story.at(465).check("").at(470).has_stopped(1).check("+2");
    story.at(800).ends(2).check("+1");
}

#[test]
fn a_job_is_let_run_for_a_minute() {
    let mut story = Story::new(JobRule::Madang, &[256]);
    story.comes(job(1, 256, 100_000)).check("+1");
    // It has had its first level after a quarter of a minute.
    story.at(20).comes(job(2, 256, 100_000)).check("");
    story.at(59).check("").at(60).check("-1");
}

#[test]
fn a_job_that_writes_no_checkpoint_is_never_stopped_and_delays_nobody() {
    let mut story = Story::new(JobRule::Madang, &[8]);
    story.comes(job(1, 6, 5_000).rigid()).check("+1");
    story.at(3_000).comes(job(2, 8, 100)).check("");
    // It would run past the start of job 2; one that can be stopped is, once it has had as much as others may at first.
    story.comes(job(3, 2, 5_000).rigid()).check("");
    story.comes(job(4, 2, 5_000)).check("+4");
    story
        .at(5_000)
        .ends(1)
        .check("-4")
        .has_stopped(4)
        .check("+2");
}

#[test]
fn no_more_are_stopped_than_make_room_and_the_last_in_line_first() {
    let mut story = Story::new(JobRule::Madang, &[2, 2]);
    story
        .comes(job(1, 1, 100_000))
        .comes(job(2, 1, 100_000))
        .check("+1 +2");
    story
        .at(10)
        .comes(job(3, 1, 100_000))
        .comes(job(4, 1, 100_000))
        .check("+3 +4");
    story.at(40_000).comes(job(5, 1, 10)).check("-4");
    story.has_stopped(4).check("+5");
}

#[test]
fn the_job_that_has_waited_for_days_is_its_accounts_first_until_it_ends() {
    let mut story = Story::new(JobRule::Madang, &[1]);
    story.comes(job(1, 1, 1_000_000)).check("+1");
    // Short ones come all the time: job 1 is stopped and waits.
    story
        .at(7_200)
        .comes(job(2, 1, 100))
        .check("-1")
        .has_stopped(1)
        .check("+2");
    let week_s = JobTerms::default().wait_us_max / SECOND_US;
    story
        .at(7_200 + week_s - 1)
        .comes(job(3, 1, 100))
        .ends(2)
        .check("+3");
    story
        .at(7_200 + week_s)
        .comes(job(4, 1, 100))
        .ends(3)
        .check("+1");
    story
        .at(7_400 + week_s)
        .check("")
        .at(100_000 + week_s)
        .check("");
}

/// What is learnt of a kind counts for those that wait too: else all that come later would go before them.
#[test]
fn those_that_wait_are_judged_by_what_is_learnt_meanwhile() {
    let mut story = Story::new(JobRule::Madang, &[1]);
    // For as long as nobody knows, each counts as if it took its limit.
    for key in 1..=3 {
        story.comes(job(key, 1, 7_200).rigid());
    }
    story.check("+1");
    story.at(10).ends(1).comes(job(4, 1, 7_200).rigid());
    story
        .check("+2")
        .at(20)
        .ends(2)
        .check("+3")
        .at(30)
        .ends(3)
        .check("+4");
}
