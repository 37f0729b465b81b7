use super::*;
use crate::rate::RateStanding;

const BOUNDS: RateBounds = RateBounds {
    requests_per_min: Some(60),
    tokens_per_min: Some(6_000),
};
const SECOND_US: u64 = 1_000_000;

fn key() -> KeyId {
    KeyId::new("k").unwrap()
}

fn at(s: u64) -> Micros {
    Micros(0).plus_ms(s * 1_000)
}

/// Admits at a second: what is left, or when a part comes and when the request would be let through.
fn admit(rates: &mut Rates, s: u64, tokens: u64) -> Result<RateStanding, (Option<u64>, u64)> {
    let admitted = rates.admit(at(s), (&key(), BOUNDS), tokens);
    admitted.map_err(|refusal| (refusal.part_comes_us, refusal.wait_us))
}

fn look(rates: &mut Rates, now: Micros) -> Vec<PartAsk> {
    let keys = rates.look();
    rates.asks(now, &keys)
}

fn urgent(rates: &mut Rates, now: Micros) -> Vec<PartAsk> {
    let keys = rates.urgent();
    rates.asks(now, &keys)
}

fn remaining(standing: RateStanding) -> (u32, u32) {
    let (requests, tokens) = (standing.requests.unwrap(), standing.tokens.unwrap());
    assert_eq!((requests.limit, tokens.limit), (60, 6_000));
    (requests.remaining, tokens.remaining)
}

fn grant(number: u64, permille: u32, fill: u32, target: u32) -> PartGrant {
    PartGrant {
        key: key(),
        number,
        permille,
        fill,
        target,
        comes_ms: 0,
    }
}

/// One that holds so much of the key's rates since second 0, full.
fn holding(permille: u32) -> Rates {
    let mut rates = Rates::shared();
    admit(&mut rates, 0, 0).unwrap_err();
    let asks = urgent(&mut rates, at(0));
    assert_eq!(asks[0].holds, 0);
    let told = grant(asks[0].number, permille, WHOLE_PERMILLE, permille);
    assert!(!rates.granted(at(0), at(0), &told));
    rates
}

#[test]
fn a_part_lets_through_its_part_of_the_rate() {
    let mut rates = holding(500);
    assert_eq!(remaining(admit(&mut rates, 0, 0).unwrap()), (29, 3_000));
    for _ in 0..29 {
        admit(&mut rates, 0, 100).unwrap();
    }
    assert_eq!(admit(&mut rates, 0, 0), Err((None, 2 * SECOND_US)));
    assert_eq!(remaining(admit(&mut rates, 2, 0).unwrap()), (0, 200));
    assert_eq!(
        admit(&mut rates, 60, 4_000)
            .unwrap()
            .tokens
            .unwrap()
            .remaining,
        0
    );
}

#[test]
fn what_is_cut_off_takes_its_level_along() {
    let mut rates = holding(1_000);
    for _ in 0..15 {
        admit(&mut rates, 0, 300).unwrap();
    }
    let asks = look(&mut rates, at(0));
    assert_eq!(
        (asks[0].holds, asks[0].gives, asks[0].least),
        (1_000, 0, 17)
    );
    // Another should have three fifths: it is urgent, once in a look.
    assert!(rates.granted(at(0), at(0), &grant(asks[0].number, 1_000, 0, 400)));
    let asks = urgent(&mut rates, at(0));
    // 45 of 60 requests are left, and 1,500 of 6,000 tokens: it is as full as the emptier one.
    assert_eq!(
        (asks[0].holds, asks[0].gives, asks[0].fill),
        (400, 600, 250)
    );
    assert!(!rates.granted(at(0), at(0), &grant(asks[0].number, 400, 0, 300)));
    assert_eq!(remaining(admit(&mut rates, 0, 0).unwrap()), (17, 600));
    // What comes is as full as the books say.
    let asks = look(&mut rates, at(0));
    assert_eq!((asks[0].holds, asks[0].gives), (300, 100));
    rates.granted(at(0), at(0), &grant(asks[0].number, 800, 500, 800));
    assert_eq!(remaining(admit(&mut rates, 0, 0).unwrap()), (26, 1_950));
}

