//! Signed notes (C2SP `signed-note`) with Ed25519 keys.

use crate::AuditError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use std::fmt;
use std::str::FromStr;

/// The type of the signature, in front of a key's bytes.
const ED25519_TYPE: u8 = 1;
/// The most bytes of a note that is read: over sixteen of the largest signatures that the specification knows.
pub(crate) const NOTE_BYTES_MAX: u64 = 1 << 18;
/// Signature lines that are looked at.
const SIGNATURES_MAX: usize = 64;

/// A public key with its name, as `<name>+<id>+<key>`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    public: [u8; 32],
}

/// The key that signs; its text is that of Go's `golang.org/x/mod/sumdb/note`.
pub struct SigningKey {
    seed: [u8; 32],
    pair: Ed25519KeyPair,
    verifier: VerifierKey,
}

fn check_name(name: &str) -> Result<(), AuditError> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.len() > 255 || name.contains(bad) {
        return Err(AuditError::Invalid(format!(
            "'{name}' cannot name a log: 1 to 255 bytes without spaces and '+', such as madang.example/site"
        )));
    }
    Ok(())
}

/// A key's last parts, `<id>+<type and key in base64>`, of the key named `name`.
fn key_bytes(name: &str, key: &str) -> Option<[u8; 32]> {
    check_name(name).ok()?;
    let bytes = STANDARD.decode(key).ok()?;
    let (kind, bytes) = bytes.split_first()?;
    if *kind != ED25519_TYPE {
        return None;
    }
    bytes.try_into().ok()
}

fn with_type(bytes: &[u8; 32]) -> String {
    let mut typed = vec![ED25519_TYPE];
    typed.extend(bytes);
    STANDARD.encode(typed)
}

impl VerifierKey {
    /// The key's name, which is the log's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> [u8; 4] {
        let mut text = self.name.clone().into_bytes();
        text.extend([b'\n', ED25519_TYPE]);
        text.extend(self.public);
        let mut id = [0; 4];
        id.copy_from_slice(&digest(&SHA256, &text).as_ref()[..4]);
        id
    }

    fn id_hex(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(self.id()))
    }

    /// The text of a note that this key has signed.
    ///
    /// # Errors
    /// [`AuditError::Invalid`]: it is no note, or has no good signature of this key.
    pub fn open<'a>(&self, note: &'a str) -> Result<&'a str, AuditError> {
        let refuse = |what: &str| Err(AuditError::Invalid(format!("the note {what}")));
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return refuse("has control characters");
        }
        let Some(at) = note.rfind("\n\n") else {
            return refuse("has no empty line before its signatures");
        };
        let (text, signatures) = (&note[..=at], &note[at + 2..]);
        if signatures.is_empty() || !signatures.ends_with('\n') {
            return refuse("does not end with a whole line of a signature");
        }
        let public = UnparsedPublicKey::new(&ED25519, &self.public);
        let mut good = false;
        for (number, line) in signatures.lines().enumerate() {
            let parts = line
                .strip_prefix("— ")
                .and_then(|line| line.split_once(' '));
            let Some((name, signature)) = parts.filter(|_| number < SIGNATURES_MAX) else {
                return refuse("has a line that is no signature, or too many of them");
            };
            let Ok(bytes) = STANDARD.decode(signature) else {
                return refuse("has a signature that is not base64");
            };
            let Some((id, signature)) = bytes.split_first_chunk::<4>() else {
                return refuse("has a signature without a key's id");
            };
            if check_name(name).is_err() {
                return refuse("has a signature without a name");
            }
            if name != self.name || *id != self.id() {
                continue;
            }
            if public.verify(text.as_bytes(), signature).is_err() {
                return refuse(&format!(
                    "was changed: the signature of {self} does not hold"
                ));
            }
            good = true;
        }
        match good {
            true => Ok(text),
            false => refuse(&format!("is not signed by {self}")),
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}+{}+{}",
            self.name,
            self.id_hex(),
            with_type(&self.public)
        )
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VerifierKey {
    type Err = AuditError;

    fn from_str(text: &str) -> Result<Self, AuditError> {
        let bad =
            || AuditError::Invalid(format!("'{text}' is not a verifier key <name>+<id>+<key>"));
        let (name, rest) = text.split_once('+').ok_or_else(bad)?;
        let (id, key) = rest.split_once('+').ok_or_else(bad)?;
        let key = Self {
            name: name.to_owned(),
            public: key_bytes(name, key).ok_or_else(bad)?,
        };
        if key.id_hex() == id {
            Ok(key)
        } else {
            Err(bad())
        }
    }
}

