//! The two cookies: of a sign-in under way, and of one that is done. Scripts read neither.

use http::{HeaderMap, HeaderValue, header};
use madang_fleet::OriginAddress;

/// A cookie that Madang sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cookie {
    /// Ties the answer of the provider to the browser that asked.
    Login,
    /// The key of a person who has signed in.
    SignedIn,
}

/// Several cookies of one name: none of them is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ambiguous;

impl Cookie {
    /// Its name. Of a browser that speaks TLS, only this very host may have set one with `__Host-`.
    fn name(self, public: &OriginAddress) -> &'static str {
        match (self, public.tls) {
            (Self::Login, true) => "__Host-madang_login",
            (Self::Login, false) => "madang_login",
            (Self::SignedIn, true) => "__Host-madang_sign_in",
            (Self::SignedIn, false) => "madang_sign_in",
        }
    }

    /// Its value in a request.
    pub fn read<'h>(
        self,
        public: &OriginAddress,
        headers: &'h HeaderMap,
    ) -> Result<Option<&'h str>, Ambiguous> {
        let name = self.name(public);
        let texts = headers.get_all(header::COOKIE).iter();
        // Cookies of others on this host may hold any letters.
        let pairs = texts
            .filter_map(|text| std::str::from_utf8(text.as_bytes()).ok())
            .flat_map(|text| text.split(';'));
        let mut values = pairs.filter_map(|pair| {
            let (key, value) = pair.trim().split_once('=')?;
            (key == name && !value.is_empty()).then_some(value)
        });
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Ambiguous),
            (value, None) => Ok(value),
        }
    }

    /// The header that sets it for so many seconds, or takes it away: 0. Lax, since a browser comes back from the provider's
    /// site.
    pub fn set(self, public: &OriginAddress, value: &str, seconds: u64) -> HeaderValue {
        let name = self.name(public);
        let secure = if public.tls { "; Secure" } else { "" };
        let text =
            format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        let mut header = HeaderValue::from_str(&text)
            .expect("keys and base64 are characters that a header may carry");
        header.set_sensitive(true);
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(tls: bool) -> OriginAddress {
        let (host, port) = ("madang.example.kr".into(), 443);
        OriginAddress { tls, host, port }
    }

    #[test]
    fn one_cookie_of_the_name_is_read_and_two_are_not() {
        let check = |lines: &[&str], expected: Result<Option<&str>, Ambiguous>| {
            let mut headers = HeaderMap::new();
            for line in lines {
                let line = HeaderValue::from_bytes(line.as_bytes()).unwrap();
                headers.append(header::COOKIE, line);
            }
            let read = Cookie::SignedIn.read(&public(true), &headers);
            assert_eq!(read, expected, "{lines:?}");
        };
        check(&[], Ok(None));
        check(&["a=b; __Host-madang_sign_in=k; c=d"], Ok(Some("k")));
        check(&["a=b", "__Host-madang_sign_in=k"], Ok(Some("k")));
        check(&["이름=값; __Host-madang_sign_in=k"], Ok(Some("k")));
        check(&["__Host-madang_sign_in="], Ok(None));
        check(&["madang_sign_in=k"], Ok(None));
        check(&["x__Host-madang_sign_in=k"], Ok(None));
        check(
            &["__Host-madang_sign_in=k; __Host-madang_sign_in=k"],
            Err(Ambiguous),
        );
        check(
            &["__Host-madang_sign_in=k", "__Host-madang_sign_in=l"],
            Err(Ambiguous),
        );
    }

    #[test]
    fn a_cookie_is_set_for_this_host_alone() {
        let secure = Cookie::SignedIn.set(&public(true), "k", 60);
        assert_eq!(
            secure,
            "__Host-madang_sign_in=k; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure"
        );
        let plain = Cookie::Login.set(&public(false), "", 0);
        assert_eq!(
            plain,
            "madang_login=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
        );
    }
}
