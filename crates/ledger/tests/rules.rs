//! The rules: what each refuses and in which words, and random entries against a second reading of them.

use madang_ledger::{
    Account, Applied, Balance, Book, Entry, EntryId, Fault, LEGS_COUNT_MAX, Leg, Phase, Subject,
};
use madang_types::{Micros, Unit};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const PROGRAMME: &str = "programme:startups";
const ALLOCATION: &str = "allocation:hanbit";
const LEASE: &str = "lease:gw-1:7:allocation:hanbit";
const SITE: &str = "site:pohang";
const PROJECT: &str = "project:hanbit:search";
const ACCOUNTS: [&str; 6] = ["world", PROGRAMME, ALLOCATION, LEASE, SITE, PROJECT];

fn leg(from: &str, to: &str, amount: i64, unit: Unit) -> Leg {
    let account = |text: &str| text.parse().expect("an account");
    Leg {
        unit,
        amount,
        from: account(from),
        to: account(to),
    }
}

fn won(from: &str, to: &str, amount: i64) -> Leg {
    leg(from, to, amount, Unit::MicroWon)
}

fn entry(id: u128, phase: Phase, legs: Vec<Leg>) -> Entry {
    Entry {
        id: EntryId(id),
        phase,
        at: Micros(1),
        subject: Subject::Lease,
        legs,
    }
}

/// Books in which the lease holds 100 µ₩, the allocation 400 and the programme 500.
fn granted() -> Book {
    let mut book = Book::default();
    let grant = vec![
        won("world", PROGRAMME, 1000),
        won(PROGRAMME, ALLOCATION, 500),
        won(ALLOCATION, LEASE, 100),
    ];
    book.enter(entry(1, Phase::Direct, grant)).expect("a grant");
    book
}

fn left(book: &Book, account: &str) -> i64 {
    let account: Account = account.parse().expect("an account");
    book.balance(&account, Unit::MicroWon).available()
}

/// Enters all but the last, which must be refused in these words and change nothing.
fn check(entries: Vec<Entry>, words: &str) {
    let mut book = granted();
    let mut entries = entries.into_iter().peekable();
    while let Some(entry) = entries.next() {
        let before: Vec<String> = book.balances().map(|row| format!("{row:?}")).collect();
        let entered = book.enter(entry);
        if entries.peek().is_some() {
            assert!(matches!(entered, Ok(Applied::New(_))), "{entered:?}");
            continue;
        }
        assert_eq!(entered.expect_err("it is refused").to_string(), words);
        let after: Vec<String> = book.balances().map(|row| format!("{row:?}")).collect();
        assert_eq!(before, after);
    }
}

#[test]
fn a_request_is_reserved_and_posted() {
    let mut book = granted();
    let reserve = entry(2, Phase::Reserve, vec![won(LEASE, SITE, 80)]);
    assert!(matches!(
        book.enter(reserve.clone()),
        Ok(Applied::New(changes)) if changes.len() == 1
    ));
    assert_eq!((left(&book, LEASE), left(&book, SITE)), (20, 0));
    let tokens = leg(SITE, PROJECT, 9, Unit::OutputTokens);
    let post = entry(2, Phase::Post, vec![won(LEASE, SITE, 30), tokens]);
    assert!(matches!(book.enter(post.clone()), Ok(Applied::New(_))));
    assert_eq!((left(&book, LEASE), left(&book, SITE)), (70, 30));
    for again in [reserve, post] {
        assert_eq!(book.enter(again), Ok(Applied::Repeated));
    }
    assert_eq!((left(&book, LEASE), left(&book, SITE)), (70, 30));
}

#[test]
fn a_void_gives_all_of_it_back() {
    let mut book = granted();
    let reserve = entry(2, Phase::Reserve, vec![won(LEASE, SITE, 100)]);
    book.enter(reserve).expect("it fits exactly");
    assert_eq!(left(&book, LEASE), 0);
    book.enter(entry(2, Phase::Void, Vec::new()))
        .expect("it ends");
    assert_eq!((left(&book, LEASE), left(&book, SITE)), (100, 0));
}

#[test]
fn what_only_passes_through_an_account_may_pass() {
    let mut book = granted();
    let legs = vec![
        won(LEASE, SITE, 130),
        won(ALLOCATION, LEASE, 40),
        won(PROGRAMME, ALLOCATION, 1),
    ];
    book.enter(entry(2, Phase::Direct, legs))
        .expect("it counts as a whole");
    assert_eq!((left(&book, LEASE), left(&book, ALLOCATION)), (10, 361));
}

fn take(amount: i64) -> Vec<Leg> {
    vec![won(LEASE, SITE, amount)]
}

fn direct(id: u128, amount: i64) -> Entry {
    entry(id, Phase::Direct, take(amount))
}

fn reserve(id: u128, amount: i64) -> Entry {
    entry(id, Phase::Reserve, take(amount))
}

fn post(id: u128, amount: i64) -> Entry {
    entry(id, Phase::Post, take(amount))
}

fn void(id: u128) -> Entry {
    entry(id, Phase::Void, Vec::new())
}

