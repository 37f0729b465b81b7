//! Random worlds: what is given is there, nobody is left, and the same inputs give the same effects.

use super::*;
use madang_types::Priority;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use std::collections::BTreeMap;

const RULES: [JobRule; 6] = [
    JobRule::Madang,
    JobRule::Fifo,
    JobRule::Easy,
    JobRule::Conservative,
    JobRule::Sjf,
    JobRule::SjfBackfill,
];
const MACHINES: [(u8, u16); 6] = [(0, 8), (0, 8), (0, 4), (1, 8), (1, 2), (2, 1)];

struct World {
    seed: u64,
    rule: JobRule,
    jobs: Jobs,
    reservations: Vec<Reservation>,
    /// To whom the first two accounts belong.
    tenant: AccountKey,
    accounts: Vec<AccountKey>,
    random: Pcg64,
    now_s: u64,
    asks: BTreeMap<JobKey, Ask>,
    on: BTreeMap<JobKey, Vec<Placement>>,
    stopping: Vec<JobKey>,
    left: u64,
    log: Vec<JobEffect>,
}

impl World {
    fn new(seed: u64, rule: JobRule) -> Self {
        // Each way to go before others, with Madang's rule too.
        let terms = JobTerms {
            backfill: [Backfill::Easy, Backfill::Conservative][usize::from(seed % 2 == 1)],
            ..JobTerms::default()
        };
        let machine = |(nodes, accelerators): &(u8, u16)| Machine {
            nodes: NodesKey(*nodes),
            accelerators: *accelerators,
            cpu_milli: u64::from(*accelerators) * 4_000,
            memory_mib: u64::from(*accelerators) * 1_024,
        };
        let machines: Vec<Machine> = MACHINES.iter().map(machine).collect();
        let mut jobs = Jobs::new(rule, terms, &machines);
        let tenant = jobs.account(Jobs::ROOT, 2);
        let accounts = vec![
            jobs.account(tenant, 1),
            jobs.account(tenant, 5),
            jobs.account(Jobs::ROOT, 1),
        ];
        let mut reservations = Vec::new();
        for at_s in [20_000, 90_000]
            .into_iter()
            .take(usize::try_from(seed % 3).unwrap())
        {
            let from = at(at_s);
            reservations.push(Reservation {
                machines: [MachineKey(0), MachineKey(3)].into(),
                account: seed.is_multiple_of(2).then_some(tenant),
                from,
                until: at(at_s + 60_000),
                notice_us: 600 * SECOND_US,
            });
        }
        jobs.reserve(reservations.clone());
        Self {
            seed,
            rule,
            jobs,
            reservations,
            tenant,
            accounts,
            random: Pcg64::seed_from_u64(seed),
            now_s: 0,
            asks: BTreeMap::new(),
            on: BTreeMap::new(),
            stopping: Vec::new(),
            left: 120,
            log: Vec::new(),
        }
    }

    fn run(mut self) -> Vec<JobEffect> {
        let mut steps = 0;
        while self.left > 0 || !self.asks.is_empty() {
            steps += 1;
            assert!(
                steps < 20_000,
                "seed {}: {} jobs never end",
                self.seed,
                self.asks.len()
            );
            self.now_s += self.random.random_range(0..2_000);
            self.happen();
            let mut effects = Vec::new();
            self.jobs.pass(at(self.now_s), &mut effects);
            for effect in &effects {
                self.perform(effect);
            }
            self.log.append(&mut effects);
            self.look();
        }
        self.log
    }

    fn happen(&mut self) {
        let now = at(self.now_s);
        match self.random.random_range(0..4) {
            0 | 1 if self.left > 0 => {
                self.left -= 1;
                let ask = self.ask();
                self.asks.insert(ask.job, ask);
                self.jobs.apply(now, JobInput::Submitted(ask));
            }
            2 if !self.stopping.is_empty() => {
                let which = self.random.random_range(0..self.stopping.len());
                let job = self.stopping.swap_remove(which);
                self.on.remove(&job);
                self.jobs.apply(now, JobInput::Stopped(job));
            }
            _ => {
                let which = self.random.random_range(0..self.on.len().max(1));
                let job = self.on.keys().nth(which).copied();
                // Once nothing comes any more, those that never get a place are withdrawn too.
                let withdrawn = self.asks.keys().next().copied().filter(|_| self.left == 0);
                if let Some(job) = job.or(withdrawn) {
                    self.on.remove(&job);
                    self.stopping.retain(|other| *other != job);
                    self.asks.remove(&job);
                    self.jobs.apply(now, JobInput::Ended(job));
                }
            }
        }
    }

