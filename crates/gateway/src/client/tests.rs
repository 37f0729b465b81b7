#[path = "../../tests/walk/harness/tls.rs"]
mod tls;

use super::*;
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n";

#[test]
fn addresses_read_back() {
    let good = |text: &str, shown: &str, target: &str, host: &str| {
        let address = EngineAddress::parse(text).unwrap();
        assert_eq!(address.to_string(), shown);
        assert_eq!(EngineAddress::parse(shown).as_ref(), Ok(&address));
        assert_eq!(
            address
                .target(&"/v1/x?y=1".parse().unwrap())
                .unwrap()
                .to_string(),
            target
        );
        assert_eq!(address.host(), host);
    };
    good(
        "http://127.0.0.1:8000",
        "http://127.0.0.1:8000",
        "/v1/x?y=1",
        "127.0.0.1:8000",
    );
    good(
        "http://127.0.0.1:8000/",
        "http://127.0.0.1:8000",
        "/v1/x?y=1",
        "127.0.0.1:8000",
    );
    good(
        "https://a.kr/b/c/",
        "https://a.kr/b/c",
        "/b/c/v1/x?y=1",
        "a.kr",
    );
    good(
        "http://[::1]:80",
        "http://[::1]:80",
        "/v1/x?y=1",
        "[::1]:80",
    );
    good("http://[::1]", "http://[::1]", "/v1/x?y=1", "[::1]");
    good(
        "unix:/run/e.sock",
        "unix:/run/e.sock",
        "/v1/x?y=1",
        "localhost",
    );
}

#[test]
fn texts_that_are_no_address_say_why() {
    let bad = |text: &str, expected: &AddressError| {
        assert_eq!(EngineAddress::parse(text).as_ref(), Err(expected), "{text}");
    };
    let host = |text: &str| AddressError::Host(text.into());
    bad("", &AddressError::Scheme);
    bad("127.0.0.1:8000", &AddressError::Scheme);
    bad("ftp://a", &AddressError::Scheme);
    bad("http://", &host(""));
    bad("http:///v1", &host(""));
    bad("http://:80", &host(":80"));
    bad("http://a:99999", &host("a:99999"));
    bad("http://a:", &host("a:"));
    bad("http://a b", &host("a b"));
    bad("http://u:p@a", &AddressError::UserInfo);
    bad("http://a/b?c", &AddressError::Query);
    bad("http://a#c", &AddressError::Query);
    bad("http://a/b c", &AddressError::Path("/b c".into()));
    bad("unix:run/e.sock", &AddressError::UnixPath);
    bad("unix:", &AddressError::UnixPath);
    bad(
        &format!("unix:/{}", "x".repeat(107)),
        &AddressError::UnixPath,
    );
}

fn client() -> EngineClient {
    EngineClient::new(ClientOptions::default()).unwrap()
}

fn post() -> Request<Vec<Bytes>> {
    Request::post("/v1/chat/completions")
        .header(HOST, "of-the-client.example")
        .body(vec![Bytes::from("{"), Bytes::new(), Bytes::from("}")])
        .unwrap()
}

/// Reads one request with a body of two bytes; `None` at the end of the connection.
async fn read_request(io: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n{}") {
        bytes.push(io.read_u8().await.ok()?);
    }
    Some(String::from_utf8(bytes).unwrap())
}

/// Answers every request on one connection and returns what came.
async fn answer_all(mut io: impl AsyncRead + AsyncWrite + Unpin) -> Vec<String> {
    let mut requests = Vec::new();
    while let Some(request) = read_request(&mut io).await {
        requests.push(request);
        io.write_all(ANSWER).await.unwrap();
    }
    requests
}

async fn listen() -> (TcpListener, EngineAddress) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    (listener, EngineAddress::parse(&address).unwrap())
}

async fn ask(client: &EngineClient, address: &EngineAddress) -> Result<Bytes, ClientError> {
    let answer = client.request(address, post()).await?;
    Ok(answer.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn requests_share_a_connection_and_name_the_engine_as_host() {
    let (listener, _) = listen().await;
    let port = listener.local_addr().unwrap().port();
    let address = EngineAddress::parse(&format!("http://localhost:{port}/base/")).unwrap();
    let engine = tokio::spawn(async move { answer_all(listener.accept().await.unwrap().0).await });
    let client = client();
    for _ in 0..3 {
        assert_eq!(ask(&client, &address).await.unwrap(), "ok");
    }
    drop(client);
    let requests = engine.await.unwrap();
    assert_eq!(requests.len(), 3);
    assert!(
        requests[0].starts_with("POST /base/v1/chat/completions HTTP/1.1\r\n"),
        "{}",
        requests[0]
    );
    assert!(
        requests[0].contains(&format!("host: localhost:{port}\r\n")),
        "{}",
        requests[0]
    );
    assert!(!requests[0].contains("of-the-client"));
}

#[tokio::test]
async fn a_unix_socket_is_asked_like_any_engine() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let address = EngineAddress::unix(&path).unwrap();
    let engine = tokio::spawn(async move { answer_all(listener.accept().await.unwrap().0).await });
    let client = client();
    assert_eq!(ask(&client, &address).await.unwrap(), "ok");
    drop(client);
    assert!(engine.await.unwrap()[0].contains("host: localhost\r\n"));
    drop(folder);
    let error = ask(
        &EngineClient::new(ClientOptions::default()).unwrap(),
        &address,
    )
    .await
    .unwrap_err();
    assert_eq!(
        (error.kind, error.reached),
        (ClientErrorKind::Connect, false),
        "{error}"
    );
}

/// An engine that speaks TLS with the test's certificate.
async fn tls_engine() -> (tokio::task::JoinHandle<()>, EngineAddress) {
    let acceptor = tls::tls_acceptor();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    let engine = tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            if let Ok(tls) = acceptor.accept(tcp).await {
                answer_all(tls).await;
            }
        }
    });
    (engine, EngineAddress::parse(&address).unwrap())
}