#[test]
fn nothing_is_overspent() {
    let short =
        "lease:gw-1:7:allocation:hanbit has 100 micro_won left, 1 less than this entry takes";
    check(vec![direct(2, 101)], short);
    check(vec![reserve(2, 101)], short);
    check(
        vec![reserve(2, 80), direct(3, 21)],
        "lease:gw-1:7:allocation:hanbit has 20 micro_won left, 1 less than this entry takes",
    );
    let over = "lease:gw-1:7:allocation:hanbit had 80 micro_won set aside for this id, and the post takes 81";
    check(vec![reserve(2, 80), post(2, 81)], over);
    let twice = vec![won(LEASE, SITE, 40), won(LEASE, "upstream:openai", 41)];
    check(vec![reserve(2, 80), entry(2, Phase::Post, twice)], over);
    let other = vec![won(PROGRAMME, SITE, 1)];
    check(
        vec![reserve(2, 80), entry(2, Phase::Post, other)],
        "programme:startups had 0 micro_won set aside for this id, and the post takes 1",
    );
    let huge = vec![won("world", SITE, i64::MAX), won("world", SITE, 1)];
    check(
        vec![entry(2, Phase::Direct, huge)],
        "the balance of world in micro_won would leave its range",
    );
}

#[test]
fn an_id_is_used_once() {
    let later = Entry {
        at: Micros(2),
        ..direct(2, 5)
    };
    check(
        vec![direct(2, 5), later],
        "a direct with this id was written before and says something else; an id is used once",
    );
    let taken = |phase| {
        format!("the id belongs to a {phase} already; an entry that begins needs an id of its own")
    };
    check(vec![direct(2, 5), reserve(2, 5)], &taken("direct"));
    check(vec![reserve(2, 5), direct(2, 5)], &taken("reserve"));
    check(
        vec![post(2, 5)],
        "there is no reserve with this id; write the reserve first, or a direct entry",
    );
    let ended = |phase| format!("the id has ended with a {phase} already; nothing can follow");
    check(vec![direct(2, 5), void(2)], &ended("direct"));
    check(vec![reserve(2, 5), post(2, 4), void(2)], &ended("post"));
    check(vec![reserve(2, 5), void(2), post(2, 4)], &ended("void"));
}

#[test]
fn an_entry_has_a_shape() {
    let legs = vec![won(SITE, PROJECT, 1); LEGS_COUNT_MAX + 1];
    check(
        vec![entry(2, Phase::Direct, legs)],
        "an entry has 1 to 16 legs, a void has none; this one has 17",
    );
    check(vec![direct(2, 0)], "a leg moves at least 1, this one 0");
    check(
        vec![entry(2, Phase::Direct, vec![won(SITE, SITE, 1)])],
        "a leg moves from one account to another, this one from site:pohang to itself",
    );
}

#[test]
fn entries_read_back_from_json() {
    let post = entry(u128::MAX, Phase::Post, vec![won(LEASE, SITE, i64::MAX)]);
    let text = serde_json::to_string(&post).unwrap();
    assert!(
        text.contains("\"ffffffffffffffffffffffffffffffff\""),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), post);
}

/// What the words of the rules say, read over the whole history each time. `Ok(false)`: it is there already.
fn second_reading(history: &[Entry], entry: &Entry) -> Result<bool, &'static str> {
    let legs = &entry.legs;
    let shaped = match entry.phase {
        Phase::Void => legs.is_empty(),
        Phase::Direct | Phase::Reserve | Phase::Post => (1..=16).contains(&legs.len()),
    };
    if !shaped || legs.iter().any(|leg| leg.amount <= 0 || leg.from == leg.to) {
        return Err("shape");
    }
    if history.contains(entry) {
        return Ok(false);
    }
    let phases: BTreeSet<Phase> = history
        .iter()
        .filter(|other| other.id == entry.id)
        .map(|other| other.phase)
        .collect();
    let may_follow: &[Phase] = match entry.phase {
        Phase::Direct | Phase::Reserve => &[],
        Phase::Post | Phase::Void => &[Phase::Reserve],
    };
    if !phases.iter().eq(may_follow) {
        return Err("order");
    }
    let taken = |phase: Phase, account: &Account, unit: Unit| -> i128 {
        let of_phase = |e: &&Entry| e.id == entry.id && e.phase == phase;
        let all = history.iter().chain([entry]).filter(of_phase);
        all.flat_map(|e| &e.legs)
            .filter(|leg| leg.from == *account && leg.unit == unit)
            .map(|leg| i128::from(leg.amount))
            .sum()
    };
    let over = |leg: &Leg| {
        leg.from.is_limited()
            && taken(Phase::Post, &leg.from, leg.unit) > taken(Phase::Reserve, &leg.from, leg.unit)
    };
    if entry.phase == Phase::Post && legs.iter().any(over) {
        return Err("over");
    }
    let mut after = history.to_vec();
    after.push(entry.clone());
    for ((account, _), [total_in, total_out, reserved]) in positions(&after) {
        let short = account.is_limited() && total_in - total_out - reserved < 0;
        if short || total_in.max(total_out + reserved) > i128::from(i64::MAX) {
            return Err("beyond");
        }
    }
    Ok(true)
}