    fn ask(&mut self) -> Ask {
        let share_milli = [1000, 1000, 1000, 500, 250][self.random.random_range(0..5)];
        let accelerators = if share_milli < 1000 {
            1
        } else {
            [0, 1, 1, 2, 4, 8][self.random.random_range(0..6)]
        };
        Ask {
            job: JobKey(self.left),
            account: self.accounts[self.random.random_range(0..3)],
            need: Need {
                pieces: self.random.random_range(1..4),
                piece: Piece {
                    accelerators,
                    share_milli,
                    cpu_milli: self.random.random_range(0..9_000),
                    memory_mib: self.random.random_range(0..2_048),
                },
                ground: [Ground::ALL, Ground::of([NodesKey(0), NodesKey(2)])]
                    [self.random.random_range(0..2)],
            },
            run_us_max: self.random.random_range(1..100_000) * SECOND_US,
            preemptible: self.random.random_bool(0.7),
            priority: Priority::Standard,
            class: JobClass::default(),
        }
    }

    fn perform(&mut self, effect: &JobEffect) {
        match effect {
            JobEffect::Start { job, placements } => {
                let ask = self.asks[job];
                assert_eq!(placements.len(), usize::try_from(ask.need.pieces).unwrap());
                self.is_open(&ask, placements);
                let was = self.on.insert(*job, placements.clone());
                assert!(was.is_none(), "seed {}: {job:?} runs twice", self.seed);
            }
            JobEffect::Stop { job } => {
                assert!(self.asks[job].preemptible, "seed {}: {job:?}", self.seed);
                assert!(self.on.contains_key(job) && !self.stopping.contains(job));
                self.stopping.push(*job);
            }
        }
    }

    /// Nobody begins on a machine that is kept for others before it would have ended.
    fn is_open(&self, ask: &Ask, placements: &[Placement]) {
        let (now, ends) = (
            at(self.now_s),
            at(self.now_s).0 + i64::try_from(ask.run_us_max).unwrap(),
        );
        for kept in &self.reservations {
            let on = placements
                .iter()
                .any(|at| kept.machines.contains(&at.machine));
            let is_own =
                kept.account == Some(self.tenant) && self.accounts[..2].contains(&ask.account);
            let clear_at = kept.from.0.saturating_sub_unsigned(kept.notice_us);
            let leaves = ask.preemptible && self.rule == JobRule::Madang && now.0 < clear_at;
            let open = now >= kept.until
                || leaves
                || ends <= kept.from.0
                || (is_own && ends <= kept.until.0);
            assert!(!on || open, "seed {}: {ask:?} on {kept:?}", self.seed);
        }
    }

    /// Nothing is given twice, and nobody is where it may not be.
    fn look(&self) {
        let mut shares: BTreeMap<(u32, u16), u32> = BTreeMap::new();
        let mut cpus: BTreeMap<u32, u64> = BTreeMap::new();
        for (job, placements) in &self.on {
            let ground = self.asks[job].need.ground;
            let groups = placements
                .iter()
                .map(|placement| MACHINES[index(placement)].0);
            let groups: std::collections::BTreeSet<u8> = groups.collect();
            assert_eq!(groups.len(), 1, "seed {}: {job:?}", self.seed);
            assert!(groups.iter().all(|group| ground.has(NodesKey(*group))));
            for placement in placements {
                *cpus.entry(placement.machine.0).or_default() += placement.piece.cpu_milli;
                for accelerator in &placement.accelerators {
                    let share = shares
                        .entry((placement.machine.0, *accelerator))
                        .or_default();
                    *share += u32::from(placement.piece.share_milli);
                }
            }
        }
        for ((machine, accelerator), share) in shares {
            let (_, accelerators) = MACHINES[usize::try_from(machine).unwrap()];
            assert!(
                accelerator < accelerators && share <= 1000,
                "seed {}",
                self.seed
            );
        }
        for (machine, cpu) in cpus {
            let (_, accelerators) = MACHINES[usize::try_from(machine).unwrap()];
            assert!(cpu <= u64::from(accelerators) * 4_000, "seed {}", self.seed);
        }
        assert_eq!(self.jobs.running(), self.on.len(), "seed {}", self.seed);
        assert_eq!(self.jobs.waiting(), self.asks.len() - self.on.len());
    }
}

fn index(placement: &Placement) -> usize {
    usize::try_from(placement.machine.0).unwrap()
}

#[test]
fn nothing_is_given_twice_and_the_same_inputs_give_the_same_effects() {
    for seed in seeds(40) {
        for rule in RULES {
            let effects = World::new(seed, rule).run();
            assert!(!effects.is_empty());
            assert_eq!(
                effects,
                World::new(seed, rule).run(),
                "SEED={seed} SEEDS=1 cargo test -p madang-core jobs::tests::worlds"
            );
        }
    }
}
