//! The policy in force: compiled when the fleet changes or a legal basis expires, and asked for every attempt.

use crate::effect::Refusal;
use crate::fleet_view::Shares;
use crate::input::{Input, RequestSubmit};
use crate::member::Member;
use crate::policy::{DENIALS_MAX, Denial, PlaceIndex, PolicyDecision, PolicyTable, Subject, Whom};
use crate::request::{Request, RequestIndex};
use crate::share::Weights;
use crate::state::Core;
use madang_types::{Micros, Place, Policy, SiteId};
use std::collections::BTreeSet;

impl Core {
    /// Takes a policy over, and the places that there are; compiles nothing where neither changed.
    pub(super) fn policy_apply(&mut self, now: Micros, policy: Policy) {
        let same = self.policy_source == policy && self.policy.stands_at(now);
        if !same || !self.policy.covers(&self.places()) {
            self.policy_source = policy;
            self.policy_compile(now);
        }
        self.places_apply();
    }

    fn places(&self) -> BTreeSet<(SiteId, Place)> {
        let places = self.members.iter().flatten();
        let places = places.map(|member| (member.view.site.clone(), member.view.place.clone()));
        places.chain(self.origins.iter().cloned()).collect()
    }

    /// Compiles the policy over the places that there are. One that cannot be used denies everything:
    /// [`PolicyTable::load`] has refused it, also for what it becomes when its bases expire.
    fn policy_compile(&mut self, now: Micros) {
        let table = PolicyTable::compile(&self.policy_source, self.places(), now);
        self.policy = table.unwrap_or_default();
        self.policy.stops_set(&self.stops);
        self.policy.floors_set(&self.floors);
        self.subjects_apply();
    }

    fn places_apply(&mut self) {
        for member in self.members.iter_mut().flatten() {
            let place = self.policy.place(&member.view.site, &member.view.place);
            member.place = place.unwrap_or(PlaceIndex::NOWHERE);
        }
    }

    /// Compiles it anew where a basis has expired. A tick while nothing waits or runs changes nothing.
    pub(super) fn policy_refresh(&mut self, now: Micros, input: &Input) {
        let idle = matches!(input, Input::Tick) && self.requests.len() == 0;
        if now >= self.policy.expires_at() && !idle {
            self.policy_compile(now);
            self.places_apply();
        }
    }

    /// Takes over who is of which programme, with what weight, and below which ground no data of it is served.
    pub(super) fn shares_apply(&mut self, mut shares: Shares) {
        self.floors = std::mem::take(&mut shares.floors).into_iter().collect();
        self.policy.floors_set(&self.floors);
        self.credits.shares_apply(&shares);
        self.weights = Weights::new(shares);
        self.subjects_apply();
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
        let content = request.submit.content();
        self.policy.decide(request.subject, content, member.place)
    }

    /// Where policy denies a request: why, for each place that serves a model that it may have. The models that are left come
    /// last.
    pub(super) fn denials(&self, index: RequestIndex, refusal: Refusal) -> Vec<Denial> {
        let denied = refusal == Refusal::PolicyDenied;
        let Some(request) = self.requests.get(index).filter(|_| denied) else {
            return Vec::new();
        };
        let mut denials = self.denials_of(request);
        let mut there = request.clone();
        for model in &request.course.rest {
            if self.stand_at(&mut there, model) {
                self.denials_add(&there, &mut denials);
            }
        }
        denials
    }

    /// Why a request may not go to the places that serve its model and deny it, after those of the models that it left for that.
    pub(crate) fn denials_of(&self, request: &Request) -> Vec<Denial> {
        let mut denials = request.course.denials.clone();
        self.denials_add(request, &mut denials);
        denials
    }

    fn denials_add(&self, request: &Request, denials: &mut Vec<Denial>) {
        for member in self.serving(request) {
            if denials.len() >= DENIALS_MAX {
                break;
            }
            let content = request.submit.content();
            let denial = self.policy.denial(request.subject, content, member.place);
            let new = denial.filter(|denial| !denials.contains(denial));
            denials.extend(new);
        }
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
