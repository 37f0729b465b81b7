//! What accelerator time costs: prices of an hour of one accelerator of a kind, valid from a date.

use crate::price::rounded;
use madang_types::{Class, MicroWon, Micros, SiteId};
use serde::{Deserialize, Serialize};

/// The greatest price of an hour: a billion won. What is above it is a slip of the keyboard.
pub const HOUR_PRICE_MAX: i64 = 1_000_000_000_000_000;

/// What a run of a whole accelerator uses of it in an hour: microseconds times thousandths of an accelerator.
const HOUR: i128 = 3_600_000_000 * 1_000;

/// What a kind of accelerator costs from a date on, until a later price of the same kind at the same site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceleratorPrice {
    /// Of which kind, such as `h200`.
    pub accelerator: Class,
    /// At this site alone; `None`: wherever no price of its own says otherwise.
    pub site: Option<SiteId>,
    /// Valid from this instant.
    pub from: Micros,
    /// An hour of one of them; 0 to [`HOUR_PRICE_MAX`].
    pub hour: MicroWon,
}

/// A kind of accelerator has no price at a site, and others have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the accelerator '{accelerator}' has no price at '{site}'")]
pub struct AcceleratorPriceMissing {
    /// Which kind.
    pub accelerator: Class,
    /// Where.
    pub site: SiteId,
}

/// All prices of accelerator time, past ones and future ones too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcceleratorCard(Vec<AcceleratorPrice>);

impl AcceleratorCard {
    /// Takes them in any order.
    pub fn new(mut prices: Vec<AcceleratorPrice>) -> Self {
        prices.sort_by(|a, b| key(a).cmp(&key(b)));
        Self(prices)
    }

    /// What an hour of one accelerator costs at a site at an instant; nothing while no kind has a price.
    ///
    /// # Errors
    /// This kind has none, and another has.
    pub fn hour(
        &self,
        accelerator: &Class,
        site: &SiteId,
        now: Micros,
    ) -> Result<MicroWon, AcceleratorPriceMissing> {
        if self.0.iter().all(|price| price.from > now) {
            return Ok(MicroWon(0));
        }
        let of = |site| self.of(accelerator, site, now);
        let missing = || AcceleratorPriceMissing {
            accelerator: accelerator.clone(),
            site: site.clone(),
        };
        of(Some(site)).or_else(|| of(None)).ok_or_else(missing)
    }

    fn of(&self, accelerator: &Class, site: Option<&SiteId>, now: Micros) -> Option<MicroWon> {
        let end = self
            .0
            .partition_point(|price| key(price) <= (accelerator, site, now));
        let price = self.0.get(end.checked_sub(1)?)?;
        let same = price.accelerator == *accelerator && price.site.as_ref() == site;
        same.then_some(price.hour)
    }
}

fn key(price: &AcceleratorPrice) -> (&Class, Option<&SiteId>, Micros) {
    (&price.accelerator, price.site.as_ref(), price.from)
}

/// What so many thousandths of an accelerator cost for so long, half a µ₩ and more rounded up, once.
pub fn accelerator_cost(hour: MicroWon, accelerator_milli: u64, span_us: u64) -> MicroWon {
    cost_of(hour, used(accelerator_milli, span_us))
}

/// Accelerator time in its finest parts: microseconds of a thousandth of an accelerator.
pub(crate) fn used(accelerator_milli: u64, span_us: u64) -> i128 {
    let parts = u128::from(accelerator_milli).saturating_mul(span_us.into());
    i128::try_from(parts).unwrap_or(i128::MAX)
}

/// What so much accelerator time costs.
pub(crate) fn cost_of(hour: MicroWon, parts: i128) -> MicroWon {
    MicroWon(rounded(i128::from(hour.0).saturating_mul(parts), HOUR))
}

/// How much accelerator time an amount pays for; all there is where an hour costs nothing.
pub(crate) fn paid_by(hour: MicroWon, amount: MicroWon) -> i128 {
    match i128::from(hour.0) {
        ..=0 => i128::MAX,
        hour => i128::from(amount.0) * HOUR / hour,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_charge_is_rounded_once() {
        let check = |hour, milli, span_us, expected| {
            let found = accelerator_cost(MicroWon(hour), milli, span_us);
            assert_eq!(found, MicroWon(expected), "{hour} {milli} {span_us}");
        };
        let (won, hour_us) = (1_000_000, 3_600_000_000);
        check(4_500 * won, 8_000, hour_us, 36_000 * won);
        check(4_500 * won, 500, hour_us / 2, 1_125 * won);
        check(4_500 * won, 1_000, 1, 1);
        check(4_500 * won, 1_000, 0, 0);
        check(4_500 * won, 0, hour_us, 0);
        check(0, 8_000, hour_us, 0);
        // Half a µ₩ and more is one.
        check(1, 1_000, hour_us / 2, 1);
        check(1, 1_000, hour_us / 2 - 1, 0);
        check(HOUR_PRICE_MAX, u64::MAX, u64::MAX, i64::MAX);
    }

    proptest! {
        #[test]
        fn an_amount_pays_for_as_much_as_it_costs(hour in 1..HOUR_PRICE_MAX, amount in 0..HOUR_PRICE_MAX) {
            let (hour, amount) = (MicroWon(hour), MicroWon(amount));
            let most = paid_by(hour, amount);
            prop_assert!(cost_of(hour, most) <= amount);
            prop_assert!(cost_of(hour, most + 1) >= amount);
        }
    }

    #[test]
    fn the_price_of_the_site_and_the_day_counts() {
        let price = |kind: &str, site: Option<&str>, from, hour| AcceleratorPrice {
            accelerator: kind.parse().unwrap(),
            site: site.map(|site| site.parse().unwrap()),
            from: Micros(from),
            hour: MicroWon(hour),
        };
        let card = AcceleratorCard::new(vec![
            price("h200", None, 200, 2_000),
            price("h200", None, 100, 1_000),
            price("h200", Some("ulsan"), 150, 500),
        ]);
        let check = |kind: &str, site: &str, now, expected: Result<i64, &str>| {
            let found = card.hour(&kind.parse().unwrap(), &site.parse().unwrap(), Micros(now));
            let found = found.map(|hour| hour.0).map_err(|error| error.to_string());
            assert_eq!(
                found,
                expected.map_err(str::to_owned),
                "{kind} {site} {now}"
            );
        };
        // Nothing has a price yet.
        check("h200", "pohang", 99, Ok(0));
        check("b200", "pohang", 99, Ok(0));
        check("h200", "pohang", 100, Ok(1_000));
        check("h200", "pohang", 200, Ok(2_000));
        check("h200", "ulsan", 149, Ok(1_000));
        check("h200", "ulsan", 250, Ok(500));
        let missing = "the accelerator 'b200' has no price at 'pohang'";
        check("b200", "pohang", 100, Err(missing));
    }
}
