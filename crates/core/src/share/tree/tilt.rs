//! Credit in the tree: weights that count for more or less than themselves for a while, and what was used since the last account.

use super::{FlowIndex, LEVEL, Name, Tree};
use crate::credit::Used;
use crate::learn::rounded;
use crate::share::level::TenantUse;
use madang_types::TenantId;
use std::collections::BTreeMap;

impl Tree {
    /// Tilts weights so that tenants' parts are those with credit: of each tenant its part by weight, and with credit. All others
    /// stand level.
    pub fn tilt(&mut self, parts: &[(FlowIndex, f64, f64)]) {
        for index in std::mem::take(&mut self.tilted) {
            self.tilt_set(index, 1.0);
        }
        let mut programmes: BTreeMap<FlowIndex, (f64, f64)> = BTreeMap::new();
        for (tenant, own, leaned) in parts {
            if let (Some((above, _)), _) = self.weights(*tenant) {
                let sums = programmes.entry(above).or_default();
                sums.0 += own;
                sums.1 += leaned;
            }
        }
        for (tenant, own, leaned) in parts {
            let (above, _) = self.weights(*tenant);
            let sums = above.and_then(|(above, _)| programmes.get(&above));
            let among = sums.map_or(1.0, |(own, leaned)| leaned / own);
            self.tilt_set(*tenant, leaned / own / among);
            self.tilted.push(*tenant);
        }
        for (programme, (own, leaned)) in programmes {
            self.tilt_set(programme, leaned / own);
            self.tilted.push(programme);
        }
    }

    fn tilt_set(&mut self, index: FlowIndex, tilt: f64) {
        if let Some(node) = self.node_mut(index) {
            let permille = rounded(tilt * f64::from(LEVEL) + 0.5);
            node.tilt_permille = u32::try_from(permille).unwrap_or(u32::MAX).max(1);
        }
    }

    /// Each tenant's use.
    pub fn uses_mut(&mut self) -> impl Iterator<Item = (&TenantId, &mut TenantUse)> {
        self.nodes.iter_mut().filter_map(|node| {
            let Name::Tenant(tenant) = &node.name else {
                return None;
            };
            Some((tenant, node.usage.as_deref_mut()?))
        })
    }

    /// What each tenant used since this was last asked.
    pub fn unsettled(&mut self) -> Vec<(TenantId, Used)> {
        self.uses_mut()
            .map(|(tenant, usage)| (tenant.clone(), std::mem::take(&mut usage.unsettled)))
            .filter(|(_, used)| *used != Used::default())
            .collect()
    }
}
