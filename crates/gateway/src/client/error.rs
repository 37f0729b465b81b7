//! What can go wrong on the way to an engine, whose fault it is, and whether the request may be sent again.

use super::http1::NotHttp;
use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientBuildError {
    /// The file with trusted certificates is of no use.
    #[error("cannot read trusted certificates from {}: {reason}", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The TLS library refused its configuration.
    #[error("cannot set up tls: {0}")]
    Tls(String),
}

/// Why no connection was made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectFailure {
    #[error("no connection within {0} ms")]
    Timeout(u128),
    #[error("tls: {0}")]
    Tls(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Why an open connection gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpFailure {
    #[error("the engine closed the connection before its answer's headers were complete")]
    Ended,
    #[error("the connection broke: {0}")]
    Io(io::Error),
    #[error(transparent)]
    NotHttp(#[from] NotHttp),
}

/// The stage at which a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientErrorKind {
    /// No connection: refused, unreachable, no such name or socket.
    Connect,
    /// No connection within `connect_ms_max`.
    ConnectTimeout,
    /// The TLS handshake failed: a certificate that is not trusted, or no TLS on that port.
    Tls,
    /// The engine closed the connection before its answer's headers were complete.
    ClosedBeforeAnswer,
    /// Anything else, such as an answer that is not HTTP.
    Other,
}

/// A request that got no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ClientError {
    /// The stage.
    pub kind: ClientErrorKind,
    /// What happened, in words for the operator. Never holds content.
    pub message: String,
    /// Whether the engine may have seen bytes of the request. Where false, sending it again is safe.
    pub reached: bool,
    /// Whether the connection had carried an answer before. With `ClosedBeforeAnswer` the likely cause then is an
    /// engine that closed an idle connection just as it was used.
    pub reused: bool,
}

impl ClientError {
    pub(super) fn uri(error: http::Error) -> Self {
        Self {
            kind: ClientErrorKind::Other,
            message: format!("the request's path does not fit the engine's address: {error}"),
            reached: false,
            reused: false,
        }
    }

    pub(super) fn connect(failure: &ConnectFailure) -> Self {
        let kind = match failure {
            ConnectFailure::Timeout(_) => ClientErrorKind::ConnectTimeout,
            ConnectFailure::Tls(_) => ClientErrorKind::Tls,
            ConnectFailure::Io(_) => ClientErrorKind::Connect,
        };
        Self {
            kind,
            message: Causes(failure).to_string(),
            reached: false,
            reused: false,
        }
    }

    /// `sent` tells whether the engine may have seen bytes of the request.
    pub(super) fn http(failure: &HttpFailure, sent: bool, reused: bool) -> Self {
        let kind = match failure {
            HttpFailure::Ended | HttpFailure::Io(_) => ClientErrorKind::ClosedBeforeAnswer,
            HttpFailure::NotHttp(_) => ClientErrorKind::Other,
        };
        Self {
            kind,
            message: Causes(failure).to_string(),
            reached: sent,
            reused,
        }
    }
}

/// An error with its causes.
struct Causes<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut error = self.0;
        fmt::Display::fmt(error, f)?;
        let mut said = error.to_string();
        while let Some(cause) = error.source() {
            let text = cause.to_string();
            if !said.contains(&text) {
                write!(f, ": {text}")?;
                said = text;
            }
            error = cause;
        }
        Ok(())
    }
}
