//! The governors of all sites: whoever looks tells them, whoever starts runs asks them.

use super::scene;
use madang_core::power::governor::{Governor, GovernorTerms, PowerTerms};
use madang_core::power::model::at_meter;
use madang_fleet::{Fleet, PowerConfig};
use madang_types::{Micros, NodesId, PowerStand, RunRecord, SiteId};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One governor for each site.
#[derive(Default)]
pub struct Governors {
    sites: Mutex<BTreeMap<SiteId, Governed>>,
}

/// A site's governor.
#[derive(Default)]
struct Governed {
    governor: Governor,
    /// It has looked at its site: before that nobody knows which cap is in force, or what is drawn.
    has_looked: bool,
    /// Some run was refused since the last time that any might try again.
    refused: bool,
}

impl Governors {
    /// Has a run begin, where there is power for it at its site.
    ///
    /// # Errors
    /// What is in its way, in words for its owner.
    pub(crate) fn let_begin(
        &self,
        now: Micros,
        fleet: &Fleet,
        run: &RunRecord,
    ) -> Result<(), String> {
        let Some(place) = &run.place else {
            return Ok(());
        };
        // Of machines of which nobody knows what they draw nobody can say that it is too much.
        let Some(watts) = begin_watts(fleet, &run.nodes, run.accelerator_milli) else {
            return Ok(());
        };
        let mut sites = self.lock();
        let governed = sites.entry(place.site.clone()).or_default();
        if !governed.has_looked {
            governed.refused = true;
            return Err(format!("{}: its power was not looked at yet", place.site));
        }
        let allowed = governed.governor.let_begin(now, run.run, watts);
        allowed.map_err(|why| {
            governed.refused = true;
            format!("{}: {why}", place.site)
        })
    }

    /// What a site may draw as things stand, in watts at its meter; `None` of one that was not looked at yet.
    pub(crate) fn expected_watts(&self, site: &SiteId) -> Option<u64> {
        Some(self.lock().get(site)?.governor.expected_watts())
    }

    /// What runs that begin may draw at each site that has a cap, in watts at the meter.
    pub(crate) fn headroom_watts(&self) -> BTreeMap<SiteId, u64> {
        let sites = self.lock();
        let left = sites.iter().filter_map(|(site, governed)| {
            Some((site.clone(), governed.governor.headroom_watts()?))
        });
        left.collect()
    }

    /// Whether a run was refused at a site where no act is in force any more: then those may try again. A site that stays short keeps
    /// none of another waiting.
    pub(super) fn may_try_again(&self) -> bool {
        let mut may = false;
        for governed in self.lock().values_mut() {
            if governed.refused && governed.governor.acts().next().is_none() {
                governed.refused = false;
                may = true;
            }
        }
        may
    }

    /// Where a site's governor stands.
    pub(super) fn stand(&self, site: &SiteId) -> PowerStand {
        let sites = self.lock();
        let governed = sites.get(site);
        governed.map_or_else(PowerStand::default, |governed| governed.governor.stand())
    }

    /// A site's governor goes on from where whoever governed it before stood at an instant.
    pub(super) fn go_on(&self, now: Micros, (site, at): (&SiteId, Micros), stand: PowerStand) {
        let mut sites = self.lock();
        let governed = sites.entry(site.clone()).or_default();
        governed.governor.go_on(now, at, stand);
    }

    /// What requests meet at a site by its governor's word.
    pub(super) fn request_terms(&self, site: &SiteId) -> PowerTerms {
        let sites = self.lock();
        let governed = sites.get(site);
        governed.map_or_else(PowerTerms::default, |governed| {
            governed.governor.orders().terms
        })
    }

    /// Has a site's governor look, which is made where there is none.
    pub(super) fn look<T>(
        &self,
        site: &SiteId,
        terms: GovernorTerms,
        act: impl FnOnce(&mut Governor) -> T,
    ) -> T {
        let mut sites = self.lock();
        let governed = sites.entry(site.clone()).or_default();
        governed.has_looked = true;
        governed.governor.terms(terms);
        act(&mut governed.governor)
    }

    /// Sites that have left the fleet have no governor.
    pub(super) fn keep(&self, fleet: &Fleet) {
        self.lock().retain(|site, _| fleet.sites.contains_key(site));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SiteId, Governed>> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a run of so many thousandths of an accelerator draws at its site's meter beside what these draw idle; `None` where nobody knows.
pub(crate) fn begin_watts(fleet: &Fleet, nodes: &NodesId, accelerator_milli: u64) -> Option<u64> {
    let nodes = fleet.nodes.get(nodes)?;
    let one = scene::of_accelerator(nodes)?;
    let watts = scene::part_of(one, accelerator_milli).dynamic_watts();
    Some(at_meter(watts, scene::pue_milli(fleet, &nodes.site)))
}

/// The terms of the fleet file.
pub(super) fn terms(config: &PowerConfig) -> GovernorTerms {
    let us = |ms: u64| ms.saturating_mul(1_000);
    GovernorTerms {
        meet_us: us(config.meet_ms),
        // Until the next look, and a second until what it says is done.
        react_us: us(config.look_ms).saturating_add(1_000_000),
        hold_us: us(config.hold_ms),
        return_us: us(config.return_ms),
        spare_milli: config.spare_milli,
        level_milli_min: config.level_milli_min,
    }
}
