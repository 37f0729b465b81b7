//! Orders, restarts and kills in any order, from a seed.

use super::Local;
use crate::conformance::{Fixture, run_id, script, until_ended};
use madang_executor::jobs::{RunSpec, RunStatus, StopHow};
use madang_types::{JobCheckpoint, RunEnd, RunId, RunOutcome, StopSignal};
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

const RUNS: u64 = 6;
const STEPS: u32 = 60;
/// What runs do, one after the other.
const SCRIPTS: [&str; 4] = [
    "exit 3",
    "while :; do sleep 0.05; done",
    "trap '' TERM USR1; (setsid sleep 1000 &); sleep 1000 & while :; do sleep 0.05; done",
    "trap 'exit 5' USR1; while :; do sleep 0.05; done",
];

/// SplitMix64 (Steele, Lea and Flood, 2014): the same numbers on every machine.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

struct World {
    site: Local,
    /// How often each run may have been begun: once for each time that it was not known.
    begun_max: BTreeMap<u64, usize>,
    ends: BTreeMap<RunId, RunEnd>,
    killed: bool,
}

impl World {
    fn spec(&self, job: u64) -> RunSpec {
        let text = SCRIPTS[usize::try_from(job).unwrap() % SCRIPTS.len()];
        let text = format!("echo here >> $SITE/{job}\n{text}");
        let mut spec = script(&self.site, &text);
        spec.run = run_id(job);
        spec
    }

    async fn step(&mut self, numbers: &mut Numbers) {
        let job = numbers.below(RUNS);
        let run = run_id(job);
        let executor = self.site.executor();
        match numbers.below(10) {
            0..3 => {
                if executor.look(run).await.unwrap().is_none() {
                    *self.begun_max.entry(job).or_default() += 1;
                }
                executor.start(self.spec(job)).await.unwrap();
            }
            3 => executor.stop(run, StopHow::Cancel).await.unwrap(),
            4..6 => {
                let grace_ms = numbers.below(400);
                let signal = StopSignal::Usr1;
                let how = StopHow::Checkpoint(JobCheckpoint { signal, grace_ms });
                executor.stop(run, how).await.unwrap();
            }
            6 => {
                // One that is not over is not forgotten.
                if executor.forget(run).await.is_ok() {
                    assert_eq!(executor.look(run).await, Ok(None), "{run}");
                    self.ends.remove(&run);
                }
            }
            7 => self.site.restart().await,
            8 => self.kill_runner(run),
            _ => tokio::time::sleep(Duration::from_millis(numbers.below(300))).await,
        }
        self.check(run).await;
    }

    fn kill_runner(&mut self, run: RunId) {
        let folder = self.site.options.folder.join(run.to_string());
        let claim = fs::read(folder.join("claim.json")).ok();
        let claim = claim.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
        if let (Some(claim), false) = (claim, folder.join("end.json").exists()) {
            let pid = claim["runner"]["pid"].to_string();
            // It may be gone by now; its number comes again much later.
            Command::new("kill").args(["-KILL", &pid]).status().unwrap();
            self.killed = true;
        }
    }

    /// What is over stays as it was told.
    async fn check(&mut self, run: RunId) {
        if let Some(RunStatus::Ended(end)) = self.site.executor().look(run).await.unwrap() {
            let lost = matches!(end.outcome, RunOutcome::Lost { .. });
            assert!(!lost || self.killed, "{run}: {end:?}");
            let told = self.ends.entry(run).or_insert_with(|| end.clone());
            assert_eq!(*told, end, "{run}");
        }
    }

    /// All is withdrawn: nothing is left, and nothing was begun too often.
    async fn finish(mut self) {
        for (run, _) in self.site.executor().runs().await.unwrap() {
            self.site
                .executor()
                .stop(run, StopHow::Cancel)
                .await
                .unwrap();
        }
        for (run, _) in self.site.executor().runs().await.unwrap() {
            until_ended(&self.site, run).await;
            self.check(run).await;
        }
        let site = format!("SITE={}", self.site.site().display());
        for entry in fs::read_dir("/proc").unwrap() {
            let environ = fs::read(entry.unwrap().path().join("environ")).unwrap_or_default();
            let ours = environ
                .split(|byte| *byte == 0)
                .any(|word| word == site.as_bytes());
            assert!(!ours, "a process is left");
        }
        for (job, most) in self.begun_max {
            let began = fs::read_to_string(self.site.site().join(job.to_string()));
            let began = began.unwrap_or_default().lines().count();
            assert!(began <= most, "{job}: begun {began} times, {most} at most");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_in_whatever_order() {
    let given = std::env::var("MADANG_TEST_SEED").ok();
    let given = given.map(|seed| seed.parse::<u64>().unwrap());
    let fresh = || {
        u64::from(std::process::id())
            ^ u64::from(jiff::Timestamp::now().subsec_nanosecond().unsigned_abs())
    };
    let seed = given.unwrap_or_else(fresh);
    println!("MADANG_TEST_SEED={seed}");
    let mut numbers = Numbers(seed);
    let mut world = World {
        site: Local::new().await,
        begun_max: BTreeMap::new(),
        ends: BTreeMap::new(),
        killed: false,
    };
    for _ in 0..STEPS {
        world.step(&mut numbers).await;
    }
    world.finish().await;
}
