//! The key file: what secrets are sealed with. Each line is a key; the last one seals, each one opens what it sealed.

use super::SecretsError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use madang_types::text::hex;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// The greatest key file: hundreds of keys.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of a key's hash that name it.
const NAME_BYTES: usize = 8;

/// Where keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretKeys {
    /// In a file of this machine's own, which is made at the first use.
    Own(PathBuf),
    /// In a file that the operator keeps.
    Named(PathBuf),
    /// Nowhere: gateways share these books, and no file that all of them have is named.
    Unnamed,
}

/// The keys of a file, the last one last.
pub(super) struct Ring(Vec<(String, LessSafeKey)>);

impl SecretKeys {
    /// Whether a file that the operator keeps can be used.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), SecretsError> {
        match self {
            Self::Named(_) => self.read().map(drop),
            Self::Own(_) | Self::Unnamed => Ok(()),
        }
    }

    /// Reads them now: whoever adds one needs no restart.
    pub(super) fn read(&self) -> Result<Ring, SecretsError> {
        let text = match self {
            Self::Unnamed => {
                return Err(SecretsError::Keys(
                    "gateways share these books, and `jobs.secrets_key_file` names no file that all of them have".to_owned(),
                ));
            }
            Self::Named(path) => read(path),
            Self::Own(path) => match read(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => make(path),
                read => read,
            },
        };
        let text = text.map_err(|error| SecretsError::Keys(error.to_string()))?;
        Ring::parse(&text)
    }
}

fn read(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    if file.metadata()?.mode() & 0o077 != 0 {
        return Err(io::Error::other("others may read it: chmod 600"));
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Draws the first key. A file that came to be there meanwhile stays.
fn make(path: &Path) -> io::Result<String> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let text = format!("{}\n", BASE64.encode(key));
    let part = path.with_extension("part");
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600);
    let mut file = options.open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&part, path);
    std::fs::remove_file(&part)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    match linked {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read(path),
        linked => linked.map(|()| text),
    }
}

impl Ring {
    fn parse(text: &str) -> Result<Self, SecretsError> {
        let wrong = |line: usize| {
            let what = "is no key: 32 bytes in base64, as `openssl rand -base64 32` prints them";
            SecretsError::Keys(format!("line {line} {what}"))
        };
        let mut keys = Vec::new();
        for (line, text) in (1..).zip(text.lines().map(str::trim)) {
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let bytes = BASE64.decode(text).map_err(|_| wrong(line))?;
            let key = UnboundKey::new(&CHACHA20_POLY1305, &bytes).map_err(|_| wrong(line))?;
            let hash = digest(&SHA256, &bytes);
            let name = hex(&hash.as_ref()[..NAME_BYTES]);
            keys.push((name, LessSafeKey::new(key)));
        }
        match keys.is_empty() {
            true => Err(SecretsError::Keys("it holds no key".to_owned())),
            false => Ok(Self(keys)),
        }
    }

    /// Seals a text for one place: the name of the key, and what is kept.
    pub fn seal(&self, place: &[u8], text: &str) -> Result<(String, String), SecretsError> {
        let failed = |what: &str| SecretsError::Keys(what.to_owned());
        let (name, key) = self.0.last().ok_or_else(|| failed("it holds no key"))?;
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| failed("no random numbers can be had"))?;
        let mut sealed = text.as_bytes().to_vec();
        let at = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(at, Aad::from(place), &mut sealed)
            .map_err(|_| failed("it cannot be sealed"))?;
        let sealed = [nonce.as_slice(), &sealed].concat();
        Ok((name.clone(), BASE64.encode(sealed)))
    }

    /// What was sealed for a place by the key of that name; `None` where it was not, or was changed.
    pub fn open(&self, place: &[u8], (name, sealed): (&str, &str)) -> Option<String> {
        let (_, key) = self.0.iter().find(|(other, _)| other == name)?;
        let sealed = BASE64.decode(sealed).ok()?;
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = sealed.to_vec();
        let opened = key.open_in_place(nonce, Aad::from(place), &mut text).ok()?;
        String::from_utf8(opened.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_sealed_opens_at_its_place_with_its_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.key");
        let keys = SecretKeys::Own(path.clone());
        let first = keys.read().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let (name, sealed) = first.seal(b"a", "sesame").unwrap();
        assert_ne!(
            first.seal(b"a", "sesame").unwrap().1,
            sealed,
            "each has a nonce of its own"
        );
        let again = keys.read().unwrap();
        assert_eq!(again.open(b"a", (&name, &sealed)).unwrap(), "sesame");
        assert_eq!(again.open(b"b", (&name, &sealed)), None);
        let mut bytes = BASE64.decode(&sealed).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            let changed = BASE64.encode(&bytes);
            assert_eq!(again.open(b"a", (&name, &changed)), None, "byte {at}");
            bytes[at] ^= 1;
        }
        // Another key: it seals from now on, and the one before opens.
        let old = fs::read_to_string(&path).unwrap();
        let new = BASE64.encode([7; KEY_BYTES]);
        fs::write(&path, format!("# keys\n{old}\n{new}\n")).unwrap();
        let both = keys.read().unwrap();
        assert_eq!(both.open(b"a", (&name, &sealed)).unwrap(), "sesame");
        let (newer, resealed) = both.seal(b"a", "sesame").unwrap();
        assert_ne!(newer, name);
        fs::write(&path, format!("{new}\n")).unwrap();
        let last = keys.read().unwrap();
        assert_eq!(last.open(b"a", (&name, &sealed)), None, "its key is gone");
        assert_eq!(last.open(b"a", (&newer, &resealed)).unwrap(), "sesame");
    }

    #[test]
    fn a_key_file_that_is_none_is_told_without_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        let check = |text: &str, mode: u32, expected: &str| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = SecretKeys::Named(path.clone()).read().err().unwrap();
            let said = error.to_string();
            assert!(said.contains(expected), "{said}");
            assert!(!said.contains("c2VjcmV0"), "{said}");
        };
        check("# none\n", 0o600, "no key");
        check("c2VjcmV0", 0o600, "line 1 is no key");
        check("\nc2VjcmV0!", 0o600, "line 2 is no key");
        check(&BASE64.encode([7; KEY_BYTES]), 0o640, "others may read it");
        fs::remove_file(&path).unwrap();
        assert!(SecretKeys::Named(path.clone()).read().is_err());
        assert!(!path.exists(), "only a file of our own is made");
        assert!(SecretKeys::Unnamed.read().is_err());
    }
}
