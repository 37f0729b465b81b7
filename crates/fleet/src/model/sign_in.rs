//! How people sign in.

use super::{KeySource, OriginAddress};
use madang_types::{ProgrammeId, Role, TenantId};
use std::path::PathBuf;

/// `[sign_in]`: the provider that knows the people, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// The provider, exactly as its tokens name it.
    pub issuer: String,
    /// The name by which the provider knows this Madang.
    pub client_id: String,
    /// Where the client's secret is; a public client has none.
    pub key: Option<KeySource>,
    /// The file of the authorities that the provider's certificate is held against, instead of the public ones.
    pub ca_file: Option<PathBuf>,
    /// Where people's browsers reach this Madang.
    pub public: OriginAddress,
    /// What is asked of the provider, `openid` first.
    pub scopes: Vec<String>,
    /// How long a sign-in lasts, in hours.
    pub valid_hours: u32,
    /// The first that holds counts.
    pub rules: Vec<SignInRule>,
}

/// What a person with a claim may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInRule {
    /// The claim of the ID token.
    pub claim: String,
    /// What it is, or what is in it where it is a list.
    pub value: String,
    /// The role.
    pub role: Role,
    /// Whose, for the roles of a tenant.
    pub tenant: Option<TenantId>,
    /// Whose, for a programme's manager.
    pub programme: Option<ProgrammeId>,
}
