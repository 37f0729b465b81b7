//! What a decision about batch jobs costs: `cargo bench -p madang-core --bench jobs`.

use divan::Bencher;
use madang_core::desk::{Arrival, Desk, DeskEffect, DeskInput, DeskNodes, UNSEEN_MS_MAX};
use madang_core::jobs::{
    AccountKey, Ask, Backfill, JobClass, JobEffect, JobInput, JobKey, JobRule, JobTerms, Jobs,
    Machine, Need, NodesKey,
};
use madang_types::{Job, JobId, JobState, Micros, Priority, RunEnd, RunOutcome};
use std::collections::BTreeMap;

fn main() {
    divan::main();
}

const SIZES: [u32; 6] = [1, 1, 2, 4, 8, 16];
const SECOND_US: i64 = 1_000_000;

/// A fleet of machines of eight that is full, a thousand tenants, and so many jobs that wait.
struct Full {
    jobs: Jobs,
    accounts: Vec<AccountKey>,
    running: Vec<JobKey>,
    next: u64,
    now: Micros,
}

impl Full {
    fn new(machines: usize, waiting: usize) -> Self {
        Self::with(machines, waiting, JobTerms::default())
    }

    fn with(machines: usize, waiting: usize, terms: JobTerms) -> Self {
        let machine = Machine {
            nodes: NodesKey(0),
            accelerators: 8,
            cpu_milli: 0,
            memory_mib: 0,
        };
        let mut jobs = Jobs::new(JobRule::Madang, terms, &vec![machine; machines]);
        let programmes: Vec<_> = (0..10).map(|_| jobs.account(Jobs::ROOT, 1)).collect();
        let accounts = (0..1_000)
            .map(|n| jobs.account(programmes[n % 10], 1))
            .collect();
        let mut full = Self {
            jobs,
            accounts,
            running: Vec::new(),
            next: 0,
            now: Micros(0),
        };
        while full.jobs.waiting() < waiting {
            for _ in 0..1_000 {
                full.comes();
            }
            full.pass();
        }
        full
    }

    fn comes(&mut self) {
        self.next += 1;
        let pick =
            usize::try_from(self.next.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33).unwrap_or(0);
        let ask = Ask {
            job: JobKey(self.next),
            account: self.accounts[pick % self.accounts.len()],
            need: Need::accelerators(SIZES[pick % SIZES.len()]),
            run_us_max: 86_400_000_000,
            preemptible: !pick.is_multiple_of(4),
            priority: Priority::Standard,
            class: JobClass::default(),
        };
        self.jobs.apply(self.now, JobInput::Submitted(ask));
    }

    /// What is to be done happens at once.
    fn pass(&mut self) {
        let mut effects = Vec::new();
        self.jobs.pass(self.now, &mut effects);
        for effect in effects {
            match effect {
                JobEffect::Start { job, .. } => self.running.push(job),
                JobEffect::Stop { job } => {
                    self.running.retain(|other| *other != job);
                    self.jobs.apply(self.now, JobInput::Stopped(job));
                }
            }
        }
    }
}

/// A job ends, another comes, and it is decided who runs.
#[divan::bench(args = [(64, 1_000), (64, 80_000), (1_250, 80_000)])]
fn one_ends_and_one_comes(bencher: Bencher<'_, '_>, (machines, waiting): (usize, usize)) {
    passes(bencher, Full::new(machines, waiting));
}

/// The same where each job that waits is promised a start.
#[divan::bench(args = [(64, 1_000), (64, 80_000), (1_250, 80_000)])]
fn conservative(bencher: Bencher<'_, '_>, (machines, waiting): (usize, usize)) {
    let terms = JobTerms {
        backfill: Backfill::Conservative,
        ..JobTerms::default()
    };
    passes(bencher, Full::with(machines, waiting, terms));
}

fn passes(bencher: Bencher<'_, '_>, mut full: Full) {
    bencher.bench_local(|| {
        full.now = Micros(full.now.0 + 10 * SECOND_US);
        if !full.running.is_empty() {
            let which = usize::try_from(full.next).unwrap_or(0) % full.running.len();
            let job = full.running.swap_remove(which);
            full.jobs.apply(full.now, JobInput::Ended(job));
        }
        full.comes();
        full.pass();
    });
}

/// A task of an array ends, and it is decided who runs: as much for a long one as for a short one.
#[divan::bench(args = [1_000, 100_000])]
fn a_task_of_an_array_ends(bencher: Bencher<'_, '_>, tasks: u32) {
    let (mut desk, mut running, mut now) = (desk(tasks), Vec::new(), 0);
    bencher.bench_local(|| {
        now += SECOND_US;
        if let Some(run) = running.pop() {
            let end = RunEnd {
                outcome: RunOutcome::Stopped,
                started_at: Some(Micros(now - SECOND_US)),
                ended_at: Micros(now),
                energy: None,
            };
            desk.apply(Micros(now), DeskInput::Ended(run, end));
        }
        let mut effects = Vec::new();
        desk.pass(Micros(now), &mut effects);
        running.extend(effects.iter().filter_map(|effect| match effect {
            DeskEffect::Begin(run) => Some(run.run),
            _ => None,
        }));
    });
}

/// 512 accelerators, and an array. Its tasks wait again after each run: it never ends.
fn desk(tasks: u32) -> Desk {
    let nodes = DeskNodes {
        id: "a".parse().expect("a name"),
        site: "pohang".parse().expect("a name"),
        accelerator: "h200".to_owned(),
        count: 64,
        per_node: 8,
        worth_milli: 1_000,
        accelerator_memory_mib: None,
        has_queue: false,
        unseen_ms_max: UNSEEN_MS_MAX,
        cpu_milli: None,
        memory_mib: None,
    };
    let mut desk = Desk::new(JobTerms::default(), vec![nodes]);
    let spec = serde_json::json!({
        "name": "array", "command": ["true"], "resources": {"count": 1}, "time_limit_ms": 3_600_000, "array": {"tasks": tasks},
    });
    let job = Job {
        id: JobId(1),
        tenant: "hanbit".parse().expect("a name"),
        project: None,
        programme: None,
        key: None,
        spec: serde_json::from_value(spec).expect("a job"),
        state: JobState::Pending,
        held: false,
        cancelled_at: None,
        why: None,
        submitted_at: Micros(0),
        ended_at: None,
    };
    let arrival = Arrival {
        job,
        runs: Vec::new(),
        over: BTreeMap::new(),
        allowed: ["a".parse().expect("a name")].into(),
        unfit: BTreeMap::new(),
        weights: [1, 1, 1],
    };
    desk.apply(Micros(0), DeskInput::Came(Box::new(arrival)));
    desk
}

/// Somebody asks when the job that came last will start.
#[divan::bench(args = [(64, 1_000), (64, 80_000), (1_250, 80_000)])]
fn when_is_it_my_turn(bencher: Bencher<'_, '_>, (machines, waiting): (usize, usize)) {
    let full = Full::new(machines, waiting);
    let last = (1..=full.next).rev().map(JobKey);
    let mut waits = last.filter(|job| full.jobs.outlook(full.now, *job).is_some());
    let job = waits.next().unwrap_or(JobKey(0));
    bencher.bench_local(|| full.jobs.outlook(full.now, job));
}
