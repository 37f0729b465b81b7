//! What things cost: prices valid from a date, in won or in a currency with a dated rate of exchange.
//!
//! Money is counted in millionths of a won (µ₩). A price is for a million tokens, so one of ₩350 for a million is 350 µ₩ for each.
//! A charge is worked out once for each request, over all its tokens, and rounded once: half a µ₩ and more counts as one.

use madang_types::{MicroWon, Micros, ModelId, SiteId, TokenUse, Tokens};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Tokens that a price is for.
const PER: i128 = 1_000_000;
/// The greatest price of a million tokens, in millionths of its currency: a billion. What is above it is a slip of the keyboard.
pub const PRICE_MAX: i64 = 1_000_000_000_000_000;

/// What a million tokens of each kind cost, in µ₩.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRates {
    /// Prompt tokens that the engine computes.
    pub uncached: MicroWon,
    /// Prompt tokens from its cache.
    pub cached: MicroWon,
    /// Tokens that it makes.
    pub output: MicroWon,
}

impl TokenRates {
    /// What these tokens cost.
    pub fn cost(&self, tokens: &TokenUse) -> MicroWon {
        let part = |rate: MicroWon, tokens: Tokens| i128::from(rate.0) * i128::from(tokens.0);
        let sum = [
            part(self.uncached, tokens.uncached),
            part(self.cached, tokens.cached),
            part(self.output, tokens.output),
        ];
        // Three products of 63 and 64 bits: held at the end of 127 bits, which is far above what is held below.
        let sum = sum.into_iter().fold(0_i128, i128::saturating_add);
        MicroWon(rounded(sum, PER))
    }

    /// The most that a request of so many prompt and output tokens can cost, whatever of its prompt a cache holds.
    pub fn cost_max(&self, prompt_tokens: u64, output_tokens: u64) -> MicroWon {
        let dearer = Self {
            uncached: self.uncached.max(self.cached),
            ..*self
        };
        dearer.cost(&TokenUse {
            uncached: Tokens(prompt_tokens),
            output: Tokens(output_tokens),
            ..TokenUse::default()
        })
    }

    /// The most of each of two.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            uncached: self.uncached.max(other.uncached),
            cached: self.cached.max(other.cached),
            output: self.output.max(other.output),
        }
    }
}

/// `amount / by` with halves up, held at the ends of 64 bits. Both are zero or more.
pub(crate) fn rounded(amount: i128, by: i128) -> i64 {
    let half_up = amount.saturating_add(by / 2) / by;
    i64::try_from(half_up).unwrap_or(i64::MAX)
}

/// A currency: three capital letters of ISO 4217.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

impl Currency {
    /// The won, in which everything is charged.
    pub const KRW: Self = Self(*b"KRW");

    /// Its three letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The text is no currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a currency is three capital letters, such as KRW or USD")]
pub struct CurrencyError;

impl FromStr for Currency {
    type Err = CurrencyError;

    fn from_str(text: &str) -> Result<Self, CurrencyError> {
        let letters: [u8; 3] = text.as_bytes().try_into().map_err(|_| CurrencyError)?;
        if letters.iter().all(u8::is_ascii_uppercase) {
            Ok(Self(letters))
        } else {
            Err(CurrencyError)
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = CurrencyError;

    fn try_from(text: String) -> Result<Self, CurrencyError> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.as_str().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a model costs from a date on, until a later price of the same model at the same place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Of which model.
    pub model: ModelId,
    /// At this site or upstream alone; `None`: wherever no price of its own says otherwise.
    pub place: Option<SiteId>,
    /// Valid from this instant.
    pub from: Micros,
    /// What the three prices are in.
    pub currency: Currency,
    /// A million prompt tokens that are computed, in millionths of the currency; 0 to [`PRICE_MAX`].
    pub uncached: i64,
    /// A million prompt tokens from a cache, likewise.
    pub cached: i64,
    /// A million tokens that are made, likewise.
    pub output: i64,
}

/// What one unit of a currency is worth from a date on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Which; never the won.
    pub currency: Currency,
    /// Valid from this instant.
    pub from: Micros,
    /// In µ₩, at least 1.
    pub won: MicroWon,
}

/// Why there is no price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// No price of this model is valid yet.
    #[error("the model '{model}' has no price at '{place}'")]
    Missing {
        /// Which model.
        model: ModelId,
        /// Where.
        place: SiteId,
    },
    /// It is in a currency whose rate is not known.
    #[error("the price of '{model}' is in {currency}, which has no rate of exchange")]
    Rate {
        /// Which model.
        model: ModelId,
        /// Which currency.
        currency: Currency,
    },
}

/// All prices and rates of exchange, past ones and future ones too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateCard {
    prices: Vec<Price>,
    exchanges: Vec<Exchange>,
}

