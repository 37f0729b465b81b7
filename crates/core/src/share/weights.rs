//! Weights by name, as the last [`crate::Shares`] said them.

use crate::fleet_view::Shares;
use madang_types::{ProgrammeId, TenantId};
use std::collections::BTreeMap;

/// Weights of programmes and tenants. Whoever is not named weighs 1.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    programmes: BTreeMap<ProgrammeId, u32>,
    tenants: BTreeMap<TenantId, (Option<ProgrammeId>, u32)>,
}

impl Weights {
    pub fn new(shares: Shares) -> Self {
        let Shares {
            programmes,
            tenants,
            floors: _,
        } = shares;
        let tenants = tenants
            .into_iter()
            .map(|share| (share.tenant, (share.programme, share.weight)));
        Self {
            programmes: programmes.into_iter().collect(),
            tenants: tenants.collect(),
        }
    }

    pub fn programme(&self, programme: &ProgrammeId) -> u32 {
        self.programmes.get(programme).copied().unwrap_or(1).max(1)
    }

    /// A tenant's programme, where it is of one.
    pub fn programme_of(&self, tenant: &TenantId) -> Option<&ProgrammeId> {
        self.tenants.get(tenant)?.0.as_ref()
    }

    /// A tenant's programme and weight.
    pub fn tenant(&self, tenant: &TenantId) -> (Option<ProgrammeId>, u32) {
        let (programme, weight) = self.tenants.get(tenant).cloned().unwrap_or((None, 1));
        (programme, weight.max(1))
    }
}
