//! The edge against clients that are slow, greedy, absent or gone. Each speaks through a bare socket.

mod heads;
mod leaving;
mod leftover;

use heads::assert_head_error;

use super::{AcceptPause, EdgeOptions, EdgeReport, PeerAddress, serve};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::{get, post};
use futures_util::stream;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// No wait of a test is longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// A client that left is noticed within a second; the rest is for a loaded machine.
const NOTICED_WITHIN: Duration = Duration::from_secs(3);

/// Tells the test what a handler does.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Begun,
    Dropped,
}

/// Reports its making and its end.
struct Guard(mpsc::UnboundedSender<Event>);

impl Guard {
    fn new(events: mpsc::UnboundedSender<Event>) -> Self {
        events.send(Event::Begun).unwrap();
        Self(events)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.send(Event::Dropped).ok();
    }
}

struct Server {
    address: SocketAddr,
    events: mpsc::UnboundedReceiver<Event>,
    /// Lets requests to `/wait` answer.
    release: tokio::sync::watch::Sender<bool>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<io::Result<EdgeReport>>,
}

impl Server {
    async fn start(options: EdgeOptions) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let (release, released) = tokio::sync::watch::channel(false);
        let waiting = sender.clone();
        let wait = move || {
            let (guard, mut released) = (Guard::new(waiting.clone()), released.clone());
            async move {
                released.wait_for(|open| *open).await.unwrap();
                drop(guard);
                "waited"
            }
        };
        let flood = move || {
            let guard = Guard::new(sender.clone());
            let pieces = stream::unfold(guard, |guard| async move {
                tokio::task::yield_now().await;
                Some((Ok::<_, Infallible>(vec![b'x'; 16 * 1024]), guard))
            });
            async move { Body::from_stream(pieces) }
        };
        let echo = |body: String| async move { body };
        let peer = |request: Request| async move {
            request
                .extensions()
                .get::<PeerAddress>()
                .map(|peer| peer.0.to_string())
                .unwrap_or_default()
        };
        let router = Router::new()
            .route(
                "/hello",
                get(|| async { "hello" }).post(|| async { "hello" }),
            )
            .route("/wait", get(wait.clone()).post(wait))
            .route("/flood", get(flood))
            .route("/echo", post(echo))
            .route("/peer", get(peer));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(serve(listener, router, options, stopped));
        Self {
            address,
            events,
            release,
            stop: Some(stop),
            task,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Connects and sends.
    async fn send(&self, text: &str) -> TcpStream {
        let mut client = self.connect().await;
        client.write_all(text.as_bytes()).await.unwrap();
        client
    }

    async fn expect(&mut self, expected: Event, within: Duration) {
        let event = timeout(within, self.events.recv()).await;
        assert_eq!(event.expect("the handler does it in time"), Some(expected));
    }

    fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).unwrap();
        }
    }

    async fn end(mut self) -> EdgeReport {
        self.stop();
        timeout(PATIENCE, self.task)
            .await
            .expect("the edge ends")
            .unwrap()
            .expect("it could start")
    }
}

const HELLO: &str = "GET /hello HTTP/1.1\r\nhost: x\r\n\r\n";
const WAIT: &str = "GET /wait HTTP/1.1\r\nhost: x\r\n\r\n";
const FLOOD: &str = "GET /flood HTTP/1.1\r\nhost: x\r\n\r\n";

/// Reads until the text ends with `end`.
async fn read_until(client: &mut TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    let read = async {
        while !bytes.ends_with(end.as_bytes()) {
            bytes.push(client.read_u8().await?);
        }
        io::Result::Ok(())
    };
    let outcome = timeout(PATIENCE, read).await.expect("the answer comes");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    outcome.unwrap_or_else(|error| panic!("{error} behind {text:?}"));
    text
}

