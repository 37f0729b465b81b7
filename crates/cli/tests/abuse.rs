//! Clients without manners against the real binary with small limits: closed in time, memory bounded, files given back.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::fleet::{fleet, url_replica};
use harness::{Madang, Place, chat_body, process, wait_for};
use madang_testkit::{FakeEngine, FakeEngineOptions, RawClient, RawEnd, http_post_json};
use std::time::Duration;
use tokio::task::JoinSet;

const LIMITS: &str = "
[limits]
connections_max = 4096
header_bytes_max = 4096
header_read_ms_max = 1000
body_bytes_max = 65536
body_read_ms_max = 1000
client_stall_ms_max = 1000
";
/// Longest wait for a close that is due after a second.
const CLOSE_MAX: Duration = Duration::from_secs(60);
/// Far more than a server may take before it closes, even where it throws the bytes away.
const ENDLESS_BYTES: usize = 1 << 30;
/// More than any of these tests may cost.
const GROWTH_KIB_MAX: u64 = 96 * 1024;

struct Site {
    _place: Place,
    _engine: FakeEngine,
    madang: Madang,
    resident_kib: u64,
    files_open: usize,
}

impl Site {
    async fn start() -> Self {
        Self::start_with(LIMITS).await
    }

    async fn start_with(limits: &str) -> Self {
        let place = Place::new();
        let engine = FakeEngine::start(FakeEngineOptions::default()).await;
        let madang = place
            .up(&format!(
                "{}{limits}",
                fleet(&[url_replica("a", engine.url())])
            ))
            .await;
        assert_eq!(madang.chat().await.unwrap().status, 200);
        let (resident_kib, files_open) = (
            process::resident_kib(madang.pid),
            process::files_open(madang.pid),
        );
        Self {
            _place: place,
            _engine: engine,
            madang,
            resident_kib,
            files_open,
        }
    }

    async fn connect(&self) -> RawClient {
        RawClient::connect(&self.madang.url).await.unwrap()
    }

