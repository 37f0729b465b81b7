//! An engine says how it is loaded: whether it is the process that it was, and whether its memory was enough.

use crate::input::EngineLoad;
use crate::state::Core;
use madang_types::{Micros, ReplicaId};

impl Core {
    pub(super) fn on_replica_load(&mut self, now: Micros, replica: &ReplicaId, load: EngineLoad) {
        let EngineLoad {
            // The core's own account is newer than what a page said a moment ago.
            running: _,
            waiting: _,
            kv_permille: _,
            preemptions,
            started_s,
        } = load;
        let Some(&index) = self.member_ids.get(replica) else {
            return;
        };
        let Some(member) = self.member_mut(index) else {
            return;
        };
        let another =
            started_s.is_some() && member.process.is_some() && member.process != started_s;
        member.process = started_s.or(member.process);
        if let (Some(before), Some(count)) = (member.preemptions, preemptions)
            && count > before
            && !another
        {
            // It threw sequences out for want of memory: it was given more than it holds.
            let slots = member.view.slots;
            member.limit.decrease(now, slots);
        }
        member.preemptions = preemptions.or(member.preemptions);
        let pool = member.pool;
        if another {
            // What the last process did is no fault of this one.
            member.breaker.reset();
        }
        if another && let Some(pool) = self.pool_mut(pool) {
            pool.prefix.clear(index);
        }
    }
}
