//! Bodies and query strings about secrets of jobs.

use madang_types::{ProjectId, SecretName, TenantId};
use serde::Deserialize;
use std::fmt;
use utoipa::{IntoParams, ToSchema};

/// A secret to put.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretPut {
    /// Its name: letters, digits and `_`, such as `HF_TOKEN`.
    #[schema(value_type = String, max_length = 96)]
    pub name: SecretName,
    /// Whose; with a tenant's key, that tenant where it is left out.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
    /// Only for jobs of this project; for all of the tenant's where it is left out.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub project: Option<ProjectId>,
    /// The value: at most 32 KiB.
    #[schema(max_length = 32_768)]
    pub value: String,
}

impl fmt::Debug for SecretPut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretPut")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Whose secrets.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SecretQuery {
    /// Whose; with a tenant's key, that tenant where it is left out.
    #[param(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
}

/// Of which project.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SecretScope {
    /// The project whose secret it is; left out where it is all of the tenant's.
    #[param(value_type = Option<String>)]
    pub project: Option<ProjectId>,
}
