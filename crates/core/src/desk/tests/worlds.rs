//! Random worlds: every job ends, no task runs twice at once, and a desk that is opened anew from the books goes on where it was.
//! Madang dies between any two steps of beginning and paying a run: nothing stays set aside, and nothing is begun twice.
//!
//! `SEED=7 SEEDS=1 cargo test -p madang-core desk::tests::worlds` runs one.

use super::*;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;

/// How what a run may cost stands in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aside {
    Reserved,
    Over,
}

/// After which step Madang dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dies {
    Settled,
    Written,
    Reserved,
    Started,
}

/// What outlives the desk: the books, and what executors do.
struct World {
    seed: u64,
    random: Pcg64,
    now: i64,
    desk: Desk,
    jobs: BTreeMap<JobId, Job>,
    runs: BTreeMap<RunId, RunRecord>,
    aside: BTreeMap<RunId, Aside>,
    /// Runs that an executor was told of.
    started: BTreeSet<RunId>,
    stopping: BTreeSet<RunId>,
    /// Until when jobs were put off at the last look.
    put_off: BTreeMap<JobId, Micros>,
    /// Nothing pays for jobs of hanbit now.
    unpaid: bool,
    /// An operator stopped the site.
    stopped: bool,
    to_come: u64,
}

fn machines() -> Vec<DeskNodes> {
    vec![nodes("a", "h200", 2, 4), nodes("b", "rngd", 3, 2)]
}

