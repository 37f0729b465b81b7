//! A file over HTTP(S): bounded in size, redirects and waiting, resumed where it stopped.

use crate::cache::blocking;
use crate::digest;
use crate::error::{FailureKind, SourceFailure};
use crate::package::UNSIZED_BYTES_MAX;
use crate::progress::Progress;
use bytes::Bytes;
use http::header::{CONTENT_RANGE, LOCATION, RANGE, USER_AGENT};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body as _, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use std::error::Error;
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// Bounds of one download.
#[derive(Clone, Debug)]
pub(crate) struct UrlLimits {
    /// Time to connect.
    pub(crate) connect: Duration,
    /// Time without a byte: for the response's head and between pieces of its body.
    pub(crate) idle: Duration,
    /// Redirects followed.
    pub(crate) redirects_max: u32,
    /// Connections in a row that may bring nothing new.
    pub(crate) fruitless_max: u32,
    /// Connections in all.
    pub(crate) connections_max: u32,
}

impl Default for UrlLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            idle: Duration::from_secs(30),
            redirects_max: 5,
            fruitless_max: 2,
            connections_max: 100,
        }
    }
}

/// What is to be had.
pub(crate) struct Wanted<'a> {
    pub(crate) url: &'a str,
    pub(crate) sha256: &'a str,
    pub(crate) bytes: Option<u64>,
    pub(crate) limits: &'a UrlLimits,
    pub(crate) progress: &'a dyn Progress,
}

type HttpClient = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// How one connection ended.
enum Ended {
    /// All of the body is in the file.
    Whole,
    /// What is in the file is of no use.
    StartAgain,
}

/// Brings the file to `partial`, complete and with the right digest. On an error that a later try may heal, what has
/// arrived stays there; otherwise the file is gone.
pub(crate) async fn download(wanted: &Wanted<'_>, partial: &Path) -> Result<(), SourceFailure> {
    let limits = wanted.limits;
    let client = client(limits);
    let mut fruitless = 0;
    let mut fresh = length(partial) == 0;
    for _ in 0..limits.connections_max {
        let before = length(partial);
        if wanted.bytes.is_some_and(|bytes| before > bytes) {
            remove(partial);
            continue;
        }
        if wanted.bytes != Some(before) {
            wanted.progress.start(public(wanted.url), wanted.bytes);
            let ended = transfer(&client, wanted, partial).await;
            wanted.progress.finish();
            match ended {
                Ok(Ended::Whole) => {}
                Ok(Ended::StartAgain) if before > 0 => {
                    remove(partial);
                    continue;
                }
                Ok(Ended::StartAgain) => {
                    return Err(failure(
                        wanted,
                        FailureKind::Refused,
                        "416 to a request for the whole file",
                    ));
                }
                Err(problem) => {
                    let gained = length(partial) > before;
                    fruitless = if gained { 0 } else { fruitless + 1 };
                    let heals = matches!(problem.kind, FailureKind::Cut | FailureKind::Stalled);
                    if length(partial) == 0 || problem.kind == FailureKind::WrongSize {
                        remove(partial);
                    }
                    if !heals || fruitless >= limits.fruitless_max {
                        return Err(problem);
                    }
                    continue;
                }
            }
        }
        match verify(wanted, partial).await {
            Ok(()) => return Ok(()),
            Err(problem) => {
                remove(partial);
                // What an earlier run left may have been of another file: once more from nothing.
                if fresh {
                    return Err(problem);
                }
                fresh = true;
            }
        }
    }
    Err(failure(
        wanted,
        FailureKind::Cut,
        format!(
            "still unfinished after {} connections",
            limits.connections_max
        ),
    ))
}

fn client(limits: &UrlLimits) -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(limits.connect));
    let https = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
        .expect("ring offers TLS 1.2 and 1.3")
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    Client::builder(TokioExecutor::new()).build(https)
}

/// One connection's worth of body, appended to or written over `partial`.
async fn transfer(
    client: &HttpClient,
    wanted: &Wanted<'_>,
    partial: &Path,
) -> Result<Ended, SourceFailure> {
    let have = length(partial);
    let response = follow(client, wanted, have).await?;
    let start = match response.status() {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT if range_start(&response) == Some(have) => have,
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            return Ok(Ended::StartAgain);
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            return Err(failure(
                wanted,
                FailureKind::NotFound,
                response.status().to_string(),
            ));
        }
        status => {
            return Err(failure(
                wanted,
                FailureKind::Refused,
                format!("answered {status}"),
            ));
        }
    };
    let bytes_max = wanted.bytes.unwrap_or(UNSIZED_BYTES_MAX);
    if let Some(more) = response.body().size_hint().exact()
        && (start.saturating_add(more) > bytes_max
            || wanted.bytes.is_some_and(|bytes| bytes != start + more))
    {
        let detail = format!(
            "it offers {} bytes, where {bytes_max} are wanted",
            start.saturating_add(more)
        );
        return Err(failure(wanted, FailureKind::WrongSize, detail));
    }
    let io_failure = |error: std::io::Error| SourceFailure::io(public(wanted.url), &error);
    let mut how = tokio::fs::OpenOptions::new();
    how.create(true)
        .write(true)
        .append(start > 0)
        .truncate(start == 0);
    let file = how.open(partial).await.map_err(io_failure)?;
    let mut file = tokio::io::BufWriter::with_capacity(digest::PIECE_BYTES, file);
    let ended = receive(response, &mut file, (start, bytes_max), wanted).await;
    // Also after a cut: what has arrived is resumed.
    file.flush().await.map_err(io_failure)?;
    file.get_ref().sync_all().await.map_err(io_failure)?;
    ended.map(|()| Ended::Whole)
}

