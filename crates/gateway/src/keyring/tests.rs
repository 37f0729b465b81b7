use super::*;
use async_trait::async_trait;
use http::HeaderValue;
use madang_ledger::report::Extract;
use madang_store::{Settlement, UsageFilter, UsageGroup, UsageSum};
use madang_types::{
    DataClass, DataFlag, Origin, ProgrammeTerms, RequestId, Stop, StopScope, UsageRecord,
};
use std::sync::Mutex;

const NOW: Micros = Micros(1_000_000);

fn key(id: &KeyId, secret: &str, tenant: Option<&str>) -> KeyRecord {
    KeyRecord {
        id: id.clone(),
        tenant: tenant.map(|t| TenantId::new(t).unwrap()),
        programme: None,
        project: None,
        terms: Arc::default(),
        role: if tenant.is_some() {
            Role::Member
        } else {
            Role::Operator
        },
        class_floor: DataClass::Sensitive,
        data_flags: DataFlag::Minor.into(),
        label: String::new(),
        secret_hash: hash_secret(secret),
        created_at: Micros(1),
        expires_at: None,
        revoked_at: None,
    }
}

fn tenant(programme: Option<&str>) -> Tenant {
    Tenant {
        id: TenantId::new("hanbit").unwrap(),
        programme: programme.map(|p| ProgrammeId::new(p).unwrap()),
        weight: 1,
        class_floor: DataClass::Open,
        data_flags: DataFlag::Health.into(),
        origin: Origin::Api,
        created_at: Micros(1),
        disabled_at: None,
    }
}

fn programme() -> Programme {
    Programme {
        id: ProgrammeId::new("startups").unwrap(),
        weight: 1,
        terms: ProgrammeTerms::default(),
        origin: Origin::Fleet,
        created_at: Micros(1),
        disabled_at: None,
    }
}

/// A keyring with one tenant key, and that key's record and text.
fn one_key() -> (Keyring, KeyRecord, String) {
    let keyring = Keyring::empty();
    let (id, secret) = KeySecret::generate();
    let record = key(&id, &secret, Some("hanbit"));
    keyring.apply_programme(programme());
    keyring.apply_tenant(tenant(Some("startups")));
    keyring.apply_key(record.clone());
    (keyring, record, key_text(&id, &secret))
}

#[test]
fn generated_keys_have_the_fixed_form() {
    let (id, secret) = KeySecret::generate();
    assert_eq!(id.as_str().len(), 12);
    assert!(
        id.as_str()
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    );
    assert_eq!(secret.len(), 43);
    assert!(secret.bytes().all(|b| b.is_ascii_alphanumeric()));
    assert_ne!(KeySecret::generate().1, secret);
    assert_eq!(
        split(&key_text(&id, &secret)),
        Some((id.as_str(), secret.as_str()))
    );
}

#[test]
fn a_good_key_names_its_tenant() {
    let (keyring, record, text) = one_key();
    let identity = keyring.identify(Some(&text), NOW).unwrap();
    assert_eq!(
        identity,
        Identity {
            key: record.id,
            tenant: record.tenant,
            role: Role::Member,
            programme: Some(ProgrammeId::new("startups").unwrap()),
            period: Period::default(),
            project: None,
            terms: Arc::default(),
            tenant_floor: DataMark {
                class: DataClass::Open,
                flags: DataFlag::Health.into(),
            },
            key_floor: DataMark {
                class: DataClass::Sensitive,
                flags: DataFlag::Minor.into(),
            },
            expires_at: None,
        }
    );
}

#[test]
fn an_operator_key_needs_no_tenant() {
    let keyring = Keyring::empty();
    let (id, secret) = KeySecret::generate();
    keyring.apply_key(key(&id, &secret, None));
    let identity = keyring
        .identify(Some(&key_text(&id, &secret)), NOW)
        .unwrap();
    assert_eq!((identity.role, identity.tenant), (Role::Operator, None));
}

#[test]
fn anything_but_the_whole_key_is_invalid() {
    let (keyring, record, text) = one_key();
    let invalid = |presented: &str| {
        assert_eq!(
            keyring.identify(Some(presented), NOW),
            Err(IdentifyError::Invalid)
        );
    };
    invalid("");
    invalid("mdg_");
    invalid("mdg__");
    invalid("sk-123");
    invalid(&text[..text.len() - 1]);
    invalid(&format!("{text}x"));
    invalid(&text.to_uppercase());
    invalid(&format!("mdg_{}_", record.id));
    invalid(&format!("mdg_{}_{}", "nobody", &text[17..]));
    invalid(&"x".repeat(PRESENTED_BYTES_MAX + 1));
    assert_eq!(keyring.identify(None, NOW), Err(IdentifyError::Missing));
}

