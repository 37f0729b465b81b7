//! One keep-alive connection of the load generator: raw HTTP/1.1, so that measuring costs little beside what is
//! measured.

use crate::http;
use crate::upstream;
use anyhow::{Context, bail, ensure};
use memchr::memmem;
use std::net::SocketAddr;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How much of an answer that is none an error quotes, bytes.
const QUOTE_BYTES_MAX: usize = 600;
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

/// When the parts of an answer came.
#[derive(Debug)]
pub struct Timing {
    /// The first bytes of its body.
    pub first: Instant,
    /// All of it.
    pub done: Instant,
}

/// A connection with at most one request under way. After a failure it is opened again by the next request.
pub struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// How an answer says where it ends.
enum Framing {
    Length(usize),
    Chunked,
}

impl Client {
    /// Opens it.
    ///
    /// # Errors
    /// The gateway does not accept.
    pub async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self {
            address,
            stream: Some(connect(address).await?),
            buffer: Vec::with_capacity(8192),
        })
    }

    /// Sends a whole request and reads its whole answer, which must hold what the upstream says. Times between the
    /// events of a stream are added to `gaps_ns`. Dropped halfway, it closes the connection.
    ///
    /// # Errors
    /// The answer is not a 200, is cut off, or lacks some of what the upstream sent.
    pub async fn ask(
        &mut self,
        request: &[u8],
        stream: bool,
        gaps_ns: &mut Vec<u64>,
    ) -> anyhow::Result<Timing> {
        let mut connection = match self.stream.take() {
            Some(connection) => connection,
            None => connect(self.address).await?,
        };
        connection.write_all(request).await?;
        let (head_end, first) = self.first_bytes(&mut connection).await?;
        let framing = framing(&self.buffer[..head_end])?;
        let mut before = first;
        let mut seen = self.buffer.len();
        while !ended(&framing, &self.buffer[head_end..]) {
            let now = self.read(&mut connection).await?;
            let new = &self.buffer[seen..];
            if stream && memmem::find(new, b"data: ").is_some() {
                gaps_ns.push(nanos(before, now));
            }
            seen = self.buffer.len();
            before = now;
        }
        let (head, body) = self.buffer.split_at(head_end);
        check(body, stream)?;
        if http::field(head, "connection") != Some(b"close") {
            self.stream = Some(connection);
        }
        Ok(Timing {
            first,
            done: before,
        })
    }

    /// Sends a request whose answer never ends, and waits for its first bytes.
    ///
    /// # Errors
    /// The answer is not a 200, or the connection ends before it.
    pub async fn open(&mut self, request: &[u8]) -> anyhow::Result<()> {
        let mut connection = match self.stream.take() {
            Some(connection) => connection,
            None => connect(self.address).await?,
        };
        connection.write_all(request).await?;
        self.first_bytes(&mut connection).await?;
        self.stream = Some(connection);
        Ok(())
    }

    /// Reads until some of the body is there: where it begins, and when it came.
    async fn first_bytes(&mut self, stream: &mut TcpStream) -> anyhow::Result<(usize, Instant)> {
        self.buffer.clear();
        loop {
            let now = self.read(stream).await?;
            let Some(at) = memmem::find(&self.buffer, b"\r\n\r\n") else {
                ensure!(self.buffer.len() < HEAD_BYTES_MAX, "the head has no end");
                continue;
            };
            if !self.buffer.starts_with(b"HTTP/1.1 200") {
                bail!("answered {}", self.quote());
            }
            if self.buffer.len() > at + 4 {
                return Ok((at + 4, now));
            }
        }
    }

    async fn read(&mut self, stream: &mut TcpStream) -> anyhow::Result<Instant> {
        self.buffer.reserve(4096);
        let count = stream.read_buf(&mut self.buffer).await?;
        ensure!(count > 0, "the connection ended after {}", self.quote());
        Ok(Instant::now())
    }

    fn quote(&self) -> String {
        let some = &self.buffer[..self.buffer.len().min(QUOTE_BYTES_MAX)];
        format!("{:?}", String::from_utf8_lossy(some))
    }
}

async fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn framing(head: &[u8]) -> anyhow::Result<Framing> {
    if let Some(length) = http::field(head, "content-length") {
        return Ok(Framing::Length(http::number(length)));
    }
    let coding = http::field(head, "transfer-encoding").context("an answer of unknown length")?;
    ensure!(coding.eq_ignore_ascii_case(b"chunked"), "an unknown coding");
    Ok(Framing::Chunked)
}

fn ended(framing: &Framing, body: &[u8]) -> bool {
    match framing {
        Framing::Length(length) => body.len() >= *length,
        Framing::Chunked => body.ends_with(LAST_CHUNK),
    }
}

/// Whether a gateway has passed on all that the upstream said, in whatever form.
fn check(body: &[u8], stream: bool) -> anyhow::Result<()> {
    if stream {
        let words = memmem::find_iter(body, upstream::WORD_MARK).count();
        ensure!(words == upstream::CHUNKS, "{words} chunks came");
        ensure!(memmem::find(body, b"[DONE]").is_some(), "no [DONE] came");
    } else {
        let whole = memmem::find(body, upstream::PLAIN_MARK).is_some();
        ensure!(whole, "the answer is not the upstream's");
    }
    Ok(())
}

/// Nanoseconds from one moment to a later one.
pub fn nanos(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.duration_since(from).as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_its_head_says() {
        let length = framing(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").unwrap();
        let chunked = framing(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        let cases: [(&Framing, &[u8], bool); 5] = [
            (&length, b"{", false),
            (&length, b"{}", true),
            (&chunked, b"2\r\n{}\r\n", false),
            (&chunked, b"2\r\n{}\r\n0\r\n\r\n", true),
            (&chunked, b"3\r\n{}0\r\n", false),
        ];
        for (framing, body, expected) in cases {
            assert_eq!(ended(framing, body), expected, "{body:?}");
        }
        assert!(framing(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn an_answer_that_lacks_something_is_refused() {
        let whole = "word-".repeat(upstream::CHUNKS);
        let cases = [
            (format!("{whole}[DONE]"), true, true),
            (format!("{whole}word-[DONE]"), true, false),
            (whole, true, false),
            (upstream::PLAIN.to_owned(), false, true),
            ("{}".into(), false, false),
        ];
        for (body, stream, expected) in cases {
            assert_eq!(check(body.as_bytes(), stream).is_ok(), expected, "{body}");
        }
    }
}
