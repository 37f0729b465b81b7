//! Who is calling: API keys `mdg_<id>_<secret>`, checked against a snapshot that readers take without a lock.
//!
//! Only hashes of secrets are held. Nothing here prints a key, and an error never says which part was wrong.

mod jobs;
#[cfg(test)]
mod tests;

use crate::headers;
use crate::purses::Over;
use arc_swap::ArcSwap;
use http::header::{AUTHORIZATION, HeaderMap};
use madang_core::{Shares, TenantShare};
use madang_store::{Store, StoreError};
use madang_types::{
    DataMark, ErrorCode, KeyId, KeyRecord, KeyTerms, MicroWon, Micros, Period, Programme,
    ProgrammeId, Project, ProjectId, Role, Tenant, TenantId, Zone,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use subtle::ConstantTimeEq;

/// The greatest length of a presented key, in bytes.
pub const PRESENTED_BYTES_MAX: usize = 200;
/// Letters of a key's id; 36^12 ids.
const ID_CHARS: usize = 12;
/// Letters of a secret: 62^43 is just above 2^256.
pub const SECRET_CHARS: usize = 43;
/// Separates this use of BLAKE3 from every other.
const HASH_CONTEXT: &str = "madang 2026 api key v1";
/// How often [`Keyring::refresh`] reads again because a key was changed while it read.
const REFRESH_READS_MAX: u32 = 8;
const ALPHABET: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Makes new keys.
pub struct KeySecret;

impl KeySecret {
    /// A new key's id and its secret (the part behind the second `_`, 256 bits). The secret is shown once and never
    /// stored; [`key_text`] joins the two to what the user is given.
    pub fn generate() -> (KeyId, String) {
        let id = random_text(ID_CHARS, 36);
        let id = KeyId::new(&id).expect("letters and digits are a name");
        (id, random_text(SECRET_CHARS, ALPHABET.len()))
    }
}

/// The whole key as the user keeps it: `mdg_<id>_<secret>`.
pub fn key_text(id: &KeyId, secret: &str) -> String {
    format!("mdg_{id}_{secret}")
}

/// What is stored of a secret. The secret has 256 random bits, so a fast hash is enough.
pub fn hash_secret(secret: &str) -> [u8; 32] {
    blake3::derive_key(HASH_CONTEXT, secret.as_bytes())
}

/// `length` characters, each uniform over the first `radix` of the alphabet.
fn random_text(length: usize, radix: usize) -> String {
    let mut text = String::with_capacity(length);
    let mut bytes = [0u8; 64];
    // Bytes from the last, incomplete run of `radix` values would favour the first characters.
    let even = 256 - 256 % radix;
    while text.len() < length {
        getrandom::fill(&mut bytes).expect("the kernel's random generator answers");
        let missing = length - text.len();
        let chars = bytes.iter().map(|b| usize::from(*b)).filter(|b| *b < even);
        text.extend(chars.take(missing).map(|b| char::from(ALPHABET[b % radix])));
    }
    text
}

/// Why a caller is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentifyError {
    /// No key was shown.
    #[error("no key was given")]
    Missing,
    /// The key is none of ours.
    #[error("the key is not valid")]
    Invalid,
    /// The key was ours and its time is over.
    #[error("the key has expired")]
    Expired,
    /// The key, its project, its tenant or its programme was withdrawn.
    #[error("the key was revoked")]
    Revoked,
}

impl IdentifyError {
    /// The code that the caller is sent.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Missing => ErrorCode::KeyMissing,
            Self::Invalid => ErrorCode::KeyInvalid,
            Self::Expired => ErrorCode::KeyExpired,
            Self::Revoked => ErrorCode::KeyRevoked,
        }
    }
}

/// Who is calling. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The key that was shown.
    pub key: KeyId,
    /// Who is billed; `None` for the roles that belong to no tenant.
    pub tenant: Option<TenantId>,
    /// What the key may do.
    pub role: Role,
    /// The tenant's programme, or the one that the key manages.
    pub programme: Option<ProgrammeId>,
    /// When that programme's tenants are served.
    pub period: Period,
    /// The tenant's project that its usage counts for.
    pub project: Option<ProjectId>,
    /// What the key may be used for, how fast and for how much.
    pub terms: Arc<KeyTerms>,
    /// What all data of the tenant is at least.
    pub tenant_floor: DataMark,
    /// What all data sent with this key is at least.
    pub key_floor: DataMark,
    /// When the key ends.
    pub expires_at: Option<Micros>,
}

