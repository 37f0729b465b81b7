//! The policy in force: compiled when the fleet changes or a legal basis expires, and asked for every attempt.

use crate::effect::Refusal;
use crate::input::{Input, RequestSubmit};
use crate::member::Member;
use crate::policy::{DENIALS_MAX, Denial, PlaceIndex, PolicyDecision, PolicyTable, Subject, Whom};
use crate::request::{Request, RequestIndex};
use crate::state::Core;
use madang_types::Micros;

impl Core {
    /// Compiles the policy over the members' places. One that cannot be used denies everything: its loader has refused it before.
    pub(super) fn policy_apply(&mut self, now: Micros) {
        let places = self.members.iter().flatten();
        let places = places.map(|member| (member.view.site.clone(), member.view.place.clone()));
        self.policy = PolicyTable::compile(&self.policy_source, places, now).unwrap_or_default();
        self.policy.stops_set(&self.stops);
        for member in self.members.iter_mut().flatten() {
            let place = self.policy.place(&member.view.site, &member.view.place);
            member.place = place.unwrap_or(PlaceIndex::NOWHERE);
        }
        self.subjects_apply();
    }

    /// Compiles it anew where a basis has expired. A tick while nothing waits or runs changes nothing.
    pub(super) fn policy_refresh(&mut self, now: Micros, input: &Input) {
        let idle = matches!(input, Input::Tick) && self.requests.len() == 0;
        if now >= self.policy.expires_at() && !idle {
            self.policy_apply(now);
        }
    }

    /// Says anew who everybody is to the policy.
    pub(super) fn subjects_apply(&mut self) {
        let indices: Vec<RequestIndex> = self.requests.iter().map(|(index, _)| index).collect();
        for index in indices {
            let subject = self
                .requests
                .get(index)
                .map(|request| self.subject_of(&request.submit));
            if let (Some(request), Some(subject)) = (self.requests.get_mut(index), subject) {
                request.subject = subject;
            }
        }
    }

    /// Who asks for what, to the policy in force.
    pub(crate) fn subject_of(&self, submit: &RequestSubmit) -> Subject {
        let tenant = &submit.payer.tenant;
        self.policy.subject(Whom {
            tenant: Some(tenant),
            programme: self.weights.programme_of(tenant),
            model: Some(&submit.model),
        })
    }

    /// What the policy says of sending a request to a member now.
    pub(crate) fn policy_decision(&self, request: &Request, member: &Member) -> &PolicyDecision {
        let content = (request.submit.data_class, request.submit.flags);
        self.policy.decide(request.subject, content, member.place)
    }

    /// Where policy denies a request: why, for each place that serves a model that it may have.
    pub(super) fn denials(&self, index: RequestIndex, refusal: Refusal) -> Vec<Denial> {
        let Some(request) = self
            .requests
            .get(index)
            .filter(|_| refusal == Refusal::PolicyDenied)
        else {
            return Vec::new();
        };
        self.denials_of(request)
    }

    /// Why a request may not go to the places that serve its model and deny it, after what was denied before.
    pub(crate) fn denials_of(&self, request: &Request) -> Vec<Denial> {
        let mut denials = request.course.denials.clone();
        for member in self.serving(request) {
            if denials.len() >= DENIALS_MAX {
                break;
            }
            let content = (request.submit.data_class, request.submit.flags);
            let denial = self.policy.denial(request.subject, content, member.place);
            let new = denial.filter(|denial| !denials.contains(denial));
            denials.extend(new);
        }
        denials
    }

    /// The members that serve what a request asks for, through its door.
    pub(crate) fn serving<'a>(&'a self, request: &'a Request) -> impl Iterator<Item = &'a Member> {
        let pool = self.pool(request.pool);
        let members = pool.into_iter().flat_map(|pool| &pool.members);
        members
            .filter_map(|index| self.member(*index))
            .filter(|member| member.serves(&request.submit))
    }
}
