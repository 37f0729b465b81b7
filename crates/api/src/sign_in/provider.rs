//! The provider as it is asked: its configuration and its keys, kept for a while; codes given for tokens.

use super::fetch::{self, FetchError, Form};
use super::login::Login;
use super::metadata::{self, Metadata};
use super::token::{self, Claims, Expected, Keys, TokenError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, StatusCode};
use madang_gateway::client::EngineClient;
use madang_gateway::clock;
use madang_gateway::snapshot::Provider;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, Semaphore};

/// How long what the provider said of itself is believed.
const KEPT: Duration = Duration::from_secs(600);
/// How long a provider that could not be asked is left alone.
const RESTED: Duration = Duration::from_secs(2);
/// How seldom keys are read anew because a token names one that is not known.
const KEYS_REREAD: Duration = Duration::from_secs(60);
/// Codes that are under way to the provider; more are refused.
const EXCHANGES_MAX: usize = 32;
/// Bytes of a code.
const CODE_BYTES_MAX: usize = 4096;
/// Letters of a word of the provider's that are passed on.
const WORD_CHARS_MAX: usize = 60;

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignInError {
    /// The provider could not be asked, or does not take us for whom we are.
    #[error("the provider cannot be used: {0}")]
    Unavailable(String),
    /// What came back is not the answer to this sign-in, or says no.
    #[error("{0}")]
    Invalid(String),
}

impl From<FetchError> for SignInError {
    fn from(FetchError(why): FetchError) -> Self {
        Self::Unavailable(why)
    }
}

/// What the provider's answer brought back to us by way of the browser.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub state: String,
    pub code: Option<String>,
    pub error: Option<String>,
    pub issuer: Option<String>,
}

/// What is known of the provider.
pub(crate) struct Providers {
    known: Mutex<Known>,
    exchanging: Semaphore,
}

impl Default for Providers {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            exchanging: Semaphore::new(EXCHANGES_MAX),
        }
    }
}

#[derive(Default)]
struct Known {
    /// Of which load of the fleet: another may name another provider, or trust others.
    of: Option<Arc<Provider>>,
    read: Option<(Instant, Result<Read, FetchError>)>,
    keys_reread_at: Option<Instant>,
}

#[derive(Clone)]
struct Read {
    metadata: Arc<Metadata>,
    keys: Arc<Keys>,
}

impl Providers {
    /// Where to send a person who wants to sign in.
    pub async fn authorization_url(
        &self,
        client: &EngineClient,
        provider: &Arc<Provider>,
        login: &Login,
    ) -> Result<String, SignInError> {
        let Read { metadata, .. } = self.read(client, provider).await?;
        let settings = &provider.settings;
        let issuer = settings.issuer.as_str();
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", &settings.client_id)
            .append_pair("redirect_uri", &redirect_uri(provider))
            .append_pair("scope", &settings.scopes.join(" "))
            .append_pair("state", &login.state(issuer))
            .append_pair("nonce", &login.nonce(issuer))
            .append_pair("code_challenge", &login.challenge(issuer))
            .append_pair("code_challenge_method", "S256")
            .finish();
        let joint = if metadata.authorization.contains('?') {
            '&'
        } else {
            '?'
        };
        Ok(format!("{}{joint}{query}", metadata.authorization))
    }

    /// Who it is that the provider's answer is about. Its state was found right.
    pub async fn claims(
        &self,
        client: &EngineClient,
        provider: &Arc<Provider>,
        (login, answer): (&Login, Answer),
    ) -> Result<Claims, SignInError> {
        let read = self.read(client, provider).await?;
        let code = code_of(provider, &read.metadata, answer)?;
        let Ok(_exchanging) = self.exchanging.try_acquire() else {
            let message = format!("{EXCHANGES_MAX} sign-ins wait for it already");
            return Err(SignInError::Unavailable(message));
        };
        let verifier = login.verifier(&provider.settings.issuer);
        let form = exchange(provider, &read.metadata, (&code, &verifier));
        let (status, said) = fetch::json(client, &read.metadata.token, Some(form)).await?;
        let token = token_of(status, &said)?;
        let nonce = login.nonce(&provider.settings.issuer);
        let expected = Expected {
            issuer: &provider.settings.issuer,
            client_id: &provider.settings.client_id,
            nonce: &nonce,
        };
        let mut verified = token::verify(token, &read.keys, &expected, clock::now());
        if verified == Err(TokenError::KeyUnknown)
            && let Some(keys) = self.keys_reread(client, provider).await?
        {
            verified = token::verify(token, &keys, &expected, clock::now());
        }
        verified.map_err(|error| SignInError::Invalid(format!("the provider's token {error}")))
    }

