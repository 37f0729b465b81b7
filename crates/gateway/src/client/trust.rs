//! What the certificate of an engine's server is held against.

use super::error::ClientBuildError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

/// Whose word on a server's certificate counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Trust {
    /// That of the public authorities.
    Public,
    /// That of the authorities in a file, and of no others.
    Own(Authorities),
}

/// Authorities of one file as it was when it was read.
#[derive(Clone)]
pub struct Authorities {
    config: Arc<ClientConfig>,
    /// Of their certificates: a connection that one file vouched for is none that another did.
    digest: blake3::Hash,
}

impl Authorities {
    /// Reads a PEM file.
    ///
    /// # Errors
    /// It cannot be read, or holds no certificate.
    pub fn read(path: &Path) -> Result<Self, ClientBuildError> {
        let mut roots = RootCertStore::empty();
        let digest = roots_add(&mut roots, path)?;
        let config = config(roots)?;
        Ok(Self { config, digest })
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authorities").field(&self.digest).finish()
    }
}

impl PartialEq for Authorities {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Authorities {}

impl Hash for Authorities {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.as_bytes().hash(state);
    }
}

/// A client that trusts these.
pub(super) fn config(roots: RootCertStore) -> Result<Arc<ClientConfig>, ClientBuildError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientBuildError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Adds a file's certificates; gives what tells them from others.
pub(super) fn roots_add(
    roots: &mut RootCertStore,
    path: &Path,
) -> Result<blake3::Hash, ClientBuildError> {
    let fault = |reason: String| ClientBuildError::Roots {
        path: path.to_owned(),
        reason,
    };
    let certificates =
        CertificateDer::pem_file_iter(path).map_err(|error| fault(error.to_string()))?;
    let (mut count, mut digest) = (0, blake3::Hasher::new());
    for certificate in certificates {
        let certificate = certificate.map_err(|error| fault(error.to_string()))?;
        digest.update(&certificate);
        roots
            .add(certificate)
            .map_err(|error| fault(error.to_string()))?;
        count += 1;
    }
    if count == 0 {
        return Err(fault("it holds no certificate".into()));
    }
    Ok(digest.finalize())
}
