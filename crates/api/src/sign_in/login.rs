//! A sign-in under way. All of it is in the browser's cookie, so that none takes memory here, and any gateway may end it: one
//! secret, and what goes to the provider is derived from it.

use super::derived_hex;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use madang_gateway::keyring::{KeySecret, SECRET_CHARS};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How long a person may take at the provider.
pub(crate) const LOGIN_SECONDS_MAX: u64 = 600;
/// Bytes of the cookie that are looked at.
const COOKIE_BYTES_MAX: usize = 1024;
/// Where a person comes who named no place.
const RETURN_TO_DEFAULT: &str = "/api/v1/me";

/// A sign-in under way.
pub(crate) struct Login {
    secret: String,
    pub return_to: ReturnTo,
}

/// A path of our own, with its query: nothing else is a place to be sent to after a sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReturnTo(String);

impl ReturnTo {
    /// The path, where it is one; `None` where it may lead elsewhere. Browsers read `//` and `\` as the beginning of a host.
    pub fn new(text: &str) -> Option<Self> {
        let sound = text.len() <= 512
            && text.starts_with('/')
            && !text.starts_with("//")
            && text
                .bytes()
                .all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'"' | b'<' | b'>' | b'#'));
        sound.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ReturnTo {
    fn default() -> Self {
        Self(RETURN_TO_DEFAULT.into())
    }
}

impl Login {
    pub fn new(return_to: ReturnTo) -> Self {
        let (_, secret) = KeySecret::generate();
        Self { secret, return_to }
    }

    /// What the browser keeps of it.
    pub fn cookie(&self) -> String {
        format!(
            "{}.{}",
            self.secret,
            URL_SAFE_NO_PAD.encode(&self.return_to.0)
        )
    }

    /// Reads [`Login::cookie`].
    pub fn read(cookie: &str) -> Option<Self> {
        let (secret, return_to) = cookie.split_once('.')?;
        let sound = cookie.len() <= COOKIE_BYTES_MAX
            && secret.len() == SECRET_CHARS
            && secret.bytes().all(|b| b.is_ascii_alphanumeric());
        let return_to = String::from_utf8(URL_SAFE_NO_PAD.decode(return_to).ok()?).ok()?;
        let secret = sound.then(|| secret.to_owned())?;
        let return_to = ReturnTo::new(&return_to)?;
        Some(Self { secret, return_to })
    }

    /// What comes back with the provider's answer. With another provider it is another one.
    pub fn state(&self, issuer: &str) -> String {
        self.derived("madang 2026 sign-in state v1", issuer)
    }

    /// Whether that came back.
    pub fn is_state(&self, issuer: &str, state: &str) -> bool {
        self.state(issuer).as_bytes().ct_eq(state.as_bytes()).into()
    }

    /// What the ID token must hold.
    pub fn nonce(&self, issuer: &str) -> String {
        self.derived("madang 2026 sign-in nonce v1", issuer)
    }

    /// What proves to the provider that who brings the code is who asked for it (RFC 7636).
    pub fn verifier(&self, issuer: &str) -> String {
        self.derived("madang 2026 sign-in verifier v1", issuer)
    }

    /// What the provider is told of the verifier before: `S256`.
    pub fn challenge(&self, issuer: &str) -> String {
        challenge_of(&self.verifier(issuer))
    }

    fn derived(&self, context: &str, issuer: &str) -> String {
        derived_hex(context, &format!("{} {issuer}", self.secret))
    }
}

/// What is told of a verifier before it is shown: `S256`.
pub(super) fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_of_our_own_is_a_place_to_return_to() {
        let check = |text: &str, sound: bool| {
            assert_eq!(ReturnTo::new(text).is_some(), sound, "{text:?}");
        };
        check("/", true);
        check("/console/keys?tenant=kma&x=%2F%2Fevil", true);
        check("/a//b", true);
        check("", false);
        check("console", false);
        check("//evil.example", false);
        check("/\\evil.example", false);
        check("\\\\evil.example", false);
        check("https://evil.example", false);
        check("javascript:alert(1)", false);
        check("/\t/evil.example", false);
        check("/a\r\nset-cookie: x=y", false);
        check("/한글", false);
        check(&format!("/{}", "a".repeat(512)), false);
    }

    #[test]
    fn a_login_is_what_its_cookie_says() {
        let login = Login::new(ReturnTo::new("/console").unwrap());
        let read = Login::read(&login.cookie()).unwrap();
        let all = |login: &Login, issuer: &str| {
            [
                login.state(issuer),
                login.nonce(issuer),
                login.verifier(issuer),
                login.challenge(issuer),
            ]
        };
        assert_eq!(
            all(&read, "https://id.example"),
            all(&login, "https://id.example")
        );
        assert_eq!(read.return_to, login.return_to);
        assert!(read.is_state("https://id.example", &login.state("https://id.example")));
        for other in [
            all(&login, "https://other.example"),
            all(&Login::new(ReturnTo::default()), "https://id.example"),
        ] {
            for text in all(&login, "https://id.example") {
                assert!(!other.contains(&text));
                // RFC 7636 asks for 43 to 128 letters of a verifier.
                assert!((43..=128).contains(&text.len()));
            }
        }
    }

    #[test]
    fn what_is_no_login_is_not_read() {
        let cookie = Login::new(ReturnTo::default()).cookie();
        let (secret, path) = cookie.split_once('.').unwrap();
        let elsewhere = URL_SAFE_NO_PAD.encode("//evil.example");
        for text in [
            String::new(),
            secret.into(),
            format!("{secret}."),
            format!(".{path}"),
            format!("{secret}x.{path}"),
            format!("{}.{path}", &secret[1..]),
            format!("{}-.{path}", &secret[1..]),
            format!("{secret}.{elsewhere}"),
            format!("{secret}.{}", "A".repeat(2000)),
        ] {
            assert!(Login::read(&text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_challenge_is_that_of_rfc_7636() {
        // Its appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert_eq!(challenge_of(verifier), challenge);
    }
}
