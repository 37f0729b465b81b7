//! Secrets of jobs: sealed on their way into the books, and opened for a run that begins. Nobody reads one otherwise.

mod keys;

pub use keys::SecretKeys;

use madang_executor::jobs::SecretText;
use madang_gateway::clock;
use madang_store::{JobBook, StoreError};
use madang_types::{
    JobSpec, KeyId, ProjectId, SECRET_VALUE_BYTES_MAX, SECRETS_TENANT_MAX, SecretId, SecretName,
    SecretRow, TenantId,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a secret could not be put or had. Never its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretsError {
    /// The value is none that could be kept.
    #[error("{0}")]
    Value(String),
    /// The tenant has as many as it may have, or somebody else was faster.
    #[error("{0}")]
    Conflict(String),
    /// There is none of this name for the job.
    #[error("there is no secret '{0}'")]
    Missing(String),
    /// It cannot be opened: its key is not in the key file, or it is not what was sealed.
    #[error("the secret '{0}' cannot be opened with the keys that are there")]
    Sealed(String),
    /// The key file cannot be used.
    #[error("the key file of secrets cannot be used: {0}")]
    Keys(String),
    /// The books cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Secrets in the books.
pub struct Secrets {
    book: Arc<dyn JobBook>,
    keys: SecretKeys,
}

impl Secrets {
    /// Those of these books, sealed with these keys.
    pub fn new(book: Arc<dyn JobBook>, keys: SecretKeys) -> Self {
        Self { book, keys }
    }

    /// A tenant's secrets and its projects', by project and name; sealed.
    ///
    /// # Errors
    /// [`SecretsError::Store`].
    pub async fn list(&self, tenant: &TenantId) -> Result<Vec<SecretRow>, SecretsError> {
        Ok(self.book.secret_list(tenant.clone()).await?)
    }

    /// Keeps a value, in place of the one before.
    ///
    /// # Errors
    /// It cannot be kept; nothing was changed.
    pub async fn put(
        &self,
        id: SecretId,
        text: &str,
        by: KeyId,
    ) -> Result<SecretRow, SecretsError> {
        if text.is_empty() || text.len() > SECRET_VALUE_BYTES_MAX || text.contains('\0') {
            let what = format!(
                "a secret's value has 1 to {SECRET_VALUE_BYTES_MAX} bytes, none of them zero"
            );
            return Err(SecretsError::Value(what));
        }
        let there = self.list(&id.tenant).await?;
        let before = there.iter().find(|row| row.id == id);
        if before.is_none() && there.len() >= SECRETS_TENANT_MAX {
            let what = format!("a tenant has at most {SECRETS_TENANT_MAX} secrets: delete one");
            return Err(SecretsError::Conflict(what));
        }
        let version = before.map_or(1, |row| row.version.saturating_add(1));
        let (seal_key, sealed) = self.keys.read()?.seal(&place(&id, version), text)?;
        let row = SecretRow {
            id,
            version,
            seal_key,
            sealed,
            set_by: by,
            set_at: clock::now(),
        };
        match self.book.secret_put(row.clone()).await {
            Ok(()) => Ok(row),
            Err(StoreError::Exists(_)) => {
                let what = "somebody else put it at the same time: try again";
                Err(SecretsError::Conflict(what.to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Drops a secret, and gives it as it stood. Runs that have it keep it.
    ///
    /// # Errors
    /// [`SecretsError::Missing`], [`SecretsError::Store`].
    pub async fn delete(&self, id: SecretId) -> Result<SecretRow, SecretsError> {
        let found = self
            .list(&id.tenant)
            .await?
            .into_iter()
            .find(|row| row.id == id);
        let row = found.ok_or_else(|| SecretsError::Missing(id.name.to_string()))?;
        self.book.secret_delete(id).await?;
        Ok(row)
    }

    /// Whether a job of that project finds all secrets that it names.
    ///
    /// # Errors
    /// [`SecretsError::Missing`] with the first that it does not find.
    pub async fn check(
        &self,
        (tenant, project): (&TenantId, Option<&ProjectId>),
        spec: &JobSpec,
    ) -> Result<(), SecretsError> {
        if spec.secrets.is_empty() {
            return Ok(());
        }
        let there = self.list(tenant).await?;
        for name in spec.secrets.values() {
            find(&there, project, name)?;
        }
        Ok(())
    }

    /// The values of what a job names, by its variables.
    ///
    /// # Errors
    /// One is not there any more, or cannot be opened.
    pub async fn open(
        &self,
        (tenant, project): (&TenantId, Option<&ProjectId>),
        spec: &JobSpec,
    ) -> Result<BTreeMap<String, SecretText>, SecretsError> {
        if spec.secrets.is_empty() {
            return Ok(BTreeMap::new());
        }
        let there = self.list(tenant).await?;
        let keys = self.keys.read()?;
        let opened = spec.secrets.iter().map(|(variable, name)| {
            let row = find(&there, project, name)?;
            let text = keys.open(&place(&row.id, row.version), (&row.seal_key, &row.sealed));
            let text = text.ok_or_else(|| SecretsError::Sealed(name.clone()))?;
            Ok((variable.clone(), SecretText(text)))
        });
        opened.collect()
    }
}

/// A secret for a job: its project's comes before its tenant's.
fn find<'a>(
    rows: &'a [SecretRow],
    project: Option<&ProjectId>,
    name: &str,
) -> Result<&'a SecretRow, SecretsError> {
    let missing = || SecretsError::Missing(name.to_owned());
    let name: SecretName = name.parse().map_err(|_| missing())?;
    let of = |project: Option<&ProjectId>| {
        let is = |row: &&SecretRow| row.id.project.as_ref() == project && row.id.name == name;
        rows.iter().find(is)
    };
    let own = project.and_then(|project| of(Some(project)));
    own.or_else(|| of(None)).ok_or_else(missing)
}

/// What a sealed value is bound to: moved elsewhere in the books, or put back as a later version, it does not open. No name has a line
/// break in it.
fn place(id: &SecretId, version: u64) -> Vec<u8> {
    let project = id.project.as_ref().map_or("", ProjectId::as_str);
    format!(
        "madang secret 1\n{}\n{project}\n{}\n{version}",
        id.tenant, id.name
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(project: Option<&str>, name: &str, version: u64) -> SecretRow {
        SecretRow {
            id: SecretId {
                tenant: "demo".parse().unwrap(),
                project: project.map(|project| project.parse().unwrap()),
                name: name.parse().unwrap(),
            },
            version,
            seal_key: String::new(),
            sealed: String::new(),
            set_by: "op".parse().unwrap(),
            set_at: madang_types::Micros(0),
        }
    }

    #[test]
    fn a_projects_secret_comes_before_its_tenants_and_is_no_other_projects() {
        let rows = [
            row(None, "A", 1),
            row(Some("x"), "A", 2),
            row(Some("y"), "B", 3),
        ];
        let check = |project: Option<&str>, name: &str, expected: Option<u64>| {
            let project = project.map(|project| project.parse().unwrap());
            let found = find(&rows, project.as_ref(), name).ok();
            assert_eq!(found.map(|row| row.version), expected, "{project:?} {name}");
        };
        check(None, "A", Some(1));
        check(Some("x"), "A", Some(2));
        check(Some("y"), "A", Some(1));
        check(Some("y"), "B", Some(3));
        check(Some("x"), "B", None);
        check(None, "B", None);
        check(None, "not a name", None);
    }

    #[test]
    fn places_differ_in_each_part() {
        let places = [
            place(&row(None, "A", 1).id, 1),
            place(&row(None, "A", 1).id, 2),
            place(&row(None, "B", 1).id, 1),
            place(&row(Some("A"), "B", 1).id, 1),
        ];
        for (at, one) in places.iter().enumerate() {
            assert!(!places[..at].contains(one), "{at}");
        }
    }
}
