//! What runs have drawn since they began: whoever looks at power adds it up, it is told with a run's end and booked with it.

use super::JobsPlane;
use madang_ledger::JobRun;
use madang_store::{PowerBook, StoreError};
use madang_types::{GatewayId, MilliJoules, RunId, SiteId, Unit};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sums of runs that are not over, or whose end is not booked, in thousandths of a joule at the site's meter.
pub(crate) struct RunEnergies {
    book: Arc<dyn PowerBook>,
    /// `None` while another gateway drives.
    sums: Mutex<Option<BTreeMap<RunId, (SiteId, u64)>>>,
}

impl RunEnergies {
    pub(super) fn new(book: Arc<dyn PowerBook>) -> Self {
        Self {
            book,
            sums: Mutex::default(),
        }
    }

    /// Takes up the sums as whoever drove before left them.
    ///
    /// # Errors
    /// The books cannot be read.
    pub(crate) async fn open(&self) -> Result<(), StoreError> {
        if self.lock().is_some() {
            return Ok(());
        }
        let mut sums = BTreeMap::new();
        let mut stands = BTreeMap::new();
        for row in self.book.energy_list().await? {
            let Some(stand) = row.note.stand else {
                continue;
            };
            let last = stands.entry(row.span.site).or_insert_with(|| stand.clone());
            if stand.at > last.at {
                *last = stand;
            }
        }
        for (site, stand) in stands {
            let of = stand.runs.into_iter();
            sums.extend(of.map(|(run, mj)| (run, (site.clone(), mj))));
        }
        self.lock().get_or_insert(sums);
        Ok(())
    }

    /// Another gateway drives.
    pub(crate) fn close(&self) {
        *self.lock() = None;
    }

    /// A run has drawn so much more.
    pub(crate) fn add(&self, site: &SiteId, run: RunId, mj: u64) {
        if let Some(sums) = self.lock().as_mut() {
            let (_, sum) = sums.entry(run).or_insert_with(|| (site.clone(), 0));
            *sum = sum.saturating_add(mj);
        }
    }

    /// Sums of a site's runs.
    pub(crate) fn of_site(&self, site: &SiteId) -> BTreeMap<RunId, u64> {
        let sums = self.lock();
        let sums = sums.iter().flatten();
        let own = sums.filter(|(_, (of, _))| of == site);
        own.map(|(run, (_, mj))| (*run, *mj)).collect()
    }

    /// All runs that have a sum, and where they are.
    pub(crate) fn runs(&self) -> Vec<(RunId, SiteId)> {
        let sums = self.lock();
        let sums = sums.iter().flatten();
        sums.map(|(run, (site, _))| (*run, site.clone())).collect()
    }

    /// Takes a run's sum out.
    pub(crate) fn take(&self, run: RunId) -> Option<u64> {
        let (_, mj) = self.lock().as_mut()?.remove(&run)?;
        Some(mj)
    }

    /// What a run has drawn; `None` where nobody knows.
    pub(super) fn of(&self, run: RunId) -> Option<MilliJoules> {
        let sums = self.lock();
        let (_, mj) = sums.as_ref()?.get(&run)?;
        Some(MilliJoules(i64::try_from(*mj).unwrap_or(i64::MAX)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<RunId, (SiteId, u64)>>> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl JobsPlane {
    /// What runs have drawn.
    pub(crate) fn energies(&self) -> &RunEnergies {
        &self.energies
    }

    /// This gateway's name.
    pub(crate) fn gateway_id(&self) -> &GatewayId {
        &self.id
    }

    /// Whether this gateway drives jobs: of several that share the books one does.
    pub(crate) fn drives(&self) -> bool {
        self.lock().is_some()
    }

    /// What the books have of runs' energy, for those that are booked.
    ///
    /// # Errors
    /// The books cannot be read.
    pub(crate) async fn energy_booked(
        &self,
        runs: impl Iterator<Item = RunId>,
    ) -> Result<BTreeMap<RunId, u64>, StoreError> {
        let ids: BTreeMap<_, _> = runs.map(|run| (JobRun::entry_id_of(run), run)).collect();
        let known = self.known(ids.keys().copied()).await?;
        let booked = known.into_iter().filter_map(|(id, entries)| {
            let end = entries.iter().find(|entry| entry.phase.ends())?;
            let legs = end.legs.iter();
            let energy = legs.filter(|leg| leg.unit == Unit::MilliJoules);
            let mj: i64 = energy.map(|leg| leg.amount).sum();
            Some((*ids.get(&id)?, mj.unsigned_abs()))
        });
        Ok(booked.collect())
    }
}
