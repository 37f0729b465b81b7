//! The keys of the hashes in leaves: one for each tenant and month. With its key a hash confirms a text that somebody has;
//! without, it confirms nothing, so destroying the key erases what the log says of content.

use crate::disk::{self, Writer};
use crate::leaf::{Event, Hmac, KeyErased};
use crate::{Appended, AuditError, AuditLog, Leaf};
use jiff::civil::Date;
use jiff::tz::Offset;
use madang_types::{Micros, TenantId};
use ring::hmac;
use serde::{Deserialize, Deserializer, de};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError, RwLock};

const KEYS: &str = "keys";
/// Where keys are written before they get their names: apart from the log's files, which another thread writes.
const NEW: &str = "keys/new";
const KEY_BYTES: usize = 32;
/// Keys that are held in memory; when there are more, they are read again.
const HELD_MAX: usize = 4096;

/// A civil month, as `2026-11`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: i16,
    month: i8,
}

impl Month {
    /// The month of an instant, `offset_s` seconds east of UTC.
    ///
    /// # Errors
    /// [`AuditError::Invalid`] for a time beyond the years 1 to 9999.
    pub fn of(at: Micros, offset_s: i32) -> Result<Self, AuditError> {
        let invalid = |e: jiff::Error| AuditError::Invalid(format!("no month: {e}"));
        let at = jiff::Timestamp::from_microsecond(at.0).map_err(invalid)?;
        let date = Offset::from_seconds(offset_s)
            .map_err(invalid)?
            .to_datetime(at)
            .date();
        Ok(Self {
            year: date.year(),
            month: date.month(),
        })
    }

    /// Its first instant, and the first of the next month, `offset_s` seconds east of UTC.
    ///
    /// # Errors
    /// [`AuditError::Invalid`] where the calendar ends before it does.
    pub fn span(self, offset_s: i32) -> Result<(Micros, Micros), AuditError> {
        let invalid = |e: jiff::Error| AuditError::Invalid(format!("{self} has no end: {e}"));
        let offset = Offset::from_seconds(offset_s).map_err(invalid)?;
        let first = Date::new(self.year, self.month, 1).map_err(invalid)?;
        let next = first.last_of_month().tomorrow().map_err(invalid)?;
        let begins = |date: Date| offset.to_timestamp(date.at(0, 0, 0, 0)).map_err(invalid);
        let micros = |at: jiff::Timestamp| Micros(at.as_microsecond());
        Ok((micros(begins(first)?), micros(begins(next)?)))
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl FromStr for Month {
    type Err = AuditError;

    fn from_str(text: &str) -> Result<Self, AuditError> {
        let date = text
            .split_once('-')
            .and_then(|(year, month)| Date::new(year.parse().ok()?, month.parse().ok()?, 1).ok());
        let month = date.map(|date| Self {
            year: date.year(),
            month: date.month(),
        });
        month
            .filter(|month| month.year > 0 && month.to_string() == text)
            .ok_or_else(|| AuditError::Invalid(format!("'{text}' is not a month, such as 2026-11")))
    }
}

impl<'de> Deserialize<'de> for Month {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

/// The keys of a log. Secrets: they are neither printed nor sent.
pub struct Keyring {
    /// The log's folder.
    log: PathBuf,
    offset_s: i32,
    held: RwLock<HashMap<Place, hmac::Key>>,
    /// Held while a key is read, made or destroyed, so that two threads make one; who has a key at hand passes.
    making: Mutex<()>,
}

/// Whose key, and for when.
type Place = (TenantId, Month);

impl Keyring {
    /// The keys in `keys` below the log's folder; months begin `offset_s` seconds east of UTC.
    pub fn new(log: &Path, offset_s: i32) -> Self {
        Self {
            log: log.to_owned(),
            offset_s,
            held: RwLock::default(),
            making: Mutex::default(),
        }
    }

    /// The hash of `content` under the key of `tenant` and of the month of `at`. A key is made at its first use, and is
    /// durable before this returns. The first use in a month waits for the disk.
    ///
    /// # Errors
    /// [`AuditError::Unavailable`]; [`AuditError::Damaged`] where the key's file is not whole; [`AuditError::Invalid`] where an
    /// erasure was not brought to its end.
    pub fn hmac(&self, tenant: &TenantId, at: Micros, content: &[u8]) -> Result<Hmac, AuditError> {
        let place = (tenant.clone(), Month::of(at, self.offset_s)?);
        let key = match self.held(&place) {
            Some(key) => key,
            None => self.fetch(place)?,
        };
        let mut hash = [0; KEY_BYTES];
        hash.copy_from_slice(hmac::sign(&key, content).as_ref());
        Ok(Hmac(hash))
    }

    fn held(&self, place: &Place) -> Option<hmac::Key> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.get(place).cloned()
    }

    /// A key that is not at hand.
    fn fetch(&self, place: Place) -> Result<hmac::Key, AuditError> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been first.
        if let Some(key) = self.held(&place) {
            return Ok(key);
        }
        let key = self.key(&place)?;
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= HELD_MAX {
            held.clear();
        }
        held.insert(place, key.clone());
        Ok(key)
    }

    /// Destroys a key and has the log say so: the key's bytes are written over, the leaf is appended, the file is removed.
    /// What was hashed before this returns can no longer be confirmed. While the leaf is not logged no other key takes its place,
    /// so that an erasure is in the log before anything is hashed again; doing it again brings it to its end.
    ///
    /// # Errors
    /// [`AuditError::NotFound`] where there is none; [`AuditError::Unavailable`]; [`AuditError::Invalid`] where the key is
    /// destroyed and the log cannot say so.
    pub fn erase(
        &self,
        log: &AuditLog,
        (tenant, month): (TenantId, Month),
        at: Micros,
    ) -> Result<Appended, AuditError> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (tenant, month);
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.remove(&place);
        drop(held);
        let (tenant, month) = place;
        let path = self.path(&tenant, month);
        overwrite(&path).map_err(|error| match disk::is_absent(&error) {
            true => AuditError::NotFound(format!("there is no key of {tenant} for {month}")),
            false => failed(&path, &error),
        })?;
        let erased = KeyErased {
            tenant: tenant.clone(),
            month: month.to_string(),
        };
        let leaf = Leaf::new(at, Event::KeyErased(erased)).encode()?;
        let appended = log.append_blocking(leaf);
        let appended = appended.map_err(|error| unlogged((&tenant, month), &error.to_string()))?;
        remove(&path).map_err(|error| failed(&path, &error))?;
        Ok(appended)
    }