    /// What the provider says of itself, at most so old as [`KEPT`]. One reads it, the others wait for that.
    async fn read(
        &self,
        client: &EngineClient,
        provider: &Arc<Provider>,
    ) -> Result<Read, FetchError> {
        let mut known = self.known.lock().await;
        if !known
            .of
            .as_ref()
            .is_some_and(|of| Arc::ptr_eq(of, provider))
        {
            *known = Known {
                of: Some(Arc::clone(provider)),
                ..Known::default()
            };
        }
        if let Some((at, read)) = &known.read {
            let kept = if read.is_ok() { KEPT } else { RESTED };
            if at.elapsed() < kept {
                return read.clone();
            }
        }
        let read = read_all(client, provider).await;
        if let Err(error) = &read {
            tracing::warn!(%error, "the provider of sign-ins cannot be used");
        }
        known.read = Some((Instant::now(), read.clone()));
        read
    }

    /// Its keys read anew, where that was not tried a moment ago; `None` where another load of the fleet has come between, whose keys are
    /// not this provider's.
    async fn keys_reread(
        &self,
        client: &EngineClient,
        provider: &Arc<Provider>,
    ) -> Result<Option<Arc<Keys>>, FetchError> {
        let mut known = self.known.lock().await;
        let Known {
            of,
            read: Some((_, Ok(read))),
            keys_reread_at,
        } = &mut *known
        else {
            return Ok(None);
        };
        if !of.as_ref().is_some_and(|of| Arc::ptr_eq(of, provider)) {
            return Ok(None);
        }
        if keys_reread_at.is_some_and(|at| at.elapsed() < KEYS_REREAD) {
            // Another one may have read them between.
            return Ok(Some(Arc::clone(&read.keys)));
        }
        // Before it is known what comes: one that fails is asked no more often.
        *keys_reread_at = Some(Instant::now());
        read.keys = Arc::new(read_keys(client, &read.metadata).await?);
        Ok(Some(Arc::clone(&read.keys)))
    }
}

async fn read_all(client: &EngineClient, provider: &Provider) -> Result<Read, FetchError> {
    let (status, document) = fetch::json(client, &metadata::place(provider)?, None).await?;
    if status != StatusCode::OK {
        let message = format!(
            "its configuration is answered with status {}",
            status.as_u16()
        );
        return Err(FetchError(message));
    }
    let metadata = Arc::new(Metadata::read(provider, document)?);
    let keys = Arc::new(read_keys(client, &metadata).await?);
    Ok(Read { metadata, keys })
}

async fn read_keys(client: &EngineClient, metadata: &Metadata) -> Result<Keys, FetchError> {
    let (status, set) = fetch::json(client, &metadata.keys, None).await?;
    let keys = Keys::read(&set).filter(|_| status == StatusCode::OK);
    keys.ok_or_else(|| FetchError("its keys are no set of keys".into()))
}

/// Where the provider sends people back to.
fn redirect_uri(provider: &Provider) -> String {
    format!("{}/auth/callback", provider.settings.public)
}

