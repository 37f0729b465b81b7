//! Machines that are kept, by the names that people use.

use super::Desk;
use crate::jobs::{AccountKey, JobKey, Jobs, MachineKey, NodesKey, Reservation};
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
        let reservations = std::mem::take(&mut self.reservations);
        let kept = reservations.iter().map(|kept| Reservation {
            machines: self.machines_of(kept),
            account: kept.owner.clone().map(|owner| self.account_kept(owner)),
            from: kept.from,
            until: kept.until,
            notice_us: kept.notice_us,
        });
        let kept = kept.collect();
        self.reservations = reservations;
        self.jobs.reserve(kept);
    }

    fn machines_of(&self, kept: &DeskReservation) -> BTreeSet<MachineKey> {
        let is_kept = |(key, number): &(NodesKey, u32)| {
            let nodes = self.nodes.get(usize::from(key.0));
            nodes.is_some_and(|nodes| nodes.id == kept.nodes) && kept.machines.contains(number)
        };
        let machines = (0u32..).zip(&self.machines);
        let kept = machines.filter(|(_, machine)| is_kept(machine));
        kept.map(|(at, _)| MachineKey(at)).collect()
    }

    /// The account of a programme, or of a tenant in it.
    fn account_kept(
        &mut self,
        (programme, tenant): (Option<ProgrammeId>, Option<TenantId>),
    ) -> AccountKey {
        let above = self.account_of((programme.clone(), None, None), Jobs::ROOT);
        match tenant {
            Some(tenant) => self.account_of((programme, Some(tenant), None), above),
            None => above,
        }
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
