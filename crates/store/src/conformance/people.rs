//! Properties of programmes, tenants, projects and keys.

use super::sample::{key, programme, project, tenant, terms};
use super::{Failure, Fixture};
use crate::StoreError;
use madang_types::{
    DataClass, DataFlag, KeyId, KeyRecord, MicroWon, Micros, Origin, Period, Preempted,
    ProgrammeJobs, ProgrammeTerms, Role, TenantId, WhenEnded, Zone,
};

/// Putting a row again replaces every field of it.
pub async fn put_replaces(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    let mut one = programme("open", 1)?;
    store.programme_put(one.clone()).await?;
    assert_eq!(
        store.programme_get(one.id.clone()).await?.as_ref(),
        Some(&one)
    );
    (one.weight, one.origin, one.created_at) = (u32::MAX, Origin::Api, Micros(-5));
    one.disabled_at = Some(Micros(9));
    one.terms = ProgrammeTerms {
        period: Period {
            from: Some(Micros(-7)),
            until: Some(Micros(i64::MAX)),
        },
        eligibility: "창업 7년 이내 기업".into(),
        residency_floor: Some(Zone::DomesticPrivate),
        jobs: ProgrammeJobs {
            when_ended: WhenEnded::Stop,
            preempted: Preempted::Free,
        },
    };
    store.programme_put(one.clone()).await?;
    assert_eq!(
        store.programme_get(one.id.clone()).await?.as_ref(),
        Some(&one)
    );
    assert_eq!(store.programme_list().await?, [one]);

    let mut one = tenant("demo", 1)?;
    store.tenant_put(one.clone()).await?;
    assert_eq!(store.tenant_get(one.id.clone()).await?.as_ref(), Some(&one));
    (one.weight, one.origin, one.programme) = (0, Origin::Fleet, None);
    (one.class_floor, one.disabled_at) = (DataClass::Classified, Some(Micros(i64::MAX)));
    one.data_flags = DataFlag::ALL.into_iter().collect();
    store.tenant_put(one.clone()).await?;
    assert_eq!(store.tenant_get(one.id.clone()).await?.as_ref(), Some(&one));
    assert_eq!(store.tenant_list().await?, [one]);
    assert_eq!(store.tenant_get("other".parse()?).await?, None);
    assert_eq!(store.programme_get("other".parse()?).await?, None);
    Ok(())
}

/// Lists are ordered by id as bytes: digits, capitals, small letters.
pub async fn lists_are_by_id(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    for id in ["b", "a10", "B", "a-1", "a9", "1"] {
        store.programme_put(programme(id, 1)?).await?;
        store.tenant_put(tenant(id, 1)?).await?;
        store.key_insert(key(id)?).await?;
    }
    let expected = ["1", "B", "a-1", "a10", "a9", "b"];
    let programmes = store.programme_list().await?;
    let tenants = store.tenant_list().await?;
    let keys = store.key_list(None).await?;
    assert!(
        programmes.iter().map(|row| row.id.as_str()).eq(expected),
        "{programmes:?}"
    );
    assert!(
        tenants.iter().map(|row| row.id.as_str()).eq(expected),
        "{tenants:?}"
    );
    assert!(
        keys.iter().map(|row| row.id.as_str()).eq(expected),
        "{keys:?}"
    );
    Ok(())
}

/// A second insert of an id is refused and changes nothing.
pub async fn a_key_is_inserted_once(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    let mut one = key("k1")?;
    (one.expires_at, one.role, one.tenant) = (Some(Micros(77)), Role::Operator, None);
    (one.class_floor, one.data_flags) = (DataClass::Sensitive, DataFlag::Minor.into());
    one.programme = Some("open".parse()?);
    (one.project, one.terms) = (Some("web".parse()?), terms()?.into());
    one.secret_hash = std::array::from_fn(|i| u8::try_from(i * 8).unwrap_or(u8::MAX));
    store.key_insert(one.clone()).await?;
    let refused = store.key_insert(key("k1")?).await;
    assert_eq!(refused, Err(StoreError::Exists("the key k1".into())));
    assert_eq!(store.key_get(one.id.clone()).await?, Some(one));
    assert_eq!(store.key_get("k2".parse()?).await?, None);
    Ok(())
}

/// A put makes a key or makes it anew, every field, and leaves the others.
pub async fn a_key_is_put_again(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    let other = key("k2")?;
    store.key_insert(other.clone()).await?;
    let mut one = key("k1")?;
    (one.expires_at, one.secret_hash) = (Some(Micros(77)), [7; 32]);
    store.key_put(one.clone()).await?;
    assert_eq!(store.key_get(one.id.clone()).await?, Some(one.clone()));
    store.key_revoke(one.id.clone(), Micros(5)).await?;
    (one.role, one.tenant, one.programme) = (Role::ProgrammeManager, None, Some("open".parse()?));
    (one.class_floor, one.data_flags) = (DataClass::Sensitive, DataFlag::Minor.into());
    (one.project, one.terms) = (Some("web".parse()?), terms()?.into());
    (one.secret_hash, one.label) = ([9; 32], "again".into());
    (one.created_at, one.expires_at) = (Micros(6), Some(Micros(99)));
    store.key_put(one.clone()).await?;
    assert_eq!(store.key_list(None).await?, [one.clone(), other]);
    assert_eq!(store.key_list(Some("demo".parse()?)).await?, [key("k2")?]);
    Ok(())
}

