//! A terminal signs in by the browser of the person who sits before both (RFC 8252): the browser brings a code to a port of that
//! machine, and who listens there gets a key for it, where it has what the code's challenge was made of (RFC 7636).
//!
//! The code alone opens nothing, counts once and for a minute, and is made after the person has said yes on a page of ours: a link
//! that somebody else made can have none made.

use super::login::challenge_of;
use crate::params::TerminalQuery;
use madang_gateway::keyring::{KeySecret, hash_secret};
use madang_types::KeyId;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;

/// How long a code counts: the browser brings it at once.
const CODE_KEPT: Duration = Duration::from_secs(60);
/// Codes that wait, each of another sign-in; more are refused.
const WAITING_MAX: usize = 64;
/// Letters of a challenge that a person compares.
const SHOWN_CHARS: usize = 8;

/// What a terminal asks the person in the browser for.
#[derive(Debug)]
pub(crate) struct Asked {
    redirect_uri: String,
    challenge: String,
    state: String,
}

impl Asked {
    /// Reads what a link says.
    ///
    /// # Errors
    /// The parameter at fault, and what it should be.
    pub fn read(query: TerminalQuery) -> Result<Self, (&'static str, &'static str)> {
        let TerminalQuery {
            redirect_uri,
            challenge,
            state,
        } = query;
        let is_word = |text: &str| {
            let is_sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            text.bytes().all(is_sound)
        };
        if !is_loopback(&redirect_uri) {
            let expected = "it is http://127.0.0.1:PORT/ or http://[::1]:PORT/";
            return Err(("redirect_uri", expected));
        }
        if challenge.len() != 43 || !is_word(&challenge) {
            return Err(("challenge", "it is the SHA-256 of a verifier in base64url"));
        }
        if !(16..=128).contains(&state.len()) || !is_word(&state) {
            return Err(("state", "it has 16 to 128 letters, digits, '-' and '_'"));
        }
        Ok(Self {
            redirect_uri,
            challenge,
            state,
        })
    }

    /// Where on this machine the code goes, as the page says it.
    pub fn to(&self) -> &str {
        &self.redirect_uri
    }

    /// What the person compares with what stands in the terminal.
    pub fn shown(&self) -> &str {
        &self.challenge[..SHOWN_CHARS]
    }

    /// The page's own address, to come back to.
    pub fn page(&self) -> String {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("redirect_uri", &self.redirect_uri)
            .append_pair("challenge", &self.challenge)
            .append_pair("state", &self.state)
            .finish();
        format!("/auth/terminal?{query}")
    }

    /// Where the browser brings the code.
    pub fn answered(&self, code: &str) -> String {
        format!("{}?code={code}&state={}", self.redirect_uri, self.state)
    }
}

/// Whether a program of the browser's own machine listens there, and nobody else: by address, as names may lead elsewhere.
fn is_loopback(text: &str) -> bool {
    let hosts = ["http://127.0.0.1:", "http://[::1]:"];
    let port = hosts.iter().find_map(|host| text.strip_prefix(host));
    let Some(port) = port.and_then(|rest| rest.strip_suffix('/')) else {
        return false;
    };
    // As whoever listens writes it: no sign, no zero before it.
    port.parse::<u16>()
        .is_ok_and(|number| number > 0 && number.to_string() == port)
}

/// The codes that wait. They are this gateway's own: whoever trades one asks the gateway that the browser was at.
#[derive(Default)]
pub(crate) struct Terminals {
    waiting: Mutex<Vec<Waiting>>,
}

struct Waiting {
    code_hash: [u8; 32],
    challenge: String,
    /// The sign-in in whose browser it was allowed.
    by: KeyId,
    until: Instant,
}

