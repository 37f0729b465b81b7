//! What is known of sites beside their machines: what an hour costs, what power is left, where data stands, what waiting is worth.

use super::JobsPlane;
use madang_core::desk::{DataPlace, DataPlaces, Desk, DeskNodes, DeskSites, Link};
use madang_fleet::{Fleet, JobsData, JobsLink, JobsWait};
use madang_ledger::AcceleratorCard;
use madang_store::StoreError;
use madang_types::{Class, MicroWon, Micros, ProgrammeId, SiteId};
use std::collections::BTreeMap;

impl JobsPlane {
    /// Tells the desk what an hour of machines costs.
    ///
    /// # Errors
    /// The books cannot be read.
    pub(super) async fn follow_prices(&self, now: Micros) -> Result<(), StoreError> {
        let prices = self.gateway.purses.bank().accelerator_price_list().await?;
        let card = AcceleratorCard::new(prices);
        let mut lock = self.lock();
        let Some(desk) = lock.as_mut() else {
            return Ok(());
        };
        let hour = |nodes: &DeskNodes| {
            let kind: Class = nodes.accelerator.parse().ok()?;
            let hour = card.hour(&kind, &nodes.site, now).ok()?;
            Some((nodes.id.clone(), hour))
        };
        let sites = DeskSites {
            hours: desk.nodes().iter().filter_map(hour).collect(),
            ..desk.known_sites().clone()
        };
        desk.sites(now, sites);
        Ok(())
    }

    /// Tells the desk what power is left at sites.
    pub(super) fn follow_power(&self, now: Micros) {
        let headroom_watts = self.governors().headroom_watts();
        if let Some(desk) = self.lock().as_mut() {
            desk.headroom(now, headroom_watts);
        }
    }

    /// Tells the desk what the fleet file says of sites; prices stay as they were.
    pub(super) fn tell_sites(&self, now: Micros, desk: &mut Desk) {
        let snapshot = self.gateway.snapshot();
        let fleet = &snapshot.fleet;
        let watts = |nodes: &DeskNodes| {
            let watts = crate::power::begin_watts(fleet, &nodes.id, 1_000)?;
            Some((nodes.id.clone(), watts))
        };
        let sites = DeskSites {
            hours: desk.known_sites().hours.clone(),
            watts: desk.nodes().iter().filter_map(watts).collect(),
            wait_hour: MicroWon::of_won(fleet.jobs.wait_won_per_hour),
            wait_hours: wait_hours(&fleet.jobs.waits),
            data: data_places(fleet),
        };
        desk.sites(now, sites);
    }
}

fn wait_hours(waits: &[JobsWait]) -> BTreeMap<ProgrammeId, MicroWon> {
    let hour = |wait: &JobsWait| {
        Some((
            wait.programme.parse().ok()?,
            MicroWon::of_won(wait.won_per_hour),
        ))
    };
    waits.iter().filter_map(hour).collect()
}

/// Where data stands and what lies between, as the fleet file says.
pub(super) fn data_places(fleet: &Fleet) -> DataPlaces {
    let terms = &fleet.jobs;
    let stands = |data: &JobsData| DataPlace {
        prefix: data.prefix.clone(),
        sites: data.sites.iter().filter_map(|id| id.parse().ok()).collect(),
        stays: data.prefix.starts_with('/'),
    };
    let buckets = terms.bucket.iter().filter_map(|bucket| {
        let site: SiteId = bucket.site.as_ref()?.parse().ok()?;
        Some(DataPlace {
            prefix: format!("s3://{}/{}", bucket.name, bucket.prefix),
            sites: [site].into(),
            stays: false,
        })
    });
    let link = |link: &JobsLink| {
        let mut pair: Vec<SiteId> = link.sites.iter().filter_map(|id| id.parse().ok()).collect();
        pair.sort();
        let [one, other] = <[SiteId; 2]>::try_from(pair).ok()?;
        let between = Link {
            mbit_per_s: link.mbit_per_s,
            gigabyte: MicroWon::of_won(link.won_per_gb),
        };
        Some(((one, other), between))
    };
    DataPlaces {
        stands: terms.data.iter().map(stands).chain(buckets).collect(),
        links: terms.links.iter().filter_map(link).collect(),
        link: Some(Link {
            mbit_per_s: terms.link_mbit_per_s,
            gigabyte: MicroWon::of_won(terms.link_won_per_gb),
        }),
    }
}
