//! The hosts that URLs in requests may name, as an attempt asks them.

use super::{SnapshotError, location, parse_address};
use crate::client::EngineAddress;
use crate::fetch::Reach;
use madang_audit::leaf::Location;
use madang_fleet::{Fleet, OriginAddress};
use madang_types::{Place, SiteId, Zone};
use std::collections::BTreeMap;

/// A host that URLs in requests may name.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Its id in the fleet file.
    pub id: SiteId,
    /// By which id it is a place: that of its site, or its own.
    pub location_id: SiteId,
    /// What is known of the place.
    pub place: Place,
    /// Where it listens.
    pub address: EngineAddress,
    /// Whether it may be at an address that is not public.
    pub reach: Reach,
    /// What the audit log says of it, but for its zone, which the policy knows.
    location: Location,
}

impl Origin {
    /// As a place of the policy.
    pub(super) fn at(&self) -> (SiteId, Place) {
        (self.location_id.clone(), self.place.clone())
    }

    /// Where a URL leads, in this zone by the policy in force.
    pub(crate) fn location(&self, zone: Option<Zone>) -> Location {
        Location {
            zone: zone.map(|zone| zone.to_string()),
            ..self.location.clone()
        }
    }
}

/// The fleet's, by their addresses.
pub(super) fn origins(fleet: &Fleet) -> Result<BTreeMap<OriginAddress, Origin>, SnapshotError> {
    let of = |(id, origin): (&SiteId, &madang_fleet::Origin)| {
        let location_id = origin.site.as_ref().unwrap_or(id);
        let reach = match origin.site {
            Some(_) => Reach::Site,
            None => Reach::Public,
        };
        let known = Some((&origin.place, &origin.facts));
        let origin_here = Origin {
            id: id.clone(),
            location_id: location_id.clone(),
            place: origin.place.clone(),
            address: parse_address(&origin.address.to_string(), id.as_str())?,
            reach,
            location: location(location_id, origin.place.own, known),
        };
        Ok((origin.address.clone(), origin_here))
    };
    fleet.origins.iter().map(of).collect()
}
