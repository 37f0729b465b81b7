//! A client without manners: it sends the bytes it is given, as slowly as told, and reads what comes.

use anyhow::Context;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// Bytes that one read collects at most.
const READ_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawEnd {
    /// The server closed.
    Closed,
    /// The server reset the connection.
    Reset,
    /// The time was up, or what was waited for came, and the connection is open still.
    Open,
}

/// What a read brought.
#[derive(Clone, Debug)]
pub struct RawRead {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How it ended.
    pub end: RawEnd,
}

impl RawRead {
    /// The bytes as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The status of the answer that the bytes begin with.
    pub fn status(&self) -> Option<u16> {
        self.text()
            .strip_prefix("HTTP/1.1 ")?
            .get(..3)?
            .parse()
            .ok()
    }
}

/// One TCP connection.
#[derive(Debug)]
pub struct RawClient {
    stream: TcpStream,
}

impl RawClient {
    /// Connects to `HOST:PORT` (a leading `http://` is passed over).
    pub async fn connect(address: &str) -> anyhow::Result<Self> {
        let address = address.trim_start_matches("http://");
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// Sends all bytes. An error where the server has closed.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Sends parts of this many bytes with a wait before each. Gives the number of bytes sent before the server closed.
    pub async fn send_slowly(&mut self, bytes: &[u8], part: usize, pause: Duration) -> usize {
        let mut sent = 0;
        for part in bytes.chunks(part.max(1)) {
            tokio::time::sleep(pause).await;
            if self.stream.write_all(part).await.is_err() {
                break;
            }
            sent += part.len();
        }
        sent
    }

    /// Sends the same bytes again and again, such as one header line, until the server closes or `bytes_max` are sent.
    /// Gives the number of bytes sent.
    pub async fn send_endlessly(&mut self, bytes: &[u8], bytes_max: usize) -> usize {
        let mut sent = 0;
        while sent < bytes_max && self.stream.write_all(bytes).await.is_ok() {
            sent += bytes.len();
        }
        sent
    }

    /// Closes the sending half.
    pub async fn close_sending(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Closes both halves with a reset.
    pub fn reset(self) -> io::Result<()> {
        self.stream.set_zero_linger()
    }

    /// Reads until the server closes, for this long at most.
    pub async fn read_to_close(&mut self, wait_max: Duration) -> RawRead {
        self.read_while(wait_max, |_| true).await
    }

    /// Reads until this has come, the server closes or the time is up.
    pub async fn read_until(&mut self, what: &[u8], wait_max: Duration) -> RawRead {
        self.read_while(wait_max, |bytes| {
            !bytes.windows(what.len()).any(|w| w == what)
        })
        .await
    }

    async fn read_while(&mut self, wait_max: Duration, go_on: impl Fn(&[u8]) -> bool) -> RawRead {
        let until = Instant::now() + wait_max;
        let mut bytes = Vec::new();
        let end = loop {
            if bytes.len() >= READ_BYTES_MAX || !go_on(&bytes) {
                break RawEnd::Open;
            }
            match timeout_at(until, self.stream.read_buf(&mut bytes)).await {
                Err(_) => break RawEnd::Open,
                Ok(Ok(0)) => break RawEnd::Closed,
                Ok(Ok(_)) => {}
                Ok(Err(_)) => break RawEnd::Reset,
            }
        };
        RawRead { bytes, end }
    }
}
