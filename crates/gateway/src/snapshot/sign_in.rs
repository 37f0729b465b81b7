//! Where people sign in: what the fleet says of it, and what must be read for it.

use super::{SnapshotError, authorities, key_read};
use crate::client::Authorities;
use madang_fleet::{Fleet, SignIn};
use std::fmt;

/// What names it in errors.
const OWNER: &str = "sign_in";

/// The provider that knows the people.
#[derive(Clone, Debug)]
pub struct Provider {
    /// As the fleet file says.
    pub settings: SignIn,
    /// What proves to the provider that this Madang asks; a public client has none.
    pub secret: Option<ClientSecret>,
    /// Whose word on the provider's certificate counts, instead of the public authorities'.
    pub authorities: Option<Authorities>,
}

/// A secret that is not printed.
#[derive(Clone)]
pub struct ClientSecret(String);

impl ClientSecret {
    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret")
    }
}

pub(super) fn provider(fleet: &Fleet) -> Result<Option<Provider>, SnapshotError> {
    let Some(settings) = &fleet.sign_in else {
        return Ok(None);
    };
    let secret = settings.key.as_ref();
    let secret = secret.map(|key| key_read(key, OWNER, |key| Ok(ClientSecret(key.to_owned()))));
    let own = settings.ca_file.as_ref();
    Ok(Some(Provider {
        settings: settings.clone(),
        secret: secret.transpose()?,
        authorities: own.map(|path| authorities(path, OWNER)).transpose()?,
    }))
}