/// With classes: one that goes before all else and is bounded, and one that comes last. Every other hour is dear.
fn desk() -> Desk {
    let mut desk = Desk::new(JobTerms::default(), machines());
    let qos = |id: &str, priority, tier, held_max| DeskQos {
        id: id.to_owned(),
        priority,
        tier,
        held_max,
    };
    desk.qos(vec![
        qos("urgent", 80, 1, Some(8)),
        qos("night", 10, 0, None),
    ]);
    let mut electricity = shift::electricity(&[300, 100].repeat(12));
    let watts = [("a", 1_000), ("b", 150)].map(|(id, watts)| (id.parse().unwrap(), watts));
    electricity.watts_each = watts.into();
    desk.electricity(electricity);
    desk
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            random: Pcg64::seed_from_u64(seed),
            now: 0,
            desk: desk(),
            jobs: BTreeMap::new(),
            runs: BTreeMap::new(),
            aside: BTreeMap::new(),
            started: BTreeSet::new(),
            stopping: BTreeSet::new(),
            put_off: BTreeMap::new(),
            unpaid: false,
            stopped: false,
            to_come: 40,
        }
    }

    fn run(mut self) -> usize {
        let mut steps = 0;
        while self.to_come > 0 || self.desk.jobs().next().is_some() {
            steps += 1;
            assert!(
                steps < 20_000,
                "seed {}: {} jobs never end",
                self.seed,
                self.desk.jobs().count()
            );
            self.now += self.random.random_range(0..120);
            self.happen();
            self.follow();
            self.pass();
            if self.random.random_bool(0.05) {
                self.reopen();
                self.pass();
            }
        }
        let mut effects = Vec::new();
        self.desk.pass(at(self.now), &mut effects);
        self.perform(effects, None);
        for job in self.jobs.values() {
            assert!(job.state.is_over(), "seed {}: {job:?}", self.seed);
        }
        for run in self.runs.values() {
            assert_eq!(run.state, RunState::Ended, "seed {}: {run:?}", self.seed);
        }
        for (run, aside) in &self.aside {
            let seed = self.seed;
            assert_eq!(*aside, Aside::Over, "seed {seed}: {run} is set aside");
            assert!(self.runs.contains_key(run), "seed {seed}: {run} is unknown");
        }
        self.runs.len()
    }

    fn pass(&mut self) {
        let mut effects = Vec::new();
        self.desk.pass(at(self.now), &mut effects);
        let dies = match self.random.random_range(0..100) {
            0 => Some(Dies::Settled),
            1 => Some(Dies::Written),
            2 => Some(Dies::Reserved),
            3 => Some(Dies::Started),
            _ => None,
        };
        if self.perform(effects, dies).is_none() {
            self.reopen();
        }
    }

    /// Executors tell of their runs, and those of which none knows are made good.
    fn follow(&mut self) {
        let unknown = self.live().filter(|run| !self.started.contains(run));
        for run in unknown.collect::<Vec<_>>() {
            let state = self.runs[&run].state;
            match (state, self.aside.get(&run)) {
                (RunState::Starting, Some(Aside::Reserved)) => self.start(run),
                (RunState::Starting, None) => {
                    self.reserve(run);
                    self.start(run);
                }
                (RunState::Starting, Some(Aside::Over)) => {
                    self.never(run, RunOutcome::Lost { why: String::new() });
                }
                _ => self.never(run, RunOutcome::Cancelled),
            }
        }
    }

    /// Its executor is told of a run, where what it may cost is set aside.
    fn start(&mut self, run: RunId) {
        if self.aside.contains_key(&run) {
            let new = self.started.insert(run);
            assert!(new, "seed {}: {run} starts twice", self.seed);
        }
    }

    /// A run that the books have is over before its program began.
    fn never(&mut self, run: RunId, outcome: RunOutcome) {
        let end = RunEnd {
            started_at: None,
            ..end(outcome, self.now, self.now)
        };
        self.desk.apply(at(self.now), DeskInput::Ended(run, end));
    }

    /// Sets aside what a run may cost; now and then somebody else was faster.
    fn reserve(&mut self, run: RunId) {
        if self.random.random_bool(0.05) {
            let why = "no budget".to_owned();
            self.never(run, RunOutcome::Refused { why });
        } else {
            let before = self.aside.insert(run, Aside::Reserved);
            assert_eq!(before, None, "seed {}: {run} is set aside twice", self.seed);
        }
    }

    fn happen(&mut self) {
        let (now, pick) = (at(self.now), self.random.random_range(0..100));
        let told = |run: &RunId| self.started.contains(run);
        let live: Vec<RunId> = self.live().filter(told).collect();
        let any_job = self
            .jobs
            .keys()
            .copied()
            .nth(self.random.random_range(0..40));
        match pick {
            0..25 if self.to_come > 0 => self.come(),
            25..80 => {
                if let Some(run) = live.get(self.random.random_range(0..live.len().max(1))) {
                    let outcome = self.outcome(*run);
                    let known = self.runs[run].started_at;
                    let begun = known.map_or(self.now - 5, |at| at.0 / 1_000_000);
                    let end = end(outcome, begun, self.now);
                    self.desk.apply(now, DeskInput::Ended(*run, end));
                }
            }
            80..84 => {
                if let Some(run) = live.first() {
                    self.desk.apply(now, DeskInput::Began(*run, now));
                }
            }
            84..90 => {
                if let Some(job) = any_job.and_then(|id| self.jobs.get_mut(&id)) {
                    job.held = !job.held && self.to_come > 0;
                    self.desk.apply(now, DeskInput::Held(job.id, job.held));
                }
            }
            90..92 => {
                if let Some(job) = any_job.and_then(|id| self.jobs.get_mut(&id)) {
                    job.cancelled_at = job.cancelled_at.or(Some(now));
                    self.desk.apply(now, DeskInput::Cancelled(job.id, now));
                }
            }
            92..94 => self.desk.apply(now, DeskInput::Granted),
            94..96 => {
                if let Some(id) = any_job {
                    self.desk.apply(now, DeskInput::Requeued(id));
                }
            }
            96..98 => {
                // Else some jobs would never end.
                self.unpaid = !self.unpaid && self.to_come > 0;
                self.stopped = self.to_come > 0 && self.random.random_bool(0.3);
                self.tell_bars();
            }
            _ => {
                // Those that are held would never end.
                let held: Vec<JobId> = self
                    .jobs
                    .values()
                    .filter(|job| job.held)
                    .map(|job| job.id)
                    .collect();
                for id in held {
                    self.jobs.get_mut(&id).unwrap().held = false;
                    self.desk.apply(now, DeskInput::Held(id, false));
                }
            }
        }
    }

    /// The driver's word of budgets and stops.
    fn tell_bars(&mut self) {
        let funds = Funds {
            closed: self.unpaid.then(|| "nothing pays".to_owned()),
            kinds: None,
            stops: self.random.random_bool(0.5),
        };
        let payer = (None, "hanbit".parse().unwrap());
        let site = ("pohang".parse().unwrap(), "site:pohang".to_owned());
        let sites = self.stopped.then_some(site).into_iter().collect();
        for input in [DeskInput::Funds(payer, funds), DeskInput::Stopped(sites)] {
            self.desk.apply(at(self.now), input);
        }
    }

    fn outcome(&mut self, run: RunId) -> RunOutcome {
        if self.stopping.contains(&run) && self.random.random_bool(0.8) {
            let withdrawn = self.jobs[&run.task.job].cancelled_at.is_some();
            // An executor ends whoever writes no checkpoint as if it had been withdrawn.
            let writes = self.jobs[&run.task.job].spec.checkpoint.is_some();
            return if withdrawn || !writes {
                RunOutcome::Cancelled
            } else {
                RunOutcome::Stopped
            };
        }
        match self.random.random_range(0..10) {
            0 => RunOutcome::Failed { exit_code: 1 },
            1 => RunOutcome::TimedOut,
            2 => RunOutcome::Lost { why: String::new() },
            3 => RunOutcome::NotStarted { why: String::new() },
            _ => RunOutcome::Completed,
        }
    }

    fn come(&mut self) {
        let id = 41 - self.to_come;
        self.to_come -= 1;
        let count = self.random.random_range(1..9);
        let mut new = job(id, count);
        new.submitted_at = at(self.now);
        new.tenant = ["hanbit", "hankuk"][self.random.random_range(0..2)]
            .parse()
            .unwrap();
        new.spec.qos = [None, Some("urgent"), Some("night"), Some("gone")]
            [self.random.random_range(0..4)]
        .map(str::to_owned);
        new.spec.retries_max = self.random.random_range(0..3);
        if self.random.random_bool(0.5) {
            new.spec.checkpoint = Some(JobCheckpoint {
                signal: madang_types::StopSignal::Term,
                grace_ms: 1,
            });
        }
        if self.random.random_bool(0.4) {
            new.spec.flex.shift_ms = self.random.random_range(0..6) * 3_600_000;
        }
        if self.random.random_bool(0.3) {
            new.spec.array = Some(JobArray {
                tasks: self.random.random_range(1..8),
                at_once_max: self.random.random_bool(0.5).then_some(2),
            });
        }
        if id > 1 && self.random.random_bool(0.2) {
            let other = self.random.random_range(1..id);
            new.spec.after = vec![madang_types::After {
                job: JobId(other),
                when: madang_types::AfterWhen::Ended,
            }];
        }
        self.jobs.insert(new.id, new.clone());
        let arrival = self.arrival(&new);
        self.desk
            .apply(at(self.now), DeskInput::Came(Box::new(arrival)));
        self.tell_bars();
    }

    fn arrival(&self, job: &Job) -> Arrival {
        let of = |run: &&RunRecord| run.run.task.job == job.id;
        let state = |after: &madang_types::After| {
            let state = self.jobs.get(&after.job)?.state;
            state.is_over().then_some((after.job, state))
        };
        Arrival {
            job: job.clone(),
            runs: self.runs.values().filter(of).cloned().collect(),
            over: job.spec.after.iter().filter_map(state).collect(),
            allowed: ["a", "b"].map(|id| id.parse().unwrap()).into(),
            unfit: BTreeMap::new(),
            weights: [1, 2, 1],
        }
    }

    fn live(&self) -> impl Iterator<Item = RunId> + '_ {
        let live = self.runs.values().filter(|run| run.end.is_none());
        live.map(|run| run.run)
    }

    /// Carries out what the desk said, in the steps of the driver; `None` where Madang dies on the way.
    fn perform(&mut self, effects: Vec<DeskEffect>, dies: Option<Dies>) -> Option<()> {
        let lives = |step| (dies != Some(step)).then_some(());
        for effect in &effects {
            if let DeskEffect::Settle(run) = effect
                && let Some(aside) = self.aside.get_mut(&run.run)
            {
                *aside = Aside::Over;
            }
        }
        lives(Dies::Settled)?;
        let mut begun = Vec::new();
        for effect in effects {
            match effect {
                DeskEffect::Begin(run) if self.random.random_bool(0.1) => {
                    let refused = DeskInput::Refused(run.run, "no budget".to_owned());
                    self.desk.apply(at(self.now), refused);
                }
                DeskEffect::Begin(run) => {
                    let unpaid =
                        self.unpaid && self.jobs[&run.run.task.job].tenant.as_str() == "hanbit";
                    assert!(!self.stopped && !unpaid, "seed {}: {}", self.seed, run.run);
                    begun.push(run.run);
                    self.write_new(*run);
                }
                other => self.write_of(other),
            }
        }
        self.look();
        lives(Dies::Written)?;
        for run in &begun {
            self.reserve(*run);
        }
        lives(Dies::Reserved)?;
        begun.into_iter().for_each(|run| self.start(run));
        lives(Dies::Started)
    }

    fn write_new(&mut self, run: RunRecord) {
        let seed = self.seed;
        let twice = self.live().find(|live| live.task == run.run.task);
        assert_eq!(twice, None, "seed {seed}: {} begins", run.run);
        let known = self.runs.contains_key(&run.run);
        assert!(!known, "seed {seed}: {} again", run.run);
        self.runs.insert(run.run, run);
    }

    fn write_of(&mut self, effect: DeskEffect) {
        match effect {
            DeskEffect::Begin(run) | DeskEffect::Run(run) | DeskEffect::Settle(run) => {
                self.write(*run);
            }
            DeskEffect::Stop(run, _) => {
                self.stopping.insert(run.run);
                self.write(*run);
            }
            DeskEffect::Job(job) => {
                let known = self.jobs.get_mut(&job.id).unwrap();
                assert!(!known.state.is_over(), "seed {}: over twice", self.seed);
                (known.state, known.why, known.ended_at) = (job.state, job.why, job.ended_at);
            }
        }
    }

    fn write(&mut self, run: RunRecord) {
        let known = self.runs.insert(run.run, run);
        let over = known.is_some_and(|run| run.end.is_some());
        assert!(!over, "seed {}: changed after its end", self.seed);
    }

    /// No accelerator is held twice; who the desk says runs or was refused is who does and was.
    fn look(&mut self) {
        let entries = || self.desk.entries.values();
        let tasks = entries().flat_map(|entry| entry.open.values());
        let running = tasks.filter(|task| matches!(task.state, entry::TaskState::Running(_)));
        assert_eq!(
            self.desk.runs().count(),
            running.count(),
            "seed {}",
            self.seed
        );
        let refused = entries().any(|entry| entry.refused.is_some());
        assert_eq!(self.desk.has_refused(), refused, "seed {}", self.seed);
        self.look_at_those_put_off();
        let mut held = BTreeSet::new();
        for run in self.runs.values().filter(|run| run.end.is_none()) {
            for piece in &run.pieces {
                for accelerator in &piece.accelerators {
                    let one = (run.nodes.clone(), piece.node, *accelerator);
                    assert!(held.insert(one), "seed {}: {run:?}", self.seed);
                }
            }
        }
    }

    /// Nothing of a job stands in the queue while it is put off, and it is put off by no more than it may and what it ran.
    fn look_at_those_put_off(&mut self) {
        let now = at(self.now);
        let before = std::mem::take(&mut self.put_off);
        for entry in self.desk.entries.values() {
            let Some((until, _)) = entry.put_off.as_ref().filter(|(until, _)| *until > now) else {
                continue;
            };
            let (seed, id) = (self.seed, entry.job.id);
            let queued = |task: &entry::Task| matches!(task.state, entry::TaskState::Queued);
            assert!(
                !entry.open.values().any(queued),
                "seed {seed}: {id} waits twice"
            );
            self.put_off.insert(id, *until);
            if before.get(&id) == Some(until) {
                continue;
            }
            let most = entry.job.spec.flex.shift_ms + entry.done(now).ran_us / 1_000 + 1;
            let latest = entry.job.submitted_at.plus_ms(most);
            assert!(*until <= latest, "seed {seed}: {id} waits too long");
        }
    }

    /// Madang dies, and begins again from its books.
    fn reopen(&mut self) {
        self.desk = desk();
        let open: Vec<Job> = self
            .jobs
            .values()
            .filter(|job| !job.state.is_over())
            .cloned()
            .collect();
        for job in open {
            let arrival = self.arrival(&job);
            self.desk
                .apply(at(self.now), DeskInput::Came(Box::new(arrival)));
        }
        self.tell_bars();
    }
}

#[test]
fn every_job_ends_and_no_task_runs_twice_at_once() {
    // Another range: the environment of the test, as the core itself reads none.
    let number = |name: &str, other: u64| {
        let text = std::env::var_os(name).map(|text| text.into_string().unwrap());
        text.map_or(other, |text| text.parse().unwrap())
    };
    let first = number("SEED", 0);
    let seeds = first..first + number("SEEDS", 200);
    let runs: usize = seeds.map(|seed| World::new(seed).run()).sum();
    assert!(runs > 0);
}
