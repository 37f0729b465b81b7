//! A place as the audit log says it: what the fleet file knows of it.

use super::{Snapshot, Target};
use madang_audit::leaf::Location;
use madang_fleet::PlaceFacts;
use madang_types::{Country, Place, SiteId, Zone};

impl Snapshot {
    /// What is known of a site or upstream; upstreams go by their ids as sites do.
    pub fn place(&self, id: &SiteId) -> Option<&Place> {
        if let Some(site) = self.fleet.sites.get(id) {
            return Some(&site.place);
        }
        let mut upstreams = self.fleet.upstreams.iter();
        let found = upstreams.find(|(upstream, _)| upstream.as_str() == id.as_str());
        found.map(|(_, upstream)| &upstream.place)
    }
}

impl Target {
    /// Where an attempt goes, in this zone by the policy in force.
    pub(crate) fn location(&self, zone: Option<Zone>) -> Location {
        Location {
            zone: zone.map(|zone| zone.to_string()),
            ..self.location.clone()
        }
    }
}

/// What the fleet knows of a place.
pub(super) fn location(id: &SiteId, own: bool, known: Option<(&Place, &PlaceFacts)>) -> Location {
    let (place, facts) = known.unzip();
    let country = |country: Option<Country>| country.map(|country| country.to_string());
    Location {
        id: id.to_string(),
        own,
        country: country(place.and_then(|place| place.country)),
        operator_country: country(place.and_then(|place| place.operator_country)),
        zone: None,
        recipient: facts.and_then(|facts| facts.recipient.clone()),
        purpose: facts.and_then(|facts| facts.purpose.clone()),
        retention: facts.and_then(|facts| facts.retention.clone()),
        refusal: None,
    }
}