#[test]
fn a_key_ends_with_its_time_its_tenant_or_its_programme() {
    let check = |edit: &dyn Fn(&Keyring, KeyRecord), expected: IdentifyError| {
        let (keyring, record, text) = one_key();
        edit(&keyring, record);
        assert_eq!(keyring.identify(Some(&text), NOW), Err(expected));
        assert_eq!(
            keyring.identify(Some(&format!("{text}x")), NOW),
            Err(IdentifyError::Invalid)
        );
    };
    check(
        &|ring, record| {
            ring.apply_key(KeyRecord {
                revoked_at: Some(NOW),
                ..record
            })
        },
        IdentifyError::Revoked,
    );
    check(
        &|ring, record| {
            ring.apply_key(KeyRecord {
                expires_at: Some(NOW),
                ..record
            })
        },
        IdentifyError::Expired,
    );
    check(
        &|ring, _| {
            ring.apply_tenant(Tenant {
                disabled_at: Some(NOW),
                ..tenant(None)
            })
        },
        IdentifyError::Revoked,
    );
    check(
        &|ring, _| ring.apply_tenant(tenant(Some("unknown"))),
        IdentifyError::Revoked,
    );
    check(
        &|ring, _| {
            ring.apply_programme(Programme {
                disabled_at: Some(NOW),
                ..programme()
            })
        },
        IdentifyError::Revoked,
    );
    check(
        &|ring, record| {
            let tenant = Some(TenantId::new("absent").unwrap());
            ring.apply_key(KeyRecord { tenant, ..record });
        },
        IdentifyError::Revoked,
    );
}

#[test]
fn a_key_is_good_until_just_before_it_expires() {
    let (keyring, record, text) = one_key();
    keyring.apply_key(KeyRecord {
        expires_at: Some(Micros(NOW.0 + 1)),
        ..record
    });
    assert!(keyring.identify(Some(&text), NOW).is_ok());
}

#[test]
fn no_text_of_a_key_is_printed() {
    let (keyring, _, text) = one_key();
    let (_, secret) = split(&text).unwrap();
    let identity = keyring.identify(Some(&text), NOW).unwrap();
    let printed = format!(
        "{keyring:?} {identity:?} {:?} {}",
        IdentifyError::Invalid,
        IdentifyError::Invalid
    );
    assert!(!printed.contains(secret));
}

