//! Machines that are kept, by the names that people use.

use super::Desk;
use crate::jobs::{JobKey, MachineKey, Reservation};
use madang_types::{Micros, NodesId, ProgrammeId, TenantId};
use std::collections::BTreeSet;

/// Machines that are kept for somebody for a time, or for nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeskReservation {
    /// Its name.
    pub id: String,
    /// Of which `[[nodes]]`.
    pub nodes: NodesId,
    /// Which of them, from 0.
    pub machines: BTreeSet<u32>,
    /// For which programme, or for which tenant in its programme; `None` for nobody.
    pub owner: Option<(Option<ProgrammeId>, Option<TenantId>)>,
    /// From when on.
    pub from: Micros,
    /// Until when.
    pub until: Micros,
    /// So long before its beginning those are stopped that can be, in microseconds.
    pub notice_us: u64,
}

impl Desk {
    /// Machines that are kept from now on.
    pub fn reserve(&mut self, reservations: Vec<DeskReservation>) {
        self.reservations = reservations;
        self.keep();
    }

    /// Tells the queue which machines are kept, by their numbers there.
    pub(super) fn keep(&mut self) {
        let mut kept = Vec::new();
        for reservation in &self.reservations {
            let is_it = |(key, number): &(crate::jobs::NodesKey, u32)| {
                let nodes = self.nodes.get(usize::from(key.0));
                nodes.is_some_and(|nodes| nodes.id == reservation.nodes)
                    && reservation.machines.contains(number)
            };
            let machines = (0u32..).zip(&self.machines);
            kept.push(Reservation {
                machines: machines
                    .filter(|(_, machine)| is_it(machine))
                    .map(|(at, _)| MachineKey(at))
                    .collect(),
                account: None,
                from: reservation.from,
                until: reservation.until,
                notice_us: reservation.notice_us,
            });
        }
        let owners: Vec<_> = self
            .reservations
            .iter()
            .map(|kept| kept.owner.clone())
            .collect();
        for (kept, owner) in kept.iter_mut().zip(owners) {
            kept.account = owner.map(|(programme, tenant)| {
                let above =
                    self.account_of((programme.clone(), None, None), crate::jobs::Jobs::ROOT);
                match tenant {
                    Some(tenant) => self.account_of((programme, Some(tenant), None), above),
                    None => above,
                }
            });
        }
        self.jobs.reserve(kept);
    }

    /// Which reservations keep machines from a task that waits, in a line; `None` where none does.
    pub(super) fn kept_from(&self, now: Micros, key: JobKey) -> Option<String> {
        let ids: Vec<&str> = self
            .jobs
            .kept_from(now, key)
            .into_iter()
            .filter_map(|at| Some(self.reservations.get(at)?.id.as_str()))
            .collect();
        (!ids.is_empty()).then(|| {
            format!(
                "machines are kept for others, or would be before it had ended, by: {}",
                ids.join(", ")
            )
        })
    }
}
