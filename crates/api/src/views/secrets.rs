//! Secrets of jobs as they are shown: never their values.

use super::instant;
use madang_types::{SecretId, SecretRow};
use serde::Serialize;
use utoipa::ToSchema;

/// A secret, without its value.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecretView {
    /// Whose.
    tenant: String,
    /// Of which project; `null` where it is for all jobs of the tenant.
    project: Option<String>,
    /// Its name.
    name: String,
    /// From 1; another one with each value.
    version: u64,
    /// The key of the operator's file that it is sealed with.
    seal_key: String,
    /// The key of whoever put it.
    set_by: String,
    /// When.
    set_at: String,
}

impl From<SecretRow> for SecretView {
    fn from(row: SecretRow) -> Self {
        let SecretRow {
            id:
                SecretId {
                    tenant,
                    project,
                    name,
                },
            version,
            seal_key,
            sealed: _,
            set_by,
            set_at,
        } = row;
        Self {
            tenant: tenant.to_string(),
            project: project.map(|project| project.to_string()),
            name: name.to_string(),
            version,
            seal_key,
            set_by: set_by.to_string(),
            set_at: instant(set_at),
        }
    }
}