impl SigningKey {
    /// A new key for the log named `origin`.
    ///
    /// # Errors
    /// [`AuditError::Invalid`] where `origin` cannot be a name; [`AuditError::Unavailable`] without randomness.
    pub fn generate(origin: &str) -> Result<Self, AuditError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)
            .map_err(|e| AuditError::Unavailable(format!("no randomness: {e}")))?;
        Self::from_seed(origin, seed)
    }

    fn from_seed(origin: &str, seed: [u8; 32]) -> Result<Self, AuditError> {
        check_name(origin)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed)
            .map_err(|_| AuditError::Invalid("the log's key is no Ed25519 seed".into()))?;
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        let verifier = VerifierKey {
            name: origin.to_owned(),
            public,
        };
        Ok(Self {
            seed,
            pair,
            verifier,
        })
    }

    /// The key as it stands in its file: a secret.
    pub(crate) fn to_secret_text(&self) -> String {
        let key = &self.verifier;
        format!(
            "PRIVATE+KEY+{}+{}+{}\n",
            key.name,
            key.id_hex(),
            with_type(&self.seed)
        )
    }

    /// Reads [`SigningKey::to_secret_text`]. The error does not repeat the text.
    pub(crate) fn from_secret_text(text: &str) -> Result<Self, AuditError> {
        let bad = || AuditError::Invalid("it holds no key PRIVATE+KEY+<name>+<id>+<key>".into());
        let rest = text
            .trim_end()
            .strip_prefix("PRIVATE+KEY+")
            .ok_or_else(bad)?;
        let (name, rest) = rest.split_once('+').ok_or_else(bad)?;
        let (id, key) = rest.split_once('+').ok_or_else(bad)?;
        let key = Self::from_seed(name, key_bytes(name, key).ok_or_else(bad)?)?;
        if key.verifier.id_hex() == id {
            Ok(key)
        } else {
            Err(bad())
        }
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// A note of `text`, which ends with a line's end.
    pub(crate) fn sign(&self, text: &str) -> String {
        let mut signature = self.verifier.id().to_vec();
        signature.extend(self.pair.sign(text.as_bytes()).as_ref());
        format!(
            "{text}\n— {} {}\n",
            self.verifier.name,
            STANDARD.encode(signature)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "This is an example message.\n";
    /// The example of the specification.
    const KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    #[test]
    fn the_specifications_example_holds_and_no_flipped_bit_does() {
        let key: VerifierKey = KEY.parse().unwrap();
        assert_eq!(key.to_string(), KEY);
        assert_eq!(key.open(NOTE), Ok(TEXT));
        for at in 0..NOTE.len() * 8 {
            let mut bytes = NOTE.as_bytes().to_vec();
            bytes[at / 8] ^= 1 << (at % 8);
            if let Ok(note) = String::from_utf8(bytes) {
                assert!(key.open(&note).is_err(), "{note}");
            }
        }
    }

    #[test]
    fn keys_read_back_and_sign() {
        let key = SigningKey::generate("madang.example/site").unwrap();
        let again = SigningKey::from_secret_text(&key.to_secret_text()).unwrap();
        assert_eq!(
            again.verifier().to_string().parse(),
            Ok(key.verifier().clone())
        );
        let note = again.sign(TEXT);
        assert_eq!(key.verifier().open(&note), Ok(TEXT));
        let foreign = format!("{note}— witness.example {}\n", STANDARD.encode([9; 90]));
        assert_eq!(key.verifier().open(&foreign), Ok(TEXT));
        let other = SigningKey::generate("madang.example/site").unwrap();
        assert!(other.verifier().open(&note).is_err());
    }

    #[test]
    fn what_is_no_name_or_key_is_refused() {
        for name in ["", "a b", "a+b", "a\u{3000}b", "a\nb", &"x".repeat(256)] {
            assert!(SigningKey::generate(name).is_err(), "{name:?}");
        }
        for key in [
            "",
            "a+b",
            "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        ] {
            assert!(key.parse::<VerifierKey>().is_err());
        }
    }
}
