//! What is asked of the provider: bounded in time and size, over verified TLS, no redirect followed.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use madang_gateway::client::{AddressError, Authorities, EngineAddress, EngineClient};
use serde_json::Value;
use std::time::Duration;

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// How long one answer may take, in milliseconds.
const ANSWER_MS_MAX: u64 = 5_000;

/// Why the provider could not be asked, or what it said is of no use. Says nothing secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct FetchError(pub String);

fn failed<T>(what: impl Into<String>) -> Result<T, FetchError> {
    Err(FetchError(what.into()))
}

/// A URL of the provider's.
#[derive(Clone, Debug)]
pub(super) struct Place {
    address: EngineAddress,
    target: PathAndQuery,
}

impl Place {
    /// Where a URL leads; whose word on a certificate counts there is given.
    pub fn new(url: &Uri, authorities: Option<&Authorities>) -> Result<Self, AddressError> {
        let scheme = url.scheme_str().unwrap_or_default();
        let authority = url.authority().map(|at| at.as_str()).unwrap_or_default();
        let mut address = EngineAddress::parse(&format!("{scheme}://{authority}"))?;
        if let Some(own) = authorities {
            address = address.trusting(own.clone());
        }
        let target = url.path_and_query().cloned();
        let target = target.unwrap_or_else(|| PathAndQuery::from_static("/"));
        Ok(Self { address, target })
    }
}

/// A form to post, and the header that says who posts it.
pub(super) struct Form {
    pub body: String,
    pub authorization: Option<HeaderValue>,
}

/// Asks for JSON. Gives the status too, since an error may be told in JSON.
pub(super) async fn json(
    client: &EngineClient,
    place: &Place,
    form: Option<Form>,
) -> Result<(StatusCode, Value), FetchError> {
    let asking = ask(client, place, request(place, form));
    let waited = tokio::time::timeout(Duration::from_millis(ANSWER_MS_MAX), asking).await;
    let said = format!("{}{}", place.address, place.target.path());
    match waited {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(FetchError(why))) => failed(format!("{said}: {why}")),
        Err(_) => failed(format!("{said}: no answer within {ANSWER_MS_MAX} ms")),
    }
}

fn request(place: &Place, form: Option<Form>) -> Request<Vec<Bytes>> {
    let mut request = Request::new(Vec::new());
    *request.uri_mut() = Uri::from(place.target.clone());
    let headers = request.headers_mut();
    for (name, value) in [
        (header::ACCEPT, "application/json"),
        (header::ACCEPT_ENCODING, "identity"),
        (header::USER_AGENT, "madang"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(Form {
        body,
        authorization,
    }) = form
    {
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, kind);
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, value);
        }
        *request.method_mut() = Method::POST;
        request.body_mut().push(body.into());
    }
    request
}

async fn ask(
    client: &EngineClient,
    place: &Place,
    request: Request<Vec<Bytes>>,
) -> Result<(StatusCode, Value), FetchError> {
    let answer = client.request(&place.address, request).await;
    let (head, body) = match answer {
        Ok(answer) => answer.into_parts(),
        Err(error) => return failed(error.to_string()),
    };
    if head.status.is_redirection() {
        return failed("it redirects, which is not followed");
    }
    let collected = match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return failed(format!("the answer has more than {ANSWER_BYTES_MAX} bytes"));
        }
        Err(_) => return failed("the answer broke off"),
    };
    match serde_json::from_slice(&collected) {
        Ok(value) => Ok((head.status, value)),
        Err(_) => failed(format!(
            "it answers with status {} and no JSON",
            head.status.as_u16()
        )),
    }
}
