//! Programmes and tenants in force: in the keyring, and as shares in the core, which hears of them where they changed.

use crate::gateway::Gateway;
use madang_core::Input;
use madang_store::StoreError;
use madang_types::{KeyRecord, Programme, Project, Tenant};
use std::sync::PoisonError;

impl Gateway {
    /// Puts one tenant, as just written to the books, in force.
    pub fn tenant_apply(&self, tenant: Tenant) {
        self.keyring.apply_tenant(tenant);
        self.shares_apply();
    }

    /// Puts one programme, as just written to the books, in force.
    pub fn programme_apply(&self, programme: Programme) {
        self.keyring.apply_programme(programme);
        self.shares_apply();
    }

    /// Reads keys, tenants and programmes again and puts them in force.
    ///
    /// # Errors
    /// The books cannot be read; what was in force stays.
    pub async fn people_refresh(&self) -> Result<(), StoreError> {
        self.keyring.refresh(self.books.store()).await?;
        self.limits_apply();
        self.shares_apply();
        Ok(())
    }

    /// Puts one project, as just written to the books, in force.
    pub fn project_apply(&self, project: Project) {
        self.keyring.apply_project(project);
        self.limits_apply();
    }

    /// Puts one key, as just written to the books, in force.
    pub fn key_apply(&self, key: KeyRecord) {
        self.keyring.apply_key(key);
        self.limits_apply();
    }

    /// Tells what keys and projects in force may spend.
    pub(crate) fn limits_apply(&self) {
        // Held over both, so that of two changes the later one is told last.
        let told = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        self.purses.limits_apply(self.keyring.won_limits());
        drop(told);
    }

    /// Tells the core the weights of now, where they are others than it was told last: those of what is granted begin and end
    /// with the allocations.
    pub fn shares_apply(&self) {
        // Held over both, so that of two changes the later one is told last.
        let mut told = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let mut shares = self.keyring.shares();
        self.purses.weigh(&mut shares);
        if *told != shares {
            told.clone_from(&shares);
            self.purses.shares_apply(&shares);
            self.driver.apply(Input::SharesApply(shares));
        }
    }
}