impl RateCard {
    /// Takes them in any order. Of two for the same thing from the same instant the one that is named later counts.
    pub fn new(mut prices: Vec<Price>, mut exchanges: Vec<Exchange>) -> Self {
        // Stable, so that the later one stays later.
        prices.sort_by(|a, b| (&a.model, &a.place, a.from).cmp(&(&b.model, &b.place, b.from)));
        exchanges.sort_by_key(|exchange| (exchange.currency, exchange.from));
        Self { prices, exchanges }
    }

    /// Whether nothing has a price yet: then nothing is charged.
    pub fn is_empty(&self, now: Micros) -> bool {
        self.prices.iter().all(|price| price.from > now)
    }

    /// What a model costs at a place at an instant.
    ///
    /// # Errors
    /// It has no price, or one in a currency without a rate.
    pub fn rates(
        &self,
        model: &ModelId,
        place: &SiteId,
        now: Micros,
    ) -> Result<TokenRates, PriceError> {
        let price = self
            .price(model, Some(place), now)
            .or_else(|| self.price(model, None, now))
            .ok_or_else(|| PriceError::Missing {
                model: model.clone(),
                place: place.clone(),
            })?;
        let won = self
            .won(price.currency, now)
            .ok_or_else(|| PriceError::Rate {
                model: model.clone(),
                currency: price.currency,
            })?;
        let in_won = |millionths: i64| {
            MicroWon(rounded(
                i128::from(millionths) * i128::from(won.0),
                1_000_000,
            ))
        };
        Ok(TokenRates {
            uncached: in_won(price.uncached),
            cached: in_won(price.cached),
            output: in_won(price.output),
        })
    }

    fn price(&self, model: &ModelId, place: Option<&SiteId>, now: Micros) -> Option<&Price> {
        let until = (model, place, now);
        let end = self
            .prices
            .partition_point(|price| (&price.model, price.place.as_ref(), price.from) <= until);
        let price = self.prices.get(end.checked_sub(1)?)?;
        (price.model == *model && price.place.as_ref() == place).then_some(price)
    }

