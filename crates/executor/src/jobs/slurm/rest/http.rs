//! Calls to a `slurmrestd`, each within bounds.

use crate::jobs::slurm::options::SlurmRest;
use crate::jobs::slurm::token::Tokens;
use crate::jobs::slurm::transport::Fault;
use crate::jobs::{JobsError, tls};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

/// Until a connection stands.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Until the answer is there.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// The most that is read of an answer; the longest is the daemon's own description.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Calls at once, and from the beginning of one to that of the next: at most 100 a second.
const AT_ONCE: usize = 8;
const PACE: Duration = Duration::from_millis(10);

/// One daemon.
pub(super) struct Http {
    url: String,
    user: HeaderValue,
    tokens: Tokens,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    at_once: Semaphore,
    next: Mutex<Instant>,
}

impl Http {
    pub(super) fn new(options: &SlurmRest) -> Result<Self, JobsError> {
        let wrong = |what: String| {
            JobsError::Unsupported(format!("the Slurm REST daemon {}: {what}", options.url))
        };
        let url = options.url.trim_end_matches('/');
        let parsed: Uri = url.parse().map_err(|_| wrong("this is no URL".into()))?;
        if !matches!(parsed.scheme_str(), Some("http" | "https")) {
            return Err(wrong("the URL begins with http:// or https://".into()));
        }
        let user = HeaderValue::from_str(&options.user);
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(CONNECT_TIME));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client(options.authority.as_deref()).map_err(wrong)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        Ok(Self {
            url: url.to_owned(),
            user: user.map_err(|_| wrong("the user's name is no name".into()))?,
            tokens: Tokens::new(&options.user, options.token.clone()),
            client: Client::builder(TokioExecutor::new()).build(https),
            at_once: Semaphore::new(AT_ONCE),
            next: Mutex::new(Instant::now()),
        })
    }

    /// One call; the status and the JSON that came.
    ///
    /// # Errors
    /// [`Fault::NotSent`] where no connection came about, [`Fault::Unknown`] where nothing sound came back.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), Fault> {
        // A daemon whose controller is away takes its time with each of them.
        let permit = tokio::time::timeout(ANSWER_TIME, self.at_once.acquire()).await;
        let busy = || Fault::NotSent(format!("{}: {AT_ONCE} calls wait for an answer", self.url));
        let _permit = permit.ok().and_then(Result::ok).ok_or_else(busy)?;
        self.pace().await;
        let request = self.request(method, path, body)?;
        let talk = async {
            let answer = self.client.request(request).await.map_err(|error| {
                let told = format!("{}: {error}", self.url);
                match error.is_connect() {
                    true => Fault::NotSent(told),
                    false => Fault::Unknown(told),
                }
            })?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
                .collect()
                .await;
            let body = body.map_err(|error| Fault::Unknown(format!("{}: {error}", self.url)))?;
            Ok((status, body.to_bytes()))
        };
        let spoken = tokio::time::timeout(ANSWER_TIME, talk).await;
        let (status, bytes) = spoken.map_err(|_| {
            let seconds = ANSWER_TIME.as_secs();
            Fault::Unknown(format!("{}: no answer in {seconds} s", self.url))
        })??;
        if status == StatusCode::UNAUTHORIZED {
            self.tokens.refused();
            let told = format!("{}: it does not take our token ({status})", self.url);
            return Err(Fault::NotSent(told));
        }
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok((status, value)),
            // A refusal may be told in any words; a proxy's page, or half an answer, is not what was asked for.
            Err(_) if !status.is_success() => Ok((status, Value::Null)),
            Err(_) => Err(Fault::Unknown(format!(
                "{}: its answer is not whole, or no JSON ({status}, {} bytes)",
                self.url,
                bytes.len()
            ))),
        }
    }

    /// Waits for its turn.
    async fn pace(&self) {
        let turn = {
            let mut next = self.next.lock().await;
            let turn = (*next).max(Instant::now());
            *next = turn + PACE;
            turn
        };
        tokio::time::sleep_until(turn).await;
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Request<Full<Bytes>>, Fault> {
        let unsent = |what: &str| Fault::NotSent(format!("{}: {what}", self.url));
        let token = HeaderValue::from_str(&self.tokens.now()?);
        let mut token = token.map_err(|_| unsent("the token holds what no token can"))?;
        token.set_sensitive(true);
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("X-SLURM-USER-NAME", &self.user)
            .header("X-SLURM-USER-TOKEN", token)
            .header(CONTENT_TYPE, "application/json");
        let body = body.map(Value::to_string).unwrap_or_default();
        request
            .body(Full::from(body))
            .map_err(|_| unsent("the address is not sound"))
    }
}
