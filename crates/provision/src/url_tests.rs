//! Downloads from a real server on loopback that behaves in a chosen way, well and badly.

use super::*;
use crate::progress::Quiet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const LIMITS: UrlLimits = UrlLimits {
    connect: Duration::from_millis(700),
    idle: Duration::from_millis(300),
    redirects_max: 3,
    fruitless_max: 2,
    connections_max: 20,
};

/// How the server answers; `usize` is the number of the connection, from 0.
#[derive(Clone, Copy)]
enum Manner {
    /// The whole file.
    Whole,
    /// The whole file, honouring `Range`.
    Ranges,
    /// Honours `Range`, and closes each connection after a third of the file.
    Cuts,
    /// Closes after a third, and knows no `Range`.
    CutsAlways,
    /// Sends a third, then nothing.
    Stalls,
    /// Answers nothing.
    Mute,
    /// This status.
    Status(u16),
    /// Redirects to `/next` for ever.
    Loop,
    /// Redirects twice by relative addresses, then the whole file.
    Redirects,
    /// Sends more than it should, without saying how much.
    Endless,
}

fn content() -> Vec<u8> {
    (0..90_000u32).flat_map(|n| n.to_le_bytes()).collect()
}

/// Starts the server; gives its address and the count of connections.
async fn server(manner: Manner) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(answer(stream, manner));
        }
    });
    (format!("http://{address}/models/a.gguf"), count)
}

async fn answer(mut stream: TcpStream, manner: Manner) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else {
            return;
        };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let range = head
        .split("range: bytes=")
        .nth(1)
        .map(|rest| rest.split('-').next().unwrap().parse::<usize>().unwrap());
    let all = content();
    let third = all.len() / 3;
    let from = range
        .filter(|_| matches!(manner, Manner::Ranges | Manner::Cuts))
        .unwrap_or(0);
    let body = &all[from..];
    let ok = match from {
        0 => format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            all.len()
        ),
        _ => format!(
            "HTTP/1.1 206 Partial Content\r\nconnection: close\r\ncontent-length: {}\r\ncontent-range: bytes {from}-{}/{}\r\n\r\n",
            body.len(),
            all.len() - 1,
            all.len()
        ),
    };
    let redirect = |to: &str| {
        format!(
            "HTTP/1.1 302 Found\r\nconnection: close\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"
        )
    };
    let (head, body) = match manner {
        Manner::Whole | Manner::Ranges => (ok, body),
        Manner::Cuts | Manner::CutsAlways | Manner::Stalls => (ok, &body[..third.min(body.len())]),
        Manner::Mute => (String::new(), &body[..0]),
        Manner::Status(code) => (
            format!("HTTP/1.1 {code} X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"),
            &body[..0],
        ),
        Manner::Loop => (redirect("/next"), &body[..0]),
        Manner::Redirects if path == "/models/a.gguf" => {
            (redirect("b.gguf?signature=1"), &body[..0])
        }
        Manner::Redirects if path == "/models/b.gguf?signature=1" => (redirect("/c"), &body[..0]),
        Manner::Redirects => (ok, body),
        Manner::Endless => (
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_owned(),
            body,
        ),
    };
    if stream.write_all(head.as_bytes()).await.is_err() || stream.write_all(body).await.is_err() {
        return;
    }
    match manner {
        Manner::Stalls | Manner::Mute => {
            // Open until the client gives up.
            stream.read_u8().await.unwrap_or_default();
        }
        Manner::Endless => while stream.write_all(body).await.is_ok() {},
        _ => {}
    }
}

struct Outcome {
    result: Result<(), FailureKind>,
    /// Bytes at the partial path afterwards.
    left: u64,
    connections: usize,
}

async fn run(manner: Manner, before: &[u8], bytes: Option<u64>, sha256: &str) -> Outcome {
    let (url, connections) = server(manner).await;
    let folder = tempfile::tempdir().unwrap();
    let partial = folder.path().join("partial");
    if !before.is_empty() {
        std::fs::write(&partial, before).unwrap();
    }
    let wanted = Wanted {
        url: &url,
        sha256,
        bytes,
        limits: &LIMITS,
        progress: &Quiet,
    };
    let result = download(&wanted, &partial).await;
    if result.is_ok() {
        assert_eq!(std::fs::read(&partial).unwrap(), content());
    }
    let connections = connections.load(Ordering::SeqCst);
    Outcome {
        result: result.map_err(|failure| failure.kind),
        left: length(&partial),
        connections,
    }
}