/// The code, where the answer is this provider's and holds one.
fn code_of(
    provider: &Provider,
    metadata: &Metadata,
    answer: Answer,
) -> Result<String, SignInError> {
    let invalid = |what: &str| Err(SignInError::Invalid(what.to_owned()));
    let ours = match &answer.issuer {
        Some(issuer) => *issuer == provider.settings.issuer,
        None => !metadata.names_issuer,
    };
    if !ours {
        return invalid("the answer is from another provider than the one that was asked");
    }
    match (answer.error, answer.code) {
        (Some(error), _) => {
            let message = format!("the provider says '{}'", word(&error));
            Err(SignInError::Invalid(message))
        }
        (None, Some(code)) if code.len() <= CODE_BYTES_MAX => Ok(code),
        (None, _) => invalid("the provider's answer has no code"),
    }
}

/// What is posted for a token.
fn exchange(provider: &Provider, metadata: &Metadata, (code, verifier): (&str, &str)) -> Form {
    let client_id = provider.settings.client_id.as_str();
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code")
        .append_pair("code", code)
        .append_pair("redirect_uri", &redirect_uri(provider))
        .append_pair("client_id", client_id)
        .append_pair("code_verifier", verifier);
    let mut authorization = None;
    if let Some(secret) = &provider.secret {
        if metadata.secret_in_form {
            form.append_pair("client_secret", secret.expose());
        } else {
            authorization = basic(client_id, secret.expose());
        }
    }
    Form {
        body: form.finish(),
        authorization,
    }
}

/// Name and secret in a header, as RFC 6749, 2.3.1 wants them.
fn basic(client_id: &str, secret: &str) -> Option<HeaderValue> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = STANDARD.encode(format!("{}:{}", encoded(client_id), encoded(secret)));
    let mut value = HeaderValue::from_str(&format!("Basic {pair}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The ID token of the provider's answer to a code.
fn token_of(status: StatusCode, said: &Value) -> Result<&str, SignInError> {
    if status == StatusCode::OK {
        let missing = || SignInError::Unavailable("it gives no ID token for a code".into());
        return said
            .get("id_token")
            .and_then(Value::as_str)
            .ok_or_else(missing);
    }
    match said.get("error").and_then(Value::as_str) {
        Some("invalid_grant") => Err(SignInError::Invalid(
            "the provider does not take the code: it was used, has expired, or is not for us"
                .into(),
        )),
        Some(error) => {
            let message = format!("it says '{}' to a code", word(error));
            Err(SignInError::Unavailable(message))
        }
        None => {
            let message = format!("it answers a code with status {}", status.as_u16());
            Err(SignInError::Unavailable(message))
        }
    }
}

/// A word of the provider's, fit to be shown.
fn word(text: &str) -> String {
    let shown = text
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    shown.take(WORD_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_fleet::{OriginAddress, SignIn};
    use madang_gateway::client::ClientOptions;
    use serde_json::json;

    fn provider() -> Arc<Provider> {
        let public = OriginAddress {
            tls: false,
            host: "127.0.0.1".into(),
            port: 7080,
        };
        let settings = SignIn {
            issuer: "http://127.0.0.1:9".into(),
            client_id: "madang".into(),
            key: None,
            ca_file: None,
            public,
            scopes: Vec::new(),
            valid_hours: 8,
            rules: Vec::new(),
        };
        Arc::new(Provider {
            settings,
            secret: None,
            authorities: None,
        })
    }

    #[tokio::test]
    async fn keys_of_another_load_are_not_handed_back() {
        let client = EngineClient::new(ClientOptions::default()).unwrap();
        let (old, new) = (provider(), provider());
        let place = || metadata::place(&new).unwrap();
        let read = Read {
            metadata: Arc::new(Metadata {
                authorization: String::new(),
                token: place(),
                keys: place(),
                secret_in_form: false,
                names_issuer: false,
            }),
            keys: Arc::new(Keys::read(&json!({"keys": []})).unwrap()),
        };
        let providers = Providers::default();
        *providers.known.lock().await = Known {
            of: Some(Arc::clone(&new)),
            read: Some((Instant::now(), Ok(read))),
            keys_reread_at: Some(Instant::now()),
        };
        let reread = async |of| providers.keys_reread(&client, of).await.unwrap().is_some();
        assert!(!reread(&old).await, "the sign-in is the old load's");
        assert!(reread(&new).await, "a moment ago: kept");
    }
}