#[test]
fn a_key_is_read_from_either_header() {
    let check = |pairs: &[(&'static str, &[u8])], expected: Result<Option<&str>, IdentifyError>| {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        assert_eq!(presented_key(&map), expected, "{pairs:?}");
    };
    check(&[], Ok(None));
    check(&[("authorization", b"Bearer abc")], Ok(Some("abc")));
    check(&[("authorization", b"bEARER   abc ")], Ok(Some("abc")));
    check(&[("x-api-key", b"abc")], Ok(Some("abc")));
    check(
        &[("x-api-key", b"abc"), ("authorization", b"Bearer abc")],
        Ok(Some("abc")),
    );
    check(
        &[("x-api-key", b"abc"), ("authorization", b"Bearer abd")],
        Err(IdentifyError::Invalid),
    );
    check(
        &[("x-api-key", b"abc"), ("x-api-key", b"abd")],
        Err(IdentifyError::Invalid),
    );
    check(
        &[("authorization", b"Basic abc")],
        Err(IdentifyError::Invalid),
    );
    check(&[("authorization", b"abc")], Err(IdentifyError::Invalid));
    check(&[("authorization", b"Bearer")], Ok(None));
    check(
        &[("authorization", b"Bearer "), ("x-api-key", b"abc")],
        Ok(Some("abc")),
    );
    check(&[("authorization", b"")], Ok(None));
    check(
        &[("x-api-key", "키".as_bytes())],
        Err(IdentifyError::Invalid),
    );
    check(
        &[("x-api-key", &[b'x'; PRESENTED_BYTES_MAX + 1])],
        Err(IdentifyError::Invalid),
    );
}

/// What a test's store does just after it has read the keys.
type AfterRead = Box<dyn Fn() + Send + Sync>;

/// Serves a keyring what it reads, and nothing else.
#[derive(Default)]
struct Rows {
    keys: Mutex<Vec<KeyRecord>>,
    after_read: Mutex<Option<AfterRead>>,
}

#[async_trait]
impl Store for Rows {
    async fn usage_settle(&self, _: Settlement) -> Result<(), StoreError> {
        unreachable!("a keyring reads people only")
    }
    async fn usage_draft(&self, _: Vec<Settlement>) -> Result<(), StoreError> {
        unreachable!("a keyring reads people only")
    }
    async fn usage_get(&self, _: RequestId) -> Result<Option<UsageRecord>, StoreError> {
        unreachable!("a keyring reads people only")
    }
    async fn usage_list(
        &self,
        _: UsageFilter,
        _: Option<RequestId>,
        _: u32,
    ) -> Result<Vec<UsageRecord>, StoreError> {
        unreachable!("a keyring reads people only")
    }
    async fn usage_sum(&self, _: UsageFilter, _: UsageGroup) -> Result<Vec<UsageSum>, StoreError> {
        unreachable!("a keyring reads people only")
    }
    async fn usage_extract(&self, _: UsageFilter, _: i32) -> Result<Extract, StoreError> {
        unreachable!("a keyring reads people only")
    }
    async fn programme_put(&self, _: Programme) -> Result<(), StoreError> {
        unreachable!("a keyring writes nothing")
    }
    async fn programme_list(&self) -> Result<Vec<Programme>, StoreError> {
        Ok(vec![programme()])
    }
    async fn programme_get(&self, _: ProgrammeId) -> Result<Option<Programme>, StoreError> {
        unreachable!("a keyring reads lists")
    }
    async fn tenant_put(&self, _: Tenant) -> Result<(), StoreError> {
        unreachable!("a keyring writes nothing")
    }
    async fn tenant_list(&self) -> Result<Vec<Tenant>, StoreError> {
        Ok(vec![tenant(Some("startups"))])
    }
    async fn tenant_get(&self, _: TenantId) -> Result<Option<Tenant>, StoreError> {
        unreachable!("a keyring reads lists")
    }
    async fn project_put(&self, _: Project) -> Result<(), StoreError> {
        unreachable!("a keyring writes nothing")
    }
    async fn project_list(&self, _: Option<TenantId>) -> Result<Vec<Project>, StoreError> {
        Ok(Vec::new())
    }
    async fn project_get(&self, _: TenantId, _: ProjectId) -> Result<Option<Project>, StoreError> {
        unreachable!("a keyring writes nothing")
    }
    async fn key_insert(&self, _: KeyRecord) -> Result<(), StoreError> {
        unreachable!("a keyring writes nothing")
    }
    async fn key_put(&self, _: KeyRecord) -> Result<(), StoreError> {
        unreachable!("a keyring writes nothing")
    }
    async fn key_list(&self, _: Option<TenantId>) -> Result<Vec<KeyRecord>, StoreError> {
        let keys = self.keys.lock().unwrap().clone();
        if let Some(then) = self.after_read.lock().unwrap().take() {
            then();
        }
        Ok(keys)
    }
    async fn key_get(&self, _: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        unreachable!("a keyring reads lists")
    }
    async fn key_revoke(&self, _: KeyId, _: Micros) -> Result<KeyRecord, StoreError> {
        unreachable!("a keyring writes nothing")
    }
    async fn stop_put(&self, _: Stop) -> Result<Stop, StoreError> {
        unreachable!("a keyring writes nothing")
    }
    async fn stop_list(&self) -> Result<Vec<Stop>, StoreError> {
        unreachable!("a keyring reads people only")
    }
    async fn stop_delete(&self, _: StopScope) -> Result<Stop, StoreError> {
        unreachable!("a keyring writes nothing")
    }
}

#[tokio::test]
async fn a_refresh_takes_what_the_store_has_and_forgets_the_rest() {
    let (id, secret) = KeySecret::generate();
    let store = Rows::default();
    store
        .keys
        .lock()
        .unwrap()
        .push(key(&id, &secret, Some("hanbit")));
    let keyring = Keyring::load(&store).await.unwrap();
    assert!(keyring.identify(Some(&key_text(&id, &secret)), NOW).is_ok());
    store.keys.lock().unwrap().clear();
    keyring.refresh(&store).await.unwrap();
    assert!(keyring.is_empty());
}

#[tokio::test]
async fn a_refresh_that_read_before_a_revocation_does_not_undo_it() {
    let (id, secret) = KeySecret::generate();
    let good = key(&id, &secret, Some("hanbit"));
    let revoked = KeyRecord {
        revoked_at: Some(NOW),
        ..good.clone()
    };
    let store = Arc::new(Rows::default());
    store.keys.lock().unwrap().push(good);
    let keyring = Arc::new(Keyring::load(&*store).await.unwrap());
    let (store_then, keyring_then) = (store.clone(), keyring.clone());
    *store.after_read.lock().unwrap() = Some(Box::new(move || {
        *store_then.keys.lock().unwrap() = vec![revoked.clone()];
        keyring_then.apply_key(revoked.clone());
    }));
    keyring.refresh(&*store).await.unwrap();
    let seen = keyring.identify(Some(&key_text(&id, &secret)), NOW);
    assert_eq!(seen, Err(IdentifyError::Revoked));
}
