//! A fleet was loaded: members join, change or leave. Nothing that runs is touched; what left finishes first.

use crate::effect::{Effect, Refusal};
use crate::fleet_view::{FleetView, PoolMember};
use crate::member::Member;
use crate::request::MemberIndex;
use crate::state::{Core, Pool};
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
            members,
            origins,
            limits,
            rules,
            credit,
            policy,
            virtuals,
        } = view;
        self.limits = limits;
        self.rules = rules;
        self.credits.terms_apply(credit);
        self.origins = origins;
        let models: BTreeSet<ModelId> = members.iter().map(|m| m.model.clone()).collect();
        let (held_back, members): (Vec<PoolMember>, Vec<PoolMember>) =
            members.into_iter().partition(|m| m.held_back);
        self.returning = held_back.into_iter().map(|m| m.model).collect();
        let staying: BTreeSet<ReplicaId> = members.iter().map(|m| m.replica.clone()).collect();
        for member in self.members.iter_mut().flatten() {
            member.leaving = !staying.contains(&member.view.replica);
        }
        self.pools_apply(&models);
        for view in members {
            self.member_apply(view);
        }
        self.power_apply(now);
        self.policy_apply(now, policy);
        self.names_apply();
        let virtuals = virtuals.into_iter().map(|name| (name.id, name.candidates));
        self.virtuals = virtuals.collect();
        self.give_up_gone(now, &models, effects);
        self.drop_drained(effects);
        self.serve_all(now, effects);
    }

    /// Whoever waits for a model that nobody serves any more waits for nothing.
    fn give_up_gone(&mut self, now: Micros, models: &BTreeSet<ModelId>, effects: &mut Vec<Effect>) {
        for index in self.pool_indices() {
            let gone = self
                .pool(index)
                .filter(|pool| !models.contains(&pool.model))
                .map(|pool| pool.tree.all());
            for request in gone.unwrap_or_default() {
                self.give_up(now, request, Refusal::ModelUnknown, effects);
            }
        }
    }

    /// Makes pools for new models.
    fn pools_apply(&mut self, models: &BTreeSet<ModelId>) {
        for model in models {
            if !self.pools.iter().flatten().any(|pool| pool.model == *model) {
                let pool = Pool::new(model.clone());
                match self.pools.iter_mut().find(|slot| slot.is_none()) {
                    Some(slot) => *slot = Some(pool),
                    None => self.pools.push(Some(pool)),
                }
            }
        }
    }

    fn pool_of(&self, model: &ModelId) -> Option<u32> {
        let at = |pool: &Option<Pool>| pool.as_ref().is_some_and(|pool| pool.model == *model);
        u32::try_from(self.pools.iter().position(at)?).ok()
    }

    /// A member joins, or what the fleet file says of it changed.
    fn member_apply(&mut self, view: PoolMember) {
        let Some(pool) = self.pool_of(&view.model) else {
            return;
        };
        let known = self.member_ids.get(&view.replica).copied();
        if let Some(index) = known
            && let Some(member) = self.member_mut(index)
        {
            // What a probe found out stays true over a reload, and so does what was learnt.
            member.limit.slots_apply(member.view.slots, view.slots);
            member.speed.costs_apply(&view.costs);
            let before = std::mem::replace(&mut member.pool, pool);
            member.view = view;
            if before != pool {
                self.move_member(index, before, pool);
            }
            return;
        }
        let replica = view.replica.clone();
        let mut member = Member::new(view, pool);
        let others = self.members.iter().flatten();
        if let Some(known) = others
            .filter(|other| other.pool == pool && other.speed.seen() > 0)
            .max_by_key(|other| other.speed.seen())
        {
            member.speed.learn_from(&known.speed);
        }
        let index = match self.members.iter().position(Option::is_none) {
            Some(index) => {
                self.members[index] = Some(member);
                index
            }
            None => {
                self.members.push(Some(member));
                self.members.len() - 1
            }
        };
        let Ok(index) = MemberIndex::try_from(index) else {
            self.members.pop();
            return;
        };
        self.member_ids.insert(replica, index);
        if let Some(pool) = self.pool_mut(pool) {
            pool.members.push(index);
            pool.members.sort_unstable();
        }
    }

    /// A replica serves another model now.
    fn move_member(&mut self, index: MemberIndex, before: u32, after: u32) {
        if let Some(pool) = self.pool_mut(before) {
            pool.members.retain(|other| *other != index);
            pool.prefix.clear(index);
        }
        if let Some(pool) = self.pool_mut(after) {
            pool.members.push(index);
            pool.members.sort_unstable();
        }
    }

    /// Which name leads to which pool: models first, adapters of serving members after.
    fn names_apply(&mut self) {
        self.pool_ids.clear();
        for member in self
            .members
            .iter()
            .flatten()
            .filter(|member| !member.leaving)
        {
            for adapter in &member.view.adapters {
                self.pool_ids.insert(adapter.clone(), member.pool);
            }
        }
        let returning = &self.returning;
        let serves = |pool: &Pool| {
            let of_pool = |index: &MemberIndex| {
                let member = self
                    .members
                    .get(usize::from(*index))
                    .and_then(Option::as_ref);
                member.is_some_and(|member| !member.leaving)
            };
            pool.members.iter().any(of_pool) || returning.contains(&pool.model)
        };
        for (index, pool) in (0..).zip(&self.pools) {
            if let Some(pool) = pool.as_ref().filter(|pool| serves(pool)) {
                self.pool_ids.insert(pool.model.clone(), index);
            }
        }
    }

    /// Members that left and hold nothing are gone, and so are pools without members.
    pub(super) fn drop_drained(&mut self, effects: &mut Vec<Effect>) {
        if !self.members.iter().flatten().any(|member| member.leaving) {
            return;
        }
        for at in 0..self.members.len() {
            let gone = self.members[at]
                .as_ref()
                .is_some_and(|m| m.leaving && m.running.is_empty());
            let (true, Ok(index)) = (gone, MemberIndex::try_from(at)) else {
                continue;
            };
            let Some(member) = self.members[at].take() else {
                continue;
            };
            self.member_ids.remove(&member.view.replica);
            if let Some(pool) = self.pool_mut(member.pool) {
                pool.members.retain(|other| *other != index);
                pool.prefix.clear(index);
            }
            effects.push(Effect::Drained {
                replica: member.view.replica,
            });
        }
        let named: BTreeSet<u32> = self.pool_ids.values().copied().collect();
        for (index, slot) in (0..).zip(self.pools.iter_mut()) {
            // What runs for it may run at a member that serves another model by now.
            let empty = slot.as_ref().is_some_and(|p| {
                p.members.is_empty() && p.tree.waiting() == 0 && p.tree.running() == 0
            });
            if empty && !named.contains(&index) {
                *slot = None;
            }
        }
    }
}