impl Terminals {
    /// A code for a terminal that the person of this sign-in allows; an earlier one of the same sign-in counts no longer. `None` where
    /// too many wait.
    pub fn issue(&self, by: KeyId, asked: &Asked, now: Instant) -> Option<String> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|other| other.until > now && other.by != by);
        if waiting.len() >= WAITING_MAX {
            return None;
        }
        let (_, code) = KeySecret::generate();
        waiting.push(Waiting {
            code_hash: hash_secret(&code),
            challenge: asked.challenge.clone(),
            by,
            until: now + CODE_KEPT,
        });
        Some(code)
    }

    /// The sign-in of a code, for who has its verifier. Asked for once, a code is gone, whoever asked.
    pub fn take(&self, code: &str, verifier: &str, now: Instant) -> Option<KeyId> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|other| other.until > now);
        let code_hash = hash_secret(code);
        let place = waiting
            .iter()
            .position(|other| other.code_hash.ct_eq(&code_hash).into())?;
        let taken = waiting.swap_remove(place);
        let challenge = challenge_of(verifier);
        let fits: bool = challenge
            .as_bytes()
            .ct_eq(taken.challenge.as_bytes())
            .into();
        (fits && (43..=128).contains(&verifier.len())).then_some(taken.by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    fn query(redirect_uri: &str) -> TerminalQuery {
        TerminalQuery {
            redirect_uri: redirect_uri.into(),
            challenge: challenge_of(VERIFIER),
            state: "s".repeat(16),
        }
    }

    fn asked() -> Asked {
        Asked::read(query("http://127.0.0.1:7/")).unwrap()
    }

    #[test]
    fn a_code_goes_to_a_port_of_this_machine_alone() {
        let check = |text: &str, sound: bool| {
            let read = Asked::read(query(text)).map_err(|(field, _)| field);
            let expected = if sound { Ok(()) } else { Err("redirect_uri") };
            assert_eq!(read.map(drop), expected, "{text:?}");
        };
        check("http://127.0.0.1:1/", true);
        check("http://[::1]:65535/", true);
        for bad in [
            "",
            "http://127.0.0.1/",
            "http://127.0.0.1:/",
            "http://127.0.0.1:0/",
            "http://127.0.0.1:07/",
            "http://127.0.0.1:+7/",
            "http://127.0.0.1:65536/",
            "http://127.0.0.1:7",
            "http://127.0.0.1:7/x",
            "http://127.0.0.1:7/?x=/",
            "http://127.0.0.1:7@evil.example/",
            "http://127.0.0.1:evil.example/",
            "http://127.0.0.1.evil.example:7/",
            "http://localhost:7/",
            "http://0.0.0.0:7/",
            "http://[::]:7/",
            "http://10.0.0.1:7/",
            "https://127.0.0.1:7/",
            "HTTP://127.0.0.1:7/",
            "http://127.1:7/",
            "//127.0.0.1:7/",
            " http://127.0.0.1:7/",
            "http://127.0.0.1:7/\r\n",
            "http://evil.example/",
        ] {
            check(bad, false);
        }
    }

    #[test]
    fn what_a_link_says_has_its_form() {
        let check = |challenge: &str, state: &str, expected: &str| {
            let asked = TerminalQuery {
                challenge: challenge.into(),
                state: state.into(),
                ..query("http://127.0.0.1:7/")
            };
            let refused = Asked::read(asked).map_err(|(field, _)| field).err();
            assert_eq!(refused, Some(expected), "{challenge} {state}");
        };
        let (challenge, state) = (challenge_of(VERIFIER), "s".repeat(16));
        check("", &state, "challenge");
        check(&challenge[1..], &state, "challenge");
        check(&format!("{}=", &challenge[1..]), &state, "challenge");
        check(&format!("{}<", &challenge[1..]), &state, "challenge");
        check(&challenge, &state[1..], "state");
        check(&challenge, &"s".repeat(129), "state");
        check(&challenge, "sssssssssssssss&x", "state");
        check(&challenge, "ssssssssssssssss\"><script>", "state");
    }

    #[test]
    fn a_code_counts_once_for_its_verifier_within_a_minute() {
        let now = Instant::now();
        let by: KeyId = "sid-a-0".parse().unwrap();
        let check = |spoilt: &dyn Fn(&Terminals, &str), verifier: &str, after: Duration, sound| {
            let terminals = Terminals::default();
            let code = terminals.issue(by.clone(), &asked(), now).unwrap();
            spoilt(&terminals, &code);
            let found = terminals.take(&code, verifier, now + after);
            assert_eq!(found.is_some(), sound, "{verifier} {after:?}");
        };
        let at_once = Duration::ZERO;
        let nothing = |_: &Terminals, _: &str| {};
        check(&nothing, VERIFIER, at_once, true);
        check(
            &nothing,
            VERIFIER,
            CODE_KEPT - Duration::from_millis(1),
            true,
        );
        check(&nothing, VERIFIER, CODE_KEPT, false);
        check(&nothing, &challenge_of(VERIFIER), at_once, false);
        check(&nothing, "", at_once, false);
        let taken = |terminals: &Terminals, code: &str| {
            assert!(terminals.take(code, VERIFIER, now).is_some());
        };
        check(&taken, VERIFIER, at_once, false);
        let guessed = |terminals: &Terminals, code: &str| {
            assert!(
                terminals
                    .take(code, &VERIFIER.to_lowercase(), now)
                    .is_none()
            );
        };
        check(&guessed, VERIFIER, at_once, false);
        let other = |terminals: &Terminals, _: &str| {
            assert!(terminals.take("another code", VERIFIER, now).is_none());
        };
        check(&other, VERIFIER, at_once, true);
        let anew = |terminals: &Terminals, _: &str| {
            assert!(terminals.issue(by.clone(), &asked(), now).is_some());
        };
        check(&anew, VERIFIER, at_once, false);
    }

    #[test]
    fn so_many_codes_wait_and_no_more() {
        let (terminals, now) = (Terminals::default(), Instant::now());
        let issue = |number: usize, at| {
            let by = format!("sid-{number}-0").parse().unwrap();
            terminals.issue(by, &asked(), at).is_some()
        };
        assert!((0..WAITING_MAX).all(|number| issue(number, now)));
        assert!(!issue(WAITING_MAX, now));
        assert!(issue(0, now), "its own stands in its place");
        assert!(issue(WAITING_MAX, now + CODE_KEPT));
    }
}
