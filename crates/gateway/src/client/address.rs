//! Where an engine listens: `http://…`, `https://…` or `unix:/…`.

use super::trust::{Authorities, Trust};
use http::header::HeaderValue;
use http::uri::{Authority, PathAndQuery, Uri};
use madang_types::text::hex;
use std::fmt;
use std::path::{Path, PathBuf};

/// Longest path of a unix socket on Linux, without the closing zero.
const UNIX_PATH_BYTES_MAX: usize = 107;

/// Why a text is not an engine's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither of the three schemes.
    #[error("an engine's address begins with http://, https:// or unix:/")]
    Scheme,
    /// No host, or one that is not well formed.
    #[error("'{0}' is not a host, or host and port")]
    Host(String),
    /// A name and password before the host.
    #[error("an engine's address holds no user name or password: use a key file")]
    UserInfo,
    /// A query or a fragment behind the path.
    #[error("an engine's address ends with its path: no '?' and no '#'")]
    Query,
    /// The path holds characters that must be escaped.
    #[error("'{0}' is not a path")]
    Path(String),
    /// A relative path, or one that the system would cut.
    #[error("a unix socket's path is absolute and has at most {UNIX_PATH_BYTES_MAX} bytes")]
    UnixPath,
}

/// Where an engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineAddress {
    /// A TCP port, with or without TLS.
    Tcp {
        /// Whose word counts where TLS is spoken.
        tls: Option<Trust>,
        /// Host and port.
        authority: Authority,
        /// What stands before every path: empty, or `/…` without a slash at its end.
        base: String,
        /// The `host` header.
        host: HeaderValue,
    },
    /// A unix socket.
    Unix {
        /// Its absolute path.
        path: PathBuf,
        /// The path in hexadecimal digits: what stands for it in the pool.
        authority: Authority,
    },
}

static LOCALHOST: HeaderValue = HeaderValue::from_static("localhost");

impl EngineAddress {
    /// Reads an address. A slash at the end changes nothing.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Self::unix(Path::new(path));
        }
        let (tls, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (None, rest),
            (None, Some(rest)) => (Some(Trust::Public), rest),
            (None, None) => return Err(AddressError::Scheme),
        };
        if rest.contains(['?', '#']) {
            return Err(AddressError::Query);
        }
        let (host, base) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        if host.contains('@') {
            return Err(AddressError::UserInfo);
        }
        let host_error = || AddressError::Host(host.to_owned());
        let authority: Authority = host.parse().map_err(|_| host_error())?;
        // `host:` without digits and a port beyond 65535 parse as an authority without a port.
        let port_sound = authority.port_u16().is_some() || !has_port(host);
        if authority.host().is_empty() || !port_sound {
            return Err(host_error());
        }
        let base = base.trim_end_matches('/');
        if !base.is_empty() && base.parse::<PathAndQuery>().is_err() {
            return Err(AddressError::Path(base.to_owned()));
        }
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| host_error())?;
        Ok(Self::Tcp {
            tls,
            authority,
            base: base.to_owned(),
            host,
        })
    }

    /// The same, where the server's certificate is held against these alone. Without TLS there is none.
    pub fn trusting(mut self, authorities: Authorities) -> Self {
        if let Self::Tcp { tls: Some(tls), .. } = &mut self {
            *tls = Trust::Own(authorities);
        }
        self
    }

    /// The address of a unix socket.
    ///
    /// # Errors
    /// Where the path is relative, too long or not UTF-8.
    pub fn unix(path: &Path) -> Result<Self, AddressError> {
        let text = path.to_str().ok_or(AddressError::UnixPath)?;
        let authority = hex(text.as_bytes())
            .parse()
            .map_err(|_| AddressError::UnixPath)?;
        if path.is_absolute() && text.len() <= UNIX_PATH_BYTES_MAX && !text.contains('\0') {
            Ok(Self::Unix {
                path: path.to_owned(),
                authority,
            })
        } else {
            Err(AddressError::UnixPath)
        }
    }

    /// The `host` header for this engine.
    pub(super) fn host(&self) -> &HeaderValue {
        match self {
            Self::Tcp { host, .. } => host,
            Self::Unix { .. } => &LOCALHOST,
        }
    }

    /// What is resolved and connected to; of a unix socket nothing is.
    pub(crate) fn host_and_port(&self) -> (&str, u16) {
        let Self::Tcp { tls, authority, .. } = self else {
            return ("", 0);
        };
        let host = authority.host();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16();
        (host, port.unwrap_or(if tls.is_some() { 443 } else { 80 }))
    }

    /// What a request to `target` asks the engine for: the base path and then `target`'s path and query.
    pub(super) fn target(&self, target: &Uri) -> Result<Uri, http::Error> {
        let path = target.path_and_query();
        let base = match self {
            Self::Tcp { base, .. } => base.as_str(),
            Self::Unix { .. } => "",
        };
        let whole = match path {
            Some(path) if base.is_empty() => path.clone(),
            _ => format!("{base}{}", path.map_or("/", PathAndQuery::as_str)).parse()?,
        };
        Ok(Uri::from(whole))
    }
}

/// Whether a colon for a port follows the host (the colons of `[::1]` are none).
fn has_port(text: &str) -> bool {
    let behind_bracket = text.rfind(']').map_or(0, |at| at + 1);
    text[behind_bracket..].contains(':')
}

impl fmt::Display for EngineAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp {
                tls,
                authority,
                base,
                ..
            } => {
                let scheme = if tls.is_some() { "https" } else { "http" };
                write!(f, "{scheme}://{authority}{base}")
            }
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}
