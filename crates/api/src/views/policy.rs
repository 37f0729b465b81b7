//! Stops, and what policy says of requests.

use super::instant;
use madang_audit::{Appended, Month};
use madang_control::view::{CandidateView, Explanation, PolicyDecision, Taken, Unmet};
use madang_gateway::explain::{Explained, UrlExplained};
use madang_gateway::refused::code_of;
use madang_gateway::snapshot::Snapshot;
use madang_gateway::walk::Facts;
use madang_types::{Country, DataFlag, ModelId, Stop, TenantId, Zone};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A stop in force.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StopView {
    /// What it covers, as `upstream:openai`.
    scope: String,
    /// Why.
    reason: String,
    /// The operator's key that set it.
    set_by: String,
    /// Since when.
    #[schema(format = DateTime)]
    set_at: String,
}

impl From<Stop> for StopView {
    fn from(stop: Stop) -> Self {
        let Stop {
            scope,
            reason,
            set_by,
            set_at,
        } = stop;
        Self {
            scope: scope.to_string(),
            reason,
            set_by: set_by.to_string(),
            set_at: instant(set_at),
        }
    }
}

/// A key of the audit log's hashes that was destroyed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErasureView {
    /// Whose hashes.
    tenant: String,
    /// Of which month.
    month: String,
    /// The leaf of the audit log that says so.
    leaf: u64,
}

impl ErasureView {
    /// The view of an erasure that is in the log.
    pub fn new((tenant, month): (TenantId, Month), appended: Appended) -> Self {
        let Appended { index } = appended;
        Self {
            tenant: tenant.to_string(),
            month: month.to_string(),
            leaf: index,
        }
    }
}

/// What would become of a request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExplainView {
    /// Whose it would be.
    tenant: String,
    /// The tenant's programme.
    programme: Option<String>,
    /// The model asked for.
    model: String,
    /// How its data counts.
    data: DataView,
    /// Names the policy in force.
    policy_hash: String,
    /// Everything that serves a model that it may have through that door: the one where it would go first.
    candidates: Vec<ExplainCandidateView>,
    /// Each URL in the body, with what the policy says of its host.
    urls: Vec<ExplainUrlView>,
    /// Where it would go now; null where it would wait or be refused.
    taken: Option<TakenView>,
    /// The error code with which it would be refused; null where it would start or wait.
    #[schema(value_type = Option<String>)]
    refusal: Option<&'static str>,
}

/// How a request's data counts, and why.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DataView {
    /// The class that counts.
    #[schema(value_type = String)]
    class: &'static str,
    /// What raised it to that: `default`, `tenant_floor`, `key_floor`, `header`, `scanner`.
    class_from: String,
    /// The class that the request claims.
    #[schema(value_type = Option<String>)]
    class_claimed: Option<&'static str>,
    /// Facts about the data.
    #[schema(value_type = Vec<String>)]
    flags: Vec<&'static str>,
    /// How many of each kind of personal data the scanner found.
    found: BTreeMap<String, u32>,
}

/// One place that serves a model that the request may have.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExplainCandidateView {
    /// Its id.
    replica: String,
    /// The model.
    model: String,
    /// Its site or upstream.
    location: String,
    /// Where it computes.
    country: Option<String>,
    /// Whose law its operator is under.
    operator_country: Option<String>,
    /// What its ground counts as.
    #[schema(value_type = Option<String>)]
    zone: Option<&'static str>,
    /// Whether it would take a request now, free slots apart.
    available: bool,
    /// What the policy says: `allow`, `mask`, `deny`.
    #[schema(value_type = String)]
    effect: &'static str,
    /// The rules that decided.
    rules: Vec<String>,
    /// Where it denies: rules that would permit, and which of their conditions fail.
    unmet: Vec<UnmetView>,
    /// Legal bases that made a difference.
    bases: Vec<String>,
    /// The model that may be had instead.
    reroute: Option<String>,
    /// Why, in a sentence.
    text: String,
    /// The same in Korean.
    text_ko: String,
}

/// A URL in the body, and what the policy says of its host.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExplainUrlView {
    /// Its host; null where it leads to none that can be listed.
    host: Option<String>,
    /// The id of the `[[origin]]` that lists it; null where none does.
    origin: Option<String>,
    /// The place: the origin's site, or the origin where others run it.
    location: Option<String>,
    /// What its ground counts as.
    #[schema(value_type = Option<String>)]
    zone: Option<&'static str>,
    /// What the policy says: `allow`, `mask`, `deny`.
    #[schema(value_type = String)]
    effect: &'static str,
    /// The rules that decided; `unlisted-origin` where no origin lists the host.
    rules: Vec<String>,
    /// Where it denies: rules that would permit, and which of their conditions fail.
    unmet: Vec<UnmetView>,
    /// Legal bases that made a difference.
    bases: Vec<String>,
    /// Why, in a sentence.
    text: String,
    /// The same in Korean.
    text_ko: String,
}

