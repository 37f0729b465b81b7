//! What the electricity of a run costs on each `[[nodes]]`, by the hours in which it runs.

use super::ask::{NodesKey, WHOLE_MILLI};
use crate::flex::{AHEAD_US_MAX, EnergyOutlook, EnergyTerms, HOUR_US};
use madang_types::Micros;

/// What electricity costs on each `[[nodes]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tariffs {
    terms: EnergyTerms,
    /// By [`NodesKey`].
    places: Vec<Option<(u64, EnergyOutlook)>>,
    /// Where an hour of an accelerator costs least on the whole: those of which nothing is known count as this.
    cheapest: Option<usize>,
}

impl Tariffs {
    /// What one accelerator draws in watts at the meter, and what that costs, by [`NodesKey`]; `None` where one of the two is not known.
    pub fn new(terms: EnergyTerms, places: Vec<Option<(u64, EnergyOutlook)>>) -> Self {
        let day = |(watts, outlook): &(u64, EnergyOutlook)| {
            let from = outlook.from();
            let span = (from, from.plus_us(24 * HOUR_US));
            Some(outlook.cost(*watts, span, &terms)?.weighed)
        };
        let days = places.iter().enumerate();
        let days = days.filter_map(|(at, place)| Some((day(place.as_ref()?)?, at)));
        Self {
            cheapest: days.min().map(|(_, at)| at),
            terms,
            places,
        }
    }

    /// Somebody says what electricity costs.
    pub(super) fn differ(&self) -> bool {
        self.cheapest.is_some()
    }

    /// What the electricity of a run of so many thousandths of an accelerator weighs that starts then and runs for so many microseconds,
    /// of which a week counts, in millionths of a won. Below nothing is nothing.
    pub(super) fn run(&self, nodes: NodesKey, milli: u64, (at, run_us): (Micros, u64)) -> u128 {
        let place = |at: usize| self.places.get(at)?.as_ref();
        let own = place(usize::from(nodes.0));
        let Some((watts, outlook)) = own.or_else(|| place(self.cheapest?)) else {
            return 0;
        };
        let watts = watts.saturating_mul(milli) / u64::from(WHOLE_MILLI);
        // An outlook begins with the hour in which it was made.
        let from = at.max(outlook.from());
        let span = (from, from.plus_us(run_us.min(AHEAD_US_MAX)));
        let cost = outlook.cost(watts, span, &self.terms);
        cost.map_or(0, |cost| u128::try_from(cost.weighed.0).unwrap_or(0))
    }
}
