//! What a site may draw at an instant: the lowest of its contract's cap and what people have set for a while.

use madang_types::{Micros, POWER_LEAD_US, PowerEvent};
use serde::{Deserialize, Serialize};

/// What begins so soon is met by then, in microseconds.
pub const LEAD_US: i64 = POWER_LEAD_US;

/// What a site may draw, and by whose word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cap {
    /// At its meter, in watts.
    pub watts: u64,
    /// By which event; `None` by the fleet file.
    pub event: Option<u64>,
}

/// The cap at `at`: the lowest of `standing`, the fleet file's, and of those events of the site that are in force then. A cut that has not
/// begun yet is a part of `drawn_watts`; where nobody knows what is drawn (`None`) it is a part of nothing that is known, and caps nothing.
pub fn cap_at(
    standing: Option<u64>,
    events: &[PowerEvent],
    drawn_watts: Option<u64>,
    at: Micros,
) -> Option<Cap> {
    let standing = standing.map(|watts| Cap { watts, event: None });
    let set = events.iter().filter(|event| event.is_in_force(at));
    let set = set.filter_map(|event| {
        Some(Cap {
            watts: watts_of(event, drawn_watts)?,
            event: Some(event.id),
        })
    });
    // Of equal ones the fleet file's, then the oldest: who asks is told the same each time.
    standing
        .into_iter()
        .chain(set)
        .min_by_key(|cap| (cap.watts, cap.event))
}

/// What an event leaves, in watts; `None` of a cut where nobody knows what is, or was, drawn.
pub fn watts_of(event: &PowerEvent, drawn_watts: Option<u64>) -> Option<u64> {
    event.kind.left_watts(drawn_watts)
}

/// The lowest cap from `now` until `until`: what begins soon is met by then.
pub fn lowest_until(
    standing: Option<u64>,
    events: &[PowerEvent],
    drawn_watts: Option<u64>,
    (now, until): (Micros, Micros),
) -> Option<Cap> {
    let begins = events.iter().map(|event| event.from);
    let soon = begins.filter(|from| now < *from && *from <= until);
    let caps = std::iter::once(now)
        .chain(soon)
        .filter_map(|at| cap_at(standing, events, drawn_watts, at));
    caps.min_by_key(|cap| (cap.watts, cap.event))
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_types::{KeyId, PowerEventKind, SiteId};

    fn event(id: u64, kind: PowerEventKind, (from, until): (i64, Option<i64>)) -> PowerEvent {
        PowerEvent {
            id,
            site: SiteId::new("pohang").unwrap(),
            kind,
            from: Micros(from),
            until: until.map(Micros),
            reason: "grid".to_owned(),
            set_by: KeyId::new("op").unwrap(),
            set_at: Micros(0),
            order: None,
        }
    }

    #[test]
    fn the_lowest_of_all_that_is_in_force_holds() {
        let cut = |baseline_watts| PowerEventKind::Cut {
            milli: 250,
            baseline_watts,
        };
        let events = [
            event(1, PowerEventKind::Cap { watts: 900 }, (0, None)),
            event(2, cut(Some(1_000)), (10, Some(20))),
            event(3, cut(None), (15, Some(30))),
            event(4, PowerEventKind::Cap { watts: 750 }, (12, Some(13))),
        ];
        let check = |standing, at, expected: Option<(u64, Option<u64>)>| {
            let cap = cap_at(standing, &events, Some(800), Micros(at));
            let found = cap.map(|cap| (cap.watts, cap.event));
            assert_eq!(found, expected, "{standing:?} at {at}");
        };
        check(None, -1, None);
        check(Some(500), -1, Some((500, None)));
        check(None, 0, Some((900, Some(1))));
        check(Some(900), 0, Some((900, None)));
        check(None, 10, Some((750, Some(2))));
        check(None, 12, Some((750, Some(2))));
        check(None, 15, Some((600, Some(3))));
        check(None, 20, Some((600, Some(3))));
        check(Some(1_000), 30, Some((900, Some(1))));
    }

    #[test]
    fn a_cut_of_what_nobody_knows_caps_nothing() {
        let cut = |baseline_watts| PowerEventKind::Cut {
            milli: 250,
            baseline_watts,
        };
        let at = |kind| {
            let events = [event(1, kind, (0, Some(10)))];
            cap_at(None, &events, None, Micros(5)).map(|cap| cap.watts)
        };
        assert_eq!(at(cut(None)), None);
        assert_eq!(at(cut(Some(1_000))), Some(750));
        assert_eq!(at(PowerEventKind::Cap { watts: 7 }), Some(7));
    }

    #[test]
    fn what_begins_soon_counts_before() {
        let kind = PowerEventKind::Cap { watts: 500 };
        let events = [event(1, kind, (100, Some(200)))];
        let lowest = |now, until| {
            let range = (Micros(now), Micros(until));
            lowest_until(Some(900), &events, None, range).map(|cap| (cap.watts, cap.event))
        };
        assert_eq!(lowest(0, 99), Some((900, None)));
        assert_eq!(lowest(0, 100), Some((500, Some(1))));
        assert_eq!(lowest(150, 180), Some((500, Some(1))));
        assert_eq!(lowest(200, 230), Some((900, None)));
    }
}
