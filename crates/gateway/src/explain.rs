//! What would become of a request, without sending it.

use crate::clock;
use crate::gateway::Gateway;
use crate::keyring::Account;
use crate::refused::Refused;
use crate::rights::permit_period;
use crate::snapshot::Snapshot;
use crate::walk::{Facts, body_refused, holds_personal_data, inspect, link_of, shown, too_many};
use bytes::Bytes;
use madang_core::{Explanation, Payer, PolicyDecision, Prefix, Refusal, RequestSubmit};
use madang_types::{
    DataClass, DataFlags, Endpoint, ErrorCode, KeyId, ModelId, PolicyEffect, Priority, ProjectId,
    RequestId, SiteId, TenantId, Zone,
};
use madang_wire::RequestBody;
use madang_wire::urls::{NamedUrl, named_urls};

/// A request that is not sent.
#[derive(Clone, Debug)]
pub struct ExplainAsk {
    /// Whose it would be.
    pub tenant: TenantId,
    /// With which key; only the key's floors matter.
    pub key: Option<KeyId>,
    /// Through which door.
    pub endpoint: Endpoint,
    /// For which model.
    pub model: ModelId,
    /// The class that it would claim.
    pub class: Option<DataClass>,
    /// Flags that it would claim.
    pub flags: DataFlags,
    /// Its body, where the scanner is to look at it.
    pub body: Option<Bytes>,
}

/// What would become of it.
#[derive(Clone, Debug)]
pub struct Explained {
    /// Its marks, and where they come from.
    pub facts: Facts,
    /// The candidates, and which would be taken.
    pub explanation: Explanation,
    /// The URLs in its body whose hosts policy would be asked about, in their order.
    pub urls: Vec<UrlExplained>,
}

/// A URL in a body, and what policy says of its host.
#[derive(Clone, Debug)]
pub struct UrlExplained {
    /// Its host; `None` where it leads to none that can be listed.
    pub host: Option<String>,
    /// The id of the origin that lists the host.
    pub origin: Option<SiteId>,
    /// The place: the origin's site, or the origin itself where others run it.
    pub location: Option<SiteId>,
    /// What the place's ground counts as.
    pub zone: Option<Zone>,
    /// What the policy says.
    pub policy: PolicyDecision,
}

impl Gateway {
    /// Says what would become of a request that came now. Nothing is sent and nothing is changed.
    ///
    /// # Errors
    /// The tenant or its key is not in force, its programme has ended, the body is none, or it names too many URLs.
    pub fn explain(&self, ask: ExplainAsk) -> Result<Explained, Refused> {
        let (mut facts, project) = self.facts_of(&ask)?;
        facts.claim(ask.class, ask.flags);
        let snapshot = self.snapshot();
        let (mut maskable, mut named) = (true, Vec::new());
        if let Some(bytes) = ask.body {
            let depth_max = snapshot.fleet.limits.json_depth_max;
            let body = RequestBody::parse(bytes, depth_max).map_err(body_refused)?;
            let inspection = inspect(&body);
            maskable = inspection.is_maskable();
            facts.find(inspection.counts());
            named = named_urls(&body);
            if let Some(message) = too_many(&named, &snapshot.fleet.limits) {
                return Err(Refused::new(ErrorCode::FieldInvalid, message).at("body"));
            }
        }
        let mut submit = RequestSubmit {
            request: RequestId(0),
            payer: Payer {
                tenant: ask.tenant,
                project,
                key: ask.key.unwrap_or_else(nobody),
            },
            model: ask.model,
            endpoint: ask.endpoint,
            data_class: facts.mark.class,
            flags: facts.mark.flags,
            maskable,
            priority: Priority::default(),
            streamed: false,
            prompt_tokens: 1,
            output_tokens_max: 1,
            wait_ms_max: 0,
            prefix: Prefix::default(),
            session: None,
        };
        let mut explanation = self.driver.explain(submit.clone());
        if let Some(taken) = &explanation.taken {
            submit.model = taken.model.clone();
        }
        let urls: Vec<UrlExplained> = named
            .iter()
            .map(|named| self.explain_url(&snapshot, &mut submit, named))
            .collect();
        let denied = urls
            .iter()
            .any(|url| url.policy.effect == PolicyEffect::Deny);
        if denied && explanation.refusal.is_none() {
            explanation.refusal = Some(Refusal::PolicyDenied);
            explanation.taken = None;
        }
        Ok(Explained {
            facts,
            explanation,
            urls,
        })
    }

    fn explain_url(
        &self,
        snapshot: &Snapshot,
        submit: &mut RequestSubmit,
        named: &NamedUrl,
    ) -> UrlExplained {
        let link = link_of(named);
        let origin = link
            .as_ref()
            .and_then(|link| snapshot.origins.get(&link.origin));
        let (policy, zone) = match origin {
            Some(origin) => {
                // A placeholder in a URL leads nowhere.
                submit.maskable = !holds_personal_data(&named.url);
                let at = (&origin.location_id, &origin.place);
                self.driver.decide_at(submit, at)
            }
            None => (PolicyDecision::unlisted(), None),
        };
        UrlExplained {
            host: link.as_ref().map(shown),
            origin: origin.map(|origin| origin.id.clone()),
            location: origin.map(|origin| origin.location_id.clone()),
            zone,
            policy,
        }
    }

    fn facts_of(&self, ask: &ExplainAsk) -> Result<(Facts, Option<ProjectId>), Refused> {
        let absent = |param: &str| {
            let message = "the tenant or its key is not in force";
            Refused::new(ErrorCode::NotFound, message).at(param)
        };
        let account = self.keyring.account(&ask.tenant, ask.key.as_ref());
        let Account {
            programme,
            period,
            project,
            tenant_floor,
            key_floor,
        } = account.ok_or_else(|| absent(if ask.key.is_some() { "key" } else { "tenant" }))?;
        permit_period((programme.as_ref(), period), clock::now())?;
        let facts = Facts::new(programme, tenant_floor, key_floor);
        Ok((facts, project))
    }
}

/// The key of a request that has none.
fn nobody() -> KeyId {
    KeyId::new("explain").expect("letters are a name")
}
