//! One connection, spoken by hand: an engine that must break the protocol cannot leave it to a library that keeps it.

use super::record::Recorded;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::io;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// A request's head, bytes.
const HEAD_BYTES_MAX: usize = 256 * 1024;
/// A request's body, bytes.
const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes that a client may send ahead while its answer is written.
const AHEAD_BYTES_MAX: usize = 1024 * 1024;

/// The client closed, reset or broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Self {
        Self
    }
}

/// A stream socket that can be reset.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {
    /// Makes the close that follows a reset, where the kind of socket has it.
    fn prepare_reset(&self) {}
}

impl Socket for TcpStream {
    fn prepare_reset(&self) {
        // where it fails the close is an ordinary one
        self.set_zero_linger().ok();
    }
}

impl Socket for UnixStream {}

pub(crate) struct Connection {
    socket: Box<dyn Socket>,
    /// Read and not yet used.
    ahead: Vec<u8>,
}

/// How an answer's end is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// `content-length` with this number, true or not.
    Length(u64),
    /// `transfer-encoding: chunked`.
    Chunked,
}

impl Connection {
    pub(crate) fn new(socket: Box<dyn Socket>) -> Self {
        Self {
            socket,
            ahead: Vec::new(),
        }
    }

    async fn read_more(&mut self) -> Result<(), Gone> {
        match self.socket.read_buf(&mut self.ahead).await {
            Ok(0) | Err(_) => Err(Gone),
            Ok(_) => Ok(()),
        }
    }

    /// Ends when the client is gone, or never.
    pub(crate) async fn until_gone(&mut self) -> Gone {
        while self.ahead.len() < AHEAD_BYTES_MAX {
            if self.read_more().await.is_err() {
                break;
            }
        }
        Gone
    }

    /// Waits, unless the client leaves before.
    pub(crate) async fn wait(&mut self, time: Duration) -> Result<(), Gone> {
        tokio::select! {
            biased;
            gone = self.until_gone() => Err(gone),
            () = async { if time.is_zero() { tokio::task::yield_now().await } else { tokio::time::sleep(time).await } } => Ok(()),
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        self.socket.write_all(bytes).await?;
        Ok(self.socket.flush().await?)
    }

    /// Sends a part of a body.
    pub(crate) async fn write_part(&mut self, framing: Framing, part: &[u8]) -> Result<(), Gone> {
        match framing {
            Framing::Length(_) => self.write(part).await,
            Framing::Chunked if part.is_empty() => Ok(()),
            Framing::Chunked => {
                let mut bytes = format!("{:x}\r\n", part.len()).into_bytes();
                bytes.extend_from_slice(part);
                bytes.extend_from_slice(b"\r\n");
                self.write(&bytes).await
            }
        }
    }

    /// Closes the right way: what was sent arrives.
    pub(crate) async fn close(mut self) {
        // the client may be gone already
        self.socket.shutdown().await.ok();
    }

    /// Closes with a reset.
    pub(crate) fn reset(self) {
        self.socket.prepare_reset();
    }

    /// The next request, or `Gone` where the client closes, breaks off or sends what is no HTTP/1.1.
    pub(crate) async fn read_request(&mut self) -> Result<Recorded, Gone> {
        let end = loop {
            if let Some(at) = find(&self.ahead, b"\r\n\r\n") {
                break at;
            }
            if self.ahead.len() > HEAD_BYTES_MAX {
                return Err(Gone);
            }
            self.read_more().await?;
        };
        let rest = self.ahead.split_off(end + 4);
        let head = std::mem::replace(&mut self.ahead, rest);
        let (method, path, headers) = parse_head(&head[..end]).ok_or(Gone)?;
        if headers.get("expect").is_some_and(|v| v == "100-continue") {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let body = self.read_body(&headers).await?;
        Ok(Recorded {
            method,
            path,
            headers,
            body,
            at: Instant::now(),
        })
    }

    async fn read_body(&mut self, headers: &HeaderMap) -> Result<Bytes, Gone> {
        if headers.get("transfer-encoding").is_some() {
            return self.read_chunked().await;
        }
        let Some(length) = headers.get("content-length") else {
            return Ok(Bytes::new());
        };
        let length = length
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or(Gone)?;
        Ok(self.take(length).await?.into())
    }

    async fn take(&mut self, length: usize) -> Result<Vec<u8>, Gone> {
        if length > BODY_BYTES_MAX {
            return Err(Gone);
        }
        while self.ahead.len() < length {
            self.read_more().await?;
        }
        let rest = self.ahead.split_off(length);
        Ok(std::mem::replace(&mut self.ahead, rest))
    }

    async fn take_line(&mut self) -> Result<String, Gone> {
        let end = loop {
            if let Some(at) = find(&self.ahead, b"\r\n") {
                break at;
            }
            if self.ahead.len() > HEAD_BYTES_MAX {
                return Err(Gone);
            }
            self.read_more().await?;
        };
        let mut line = self.take(end + 2).await?;
        line.truncate(end);
        String::from_utf8(line).map_err(|_| Gone)
    }

    async fn read_chunked(&mut self) -> Result<Bytes, Gone> {
        let mut body = Vec::new();
        loop {
            let line = self.take_line().await?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| Gone)?;
            if size == 0 {
                break;
            }
            if size > BODY_BYTES_MAX - body.len() {
                return Err(Gone);
            }
            body.extend(self.take(size).await?);
            if !self.take_line().await?.is_empty() {
                return Err(Gone);
            }
        }
        while !self.take_line().await?.is_empty() {}
        Ok(body.into())
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}

fn parse_head(head: &[u8]) -> Option<(Method, String, HeaderMap)> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let method = Method::from_bytes(first.next()?.as_bytes()).ok()?;
    let path = first.next()?.to_owned();
    first
        .next()
        .filter(|version| version.starts_with("HTTP/1."))?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).ok()?,
            HeaderValue::from_str(value.trim()).ok()?,
        );
    }
    Some((method, path, headers))
}
