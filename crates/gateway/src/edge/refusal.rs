//! Last words to a client that is not served, said so that it hears them.

use super::EdgeOptions;
use super::socket::close_write;
use crate::refused::doc_page;
use http::StatusCode;
use madang_types::ErrorCode;
use madang_wire::error::{ErrorFields, error_body};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a client that is turned away may take to send its request's first bytes. Some clients are confused by
/// an answer that comes before they have asked.
const FIRST_BYTES_WAIT: Duration = Duration::from_secs(1);
/// How long what a client still sends is read and thrown away. Were it left unread, the system would reset the
/// connection, and the client would lose the answer that explains why.
const LINGER: Duration = Duration::from_secs(2);

/// Tells a client that too many connections are open.
pub(super) async fn connections_exhausted(stream: TcpStream) {
    let message = "too many connections are open";
    let answer = answer_of(
        ErrorCode::ConnectionsExhausted,
        message,
        "retry-after: 1\r\n",
    );
    if timeout(FIRST_BYTES_WAIT, stream.readable()).await.is_ok() {
        say(&stream, answer.as_bytes()).await;
    }
}

/// Tells a client that its headers came too slowly.
pub(super) async fn head_timeout(stream: &TcpStream, options: &EdgeOptions) {
    let message = format!(
        "the headers were not sent within limits.header_read_ms_max = {} ms",
        options.header_read_ms_max
    );
    let answer = answer_of(ErrorCode::HeadTimeout, &message, "");
    say(stream, answer.as_bytes()).await;
}

/// What is said in place of the answer without words that the HTTP connection gives by itself to a head that it cannot read; `None`
/// where `answer` is none of those. It goes by their whole form: no door answers so.
pub(super) fn in_place_of(answer: &[u8], options: &EdgeOptions) -> Option<String> {
    let rest = answer.strip_prefix(b"HTTP/1.1 ")?;
    let head = std::str::from_utf8(rest.strip_suffix(b"\r\n\r\n")?).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.get(..3)?;
    let code = match status {
        "400" => ErrorCode::HeadInvalid,
        "414" | "431" => ErrorCode::HeadTooLarge,
        _ => return None,
    };
    let (mut empty, mut closes) = (false, false);
    for line in lines {
        match line {
            "content-length: 0" => empty = true,
            "connection: close" => closes = true,
            _ if line.starts_with("date: ") => {}
            _ => return None,
        }
    }
    let message = match code {
        ErrorCode::HeadTooLarge => format!(
            "the request's line and headers have more than limits.header_bytes_max = {} bytes",
            options.header_bytes_max
        ),
        _ => "the request's line or headers are no HTTP/1.1".into(),
    };
    (empty && closes).then(|| answer_of(code, &message, ""))
}

/// An answer as it is written where no door was reached; the connection ends with it.
fn answer_of(code: ErrorCode, message: &str, more_headers: &str) -> String {
    let body = error_body(&ErrorFields {
        message,
        kind: code.kind(),
        param: None,
        code: code.as_str(),
        request_id: "",
        remedy: Some(code.remedy()),
        doc: &doc_page(code),
        retry_after_ms: None,
        reasons: &[],
    });
    let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::BAD_REQUEST);
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{more_headers}\
         connection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Writes an answer and waits for the client to close. The socket's buffer is empty, so there is room for it; where
/// there is none, the client hears nothing.
async fn say(stream: &TcpStream, answer: &[u8]) {
    let written = stream.try_write(answer);
    if written.is_ok_and(|count| count == answer.len()) && close_write(stream).is_ok() {
        linger(stream).await;
    }
}

/// Reads and forgets what the client still sends, until it closes or the time is over.
pub(super) async fn linger(stream: &TcpStream) {
    let drain = async {
        // Not an array: it would be a part of every connection's future for as long as that is open.
        let mut bytes = vec![0; 8 * 1024];
        while stream.readable().await.is_ok() {
            match stream.try_read(&mut bytes) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    // Either way the connection is closed next.
    timeout(LINGER, drain).await.ok();
}
