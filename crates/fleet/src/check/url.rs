//! Base URLs: `http(s)://host[:port][/path]` or `unix:/path`.

use super::Check;
use crate::at::At;
use crate::shape::brief;

/// The longest path of a Unix socket (`sun_path` less its NUL).
pub(super) const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Said without quoting the URL: what stands before the `@` may be a password.
const USER_IN_URL: &str = "a URL here holds no user and no password";

/// A base URL in one spelling, so that two equal ones are seen to be equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum BaseUrl {
    /// `http` or `https`.
    Http {
        secure: bool,
        /// Lower case; brackets kept.
        host: String,
        port: u16,
        /// Empty, or begins with `/` and does not end with one.
        path: String,
    },
    /// A Unix socket.
    Unix(String),
}

/// What is wrong with a URL, and what would mend it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UrlFault {
    pub message: &'static str,
    pub remedy: String,
}

fn fault<T>(message: &'static str, remedy: impl Into<String>) -> Result<T, UrlFault> {
    let remedy = remedy.into();
    Err(UrlFault { message, remedy })
}

impl BaseUrl {
    /// Reads a base URL.
    pub(super) fn parse(text: &str) -> Result<Self, UrlFault> {
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return fault("a URL has no blanks", "take them out");
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return Self::parse_unix(path);
        }
        let (secure, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => {
                return fault(
                    "a base URL begins with http://, https:// or unix:/",
                    format!("for example \"http://{}\"", host_guess(text)),
                );
            }
        };
        if rest.contains(['?', '#']) {
            return fault(
                "a base URL has no query and no fragment",
                "end it before the ? or #",
            );
        }
        let (authority, path) = match rest.find('/') {
            Some(i) => rest.split_at(i),
            None => (rest, ""),
        };
        let path = path.trim_end_matches('/');
        let segments: Vec<&str> = path.split('/').collect();
        // `/api/v1beta` is someone's prefix; `/v1` is what Madang itself adds.
        if let Some(i) = segments.iter().position(|s| *s == "v1") {
            let scheme = if secure { "https" } else { "http" };
            let prefix = segments[..i].join("/");
            return fault(
                "a base URL stands without /v1; Madang adds it",
                format!("write \"{scheme}://{authority}{prefix}\""),
            );
        }
        let (host, port) = parse_authority(authority, secure)?;
        Ok(Self::Http {
            secure,
            host,
            port,
            path: path.into(),
        })
    }

    fn parse_unix(path: &str) -> Result<Self, UrlFault> {
        // `unix:///run/x` is the same as `unix:/run/x`.
        let path = path.strip_prefix("//").unwrap_or(path);
        if !path.starts_with('/') || path.ends_with('/') {
            return fault(
                "a Unix socket is named by its whole path",
                "for example \"unix:/run/engine.sock\"",
            );
        }
        if path.len() > SOCKET_PATH_BYTES_MAX {
            return fault(
                "the path of a Unix socket has at most 107 bytes",
                "put the socket into a folder with a shorter name, such as /run",
            );
        }
        Ok(Self::Unix(path.into()))
    }

    /// Whether it names this very machine.
    pub(super) fn is_loopback(&self) -> bool {
        match self {
            Self::Http { host, .. } => {
                // A name such as 127.example.com is anybody's.
                let loops = |ip: std::net::Ipv4Addr| ip.is_loopback();
                host == "localhost" || host == "[::1]" || host.parse().is_ok_and(loops)
            }
            Self::Unix(_) => true,
        }
    }

    /// Whether what is sent there is encrypted, or never leaves this machine.
    pub(super) fn keeps_secrets(&self) -> bool {
        matches!(self, Self::Http { secure: true, .. }) || self.is_loopback()
    }

    /// Whether what is sent there can be read on an open network.
    pub(super) fn is_in_clear(&self) -> bool {
        match self {
            Self::Http {
                secure: false,
                host,
                ..
            } => !self.is_loopback() && !is_private(host),
            Self::Http { .. } | Self::Unix(_) => false,
        }
    }

    /// One spelling.
    pub(super) fn canonical(&self) -> String {
        match self {
            Self::Http {
                secure,
                host,
                port,
                path,
            } => {
                let scheme = if *secure { "https" } else { "http" };
                let host = if self.is_loopback() {
                    "127.0.0.1"
                } else {
                    host
                };
                format!("{scheme}://{host}:{port}{path}")
            }
            Self::Unix(path) => format!("unix:{path}"),
        }
    }
}

