//! Under which rules an attempt goes where it goes: what an audit log says of it.

use crate::input::RequestSubmit;
use crate::policy::{Content, Denial, PlaceIndex, PolicyDecision, Whom};
use crate::state::Core;
use madang_types::{
    BasisId, ModelId, Place, PolicyEffect, PolicyHash, ReplicaId, RequestId, RuleId, SiteId,
    StopScope, Zone,
};
use std::collections::BTreeSet;

/// What the policy said of a request at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What becomes of the request there.
    pub effect: PolicyEffect,
    /// The rules that decided.
    pub rules: Vec<RuleId>,
    /// The legal bases that made a difference.
    pub bases: Vec<BasisId>,
    /// What the place's ground counts as.
    pub zone: Option<Zone>,
    /// Names the policy in force.
    pub policy_hash: PolicyHash,
}

impl Core {
    /// What the policy says of a request that the core knows, at one member.
    pub fn grant(&self, request: RequestId, replica: &ReplicaId) -> Option<Grant> {
        let request = self.requests.get(self.requests.index(request)?)?;
        let member = self.member(*self.member_ids.get(replica)?)?;
        let decision = self.policy_decision(request, member);
        Some(self.granted(decision, member.place))
    }

    /// The same at a place that a URL in it leads to; `None` where the core does not know the request.
    ///
    /// # Errors
    /// It may not go there, or the place is none of the fleet in force.
    pub fn grant_at(
        &self,
        request: RequestId,
        (location, place): (&SiteId, &Place),
    ) -> Option<Result<Grant, Denial>> {
        let request = self.requests.get(self.requests.index(request)?)?;
        let index = self.policy.place(location, place);
        let index = index.unwrap_or(PlaceIndex::NOWHERE);
        let content = (request.submit.data_class, request.submit.flags);
        let decision = self.policy.decide(request.subject, content, index);
        Some(match decision.effect {
            PolicyEffect::Allow | PolicyEffect::Mask => Ok(self.granted(decision, index)),
            PolicyEffect::Deny => Err(Denial {
                location: location.clone(),
                decision: decision.clone(),
            }),
        })
    }

    /// What the policy says of a request that it would be asked about at a place that a URL in it leads to, and what that
    /// place's ground counts as.
    pub fn decide_at(
        &self,
        submit: &RequestSubmit,
        (location, place): (&SiteId, &Place),
    ) -> (PolicyDecision, Option<Zone>) {
        let index = self.policy.place(location, place);
        let index = index.unwrap_or(PlaceIndex::NOWHERE);
        let subject = self.subject_of(submit);
        let decision = self.policy.decide(subject, submit.content(), index);
        (decision.clone(), self.policy.zone(index))
    }

    /// What the policy says of such data of somebody at a place of the fleet in force.
    pub fn decide_of(&self, whom: Whom<'_>, content: Content, location: &SiteId) -> PolicyDecision {
        let index = self.policy.place_named(location);
        let index = index.unwrap_or(PlaceIndex::NOWHERE);
        let subject = self.policy.subject(whom);
        self.policy.decide(subject, content, index).clone()
    }

    /// Stops in force.
    pub fn stops(&self) -> &BTreeSet<StopScope> {
        &self.stops
    }

    /// Names the policy in force.
    pub fn policy_hash(&self) -> PolicyHash {
        self.policy.hash()
    }

    fn granted(&self, decision: &PolicyDecision, place: PlaceIndex) -> Grant {
        Grant {
            effect: decision.effect,
            rules: decision.rules.clone(),
            bases: decision.bases.clone(),
            zone: self.policy.zone(place),
            policy_hash: self.policy.hash(),
        }
    }

    /// The model that a request is at: another one than it asked for where that leads to it.
    pub fn model_of(&self, request: RequestId) -> Option<&ModelId> {
        let request = self.requests.get(self.requests.index(request)?)?;
        Some(&request.submit.model)
    }
}
