//! Programmes, tenants and their keys, as the store keeps them.

use crate::class::words;
use crate::{DataClass, DataFlags, KeyId, Micros, ProgrammeId, TenantId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

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

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the sites: everything.
    Operator,
    /// A tenant's developer: `/v1/*` and the tenant's own rows.
    Member,
}

words!(Role, RoleError, "a role is operator or member", "operator" => Role::Operator, "member" => Role::Member);

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

/// A key as stored: the secret's hash, never the secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// The public part.
    pub id: KeyId,
    /// Whose key; an operator key belongs to no tenant.
    pub tenant: Option<TenantId>,
    /// What it may do.
    pub role: Role,
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
