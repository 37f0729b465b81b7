//! TLS before a server: the test's own certificate for `localhost`, and the real server behind it.

use super::{refusal, url};
use madang_store::conformance::sample::plain;
use madang_store::{PostgresOptions, PostgresStore, Store};
use madang_testkit::Postgres;
use madang_types::Micros;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;

/// What a client sends first to ask for TLS (PostgreSQL's manual, "Message Formats": SSLRequest).
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../gateway/src/client/testdata")
        .join(name)
}

fn acceptor() -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(testdata("engine.pem")).unwrap()],
            PrivateKeyDer::from_pem_file(testdata("engine.key")).unwrap(),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Speaks TLS where it is asked to, and hands the rest to the server's socket.
async fn serve(mut client: TcpStream, socket: PathBuf, answer: u8) -> std::io::Result<()> {
    let mut first = [0; 8];
    client.read_exact(&mut first).await?;
    assert_eq!(first, SSL_REQUEST, "nothing is said in the open");
    client.write_all(&[answer]).await?;
    let mut client = acceptor().accept(client).await?;
    let mut server = UnixStream::connect(socket).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_believed_by_its_certificate_alone() {
    let server = Postgres::shared().unwrap();
    let database = server.database().unwrap();
    let socket = server.socket().unwrap().join(".s.PGSQL.5432");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(serve(client, socket.clone(), b'S'));
        }
    });
    let plain_options = PostgresOptions::default();
    let at = |host: &str, more: &str| {
        format!(
            "postgres://madang@{host}:{port}/{}?sslmode={more}",
            database.name()
        )
    };
    let ours = format!("verify-full&sslrootcert={}", testdata("ca.pem").display());
    let trusted = at("localhost", &ours);
    let strangers = [
        at("localhost", "verify-full"),
        at("elsewhere.kr", &format!("{ours}&hostaddr=127.0.0.1")),
        at("localhost", "require"),
    ];
    tokio::task::spawn_blocking(move || {
        for stranger in strangers {
            let refused = refusal(&stranger, &plain_options);
            assert!(refused.contains("certificate"), "{refused}");
        }
    })
    .await
    .unwrap();
    let open = move || PostgresStore::open(&url(&trusted), &PostgresOptions::default()).unwrap();
    let store = tokio::task::spawn_blocking(open).await.unwrap();
    store
        .usage_append(plain(1, Micros(1)).unwrap())
        .await
        .unwrap();
    let record = store.usage_get(madang_types::RequestId(1)).await.unwrap();
    assert_eq!(record, Some(plain(1, Micros(1)).unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_is_not_spoken_to_in_the_open() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        // 'N': no TLS here. The client hangs up.
        serve(client, PathBuf::new(), b'N')
            .await
            .map_err(|e| e.kind())
    });
    let at = format!("postgres://madang:s3cret@localhost:{port}/m?sslmode=require");
    let refused = tokio::task::spawn_blocking(move || refusal(&at, &PostgresOptions::default()));
    let refused = refused.await.unwrap();
    assert!(refused.contains("server does not support TLS"), "{refused}");
    assert!(served.await.unwrap().is_err());
}
