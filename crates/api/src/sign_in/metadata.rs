//! What a provider says of itself: `/.well-known/openid-configuration` (`OpenID` Connect Discovery 1.0).

use super::fetch::{FetchError, Place};
use http::Uri;
use madang_gateway::snapshot::Provider;
use serde::Deserialize;
use serde_json::Value;

/// Where the provider is asked what.
#[derive(Debug)]
pub(super) struct Metadata {
    /// Where people are sent, with a query or without.
    pub authorization: String,
    pub token: Place,
    pub keys: Place,
    /// The client's secret goes into the form, not into a header.
    pub secret_in_form: bool,
    /// Its answers say from whom they are (RFC 9207).
    pub names_issuer: bool,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// Where the document is.
pub(super) fn place(provider: &Provider) -> Result<Place, FetchError> {
    let issuer = provider.settings.issuer.trim_end_matches('/');
    located(
        provider,
        &format!("{issuer}/.well-known/openid-configuration"),
    )
}

impl Metadata {
    /// Reads the document of this provider; one of another is not believed.
    pub fn read(provider: &Provider, document: Value) -> Result<Self, FetchError> {
        let invalid = |what: String| FetchError(format!("its configuration {what}"));
        let Document {
            issuer,
            authorization_endpoint,
            token_endpoint,
            jwks_uri,
            token_endpoint_auth_methods_supported: methods,
            authorization_response_iss_parameter_supported: names_issuer,
        } = Document::deserialize(document)
            .map_err(|error| invalid(format!("is wrong: {error}")))?;
        if issuer != provider.settings.issuer {
            let shown: String = issuer.chars().take(200).collect();
            return Err(invalid(format!(
                "names the issuer '{shown}', the fleet file '{}'",
                provider.settings.issuer
            )));
        }
        located(provider, &authorization_endpoint)?;
        let has = |name: &str| {
            methods
                .as_ref()
                .is_some_and(|all| all.iter().any(|one| one == name))
        };
        Ok(Self {
            authorization: authorization_endpoint,
            token: located(provider, &token_endpoint)?,
            keys: located(provider, &jwks_uri)?,
            secret_in_form: has("client_secret_post") && !has("client_secret_basic"),
            names_issuer,
        })
    }
}

/// A URL of the provider's: over TLS, or where the fleet file's own leads. That one is without TLS on this machine alone.
fn located(provider: &Provider, url: &str) -> Result<Place, FetchError> {
    let refused = |why: &str| {
        let shown: String = url.chars().take(200).collect();
        FetchError(format!("its URL '{shown}' {why}"))
    };
    let parsed: Uri = url.parse().map_err(|_| refused("is none"))?;
    let issuer: Uri = provider
        .settings
        .issuer
        .parse()
        .map_err(|_| refused("has no issuer"))?;
    let same = (parsed.scheme(), parsed.authority()) == (issuer.scheme(), issuer.authority());
    if url.contains('#') || !(same || parsed.scheme_str() == Some("https")) {
        return Err(refused("is not one of https://"));
    }
    Place::new(&parsed, provider.authorities.as_ref()).map_err(|error| refused(&error.to_string()))
}
