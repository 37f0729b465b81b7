//! Names that lead to one of several models, and models that stand in for another: policy first, then who can serve now, then the
//! operator's order. A request is at one model at a time, and goes to another one when that can serve it no more and no byte has come.

use super::request_submit::lane;
use crate::effect::{Effect, Refusal, Via};
use crate::fleet_view::VirtualCandidate;
use crate::input::RequestSubmit;
use crate::request::{Course, FlowIndex, Request, RequestIndex};
use crate::route::{Choice, Chosen, Scratch};
use crate::state::Core;
use madang_types::{Micros, ModelId, ProgrammeId};

/// What would come of a request at a model, the better the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Prospect {
    /// Policy denies every place.
    Denied,
    /// It is not served through this door.
    Unsupported,
    /// No allowed member is available.
    Absent,
    /// Its model answered nobody lately, and nothing else serves it.
    Failing,
    /// It waits.
    Waits,
    /// It starts at once.
    Starts,
}

impl VirtualCandidate {
    fn fits(&self, submit: &RequestSubmit, programme: Option<&ProgrammeId>) -> bool {
        let theirs = self
            .programme
            .as_ref()
            .is_none_or(|of| programme.is_some_and(|programme| of.contains(programme)));
        let flags = submit.flags.bits() & self.flags_none.bits();
        theirs && flags == 0 && submit.data_class <= self.class_max
    }
}

impl Core {
    /// Finds the model for a newcomer, and the pool that serves it.
    pub(crate) fn set_out(
        &self,
        now: Micros,
        mut request: Request,
        scratch: &mut Scratch,
    ) -> Result<Request, Refusal> {
        let submit = &request.submit;
        let Some(candidates) = self.virtuals.get(&submit.model) else {
            let pool = self.pool_ids.get(&submit.model);
            request.pool = *pool.ok_or(Refusal::ModelUnknown)?;
            return Ok(request);
        };
        let programme = self.weights.programme_of(&submit.payer.tenant);
        let fitting = candidates
            .iter()
            .filter(|candidate| candidate.fits(submit, programme));
        request.course = Course {
            via: Some(Via::Virtual(submit.model.clone())),
            rest: fitting.map(|candidate| candidate.model.clone()).collect(),
            denials: Vec::new(),
        };
        if request.course.rest.is_empty() {
            return Err(Refusal::PolicyDenied);
        }
        let found = self.steer(now, &mut request, scratch);
        found.map(|_| request).ok_or(Refusal::NoReplica)
    }

    /// Puts a request that stands in no book at the model with the best prospect of those that are left, the first of equals.
    /// `None` where none of them is served.
    pub(crate) fn steer(
        &self,
        now: Micros,
        request: &mut Request,
        scratch: &mut Scratch,
    ) -> Option<Prospect> {
        let mut models = std::mem::take(&mut request.course.rest);
        let mut best: Option<(Prospect, usize)> = None;
        for (at, model) in models.iter().enumerate() {
            if !self.stand_at(request, model) {
                continue;
            }
            let prospect = self.prospect(now, request, scratch);
            if best.is_none_or(|(known, _)| prospect > known) {
                best = Some((prospect, at));
            }
        }
        if let Some((_, at)) = best {
            let model = models.remove(at);
            self.stand_at(request, &model);
        }
        request.course.rest = models;
        best.map(|(prospect, _)| prospect)
    }

    /// Puts a request that stands in no book at a model, as if it came there. False where nothing serves that.
    pub(crate) fn stand_at(&self, request: &mut Request, model: &ModelId) -> bool {
        let Some(&index) = self.pool_ids.get(model) else {
            return false;
        };
        request.submit.model = model.clone();
        request.pool = index;
        let tree = self.pool(index).map(|pool| &pool.tree);
        let leaf = tree.and_then(|tree| tree.leaf_known(&request.submit.payer, &self.weights));
        self.stand(request, leaf.unwrap_or(FlowIndex::MAX));
        true
    }

    /// Says what a request is to its pool, as one of that leaf: its queue, what it is predicted to need, who it is to policy.
    pub(super) fn stand(&self, request: &mut Request, leaf: FlowIndex) {
        let tree = self.pool(request.pool).map(|pool| &pool.tree);
        let usage = tree.and_then(|tree| tree.usage(leaf));
        let over = usage.is_some_and(|usage| usage.over);
        request.leaf = leaf;
        request.lane = lane(request.submit.priority, over);
        request.subject = self.subject_of(&request.submit);
        (request.predicted_output, request.kv_tokens) = self.foreseen(request);
    }

