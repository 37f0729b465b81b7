//! Where sessions were served last. Bounded: the oldest are forgotten.

use crate::lookup::Lookup;
use crate::request::MemberIndex;
use std::collections::VecDeque;

/// Sessions that one pool remembers.
const SESSIONS_MAX: usize = 65_536;

/// A pool's sessions.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    places: Lookup<u64, MemberIndex>,
    order: VecDeque<u64>,
}

impl Sessions {
    pub fn get(&self, session: u64) -> Option<MemberIndex> {
        self.places.get(&session).copied()
    }

    pub fn set(&mut self, session: u64, member: MemberIndex) {
        if self.places.insert(session, member).is_none() {
            self.order.push_back(session);
        }
        while self.places.len() > SESSIONS_MAX {
            match self.order.pop_front() {
                Some(oldest) => self.places.remove(&oldest),
                None => return,
            };
        }
    }
}