async fn receive(
    response: Response<Incoming>,
    file: &mut (impl AsyncWriteExt + Unpin),
    (start, bytes_max): (u64, u64),
    wanted: &Wanted<'_>,
) -> Result<(), SourceFailure> {
    let idle = wanted.limits.idle;
    let mut body = response.into_body();
    let mut done = start;
    loop {
        let frame = match tokio::time::timeout(idle, body.frame()).await {
            Err(_) => {
                let detail = format!("no byte for {} ms after {done} bytes", idle.as_millis());
                return Err(failure(wanted, FailureKind::Stalled, detail));
            }
            Ok(None) => return Ok(()),
            Ok(Some(Err(error))) => {
                let detail = format!("after {done} bytes: {}", chain(&error));
                return Err(failure(wanted, FailureKind::Cut, detail));
            }
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        done += piece.len() as u64;
        if done > bytes_max {
            return Err(failure(
                wanted,
                FailureKind::WrongSize,
                format!("more than {bytes_max} bytes"),
            ));
        }
        file.write_all(&piece)
            .await
            .map_err(|error| SourceFailure::io(public(wanted.url), &error))?;
        wanted.progress.at(done);
    }
}

/// The first response that is no redirect.
async fn follow(
    client: &HttpClient,
    wanted: &Wanted<'_>,
    have: u64,
) -> Result<Response<Incoming>, SourceFailure> {
    let limits = wanted.limits;
    let mut address = parse(wanted, wanted.url)?;
    for _ in 0..=limits.redirects_max {
        let mut request = Request::get(address.clone()).header(USER_AGENT, "madang");
        if have > 0 {
            request = request.header(RANGE, format!("bytes={have}-"));
        }
        let request = request
            .body(Empty::new())
            .map_err(|error| failure(wanted, FailureKind::Other, error.to_string()))?;
        let response =
            match tokio::time::timeout(limits.connect + limits.idle, client.request(request)).await
            {
                Err(_) => {
                    return Err(failure(
                        wanted,
                        FailureKind::Stalled,
                        "no answer to the request",
                    ));
                }
                Ok(Err(error)) => {
                    let kind = if error.is_connect() {
                        FailureKind::Offline
                    } else {
                        FailureKind::Cut
                    };
                    return Err(failure(wanted, kind, chain(&error)));
                }
                Ok(Ok(response)) => response,
            };
        if !response.status().is_redirection() {
            return Ok(response);
        }
        let target = response
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let next = parse(wanted, &resolve(&address, target))?;
        if address.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
            return Err(failure(
                wanted,
                FailureKind::Redirected,
                "from https to http",
            ));
        }
        address = next;
    }
    Err(failure(
        wanted,
        FailureKind::Redirected,
        format!("more than {} times", limits.redirects_max),
    ))
}

fn parse(wanted: &Wanted<'_>, text: &str) -> Result<Uri, SourceFailure> {
    text.parse::<Uri>()
        .ok()
        .filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
        .ok_or_else(|| {
            failure(
                wanted,
                FailureKind::Redirected,
                "not an http or https address",
            )
        })
}

/// A `Location` seen from `base`: absolute, with its own host, from the root, or beside the base.
fn resolve(base: &Uri, target: &str) -> String {
    let scheme = base.scheme_str().unwrap_or("https");
    let host = base.authority().map_or("", |authority| authority.as_str());
    if target.contains("://") {
        target.to_owned()
    } else if let Some(rest) = target.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if target.starts_with('/') {
        format!("{scheme}://{host}{target}")
    } else {
        let folder = base
            .path()
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        format!("{scheme}://{host}{folder}/{target}")
    }
}

fn range_start(response: &Response<Incoming>) -> Option<u64> {
    let value = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    value
        .strip_prefix("bytes ")?
        .split_once('-')?
        .0
        .parse()
        .ok()
}

async fn verify(wanted: &Wanted<'_>, partial: &Path) -> Result<(), SourceFailure> {
    let path = partial.to_path_buf();
    let (found, bytes) = blocking(move || digest::of_file(&path))
        .await
        .map_err(|error| SourceFailure::io(public(wanted.url), &error))?;
    if let Some(expected) = wanted.bytes
        && expected != bytes
    {
        return Err(failure(
            wanted,
            FailureKind::WrongSize,
            format!("{bytes} bytes, where {expected} are wanted"),
        ));
    }
    if found != wanted.sha256 {
        let detail = format!("sha256 {found}, where {} is wanted", wanted.sha256);
        return Err(failure(wanted, FailureKind::WrongDigest, detail));
    }
    Ok(())
}

fn failure(wanted: &Wanted<'_>, kind: FailureKind, detail: impl Into<String>) -> SourceFailure {
    SourceFailure::new(public(wanted.url), kind, detail)
}

/// The address without its query, which may hold a signature.
fn public(url: &str) -> &str {
    url.split('?').next().unwrap_or(url)
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |facts| facts.len())
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove a partial download");
    }
}

/// An error with its causes: the outer one alone often says only "client error".
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
