//! Secrets of jobs: what is known of one beside its value.

use crate::{KeyId, Micros, ProjectId, TenantId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// The longest name, in bytes.
pub const SECRET_NAME_BYTES_MAX: usize = 96;
/// The longest value, in bytes.
pub const SECRET_VALUE_BYTES_MAX: usize = 32 * 1024;
/// The most secrets of one tenant, those of its projects included.
pub const SECRETS_TENANT_MAX: usize = 200;

/// A secret's name, such as `HF_TOKEN`: letters, digits and `_`, and no digit first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(String);

/// The text is no such name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a secret's name is at most {SECRET_NAME_BYTES_MAX} letters, digits and '_', and begins with no digit"
)]
pub struct SecretNameError;

impl SecretName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SecretName {
    type Err = SecretNameError;

    fn from_str(text: &str) -> Result<Self, SecretNameError> {
        let first = text.bytes().next().is_some_and(|b| !b.is_ascii_digit());
        let rest = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        match first && rest && text.len() <= SECRET_NAME_BYTES_MAX {
            true => Ok(Self(text.to_owned())),
            false => Err(SecretNameError),
        }
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for SecretName {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretName {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Whose secret, and which.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SecretId {
    /// Whose.
    pub tenant: TenantId,
    /// Only for jobs of this project; `None` is for all of the tenant's.
    pub project: Option<ProjectId>,
    /// Which.
    pub name: SecretName,
}

/// A secret as the books keep it: sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRow {
    /// Which.
    pub id: SecretId,
    /// From 1; another one with each value.
    pub version: u64,
    /// The name of the key that it is sealed with.
    pub seal_key: String,
    /// The sealed value, as text.
    pub sealed: String,
    /// The key of whoever put it.
    pub set_by: KeyId,
    /// When.
    pub set_at: Micros,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_variables() {
        for text in ["HF_TOKEN", "_a1", "x"] {
            assert_eq!(text.parse::<SecretName>().unwrap().as_str(), text);
        }
        let long = "x".repeat(SECRET_NAME_BYTES_MAX + 1);
        for text in ["", "1a", "a-b", "a b", "한", "a/b", &long] {
            assert_eq!(text.parse::<SecretName>(), Err(SecretNameError), "{text}");
        }
    }
}
