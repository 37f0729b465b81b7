//! Classes of jobs: who goes before whom, and how much of one is held at once.

use super::story::{Story, job};
use super::*;
use madang_types::Priority;

/// Tier 1 goes before all else.
fn first() -> JobClass {
    JobClass {
        key: 1,
        tier: 1,
        ..JobClass::default()
    }
}

#[test]
fn a_class_that_goes_before_others_stops_whoever_can_be_whatever_their_shares() {
    let mut story = Story::new(JobRule::Madang, &[4, 4]);
    let (poor, rich) = (
        story.jobs.account(Jobs::ROOT, 1),
        story.jobs.account(Jobs::ROOT, 1_000),
    );
    story
        .comes(job(1, 4, 10_000).of(rich))
        .comes(job(2, 4, 10_000).of(rich).rigid())
        .check("+1 +2");
    // By shares and levels alone this one would wait: the poor have had more.
    story.at(70).comes(job(3, 4, 10_000).of(rich)).check("");
    story
        .comes(job(4, 4, 10_000).of(poor).in_class(first()))
        .check("-1");
    story.at(80).has_stopped(1).check("+4");
    // Who writes no checkpoint is not stopped, and nobody of a lower tier stops one of a higher.
    let more = job(5, 4, 10).of(poor).in_class(first());
    story
        .at(160)
        .comes(more)
        .comes(job(6, 4, 10).of(rich))
        .check("");
    story.at(200).ends(4).check("+5").ends(5).check("+1");
}

#[test]
fn a_class_bounds_what_a_tenant_holds_in_it_and_nothing_else() {
    let mut story = Story::new(JobRule::Madang, &[8]);
    let tenant = story.jobs.account(Jobs::ROOT, 1);
    let project = story.jobs.account(tenant, 1);
    let bound = JobClass {
        held_milli_max: 3_000,
        ..first()
    };
    for key in 1..=3 {
        story.comes(job(key, 2, 1_000).of(project).in_class(bound));
    }
    story.comes(job(4, 1, 1_000).of(project).in_class(bound));
    story.comes(job(5, 4, 1_000).of(project)).check("+1 +4 +5");
    story.at(10).ends(1).check("+2").ends(4).check("");
    story.at(20).ends(2).check("+3");
}

#[test]
fn among_ones_own_the_class_counts_before_the_priority() {
    let mut story = Story::new(JobRule::Madang, &[1]);
    let ranked = |rank| JobClass {
        rank,
        ..JobClass::default()
    };
    let urgent = job(1, 1, 10).urgent(Priority::Critical);
    story
        .comes(urgent.in_class(ranked(50)))
        .comes(job(2, 1, 10).in_class(ranked(20)))
        .check("+2");
}
