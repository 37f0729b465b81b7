//! What would become of a request, without sending it.

use crate::gateway::Gateway;
use crate::keyring::Account;
use crate::refused::Refused;
use crate::walk::{Facts, body_refused, inspect};
use bytes::Bytes;
use madang_core::{Explanation, Payer, Prefix, RequestSubmit};
use madang_types::{
    DataClass, DataFlags, Endpoint, ErrorCode, KeyId, ModelId, Priority, ProjectId, RequestId,
    TenantId,
};
use madang_wire::RequestBody;

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
}

impl Gateway {
    /// Says what would become of a request that came now. Nothing is sent and nothing is changed.
    ///
    /// # Errors
    /// The tenant or its key is not in force, or the body is none.
    pub fn explain(&self, ask: ExplainAsk) -> Result<Explained, Refused> {
        let (mut facts, project) = self.facts_of(&ask)?;
        facts.claim(ask.class, ask.flags);
        let snapshot = self.snapshot();
        let mut maskable = true;
        if let Some(bytes) = ask.body {
            let depth_max = snapshot.fleet.limits.json_depth_max;
            let body = RequestBody::parse(bytes, depth_max).map_err(body_refused)?;
            let inspection = inspect(&body);
            maskable = inspection.is_maskable();
            facts.find(inspection.counts());
        }
        let explanation = self.driver.explain(RequestSubmit {
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
        });
        Ok(Explained { facts, explanation })
    }

    fn facts_of(&self, ask: &ExplainAsk) -> Result<(Facts, Option<ProjectId>), Refused> {
        let absent = |param: &str| {
            let message = "the tenant or its key is not in force";
            Refused::new(ErrorCode::NotFound, message).at(param)
        };
        let account = self.keyring.account(&ask.tenant, ask.key.as_ref());
        let Account {
            programme,
            project,
            tenant_floor,
            key_floor,
        } = account.ok_or_else(|| absent(if ask.key.is_some() { "key" } else { "tenant" }))?;
        let facts = Facts::new(programme, tenant_floor, key_floor);
        Ok((facts, project))
    }
}

/// The key of a request that has none.
fn nobody() -> KeyId {
    KeyId::new("explain").expect("letters are a name")
}
