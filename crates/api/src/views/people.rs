//! Programmes, tenants and keys. A key's hash is in no view, and its secret only in the answer that makes it.

use super::instant;
use madang_types::{DataFlag, KeyRecord, Micros, Programme, Tenant};
use serde::Serialize;
use utoipa::ToSchema;

/// A programme that grants allocations.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProgrammeView {
    /// Its name.
    id: String,
    /// Its share beside the other programmes.
    weight: u32,
    /// `fleet` where the fleet file owns the row, else `api`.
    #[schema(value_type = String)]
    origin: &'static str,
    /// When it was first written.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was removed; its tenants' keys are refused.
    #[schema(format = DateTime)]
    disabled_at: Option<String>,
}

impl From<Programme> for ProgrammeView {
    fn from(programme: Programme) -> Self {
        let Programme {
            id,
            weight,
            origin,
            created_at,
            disabled_at,
        } = programme;
        Self {
            id: id.to_string(),
            weight,
            origin: origin.as_str(),
            created_at: instant(created_at),
            disabled_at: disabled_at.map(instant),
        }
    }
}

/// Who is billed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantView {
    /// Its name.
    id: String,
    /// The programme that it belongs to.
    programme: Option<String>,
    /// Its share beside the programme's other tenants.
    weight: u32,
    /// No request of the tenant has a lower class.
    #[schema(value_type = String)]
    class_floor: &'static str,
    /// What all data of the tenant is.
    data_flags: Vec<&'static str>,
    /// `fleet` where the fleet file owns the row, else `api`.
    #[schema(value_type = String)]
    origin: &'static str,
    /// When it was first written.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was removed; its keys are refused.
    #[schema(format = DateTime)]
    disabled_at: Option<String>,
}

impl From<Tenant> for TenantView {
    fn from(tenant: Tenant) -> Self {
        let Tenant {
            id,
            programme,
            weight,
            class_floor,
            data_flags,
            origin,
            created_at,
            disabled_at,
        } = tenant;
        Self {
            id: id.to_string(),
            programme: programme.map(|id| id.to_string()),
            weight,
            class_floor: class_floor.as_str(),
            data_flags: data_flags.iter().map(DataFlag::as_str).collect(),
            origin: origin.as_str(),
            created_at: instant(created_at),
            disabled_at: disabled_at.map(instant),
        }
    }
}

/// A key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyView {
    /// The public part: what stands between `mdg_` and the last `_`.
    id: String,
    /// Whose key; null for an operator's.
    tenant: Option<String>,
    /// `operator` or `member`.
    #[schema(value_type = String)]
    role: &'static str,
    /// No request with this key has a lower class.
    #[schema(value_type = String)]
    class_floor: &'static str,
    /// What all data sent with this key is.
    data_flags: Vec<&'static str>,
    /// Words for people.
    label: String,
    /// `active`, `expired` or `revoked`.
    #[schema(value_type = String)]
    state: &'static str,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// Refused from then on.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// When it was revoked.
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
}

impl KeyView {
    /// The view of a key as it stands at `now`.
    pub fn new(key: KeyRecord, now: Micros) -> Self {
        let KeyRecord {
            id,
            tenant,
            programme: _,
            project: _,
            role,
            terms: _,
            class_floor,
            data_flags,
            label,
            secret_hash: _,
            created_at,
            expires_at,
            revoked_at,
        } = key;
        let state = match (revoked_at, expires_at) {
            (Some(_), _) => "revoked",
            (None, Some(at)) if now >= at => "expired",
            (None, _) => "active",
        };
        Self {
            id: id.to_string(),
            tenant: tenant.map(|id| id.to_string()),
            role: role.as_str(),
            class_floor: class_floor.as_str(),
            data_flags: data_flags.iter().map(DataFlag::as_str).collect(),
            label,
            state,
            created_at: instant(created_at),
            expires_at: expires_at.map(instant),
            revoked_at: revoked_at.map(instant),
        }
    }
}

/// A key just made, with its secret: shown here and never again.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyCreatedView {
    /// The public part.
    id: String,
    /// The whole key. It is not kept and cannot be shown again.
    key: String,
    /// Whose key; null for an operator's.
    tenant: Option<String>,
    /// `operator` or `member`.
    #[schema(value_type = String)]
    role: &'static str,
    /// No request with this key has a lower class.
    #[schema(value_type = String)]
    class_floor: &'static str,
    /// What all data sent with this key is.
    data_flags: Vec<&'static str>,
    /// Words for people.
    label: String,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// Refused from then on.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

impl KeyCreatedView {
    /// The view of a new key and its whole text.
    pub fn new(record: KeyRecord, key: String) -> Self {
        let KeyRecord {
            id,
            tenant,
            programme: _,
            project: _,
            role,
            terms: _,
            class_floor,
            data_flags,
            label,
            secret_hash: _,
            created_at,
            expires_at,
            revoked_at: _,
        } = record;
        Self {
            id: id.to_string(),
            key,
            tenant: tenant.map(|id| id.to_string()),
            role: role.as_str(),
            class_floor: class_floor.as_str(),
            data_flags: data_flags.iter().map(DataFlag::as_str).collect(),
            label,
            created_at: instant(created_at),
            expires_at: expires_at.map(instant),
        }
    }
}
