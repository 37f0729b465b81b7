//! Recordings: each input with its `now` and the effects that it gave. A replay gives the same effects, byte for byte.

use crate::effect::Effect;
use crate::input::Input;
use crate::state::Core;
use madang_types::Micros;
use serde::{Deserialize, Serialize};

/// One step of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The driver's clock.
    pub now: Micros,
    /// What happened.
    pub input: Input,
    /// What the core asked for.
    pub effects: Vec<Effect>,
}

/// A replay that went another way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// Index of the step, from 0.
    pub step: usize,
    /// What the recording holds.
    pub recorded: Vec<Effect>,
    /// What the core asked for now.
    pub replayed: Vec<Effect>,
}

/// How far a replay went the same way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// Steps.
    pub steps: u64,
    /// Of them those whose effects are the same.
    pub equal: u64,
}

/// Runs all of a recording through a fresh core, and counts the steps that have the same effects. After the first that has not, others
/// follow from it.
pub fn agree(steps: impl IntoIterator<Item = Step>) -> Agreement {
    let mut core = Core::new();
    let mut agreement = Agreement::default();
    for step in steps {
        let mut replayed = Vec::new();
        core.apply(step.now, step.input, &mut replayed);
        agreement.steps += 1;
        agreement.equal += u64::from(replayed == step.effects);
    }
    agreement
}

/// Runs a recording through a fresh core; returns the number of steps.
///
/// # Errors
/// The first step whose effects differ.
pub fn replay(steps: impl IntoIterator<Item = Step>) -> Result<usize, Box<Divergence>> {
    let mut core = Core::new();
    let mut count = 0;
    for (
        index,
        Step {
            now,
            input,
            effects: recorded,
        },
    ) in steps.into_iter().enumerate()
    {
        let mut replayed = Vec::new();
        core.apply(now, input, &mut replayed);
        if replayed != recorded {
            return Err(Box::new(Divergence {
                step: index,
                recorded,
                replayed,
            }));
        }
        count = index + 1;
    }
    Ok(count)
}