/// Reads to the connection's end.
async fn read_all(client: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, client.read_to_end(&mut bytes)).await;
    read.expect("the connection ends").unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn requests_follow_one_another_on_a_connection() {
    let server = Server::start(EdgeOptions::default()).await;
    let mut client = server.send(HELLO).await;
    assert!(
        read_until(&mut client, "hello")
            .await
            .starts_with("HTTP/1.1 200 OK\r\n")
    );
    client
        .write_all(b"GET /peer HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let own = client.local_addr().unwrap().to_string();
    read_until(&mut client, &own).await;
    drop(client);
    let report = server.end().await;
    assert_eq!(
        report,
        EdgeReport {
            accepted: 1,
            ..EdgeReport::default()
        }
    );
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Server::start(EdgeOptions::default()).await;
    let echo = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\none";
    let mut client = server.send(&format!("{echo}{HELLO}{echo}")).await;
    let text = read_until(&mut client, "one").await + &read_until(&mut client, "one").await;
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 3);
    assert!(text.find("hello").is_some());
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on() {
    let server = Server::start(EdgeOptions::default()).await;
    let head =
        "POST /echo HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n";
    let mut client = server.send(head).await;
    assert_eq!(
        read_until(&mut client, "\r\n\r\n").await,
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    client.write_all(b"yes").await.unwrap();
    assert!(
        read_until(&mut client, "yes")
            .await
            .starts_with("HTTP/1.1 200 OK")
    );
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused_so_that_the_client_hears_it() {
    let server = Server::start(EdgeOptions {
        header_bytes_max: 16 * 1024,
        ..EdgeOptions::default()
    })
    .await;
    let fits = "x".repeat(15 * 1024);
    let mut client = server
        .send(&format!(
            "GET /hello HTTP/1.1\r\nhost: x\r\nx: {fits}\r\n\r\n"
        ))
        .await;
    read_until(&mut client, "hello").await;
    let large = "x".repeat(500 * 1024);
    let mut client = server
        .send(&format!(
            "GET /hello HTTP/1.1\r\nhost: x\r\nx: {large}\r\n\r\n"
        ))
        .await;
    let told = read_all(&mut client).await;
    assert_head_error(&told, 431, "head_too_large");
    assert!(
        told.contains("limits.header_bytes_max = 16384 bytes"),
        "{told}"
    );
}

#[tokio::test]
async fn endless_headers_end() {
    let server = Server::start(EdgeOptions {
        header_bytes_max: 16 * 1024,
        ..EdgeOptions::default()
    })
    .await;
    let client = server.send("GET /hello HTTP/1.1\r\n").await;
    let (mut reader, mut writer) = client.into_split();
    let endless = tokio::spawn(async move { while writer.write_all(b"x: y\r\n").await.is_ok() {} });
    let mut answer = vec![0; 12];
    timeout(PATIENCE, reader.read_exact(&mut answer))
        .await
        .expect("an answer comes")
        .unwrap();
    assert_eq!(answer, b"HTTP/1.1 431");
    timeout(PATIENCE, endless)
        .await
        .expect("the connection is closed")
        .unwrap();
}

#[tokio::test]
async fn headers_that_trickle_are_timed_out() {
    let server = Server::start(EdgeOptions {
        header_read_ms_max: 200,
        ..EdgeOptions::default()
    })
    .await;
    let (mut reader, mut writer) = server.connect().await.into_split();
    let trickle = tokio::spawn(async move {
        for byte in HELLO.as_bytes().iter().cycle().take_while(|b| **b != b'\n') {
            if writer.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = Vec::new();
    timeout(PATIENCE, reader.read_to_end(&mut answer))
        .await
        .expect("the connection ends")
        .unwrap();
    let told = String::from_utf8(answer).unwrap();
    assert_head_error(&told, 408, "head_timeout");
    assert!(
        told.contains("limits.header_read_ms_max = 200 ms"),
        "{told}"
    );
    trickle.abort();
    assert_eq!(server.end().await.head_timeouts, 1);
}

#[tokio::test]
async fn a_slow_second_head_is_timed_out_and_a_waiting_request_is_not() {
    let options = EdgeOptions {
        header_read_ms_max: 100,
        idle_ms_max: 60_000,
        ..EdgeOptions::default()
    };
    let server = Server::start(options).await;
    let mut client = server.send(WAIT).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.release.send(true).unwrap();
    read_until(&mut client, "waited").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    client.write_all(HELLO.as_bytes()).await.unwrap();
    read_until(&mut client, "hello").await;
    client.write_all(b"GET").await.unwrap();
    assert!(read_all(&mut client).await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test]
async fn silent_and_idle_connections_are_closed() {
    let options = EdgeOptions {
        header_read_ms_max: 100,
        idle_ms_max: 100,
        ..EdgeOptions::default()
    };
    let server = Server::start(options).await;
    let mut silent = server.connect().await;
    assert_eq!(read_all(&mut silent).await, "");
    let mut idle = server.send(HELLO).await;
    assert!(read_all(&mut idle).await.ends_with("hello"));
    assert_eq!(server.end().await.head_timeouts, 0);
}

#[tokio::test]
async fn a_client_that_takes_nothing_loses_its_answer() {
    let mut server = Server::start(EdgeOptions {
        client_stall_ms_max: 200,
        ..EdgeOptions::default()
    })
    .await;
    let mut client = server.send(FLOOD).await;
    server.expect(Event::Begun, PATIENCE).await;
    server.expect(Event::Dropped, PATIENCE).await;
    let mut sink = vec![0; 64 * 1024];
    let ended = async { while client.read(&mut sink).await.is_ok_and(|count| count > 0) {} };
    timeout(PATIENCE, ended)
        .await
        .expect("the connection is gone");
    assert_eq!(server.end().await.stalls, 1);
}

#[tokio::test]
async fn a_client_that_reads_slowly_but_steadily_is_served() {
    let mut server = Server::start(EdgeOptions {
        client_stall_ms_max: 5_000,
        ..EdgeOptions::default()
    })
    .await;
    let mut client = server.send(FLOOD).await;
    server.expect(Event::Begun, PATIENCE).await;
    let mut piece = vec![0; 256 * 1024];
    for _ in 0..20 {
        timeout(PATIENCE, client.read_exact(&mut piece))
            .await
            .expect("more comes")
            .unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(server.events.try_recv().is_err());
}

#[tokio::test]
async fn an_early_answer_is_heard_by_a_client_that_is_still_sending() {
    let server = Server::start(EdgeOptions::default()).await;
    let mut client = server
        .send("POST /hello HTTP/1.1\r\nhost: x\r\ncontent-length: 8000000\r\n\r\n")
        .await;
    let piece = vec![b'x'; 8_000_000];
    timeout(PATIENCE, client.write_all(&piece))
        .await
        .expect("the body is taken")
        .unwrap();
    read_until(&mut client, "hello").await;
}

#[tokio::test]
async fn connections_over_the_cap_are_told_why() {
    let server = Server::start(EdgeOptions {
        connections_max: 1,
        ..EdgeOptions::default()
    })
    .await;
    let mut first = server.send(HELLO).await;
    read_until(&mut first, "hello").await;
    let mut second = server.send(HELLO).await;
    let answer = read_all(&mut second).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["error"]["code"], "connections_exhausted");
    drop((first, second));
    let served = async {
        loop {
            let mut third = server.send(HELLO).await;
            if read_until(&mut third, "\r\n\r\n")
                .await
                .starts_with("HTTP/1.1 200 ")
            {
                break;
            }
        }
    };
    timeout(PATIENCE, served)
        .await
        .expect("a slot is free again");
    assert!(server.end().await.refused >= 1);
}

#[tokio::test]
async fn a_stop_lets_requests_finish_and_closes_the_idle() {
    let mut server = Server::start(EdgeOptions::default()).await;
    let mut busy = server.send(WAIT).await;
    server.expect(Event::Begun, PATIENCE).await;
    let mut silent = server.connect().await;
    let mut idle = server.send(HELLO).await;
    read_until(&mut idle, "hello").await;
    server.stop();
    assert_eq!(read_all(&mut idle).await, "");
    assert_eq!(read_all(&mut silent).await, "");
    let refused = async { while TcpStream::connect(server.address).await.is_ok() {} };
    timeout(PATIENCE, refused).await.expect("nobody listens");
    server.release.send(true).unwrap();
    assert!(read_all(&mut busy).await.ends_with("waited"));
    let report = server.end().await;
    assert_eq!((report.drained, report.cut), (1, 0));
}

#[tokio::test]
async fn a_stop_cuts_what_does_not_finish() {
    let mut server = Server::start(EdgeOptions {
        drain_ms_max: 100,
        ..EdgeOptions::default()
    })
    .await;
    let _waiting = server.send(WAIT).await;
    server.expect(Event::Begun, PATIENCE).await;
    server.stop();
    server.expect(Event::Dropped, PATIENCE).await;
    let report = server.end().await;
    assert_eq!((report.drained, report.cut), (0, 1));
}

#[tokio::test]
async fn a_system_out_of_files_is_asked_ever_less_often() {
    let mut pause = AcceptPause::default();
    let mut seen_ms = Vec::new();
    for _ in 0..9 {
        pause.failed(&io::Error::from(io::ErrorKind::ConnectionAborted));
        pause.failed(&io::Error::other("too many open files"));
        seen_ms.push(pause.pause_ms);
    }
    assert_eq!(seen_ms, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    pause.accept(&listener).await;
    assert_eq!((pause.pause_ms, pause.until), (0, None));
}
