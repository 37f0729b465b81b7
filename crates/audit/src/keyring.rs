//! The keys of the hashes in leaves: one for each tenant and month. With its key a hash confirms a text that somebody has;
//! without, it confirms nothing, so destroying the key erases what the log says of content.

use crate::disk::{self, Writer};
use crate::{AuditError, leaf::Hmac};
use jiff::civil::Date;
use jiff::tz::Offset;
use madang_types::{Micros, TenantId};
use ring::hmac;
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
    /// [`AuditError::Unavailable`]; [`AuditError::Damaged`] where the key's file is not whole.
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

    /// Destroys a key: its bytes are written over, its file is removed, and both are synced. What was hashed under it can
    /// no longer be confirmed.
    ///
    /// # Errors
    /// [`AuditError::NotFound`] where there is none; [`AuditError::Unavailable`].
    pub fn erase(&self, tenant: &TenantId, month: Month) -> Result<(), AuditError> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.remove(&(tenant.clone(), month));
        drop(held);
        let path = self.path(tenant, month);
        let erased = (|| {
            let file = disk::options(0o600).open(&path)?;
            io::Write::write_all(&mut &file, &[0; KEY_BYTES])?;
            file.sync_all()?;
            std::fs::remove_file(&path)?;
            path.parent()
                .map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
        })();
        erased.map_err(|error: io::Error| match disk::is_absent(&error) {
            true => AuditError::NotFound(format!("there is no key of {tenant} for {month}")),
            false => failed(&path, &error),
        })
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
        if bytes.len() != KEY_BYTES || bytes.iter().all(|byte| *byte == 0) {
            return Err(AuditError::damaged(
                path.display().to_string(),
                "it is no whole key, or was half erased",
            ));
        }
        Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
    }
}

/// The path of a key below the log's folder.
fn name(tenant: &TenantId, month: Month) -> String {
    format!("{KEYS}/{tenant}/{month}")
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

    #[test]
    fn a_hash_is_the_same_until_its_key_is_erased() {
        let folder = tempfile::tempdir().unwrap();
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
        let november = "2026-11".parse().unwrap();
        keys.erase(&tenant("kma"), november).unwrap();
        assert_eq!(
            keys.erase(&tenant("kma"), november)
                .unwrap_err()
                .to_string(),
            "there is no key of kma for 2026-11"
        );
        assert_ne!(hash(&keys, "kma", NOVEMBER, "a"), first);
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
