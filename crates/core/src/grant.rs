//! Under which rules an attempt goes where it goes: what an audit log says of it.

use crate::state::Core;
use madang_types::{
    BasisId, ModelId, PolicyEffect, PolicyHash, ReplicaId, RequestId, RuleId, Zone,
};

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
        Some(Grant {
            effect: decision.effect,
            rules: decision.rules.clone(),
            bases: decision.bases.clone(),
            zone: self.policy.zone(member.place),
            policy_hash: self.policy.hash(),
        })
    }

    /// The model that a request is at: another one than it asked for where that leads to it.
    pub fn model_of(&self, request: RequestId) -> Option<&ModelId> {
        let request = self.requests.get(self.requests.index(request)?)?;
        Some(&request.submit.model)
    }
}
