//! Placement: tasks of a trace come in random order until more was asked for than there is. How much of the fleet can be given away?
//!
//! The experiment of Weng et al. ("Beware of Fragmentation", USENIX ATC 2023): tasks are drawn from the trace until they ask for a
//! given part of all accelerators, come one after another, and stay; one that finds no place is turned away.

use crate::random::Random;
use crate::trace::{MachineRow, TaskRow};
use madang_core::jobs::{
    Ask, Ground, JobClass, JobEffect, JobInput, JobKey, JobRule, JobTerms, Jobs, Machine, Need,
    NodesKey, Piece, WHOLE_MILLI,
};
use madang_types::{Micros, Priority};
use serde::Serialize;
use std::collections::BTreeMap;

/// Kinds of machines, as many as a [`Ground`] tells apart.
const KINDS_MAX: u8 = 128;
/// Accelerators of all machines.
const ACCELERATORS_MAX: u64 = 1_000_000;
/// Tasks that come.
const TASKS_MAX: usize = 1_000_000;

/// What is run.
#[derive(Clone, Copy, Debug)]
pub struct PlaceOptions {
    /// Of the order in which tasks come, and of those that are drawn.
    pub seed: u64,
    /// How much is asked for in the end, as a part of all accelerators.
    pub asked_ratio: f64,
    /// Tasks go only to the kinds of accelerator that they name.
    pub kinds: bool,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct PlaceReport {
    /// Of the order.
    pub seed: u64,
    /// All accelerators of the fleet.
    pub accelerators: u64,
    /// Tasks that came.
    pub tasks: usize,
    /// Those that found no place.
    pub turned_away: usize,
    /// Part of all accelerators that was given when as much had been asked for as there is.
    pub given_ratio_at_full: f64,
    /// The same at the end.
    pub given_ratio: f64,
}

/// Why nothing can be placed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// Nothing can be given away.
    #[error("no machine has an accelerator")]
    NoAccelerators,
    /// There are too many of them.
    #[error("the machines have more than {ACCELERATORS_MAX} accelerators together")]
    Accelerators,
    /// However many come, nothing is asked for.
    #[error("no task asks for any part of an accelerator")]
    NothingAsked,
    /// There are only so many numbers for them.
    #[error("the machines are of more than {KINDS_MAX} kinds")]
    Kinds,
    /// They ask for so little that too many would come.
    #[error(
        "more than {TASKS_MAX} tasks would come before as much is asked for; have less asked for, or fewer machines"
    )]
    Tasks,
}

/// Places the tasks.
///
/// # Errors
/// Nothing can be placed.
pub fn place(
    tasks: &[TaskRow],
    machines: &[MachineRow],
    options: PlaceOptions,
) -> Result<PlaceReport, PlaceError> {
    let groups = groups(machines)?;
    let floor: Vec<Machine> = machines
        .iter()
        .map(|machine| Machine {
            nodes: groups[machine.kind.as_str()],
            accelerators: machine.accelerators,
            cpu_milli: machine.cpu_milli,
            memory_mib: machine.memory_mib,
        })
        .collect();
    let all: u64 = machines
        .iter()
        .map(|machine| u64::from(machine.accelerators))
        .sum();
    if all > ACCELERATORS_MAX {
        return Err(PlaceError::Accelerators);
    }
    let all_milli = all * u64::from(WHOLE_MILLI);
    if all == 0 {
        return Err(PlaceError::NoAccelerators);
    }
    let drawn = draw(tasks, all_milli, options)?;
    let mut jobs = Jobs::new(JobRule::Fifo, JobTerms::default(), &floor);
    let account = jobs.account(Jobs::ROOT, 1);
    let (mut asked_milli, mut given_milli, mut turned_away) = (0, 0, 0);
    let mut given_at_full = None;
    for (number, task) in (0u64..).zip(&drawn) {
        let need = need(task, &groups, options.kinds);
        let ask = Ask {
            job: JobKey(number),
            account,
            need,
            run_us_max: u64::MAX / 2,
            preemptible: false,
            priority: Priority::Standard,
            class: JobClass::default(),
        };
        if tells(&mut jobs, ask) {
            given_milli += need.milli();
        } else {
            turned_away += 1;
        }
        asked_milli += need.milli();
        if asked_milli >= all_milli && given_at_full.is_none() {
            given_at_full = Some(given_milli);
        }
    }
    let part = |milli: u64| milli as f64 / all_milli.max(1) as f64;
    Ok(PlaceReport {
        seed: options.seed,
        accelerators: all,
        tasks: drawn.len(),
        turned_away,
        given_ratio_at_full: part(given_at_full.unwrap_or(given_milli)),
        given_ratio: part(given_milli),
    })
}

