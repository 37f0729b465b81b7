//! A URL, read once. What is checked and what is asked for are parts of one reading.

use http::Uri;
use http::uri::{PathAndQuery, Scheme};
use madang_fleet::OriginAddress;

/// A URL of `http` or `https` without user and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Where it leads.
    pub origin: OriginAddress,
    /// What is asked for there.
    pub target: PathAndQuery,
    spelled_out: bool,
}

impl Link {
    /// Reads a URL; `None` for whatever is none of these.
    pub fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let tls = *uri.scheme()? == Scheme::HTTPS;
        if !tls && *uri.scheme()? != Scheme::HTTP {
            return None;
        }
        let authority = uri.authority()?;
        let host = authority.host();
        // What stands beside the host is a port, and no user.
        let port = match authority.as_str().strip_prefix(host)? {
            "" => OriginAddress::port_default(tls),
            more => more.strip_prefix(':').and_then(port)?,
        };
        let origin = OriginAddress {
            tls,
            host: host.to_ascii_lowercase(),
            port,
        };
        let target = encoded(uri.path_and_query().map_or("/", PathAndQuery::as_str));
        Some(Self {
            spelled_out: is_spelled_out(text, &origin),
            target: target.parse().ok()?,
            origin,
        })
    }

    /// Whether nobody can read the URL's text as leading elsewhere: it begins with its origin, letter by letter.
    pub fn is_spelled_out(&self) -> bool {
        self.spelled_out
    }
}

fn port(digits: &str) -> Option<u16> {
    let all = digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|port| all && *port > 0)
}

fn is_spelled_out(text: &str, origin: &OriginAddress) -> bool {
    let rest = text.strip_prefix(&origin.to_string());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
}

/// Letters that a URL should have percent-encoded, as 한글 in a path, encoded.
fn encoded(target: &str) -> String {
    let mut out = String::with_capacity(target.len());
    for byte in target.bytes() {
        match byte {
            0x21..=0x7e if !matches!(byte, b'"' | b'{' | b'}' | b'\\' | b'|' | b'^' | b'`') => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where it leads, what is asked for, and whether nobody can read it otherwise.
    fn check(text: &str, expected: Option<(&str, &str, bool)>) {
        let link = Link::parse(text);
        let found = link.as_ref().map(|link| {
            let target = link.target.as_str();
            (link.origin.to_string(), target, link.is_spelled_out())
        });
        let found = found
            .as_ref()
            .map(|(origin, target, spelled)| (origin.as_str(), *target, *spelled));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_url_is_read_once() {
        check(
            "https://a.kr/x.png?y=1",
            Some(("https://a.kr", "/x.png?y=1", true)),
        );
        check("https://a.kr", Some(("https://a.kr", "/", true)));
        check(
            "http://a.kr:8080/x#part",
            Some(("http://a.kr:8080", "/x", true)),
        );
        check("HTTPS://A.kr/x", Some(("https://a.kr", "/x", false)));
        check("https://a.kr:443/x", Some(("https://a.kr", "/x", false)));
        check(
            "https://[fd00::7]:8443/x",
            Some(("https://[fd00::7]:8443", "/x", true)),
        );
        check(
            "https://a.kr/사진.png",
            Some(("https://a.kr", "/%EC%82%AC%EC%A7%84.png", true)),
        );
        check("https://a.kr/../x", Some(("https://a.kr", "/../x", true)));
    }

    /// CVE-2026-25960: what one parser takes for a path, another takes for a host.
    #[test]
    fn nothing_is_read_in_two_ways() {
        for text in [
            "https://user@a.kr/x",
            "https://a.kr@evil.kr/x",
            "https://a.kr:x@evil.kr/",
            "https://a.kr:/x",
            "https://a.kr:0/x",
            "https://a.kr:+80/x",
            "https://a.kr:99999/",
            "https:///x",
            "https://",
            "//a.kr/x",
            "/x",
            "a.kr",
            "file:///etc/passwd",
            "ftp://a.kr/x",
            "gopher://a.kr/",
            " https://a.kr/x",
            "https://a.kr/x y",
            "https://a.kr\t/x",
            "https://a.kr\\@evil.kr/",
            "https:\\\\a.kr\\x",
            "https://a.kr\u{2044}x",
            "",
        ] {
            check(text, None);
        }
    }
}