    /// The head of a chat request with a body of this length.
    fn head(&self, length: usize) -> String {
        let key = &self.madang.key;
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: Bearer {key}\r\ncontent-length: {length}\r\n\r\n"
        )
    }

    /// It serves still, its memory is bounded, and its files come back.
    async fn expect_well(mut self) {
        assert_eq!(
            self.madang.chat().await.unwrap().status,
            200,
            "a normal request works"
        );
        let grown = process::resident_kib(self.madang.pid).saturating_sub(self.resident_kib);
        assert!(grown < GROWTH_KIB_MAX, "it grew by {grown} KiB");
        let pid = self.madang.pid;
        wait_for("files are given back", async || {
            (process::files_open(pid) <= self.files_open + 8).then_some(())
        })
        .await;
        assert_eq!(self.madang.stop().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_idle_connections_hold_nobody_up() {
    let site = Site::start().await;
    let mut idle = Vec::new();
    for _ in 0..2000 {
        idle.push(site.connect().await);
    }
    assert_eq!(
        site.madang.chat().await.unwrap().status,
        200,
        "beside idle connections"
    );
    let mut closes = JoinSet::new();
    for mut client in idle {
        closes.spawn(async move { client.read_to_close(CLOSE_MAX).await.end });
    }
    assert!(
        closes
            .join_all()
            .await
            .iter()
            .all(|end| *end != RawEnd::Open),
        "each is closed in time"
    );
    site.expect_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_endless_heads_are_closed() {
    let site = Site::start().await;
    let mut clients = JoinSet::new();
    for n in 0..200 {
        let mut client = site.connect().await;
        let head = site.head(10);
        clients.spawn(async move {
            match n % 4 {
                // Nothing, and the sending half closed.
                0 => client.close_sending().await.unwrap(),
                // A byte now and then.
                1 => {
                    client
                        .send_slowly(head.as_bytes(), 1, Duration::from_millis(100))
                        .await;
                }
                // Headers without end.
                2 => {
                    client.send(b"GET / HTTP/1.1\r\n").await.unwrap();
                    let sent = client
                        .send_endlessly(b"x-header: 0123456789abcdef\r\n", ENDLESS_BYTES)
                        .await;
                    assert!(sent < ENDLESS_BYTES, "{sent} bytes of headers were taken");
                }
                // One header without end.
                _ => {
                    client.send(b"GET / HTTP/1.1\r\nx-long: ").await.unwrap();
                    let sent = client.send_endlessly(&[b'a'; 1024], ENDLESS_BYTES).await;
                    assert!(sent < ENDLESS_BYTES, "{sent} bytes of a header were taken");
                }
            }
            client.read_to_close(CLOSE_MAX).await
        });
    }
    for read in clients.join_all().await {
        assert_ne!(read.end, RawEnd::Open, "{}", read.text());
        assert!(
            matches!(read.status(), None | Some(400 | 408 | 431)),
            "{}",
            read.text()
        );
    }
    site.expect_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_short_and_endless_bodies_are_refused() {
    let site = Site::start().await;
    let mut clients = JoinSet::new();
    for n in 0..60 {
        let mut client = site.connect().await;
        let (head, chunked) = (
            site.head(1000),
            site.head(0)
                .replace("content-length: 0", "transfer-encoding: chunked"),
        );
        clients.spawn(async move {
            match n % 3 {
                // The body never comes.
                0 => client.send(head.as_bytes()).await.unwrap(),
                // A byte now and then.
                1 => {
                    client.send(head.as_bytes()).await.unwrap();
                    client
                        .send_slowly(&[b' '; 1000], 1, Duration::from_millis(100))
                        .await;
                }
                // Chunks without end, far beyond body_bytes_max.
                _ => {
                    client.send(chunked.as_bytes()).await.unwrap();
                    let chunk = [b"400\r\n".as_slice(), &[b' '; 1024], b"\r\n"].concat();
                    let sent = client.send_endlessly(&chunk, ENDLESS_BYTES).await;
                    assert!(sent < ENDLESS_BYTES, "{sent} bytes of a body were taken");
                }
            }
            (n % 3, client.read_to_close(CLOSE_MAX).await)
        });
    }
    for (kind, read) in clients.join_all().await {
        assert_ne!(read.end, RawEnd::Open, "{kind}: {}", read.text());
        assert!(
            matches!(read.status(), None | Some(408 | 413)),
            "{kind}: {}",
            read.text()
        );
    }
    site.expect_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_take_nothing_of_a_stream_are_cut() {
    let site = Site::start().await;
    let mut clients = JoinSet::new();
    for _ in 0..6 {
        let mut client = site.connect().await;
        let body = chat_body("fake-behaviour=endless", 1000, true);
        let head = site.head(body.len());
        clients.spawn(async move {
            client
                .send(format!("{head}{body}").as_bytes())
                .await
                .unwrap();
            client
        });
    }
    let held = clients.join_all().await;
    wait_for("they run", async || {
        (site._engine.in_flight() >= 6).then_some(())
    })
    .await;
    wait_for("the engine's slots are free again", async || {
        (site._engine.in_flight() == 0).then_some(())
    })
    .await;
    wait_for("the gateway counts none", async || {
        let running = site.madang.gauge("madang_requests_running{").await;
        (running == 0).then_some(())
    })
    .await;
    drop(held);
    site.expect_well().await;
}

/// No time limit that a busy machine could meet before a cap.
const CAPS: &str = "
[limits]
header_bytes_max = 4096
header_read_ms_max = 60000
body_bytes_max = 65536
body_read_ms_max = 60000
client_stall_ms_max = 60000
json_depth_max = 32
messages_max = 64
fetch_count_max = 4
answer_bytes_max = 131072
stream_bytes_max = 131072
";
/// Clients of each kind at once.
const CLIENTS: u64 = 16;
/// What each may cost: a body, an answer, and what is made of them.
const CONNECTION_KIB_MAX: u64 = 512;

/// Bodies as large as they may be, with too much of one thing or a call for it; what answers each.
fn too_much() -> Vec<(String, u16, &'static str)> {
    let many = |one: &str| vec![one; 60_000 / (one.len() + 1)].join(",");
    let with = |messages: &str| format!("{{\"model\":\"m\",\"messages\":[{messages}]}}");
    let image = r#"{"type":"image_url","image_url":{"url":"https://192.0.2.1/a.png"}}"#;
    let images = format!("{{\"role\":\"user\",\"content\":[{}]}}", many(image));
    let endless = |stream| chat_body("fake-behaviour=endless", 1_000_000, stream);
    vec![
        (with(&"[".repeat(60_000)), 400, "body_too_deep"),
        (
            with(&many(r#"{"role":"user","content":"a"}"#)),
            400,
            "limits.messages_max",
        ),
        (with(&images), 400, "limits.fetch_count_max"),
        (endless(false), 502, "answer_too_large"),
        (endless(true), 200, "answer_too_large"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_18_whatever_is_sent_a_connection_costs_no_more_than_its_bound() {
    let site = Site::start_with(CAPS).await;
    let mut clients = JoinSet::new();
    for (body, status, named) in too_much() {
        for _ in 0..CLIENTS {
            let (mut client, request) = (site.connect().await, site.head(body.len()) + &body);
            clients.spawn(async move {
                client.send(request.as_bytes()).await.unwrap();
                let read = client.read_until(named.as_bytes(), CLOSE_MAX).await;
                let told = read.text();
                assert_eq!(read.status(), Some(status), "{named}: {told}");
                assert!(told.contains(named), "{named}: {told}");
            });
        }
    }
    // Whole heads and bodies without end, as fast as they go.
    let line = [b"x: ".as_slice(), &[b'a'; 1024], b"\r\n"].concat();
    let begun = "GET / HTTP/1.1\r\n".to_owned();
    let endless = [
        (begun, line, 431),
        (site.head(1 << 40), vec![b' '; 4096], 413),
    ];
    for (head, piece, status) in endless {
        for _ in 0..CLIENTS {
            let (mut client, head, piece) = (site.connect().await, head.clone(), piece.clone());
            clients.spawn(async move {
                client.send(head.as_bytes()).await.unwrap();
                let sent = client.send_endlessly(&piece, ENDLESS_BYTES).await;
                assert!(sent < ENDLESS_BYTES, "{status}: {sent} bytes were taken");
                let read = client.read_to_close(CLOSE_MAX).await;
                assert_ne!(read.end, RawEnd::Open, "{status}");
                let told = read.status();
                assert!(told.is_none() || told == Some(status), "{}", read.text());
            });
        }
    }
    let count = clients.len() as u64;
    clients.join_all().await;
    let grown = process::peak_kib(site.madang.pid).saturating_sub(site.resident_kib);
    assert!(
        grown <= count * CONNECTION_KIB_MAX,
        "{count} connections cost {grown} KiB"
    );
    println!("{count} connections cost {grown} KiB at most");
    site.expect_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_make_no_sense_name_the_field() {
    let site = Site::start().await;
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let large = chat_body(&"x".repeat(70_000), 4, false);
    let cases: &[(&str, u16, &str)] = &[
        ("", 400, ""),
        ("not json", 400, ""),
        ("[]", 400, ""),
        ("{\"model\":\"m\"}", 400, "messages"),
        ("{\"messages\":[]}", 400, "model"),
        ("{\"model\":7,\"messages\":[]}", 400, "model"),
        ("{\"model\":\"mm\",\"messages\":[]}", 404, "model"),
        (
            "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":\"yes\"}",
            400,
            "stream",
        ),
        (&format!("{{\"model\":\"m\",\"messages\":{deep}}}"), 400, ""),
        (&large, 413, ""),
    ];
    for (body, status, field) in cases {
        let url = site.madang.at("/v1/chat/completions");
        let answer = http_post_json(&url, Some(&site.madang.key), (*body).to_owned())
            .await
            .unwrap();
        let shown: String = body.chars().take(80).collect();
        assert_eq!(answer.status, *status, "{shown}: {}", answer.text());
        let error = &answer.json().unwrap()["error"];
        assert!(
            error["code"].is_string() && error["message"].is_string(),
            "{shown}: {}",
            answer.text()
        );
        let said = format!("{}{}", error["param"], error["message"]);
        assert!(said.contains(field), "{shown}: {}", answer.text());
    }
    site.expect_well().await;
}
