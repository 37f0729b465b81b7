//! A place that computes: it writes down every byte that reaches it, and how far the audit log was by then; then it says
//! back what it was asked, or fails as the seed says.

use crate::flow::MAPPED;
use crate::harness::tls_acceptor;
use crate::random::Random;
use crate::speech::Speech;
use madang_gateway::gateway::Gateway;
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// One request as it reached a place.
#[derive(Clone, Debug)]
pub struct Seen {
    pub place: String,
    /// Head and body, all that came.
    pub bytes: Vec<u8>,
    /// When the first byte came.
    pub at: Instant,
    /// Leaves that the audit log had confirmed when the first byte came.
    pub log_size: u64,
    /// How many policies had been put in force when the first byte came.
    pub epoch: usize,
}

impl Seen {
    pub fn head(&self) -> &str {
        std::str::from_utf8(self.split().0).unwrap()
    }

    pub fn body(&self) -> &[u8] {
        self.split().1
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head().lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    fn split(&self) -> (&[u8], &[u8]) {
        let end = head_end(&self.bytes).unwrap_or(self.bytes.len());
        self.bytes.split_at(end)
    }
}

/// What all places of a world share.
#[derive(Default)]
pub struct Watch {
    pub gateway: OnceLock<Arc<Gateway>>,
    pub epoch: AtomicUsize,
    pub seen: Mutex<Vec<Seen>>,
    /// Decides which request fails where.
    pub seed: u64,
    /// Answers never end, and faults are left out.
    pub endless: bool,
}

/// How a place answers one request.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    CloseUnanswered,
    Status(u16),
    CutMidway,
    Slow,
    /// The first byte of a stream is so late that another attempt is made beside it.
    Late,
}

pub struct Upstream {
    pub url: String,
    accepting: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Upstream {
    pub async fn start(place: &'static str, watch: &Arc<Watch>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tls, url) = if place == MAPPED {
            (Some(tls_acceptor()), format!("https://localhost:{port}"))
        } else {
            (None, format!("http://127.0.0.1:{port}"))
        };
        let watch = Arc::clone(watch);
        let accepting = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (watch, tls) = (Arc::clone(&watch), tls.clone());
                // Whoever leaves in the middle is no fault of this place.
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => serve(tls.accept(socket).await.ok()?, place, &watch).await,
                        None => serve(socket, place, &watch).await,
                    }
                    .ok()
                });
            }
        });
        Self { url, accepting }
    }
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    let at = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(at + 4)
}

/// Whether head and body are there.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(end) = head_end(bytes) else {
        return false;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1);
    let length = length.and_then(|rest| rest.lines().next()?.trim().parse().ok());
    bytes.len() >= end + length.unwrap_or(0)
}

async fn serve<S>(mut socket: S, place: &str, watch: &Watch) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut bytes = vec![0; 4096];
    let count = socket.read(&mut bytes).await?;
    bytes.truncate(count);
    if bytes.is_empty() {
        return Ok(());
    }
    let log_size = watch.gateway.get().unwrap().audit.status().size;
    let mut seen = Seen {
        place: place.to_owned(),
        bytes,
        at: Instant::now(),
        log_size,
        epoch: watch.epoch.load(Ordering::SeqCst),
    };
    while !is_whole(&seen.bytes) {
        let mut more = [0; 4096];
        let count = socket.read(&mut more).await?;
        if count == 0 {
            break;
        }
        seen.bytes.extend_from_slice(&more[..count]);
    }
    watch.seen.lock().unwrap().push(seen.clone());
    respond(&mut socket, &seen, watch).await?;
    socket.shutdown().await
}

async fn respond<S>(socket: &mut S, seen: &Seen, watch: &Watch) -> std::io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    let body: Value = serde_json::from_slice(seen.body()).unwrap();
    let text = asked(&body);
    let (speech, stream) = (Speech::of(&seen.place, &body), body["stream"] == true);
    let mut random = Random::of(&[watch.seed, number(seen.body()), seen.place.len() as u64]);
    let fault = if watch.endless {
        Fault::None
    } else {
        fault(&mut random)
    };
    match fault {
        Fault::CloseUnanswered => return Ok(()),
        Fault::Status(status) => return whole(socket, status, &speech.error().to_string()).await,
        Fault::Slow => tokio::time::sleep(Duration::from_millis(30)).await,
        Fault::Late if stream => tokio::time::sleep(Duration::from_millis(800)).await,
        Fault::Late | Fault::None | Fault::CutMidway => {}
    }
    if !stream {
        let answer = speech.answer(&text).to_string();
        if matches!(fault, Fault::CutMidway) {
            let head = head(
                200,
                "application/json",
                &format!("content-length: {}", answer.len()),
            );
            socket.write_all(head.as_bytes()).await?;
            return socket
                .write_all(&answer.as_bytes()[..answer.len() / 2])
                .await;
        }
        return whole(socket, 200, &answer).await;
    }
    let head = head(200, "text/event-stream", "transfer-encoding: chunked");
    socket.write_all(head.as_bytes()).await?;
    events(socket, &speech.begin()).await?;
    if watch.endless {
        loop {
            events(socket, &[speech.delta("again ")]).await?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let letters: Vec<char> = text.chars().collect();
    let mut rest = letters.as_slice();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((1 + random.below(7)).min(rest.len()));
        let piece: String = piece.iter().collect();
        events(socket, &[speech.delta(&piece)]).await?;
        if matches!(fault, Fault::CutMidway) && after.len() < letters.len() / 2 {
            return Ok(());
        }
        rest = after;
    }
    events(socket, &speech.end()).await?;
    socket.write_all(b"0\r\n\r\n").await
}

/// Half of all requests fail somehow.
fn fault(random: &mut Random) -> Fault {
    match random.below(12) {
        0 => Fault::CloseUnanswered,
        1 => Fault::Status(503),
        2 => Fault::Status(429),
        3 => Fault::Status(*random.pick(&[400, 401, 500])),
        4 => Fault::CutMidway,
        5 => Fault::Slow,
        6 => Fault::Late,
        _ => Fault::None,
    }
}

/// The number of the case, which stands in its text.
fn number(body: &[u8]) -> u64 {
    let body = String::from_utf8_lossy(body);
    let digits = body.split("case-").nth(1).unwrap_or_default();
    let end = digits.find('.').unwrap_or(0);
    digits[..end].parse().unwrap_or(0)
}

/// What the caller's last message says.
fn asked(body: &Value) -> String {
    if let Some(prompt) = body["prompt"].as_str() {
        return prompt.to_owned();
    }
    let messages = body["messages"].as_array().unwrap();
    match &messages.last().unwrap()["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect(),
        other => panic!("{other}"),
    }
}

fn head(status: u16, content_type: &str, framing: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\nconnection: close\r\n{framing}\r\n\r\n"
    )
}

async fn whole<S>(socket: &mut S, status: u16, body: &str) -> std::io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    let head = head(
        status,
        "application/json",
        &format!("content-length: {}", body.len()),
    );
    socket.write_all((head + body).as_bytes()).await
}

/// Each as a chunk of its own.
async fn events<S>(socket: &mut S, events: &[String]) -> std::io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    for event in events {
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        socket.write_all(chunk.as_bytes()).await?;
    }
    Ok(())
}