/// Whose a request that is not sent would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The tenant's programme.
    pub programme: Option<ProgrammeId>,
    /// When that programme's tenants are served.
    pub period: Period,
    /// The key's project.
    pub project: Option<ProjectId>,
    /// What all data of the tenant is at least.
    pub tenant_floor: DataMark,
    /// What all data sent with the key is at least.
    pub key_floor: DataMark,
}

/// All rows that decide whether a key is good, as of one moment.
#[derive(Clone, Default)]
struct Book {
    keys: HashMap<KeyId, Arc<KeyRecord>>,
    tenants: HashMap<TenantId, Tenant>,
    projects: HashMap<(TenantId, ProjectId), Project>,
    programmes: HashMap<ProgrammeId, Programme>,
}

/// The keys in force.
pub struct Keyring {
    book: ArcSwap<Book>,
    /// Counts changes made by `apply_…`, so that a refresh that read before one does not undo it.
    changes: AtomicU64,
}

impl Keyring {
    /// A keyring without keys: everyone is refused.
    pub fn empty() -> Self {
        Self {
            book: ArcSwap::default(),
            changes: AtomicU64::new(0),
        }
    }

    /// Reads all keys, tenants and programmes.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let keyring = Self::empty();
        keyring.refresh(store).await?;
        Ok(keyring)
    }

    /// Reads everything again and puts it in force at once.
    ///
    /// # Errors
    /// Where the store cannot be read, or keys change faster than they can be read; the old keys stay in force.
    pub(crate) async fn refresh(&self, store: &dyn Store) -> Result<(), StoreError> {
        for _ in 0..REFRESH_READS_MAX {
            let changes = self.changes.load(Ordering::Acquire);
            let before = self.book.load_full();
            let book = Arc::new(Book::read(store).await?);
            // The swap fails where an `apply_…` came between; the count shows one that began and has not swapped yet.
            let unchanged = self.changes.load(Ordering::Acquire) == changes;
            if unchanged && Arc::ptr_eq(&self.book.compare_and_swap(&before, book), &before) {
                return Ok(());
            }
        }
        Err(StoreError::Unavailable(
            "keys changed each time while they were read".into(),
        ))
    }

    /// Puts one key, as just written to the store, in force.
    pub(crate) fn apply_key(&self, key: KeyRecord) {
        let key = Arc::new(key);
        self.change(|book| {
            book.keys.insert(key.id.clone(), Arc::clone(&key));
        });
    }

    /// Puts one tenant, as just written to the store, in force.
    pub(crate) fn apply_tenant(&self, tenant: Tenant) {
        self.change(|book| {
            book.tenants.insert(tenant.id.clone(), tenant.clone());
        });
    }

    /// Puts one programme, as just written to the store, in force.
    pub(crate) fn apply_programme(&self, programme: Programme) {
        self.change(|book| {
            book.programmes
                .insert(programme.id.clone(), programme.clone());
        });
    }

    /// Puts one project, as just written to the store, in force.
    pub(crate) fn apply_project(&self, project: Project) {
        self.change(|book| {
            let name = (project.tenant.clone(), project.id.clone());
            book.projects.insert(name, project.clone());
        });
    }

    fn change(&self, edit: impl Fn(&mut Book)) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.book.rcu(|book| {
            let mut next = Book::clone(book);
            edit(&mut next);
            next
        });
    }

    /// Who presents this key. The work is the same whether the id is known or not.
    ///
    /// # Errors
    /// No key, or one that is not in force at `now`.
    pub fn identify(
        &self,
        presented: Option<&str>,
        now: Micros,
    ) -> Result<Identity, IdentifyError> {
        let presented = presented.ok_or(IdentifyError::Missing)?;
        if presented.len() > PRESENTED_BYTES_MAX {
            return Err(IdentifyError::Invalid);
        }
        let (id, secret) = split(presented).unwrap_or(("", presented));
        let hash = hash_secret(secret);
        let book = self.book.load();
        let key = KeyId::new(id).ok().and_then(|id| book.keys.get(&id));
        let stored = key.map_or([0; 32], |key| key.secret_hash);
        let same = bool::from(stored.ct_eq(&hash));
        match key {
            Some(key) if same => book.check(key, now),
            _ => Err(IdentifyError::Invalid),
        }
    }

    /// Whom a key belongs to that was shown before.
    ///
    /// # Errors
    /// The key is not in force at `now`.
    pub fn identity(&self, key: &KeyId, now: Micros) -> Result<Identity, IdentifyError> {
        let book = self.book.load();
        let key = book.keys.get(key).ok_or(IdentifyError::Invalid)?;
        book.check(key, now)
    }

    /// Who a request of a tenant that is in force would be of, with a key of its own or with none.
    pub fn account(&self, tenant: &TenantId, key: Option<&KeyId>) -> Option<Account> {
        let book = self.book.load();
        let tenant = book.tenant(tenant).ok()?;
        let key = match key {
            None => None,
            Some(key) => {
                let key = book.keys.get(key)?;
                let own = key.tenant.as_ref() == Some(&tenant.id) && key.revoked_at.is_none();
                Some(own.then_some(key)?)
            }
        };
        Some(Account {
            programme: tenant.programme.clone(),
            period: book.period_of(tenant.programme.as_ref()),
            project: key.and_then(|key| key.project.clone()),
            tenant_floor: tenant_floor(tenant),
            key_floor: key.map(|key| key_floor(key)).unwrap_or_default(),
        })
    }

    /// The programme that a tenant belongs to, be it in force or not.
    pub fn programme_of(&self, tenant: &TenantId) -> Option<ProgrammeId> {
        self.book.load().tenants.get(tenant)?.programme.clone()
    }

    /// The weights of all who are in force, and the floors of programmes, in the order of their names.
    pub fn shares(&self) -> Shares {
        let book = self.book.load();
        let open = || {
            let programmes = book.programmes.values();
            programmes.filter(|row| row.disabled_at.is_none())
        };
        let mut programmes: Vec<(ProgrammeId, u32)> =
            open().map(|row| (row.id.clone(), row.weight)).collect();
        programmes.sort();
        let floors = open().filter_map(|row| Some((row.id.clone(), row.terms.residency_floor?)));
        let mut floors: Vec<(ProgrammeId, Zone)> = floors.collect();
        floors.sort();
        let tenants = book.tenants.values();
        let tenants = tenants.filter(|row| row.disabled_at.is_none());
        let mut tenants: Vec<TenantShare> = tenants
            .map(|row| TenantShare {
                tenant: row.id.clone(),
                programme: row.programme.clone(),
                weight: row.weight,
            })
            .collect();
        tenants.sort_by(|one, other| one.tenant.cmp(&other.tenant));
        Shares {
            programmes,
            tenants,
            floors,
        }
    }

    /// Keys and projects that may spend so much and no more; those that are over are left out.
    pub(crate) fn won_limits(&self) -> Vec<(Over, MicroWon)> {
        let book = self.book.load();
        let keys = book.keys.values().filter(|key| key.revoked_at.is_none());
        let keys = keys.filter_map(|key| Some((Over::Key(key.id.clone()), key.terms.won_limit?)));
        let projects = book.projects.values();
        let projects = projects.filter(|project| project.disabled_at.is_none());
        let projects = projects.filter_map(|project| {
            let over = Over::Project(project.tenant.clone(), project.id.clone());
            Some((over, project.won_limit?))
        });
        keys.chain(projects).collect()
    }

    /// How many keys are held, revoked and expired ones included.
    pub fn len(&self) -> usize {
        self.book.load().keys.len()
    }

    /// Whether no key is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring")
            .field("keys", &self.len())
            .finish_non_exhaustive()
    }
}

