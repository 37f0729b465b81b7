//! Where a launched engine listens: a free port of the loopback address, or a unix socket.

use crate::spec::LaunchError;
use madang_types::ReplicaId;
use std::fmt;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

/// The longest path of a unix socket, in bytes (`sun_path` holds 108 with its end mark).
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Where an engine listens. Never beyond the loopback address: engines have no keys of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineAddress {
    /// A TCP port on 127.0.0.1.
    Port(u16),
    /// A unix socket.
    Socket(PathBuf),
}

impl EngineAddress {
    /// A port of 127.0.0.1 that was free a moment ago. Another process may take it before the engine
    /// does; then the engine ends at start and the next start picks another. Prefer a socket.
    ///
    /// # Errors
    /// [`LaunchError::Port`] where the system has no free port.
    pub fn free_port() -> Result<Self, LaunchError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(LaunchError::Port)?;
        let address = listener.local_addr().map_err(LaunchError::Port)?;
        Ok(Self::Port(address.port()))
    }

    /// The socket `run_dir/<replica>.sock`.
    ///
    /// # Errors
    /// [`LaunchError::SocketPath`] where the path is too long for the system.
    pub fn socket(run_dir: &Path, replica: &ReplicaId) -> Result<Self, LaunchError> {
        let path = run_dir.join(format!("{replica}.sock"));
        if path.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            return Err(LaunchError::SocketPath(path));
        }
        Ok(Self::Socket(path))
    }
}

impl fmt::Display for EngineAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "http://127.0.0.1:{port}"),
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_can_be_bound() {
        let EngineAddress::Port(port) = EngineAddress::free_port().unwrap() else {
            panic!("a port was asked for");
        };
        assert_ne!(port, 0);
    }

    #[test]
    fn a_socket_path_that_the_system_cannot_hold_is_refused() {
        let replica = ReplicaId::new("r").unwrap();
        let short = EngineAddress::socket(Path::new("/run"), &replica).unwrap();
        assert_eq!(short.to_string(), "unix:/run/r.sock");
        let deep = PathBuf::from("/").join("x".repeat(110));
        assert!(EngineAddress::socket(&deep, &replica).is_err());
    }
}
