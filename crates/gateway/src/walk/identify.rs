//! Step 1: who is it? A key that is missing, unknown, expired or revoked ends the walk with 401.

use crate::gateway::Gateway;
use crate::keyring::{IdentifyError, Identity, presented_key};
use crate::refused::Refused;
use http::HeaderMap;
use madang_types::{ErrorCode, KeyId, Micros};

/// Finds the identity behind the presented key.
///
/// # Errors
/// The refusal to send; it never says which part of a key was wrong.
pub(crate) fn identify(
    gateway: &Gateway,
    headers: &HeaderMap,
    now: Micros,
) -> Result<Identity, Refused> {
    identify_presented(gateway, presented_key(headers), now)
}

/// The same for a key that was found elsewhere than in the headers that carry keys.
///
/// # Errors
/// As [`identify`].
pub(crate) fn identify_presented(
    gateway: &Gateway,
    presented: Result<Option<&str>, IdentifyError>,
    now: Micros,
) -> Result<Identity, Refused> {
    let identity = presented.and_then(|presented| gateway.keyring.identify(presented, now));
    identity.map_err(|error| {
        gateway.metrics.identify_failure(error);
        refused(error)
    })
}

/// The same for a key that was shown before, and counts as it stands now.
///
/// # Errors
/// As [`identify`].
pub(crate) fn identify_known(
    gateway: &Gateway,
    key: &KeyId,
    now: Micros,
) -> Result<Identity, Refused> {
    gateway.keyring.identity(key, now).map_err(refused)
}

fn refused(error: IdentifyError) -> Refused {
    let (code, message) = match error {
        IdentifyError::Missing => (ErrorCode::KeyMissing, "no API key was sent"),
        IdentifyError::Invalid => (ErrorCode::KeyInvalid, "the API key is not known here"),
        IdentifyError::Expired => (ErrorCode::KeyExpired, "the API key has expired"),
        IdentifyError::Revoked => (
            ErrorCode::KeyRevoked,
            "the API key was revoked, or its tenant removed",
        ),
    };
    Refused::new(code, message)
}
