//! What each account has of all accelerators.

use super::story::{Story, job};
use super::*;

#[test]
fn shares_are_kept_whoever_asks_for_more() {
    let mut story = Story::new(JobRule::Madang, &[8, 8]);
    let big = story.jobs.account(Jobs::ROOT, 3);
    let small = story.jobs.account(Jobs::ROOT, 1);
    for key in 0..100 {
        story.comes(job(key, 1, 100_000).of(small));
    }
    for key in 100..200 {
        story.comes(job(key, 1, 100_000).of(big));
    }
    let effects = story.pass();
    let of_big =
        |effect: &&JobEffect| matches!(effect, JobEffect::Start { job, .. } if job.0 >= 100);
    assert_eq!(
        (effects.len(), effects.iter().filter(of_big).count()),
        (16, 12)
    );
}

#[test]
fn shares_are_kept_on_every_level_of_the_tree() {
    let mut story = Story::new(JobRule::Madang, &[8]);
    let programmes = [
        story.jobs.account(Jobs::ROOT, 1),
        story.jobs.account(Jobs::ROOT, 1),
    ];
    let crowd = [0; 3].map(|_| story.jobs.account(programmes[0], 1));
    let alone = story.jobs.account(programmes[1], 1);
    for key in 0..30 {
        let account = crowd[usize::try_from(key % 3).unwrap()];
        story.comes(job(key, 1, 100_000).of(account));
    }
    for key in 30..60 {
        story.comes(job(key, 1, 100_000).of(alone));
    }
    let effects = story.pass();
    let is_alone =
        |effect: &&JobEffect| matches!(effect, JobEffect::Start { job, .. } if job.0 >= 30);
    assert_eq!(
        (effects.len(), effects.iter().filter(is_alone).count()),
        (8, 4)
    );
}

#[test]
fn who_used_little_finds_its_share_and_what_was_used_fades() {
    let mut story = Story::new(JobRule::Madang, &[8]);
    let accounts = [
        story.jobs.account(Jobs::ROOT, 1),
        story.jobs.account(Jobs::ROOT, 1),
    ];
    story
        .comes(job(1, 8, 1_000_000).of(accounts[0]))
        .check("+1");
    story.at(86_400).ends(1);
    let used = |story: &Story, days: u64| story.jobs.used_s(accounts[0], at(86_400 * days));
    let (first, later) = (used(&story, 1), used(&story, 8));
    assert!((first / (8.0 * 86_400.0) - 0.953).abs() < 0.002, "{first}");
    assert!((later / first - 0.5).abs() < 0.001, "{later}");
    for key in 10..20 {
        story.comes(job(key, 1, 100).of(accounts[usize::from(key >= 15)]));
    }
    story.check("+15 +16 +17 +18 +19 +10 +11 +12");
}

#[test]
fn what_an_accelerator_counts_is_its_kinds() {
    let mut story = Story::new(JobRule::Madang, &[4, 4]);
    let (fast, slow) = (
        story.jobs.account(Jobs::ROOT, 1),
        story.jobs.account(Jobs::ROOT, 1),
    );
    for (account, worth_milli) in [(fast, 1000), (slow, 250)] {
        let key = u64::from(worth_milli);
        story.jobs.worth(vec![worth_milli]);
        story
            .comes(job(key, 4, 10_000).of(account))
            .check(&format!("+{key}"));
    }
    // What runs counts as it did when it began, until it ends.
    story.jobs.worth(vec![7]);
    story.at(1_000).ends(1000).ends(250);
    let used = [fast, slow].map(|account| story.jobs.used_s(account, at(1_000)));
    assert!((used[0] / used[1] - 4.0).abs() < 1e-9, "{used:?}");
    assert!((used[0] / 4_000.0 - 1.0).abs() < 0.01, "{used:?}");
}
