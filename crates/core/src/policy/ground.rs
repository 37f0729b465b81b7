//! What a place counts as. Only what somebody vouches for counts; the rest is foreign ground.

use madang_types::{Country, Place, Zone};

/// Whether nobody knows under which law a place is: nothing goes there, whatever the rules say.
pub(super) fn is_unknown(place: &Place) -> bool {
    place.country.is_none() || place.operator_country.is_none()
}

/// The ground that a place counts as, seen from `home`.
///
/// Foreign is whatever is, keeps, computes or decrypts anything outside the home country, and a service run by others that
/// does not say where it does. A site of ours without a zone is private ground if it stands and is operated at home.
pub(super) fn zone_of(place: &Place, home: Option<Country>) -> Zone {
    let Some(home) = home else {
        return Zone::Foreign;
    };
    let at_home = place.country == Some(home) && place.countries().all(|country| country == home);
    if is_unknown(place) || !at_home || !(place.own || is_told(place)) {
        return Zone::Foreign;
    }
    let operated_at_home = place.own && place.operator_country == Some(home);
    match place.zone {
        Some(zone) => zone,
        None if operated_at_home => Zone::DomesticPrivate,
        None => Zone::Foreign,
    }
}

/// Whether a service says where it computes, decrypts and keeps what it is sent.
fn is_told(place: &Place) -> bool {
    let kept = !place.stored_in.is_empty() && !place.abuse_logs_in.is_empty();
    let used = !place.inferred_in.is_empty() && !place.tls_ends_in.is_empty();
    used && (kept || place.zero_retention)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn country(code: &str) -> Country {
        code.parse().unwrap()
    }

    fn check(place: &Place, expected: Zone) {
        assert_eq!(zone_of(place, Some(country("KR"))), expected, "{place:?}");
        assert_eq!(zone_of(place, None), Zone::Foreign);
    }

    #[test]
    fn what_nobody_vouches_for_is_foreign() {
        let korea = || BTreeSet::from([country("KR")]);
        let ours = Place::own(country("KR"));
        check(&ours, Zone::DomesticPrivate);
        check(&Place::own(country("US")), Zone::Foreign);
        let run_from_abroad = Place {
            operator_country: Some(country("US")),
            ..ours.clone()
        };
        check(&run_from_abroad, Zone::Foreign);
        let declared = Place {
            zone: Some(Zone::DomesticPublic),
            ..run_from_abroad
        };
        check(&declared, Zone::DomesticPublic);
        let logs_abroad = Place {
            abuse_logs_in: BTreeSet::from([country("US")]),
            ..declared.clone()
        };
        check(&logs_abroad, Zone::Foreign);
        let others = Place {
            own: false,
            ..declared
        };
        check(&others, Zone::Foreign);
        let told = Place {
            inferred_in: korea(),
            tls_ends_in: korea(),
            zero_retention: true,
            ..others
        };
        check(&told, Zone::DomesticPublic);
        let kept = Place {
            stored_in: korea(),
            abuse_logs_in: korea(),
            zero_retention: false,
            ..told
        };
        check(&kept, Zone::DomesticPublic);
        let nameless = Place {
            operator_country: None,
            ..kept
        };
        check(&nameless, Zone::Foreign);
        assert!(is_unknown(&nameless));
    }
}
