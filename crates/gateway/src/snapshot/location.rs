//! A place as the audit log says it: what the fleet file knows of it at that time.

use super::{Snapshot, Target};
use madang_audit::leaf::Location;
use madang_core::Grant;
use madang_fleet::PlaceFacts;
use madang_types::{Country, Place, SiteId, Zone};

impl Snapshot {
    /// What is known of a site or upstream; upstreams go by their ids as sites do.
    pub fn place(&self, id: &SiteId) -> Option<&Place> {
        Some(self.place_and_facts(id)?.0)
    }

    fn place_and_facts(&self, id: &SiteId) -> Option<(&Place, &PlaceFacts)> {
        if let Some(site) = self.fleet.sites.get(id) {
            return Some((&site.place, &site.facts));
        }
        let upstreams = &mut self.fleet.upstreams.iter();
        let found = upstreams.find(|(upstream, _)| upstream.as_str() == id.as_str());
        found.map(|(_, upstream)| (&upstream.place, &upstream.facts))
    }

    /// Where an attempt goes.
    pub(crate) fn location(&self, target: &Target, grant: &Grant) -> Location {
        let (place, facts) = self.place_and_facts(&target.site).unzip();
        let country = |country: Option<Country>| country.map(|country| country.to_string());
        Location {
            id: target.site.to_string(),
            own: target.own,
            country: country(place.and_then(|place| place.country)),
            operator_country: country(place.and_then(|place| place.operator_country)),
            zone: grant.zone.map(|zone: Zone| zone.to_string()),
            recipient: facts.and_then(|facts| facts.recipient.clone()),
            purpose: facts.and_then(|facts| facts.purpose.clone()),
            retention: facts.and_then(|facts| facts.retention.clone()),
            refusal: None,
        }
    }
}