/// The instant of the first revocation stays; the row reads as the answer said.
pub async fn revocation_keeps_the_first_instant(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    let id: KeyId = "k1".parse()?;
    store.key_insert(key("k1")?).await?;
    store.key_insert(key("k2")?).await?;
    let expected = KeyRecord {
        revoked_at: Some(Micros(50)),
        ..key("k1")?
    };
    assert_eq!(store.key_revoke(id.clone(), Micros(50)).await?, expected);
    assert_eq!(store.key_revoke(id.clone(), Micros(60)).await?, expected);
    assert_eq!(store.key_revoke(id.clone(), Micros(40)).await?, expected);
    assert_eq!(store.key_get(id).await?, Some(expected));
    assert_eq!(store.key_get("k2".parse()?).await?, Some(key("k2")?));
    Ok(())
}

/// There is nothing to revoke, and nothing comes to be by it.
pub async fn revoking_an_absent_key_is_refused(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    let refused = store.key_revoke("k1".parse()?, Micros(1)).await;
    assert_eq!(refused, Err(StoreError::Absent("the key k1".into())));
    assert_eq!(store.key_list(None).await?, []);
    Ok(())
}

/// A label is people's text, kept as it is.
pub async fn labels_are_any_text(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    let long = "가".repeat(10_000);
    let labels = [
        "",
        "김철수의 노트북",
        "e\u{301} é",
        "🧑‍🚀 \u{202e}x",
        "a'b\"c\\d;--\n\t%_",
        &long,
    ];
    for (number, label) in labels.into_iter().enumerate() {
        let mut one = key(&format!("k{number}"))?;
        one.label = label.into();
        store.key_insert(one.clone()).await?;
        assert_eq!(store.key_get(one.id.clone()).await?, Some(one));
    }
    Ok(())
}

/// A tenant's keys only; an operator's key belongs to none.
pub async fn keys_of_one_tenant(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    let operator = KeyRecord {
        tenant: None,
        role: Role::Operator,
        ..key("k0")?
    };
    let other = KeyRecord {
        tenant: Some("kma".parse()?),
        ..key("k2")?
    };
    for one in [other.clone(), key("k3")?, operator.clone(), key("k1")?] {
        store.key_insert(one).await?;
    }
    let all = [operator, key("k1")?, other.clone(), key("k3")?];
    assert_eq!(store.key_list(None).await?, all);
    assert_eq!(
        store.key_list(Some("demo".parse()?)).await?,
        [key("k1")?, key("k3")?]
    );
    assert_eq!(store.key_list(Some("kma".parse()?)).await?, [other]);
    assert_eq!(store.key_list(Some("none".parse()?)).await?, []);
    Ok(())
}

/// A project is its tenant's: the same name of two tenants is two rows; putting one again replaces every field of it.
pub async fn projects_are_their_tenants(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    let (a, b) = (project("demo", "web")?, project("kma", "web")?);
    let other = project("demo", "app")?;
    for one in [&b, &a, &other] {
        store.project_put(one.clone()).await?;
    }
    let all = [other.clone(), a.clone(), b.clone()];
    assert_eq!(store.project_list(None).await?, all);
    let own = store.project_list(Some("demo".parse()?)).await?;
    assert_eq!(own, [other, a.clone()]);
    assert_eq!(store.project_list(Some("none".parse()?)).await?, []);

    let mut changed = a.clone();
    (changed.label, changed.created_at) = (String::new(), Micros(-1));
    (changed.won_limit, changed.disabled_at) = (Some(MicroWon(i64::MAX)), Some(Micros(9)));
    store.project_put(changed.clone()).await?;
    let get = |tenant: &TenantId| store.project_get(tenant.clone(), a.id.clone());
    assert_eq!(get(&a.tenant).await?, Some(changed));
    assert_eq!(get(&b.tenant).await?, Some(b));
    assert_eq!(get(&"none".parse()?).await?, None);
    Ok(())
}

/// Everything stands after the store was opened again.
pub async fn people_survive(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    store.programme_put(programme("open", 4)?).await?;
    store.tenant_put(tenant("demo", 5)?).await?;
    store.project_put(project("demo", "web")?).await?;
    let mut bounded = key("k1")?;
    bounded.terms = terms()?.into();
    store.key_insert(bounded).await?;
    let revoked = store.key_revoke("k1".parse()?, Micros(8)).await?;
    drop(store);
    let store = fixture.open().await;
    assert_eq!(store.project_list(None).await?, [project("demo", "web")?]);
    assert_eq!(store.programme_list().await?, [programme("open", 4)?]);
    assert_eq!(store.tenant_list().await?, [tenant("demo", 5)?]);
    assert_eq!(store.key_list(None).await?, [revoked]);
    let refused = store.key_insert(key("k1")?).await;
    assert!(matches!(refused, Err(StoreError::Exists(_))), "{refused:?}");
    Ok(())
}
