//! An engine that answers at once: canned OpenAI answers, plain and streamed, with the usage they would have.
//!
//! It reads as little of a request as it can: the method, the length, and three marks in the body's first and last
//! bytes, wherever a gateway that writes the body anew has put them. It checks nothing.

use crate::http;
use memchr::memmem;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Chunks with content in a streamed answer.
pub const CHUNKS: usize = 16;
/// What each of these chunks has once, and nothing else has.
pub const WORD_MARK: &[u8] = b"word-";
/// What only the plain answer has.
pub const PLAIN_MARK: &[u8] = b"founded in 1948";
/// How far from a body's ends marks are looked for.
const LOOK_BYTES: usize = 512;
const HEAD_BYTES_MAX: usize = 64 * 1024;
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
const CHAT: &[u8] = b"POST /v1/chat/completions ";

/// The plain answer.
pub const PLAIN: &str = r#"{"id":"chatcmpl-6f1d0f6f7a9d4f5b","object":"chat.completion","created":1790000000,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":"Seoul is the capital of South Korea; it has been so since the republic was founded in 1948."},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":24,"completion_tokens":16,"total_tokens":40}}"#;

struct Canned {
    plain: Vec<u8>,
    models: Vec<u8>,
    health: Vec<u8>,
    absent: Vec<u8>,
    /// The head and the first chunk leave together.
    chunks: Vec<Vec<u8>>,
    end: Vec<u8>,
    end_with_usage: Vec<u8>,
}

impl Canned {
    fn new() -> Self {
        let models = r#"{"object":"list","data":[{"id":"bench","object":"model","created":0,"owned_by":"bench"}]}"#;
        let mut chunks: Vec<Vec<u8>> = (0..CHUNKS).map(|i| chunk(&content_event(i))).collect();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
                    x-accel-buffering: no\r\ntransfer-encoding: chunked\r\n\r\n";
        if let Some(first) = chunks.first_mut() {
            first.splice(0..0, head.bytes());
        }
        let stop = chunk(&event(
            r#"[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]"#,
            "",
        ));
        let usage = chunk(&event(
            "[]",
            r#","usage":{"prompt_tokens":24,"completion_tokens":16,"total_tokens":40}"#,
        ));
        let done = [chunk("data: [DONE]\n\n"), b"0\r\n\r\n".to_vec()].concat();
        Self {
            plain: answer("200 OK", PLAIN),
            models: answer("200 OK", models),
            health: answer("200 OK", "{}"),
            absent: answer("404 Not Found", "{}"),
            chunks,
            end: [stop.clone(), done.clone()].concat(),
            end_with_usage: [stop, usage, done].concat(),
        }
    }
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

fn event(choices: &str, more: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-6f1d0f6f7a9d4f5b\",\"object\":\"chat.completion.chunk\",\
         \"created\":1790000000,\"model\":\"bench\",\"choices\":{choices}{more}}}\n\n"
    )
}

fn content_event(index: usize) -> String {
    event(
        &format!(
            r#"[{{"index":0,"delta":{{"content":"word-{index:02} "}},"logprobs":null,"finish_reason":null}}]"#
        ),
        "",
    )
}

/// Serves until it is killed.
pub async fn serve(port: u16) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let canned = Arc::new(Canned::new());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                connections.spawn(connection(stream, Arc::clone(&canned)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(mut stream: TcpStream, canned: Arc<Canned>) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(asked) = read_request(&mut stream, &mut buffer).await? {
        match asked {
            Asked::Get(bytes) => stream.write_all(bytes(&canned)).await?,
            Asked::Plain => stream.write_all(&canned.plain).await?,
            Asked::Stream { gap, usage } => {
                let end = if usage {
                    &canned.end_with_usage
                } else {
                    &canned.end
                };
                for (index, chunk) in canned.chunks.iter().enumerate() {
                    if index > 0 && !gap.is_zero() {
                        wait(&stream, gap).await?;
                    }
                    stream.write_all(chunk).await?;
                }
                stream.write_all(end).await?;
            }
        }
    }
    Ok(())
}

/// Waits for `gap`; an error where the other side leaves meanwhile.
async fn wait(stream: &TcpStream, gap: Duration) -> io::Result<()> {
    tokio::select! {
        () = tokio::time::sleep(gap) => Ok(()),
        ready = stream.readable() => {
            ready?;
            Err(io::ErrorKind::ConnectionAborted.into())
        }
    }
}

enum Asked {
    Get(fn(&Canned) -> &[u8]),
    Plain,
    Stream { gap: Duration, usage: bool },
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Asked>> {
    buffer.clear();
    let head_end = loop {
        buffer.reserve(2048);
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
        if let Some(at) = memmem::find(buffer, b"\r\n\r\n") {
            break at + 4;
        }
        if buffer.len() > HEAD_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
    };
    if buffer.starts_with(b"GET ") {
        return Ok(Some(Asked::Get(get(buffer))));
    }
    // HTTP/2 and the like: who asks for it falls back at once when the connection ends.
    if !buffer.starts_with(b"POST ") {
        return Ok(None);
    }
    let length = http::field(&buffer[..head_end], "content-length");
    let end = head_end + length.map_or(0, http::number).min(BODY_BYTES_MAX);
    buffer.reserve(end.saturating_sub(buffer.len()));
    while buffer.len() < end {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    if !buffer.starts_with(CHAT) {
        return Ok(Some(Asked::Get(|canned| &canned.absent)));
    }
    let body = &buffer[head_end..end];
    let first = &body[..body.len().min(LOOK_BYTES)];
    let last = &body[body.len().saturating_sub(LOOK_BYTES)..];
    let has = |mark| memmem::find(first, mark).is_some() || memmem::find(last, mark).is_some();
    if !has(br#""stream":true"#) {
        return Ok(Some(Asked::Plain));
    }
    Ok(Some(Asked::Stream {
        gap: Duration::from_millis(gap_ms(first)),
        usage: has(b"include_usage"),
    }))
}

fn get(head: &[u8]) -> fn(&Canned) -> &[u8] {
    match head {
        _ if head.starts_with(b"GET /health ") => |canned| &canned.health,
        _ if head.starts_with(b"GET /v1/models ") => |canned| &canned.models,
        _ => |canned| &canned.absent,
    }
}

fn gap_ms(body: &[u8]) -> u64 {
    let mark = b"\"gap-";
    let at = memmem::find(body, mark).map_or(body.len(), |at| at + mark.len());
    u64::try_from(http::number(&body[at..])).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_is_read() {
        let cases = [
            (&br#"{"content":"gap-10 Which"}"#[..], 10),
            (br#"{"content":"Which"}"#, 0),
            (b"{}", 0),
        ];
        for (body, expected) in cases {
            assert_eq!(gap_ms(body), expected);
        }
    }

    #[test]
    fn canned_answers_have_their_marks() {
        let canned = Canned::new();
        let plain = memmem::find_iter(&canned.plain, PLAIN_MARK).count();
        let all = [canned.chunks.concat(), canned.end].concat();
        let words = memmem::find_iter(&all, WORD_MARK).count();
        assert_eq!((plain, words), (1, CHUNKS));
    }
}