fn parse_authority(authority: &str, secure: bool) -> Result<(String, u16), UrlFault> {
    if authority.contains('@') {
        return fault(USER_IN_URL, "take them out and use key_file");
    }
    let colon = match authority.rfind(']') {
        Some(end) => authority[end..].find(':').map(|i| end + i),
        None => authority.find(':'),
    };
    let (host, port) = match colon {
        Some(i) => (&authority[..i], Some(&authority[i + 1..])),
        None => (authority, None),
    };
    if !is_host(host) {
        return fault(
            "the URL has no proper host",
            "for example \"http://10.0.0.7:8000\"",
        );
    }
    let port = match port {
        None if secure => 443,
        None => 80,
        Some(digits) => match digits.parse::<u16>() {
            Ok(port) if port > 0 && digits.bytes().all(|b| b.is_ascii_digit()) => port,
            _ => return fault("a port is a number from 1 to 65535", "for example :8000"),
        },
    };
    Ok((host.to_ascii_lowercase(), port))
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    // All digits and dots is meant as an address, and must be one: 10.0.0.256 is no name.
    let numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if numeric {
        return host.parse::<std::net::Ipv4Addr>().is_ok();
    }
    host.split('.').all(|label| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    })
}

/// Addresses and names that do not leave one's own network.
fn is_private(host: &str) -> bool {
    if let Ok(v4) = host.parse::<std::net::Ipv4Addr>() {
        return v4.is_private() || v4.is_link_local();
    }
    let v6 = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(v6) = v6.parse::<std::net::Ipv6Addr>() {
        return (v6.segments()[0] & 0xfe00) == 0xfc00 || v6.is_unicast_link_local();
    }
    !host.contains('.')
        || [".internal", ".local", ".lan"]
            .iter()
            .any(|end| host.ends_with(end))
}

fn host_guess(text: &str) -> String {
    let rest = text.rsplit("://").next().unwrap_or(text);
    let sound = !rest.is_empty() && rest.len() < 80 && !rest.contains(['/', '@']);
    if sound {
        rest.into()
    } else {
        "10.0.0.7:8000".into()
    }
}

impl Check<'_, '_> {
    /// A base URL, checked; the text as it will be used and its one spelling.
    pub(super) fn base_url(&mut self, at: &At<String>) -> Option<(String, BaseUrl)> {
        let remedy = "take the secret out of the URL and use key_file";
        if self.secret(&at.value, &at.span, remedy) {
            return None;
        }
        match BaseUrl::parse(&at.value) {
            Ok(BaseUrl::Unix(path)) => Some((format!("unix:{path}"), BaseUrl::Unix(path))),
            Ok(url) => Some((at.value.trim_end_matches('/').into(), url)),
            Err(UrlFault { message, remedy }) => {
                let (code, message) = if message == USER_IN_URL {
                    ("secret_inline", message.into())
                } else {
                    let message = format!("\"{}\": {message}", brief(&at.value));
                    ("url_invalid", message)
                };
                self.report.error(code, &at.span, message).help(remedy);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let found = BaseUrl::parse(text);
        let found = found
            .as_ref()
            .map(BaseUrl::canonical)
            .map_err(|f| f.message);
        assert_eq!(found.as_deref().map_err(|m| *m), expected, "{text}");
    }

    #[test]
    fn urls_are_read_into_one_spelling() {
        check("http://10.0.0.7:8000", Ok("http://10.0.0.7:8000"));
        check(
            "HTTP://10.0.0.7",
            Err("a base URL begins with http://, https:// or unix:/"),
        );
        check(
            "https://API.Example.com/",
            Ok("https://api.example.com:443"),
        );
        check("http://localhost:80/a/", Ok("http://127.0.0.1:80/a"));
        check("http://[::1]:8000", Ok("http://127.0.0.1:8000"));
        check("http://127.0.0.7:80", Ok("http://127.0.0.1:80"));
        check("http://127.example.com", Ok("http://127.example.com:80"));
        check("http://[fd00::7]:8000", Ok("http://[fd00::7]:8000"));
        check("unix:/run/e.sock", Ok("unix:/run/e.sock"));
        check("unix:///run/e.sock", Ok("unix:/run/e.sock"));
        check("http://h/v1beta", Ok("http://h:80/v1beta"));
    }

    #[test]
    fn what_is_no_base_url_is_refused() {
        let v1 = "a base URL stands without /v1; Madang adds it";
        let host = "the URL has no proper host";
        let port = "a port is a number from 1 to 65535";
        check("http://h:8000/v1", Err(v1));
        check("http://h:8000/v1/", Err(v1));
        check("https://h/api/v1/chat/completions", Err(v1));
        check("http://", Err(host));
        check("http://:80", Err(host));
        check("http://10.0.0.256", Err(host));
        check("http://[zz]:1", Err(host));
        check("http://h:0", Err(port));
        check("http://h:", Err(port));
        check("http://h:+80", Err(port));
        check("http://h:70000", Err(port));
        check(
            "http://u:p@h",
            Err("a URL here holds no user and no password"),
        );
        check(
            "http://h?x=1",
            Err("a base URL has no query and no fragment"),
        );
        check("http://h /", Err("a URL has no blanks"));
        check(
            "unix:e.sock",
            Err("a Unix socket is named by its whole path"),
        );
        check(
            &format!("unix:/{}", "a".repeat(120)),
            Err("the path of a Unix socket has at most 107 bytes"),
        );
    }
}