    fn prospect(&self, now: Micros, request: &Request, scratch: &mut Scratch) -> Prospect {
        scratch.promises_clear();
        match self.choose(now, request, scratch) {
            Choice::Member(chosen) if self.is_failing(now, &chosen) => Prospect::Failing,
            Choice::Member(_) if !self.is_preceded(request) => Prospect::Starts,
            Choice::Member(_) | Choice::Wait | Choice::WaitTurn => Prospect::Waits,
            Choice::NoReplica | Choice::PowerShort => Prospect::Absent,
            Choice::EndpointUnsupported => Prospect::Unsupported,
            Choice::PolicyDenied => Prospect::Denied,
        }
    }

    fn is_failing(&self, now: Micros, chosen: &Chosen) -> bool {
        let member = self.member(chosen.member);
        member.is_some_and(|member| member.breaker.is_failing(now))
    }

    /// The course of a request that its model denies to the models that the deciding rules name instead. It happens once; `None`
    /// where there are none.
    pub(crate) fn detour(&self, request: &Request) -> Option<Course> {
        if request.course.via.is_some() {
            return None;
        }
        let denials = self.denials_of(request);
        let mut rest: Vec<ModelId> = Vec::new();
        for model in denials.iter().filter_map(|d| d.decision.reroute.as_ref()) {
            if *model != request.submit.model && !rest.contains(model) {
                rest.push(model.clone());
            }
        }
        (!rest.is_empty()).then(|| Course {
            via: Some(Via::Reroute(request.submit.model.clone())),
            rest,
            denials,
        })
    }

    /// The model of a request cannot serve it: by the end of the step it is at another one, or refused.
    pub(super) fn give_up(
        &mut self,
        now: Micros,
        index: RequestIndex,
        refusal: Refusal,
        effects: &mut Vec<Effect>,
    ) {
        if self.may_move(index) && self.has_other(index, refusal) {
            self.unqueue(index);
            self.moving.push_back((index, refusal));
        } else {
            self.refuse(now, index, refusal, effects);
        }
    }

    fn may_move(&self, index: RequestIndex) -> bool {
        let attempts_max = self.limits.attempts_max;
        let may = |request: &Request| {
            request.first_byte_at.is_none()
                && request.runs.is_empty()
                && request.tries() < attempts_max
        };
        !self.draining && self.requests.get(index).is_some_and(may)
    }

    fn has_other(&mut self, index: RequestIndex, refusal: Refusal) -> bool {
        let Some(request) = self.requests.get(index) else {
            return false;
        };
        if refusal != Refusal::PolicyDenied {
            return !request.course.rest.is_empty();
        }
        let course = self.detour(request).unwrap_or_else(|| Course {
            denials: self.denials_of(request),
            ..request.course.clone()
        });
        let found = !course.rest.is_empty();
        if let Some(request) = self.requests.get_mut(index) {
            request.course = course;
        }
        found
    }

    /// Whether another model takes a request now, or lets it wait.
    pub(super) fn has_elsewhere(&mut self, now: Micros, index: RequestIndex) -> bool {
        let left = |request: &Request| !request.course.rest.is_empty();
        self.requests.get(index).is_some_and(left)
            && self
                .elsewhere(now, index)
                .is_some_and(|(_, prospect)| prospect >= Prospect::Failing)
    }

    /// The request as it would stand at the best of the models that are left.
    fn elsewhere(&mut self, now: Micros, index: RequestIndex) -> Option<(Request, Prospect)> {
        let mut request = self.requests.get(index)?.clone();
        let mut scratch = std::mem::take(&mut self.scratch);
        let prospect = self.steer(now, &mut request, &mut scratch);
        self.scratch = scratch;
        Some((request, prospect?))
    }

    /// Those whose model cannot serve them go to another one, or are refused.
    pub(super) fn go_on(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        while let Some((index, refusal)) = self.moving.pop_front() {
            let Some((request, prospect)) = self.elsewhere(now, index) else {
                self.refuse(now, index, refusal, effects);
                continue;
            };
            if prospect >= Prospect::Failing {
                self.requests.remove(index);
                let index = self.admit(now, request);
                self.place(now, index, effects);
                continue;
            }
            // What policy permits and nobody serves at the moment is worth another try.
            let refusal = match (refusal, prospect) {
                (Refusal::PolicyDenied, Prospect::Absent) => Refusal::NoReplica,
                (refusal, _) => refusal,
            };
            self.refuse(now, index, refusal, effects);
        }
    }
}
