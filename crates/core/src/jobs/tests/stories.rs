//! One thing after another, and what is said to be done.

use super::*;
use madang_types::Priority;

/// A job of whole accelerators.
#[derive(Clone, Copy)]
pub(super) struct J {
    key: u64,
    account: AccountKey,
    accelerators: u32,
    run_s_max: u64,
    preemptible: bool,
    priority: Priority,
    class: JobClass,
}

pub(super) fn job(key: u64, accelerators: u32, run_s_max: u64) -> J {
    J {
        key,
        account: Jobs::ROOT,
        accelerators,
        run_s_max,
        preemptible: true,
        priority: Priority::Standard,
        class: JobClass::default(),
    }
}

impl J {
    pub(super) fn of(self, account: AccountKey) -> Self {
        Self { account, ..self }
    }

    fn in_class(self, class: JobClass) -> Self {
        Self { class, ..self }
    }

    pub(super) fn rigid(self) -> Self {
        Self {
            preemptible: false,
            ..self
        }
    }

    fn ask(self) -> Ask {
        Ask {
            job: JobKey(self.key),
            account: self.account,
            need: Need::accelerators(self.accelerators),
            run_us_max: self.run_s_max * SECOND_US,
            preemptible: self.preemptible,
            priority: self.priority,
            class: self.class,
        }
    }
}

/// A world, and what it says: `+1` starts job 1, `-1` stops it.
pub(super) struct Story {
    pub(super) jobs: Jobs,
    now: Micros,
}

impl Story {
    pub(super) fn new(rule: JobRule, accelerators: &[u16]) -> Self {
        Self {
            jobs: Jobs::new(rule, JobTerms::default(), &machines(accelerators)),
            now: at(0),
        }
    }

    pub(super) fn at(&mut self, seconds: u64) -> &mut Self {
        self.now = at(seconds);
        self
    }

    pub(super) fn comes(&mut self, job: J) -> &mut Self {
        self.jobs.apply(self.now, JobInput::Submitted(job.ask()));
        self
    }

    pub(super) fn ends(&mut self, key: u64) -> &mut Self {
        self.jobs.apply(self.now, JobInput::Ended(JobKey(key)));
        self
    }

    pub(super) fn has_stopped(&mut self, key: u64) -> &mut Self {
        self.jobs.apply(self.now, JobInput::Stopped(JobKey(key)));
        self
    }

    #[track_caller]
    pub(super) fn check(&mut self, expected: &str) -> &mut Self {
        let mut effects = Vec::new();
        self.jobs.pass(self.now, &mut effects);
        let said = effects.iter().map(|effect| match effect {
            JobEffect::Start { job, .. } => format!("+{}", job.0),
            JobEffect::Stop { job } => format!("-{}", job.0),
        });
        assert_eq!(said.collect::<Vec<_>>().join(" "), expected);
        self
    }
}

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
    let mut effects = Vec::new();
    story.jobs.pass(story.now, &mut effects);
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
    let mut effects = Vec::new();
    story.jobs.pass(story.now, &mut effects);
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

#[test]
fn a_job_goes_only_where_it_may() {
    let machine = |nodes| Machine {
        nodes: NodesKey(nodes),
        accelerators: 4,
        cpu_milli: 0,
        memory_mib: 0,
    };
    let mut jobs = Jobs::new(
        JobRule::Madang,
        JobTerms::default(),
        &[machine(0), machine(1)],
    );
    let mut check = |key, accelerators, ground, expected: &[u32]| {
        let need = Need {
            ground,
            ..Need::accelerators(accelerators)
        };
        let ask = Ask {
            need,
            ..job(key, 1, 10).ask()
        };
        jobs.apply(at(0), JobInput::Submitted(ask));
        let mut effects = Vec::new();
        jobs.pass(at(0), &mut effects);
        let on: Vec<u32> = effects
            .iter()
            .flat_map(|effect| match effect {
                JobEffect::Start { placements, .. } => placements.as_slice(),
                JobEffect::Stop { .. } => &[],
            })
            .map(|placement| placement.machine.0)
            .collect();
        assert_eq!(on, expected, "job {key}");
    };
    check(1, 1, Ground::of([NodesKey(1)]), &[1]);
    check(2, 4, Ground::of([NodesKey(1)]), &[]);
    // A job is never on machines of two kinds.
    check(3, 5, Ground::ALL, &[]);
    check(4, 4, Ground::ALL, &[0, 0, 0, 0]);
    check(5, 1, Ground::of([NodesKey(9)]), &[]);
}

#[test]
fn parts_of_accelerators_fill_those_that_are_begun() {
    let mut jobs = Jobs::new(JobRule::Fifo, JobTerms::default(), &machines(&[2, 2]));
    let mut effects = Vec::new();
    for (key, share_milli) in [(1, 600), (2, 400), (3, 600), (4, 300)] {
        let piece = Piece {
            share_milli,
            ..Need::accelerators(1).piece
        };
        let need = Need {
            piece,
            ..Need::accelerators(1)
        };
        jobs.apply(
            at(0),
            JobInput::Submitted(Ask {
                need,
                ..job(key, 1, 10).ask()
            }),
        );
    }
    jobs.pass(at(0), &mut effects);
    let places: Vec<(u32, u16)> = effects
        .iter()
        .flat_map(|effect| match effect {
            JobEffect::Start { placements, .. } => placements.as_slice(),
            JobEffect::Stop { .. } => &[],
        })
        .map(|placement| (placement.machine.0, placement.accelerators[0]))
        .collect();
    assert_eq!(places, [(0, 0), (0, 0), (0, 1), (0, 1)]);
}

#[test]
fn what_is_said_of_nobody_or_twice_changes_nothing() {
    let mut story = Story::new(JobRule::Madang, &[1]);
    story
        .ends(7)
        .has_stopped(7)
        .comes(job(1, 1, 10))
        .comes(job(1, 1, 10))
        .check("+1");
    story
        .comes(job(2, 1, 10))
        .at(9)
        .ends(1)
        .ends(1)
        .check("+2")
        .check("");
    // The clock was set back.
    story.at(0).ends(2).comes(job(3, 1, 10)).check("+3");
    assert_eq!((story.jobs.running(), story.jobs.waiting()), (1, 0));
}

#[test]
fn a_job_that_never_fits_holds_up_nobody() {
    let mut story = Story::new(JobRule::Easy, &[4]);
    story.comes(job(1, 8, 10)).comes(job(2, 4, 10)).check("+2");
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
    let urgent = J {
        priority: Priority::Critical,
        ..job(1, 1, 10)
    };
    story
        .comes(urgent.in_class(ranked(50)))
        .comes(job(2, 1, 10).in_class(ranked(20)))
        .check("+2");
}
