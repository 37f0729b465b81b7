//! Bodies that nobody reads.

use super::{HELLO, Server, read_all, read_until};
use crate::edge::EdgeOptions;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

/// A post to a door that reads no body, answered before its body is sent.
async fn posted(server: &Server, headers: &str) -> tokio::net::TcpStream {
    let head = format!("POST /hello HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    let mut client = server.send(&head).await;
    let answer = read_until(&mut client, "hello").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    // Whoever closes because of it does so by now.
    sleep(Duration::from_millis(100)).await;
    client
}

#[tokio::test]
async fn a_small_body_that_comes_after_its_answer_keeps_its_connection() {
    let server = Server::start(EdgeOptions::default()).await;
    for bytes in [1, 5, 64 * 1024] {
        let mut client = posted(&server, &format!("content-length: {bytes}\r\n")).await;
        let body = "x".repeat(bytes);
        client.write_all(body.as_bytes()).await.unwrap();
        client.write_all(HELLO.as_bytes()).await.unwrap();
        let answer = read_until(&mut client, "hello").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}

#[tokio::test]
async fn with_a_large_one_or_one_of_no_known_length_it_is_closed() {
    let server = Server::start(EdgeOptions::default()).await;
    for headers in [
        "content-length: 65537\r\n",
        "transfer-encoding: chunked\r\n",
        "content-length: 5\r\nexpect: 100-continue\r\n",
    ] {
        let mut client = posted(&server, headers).await;
        assert_eq!(read_all(&mut client).await, "", "{headers}");
    }
}

#[tokio::test]
async fn one_that_never_comes_is_not_waited_for_long() {
    let server = Server::start(EdgeOptions::default()).await;
    let mut client = posted(&server, "content-length: 5\r\n").await;
    assert_eq!(read_all(&mut client).await, "");
}