impl Book {
    async fn read(store: &dyn Store) -> Result<Self, StoreError> {
        let programmes = store.programme_list().await?;
        let tenants = store.tenant_list().await?;
        let projects = store.project_list(None).await?;
        let keys = store.key_list(None).await?.into_iter().map(Arc::new);
        let name = |project: &Project| (project.tenant.clone(), project.id.clone());
        Ok(Self {
            keys: keys.map(|k| (k.id.clone(), k)).collect(),
            projects: projects.into_iter().map(|p| (name(&p), p)).collect(),
            tenants: tenants.into_iter().map(|t| (t.id.clone(), t)).collect(),
            programmes: programmes.into_iter().map(|p| (p.id.clone(), p)).collect(),
        })
    }

    /// Whether a key whose secret was right is in force.
    fn check(&self, key: &KeyRecord, now: Micros) -> Result<Identity, IdentifyError> {
        if key.revoked_at.is_some() {
            return Err(IdentifyError::Revoked);
        }
        if key.expires_at.is_some_and(|at| now >= at) {
            return Err(IdentifyError::Expired);
        }
        let tenant = match &key.tenant {
            None => None,
            Some(id) => Some(self.tenant(id)?),
        };
        let programme = tenant.map_or(&key.programme, |tenant| &tenant.programme);
        let projects_open = tenant.zip(key.project.as_ref()).is_none_or(|(tenant, id)| {
            let project = self.projects.get(&(tenant.id.clone(), id.clone()));
            project.is_some_and(|project| project.disabled_at.is_none())
        });
        if !projects_open || !self.programme_open(programme.as_ref()) {
            return Err(IdentifyError::Revoked);
        }
        Ok(Identity {
            key: key.id.clone(),
            tenant: key.tenant.clone(),
            role: key.role,
            programme: programme.clone(),
            period: self.period_of(programme.as_ref()),
            project: key.project.clone(),
            terms: Arc::clone(&key.terms),
            tenant_floor: tenant.map(tenant_floor).unwrap_or_default(),
            key_floor: key_floor(key),
            expires_at: key.expires_at,
        })
    }

