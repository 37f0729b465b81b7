//! Programmes, tenants, their projects and their keys, as the store keeps them.

use crate::class::words;
use crate::{
    DataClass, DataFlags, Endpoint, KeyId, MicroWon, Micros, ModelId, ProgrammeId, ProjectId,
    TenantId,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Who owns a row: the fleet file (changed only there) or the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Written in the fleet file; a reload makes the store equal to the file.
    Fleet,
    /// Made by the API or the command line.
    Api,
}

words!(Origin, OriginError, "an origin is fleet or api", "fleet" => Origin::Fleet, "api" => Origin::Api);

/// Whose key it is. What each may do stands in [`crate::rights`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the sites: everything but asking models.
    Operator,
    /// Runs one programme: its tenants and their keys.
    ProgrammeManager,
    /// Runs one tenant: its projects and keys, and `/v1/*`.
    TenantAdmin,
    /// A tenant's developer: `/v1/*`, and reads the tenant's own rows.
    Member,
    /// Reads everything and changes nothing.
    Auditor,
}

words!(Role, RoleError, "a role is operator, programme_manager, tenant_admin, member or auditor",
    "operator" => Role::Operator, "programme_manager" => Role::ProgrammeManager,
    "tenant_admin" => Role::TenantAdmin, "member" => Role::Member, "auditor" => Role::Auditor);

/// A programme that grants allocations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Programme {
    /// Its name.
    pub id: ProgrammeId,
    /// Its share beside the other programmes.
    pub weight: u32,
    /// Who owns the row.
    pub origin: Origin,
    /// When it was first written.
    pub created_at: Micros,
    /// Set once removed; its tenants' keys are refused.
    pub disabled_at: Option<Micros>,
}

/// Who is billed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its name.
    pub id: TenantId,
    /// The programme that it belongs to.
    pub programme: Option<ProgrammeId>,
    /// Its share beside the programme's other tenants.
    pub weight: u32,
    /// No request of this tenant has a lower class.
    pub class_floor: DataClass,
    /// What all data of this tenant is.
    pub data_flags: DataFlags,
    /// Who owns the row.
    pub origin: Origin,
    /// When it was first written.
    pub created_at: Micros,
    /// Set once removed; its keys are refused.
    pub disabled_at: Option<Micros>,
}

/// A tenant's working unit: what its usage is told apart by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Its name, unique in its tenant.
    pub id: ProjectId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Words for people.
    pub label: String,
    /// When it was first written.
    pub created_at: Micros,
    /// Set once disabled; its keys are refused.
    pub disabled_at: Option<Micros>,
}

/// What a key may be used for, how fast and for how much.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyTerms {
    /// Models that it may ask for; empty for all.
    pub models: BTreeSet<ModelId>,
    /// Doors that it may come through; empty for all.
    pub endpoints: BTreeSet<Endpoint>,
    /// Requests in a minute; `None` for no bound.
    pub rate_requests_per_min: Option<u32>,
    /// Tokens in a minute, of prompts and answers; `None` for no bound.
    pub rate_tokens_per_min: Option<u32>,
    /// Won that it may spend; `None` for no bound.
    pub won_limit: Option<MicroWon>,
}

impl KeyTerms {
    /// Whether it may ask for this model.
    pub fn permit_model(&self, model: &ModelId) -> bool {
        self.models.is_empty() || self.models.contains(model)
    }

    /// Whether it may come through this door.
    pub fn permit_endpoint(&self, endpoint: Endpoint) -> bool {
        self.endpoints.is_empty() || self.endpoints.contains(&endpoint)
    }
}

/// A key as stored: the secret's hash, never the secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// The public part.
    pub id: KeyId,
    /// Whose key, for the roles of a tenant.
    pub tenant: Option<TenantId>,
    /// Whose key, for a programme's manager.
    pub programme: Option<ProgrammeId>,
    /// The tenant's project that its usage counts for.
    pub project: Option<ProjectId>,
    /// What it may do.
    pub role: Role,
    /// What it may be used for, how fast and for how much.
    pub terms: Arc<KeyTerms>,
    /// No request with this key has a lower class.
    pub class_floor: DataClass,
    /// What all data sent with this key is.
    pub data_flags: DataFlags,
    /// A label for people.
    pub label: String,
    /// BLAKE3 in derive-key mode over the secret.
    pub secret_hash: [u8; 32],
    /// When it was made.
    pub created_at: Micros,
    /// Refused from this instant on.
    pub expires_at: Option<Micros>,
    /// Set once revoked.
    pub revoked_at: Option<Micros>,
}
