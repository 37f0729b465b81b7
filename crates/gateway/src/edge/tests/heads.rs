//! What is said to heads that reach no door.

use super::{HELLO, Server, read_all, read_until};
use crate::edge::EdgeOptions;
use tokio::io::AsyncWriteExt;

/// An answer of ours to a head that reaches no door: an error in words.
pub fn assert_head_error(told: &str, status: u16, code: &str) {
    let (head, body) = told.split_once("\r\n\r\n").expect(told);
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{told}");
    let lines: Vec<&str> = head.split("\r\n").collect();
    assert!(lines.contains(&"content-type: application/json"), "{told}");
    assert!(lines.contains(&"connection: close"), "{told}");
    let length = format!("content-length: {}", body.len());
    assert!(lines.contains(&length.as_str()), "{told}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["error"]["code"], code, "{told}");
    assert!(body["error"]["remedy"].is_string(), "{told}");
}

#[tokio::test]
async fn heads_that_are_no_http_are_refused_in_words() {
    let server = Server::start(EdgeOptions::default()).await;
    for head in [
        "GET /hel lo HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /hello HTTP/9.9\r\nhost: x\r\n\r\n",
        "GET /hello HTTP/1.1\r\nho st: x\r\n\r\n",
        "\u{1}\u{2}\u{3}\r\n\r\n",
        "GET /hello HTTP/1.1\r\ncontent-length: x\r\n\r\n",
    ] {
        let mut client = server.send(head).await;
        assert_head_error(&read_all(&mut client).await, 400, "head_invalid");
    }
    // A good one before it is answered first.
    let mut client = server.send(HELLO).await;
    read_until(&mut client, "hello").await;
    client.write_all(b"no http\r\n\r\n").await.unwrap();
    assert_head_error(&read_all(&mut client).await, 400, "head_invalid");
}