/// In, out and set aside of every account, from the whole history.
fn positions(history: &[Entry]) -> BTreeMap<(Account, Unit), [i128; 3]> {
    let mut positions: BTreeMap<(Account, Unit), [i128; 3]> = BTreeMap::new();
    let ended: BTreeSet<EntryId> = history
        .iter()
        .filter(|entry| matches!(entry.phase, Phase::Post | Phase::Void))
        .map(|entry| entry.id)
        .collect();
    for entry in history {
        for leg in &entry.legs {
            let mut add = |account: &Account, column: usize, amount: i64| {
                let key = (account.clone(), leg.unit);
                positions.entry(key).or_default()[column] += i128::from(amount);
            };
            match entry.phase {
                Phase::Reserve if ended.contains(&entry.id) => add(&leg.from, 2, 0),
                Phase::Reserve => add(&leg.from, 2, leg.amount),
                Phase::Direct | Phase::Post | Phase::Void => {
                    add(&leg.from, 1, leg.amount);
                    add(&leg.to, 0, leg.amount);
                }
            }
        }
    }
    positions
}

fn any_leg() -> impl Strategy<Value = Leg> {
    let account = || prop::sample::select(ACCOUNTS.to_vec());
    let amount = prop_oneof![12 => 1_i64..40, 1 => Just(0), 1 => Just(i64::MAX)];
    let unit = prop::sample::select(vec![Unit::MicroWon, Unit::Tokens]);
    (account(), account(), amount, unit)
        .prop_map(|(from, to, amount, unit)| leg(from, to, amount, unit))
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let phase = prop::sample::select(vec![
        Phase::Direct,
        Phase::Reserve,
        Phase::Post,
        Phase::Void,
    ]);
    let legs = prop::collection::vec(any_leg(), 1..4);
    (0_u128..12, phase, 1_i64..3, legs).prop_map(|(id, phase, at, legs)| Entry {
        at: Micros(at),
        legs: if phase == Phase::Void && at == 1 {
            Vec::new()
        } else {
            legs
        },
        ..entry(id, phase, Vec::new())
    })
}

/// Mostly sound flows from the world down, so that there is something to spend, between any entries at all.
fn step() -> impl Strategy<Value = Entry> {
    let down = (100_u128..200, 1_i64..60, 0_usize..3).prop_map(|(id, amount, level)| {
        let (from, to) = (ACCOUNTS[level], ACCOUNTS[level + 1]);
        entry(id, Phase::Direct, vec![won(from, to, amount)])
    });
    let spend = (0_u128..12, 1_i64..30, 0_usize..3).prop_map(|(id, amount, phase)| {
        let phase = [Phase::Reserve, Phase::Post, Phase::Direct][phase];
        entry(id, phase, vec![won(LEASE, SITE, amount)])
    });
    prop_oneof![3 => down, 4 => spend, 4 => any_entry()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn random_entries_are_judged_as_a_second_reading_does(steps in prop::collection::vec(step(), 1..60)) {
        let mut book = Book::default();
        let mut history: Vec<Entry> = Vec::new();
        for entry in steps {
            let expected = second_reading(&history, &entry);
            let entered = book.enter(entry.clone());
            let same = match (&entered, &expected) {
                (Ok(Applied::New(_)), Ok(true)) | (Ok(Applied::Repeated), Ok(false)) => true,
                (Err(fault), Err(word)) => kind(fault) == *word,
                _ => false,
            };
            prop_assert!(same, "{:?}: {:?}, and by the second reading {:?}", entry, entered, expected);
            if expected == Ok(true) {
                history.push(entry);
            }
            check_balances(&book, &history);
        }
    }
}

fn kind(fault: &Fault) -> &'static str {
    match fault {
        Fault::Shape(_) => "shape",
        Fault::Conflict(_) | Fault::Taken(_) | Fault::NotReserved | Fault::Ended(_) => "order",
        Fault::OverReserved { .. } => "over",
        Fault::Range { .. } | Fault::Short { .. } => "beyond",
    }
}

fn check_balances(book: &Book, history: &[Entry]) {
    let mut sums: BTreeMap<Unit, i128> = BTreeMap::new();
    let mut counted = 0;
    let positions = positions(history);
    for (account, unit, balance) in book.balances() {
        let Balance {
            total_in,
            total_out,
            reserved_out,
        } = balance;
        let expected = positions[&(account.clone(), unit)];
        assert_eq!(
            [total_in, total_out, reserved_out].map(i128::from),
            expected,
            "{account} {unit}"
        );
        assert!(
            !account.is_limited() || balance.available() >= 0,
            "{account} {unit}"
        );
        *sums.entry(unit).or_default() += i128::from(total_in) - i128::from(total_out);
        counted += 1;
    }
    assert_eq!(counted, positions.len());
    assert!(sums.values().all(|sum| *sum == 0), "{sums:?}");
}