#[tokio::test]
async fn tls_is_spoken_with_engines_whose_root_is_trusted() {
    let (engine, address) = tls_engine().await;
    let roots = tls::testdata("ca.pem");
    let trusting = EngineClient::new(ClientOptions {
        roots_file: Some(roots),
        ..ClientOptions::default()
    })
    .unwrap();
    assert_eq!(ask(&trusting, &address).await.unwrap(), "ok");
    drop(trusting);
    let error = ask(&client(), &address).await.unwrap_err();
    assert_eq!(
        (error.kind, error.reached),
        (ClientErrorKind::Tls, false),
        "{error}"
    );
    assert!(error.message.contains("UnknownIssuer"), "{error}");
    engine.abort();
}

#[tokio::test]
async fn a_file_without_certificates_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("roots.pem");
    let build = || {
        EngineClient::new(ClientOptions {
            roots_file: Some(path.clone()),
            ..ClientOptions::default()
        })
    };
    assert!(build().is_err());
    std::fs::write(&path, "nothing").unwrap();
    assert!(build().unwrap_err().to_string().contains("no certificate"));
}

#[tokio::test]
async fn a_port_where_nobody_listens_was_not_reached() {
    let (listener, address) = listen().await;
    drop(listener);
    let error = ask(&client(), &address).await.unwrap_err();
    assert_eq!(
        (error.kind, error.reached),
        (ClientErrorKind::Connect, false),
        "{error}"
    );
    assert!(error.message.contains("refused"), "{error}");
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_a_connect_timeout() {
    let (listener, address) = listen().await;
    let address = EngineAddress::parse(&address.to_string().replace("http", "https")).unwrap();
    let options = ClientOptions {
        connect_ms_max: 50,
        ..ClientOptions::default()
    };
    let error = ask(&EngineClient::new(options).unwrap(), &address)
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind, error.reached),
        (ClientErrorKind::ConnectTimeout, false),
        "{error}"
    );
    assert!(error.message.contains("50 ms"), "{error}");
    drop(listener);
}

#[tokio::test]
async fn an_engine_that_closes_early_may_have_seen_the_request() {
    let (listener, address) = listen().await;
    let engine = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        read_request(&mut first).await.unwrap();
        drop(first);
        let (mut second, _) = listener.accept().await.unwrap();
        read_request(&mut second).await.unwrap();
        second.write_all(ANSWER).await.unwrap();
        read_request(&mut second).await.unwrap();
        drop(second);
        let (mut third, _) = listener.accept().await.unwrap();
        read_request(&mut third).await.unwrap();
        third.write_all(b"what is HTTP?\r\n\r\n").await.unwrap();
    });
    let client = client();
    let fresh = ask(&client, &address).await.unwrap_err();
    assert_eq!(
        (fresh.kind, fresh.reached, fresh.reused),
        (ClientErrorKind::ClosedBeforeAnswer, true, false),
        "{fresh}"
    );
    assert_eq!(ask(&client, &address).await.unwrap(), "ok");
    let reused = ask(&client, &address).await.unwrap_err();
    assert_eq!(
        (reused.kind, reused.reached, reused.reused),
        (ClientErrorKind::ClosedBeforeAnswer, true, true),
        "{reused}"
    );
    let babble = ask(&client, &address).await.unwrap_err();
    assert_eq!(
        (babble.kind, babble.reached),
        (ClientErrorKind::Other, true),
        "{babble}"
    );
    engine.await.unwrap();
}

#[tokio::test]
async fn a_dropped_answer_or_request_closes_the_connection() {
    let (listener, address) = listen().await;
    let engine = tokio::spawn(async move {
        let mut ends = Vec::new();
        for answer in [STREAM, b""] {
            let (mut io, _) = listener.accept().await.unwrap();
            read_request(&mut io).await.unwrap();
            io.write_all(answer).await.unwrap();
            ends.push(io.read(&mut [0; 1]).await.unwrap_or(0));
        }
        ends
    });
    let client = client();
    let mut answer = client.request(&address, post()).await.unwrap();
    let frame = answer.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "one");
    drop(answer);
    let waiting = client.request(&address, post());
    assert!(
        tokio::time::timeout(Duration::from_millis(200), waiting)
            .await
            .is_err()
    );
    let ends = tokio::time::timeout(Duration::from_secs(3), engine).await;
    assert_eq!(ends.expect("both connections end at once").unwrap(), [0, 0]);
}
