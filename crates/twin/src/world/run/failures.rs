//! Engines that are not there: they fail and come back, or begin later than the others. What the gateway learns of it, it learns as live:
//! connections break or are refused, and probes fail and succeed.

use super::World;
use crate::world::clients::{Clients, Outcome};
use crate::world::event::Event;
use madang_core::{AttemptEnd, Input, ReplicaHealth};
use madang_fleet::Probe;
use madang_types::RequestId;

const MS_NS: u64 = 1_000_000;

/// An engine that stops serving at an instant. One that is to begin later fails at the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its place among the engines of the fleet.
    pub engine: u32,
    /// When, in nanoseconds.
    pub at_ns: u64,
    /// Until its process is started again, in nanoseconds: it serves when its weights are read, too.
    pub down_ns: u64,
}

impl<C: Clients> World<C> {
    /// These engines fail.
    #[must_use]
    pub fn failing(mut self, failures: Vec<Failure>) -> Self {
        for (at, failure) in failures.iter().enumerate() {
            self.agenda.add(failure.at_ns, Event::Failure(at));
        }
        self.failures = failures;
        self
    }

    /// An engine's process is gone, and with it what it held.
    pub(super) fn fail(&mut self, at: usize) {
        let Some(Failure {
            engine: index,
            down_ns,
            ..
        }) = self.failures.get(at).copied()
        else {
            return;
        };
        let now_ns = self.now_ns;
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        let Some(engine) = self.engines.get_mut(place) else {
            return;
        };
        engine.restart(now_ns);
        let load_ns = engine.profile().load_us.saturating_mul(1_000);
        let up_ns = now_ns.saturating_add(down_ns).saturating_add(load_ns);
        let Some(serves_at_ns) = self.serves_at_ns.get_mut(place) else {
            return;
        };
        *serves_at_ns = up_ns.max(*serves_at_ns);
        let up_ns = *serves_at_ns;
        // One that never served was never counted as up; of another, enough probes in a row have to fail.
        let probe = Probe::default();
        let unseen_ns = match now_ns {
            0 => 0,
            _ => probe.interval_ms * u64::from(probe.failures_max) * MS_NS,
        };
        self.agenda.add(now_ns + unseen_ns, Event::Probed(index));
        let seen_ns = up_ns.saturating_add(probe.interval_ms * MS_NS);
        self.agenda.add(seen_ns, Event::Probed(index));
        for (number, attempt) in self.flights.attempts_at(index) {
            self.broken(number, attempt);
        }
    }

    /// The gateway learns whether an engine serves.
    pub(super) fn probed(&mut self, index: u32) {
        let health = if self.serves(index) {
            ReplicaHealth::Up
        } else {
            ReplicaHealth::Down
        };
        let known = self.by_replica.iter().find(|(_, engine)| **engine == index);
        let Some(replica) = known.map(|(replica, _)| replica.clone()) else {
            return;
        };
        self.apply(Input::ReplicaReport { replica, health });
    }

    /// Whether an engine serves now.
    pub(super) fn serves(&self, index: u32) -> bool {
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        let at_ns = self.serves_at_ns.get(place).copied().unwrap_or(0);
        self.now_ns >= at_ns
    }

    /// An attempt's connection is refused, or breaks.
    pub(super) fn broken(&mut self, number: u64, attempt: u32) {
        let Some(flight) = self.flights.get_mut(number) else {
            return;
        };
        flight.attempts.retain(|(other, ..)| *other != attempt);
        let answered = flight.first_token_ns.is_some();
        self.apply(Input::AttemptEnd {
            request: RequestId(u128::from(number)),
            attempt,
            end: if answered {
                AttemptEnd::FailedFinal
            } else {
                AttemptEnd::FailedRetryable
            },
            spent: None,
        });
        if answered {
            self.close(number, Outcome::Broken, None);
        }
    }
}