    /// A tenant's name is a safe name of a file: `TenantId` admits no other.
    fn path(&self, tenant: &TenantId, month: Month) -> PathBuf {
        self.log.join(name(tenant, month))
    }

    /// Reads a key, or makes it.
    fn key(&self, (tenant, month): &Place) -> Result<hmac::Key, AuditError> {
        let path = self.path(tenant, *month);
        let read = disk::read(&path, KEY_BYTES as u64).map_err(|e| failed(&path, &e))?;
        let bytes = match read {
            Some(bytes) => bytes,
            None => {
                let mut bytes = [0; KEY_BYTES];
                getrandom::fill(&mut bytes)
                    .map_err(|e| AuditError::Unavailable(format!("no randomness: {e}")))?;
                let mut writer = Writer::new(&self.log, NEW);
                let written = writer
                    .put(&name(tenant, *month), &bytes, 0o600)
                    .and_then(|()| writer.sync());
                written.map_err(|e| failed(&path, &e))?;
                bytes.to_vec()
            }
        };
        if bytes == [0; KEY_BYTES] {
            return Err(unlogged((tenant, *month), "its erasure broke off"));
        }
        if bytes.len() != KEY_BYTES {
            let path = path.display().to_string();
            return Err(AuditError::damaged(path, "it is no whole key"));
        }
        Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
    }
}

/// The path of a key below the log's folder.
fn name(tenant: &TenantId, month: Month) -> String {
    format!("{KEYS}/{tenant}/{month}")
}

/// Writes over a key where it stands.
fn overwrite(path: &Path) -> io::Result<()> {
    let mut file = disk::options(0o600).open(path)?;
    io::Write::write_all(&mut file, &[0; KEY_BYTES])?;
    file.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path)?;
    path.parent()
        .map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
}

/// What is left of an erasure until it is done again.
fn unlogged((tenant, month): (&TenantId, Month), why: &str) -> AuditError {
    AuditError::Invalid(format!(
        "the key of {tenant} for {month} is destroyed and the log does not say so ({why}): `madang audit erase` it again"
    ))
}