    /// A tenant that is in force itself and through its programme.
    fn tenant(&self, id: &TenantId) -> Result<&Tenant, IdentifyError> {
        let tenant = self.tenants.get(id).ok_or(IdentifyError::Revoked)?;
        if tenant.disabled_at.is_none() && self.programme_open(tenant.programme.as_ref()) {
            Ok(tenant)
        } else {
            Err(IdentifyError::Revoked)
        }
    }

    fn period_of(&self, programme: Option<&ProgrammeId>) -> Period {
        let row = programme.and_then(|id| self.programmes.get(id));
        row.map(|row| row.terms.period).unwrap_or_default()
    }

    fn programme_open(&self, id: Option<&ProgrammeId>) -> bool {
        id.is_none_or(|id| {
            let programme = self.programmes.get(id);
            programme.is_some_and(|programme| programme.disabled_at.is_none())
        })
    }
}

fn tenant_floor(tenant: &Tenant) -> DataMark {
    DataMark {
        class: tenant.class_floor,
        flags: tenant.data_flags,
    }
}

fn key_floor(key: &KeyRecord) -> DataMark {
    DataMark {
        class: key.class_floor,
        flags: key.data_flags,
    }
}

/// Id and secret of `mdg_<id>_<secret>`. Secrets hold no `_`; an id chosen by hand may.
fn split(presented: &str) -> Option<(&str, &str)> {
    presented.strip_prefix("mdg_")?.rsplit_once('_')
}

/// The key that the headers carry: `Authorization: Bearer …` or `x-api-key`.
///
/// # Errors
/// [`IdentifyError::Invalid`] where two different keys are shown, or what is shown cannot be a key.
pub fn presented_key(headers: &HeaderMap) -> Result<Option<&str>, IdentifyError> {
    let mut found: Option<&str> = None;
    let bearer = headers
        .get_all(AUTHORIZATION)
        .iter()
        .map(|value| (value, true));
    let plain = headers
        .get_all(headers::X_API_KEY)
        .iter()
        .map(|value| (value, false));
    for (value, is_bearer) in bearer.chain(plain) {
        let text = value.to_str().map_err(|_| IdentifyError::Invalid)?.trim();
        let key = if is_bearer { bearer_token(text)? } else { text };
        if key.is_empty() {
            continue;
        }
        if key.len() > PRESENTED_BYTES_MAX || found.is_some_and(|other| other != key) {
            return Err(IdentifyError::Invalid);
        }
        found = Some(key);
    }
    Ok(found)
}

/// What stands behind the scheme `Bearer`, in any case of letters.
fn bearer_token(text: &str) -> Result<&str, IdentifyError> {
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if text.is_empty() || scheme.eq_ignore_ascii_case("bearer") {
        Ok(token.trim())
    } else {
        Err(IdentifyError::Invalid)
    }
}
