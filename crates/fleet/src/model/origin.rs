//! Hosts that URLs in requests may name.

use super::PlaceFacts;
use madang_types::{Place, SiteId};
use std::fmt;

/// A host that URLs in requests may name.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// Where it is.
    pub address: OriginAddress,
    /// The site of ours where it stands. Only such a one may have an address that is not public.
    pub site: Option<SiteId>,
    /// The facts that the policy looks at; unknown counts as the worst.
    pub place: Place,
    /// What reports say of it besides.
    pub facts: PlaceFacts,
}

/// Scheme, host and port: what of a URL says where it leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OriginAddress {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Name or address in lower case; brackets around an IPv6 address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl OriginAddress {
    /// The port of a URL that names none.
    pub fn port_default(tls: bool) -> u16 {
        if tls { 443 } else { 80 }
    }
}

impl fmt::Display for OriginAddress {
    /// As a URL begins that leads there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tls, host, port } = self;
        let scheme = if *tls { "https" } else { "http" };
        write!(f, "{scheme}://{host}")?;
        if *port == Self::port_default(*tls) {
            return Ok(());
        }
        write!(f, ":{port}")
    }
}