#[test]
fn a_word_that_comes_twice_or_late_changes_nothing() {
    let mut rates = holding(500);
    let asks = look(&mut rates, at(1));
    let late = grant(asks[0].number, 1_000, 1_000, 1_000);
    look(&mut rates, at(2));
    assert!(!rates.granted(at(2), at(1), &late));
    assert_eq!(remaining(admit(&mut rates, 2, 0).unwrap()), (29, 3_000));
}

#[test]
fn whoever_lacks_a_part_is_told_when_it_is_let_through() {
    let mut rates = Rates::shared();
    let moves_us = PART_MOVES_MS * 1_000;
    // Nothing is known yet: as if it were alone.
    let unknown = Err((Some(moves_us), moves_us + SECOND_US));
    assert_eq!(admit(&mut rates, 0, 0), unknown);
    let asks = urgent(&mut rates, at(0));
    assert!(rates.urgent().is_empty());
    let told = PartGrant {
        comes_ms: 100_000,
        ..grant(asks[0].number, 0, 0, 500)
    };
    rates.granted(at(0), at(0), &told);
    assert_eq!(
        admit(&mut rates, 10, 0),
        Err((Some(90 * SECOND_US), 92 * SECOND_US))
    );
    let expected = Err((Some(90 * SECOND_US), 100 * SECOND_US));
    assert_eq!(admit(&mut rates, 10, 500), expected);
    // As late and as empty as may be.
    let asks = look(&mut rates, at(100));
    rates.granted(at(100), at(100), &grant(asks[0].number, 500, 0, 500));
    assert!(admit(&mut rates, 109, 500).is_err());
    assert!(admit(&mut rates, 110, 500).is_ok());
}

#[test]
fn a_lease_ends_by_time_and_when_the_books_say_so() {
    let mut rates = holding(1_000);
    assert!(admit(&mut rates, 599, 0).is_ok());
    assert!(admit(&mut rates, 600, 0).is_err());
    let asks = look(&mut rates, at(600));
    assert_eq!((asks[0].holds, asks[0].gives), (0, 0));
    let mut rates = holding(1_000);
    rates.lose_all();
    assert!(admit(&mut rates, 1, 0).is_err());
    assert_eq!(look(&mut rates, at(1))[0].holds, 0);
}

#[test]
fn what_nobody_uses_is_given_up_when_nothing_is_owed() {
    let mut rates = holding(1_000);
    admit(&mut rates, 0, 12_000).unwrap();
    let give_up = |rates: &mut Rates, s: u64| {
        let ask = look(rates, at(s)).pop().unwrap();
        let is_given_up = ask.demand == 0;
        assert_eq!(
            (ask.holds, ask.gives),
            if is_given_up { (0, 1_000) } else { (1_000, 0) }
        );
        if !is_given_up {
            rates.granted(at(s), at(s), &grant(ask.number, 1_000, 0, 1_000));
        }
        is_given_up.then_some(ask)
    };
    let ask = (1..).find_map(|s| give_up(&mut rates, s).map(|ask| (s, ask)));
    let (s, ask) = ask.unwrap();
    // Two minutes' tokens were used.
    assert_eq!((s, ask.fill), (120, WHOLE_PERMILLE));
    // A request comes before the answer: it begins anew.
    assert!(admit(&mut rates, s, 0).is_err());
    assert!(rates.granted(at(s), at(s), &grant(ask.number, 0, 0, 0)));
    let again = urgent(&mut rates, at(s));
    assert_eq!((again[0].demand, again[0].holds), (DEMAND, 0));
    // And what stays idle is forgotten.
    let keys = rates.close();
    let asks = rates.asks(at(s), &keys);
    assert!(rates.granted(at(s), at(s), &grant(asks[0].number, 0, 0, 0)));
    for s in s..s + 60 {
        for ask in look(&mut rates, at(s)) {
            rates.granted(at(s), at(s), &grant(ask.number, 0, 0, 0));
        }
    }
    assert!(rates.look().is_empty() && rates.is_empty());
}

#[test]
fn what_is_owed_after_all_was_given_up_is_worked_off() {
    let mut rates = Rates::shared();
    rates.settle(at(0), (&key(), BOUNDS), (0, 100));
    let asks = urgent(&mut rates, at(0));
    assert_eq!((asks[0].demand, asks[0].holds), (1, 0));
    rates.granted(at(0), at(0), &grant(asks[0].number, 1_000, 1_000, 1_000));
    assert_eq!(look(&mut rates, at(0))[0].demand, 1);
    assert_eq!(look(&mut rates, at(1))[0].demand, 0);
}
