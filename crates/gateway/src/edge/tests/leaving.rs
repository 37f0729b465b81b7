//! A client that leaves takes its request with it, however it leaves.

use super::{Event, FLOOD, HELLO, NOTICED_WITHIN, PATIENCE, Server, WAIT};
use crate::edge::EdgeOptions;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Starts a request with `sent`, then lets `leave` act on the client's socket, and expects the handler's end.
async fn check_noticed(sent: &str, leave: impl AsyncFnOnce(TcpStream) -> Option<TcpStream>) {
    let mut server = Server::start(EdgeOptions::default()).await;
    let client = server.send(sent).await;
    server.expect(Event::Begun, PATIENCE).await;
    let kept = leave(client).await;
    server.expect(Event::Dropped, NOTICED_WITHIN).await;
    drop(kept);
    assert_eq!(server.end().await.clients_gone, 1, "{sent:.40}");
}

#[tokio::test]
async fn a_client_that_closes_is_noticed_while_it_waits() {
    check_noticed(WAIT, async |client| {
        drop(client);
        None
    })
    .await;
}

#[tokio::test]
async fn a_client_that_half_closes_counts_as_gone() {
    check_noticed(WAIT, async |mut client| {
        client.shutdown().await.unwrap();
        Some(client)
    })
    .await;
}

#[tokio::test]
async fn a_client_that_resets_is_noticed() {
    check_noticed(WAIT, async |client| {
        socket2::SockRef::from(&client)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        None
    })
    .await;
}

#[tokio::test]
async fn a_client_that_closes_is_noticed_in_the_middle_of_a_stream() {
    check_noticed(FLOOD, async |client| {
        drop(client);
        None
    })
    .await;
}

#[tokio::test]
async fn a_client_that_closes_behind_a_further_request_is_noticed() {
    check_noticed(&format!("{WAIT}{HELLO}"), async |client| {
        drop(client);
        None
    })
    .await;
}

#[tokio::test]
async fn a_client_that_closes_behind_unread_bytes_is_noticed() {
    check_noticed(&format!("{WAIT}{HELLO}"), async |mut client| {
        client.write_all(&[b'x'; 200]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        client.write_all(&[b'x'; 200]).await.unwrap();
        client.shutdown().await.unwrap();
        Some(client)
    })
    .await;
}

#[tokio::test]
async fn a_client_that_closes_behind_an_unread_body_is_noticed() {
    let head = "POST /wait HTTP/1.1\r\nhost: x\r\ncontent-length: 50000\r\n\r\n";
    check_noticed(head, async |mut client| {
        client.write_all(&vec![b'x'; 30_000]).await.unwrap();
        client.shutdown().await.unwrap();
        Some(client)
    })
    .await;
}
