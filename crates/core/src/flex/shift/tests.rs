use super::*;
use crate::flex::EnergyHour;
use madang_types::MicroWon;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

const HOUR: i64 = HOUR_US as i64;
const MINUTE: i64 = HOUR / 60;
const TERMS: EnergyTerms = EnergyTerms {
    per_kg_co2: MicroWon(50_000_000),
};

fn at(hours: f64) -> Micros {
    Micros((hours * HOUR_US as f64) as i64)
}

/// A kilowatt for each accelerator, and won for each kilowatt-hour of each hour.
fn place(won: &[i64], room: u64) -> ShiftPlace {
    let hour = |won: &i64| EnergyHour {
        grid_per_kwh: MicroWon(won * 1_000_000),
        ..EnergyHour::default()
    };
    let hours: Vec<EnergyHour> = won.iter().map(hour).collect();
    let room = vec![room * MILLI; hours.len()];
    ShiftPlace::new(EnergyOutlook::new(at(0.0), hours), 1_000, room)
}

fn work(left_h: f64, latest_h: f64) -> Work {
    Work {
        accelerator_milli: MILLI,
        left_us: at(left_h).since_us(at(0.0)),
        latest_start: at(latest_h),
        parts: false,
        runs: false,
    }
}

/// `2.0-4.0 @0 saves 500`, of what is put first.
fn said(places: Vec<ShiftPlace>, now_h: f64, work: &Work) -> String {
    let all: Vec<usize> = (0..places.len()).collect();
    let mut shifts = Shifts::new(at(now_h), TERMS, places);
    let hours = |at: Micros| at.0 as f64 / HOUR_US as f64;
    match shifts.put(work, &all) {
        None => "none".to_owned(),
        Some(shift) => format!(
            "{}-{} @{} saves {}",
            hours(shift.from),
            hours(shift.stretches[0].1),
            shift.place,
            shift.saves_permille()
        ),
    }
}

#[test]
fn work_waits_for_cheap_hours_and_no_longer_than_it_may() {
    let band = [200, 200, 100, 100, 100, 200, 200, 200];
    let check = |now_h: f64, work: Work, expected: &str| {
        assert_eq!(
            said(vec![place(&band, 9)], now_h, &work),
            expected,
            "{work:?}"
        );
    };
    check(0.0, work(2.0, 6.0), "2-4 @0 saves 500");
    check(0.5, work(2.0, 6.0), "2-4 @0 saves 428");
    // As far as it may be put off, where that helps at all; not beyond the latest start, which has passed already.
    check(0.0, work(2.0, 1.5), "1.5-3.5 @0 saves 375");
    check(0.0, work(2.0, -1.0), "0-2 @0 saves 0");
    check(2.5, work(1.0, 6.0), "2.5-3.5 @0 saves 0");
    // Longer than what is cheap: it ends or begins with it, whichever is sooner.
    check(0.0, work(4.0, 6.0), "1-5 @0 saves 166");
    // A trifle is not waited for.
    let nearly = [1_000, 999, 999];
    assert_eq!(
        said(vec![place(&nearly, 9)], 0.0, &work(1.0, 2.0)),
        "0-1 @0 saves 0"
    );
}

#[test]
fn work_in_parts_stops_where_it_is_dear() {
    let band = [100, 200, 100, 300, 100, 100];
    let parts = |left_h: f64, latest_h: f64, runs: bool| Work {
        parts: true,
        runs,
        ..work(left_h, latest_h)
    };
    let check = |now_h: f64, work: Work, expected: &str| {
        assert_eq!(
            said(vec![place(&band, 9)], now_h, &work),
            expected,
            "{work:?}"
        );
    };
    // 0-1, 2-3 and 4-6 are the cheap ones: two stops are worth it, and the first stretch is told.
    check(0.0, parts(4.0, 2.0, false), "0-1 @0 saves 428");
    check(1.0, parts(3.0, 3.0, true), "2-3 @0 saves 500");
    // What may not be put off does not stop.
    check(0.0, parts(4.0, 0.0, true), "0-4 @0 saves 0");
    // One hour's gain of a tenth is not worth a stop, where a stop weighs more.
    let flat = [1_000, 1_001, 1_000, 1_000];
    assert_eq!(
        said(vec![place(&flat, 9)], 0.0, &parts(2.0, 2.0, false)),
        "0-2 @0 saves 0"
    );
}

