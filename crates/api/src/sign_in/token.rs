//! The ID token: who the provider says that it is, believed only where everything about it is as it should be (`OpenID`
//! Connect Core 1.0, 3.1.3.7). Pure: keys, expectations and the time are given.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use madang_types::Micros;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::HashSet;
use subtle::ConstantTimeEq;

/// Bytes of a token that are looked at.
const TOKEN_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a subject (Core 1.0, 2: 255 at most).
const SUBJECT_BYTES_MAX: usize = 255;
/// Keys of a set that are looked at.
const KEYS_MAX: usize = 64;
/// Seconds by which the provider's clock and ours may differ.
const LEEWAY_S: f64 = 60.0;
/// Seconds since it was made after which a token is not the answer to a sign-in that is under way.
const AGE_S_MAX: f64 = 600.0;

/// A provider's public keys, those that are of use.
#[derive(Debug, Default)]
pub(crate) struct Keys(Vec<Jwk>);

impl Keys {
    /// Reads a JWK set; keys of other kinds are left out.
    pub fn read(set: &Value) -> Option<Self> {
        let keys = set.get("keys")?.as_array()?.iter().take(KEYS_MAX);
        let keys = keys.filter_map(|key| Jwk::deserialize(key).ok());
        Some(Self(keys.filter(|key| algorithm(key).is_some()).collect()))
    }

    /// The key that a token names; where it names none, the only one.
    fn named(&self, id: Option<&str>) -> Option<&Jwk> {
        match (id, self.0.as_slice()) {
            (Some(id), keys) => keys
                .iter()
                .find(|key| key.common.key_id.as_deref() == Some(id)),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}

/// What a key signs with: RS256 or ES256, and nothing where it is for anything else.
fn algorithm(key: &Jwk) -> Option<Algorithm> {
    let algorithm = match &key.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        _ => return None,
    };
    let signs = match &key.common.public_key_use {
        None | Some(PublicKeyUse::Signature) => true,
        Some(PublicKeyUse::Encryption | PublicKeyUse::Other(_)) => false,
    };
    let same = match key.common.key_algorithm {
        None => true,
        Some(KeyAlgorithm::RS256) => algorithm == Algorithm::RS256,
        Some(KeyAlgorithm::ES256) => algorithm == Algorithm::ES256,
        Some(_) => false,
    };
    (signs && same).then_some(algorithm)
}

/// What a token must say.
pub(crate) struct Expected<'e> {
    pub issuer: &'e str,
    pub client_id: &'e str,
    pub nonce: &'e str,
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    /// The provider publishes no such key, as far as is known.
    #[error("is signed with a key that the provider does not publish")]
    KeyUnknown,
    #[error("is no signed token")]
    Malformed,
    #[error("is not signed with RS256 or ES256")]
    Algorithm,
    #[error("has a signature that is not the provider's")]
    Signature,
    #[error("is not from this provider")]
    Issuer,
    #[error("is for somebody else")]
    Audience,
    #[error("has expired, or the clocks differ")]
    Expired,
    #[error("is not of this time, or the clocks differ")]
    Issued,
    #[error("is not the answer to this sign-in")]
    Nonce,
    #[error("names nobody")]
    Subject,
}

/// What a believed token says.
#[derive(Debug, PartialEq)]
pub(crate) struct Claims {
    /// Who it is, to this provider.
    pub subject: String,
    /// Everything that it says.
    pub all: Map<String, Value>,
}

#[derive(Deserialize)]
struct Standard {
    iss: String,
    sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: f64,
    iat: f64,
    nbf: Option<f64>,
    nonce: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// Believes a token, or says why not.
///
/// # Errors
/// [`TokenError`].
pub(crate) fn verify(
    token: &str,
    keys: &Keys,
    expected: &Expected<'_>,
    now: Micros,
) -> Result<Claims, TokenError> {
    let all = signed(token, keys)?;
    let standard = Standard::deserialize(&Value::Object(all.clone()));
    let standard = standard.map_err(|_| TokenError::Malformed)?;
    let subject = says(standard, expected, now)?;
    Ok(Claims { subject, all })
}

/// What the token says, where one of the keys has signed it. The key decides about the algorithm, never the token.
fn signed(token: &str, keys: &Keys) -> Result<Map<String, Value>, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Malformed);
    }
    // An algorithm that the library does not know (`none`) fails here.
    let header = decode_header(token).map_err(|_| TokenError::Malformed)?;
    if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256) {
        return Err(TokenError::Algorithm);
    }
    let key = keys
        .named(header.kid.as_deref())
        .ok_or(TokenError::KeyUnknown)?;
    let algorithm = algorithm(key).ok_or(TokenError::KeyUnknown)?;
    if header.alg != algorithm {
        return Err(TokenError::Algorithm);
    }
    let key = DecodingKey::from_jwk(key).map_err(|_| TokenError::KeyUnknown)?;
    // What the token says is looked at below, all of it in one place and at a time that is given.
    let mut signature = Validation::new(algorithm);
    signature.required_spec_claims = HashSet::new();
    signature.validate_exp = false;
    signature.validate_aud = false;
    let decoded = decode::<Map<String, Value>>(token, &key, &signature);
    decoded
        .map(|token| token.claims)
        .map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::InvalidSignature => TokenError::Signature,
            _ => TokenError::Malformed,
        })
}

/// Whom the token is about, where it is from the provider, for us, of now, and the answer to this sign-in.
fn says(token: Standard, expected: &Expected<'_>, now: Micros) -> Result<String, TokenError> {
    let Standard {
        iss,
        sub,
        aud,
        azp,
        exp,
        iat,
        nbf,
        nonce,
    } = token;
    #[expect(clippy::cast_precision_loss, reason = "a microsecond more or less")]
    let now = now.0 as f64 / 1e6;
    if iss != expected.issuer {
        return Err(TokenError::Issuer);
    }
    let (ours, alone) = match &aud {
        Audience::One(one) => (one == expected.client_id, true),
        Audience::Several(all) => (
            all.iter().any(|one| one == expected.client_id),
            all.len() == 1,
        ),
    };
    let party = match azp {
        Some(party) => party == expected.client_id,
        None => alone,
    };
    if !ours || !party {
        return Err(TokenError::Audience);
    }
    if now >= exp + LEEWAY_S {
        return Err(TokenError::Expired);
    }
    let begins = nbf.map_or(iat, |nbf| nbf.max(iat));
    if begins > now + LEEWAY_S || iat < now - AGE_S_MAX - LEEWAY_S {
        return Err(TokenError::Issued);
    }
    let nonce = nonce.unwrap_or_default();
    if !bool::from(nonce.as_bytes().ct_eq(expected.nonce.as_bytes())) {
        return Err(TokenError::Nonce);
    }
    let named = (1..=SUBJECT_BYTES_MAX).contains(&sub.len()) && !sub.chars().any(char::is_control);
    named.then_some(sub).ok_or(TokenError::Subject)
}
