//! Who calls: every route takes one of these before it reads anything else of the request.

use crate::refusal::Refusal;
use crate::state::Api;
use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::request::Parts;
use madang_gateway::doors::identify_request;
use madang_gateway::gateway::Gateway;
use madang_types::{ErrorCode, KeyId, Role, TenantId};
use std::sync::Arc;

/// Anyone with a valid key.
#[derive(Debug)]
pub(crate) struct Caller {
    /// The key that was shown.
    pub key: KeyId,
    /// The caller's tenant; `None` for an operator, who sees all.
    pub tenant: Option<TenantId>,
}

/// An operator.
#[derive(Debug)]
pub(crate) struct Operator {
    /// The key that was shown.
    pub key: KeyId,
}

impl Caller {
    /// Who sends these headers.
    pub fn identify(gateway: &Gateway, headers: &HeaderMap) -> Result<Self, Refusal> {
        let identity = identify_request(gateway, headers)?;
        let key = identity.key;
        match (identity.role, identity.tenant) {
            (Role::Operator, _) => Ok(Self { key, tenant: None }),
            (Role::Member, Some(tenant)) => Ok(Self {
                key,
                tenant: Some(tenant),
            }),
            // `None` means all here: a member's key without a tenant must not come to mean that.
            (Role::Member, None)
            | (Role::ProgrammeManager | Role::TenantAdmin | Role::Auditor, _) => Err(forbidden()),
        }
    }

    /// Whether rows of this tenant may be seen.
    pub fn sees(&self, tenant: Option<&TenantId>) -> bool {
        match &self.tenant {
            None => true,
            Some(own) => Some(own) == tenant,
        }
    }

    /// Lets only operators pass: called once it is settled that the object may be seen.
    pub fn operator_only(&self) -> Result<(), Refusal> {
        match self.tenant {
            None => Ok(()),
            Some(_) => Err(forbidden()),
        }
    }

    /// The tenant that a list is about: the one asked for, where it may be seen, else the caller's own.
    pub fn tenant_asked(&self, asked: Option<TenantId>) -> Result<Option<TenantId>, Refusal> {
        match asked {
            Some(asked) if !self.sees(Some(&asked)) => {
                Err(Refusal::absent("tenant", asked.as_str()).at("tenant"))
            }
            Some(asked) => Ok(Some(asked)),
            None => Ok(self.tenant.clone()),
        }
    }
}

fn forbidden() -> Refusal {
    Refusal::new(
        ErrorCode::RoleForbidden,
        "this is done with an operator key; the key sent is a tenant's",
    )
}

impl FromRequestParts<Arc<Api>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Refusal> {
        Self::identify(api.gateway(), &parts.headers)
    }
}

impl FromRequestParts<Arc<Api>> for Operator {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Refusal> {
        let caller = Caller::from_request_parts(parts, api).await?;
        caller.operator_only()?;
        Ok(Self { key: caller.key })
    }
}
