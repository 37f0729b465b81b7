//! People sign in at a provider by `OpenID` Connect: authorization code, PKCE, ID token. What comes of it is a key as any
//! other, with an end and in a cookie, so that the one table of rights says what a person may do.
//!
//! Nothing is believed but what the provider has signed; where anything is missing or other than expected, nobody is signed
//! in. No token of the provider's is kept.

pub(crate) mod cookie;
mod fetch;
mod login;
mod mapping;
mod metadata;
mod provider;
pub(crate) mod signed_in;
mod terminal;
mod token;

pub(crate) use login::{LOGIN_SECONDS_MAX, Login, ReturnTo};
pub(crate) use mapping::mapped;
pub(crate) use provider::{Answer, Providers, SignInError};
pub(crate) use terminal::{Asked, Terminals};

/// What is derived from a text for one use, in hexadecimal digits.
fn derived_hex(context: &str, text: &str) -> String {
    blake3::Hash::from_bytes(blake3::derive_key(context, text.as_bytes()))
        .to_hex()
        .to_string()
}
