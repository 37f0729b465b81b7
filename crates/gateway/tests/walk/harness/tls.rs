//! TLS as the test's certificate authority vouches for it, for `localhost`.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// A file of the test's certificates: `ca.pem`, `engine.pem`, `engine.key`.
pub fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/client/testdata")
        .join(name)
}

/// The server's side.
pub fn tls_acceptor() -> TlsAcceptor {
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
