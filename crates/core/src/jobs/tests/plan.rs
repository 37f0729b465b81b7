//! Conservative backfill: what is promised is kept.

use super::*;
use madang_types::Priority;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use std::collections::{BTreeMap, BTreeSet};

const MACHINES: [(u8, u16); 3] = [(0, 8), (0, 4), (1, 6)];

/// Jobs that run exactly as long as they say.
struct World {
    seed: u64,
    random: Pcg64,
    jobs: Jobs,
    now_s: u64,
    run_s: BTreeMap<JobKey, u64>,
    ends: BTreeSet<(u64, JobKey)>,
    promised: BTreeMap<JobKey, Micros>,
    to_come: u64,
    /// How often a job went before one that waited.
    overtakes: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let machine = |(nodes, accelerators): &(u8, u16)| Machine {
            nodes: NodesKey(*nodes),
            accelerators: *accelerators,
            cpu_milli: 0,
            memory_mib: 0,
        };
        let machines: Vec<Machine> = MACHINES.iter().map(machine).collect();
        Self {
            seed,
            random: Pcg64::seed_from_u64(seed),
            jobs: Jobs::new(JobRule::Conservative, JobTerms::default(), &machines),
            now_s: 0,
            run_s: BTreeMap::new(),
            ends: BTreeSet::new(),
            promised: BTreeMap::new(),
            to_come: 150,
            overtakes: 0,
        }
    }

    fn run(mut self) -> u64 {
        while self.to_come > 0 || self.jobs.waiting() + self.jobs.running() > 0 {
            let next = self.ends.first().map(|(at, _)| *at);
            let comes = (self.to_come > 0).then(|| self.now_s + self.random.random_range(0..40));
            self.now_s = [next, comes].into_iter().flatten().min().unwrap();
            while let Some((at_s, job)) = self.ends.pop_first() {
                if at_s > self.now_s {
                    self.ends.insert((at_s, job));
                    break;
                }
                self.jobs.apply(at(at_s), JobInput::Ended(job));
            }
            if comes == Some(self.now_s) {
                self.comes();
            }
            self.look();
        }
        self.overtakes
    }

    fn comes(&mut self) {
        self.to_come -= 1;
        let job = JobKey(150 - self.to_come);
        let run_s = self.random.random_range(1..300);
        self.run_s.insert(job, run_s);
        let need = Need {
            ground: [Ground::ALL, Ground::of([NodesKey(0)])][self.random.random_range(0..2)],
            ..Need::accelerators(self.random.random_range(1..=12))
        };
        self.jobs.apply(
            at(self.now_s),
            JobInput::Submitted(Ask {
                job,
                account: Jobs::ROOT,
                need,
                run_us_max: run_s * SECOND_US,
                preemptible: false,
                priority: Priority::Standard,
                class: JobClass::default(),
            }),
        );
    }

    fn look(&mut self) {
        let (now, mut effects) = (at(self.now_s), Vec::new());
        self.jobs.pass(now, &mut effects);
        for effect in effects {
            let JobEffect::Start { job, .. } = effect else {
                panic!("nobody is stopped");
            };
            self.ends.insert((self.now_s + self.run_s[&job], job));
            self.is_kept(job, now);
            self.promised.remove(&job);
            self.overtakes += u64::from(self.promised.keys().any(|other| *other < job));
        }
        let planned = self.jobs.planned(now);
        assert_eq!(planned.len(), self.jobs.waiting(), "seed {}", self.seed);
        for (job, starts_at) in planned {
            self.is_kept(job, starts_at);
            self.promised.insert(job, starts_at);
        }
    }

    fn is_kept(&self, job: JobKey, starts_at: Micros) {
        let promised = self.promised.get(&job);
        assert!(
            promised.is_none_or(|promised| starts_at <= *promised),
            "{job:?} was to start at {promised:?} and does at {starts_at:?}: SEED={} SEEDS=1 cargo test -p madang-core jobs::tests::plan",
            self.seed
        );
    }
}

#[test]
fn no_planned_start_is_moved_back_by_who_comes_later() {
    let overtakes: u64 = seeds(60).map(|seed| World::new(seed).run()).sum();
    assert!(overtakes > 0, "nobody went before another");
}
