//! Files over HTTP.

use super::{PIECE_BYTES, StageOptions};
use crate::jobs::tls;
use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_LENGTH, LOCATION};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::error::Error;
use std::io;
use std::time::Duration;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

/// Until a connection stands, until an answer's head is there, and between two pieces of its body.
const CONNECT: Duration = Duration::from_secs(15);
pub(super) const IDLE: Duration = Duration::from_secs(60);
/// An object's store may take as long as the whole of it takes to be written.
const PUT: Duration = Duration::from_secs(6 * 3_600);
const REDIRECTS_MAX: u32 = 5;

/// What is sent.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// The way to hosts.
pub(super) struct Web<'a> {
    hosts: &'a [String],
    client: Client<HttpsConnector<HttpConnector>, Body>,
}

impl<'a> Web<'a> {
    /// # Errors
    /// The authority's certificates cannot be read.
    pub fn new(options: &'a StageOptions) -> Result<Self, String> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(CONNECT));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client(options.authority.as_deref())?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        // A kept connection may be closed by its other end just when a body goes out that cannot be sent twice.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(https);
        Ok(Self {
            hosts: &options.hosts,
            client,
        })
    }

    /// The body of what a URL leads to.
    pub async fn get(&self, url: &str) -> Result<Incoming, String> {
        let mut uri = listed(self.hosts, url)?;
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.ask(Method::GET, uri.clone(), nothing(), IDLE).await?;
            if !answer.status().is_redirection() {
                return whole(answer);
            }
            let target = answer.headers().get(LOCATION);
            let target = target.and_then(|value| value.to_str().ok());
            let next = listed(self.hosts, &resolve(&uri, target.unwrap_or_default()))?;
            if uri.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
                return Err("it leads on from https to http".to_owned());
            }
            uri = next;
        }
        Err(format!("it leads on more than {REDIRECTS_MAX} times"))
    }

    /// Puts a file where a URL says.
    pub async fn put(&self, url: &str, file: File, length: u64) -> Result<(), String> {
        let uri = listed(self.hosts, url)?;
        self.send(uri, file, length).await.map(drop)
    }

    /// Puts so much of a file, from where it stands.
    pub async fn send(
        &self,
        uri: Uri,
        file: File,
        length: u64,
    ) -> Result<Response<Incoming>, String> {
        let pieces = stream::try_unfold(file.take(length), async |mut rest| {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            let read = rest.read_buf(&mut piece).await?;
            Ok((read > 0).then(|| (Frame::data(Bytes::from(piece)), rest)))
        });
        let body = (StreamBody::new(pieces).boxed_unsync(), length);
        taken(self.ask(Method::PUT, uri, body, PUT).await?)
    }

    /// One exchange, in which the head of the answer is waited for so long.
    pub async fn ask(
        &self,
        method: Method,
        uri: Uri,
        (body, length): (Body, u64),
        patience: Duration,
    ) -> Result<Response<Incoming>, String> {
        let sends = matches!(method, Method::PUT | Method::POST);
        let mut request = Request::builder().method(method).uri(uri);
        if sends {
            request = request.header(CONTENT_LENGTH, length);
        }
        let request = request.body(body).map_err(|e| e.to_string())?;
        match timeout(CONNECT + patience, self.client.request(request)).await {
            Err(_) => Err("no answer came".to_owned()),
            Ok(answer) => answer.map_err(|error| chain(&error)),
        }
    }
}

/// The address, where its host is open to jobs.
pub(super) fn listed(hosts: &[String], url: &str) -> Result<Uri, String> {
    let uri = parse(url)?;
    let host = uri.host().unwrap_or_default();
    let fits = |open: &String| open == "*" || open.eq_ignore_ascii_case(host);
    if hosts.iter().any(fits) {
        return Ok(uri);
    }
    Err(format!("the host {host} is not open to jobs"))
}

/// The next piece of a body; `None` after its last.
pub(super) async fn piece(body: &mut Incoming) -> Result<Option<Bytes>, String> {
    loop {
        let frame = match timeout(IDLE, body.frame()).await {
            Err(_) => return Err(format!("nothing came for {} s", IDLE.as_secs())),
            Ok(None) => return Ok(None),
            Ok(Some(frame)) => frame.map_err(|error| chain(&error))?,
        };
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
}

/// No body.
pub(super) fn nothing() -> (Body, u64) {
    bytes(String::new())
}

/// A short body.
pub(super) fn bytes(text: String) -> (Body, u64) {
    let length = text.len() as u64;
    let body = Full::from(text).map_err(|never| match never {});
    (body.boxed_unsync(), length)
}

/// The body of an answer that has all of what was asked for.
pub(super) fn whole(answer: Response<Incoming>) -> Result<Incoming, String> {
    match answer.status() {
        StatusCode::OK => Ok(answer.into_body()),
        status => Err(refused(status)),
    }
}

/// An answer that says yes.
pub(super) fn taken(answer: Response<Incoming>) -> Result<Response<Incoming>, String> {
    match answer.status() {
        status if status.is_success() => Ok(answer),
        status => Err(refused(status)),
    }
}

fn refused(status: StatusCode) -> String {
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => "it is not there (404)".to_owned(),
        status => format!("its server answered {status}"),
    }
}

/// An address that can be asked.
pub(super) fn parse(url: &str) -> Result<Uri, String> {
    let uri = url.parse::<Uri>().ok();
    let uri = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    let uri = uri.filter(|uri| uri.host().is_some());
    uri.ok_or_else(|| "it leads to what is no http or https address".to_owned())
}

/// A `Location` seen from `base`: absolute, or from the root of the same host.
fn resolve(base: &Uri, target: &str) -> String {
    if !target.starts_with('/') || target.starts_with("//") {
        return target.to_owned();
    }
    let scheme = base.scheme_str().unwrap_or("https");
    let host = base.authority().map_or("", |authority| authority.as_str());
    format!("{scheme}://{host}{target}")
}

/// An error with all that it came from; a URL, which may carry a signature, is in none of these.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
