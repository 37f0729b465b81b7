//! One keep-alive connection of the load generator: raw HTTP/1.1, so that measuring costs little beside what is
//! measured.

use crate::upstream;
use anyhow::{Context, bail, ensure};
use memchr::memmem;
use std::net::SocketAddr;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// When the parts of an answer came.
#[derive(Debug)]
pub struct Timing {
    /// The first bytes of its body.
    pub first: Instant,
    /// All of it.
    pub done: Instant,
}

/// A connection with at most one request under way.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    /// Opens it.
    pub async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(8192),
        })
    }

    /// Sends a whole request and reads its whole answer, which must be the upstream's. Times between the pieces of a
    /// stream are added to `gaps_ns`.
    pub async fn ask(
        &mut self,
        request: &[u8],
        stream: bool,
        gaps_ns: &mut Vec<u64>,
    ) -> anyhow::Result<Timing> {
        self.stream.write_all(request).await?;
        let first = self.first_bytes().await?;
        let mut before = first;
        if stream {
            while !self.buffer.ends_with(b"\r\n0\r\n\r\n") {
                let now = self.read().await?;
                gaps_ns.push(nanos(before, now));
                before = now;
            }
            let events = memmem::find_iter(&self.buffer, b"data: ").count();
            ensure!(events == upstream::EVENTS, "{events} events came");
        } else {
            while self.body_bytes() < upstream::plain_bytes() {
                before = self.read().await?;
            }
            ensure!(
                self.body_bytes() == upstream::plain_bytes(),
                "the answer is too long"
            );
        }
        Ok(Timing {
            first,
            done: before,
        })
    }

    /// Sends a request whose answer never ends, and waits for its first bytes.
    pub async fn open(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(request).await?;
        self.first_bytes().await?;
        Ok(())
    }

    /// The status of a GET; the connection is of no use afterwards.
    pub async fn status(mut self, path: &str) -> anyhow::Result<u16> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await?;
        self.read().await?;
        let status = self.buffer.get(9..12).context("no status line")?;
        Ok(std::str::from_utf8(status)?.parse()?)
    }

    async fn first_bytes(&mut self) -> anyhow::Result<Instant> {
        self.buffer.clear();
        loop {
            let now = self.read().await?;
            if self.body_bytes() == 0 {
                continue;
            }
            if !self.buffer.starts_with(b"HTTP/1.1 200") {
                bail!("answered {}", String::from_utf8_lossy(&self.buffer));
            }
            return Ok(now);
        }
    }

    fn body_bytes(&self) -> usize {
        memmem::find(&self.buffer, b"\r\n\r\n").map_or(0, |at| self.buffer.len() - at - 4)
    }

    async fn read(&mut self) -> anyhow::Result<Instant> {
        self.buffer.reserve(4096);
        let count = self.stream.read_buf(&mut self.buffer).await?;
        ensure!(
            count > 0,
            "the connection ended after {}",
            String::from_utf8_lossy(&self.buffer)
        );
        Ok(Instant::now())
    }
}

/// Nanoseconds from one moment to a later one.
pub fn nanos(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.duration_since(from).as_nanos()).unwrap_or(u64::MAX)
}
