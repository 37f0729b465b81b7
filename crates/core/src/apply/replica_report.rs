//! A probe or a supervisor says how a replica is.

use crate::effect::Effect;
use crate::fleet_view::ReplicaHealth;
use crate::state::Core;
use madang_types::{Micros, ReplicaId};

impl Core {
    pub(super) fn on_replica_report(
        &mut self,
        now: Micros,
        replica: &ReplicaId,
        health: ReplicaHealth,
        effects: &mut Vec<Effect>,
    ) {
        let Some(&index) = self.member_ids.get(replica) else {
            return;
        };
        let others = self.serves_without(now, index);
        let Some(member) = self.member_mut(index) else {
            return;
        };
        if member.health == health {
            return;
        }
        member.health = health;
        member.breaker.reset();
        // Where nobody else serves, a slow start would only make everybody wait.
        if health == ReplicaHealth::Up && others {
            member.breaker.begin_slowly(member.view.slots);
        }
        // An engine that says who it is tells itself when its cache is gone.
        let (pool, forgets) = (
            member.pool,
            member.process.is_none() && health != ReplicaHealth::Up,
        );
        if forgets && let Some(pool) = self.pool_mut(pool) {
            pool.prefix.clear(index);
        }
        if self.is_power_short() {
            self.power_apply(now);
        }
        // Down: whoever waits only for this one hears it now. Up: whoever waits may start.
        self.serve_all(now, effects);
    }

    /// Whether another member of the same pool serves and has answered before.
    fn serves_without(&self, now: Micros, index: u16) -> bool {
        let Some(pool) = self.member(index).and_then(|member| self.pool(member.pool)) else {
            return false;
        };
        pool.members
            .iter()
            .filter(|other| **other != index)
            .filter_map(|other| self.member(*other))
            .any(|member| member.available(now) && member.speed.error_permille().is_some())
    }
}
