//! How people sign in, as written.

use super::{Rows, Text, Texts};
use crate::at::At;
use schemars::JsonSchema;
use serde::Deserialize;

const ROLES: &[&str] = &[
    "operator",
    "programme_manager",
    "tenant_admin",
    "member",
    "auditor",
];

/// How people sign in: by `OpenID` Connect, at a provider that knows them. Without this table there are keys alone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSignIn {
    /// The provider, exactly as its tokens name it. `http://` only on this very machine.
    #[schemars(required)]
    pub issuer: Text,
    /// The name by which the provider knows this Madang.
    #[schemars(required)]
    pub client_id: Text,
    /// File that holds the client's secret; relative to the fleet file's folder. Without a secret the client is a public one.
    pub key_file: Text,
    /// Variable of Madang's environment that holds the client's secret, instead of a file.
    #[schemars(extend("pattern" = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub key_env: Text,
    /// PEM file of the authorities that the provider's certificate is held against, instead of the public ones; relative to the fleet file's folder. Read at each load.
    pub ca_file: Text,
    /// Where people's browsers reach this Madang: scheme and host, with the port where it is not the scheme's. The provider sends them back to `/auth/callback` there. `http://` only on this very machine.
    #[schemars(required)]
    pub public_url: Text,
    /// What is asked of the provider beside `openid`, such as `email` or `groups`.
    pub scopes: Texts,
    /// How long a sign-in lasts, in hours.
    #[schemars(range(min = 1, max = 24), extend("default" = 8))]
    pub valid_hours: Option<At<u32>>,
    /// Who may do what; the first rule that holds counts, and whoever has none is refused.
    #[schemars(required)]
    pub rule: Rows<RawSignInRule>,
}

/// What a person with a claim may do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSignInRule {
    /// The claim of the ID token, such as `groups`, `sub` or `email`. An `email` counts only where the provider has verified it.
    #[schemars(required)]
    pub claim: Text,
    /// What it is, or what is in it where it is a list.
    #[schemars(required)]
    pub value: Text,
    /// The role.
    #[schemars(required, extend("enum" = ROLES))]
    pub role: Text,
    /// Whose, for `tenant_admin` and `member`.
    pub tenant: Text,
    /// Whose, for `programme_manager`.
    pub programme: Text,
}
