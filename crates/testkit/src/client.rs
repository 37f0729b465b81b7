//! A well-behaved client: one connection for each request, closed when the answer is dropped.

use crate::sse::SseStream;
use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longest wait for the next part of an answer. Long, so that a busy machine fails no test.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// Longest body that is collected, bytes.
const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A whole answer.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as sent.
    pub body: Bytes,
}

impl HttpAnswer {
    /// The body as JSON; the error shows the body.
    pub fn json(&self) -> anyhow::Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {:?}", self.text()))
    }

    /// The body as text, with replacements where it is not UTF-8.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header as text; `None` where it is absent.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// An answer whose body is still coming. Dropping it closes the connection, as a client that leaves does.
#[derive(Debug)]
pub struct HttpStream {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// When the request was sent.
    pub sent_at: Instant,
    body: Incoming,
    _driver: Driver,
}

/// Drives the connection and ends with it.
#[derive(Debug)]
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl HttpStream {
    /// The next part of the body as it came; `None` at its end. An error where the body is cut off.
    pub async fn next_chunk(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            let frame = timeout(WAIT_MAX, self.body.frame()).await;
            match frame.map_err(|_| anyhow!("no part of the body within {WAIT_MAX:?}"))? {
                None => return Ok(None),
                Some(Err(error)) => return Err(error).context("the body is cut off"),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// Reads the body to its end.
    pub async fn collect(mut self) -> anyhow::Result<HttpAnswer> {
        let mut body = Vec::new();
        while let Some(chunk) = self.next_chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > BODY_BYTES_MAX {
                bail!("the body is longer than {BODY_BYTES_MAX} bytes");
            }
        }
        let headers = std::mem::take(&mut self.headers);
        Ok(HttpAnswer {
            status: self.status,
            headers,
            body: body.into(),
        })
    }

    /// Reads the body as server-sent events.
    pub fn sse(self) -> SseStream {
        SseStream::new(self)
    }
}

/// GET. The key goes as `Authorization: Bearer`.
pub async fn http_get(url: &str, key: Option<&str>) -> anyhow::Result<HttpAnswer> {
    let stream = http_send(Method::GET, url, &bearer(key).headers(), Bytes::new()).await?;
    stream.collect().await
}

/// POST of a JSON body, answer collected. The key goes as `Authorization: Bearer`.
pub async fn http_post_json(
    url: &str,
    key: Option<&str>,
    body: impl Into<Bytes>,
) -> anyhow::Result<HttpAnswer> {
    http_stream(url, key, body).await?.collect().await
}

/// POST of a JSON body, answer as it comes. The key goes as `Authorization: Bearer`.
pub async fn http_stream(
    url: &str,
    key: Option<&str>,
    body: impl Into<Bytes>,
) -> anyhow::Result<HttpStream> {
    let bearer = bearer(key);
    let mut headers = bearer.headers();
    headers.push(("content-type", "application/json"));
    http_send(Method::POST, url, &headers, body.into()).await
}

struct Bearer(Option<String>);

fn bearer(key: Option<&str>) -> Bearer {
    Bearer(key.map(|key| format!("Bearer {key}")))
}

impl Bearer {
    fn headers(&self) -> Vec<(&str, &str)> {
        self.0
            .iter()
            .map(|value| ("authorization", value.as_str()))
            .collect()
    }
}

/// Any request. URLs are `http://HOST:PORT/PATH`, or `unix:/folder/name.sock/PATH`: the socket's name ends in `.sock`.
pub async fn http_send(
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> anyhow::Result<HttpStream> {
    let (mut sender, driver, host, path) = connect(url).await?;
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", host);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request
        .body(Full::new(body.into()))
        .context("not a request")?;
    let sent_at = Instant::now();
    let answer = timeout(WAIT_MAX, sender.send_request(request)).await;
    let answer = answer.map_err(|_| anyhow!("no head of an answer within {WAIT_MAX:?}"))?;
    let (head, body) = answer.context("no answer")?.into_parts();
    Ok(HttpStream {
        status: head.status.as_u16(),
        headers: head.headers,
        sent_at,
        body,
        _driver: driver,
    })
}

type Sender = SendRequest<Full<Bytes>>;

async fn connect(url: &str) -> anyhow::Result<(Sender, Driver, String, String)> {
    if let Some(rest) = url.strip_prefix("unix:") {
        let end = rest
            .find(".sock")
            .context("a unix URL's socket ends in .sock")?
            + 5;
        let (socket, path) = rest.split_at(end);
        let stream = UnixStream::connect(socket)
            .await
            .with_context(|| format!("connect to {socket}"))?;
        let (sender, driver) = shake(stream).await?;
        return Ok((sender, driver, "localhost".to_owned(), path.to_owned()));
    }
    let uri: Uri = url.parse().with_context(|| format!("not a URL: {url}"))?;
    let authority = uri
        .authority()
        .with_context(|| format!("no host in {url}"))?
        .to_string();
    let stream = TcpStream::connect(&authority)
        .await
        .with_context(|| format!("connect to {authority}"))?;
    stream.set_nodelay(true)?;
    let (sender, driver) = shake(stream).await?;
    let path = uri
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    Ok((sender, driver, authority, path))
}

async fn shake(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> anyhow::Result<(Sender, Driver)> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // its errors reach the reader of the body
    let driver = tokio::spawn(async move { connection.await.unwrap_or_default() });
    Ok((sender, Driver(driver)))
}