fn failed(path: &Path, error: &io::Error) -> AuditError {
    AuditError::Unavailable(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    /// 2026-11-30T15:00:00Z: December in Korea.
    const DECEMBER: Micros = Micros(1_796_050_800_000_000);
    const NOVEMBER: Micros = Micros(DECEMBER.0 - 1);

    #[test]
    fn months_read_back_and_begin_at_their_offset() {
        for (at, offset_s, month) in [
            (DECEMBER, 32_400, "2026-12"),
            (NOVEMBER, 32_400, "2026-11"),
            (DECEMBER, 0, "2026-11"),
        ] {
            assert_eq!(Month::of(at, offset_s).unwrap().to_string(), month);
            assert_eq!(month.parse::<Month>().unwrap().to_string(), month);
        }
        let november: Month = "2026-11".parse().unwrap();
        let (first, next) = november.span(32_400).unwrap();
        assert_eq!((next, next.0 - first.0), (DECEMBER, 30 * 86_400_000_000));
        let leap: Month = "2028-02".parse().unwrap();
        let (first, next) = leap.span(-18_000).unwrap();
        assert_eq!(next.0 - first.0, 29 * 86_400_000_000);
        assert!("9999-12".parse::<Month>().unwrap().span(0).is_err());
        for bad in [
            "",
            "2026",
            "2026-1",
            "2026-13",
            "2026-11-01",
            "-026-11",
            "../x",
            "0000-01",
        ] {
            assert!(bad.parse::<Month>().is_err(), "{bad}");
        }
    }

    fn log(folder: &Path) -> AuditLog {
        AuditLog::open(folder, &crate::Settings::new("madang.example/test")).unwrap()
    }

    #[test]
    fn a_hash_is_the_same_until_its_key_is_erased() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path());
        let keys = Keyring::new(folder.path(), 32_400);
        let hash = |keys: &Keyring, name, at, text: &str| {
            keys.hmac(&tenant(name), at, text.as_bytes()).unwrap()
        };
        let first = hash(&keys, "kma", NOVEMBER, "a");
        assert_eq!(hash(&keys, "kma", NOVEMBER, "a"), first);
        assert_eq!(
            hash(&Keyring::new(folder.path(), 32_400), "kma", NOVEMBER, "a"),
            first
        );
        assert_ne!(hash(&keys, "kma", NOVEMBER, "b"), first);
        assert_ne!(hash(&keys, "kma", DECEMBER, "a"), first);
        assert_ne!(hash(&keys, "hanbit", NOVEMBER, "a"), first);
        let november = || (tenant("kma"), "2026-11".parse().unwrap());
        keys.erase(&log, november(), NOVEMBER).unwrap();
        assert_eq!(
            keys.erase(&log, november(), NOVEMBER)
                .unwrap_err()
                .to_string(),
            "there is no key of kma for 2026-11"
        );
        // The running month goes on with another key, which can be erased in its turn.
        let second = hash(&keys, "kma", NOVEMBER, "a");
        assert_ne!(second, first);
        assert_eq!(keys.erase(&log, november(), NOVEMBER).unwrap().index, 1);
        assert_ne!(hash(&keys, "kma", NOVEMBER, "a"), second);
    }

    #[test]
    fn an_erasure_that_is_not_logged_is_brought_to_its_end_first() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path());
        let keys = || Keyring::new(folder.path(), 32_400);
        let hash = |keys: &Keyring| keys.hmac(&tenant("kma"), NOVEMBER, b"a");
        let first = hash(&keys()).unwrap();
        // What a crash leaves between the two.
        overwrite(&folder.path().join("keys/kma/2026-11")).unwrap();
        let keys = keys();
        let refused = hash(&keys).unwrap_err().to_string();
        assert!(
            refused.contains("`madang audit erase` it again"),
            "{refused}"
        );
        let november = (tenant("kma"), "2026-11".parse().unwrap());
        assert_eq!(keys.erase(&log, november, NOVEMBER).unwrap().index, 0);
        assert_ne!(hash(&keys).unwrap(), first);
    }

    #[test]
    fn hashes_that_are_made_while_a_key_is_erased_have_one_of_two_keys() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path());
        let keys = Keyring::new(folder.path(), 32_400);
        let hash = || keys.hmac(&tenant("kma"), NOVEMBER, b"a").unwrap();
        let first = hash();
        let seen = std::thread::scope(|scope| {
            let hashing = || (0..2_000).map(|_| hash()).collect::<Vec<Hmac>>();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(hashing)).collect();
            let november = (tenant("kma"), "2026-11".parse().unwrap());
            keys.erase(&log, november, NOVEMBER).unwrap();
            let joined = threads.into_iter().map(|thread| thread.join().unwrap());
            joined.collect::<Vec<_>>()
        });
        let last = hash();
        assert_ne!(last, first);
        for hashes in seen {
            let old = hashes.iter().take_while(|hash| **hash == first).count();
            let rest = &hashes[old..];
            assert!(rest.iter().all(|hash| *hash == last), "{old} had the first");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_key_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        Keyring::new(folder.path(), 0)
            .hmac(&tenant("kma"), NOVEMBER, b"")
            .unwrap();
        let path = folder.path().join("keys/kma/2026-11");
        assert_eq!(
            std::fs::metadata(path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
