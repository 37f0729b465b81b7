//! The engine as its driver sees it: one process that does all, or parts that compute prompts and parts that make tokens behind one door.

use super::model::{EngineEvent, EngineRequest, EngineStatus, Part};
use super::power::Spent;
use super::profile::Profile;
use super::split::Split;
use madang_core::power::model::Stretch;

/// A model of an engine. All times are nanoseconds on the driver's clock, which begins at or after zero.
pub struct Engine {
    profile: Profile,
    kind: Kind,
}

enum Kind {
    Whole(Box<Part>),
    Split(Box<Split>),
}

/// The same of both kinds.
macro_rules! either {
    ($engine:expr, $inner:ident => $act:expr) => {
        match $engine {
            Kind::Whole($inner) => $act,
            Kind::Split($inner) => $act,
        }
    };
}

impl Engine {
    /// An idle engine with an empty cache.
    pub fn new(profile: Profile) -> Self {
        let kind = match &profile.split {
            Some(division) => Kind::Split(Box::new(Split::new(division))),
            None => Kind::Whole(Box::new(Part::new(profile.clone()))),
        };
        Self { profile, kind }
    }

    /// Computes each iteration for itself instead of many alike at once. The events are the same.
    #[must_use]
    pub fn stepwise(mut self) -> Self {
        match &mut self.kind {
            Kind::Whole(part) => part.stepwise = true,
            Kind::Split(split) => split.stepwise(),
        }
        self
    }

    /// What it is.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Takes a request.
    pub fn submit(&mut self, now_ns: u64, request: EngineRequest) {
        either!(&mut self.kind, inner => inner.submit(now_ns, request));
    }

    /// Gives a request up: at once where it waits, at the end of the iteration where it runs.
    pub fn cancel(&mut self, now_ns: u64, tag: u64) {
        either!(&mut self.kind, inner => inner.cancel(now_ns, tag));
    }

    /// When [`Engine::advance`] has something to do; `None` while it is idle.
    pub fn next_at_ns(&self) -> Option<u64> {
        either!(&self.kind, inner => inner.next_at_ns())
    }

    /// Ends the iterations that are over at `now_ns` and begins the next.
    pub fn advance(&mut self, now_ns: u64, events: &mut Vec<EngineEvent>) {
        either!(&mut self.kind, inner => inner.advance(now_ns, events));
    }

    /// Tokens made so far; `None` for what it does not hold.
    pub fn made(&self, now_ns: u64, tag: u64) -> Option<u64> {
        either!(&self.kind, inner => inner.made(now_ns, tag))
    }

    /// Tokens that it has made so far beside the first of each answer, up to the last end of iterations.
    pub fn decoded_tokens(&self) -> u64 {
        either!(&self.kind, inner => inner.decoded_tokens())
    }

    /// How loaded it is.
    pub fn status(&self) -> EngineStatus {
        either!(&self.kind, inner => inner.status())
    }

    /// Another process: what it held and what it had cached is gone.
    pub fn restart(&mut self, now_ns: u64) {
        either!(&mut self.kind, inner => inner.restart(now_ns));
    }

    /// Forgets its prefixes, as an engine does that was told to.
    pub fn cache_clear(&mut self) {
        either!(&mut self.kind, inner => inner.cache_clear());
    }

    /// From the next iteration on its work takes so much longer.
    pub fn stretch(&mut self, now_ns: u64, stretch: Stretch) {
        either!(&mut self.kind, inner => inner.stretch(now_ns, stretch));
    }

    /// What it has done with its time until now; of parts, the mean over their accelerators.
    pub fn spent(&self, now_ns: u64) -> Spent {
        either!(&self.kind, inner => inner.spent(now_ns))
    }
}
