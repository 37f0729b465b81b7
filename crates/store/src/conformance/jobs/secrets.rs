//! Properties of secrets.

use super::{Failure, Fixture};
use crate::StoreError;
use madang_types::{Micros, SecretId, SecretRow};

fn row(
    (tenant, project): (&str, Option<&str>),
    name: &str,
    version: u64,
) -> Result<SecretRow, Failure> {
    Ok(SecretRow {
        id: SecretId {
            tenant: tenant.parse()?,
            project: project.map(str::parse).transpose()?,
            name: name.parse()?,
        },
        version,
        seal_key: "k1".to_owned(),
        sealed: format!("sealed {version} 봉인"),
        set_by: "op".parse()?,
        set_at: Micros(i64::try_from(version)?),
    })
}

/// A value is replaced by one of a later version, and by no other; so it is when the books are opened anew.
pub async fn a_secret_is_replaced_by_a_later_one_alone(
    fixture: &impl Fixture,
) -> Result<(), Failure> {
    let book = fixture.open().await;
    let second = row(("demo", None), "TOKEN", 2)?;
    book.secret_put(second.clone()).await?;
    let expected = StoreError::Exists("a later version of the secret TOKEN".to_owned());
    for version in [1, 2] {
        let put = book
            .secret_put(row(("demo", None), "TOKEN", version)?)
            .await;
        assert_eq!(put, Err(expected.clone()), "{version}");
    }
    assert_eq!(book.secret_list("demo".parse()?).await?, [second]);
    let third = row(("demo", None), "TOKEN", u64::try_from(i64::MAX)?)?;
    book.secret_put(third.clone()).await?;
    drop(book);
    let book = fixture.open().await;
    let listed = book.secret_list("demo".parse()?).await?;
    assert_eq!(listed, std::slice::from_ref(&third));
    book.secret_delete(third.id.clone()).await?;
    let absent = StoreError::Absent("the secret TOKEN".to_owned());
    assert_eq!(book.secret_delete(third.id).await, Err(absent));
    // One that was deleted begins anew.
    book.secret_put(row(("demo", None), "TOKEN", 1)?).await?;
    Ok(())
}

/// One name may be a tenant's, each of its projects' and another tenant's: they are apart.
pub async fn secrets_are_their_tenants_and_projects(fixture: &impl Fixture) -> Result<(), Failure> {
    let book = fixture.open().await;
    let whose = [
        ("demo", Some("b")),
        ("demo", None),
        ("demo", Some("a")),
        ("other", None),
    ];
    for (version, whose) in (1..).zip(whose) {
        book.secret_put(row(whose, "TOKEN", version)?).await?;
    }
    book.secret_put(row(("demo", None), "A", 9)?).await?;
    let listed = book.secret_list("demo".parse()?).await?;
    let versions: Vec<u64> = listed.iter().map(|row| row.version).collect();
    assert_eq!(versions, [9, 2, 3, 1]);
    assert_eq!(listed[2], row(("demo", Some("a")), "TOKEN", 3)?);
    book.secret_delete(row(("demo", None), "TOKEN", 0)?.id)
        .await?;
    let left = book.secret_list("demo".parse()?).await?;
    assert_eq!(left.len(), 3);
    assert_eq!(book.secret_list("other".parse()?).await?.len(), 1);
    assert_eq!(book.secret_list("nobody".parse()?).await?, []);
    Ok(())
}