/// Submits a task; whether it found a place. One that did not goes away.
fn tells(jobs: &mut Jobs, ask: Ask) -> bool {
    let mut effects = Vec::new();
    jobs.apply(Micros(0), JobInput::Submitted(ask));
    jobs.pass(Micros(0), &mut effects);
    let started = effects
        .iter()
        .any(|effect| matches!(effect, JobEffect::Start { job, .. } if *job == ask.job));
    if !started {
        jobs.apply(Micros(0), JobInput::Ended(ask.job));
    }
    started
}

/// One number for each kind of machine.
fn groups(machines: &[MachineRow]) -> Result<BTreeMap<&str, NodesKey>, PlaceError> {
    let kinds: BTreeMap<&str, ()> = machines
        .iter()
        .map(|machine| (machine.kind.as_str(), ()))
        .collect();
    if kinds.len() > usize::from(KINDS_MAX) {
        return Err(PlaceError::Kinds);
    }
    let numbered = (0..KINDS_MAX).zip(kinds.into_keys());
    Ok(numbered
        .map(|(number, kind)| (kind, NodesKey(number)))
        .collect())
}

fn need(task: &TaskRow, groups: &BTreeMap<&str, NodesKey>, kinds: bool) -> Need {
    let ground = if task.kinds.is_empty() || !kinds {
        Ground::ALL
    } else {
        Ground::of(
            task.kinds
                .iter()
                .filter_map(|kind| groups.get(kind.as_str()).copied()),
        )
    };
    Need {
        pieces: 1,
        piece: Piece {
            accelerators: task.accelerators,
            share_milli: task.share_milli,
            cpu_milli: task.cpu_milli,
            memory_mib: task.memory_mib,
        },
        ground,
    }
}

/// All tasks in random order, and then any of them, until as much is asked for as is wanted.
fn draw(
    tasks: &[TaskRow],
    all_milli: u64,
    options: PlaceOptions,
) -> Result<Vec<TaskRow>, PlaceError> {
    let milli = |task: &TaskRow| u64::from(task.accelerators) * u64::from(task.share_milli);
    if tasks.iter().all(|task| milli(task) == 0) {
        return Err(PlaceError::NothingAsked);
    }
    let mut random = Random::new(options.seed, 61);
    let until = (all_milli as f64 * options.asked_ratio) as u64;
    let mut order: Vec<usize> = (0..tasks.len()).collect();
    for at in (1..order.len()).rev() {
        order.swap(at, below(&mut random, at + 1));
    }
    let mut drawn = Vec::new();
    let mut asked = 0;
    while asked < until {
        if drawn.len() >= TASKS_MAX {
            return Err(PlaceError::Tasks);
        }
        let at = match order.pop() {
            Some(at) => at,
            None => below(&mut random, tasks.len()),
        };
        let task = &tasks[at];
        asked += milli(task);
        drawn.push(task.clone());
    }
    Ok(drawn)
}

fn below(random: &mut Random, bound: usize) -> usize {
    let bound = u64::try_from(bound).unwrap_or(u64::MAX);
    usize::try_from(random.below(bound)).unwrap_or(0)
}