#[test]
fn of_places_the_cheapest_is_taken_while_there_is_room_and_its_own_power_once() {
    let places = || {
        vec![
            place(&[200; 6], 9),
            place(&[150, 150, 150, 120, 120, 120], 1),
        ]
    };
    assert_eq!(said(places(), 0.0, &work(1.0, 0.0)), "0-1 @1 saves 0");
    assert_eq!(said(places(), 0.0, &work(1.0, 5.0)), "3-4 @1 saves 200");
    let mut shifts = Shifts::new(at(0.0), TERMS, places());
    let mut put = |work: Work| {
        let shift = shifts.put(&work, &[0, 1])?;
        Some((shift.place, shift.from.0 / HOUR))
    };
    let taken: Vec<_> = (0..5).map(|_| put(work(2.0, 4.0))).collect();
    let expected = [
        Some((1, 3)),
        Some((1, 0)),
        Some((0, 0)),
        Some((0, 0)),
        Some((0, 0)),
    ];
    // The second one has no two cheap hours left, and takes what is cheaper there at once.
    assert_eq!(taken, expected);
    let sunny = EnergyHour {
        grid_per_kwh: MicroWon(100_000_000),
        co2_mg_per_kwh: 400_000,
        own_spare_watts: 1_500,
    };
    let dark = EnergyHour {
        own_spare_watts: 0,
        ..sunny
    };
    let outlook = EnergyOutlook::new(at(0.0), vec![dark, dark, sunny, dark]);
    let mut shifts = Shifts::new(
        at(0.0),
        TERMS,
        vec![ShiftPlace::new(outlook, 1_000, vec![9_000; 4])],
    );
    let costs: Vec<_> = (0..3)
        .map(|_| shifts.put(&work(1.0, 3.0), &[0]).unwrap())
        .map(|shift| {
            (
                shift.from.0 / HOUR,
                shift.cost.paid.0 / 1_000_000,
                shift.cost.co2_mg / 1_000,
            )
        })
        .collect();
    // The first takes a kilowatt of it, the second the half that is left and half of the grid's, the third finds none.
    assert_eq!(costs, [(2, 0, 0), (2, 50, 200), (0, 100, 400)]);
}

#[test]
fn without_room_or_prices_nothing_speaks_for_waiting() {
    assert_eq!(said(vec![place(&[1; 4], 0)], 0.0, &work(1.0, 3.0)), "none");
    assert_eq!(said(vec![place(&[], 9)], 0.0, &work(1.0, 3.0)), "none");
    assert_eq!(said(Vec::new(), 0.0, &work(1.0, 3.0)), "none");
    // What is absurd is cut to a week.
    let forever = Work {
        left_us: u64::MAX,
        latest_start: Micros(i64::MAX),
        ..work(1.0, 1.0)
    };
    assert_eq!(
        said(vec![place(&[1; 24], 9)], 0.0, &forever),
        "0-168 @0 saves 0"
    );
}

/// Of random days no start at any minute weighs less than the one that is found; none is later than it may be.
#[test]
fn no_minute_is_better_than_what_is_found() {
    let seed =
        std::env::var_os("SEED").map_or(7_311, |seed| seed.into_string().unwrap().parse().unwrap());
    println!("SEED={seed} cargo test -p madang-core no_minute_is_better");
    let mut random = Pcg64::seed_from_u64(seed);
    for round in 0..300 {
        let won: Vec<i64> = (0..30).map(|_| random.random_range(-20..300)).collect();
        let now = random.random_range(0..3 * 60) * MINUTE;
        let work = Work {
            left_us: random.random_range(1..6 * 60) * MINUTE as u64,
            latest_start: Micros(now + random.random_range(0..12 * 60) * MINUTE),
            ..work(1.0, 0.0)
        };
        let mut shifts = Shifts::new(Micros(now), TERMS, vec![place(&won, 9)]);
        let whole = shifts.clone();
        let found = shifts.put(&work, &[0]).unwrap();
        assert!(found.from <= work.latest_start, "{round}: {found:?}");
        let slots = Slots::new(
            &whole.places[0],
            (Micros(now), after(work.latest_start, work.left_us)),
            (MILLI, &TERMS),
        )
        .unwrap();
        let score = |from: i64| {
            let span = (Micros(from), after(Micros(from), work.left_us));
            let way = Way {
                place: 0,
                stretches: vec![span],
                weight: slots.weight(span.0, span.1),
            };
            whole.score(
                &work,
                &way,
                slots.weight(Micros(now), after(Micros(now), work.left_us)),
            )
        };
        let minutes = (now..=work.latest_start.0).step_by(MINUTE as usize);
        let least = minutes.map(score).min().unwrap();
        // Weights are rounded to far less than that.
        let more = score(found.from.0) - least;
        assert!(more < 1_000_000, "{round}: {more}, {found:?}, {work:?}");
        // What it weighs is what it costs, but for what rounding takes.
        let cost =
            whole.places[0]
                .outlook()
                .cost(1_000, (found.from, found.stretches[0].1), &TERMS);
        assert_eq!(cost, Some(found.cost), "{round}");
    }
}
