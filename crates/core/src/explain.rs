//! What would become of a request, without sending it: each candidate with what the policy says of it, and which would be taken.

use crate::effect::{Decision, Refusal};
use crate::input::RequestSubmit;
use crate::policy::PolicyDecision;
use crate::request::{FlowIndex, Request};
use crate::route::{Choice, Scratch};
use crate::state::Core;
use madang_types::{Micros, PolicyHash, ProgrammeId, ReplicaId, SiteId, Zone};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// What would become of a request now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The tenant's programme.
    pub programme: Option<ProgrammeId>,
    /// Everything that serves the model through the door.
    pub candidates: Vec<CandidateView>,
    /// Where it would start now; `None` where it would wait, or be refused.
    pub taken: Option<Taken>,
    /// Why it would be refused; `None` where it would start or wait.
    pub refusal: Option<Refusal>,
    /// Names the policy in force.
    pub policy_hash: PolicyHash,
}

/// A member that serves the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateView {
    /// Its id.
    pub replica: ReplicaId,
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
    /// Whether personal data would be masked first.
    pub masked: bool,
    /// Why it.
    pub decision: Decision,
}

impl Core {
    /// Says what would become of a request, as if it came now and nobody waited before it. Changes nothing.
    pub fn explain(&self, now: Micros, submit: RequestSubmit) -> Explanation {
        let pool = self.pool_ids.get(&submit.model).copied();
        let request = self.imagined(now, submit, pool.unwrap_or(u32::MAX));
        let choice = self.choose(now, &request, &mut Scratch::default());
        let (taken, refusal) = match choice {
            _ if self.draining => (None, Some(Refusal::Draining)),
            _ if pool.is_none() => (None, Some(Refusal::ModelUnknown)),
            Choice::Member(chosen) => {
                let member = self.member(chosen.member);
                let taken = member.map(|member| Taken {
                    replica: member.view.replica.clone(),
                    masked: chosen.masked,
                    decision: chosen.decision,
                });
                (taken, None)
            }
            Choice::Wait | Choice::WaitTurn => (None, None),
            Choice::EndpointUnsupported => (None, Some(Refusal::EndpointUnsupported)),
            Choice::PolicyDenied => (None, Some(Refusal::PolicyDenied)),
            Choice::NoReplica => (None, Some(Refusal::NoReplica)),
        };
        Explanation {
            programme: self
                .weights
                .programme_of(&request.submit.payer.tenant)
                .cloned(),
            candidates: self.candidates(now, &request),
            taken,
            refusal,
            policy_hash: self.policy.hash(),
        }
    }

    fn candidates(&self, now: Micros, request: &Request) -> Vec<CandidateView> {
        let view = |member: &crate::member::Member| CandidateView {
            replica: member.view.replica.clone(),
            location: member.view.site.clone(),
            zone: self.policy.zone(member.place),
            available: member.available(now),
            policy: self.policy_decision(request, member).clone(),
        };
        let mut candidates: Vec<CandidateView> = self.serving(request).map(view).collect();
        candidates.sort_by(|one, other| one.replica.cmp(&other.replica));
        candidates
    }

    /// A request that stands in no book.
    fn imagined(&self, now: Micros, submit: RequestSubmit, pool: u32) -> Request {
        let output = submit.output_tokens_max.clamp(1, crate::input::TOKENS_MAX);
        Request {
            subject: self.subject_of(&submit),
            kv_tokens: submit.prompt_tokens.saturating_add(output),
            predicted_output: output,
            pool,
            leaf: FlowIndex::MAX,
            lane: 1,
            order: (now.0, self.sequence),
            waiting: false,
            arrived_at: now,
            wait_until: now.plus_ms(submit.wait_ms_max),
            attempts: 0,
            failed_at: SmallVec::new(),
            runs: SmallVec::new(),
            first_byte_at: None,
            prompt_done: false,
            output_tokens: 0,
            charged: 0,
            submit,
        }
    }
}
