//! Last words to a client that is not served, said so that it hears them.

use super::socket::close_write;
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
    let code = ErrorCode::ConnectionsExhausted;
    let body = error_body(&ErrorFields {
        message: "too many connections are open",
        kind: code.kind(),
        param: None,
        code: code.as_str(),
        request_id: "",
        remedy: Some(code.remedy()),
        doc: "docs/errors/connections_exhausted.md",
        reasons: &[],
    });
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         retry-after: 1\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    if timeout(FIRST_BYTES_WAIT, stream.readable()).await.is_ok() {
        say(&stream, answer.as_bytes()).await;
    }
}

/// Tells a client that its headers came too slowly.
pub(super) async fn head_timeout(stream: &TcpStream) {
    let answer = "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    say(stream, answer.as_bytes()).await;
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
