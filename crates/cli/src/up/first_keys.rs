//! The first start: an operator key and a demo tenant's key, in files that only their owner reads.

use crate::up::data_folder::write_private;
use anyhow::Context;
use madang_control::Control;
use madang_gateway::clock;
use madang_gateway::keyring::{KeySecret, hash_secret, key_text};
use madang_types::{DataClass, DataFlags, KeyRecord, Origin, Role, Tenant, TenantId};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The tenant whose key is made.
const DEMO_TENANT: &str = "demo";

/// Where the first keys are.
pub struct FirstKeys {
    /// The tenant key's file.
    pub tenant_file: PathBuf,
    /// The operator key's file.
    pub operator_file: PathBuf,
    /// The tenant key itself, at the first start only.
    pub tenant_key: Option<String>,
}

impl FirstKeys {
    /// Makes the keys where the books hold none.
    pub async fn ensure(control: &Control, data: &Path) -> anyhow::Result<Self> {
        let tenant_file = data.join("tenant.key");
        let operator_file = data.join("operator.key");
        let store = control.gateway().books.store_arc();
        let known = store.key_list(None).await?;
        let has = |role: Role| known.iter().any(|key| key.role == role);
        let mut keys = Self {
            tenant_file,
            operator_file,
            tenant_key: None,
        };
        // The operator's last: a start that was cut short between the two makes both good at the next.
        if !has(Role::Member) && !has(Role::Operator) {
            let tenant = ensure_tenant(control).await?;
            let key = make(control, &keys.tenant_file, (Role::Member, Some(tenant))).await?;
            keys.tenant_key = Some(key);
        }
        if !has(Role::Operator) {
            make(control, &keys.operator_file, (Role::Operator, None)).await?;
        }
        Ok(keys)
    }
}

/// The demo tenant: the fleet file's, its only one, or a new one.
async fn ensure_tenant(control: &Control) -> anyhow::Result<TenantId> {
    let demo = TenantId::new(DEMO_TENANT)?;
    let gateway = control.gateway();
    let fleet = &gateway.snapshot().fleet;
    if fleet.tenants.contains_key(&demo) {
        return Ok(demo);
    }
    let tenant = Tenant {
        id: demo.clone(),
        programme: None,
        weight: 1,
        class_floor: DataClass::Open,
        data_flags: DataFlags::NONE,
        origin: Origin::Api,
        created_at: clock::now(),
        disabled_at: None,
    };
    gateway.books.store().tenant_put(tenant.clone()).await?;
    gateway.tenant_apply(tenant);
    Ok(demo)
}

/// The file first, then the books: a cut in between leaves a file with a key that is not valid and is made anew.
async fn make(
    control: &Control,
    file: &Path,
    (role, tenant): (Role, Option<TenantId>),
) -> anyhow::Result<String> {
    let (id, secret) = KeySecret::generate();
    let text = key_text(&id, &secret);
    write_private(file, &format!("{text}\n"))?;
    let key = KeyRecord {
        id,
        tenant,
        programme: None,
        project: None,
        role,
        terms: Arc::default(),
        class_floor: DataClass::default(),
        data_flags: DataFlags::NONE,
        label: "made at the first start".into(),
        secret_hash: hash_secret(&secret),
        created_at: clock::now(),
        expires_at: None,
        revoked_at: None,
    };
    let gateway = control.gateway();
    gateway
        .audit
        .key(&key, true, None)
        .await
        .context("the first keys cannot be written to the audit log")?;
    gateway
        .books
        .store()
        .key_insert(key.clone())
        .await
        .context("the first keys cannot be written to the books")?;
    gateway.key_apply(key);
    Ok(text)
}
