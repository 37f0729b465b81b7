//! What would become of a request, without sending it: each candidate with what the policy says of it, and which would be taken.

use crate::apply::Prospect;
use crate::effect::{Decision, Refusal};
use crate::input::RequestSubmit;
use crate::policy::PolicyDecision;
use crate::request::Request;
use crate::route::{Choice, Scratch};
use crate::state::Core;
use madang_types::{Micros, ModelId, PolicyHash, ProgrammeId, ReplicaId, SiteId, Zone};
use serde::{Deserialize, Serialize};

/// What would become of a request now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The tenant's programme.
    pub programme: Option<ProgrammeId>,
    /// Everything that serves a model that it may have through the door: those of the model where it would go first, then
    /// those of the others in their order.
    pub candidates: Vec<CandidateView>,
    /// Where it would start now; `None` where it would wait, or be refused.
    pub taken: Option<Taken>,
    /// Why it would be refused; `None` where it would start or wait.
    pub refusal: Option<Refusal>,
    /// Names the policy in force.
    pub policy_hash: PolicyHash,
}

/// A member that serves a model that the request may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateView {
    /// Its id.
    pub replica: ReplicaId,
    /// The model.
    pub model: ModelId,
    /// Its site or upstream.
    pub location: SiteId,
    /// What its ground counts as.
    pub zone: Option<Zone>,
    /// Whether it would take a request now, free slots apart.
    pub available: bool,
    /// What the policy says of it.
    pub policy: PolicyDecision,
}

/// The member that would be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Its id.
    pub replica: ReplicaId,
    /// The model that would serve it.
    pub model: ModelId,
    /// Whether personal data would be masked first.
    pub masked: bool,
    /// Why it.
    pub decision: Decision,
}

impl Core {
    /// Says what would become of a request, as if it came now and nobody waited before it. Changes nothing.
    pub fn explain(&self, now: Micros, submit: RequestSubmit) -> Explanation {
        let programme = self.weights.programme_of(&submit.payer.tenant).cloned();
        let mut candidates = Vec::new();
        let mut outcome = self.foresee(now, submit, &mut candidates);
        if self.draining {
            outcome = Err(Refusal::Draining);
        }
        Explanation {
            programme,
            candidates,
            refusal: outcome.as_ref().err().copied(),
            taken: outcome.ok().flatten(),
            policy_hash: self.policy.hash(),
        }
    }

    /// Where it would start; `None` where it would wait.
    fn foresee(
        &self,
        now: Micros,
        submit: RequestSubmit,
        candidates: &mut Vec<CandidateView>,
    ) -> Result<Option<Taken>, Refusal> {
        let mut scratch = Scratch::default();
        let newcomer = Request::new(now, self.sequence, submit);
        let mut request = self.set_out(now, newcomer, &mut scratch)?;
        let model = request.submit.model.clone();
        self.stand_at(&mut request, &model);
        self.candidates_at(now, &request, candidates);
        let mut choice = self.choose(now, &request, &mut scratch);
        if matches!(choice, Choice::PolicyDenied)
            && let Some(course) = self.detour(&request)
        {
            request.course = course;
            let prospect = self.steer(now, &mut request, &mut scratch);
            self.candidates_at(now, &request, candidates);
            if prospect.is_some_and(|prospect| prospect >= Prospect::Absent) {
                choice = self.choose(now, &request, &mut scratch);
            }
        }
        match choice {
            Choice::Member(chosen) => Ok(self.member(chosen.member).map(|member| Taken {
                replica: member.view.replica.clone(),
                model: request.submit.model,
                masked: chosen.masked,
                decision: chosen.decision,
            })),
            Choice::Wait | Choice::WaitTurn => Ok(None),
            Choice::EndpointUnsupported => Err(Refusal::EndpointUnsupported),
            Choice::PolicyDenied => Err(Refusal::PolicyDenied),
            Choice::NoReplica => Err(Refusal::NoReplica),
            Choice::PowerShort => Err(Refusal::PowerShort),
        }
    }

    /// The candidates of the model that a request is at, and of those that are left.
    fn candidates_at(&self, now: Micros, request: &Request, views: &mut Vec<CandidateView>) {
        views.extend(self.candidates(now, request));
        for model in &request.course.rest {
            let mut there = request.clone();
            if self.stand_at(&mut there, model) {
                views.extend(self.candidates(now, &there));
            }
        }
    }

    fn candidates(&self, now: Micros, request: &Request) -> Vec<CandidateView> {
        let view = |member: &crate::member::Member| CandidateView {
            replica: member.view.replica.clone(),
            model: request.submit.model.clone(),
            location: member.view.site.clone(),
            zone: self.policy.zone(member.place),
            available: member.available(now),
            policy: self.policy_decision(request, member).clone(),
        };
        let mut candidates: Vec<CandidateView> = self.serving(request).map(view).collect();
        candidates.sort_by(|one, other| one.replica.cmp(&other.replica));
        candidates
    }
}