async fn check(
    manner: Manner,
    before: &[u8],
    expected: Result<(), FailureKind>,
    left: u64,
) -> usize {
    let all = content();
    let outcome = run(
        manner,
        before,
        Some(all.len() as u64),
        &digest::of_bytes(&all),
    )
    .await;
    assert_eq!(outcome.result, expected);
    assert_eq!(outcome.left, left);
    outcome.connections
}

const ALL: u64 = 360_000;

#[tokio::test]
async fn whole_files_arrive() {
    assert_eq!(check(Manner::Whole, b"", Ok(()), ALL).await, 1);
    assert_eq!(check(Manner::Redirects, b"", Ok(()), ALL).await, 3);
}

#[tokio::test]
async fn a_part_is_resumed_where_the_server_can() {
    assert_eq!(
        check(Manner::Ranges, &content()[..1000], Ok(()), ALL).await,
        1
    );
    assert_eq!(
        check(Manner::Whole, &content()[..1000], Ok(()), ALL).await,
        1
    );
    assert_eq!(check(Manner::Cuts, b"", Ok(()), ALL).await, 3);
}

#[tokio::test]
async fn a_whole_part_needs_no_server() {
    assert_eq!(check(Manner::Status(500), &content(), Ok(()), ALL).await, 0);
}

#[tokio::test]
async fn a_part_of_another_file_is_thrown_away() {
    assert_eq!(
        check(Manner::Ranges, b"something else", Ok(()), ALL).await,
        2
    );
    assert_eq!(
        check(Manner::Ranges, &vec![7; 400_000], Ok(()), ALL).await,
        1
    );
}

#[tokio::test]
async fn a_refusal_is_told_and_leaves_nothing() {
    check(Manner::Status(404), b"", Err(FailureKind::NotFound), 0).await;
    check(Manner::Status(403), b"", Err(FailureKind::Refused), 0).await;
    check(Manner::Status(416), b"", Err(FailureKind::Refused), 0).await;
    assert_eq!(
        check(Manner::Loop, b"", Err(FailureKind::Redirected), 0).await,
        4
    );
    check(Manner::Endless, b"", Err(FailureKind::WrongSize), 0).await;
}

#[tokio::test]
async fn silence_ends_in_time_and_what_came_stays() {
    check(Manner::Mute, b"", Err(FailureKind::Stalled), 0).await;
    check(Manner::Stalls, b"", Err(FailureKind::Stalled), ALL / 3).await;
    check(Manner::CutsAlways, b"", Err(FailureKind::Cut), ALL / 3).await;
}

#[tokio::test]
async fn wrong_bytes_are_refused_and_removed() {
    let all = content();
    let outcome = run(Manner::Whole, b"", Some(ALL), &digest::of_bytes(b"other")).await;
    assert_eq!(
        (outcome.result, outcome.left),
        (Err(FailureKind::WrongDigest), 0)
    );
    let outcome = run(Manner::Whole, b"", None, &digest::of_bytes(b"other")).await;
    assert_eq!(
        (outcome.result, outcome.left),
        (Err(FailureKind::WrongDigest), 0)
    );
    let outcome = run(Manner::Whole, b"", Some(5), &digest::of_bytes(&all)).await;
    assert_eq!(
        (outcome.result, outcome.left),
        (Err(FailureKind::WrongSize), 0)
    );
}

#[tokio::test]
async fn nobody_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a", listener.local_addr().unwrap());
    drop(listener);
    let folder = tempfile::tempdir().unwrap();
    let wanted = Wanted {
        url: &url,
        sha256: &digest::of_bytes(b""),
        bytes: Some(1),
        limits: &LIMITS,
        progress: &Quiet,
    };
    let failure = download(&wanted, &folder.path().join("partial"))
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Offline, "{failure}");
    let wanted = Wanted {
        url: "ftp://host/a",
        ..wanted
    };
    let failure = download(&wanted, &folder.path().join("partial"))
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Redirected, "{failure}");
}

#[test]
fn relative_addresses_are_resolved() {
    let base: Uri = "https://hub.example/a/b?x=1".parse().unwrap();
    for (target, expected) in [
        ("http://x/y", "http://x/y"),
        ("//cdn.example/z", "https://cdn.example/z"),
        ("/c", "https://hub.example/c"),
        ("c", "https://hub.example/a/c"),
        ("", "https://hub.example/a/"),
    ] {
        assert_eq!(resolve(&base, target), expected);
    }
}