/// A rule that would have permitted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UnmetView {
    /// The rule.
    rule: String,
    /// Its conditions that fail.
    #[schema(value_type = Vec<String>)]
    conditions: Vec<&'static str>,
}

/// The place that would be taken.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TakenView {
    /// Its id.
    replica: String,
    /// The model that would serve it.
    model: String,
    /// Whether personal data would be masked first.
    masked: bool,
    /// Why it, in one line.
    decision: String,
}

impl ExplainView {
    /// The view of an explanation, with what the fleet says of the places.
    pub fn new(
        (tenant, model): (TenantId, ModelId),
        explained: Explained,
        snapshot: &Snapshot,
    ) -> Self {
        let Explained {
            facts,
            explanation,
            urls,
        } = explained;
        let Explanation {
            programme,
            candidates,
            taken,
            refusal,
            policy_hash,
        } = explanation;
        let candidates = candidates.into_iter();
        Self {
            tenant: tenant.to_string(),
            programme: programme.map(|id| id.to_string()),
            model: model.to_string(),
            data: facts.into(),
            policy_hash: policy_hash.to_string(),
            candidates: candidates
                .map(|candidate| ExplainCandidateView::new(candidate, snapshot))
                .collect(),
            urls: urls.into_iter().map(Into::into).collect(),
            taken: taken.map(Into::into),
            refusal: refusal.map(|refusal| code_of(refusal).as_str()),
        }
    }
}

impl From<Facts> for DataView {
    fn from(facts: Facts) -> Self {
        let word = serde_json::to_value(facts.class_from).unwrap_or_default();
        let found = facts.pii.into_iter();
        Self {
            class: facts.mark.class.as_str(),
            class_from: word.as_str().unwrap_or_default().to_owned(),
            class_claimed: facts.class_claimed.map(|class| class.as_str()),
            flags: facts.mark.flags.iter().map(DataFlag::as_str).collect(),
            found: found
                .map(|(kind, count)| (kind.to_string(), count))
                .collect(),
        }
    }
}

impl ExplainCandidateView {
    fn new(candidate: CandidateView, snapshot: &Snapshot) -> Self {
        let CandidateView {
            replica,
            model,
            location,
            zone,
            available,
            policy,
        } = candidate;
        let PolicyDecision {
            effect,
            rules,
            unmet,
            bases,
            reroute,
            text,
            text_ko,
        } = policy;
        let place = snapshot.place(&location);
        let country = |country: Option<Country>| country.map(|country| country.to_string());
        Self {
            replica: replica.to_string(),
            model: model.to_string(),
            location: location.to_string(),
            country: country(place.and_then(|place| place.country)),
            operator_country: country(place.and_then(|place| place.operator_country)),
            zone: zone.map(Zone::as_str),
            available,
            effect: effect.as_str(),
            rules: rules.iter().map(ToString::to_string).collect(),
            unmet: unmet.into_iter().map(Into::into).collect(),
            bases: bases.iter().map(ToString::to_string).collect(),
            reroute: reroute.map(|model| model.to_string()),
            text,
            text_ko,
        }
    }
}

impl From<UrlExplained> for ExplainUrlView {
    fn from(url: UrlExplained) -> Self {
        let UrlExplained {
            host,
            origin,
            location,
            zone,
            policy,
        } = url;
        // Another model would not help: it is a host that refuses.
        let PolicyDecision {
            effect,
            rules,
            unmet,
            bases,
            reroute: _,
            text,
            text_ko,
        } = policy;
        Self {
            host,
            origin: origin.map(|id| id.to_string()),
            location: location.map(|id| id.to_string()),
            zone: zone.map(Zone::as_str),
            effect: effect.as_str(),
            rules: rules.iter().map(ToString::to_string).collect(),
            unmet: unmet.into_iter().map(Into::into).collect(),
            bases: bases.iter().map(ToString::to_string).collect(),
            text,
            text_ko,
        }
    }
}

impl From<Unmet> for UnmetView {
    fn from(unmet: Unmet) -> Self {
        let Unmet { rule, conditions } = unmet;
        Self {
            rule: rule.to_string(),
            conditions: conditions.iter().map(|kind| kind.as_str()).collect(),
        }
    }
}

impl From<Taken> for TakenView {
    fn from(taken: Taken) -> Self {
        let Taken {
            replica,
            model,
            masked,
            decision,
        } = taken;
        Self {
            replica: replica.to_string(),
            model: model.to_string(),
            masked,
            decision: decision.to_string(),
        }
    }
}
