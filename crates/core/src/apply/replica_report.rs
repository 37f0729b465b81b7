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
        let Some(member) = self.members.get_mut(replica) else {
            return;
        };
        if member.health == health {
            return;
        }
        member.health = health;
        member.failures = 0;
        member.ejected_until = None;
        // Down: whoever waits only for this one hears it now. Up: whoever waits may start.
        self.serve_all(now, effects);
    }
}
