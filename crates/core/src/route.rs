//! Which member of a pool serves a request: the one with the least outstanding work for its size.

use crate::fleet_view::ReplicaHealth;
use crate::policy::{self, PolicyRule};
use crate::state::{Core, Member, Request};
use madang_types::{Micros, ReplicaId};

/// What the pool can do for a request now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Start here.
    Member {
        /// Where.
        replica: ReplicaId,
        /// The policy rule that allowed it.
        rule: PolicyRule,
        /// Members that could have served it.
        candidates: u32,
    },
    /// Some member serves it once a slot is free, or once it has started.
    Wait,
    /// No pool serves the model.
    ModelUnknown,
    /// The model is not served through this door.
    EndpointUnsupported,
    /// Policy allows none of the places.
    PolicyDenied,
    /// No allowed member is available.
    NoReplica,
}

impl Core {
    /// Chooses for `request`. Members where it failed before are left out.
    pub(crate) fn choose(&self, now: Micros, request: &Request) -> Choice {
        let submit = &request.submit;
        let mut nearest_miss = Choice::ModelUnknown;
        let mut best: Option<(&Member, PolicyRule)> = None;
        let mut candidates = 0_u32;
        let mut later = false;
        let of_model = self
            .members
            .values()
            .filter(|m| m.view.model == submit.model && !m.leaving);
        for member in of_model {
            let view = &member.view;
            if !view.endpoints.contains(&submit.endpoint) {
                nearest_miss = further(nearest_miss, Choice::EndpointUnsupported);
                continue;
            }
            let verdict = policy::decide(submit.data_class, &view.place);
            if !verdict.allowed {
                nearest_miss = further(nearest_miss, Choice::PolicyDenied);
                continue;
            }
            let tried = request.tried.contains(&view.replica);
            if tried || !member.available(now) {
                later |= !tried && member.health == ReplicaHealth::Starting;
                nearest_miss = further(nearest_miss, Choice::NoReplica);
                continue;
            }
            candidates += 1;
            if !member.has_free_slot() {
                later = true;
            } else if best.is_none_or(|(champion, _)| prefers(member, champion)) {
                best = Some((member, verdict.rule));
            }
        }
        match best {
            Some((member, rule)) => Choice::Member {
                replica: member.view.replica.clone(),
                rule,
                candidates,
            },
            None if later => Choice::Wait,
            None if self.returning.contains(&submit.model)
                && nearest_miss != Choice::PolicyDenied =>
            {
                Choice::Wait
            }
            None => nearest_miss,
        }
    }
}

/// The choice that came further through the checks: the reason a caller can act on.
fn further(one: Choice, other: Choice) -> Choice {
    let rank = |choice: &Choice| match choice {
        Choice::ModelUnknown => 0,
        Choice::EndpointUnsupported => 1,
        Choice::PolicyDenied => 2,
        Choice::NoReplica => 3,
        Choice::Wait => 4,
        Choice::Member { .. } => 5,
    };
    if rank(&other) > rank(&one) {
        other
    } else {
        one
    }
}

/// Our own ground first; then the least outstanding tokens per slot; then the least recently used.
fn prefers(candidate: &Member, champion: &Member) -> bool {
    // a/b < c/d compared as a·d < c·b: exact, and unlike sizes compare by what each slot holds.
    let load =
        |m: &Member, other: &Member| u128::from(m.work_tokens) * u128::from(other.view.slots);
    let key =
        |m: &Member, other: &Member| (!m.view.place.own, load(m, other), m.started_at_sequence);
    key(candidate, champion) < key(champion, candidate)
}
