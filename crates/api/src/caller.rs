//! Who calls, and what its right reaches: every route takes one of these before it reads anything else of the request.

use crate::refusal::Refusal;
use crate::sign_in::signed_in;
use crate::state::Api;
use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, Method};
use madang_control::Control;
use madang_gateway::doors::identify_request;
use madang_gateway::gateway::Gateway;
use madang_gateway::keyring::{Identity, presented_key};
use madang_types::{Action, ErrorCode, KeyRecord, ProgrammeId, Reach, TenantId};
use std::marker::PhantomData;
use std::sync::Arc;

/// Anyone with a valid key.
#[derive(Debug)]
pub(crate) struct Caller(pub Identity);

/// A caller whose role may do `R` to something; to what, its ground says.
#[derive(Debug)]
pub(crate) struct May<R> {
    pub caller: Caller,
    pub ground: Ground,
    right: PhantomData<R>,
}

/// An action as a type, for a route to name.
pub(crate) trait Right {
    const ACTION: Action;
}

macro_rules! rights {
    ($($action:ident),+) => {
        /// The actions that routes name.
        pub(crate) mod right {
            $(#[derive(Debug)] pub(crate) struct $action;
            impl super::Right for $action {
                const ACTION: super::Action = super::Action::$action;
            })+
        }
    };
}

rights!(
    ServedRead,
    FleetRead,
    FleetWrite,
    ProgrammeRead,
    ProgrammeWrite,
    TenantRead,
    TenantWrite,
    ProjectRead,
    ProjectWrite,
    KeyRead,
    KeyWrite,
    UsageRead,
    BudgetRead,
    BudgetWrite,
    AllocationRead,
    AllocationWrite,
    PriceRead,
    PriceWrite,
    JobRead,
    JobSubmit,
    JobWrite,
    JobOutput,
    SecretRead,
    SecretWrite,
    Explain,
    AuditErase
);

/// What a right reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// Everything.
    All,
    /// A programme, its tenants and their rows.
    Programme(ProgrammeId),
    /// A tenant and its rows.
    Tenant(TenantId),
}

impl Caller {
    /// Who asks with these headers: by a key, or by the cookie of a sign-in where no key is shown.
    fn identify(
        gateway: &Gateway,
        (method, headers): (&Method, &HeaderMap),
    ) -> Result<Self, Refusal> {
        if matches!(presented_key(headers), Ok(None))
            && let Some(identity) = signed_in::identify(gateway, (method, headers))?
        {
            return Ok(Self(identity));
        }
        Ok(Self(identify_request(gateway, headers)?))
    }

    /// What this caller may do that to.
    pub fn ground(&self, action: Action) -> Result<Ground, Refusal> {
        let Self(identity) = self;
        let reach = identity.may(action)?;
        match (reach, &identity.tenant, &identity.programme) {
            (Reach::All, ..) => Ok(Ground::All),
            (_, Some(tenant), _) => Ok(Ground::Tenant(tenant.clone())),
            (_, None, Some(programme)) => Ok(Ground::Programme(programme.clone())),
            // What is one's own must not come to mean all where nothing is.
            (_, None, None) => Err(Refusal::new(
                ErrorCode::RoleForbidden,
                format!(
                    "the key belongs to nobody whose {} it could be",
                    identity.role
                ),
            )),
        }
    }
}

impl Ground {
    /// Whether a tenant stands on it.
    pub fn has_tenant(&self, gateway: &Gateway, tenant: &TenantId) -> bool {
        match self {
            Self::All => true,
            Self::Programme(own) => gateway.keyring.programme_of(tenant).as_ref() == Some(own),
            Self::Tenant(own) => own == tenant,
        }
    }

    /// Whether a programme stands on it; `None` is what belongs to no programme.
    pub fn has_programme(&self, programme: Option<&ProgrammeId>) -> bool {
        match self {
            Self::All => true,
            Self::Programme(own) => programme == Some(own),
            Self::Tenant(_) => false,
        }
    }

    /// Whether a key's owner stands on it.
    pub fn has_key(&self, gateway: &Gateway, key: &KeyRecord) -> bool {
        match &key.tenant {
            Some(tenant) => self.has_tenant(gateway, tenant),
            None => self.has_programme(key.programme.as_ref()),
        }
    }

    /// The programme that it is, where it is one.
    pub fn programme(&self) -> Option<&ProgrammeId> {
        match self {
            Self::Programme(own) => Some(own),
            Self::All | Self::Tenant(_) => None,
        }
    }

    /// The tenant that a question is about: the one asked for, where it stands here, else the caller's own.
    pub fn tenant_asked(
        &self,
        gateway: &Gateway,
        asked: Option<TenantId>,
    ) -> Result<Option<TenantId>, Refusal> {
        match (asked, self) {
            (Some(asked), _) if self.has_tenant(gateway, &asked) => Ok(Some(asked)),
            (Some(asked), _) => Err(Refusal::absent("tenant", asked.as_str()).at("tenant")),
            (None, Self::Tenant(own)) => Ok(Some(own.clone())),
            (None, Self::All | Self::Programme(_)) => Ok(None),
        }
    }
}

impl FromRequestParts<Arc<Api>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Refusal> {
        Self::identify(api.gateway(), (&parts.method, &parts.headers))
    }
}

impl FromRequestParts<Arc<Control>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, at: &Arc<Control>) -> Result<Self, Refusal> {
        Self::identify(at.gateway(), (&parts.method, &parts.headers))
    }
}

impl<R: Right> FromRequestParts<Arc<Api>> for May<R> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Refusal> {
        let caller = Caller::from_request_parts(parts, api).await?;
        let ground = caller.ground(R::ACTION)?;
        Ok(Self {
            caller,
            ground,
            right: PhantomData,
        })
    }
}
