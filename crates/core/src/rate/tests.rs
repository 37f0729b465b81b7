use super::*;
use proptest::prelude::*;

const SECOND_US: i64 = 1_000_000;
const BOUNDS: RateBounds = RateBounds {
    requests_per_min: Some(6),
    tokens_per_min: Some(600),
};

fn key(id: &str) -> KeyId {
    KeyId::new(id).unwrap()
}

fn at(s: i64) -> Micros {
    Micros(s * SECOND_US)
}

/// Admits at a second; the wait where it is refused.
fn admit(rates: &mut Rates, s: i64, tokens: u64) -> Result<RateStanding, (RateUnit, u64)> {
    let admitted = rates.admit(at(s), (&key("k"), BOUNDS), tokens);
    admitted.map_err(|refusal| (refusal.unit, refusal.wait_us))
}

#[test]
fn a_minutes_requests_at_once_and_then_one_each_tenth_of_it() {
    let mut rates = Rates::default();
    for left in (0..6).rev() {
        let standing = admit(&mut rates, 0, 0).unwrap();
        let expected = Bucket {
            limit: 6,
            remaining: left,
            reset_us: u64::from(6 - left) * 10_000_000,
        };
        assert_eq!(standing.requests, Some(expected));
    }
    let refused = |wait_s: u64| Err((RateUnit::Requests, wait_s * 1_000_000));
    assert_eq!(admit(&mut rates, 0, 0), refused(10));
    assert_eq!(admit(&mut rates, 4, 0), refused(6));
    assert!(admit(&mut rates, 10, 0).is_ok());
    assert_eq!(admit(&mut rates, 10, 0), refused(10));
}

#[test]
fn tokens_are_taken_by_estimate_and_trued_up() {
    let mut rates = Rates::default();
    assert_eq!(
        admit(&mut rates, 0, 500).unwrap().tokens.unwrap().remaining,
        100
    );
    assert_eq!(
        admit(&mut rates, 0, 200),
        Err((RateUnit::Tokens, 10_000_000))
    );
    rates.settle(at(0), (&key("k"), BOUNDS), (500, 50));
    assert_eq!(
        admit(&mut rates, 0, 200).unwrap().tokens.unwrap().remaining,
        350
    );
    rates.settle(at(0), (&key("k"), BOUNDS), (200, 700));
    assert_eq!(admit(&mut rates, 0, 1), Err((RateUnit::Tokens, 15_100_000)));
}

#[test]
fn more_than_a_minutes_tokens_wait_for_a_full_bucket_and_are_worked_off() {
    let mut rates = Rates::default();
    assert!(admit(&mut rates, 0, 60).is_ok());
    assert_eq!(
        admit(&mut rates, 0, 6_000),
        Err((RateUnit::Tokens, 6_000_000))
    );
    assert!(admit(&mut rates, 6, 6_000).is_ok());
    assert_eq!(
        admit(&mut rates, 6, 600),
        Err((RateUnit::Tokens, 600_000_000))
    );
    assert!(admit(&mut rates, 606, 600).is_ok());
}

#[test]
fn a_clock_that_jumps_back_gives_nothing_and_holds_up_nobody() {
    let mut rates = Rates::default();
    for _ in 0..6 {
        admit(&mut rates, 1_000, 0).unwrap();
    }
    assert_eq!(
        admit(&mut rates, 0, 0),
        Err((RateUnit::Requests, 10_000_000))
    );
    // A refusal leaves nothing behind: only what is let through is written down.
    assert!(admit(&mut rates, 1_010, 0).is_ok());
    rates.settle(at(0), (&key("k"), BOUNDS), (0, 1));
    assert!(admit(&mut rates, 10, 0).is_ok());
}

#[test]
fn the_ends_of_every_number_do_no_harm() {
    let mut rates = Rates::default();
    let narrow = RateBounds {
        requests_per_min: Some(0),
        tokens_per_min: Some(u32::MAX),
    };
    let key = key("k");
    let ends = [Micros(i64::MIN), Micros(i64::MAX), Micros(0)];
    for now in ends {
        for tokens in [0, 1, u64::MAX] {
            rates.admit(now, (&key, narrow), tokens).ok();
            rates.settle(now, (&key, narrow), (0, u64::MAX));
            rates.settle(now, (&key, narrow), (u64::MAX, 0));
        }
    }
    let unbounded = RateBounds::default();
    assert_eq!(
        rates.admit(Micros(1), (&key, unbounded), u64::MAX),
        Ok(RateStanding::default())
    );
}

#[test]
fn who_is_idle_is_forgotten() {
    let mut rates = Rates::default();
    for n in 0..10_000_i64 {
        let id = key(&format!("k{}", n * 7919 % 10_007));
        // A new key every 10 ms, each idle again after 10 s: about 1,000 owe something.
        let now = Micros(n * SECOND_US / 100);
        assert!(rates.admit(now, (&id, BOUNDS), 0).is_ok());
    }
    assert!(rates.len() < 3_000, "{}", rates.len());
    rates.admit(at(10_000), (&key("a"), BOUNDS), 0).unwrap();
    rates.settle(at(20_000), (&key("a"), BOUNDS), (0, 0));
    for _ in 0..3_000 {
        rates.admit(at(20_000), (&key("a"), BOUNDS), 0).ok();
        rates.settle(at(20_000), (&key("a"), BOUNDS), (0, 0));
    }
    assert_eq!(rates.len(), 1);
}

proptest! {
    /// Over any span, what is let through is at most what the span and one full bucket allow, and who waits as long as it
    /// was told is let through.
    #[test]
    fn the_rate_holds_over_time(
        asks in prop::collection::vec((0_i64..20 * SECOND_US, 0_u64..700), 1..80),
    ) {
        let mut rates = Rates::default();
        let key = key("k");
        let (mut now, mut requests, mut tokens) = (0_i64, 0_i64, 0_u64);
        for (pause_us, ask) in asks {
            now += pause_us;
            if let Err(refusal) = rates.admit(Micros(now), (&key, BOUNDS), ask) {
                prop_assert!(rates.admit(Micros(now), (&key, BOUNDS), ask).is_err());
                now += i64::try_from(refusal.wait_us).unwrap();
                prop_assert!(rates.admit(Micros(now), (&key, BOUNDS), ask).is_ok());
            }
            requests += 1;
            tokens += ask;
            prop_assert!((requests - 6) * 10 * SECOND_US <= now);
            // One request of up to 700 may leave a debt of 100 beyond the bucket.
            let given = u64::try_from(now).unwrap() / 100_000;
            prop_assert!(tokens <= 700 + given, "{tokens} at {now}");
        }
    }
}
