//! A fleet was loaded: members join, change or leave. Nothing that runs is touched; what left finishes first.

use crate::effect::{Effect, Refusal};
use crate::fleet_view::{FleetView, PoolMember};
use crate::state::{Core, Member};
use madang_types::{Micros, ModelId, ReplicaId};
use std::collections::BTreeSet;

impl Core {
    pub(super) fn on_fleet_apply(
        &mut self,
        now: Micros,
        view: FleetView,
        effects: &mut Vec<Effect>,
    ) {
        let FleetView {
            members, limits, ..
        } = view;
        self.limits = limits;
        let models: BTreeSet<ModelId> = members.iter().map(|m| m.model.clone()).collect();
        let (held_back, members): (Vec<PoolMember>, Vec<PoolMember>) =
            members.into_iter().partition(|m| m.held_back);
        self.returning = held_back.into_iter().map(|m| m.model).collect();
        let staying: BTreeSet<ReplicaId> = members.iter().map(|m| m.replica.clone()).collect();

        for (replica, member) in &mut self.members {
            member.leaving = !staying.contains(replica);
        }
        for view in members {
            match self.members.get_mut(&view.replica) {
                // What a probe found out stays true over a reload.
                Some(member) => member.view = view,
                None => {
                    self.members.insert(view.replica.clone(), Member::new(view));
                }
            }
        }
        self.drop_drained(effects);

        for model in &models {
            self.pools.entry(model.clone()).or_default();
        }
        let gone: Vec<ModelId> = self
            .pools
            .keys()
            .filter(|m| !models.contains(*m))
            .cloned()
            .collect();
        for model in gone {
            self.refuse_waiting(&model, Refusal::ModelUnknown, effects);
            self.pools.remove(&model);
        }
        self.serve_all(now, effects);
    }

    /// Members that left and hold nothing are gone.
    pub(super) fn drop_drained(&mut self, effects: &mut Vec<Effect>) {
        let drained: Vec<ReplicaId> = self
            .members
            .iter()
            .filter(|(_, member)| member.leaving && member.running.is_empty())
            .map(|(replica, _)| replica.clone())
            .collect();
        for replica in drained {
            self.members.remove(&replica);
            effects.push(Effect::Drained { replica });
        }
    }
}
