//! Random entries, several at a time: both databases judge them as the books in memory do, and hold what those hold.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use madang_ledger::{Account, Applied, Book, Entry, EntryId, Leg, Phase, Subject};
use madang_store::{EntryFilter, EntryRow, Ledger, PostgresOptions, PostgresStore, SqliteStore};
use madang_testkit::Postgres;
use madang_types::{Micros, RequestId, Unit};
use proptest::prelude::*;

const ACCOUNTS: [&str; 7] = [
    "world",
    "programme:startups",
    "allocation:hanbit",
    "lease:gw-1:7:allocation:hanbit",
    "site:pohang",
    "project:hanbit:search",
    "tenant:hanbit",
];

fn account(place: usize) -> Account {
    ACCOUNTS[place].parse().expect("an account")
}

fn leg() -> impl Strategy<Value = Leg> {
    let units = prop::sample::select(vec![Unit::MicroWon, Unit::OutputTokens]);
    // Mostly one level down, so that there is something to spend.
    let way = prop_oneof![4 => (0_usize..6).prop_map(|from| (from, from + 1)), 1 => (0_usize..7, 0_usize..7)];
    (way, units, 0_i64..50).prop_map(|((from, to), unit, amount)| Leg {
        unit,
        amount,
        from: account(from),
        to: account(to),
    })
}

fn subject() -> impl Strategy<Value = Subject> {
    prop_oneof![
        Just(Subject::Lease),
        Just(Subject::Budget("startups".parse().expect("a name"))),
        (0_u128..9).prop_map(|id| Subject::Request(RequestId(id))),
    ]
}

prop_compose! {
    fn entry()(
        id in 0_u128..30, phase in prop::sample::select(vec![Phase::Direct, Phase::Direct, Phase::Reserve, Phase::Post, Phase::Void]),
        at in 1_i64..4, subject in subject(), legs in prop::collection::vec(leg(), 1..4),
    ) -> Entry {
        let legs = if phase == Phase::Void { Vec::new() } else { legs };
        Entry { id: EntryId(id), phase, at: Micros(at), subject, legs }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<Entry>),
    List(Box<EntryFilter>),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let filter = (
        prop::option::of(0_usize..7),
        prop::option::of(subject()),
        prop::option::of(1_i64..5),
        prop::option::of(1_i64..5),
    );
    prop_oneof![
        6 => prop::collection::vec(entry(), 0..12).prop_map(Step::Append),
        3 => filter.prop_map(|(name, subject, from, until)| Step::List(Box::new(EntryFilter {
            account: name.map(account),
            subject,
            from: from.map(Micros),
            until: until.map(Micros),
        }))),
        1 => Just(Step::Reopen),
    ]
}

fn matches(filter: &EntryFilter, entry: &Entry) -> bool {
    let names = |account: &Account| {
        let mut legs = entry.legs.iter();
        legs.any(|leg| leg.from == *account || leg.to == *account)
    };
    filter.account.as_ref().is_none_or(names)
        && filter
            .subject
            .as_ref()
            .is_none_or(|subject| *subject == entry.subject)
        && filter.from.is_none_or(|from| entry.at >= from)
        && filter.until.is_none_or(|until| entry.at < until)
}

struct Model {
    book: Book,
    /// All that was written, in that order.
    history: Vec<Entry>,
}

async fn check(store: &dyn Ledger, model: &mut Model, step: Step) {
    match step {
        Step::Append(entries) => {
            let told = store.entries_append(entries.clone()).await.unwrap();
            for (entry, told) in entries.into_iter().zip(told) {
                let expected = model.book.enter(entry.clone());
                assert_eq!(told, expected, "{entry:?}");
                if matches!(expected, Ok(Applied::New(_))) {
                    model.history.push(entry);
                }
            }
        }
        Step::List(filter) => {
            let found = store.entries((*filter).clone(), None, 1000).await.unwrap();
            let rows = (1_u64..).zip(&model.history);
            let mut expected: Vec<EntryRow> = rows
                .filter(|(_, entry)| matches(&filter, entry))
                .map(|(seq, entry)| EntryRow {
                    seq,
                    entry: entry.clone(),
                })
                .collect();
            expected.reverse();
            assert_eq!(found, expected, "{filter:?}");
        }
        Step::Reopen => {}
    }
}

/// Every balance, in both directions, and a clean report.
async fn check_whole(store: &dyn Ledger, model: &Model) {
    let rows = store.balances(String::new(), None, 1000).await.unwrap();
    let found = rows.iter().map(|row| (&row.account, row.unit, row.balance));
    let mut found: Vec<_> = found.collect();
    found.sort_by_key(|(account, unit, _)| ((*account).clone(), *unit));
    assert_eq!(found, model.book.balances().collect::<Vec<_>>());
    let report = store.ledger_verify().await.unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(report.entries, u64::try_from(model.history.len()).unwrap());
}

/// Takes the steps, opening the ledger anew between them where one says so.
fn play(open: impl Fn() -> Box<dyn Ledger>, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let mut model = Model {
        book: Book::default(),
        history: Vec::new(),
    };
    let mut ledger = open();
    for step in steps {
        if matches!(step, Step::Reopen) {
            drop(ledger);
            ledger = open();
        }
        runtime.block_on(check(&*ledger, &mut model, step));
    }
    runtime.block_on(check_whole(&*ledger, &model));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn sqlite_judges_as_the_book_does(steps in prop::collection::vec(step(), 1..20)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("books.sqlite");
        play(|| Box::new(SqliteStore::open(&path).unwrap()), steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn postgres_judges_as_the_book_does(steps in prop::collection::vec(step(), 1..20)) {
        let server = Postgres::shared().unwrap();
        let database = server.database().unwrap();
        let url = database.url().parse().unwrap();
        let open = || PostgresStore::open(&url, &PostgresOptions::default()).unwrap();
        play(|| Box::new(open()), steps);
    }
}