    /// µ₩ for one unit of a currency.
    fn won(&self, currency: Currency, now: Micros) -> Option<MicroWon> {
        if currency == Currency::KRW {
            return Some(MicroWon(1_000_000));
        }
        let end = self
            .exchanges
            .partition_point(|exchange| (exchange.currency, exchange.from) <= (currency, now));
        let exchange = self.exchanges.get(end.checked_sub(1)?)?;
        (exchange.currency == currency).then_some(exchange.won)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(uncached: i64, cached: i64, output: i64) -> TokenRates {
        TokenRates {
            uncached: MicroWon(uncached),
            cached: MicroWon(cached),
            output: MicroWon(output),
        }
    }

    fn tokens(uncached: u64, cached: u64, output: u64) -> TokenUse {
        TokenUse {
            uncached: Tokens(uncached),
            cached: Tokens(cached),
            output: Tokens(output),
            estimated: false,
        }
    }

    #[test]
    fn a_charge_is_rounded_once() {
        let check = |rates: TokenRates, tokens: TokenUse, expected: i64| {
            assert_eq!(
                rates.cost(&tokens),
                MicroWon(expected),
                "{rates:?} {tokens:?}"
            );
        };
        let won = 1_000_000;
        check(rates(350 * won, 90 * won, 1400 * won), tokens(1, 0, 0), 350);
        check(
            rates(350 * won, 90 * won, 1400 * won),
            tokens(1000, 500, 200),
            350_000 + 45_000 + 280_000,
        );
        // A third of a µ₩ each: three thirds are one, a half and more is one.
        check(rates(400_000, 300_000, 300_000), tokens(1, 1, 1), 1);
        check(rates(500_000, 0, 0), tokens(1, 0, 0), 1);
        check(rates(499_999, 0, 0), tokens(1, 0, 0), 0);
        check(rates(0, 0, 0), tokens(u64::MAX, 1, 1), 0);
        check(
            rates(i64::MAX, i64::MAX, i64::MAX),
            tokens(u64::MAX, u64::MAX, u64::MAX),
            i64::MAX,
        );
    }

    #[test]
    fn the_greatest_cost_is_never_below_the_true_one() {
        for (uncached, cached) in [(350, 90), (90, 350), (0, 0), (1, 0)] {
            let rates = rates(uncached, cached, 1_400);
            let max = rates.cost_max(10_000, 3_000);
            for hit in [0, 1, 5_000, 10_000] {
                let cost = rates.cost(&tokens(10_000 - hit, hit, 3_000));
                assert!(cost <= max, "{rates:?} {hit}");
            }
        }
    }

    fn card() -> RateCard {
        let price =
            |model: &str, place: Option<&str>, from: i64, currency: &str, output: i64| Price {
                model: model.parse().unwrap(),
                place: place.map(|place| place.parse().unwrap()),
                from: Micros(from),
                currency: currency.parse().unwrap(),
                uncached: output / 4,
                cached: output / 40,
                output,
            };
        let exchange = |from: i64, won: i64| Exchange {
            currency: "USD".parse().unwrap(),
            from: Micros(from),
            won: MicroWon(won),
        };
        RateCard::new(
            vec![
                price("exaone", None, 200, "KRW", 2_000_000_000),
                price("exaone", None, 100, "KRW", 1_000_000_000),
                price("exaone", Some("ulsan"), 150, "KRW", 500_000_000),
                price("gpt-5", None, 0, "USD", 10_000_000),
                price("claude", None, 0, "EUR", 10_000_000),
            ],
            vec![exchange(300, 1_400_000_000), exchange(100, 1_300_000_000)],
        )
    }

    #[test]
    fn the_price_of_the_place_and_the_day_counts() {
        let check = |model: &str, place: &str, now: i64, expected: Result<i64, &str>| {
            let found = card().rates(
                &model.parse().unwrap(),
                &place.parse().unwrap(),
                Micros(now),
            );
            let found = found
                .map(|rates| rates.output.0)
                .map_err(|error| error.to_string());
            assert_eq!(
                found,
                expected.map_err(str::to_owned),
                "{model} {place} {now}"
            );
        };
        check(
            "exaone",
            "pohang",
            99,
            Err("the model 'exaone' has no price at 'pohang'"),
        );
        check("exaone", "pohang", 100, Ok(1_000_000_000));
        check("exaone", "pohang", 199, Ok(1_000_000_000));
        check("exaone", "pohang", 200, Ok(2_000_000_000));
        check("exaone", "ulsan", 149, Ok(1_000_000_000));
        check("exaone", "ulsan", 1_000, Ok(500_000_000));
        check(
            "gpt-5",
            "openai",
            99,
            Err("the price of 'gpt-5' is in USD, which has no rate of exchange"),
        );
        check("gpt-5", "openai", 100, Ok(13_000_000_000));
        check("gpt-5", "openai", 300, Ok(14_000_000_000));
        check(
            "claude",
            "anthropic",
            500,
            Err("the price of 'claude' is in EUR, which has no rate of exchange"),
        );
        check(
            "qwen",
            "pohang",
            500,
            Err("the model 'qwen' has no price at 'pohang'"),
        );
    }

    #[test]
    fn a_currency_is_three_capital_letters() {
        for bad in ["", "usd", "US", "USDT", "US1", "원화원"] {
            assert_eq!(bad.parse::<Currency>(), Err(CurrencyError), "{bad}");
        }
    }
}
