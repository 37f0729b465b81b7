//! Looking without making.

use super::{Name, ROOT, Tree};
use crate::fleet_view::Payer;
use crate::request::FlowIndex;
use crate::share::Weights;

impl Tree {
    /// The leaf of a payer, where there is one.
    pub fn leaf_known(&self, payer: &Payer, weights: &Weights) -> Option<FlowIndex> {
        let (programme, _) = weights.tenant(&payer.tenant);
        let names = [
            programme.map(Name::Programme),
            Some(Name::Tenant(payer.tenant.clone())),
            payer.project.clone().map(Name::Project),
            Some(Name::Key(payer.key.clone())),
        ];
        names.into_iter().flatten().try_fold(ROOT, |parent, name| {
            self.node(parent)?.children.get(&name).copied()
        })
    }
}
