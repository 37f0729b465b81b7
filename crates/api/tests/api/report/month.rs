//! Random months of requests, settled as the gateway settles them, in real books.

use crate::bench::Bench;
use madang_core::budget::{Part, settle_orphan};
use madang_gateway::purses::entry_of;
use madang_ledger::{Account, Holder, Order, OrderKind, Purse, Subject, TokenRates};
use madang_store::conformance::sample::plain;
use madang_store::{Bank, EntryFilter, Settlement, SqliteLedger};
use madang_types::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::json;
use std::collections::BTreeMap;

/// The month in the middle: a leap year's February, at Seoul.
pub const MONTH: &str = "2020-02";
/// The first instants of January to April 2020 at Seoul.
const BEGINS: [i64; 4] = [
    1_577_804_400_000_000,
    1_580_482_800_000_000,
    1_582_988_400_000_000,
    1_585_666_800_000_000,
];
const OURS: [&str; 3] = ["a", "b", "c"];
/// Sites of ours, and an upstream.
const PLACES: [(&str, bool); 3] = [("seoul", true), ("pohang", true), ("openai", false)];
const RATES: TokenRates = TokenRates {
    uncached: MicroWon(350_000_001),
    cached: MicroWon(90_500_000),
    output: MicroWon(1_400_000_000),
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub requests: i64,
    pub uncached: i64,
    pub cached: i64,
    pub output: i64,
    pub cost: i64,
}

impl Sums {
    pub fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            uncached: self.uncached + other.uncached,
            cached: self.cached + other.cached,
            output: self.output + other.output,
            cost: self.cost + other.cost,
        }
    }
}

pub fn sums_of<'a>(records: impl Iterator<Item = &'a UsageRecord>) -> Sums {
    let of = |record: &UsageRecord| {
        let count = |tokens: Tokens| i64::try_from(tokens.0).unwrap();
        Sums {
            requests: 1,
            uncached: count(record.tokens.uncached),
            cached: count(record.tokens.cached),
            output: count(record.tokens.output),
            cost: record.cost.unwrap_or_default().0,
        }
    };
    records.map(of).fold(Sums::default(), Sums::plus)
}

/// The instants of a month.
fn span(month: &str) -> std::ops::Range<i64> {
    let place: usize = month[5..].parse().unwrap();
    BEGINS[place - 1]..BEGINS[place]
}

/// Books with three months of requests: of `a`, which spends won of a grant, of `b`, which spends tokens of one, and of `c`, which
/// owes; all of the programme `ours`, beside two tenants that are not.
pub struct Month {
    pub bench: Bench,
    records: Vec<UsageRecord>,
}

impl Month {
    pub async fn random(seed: u64, requests: u32) -> Self {
        let bench = Bench::start().await;
        for id in ["ours", "theirs"] {
            made(&bench, "programmes", json!({ "id": id })).await;
        }
        for (id, programme) in [
            ("a", Some("ours")),
            ("b", Some("ours")),
            ("c", Some("ours")),
            ("x", Some("theirs")),
            ("y", None),
        ] {
            let tenant = json!({ "id": id, "programme": programme });
            made(&bench, "tenants", tenant).await;
        }
        let bank = bench.control.gateway().purses.bank();
        let gateway: GatewayId = "gw-2".parse().unwrap();
        let holder = bank.run_begin(gateway, Micros(BEGINS[0])).await.unwrap();
        for (number, (tenant, programme, unit)) in (1..).zip([
            ("a", "ours", Unit::MicroWon),
            ("b", "ours", Unit::Tokens),
            ("x", "theirs", Unit::MicroWon),
        ]) {
            grant(bank, (&holder, number), (tenant, programme, unit)).await;
        }
        let mut world = Self {
            bench,
            records: Vec::new(),
        };
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        for number in 0..requests {
            let id = RequestId((u128::from(seed) << 64) + u128::from(number) + 1);
            let settlement = settlement(&mut random, (id, number), &holder);
            world.records.push(settlement.record.clone());
            world.bench.store().usage_settle(settlement).await.unwrap();
        }
        world
    }

    /// The records of the programme's tenants.
    pub fn ours(&self) -> impl Iterator<Item = &UsageRecord> {
        let is_ours = |record: &&UsageRecord| OURS.contains(&record.tenant.as_str());
        self.records.iter().filter(is_ours)
    }

    /// Those of a month.
    fn of(&self, month: &str) -> impl Iterator<Item = &UsageRecord> {
        let span = span(month);
        let is_in = move |record: &&UsageRecord| span.contains(&record.arrived_at.0);
        self.ours().filter(is_in)
    }

    /// What a month comes to, of those that are asked for.
    pub fn sums(&self, month: &str, wanted: impl Fn(&UsageRecord) -> bool) -> Sums {
        sums_of(self.of(month).filter(|record| wanted(record)))
    }

    /// The sum over [`MONTH`] of what the records have of it.
    pub fn amount(&self, of: impl Fn(&UsageRecord) -> Option<u64>) -> u64 {
        self.of(MONTH).filter_map(of).sum()
    }

    /// A request of `c` in [`MONTH`] that owes at Seoul, as its id stands in SQL.
    pub fn one(&self) -> String {
        let one = self.of(MONTH).find(|record| {
            record.tenant.as_str() == "c"
                && record.cost.is_some()
                && record
                    .site
                    .as_ref()
                    .is_some_and(|site| site.as_str() == "seoul")
        });
        format!("x'{:032x}'", one.unwrap().id.0)
    }

    /// Runs SQL in the books behind everybody's back.
    pub fn change(&self, sql: &str) {
        let conn = rusqlite::Connection::open(self.bench.books_file()).unwrap();
        conn.execute_batch("DROP TRIGGER IF EXISTS ledger_entries_update; DROP TRIGGER IF EXISTS ledger_legs_update")
            .unwrap();
        assert_eq!(conn.execute(sql, []).unwrap(), 1, "{sql}");
    }

    /// What the entries of a month say of the programme's tenants, read one by one.
    pub fn ledger(&self, month: &str) -> BTreeMap<Unit, i64> {
        let ledger = SqliteLedger::open(&self.bench.books_file()).unwrap();
        let span = span(month);
        let filter = EntryFilter {
            from: Some(Micros(span.start)),
            until: Some(Micros(span.end)),
            ..EntryFilter::default()
        };
        let (mut sums, mut before) = (BTreeMap::new(), None);
        loop {
            let rows = ledger.entries(&filter, before, 1000).unwrap();
            let Some(last) = rows.last() else {
                return sums;
            };
            before = Some(last.seq);
            let entries = rows.iter().map(|row| &row.entry);
            let requests = entries.filter(|entry| matches!(entry.subject, Subject::Request(_)));
            for leg in requests.flat_map(|entry| &entry.legs) {
                let place =
                    |account: &Account| matches!(account, Account::Site(_) | Account::Upstream(_));
                let ours = |account: &Account| match account {
                    Account::Tenant(tenant) | Account::Project(tenant, _) => {
                        OURS.contains(&tenant.as_str())
                    }
                    Account::Lease {
                        of: Purse::Allocation(id),
                        ..
                    } => id.as_str() == "a-2020",
                    _ => false,
                };
                let counts = match leg.unit {
                    Unit::MicroWon => ours(&leg.from) && place(&leg.to),
                    Unit::Tokens => false,
                    _ => place(&leg.from) && ours(&leg.to),
                };
                if counts {
                    *sums.entry(leg.unit).or_default() += leg.amount;
                }
            }
        }
    }
}

/// Makes what must be.
pub async fn made(bench: &Bench, what: &str, body: serde_json::Value) {
    let path = format!("/api/v1/{what}");
    let made = bench.post(&path, &bench.operator, body).await;
    assert_eq!(made.status, 201, "{}", made.text);
}

/// A budget, a grant of it from January to March, and all of the grant in a gateway's hands.
async fn grant(
    bank: &dyn Bank,
    (holder, number): (&Holder, u64),
    (tenant, programme, unit): (&str, &str, Unit),
) {
    let amount = 300_000_000_000_000;
    let at = Micros(BEGINS[0]);
    let budget = ProgrammeBudget {
        programme: programme.parse().unwrap(),
        unit,
        class: None,
        amount: 3 * amount,
        concentration_permille_max: 1000,
    };
    bank.budget_put(budget, at).await.unwrap();
    let id: AllocationId = format!("{tenant}-2020").parse().unwrap();
    let allocation = Allocation {
        id: id.clone(),
        programme: programme.parse().unwrap(),
        tenant: tenant.parse().unwrap(),
        unit,
        class: None,
        amount,
        hard: true,
        from: at,
        tranches: Vec::new(),
        until: Micros(BEGINS[3]),
        created_at: at,
        recalled_at: None,
    };
    bank.allocation_insert(allocation).await.unwrap();
    let order = Order {
        number,
        purse: Purse::Allocation(id),
        unit,
        kind: OrderKind::Take {
            want: amount,
            need: amount,
        },
    };
    let moved = bank.order(holder.clone(), order, at).await.unwrap();
    assert_eq!(moved.moved, amount);
}

fn settlement(
    random: &mut Pcg64Mcg,
    (id, number): (RequestId, u32),
    holder: &Holder,
) -> Settlement {
    let tenant = ["a", "b", "c", "x", "y"][random.random_range(0..5)];
    let (site, own) = PLACES[random.random_range(0..PLACES.len())];
    let mut record = record(random, id, (tenant, site));
    // The first and the last instant of each month, before all others.
    let edges = [0, 1, 2].map(|place| [BEGINS[place], BEGINS[place + 1] - 1]);
    let edges = edges.concat();
    let any = random.random_range(BEGINS[0]..BEGINS[3]);
    record.arrived_at = Micros(*edges.get(number as usize).unwrap_or(&any));
    match random.random_range(0..10) {
        // Refused before anything was asked.
        0 => {
            record.tokens = TokenUse::default();
            record.outcome = Outcome::Refused;
            record.site = None;
            return record.into();
        }
        // Served before anything had a price.
        1 | 2 => return record.into(),
        _ => {}
    }
    let unit = match tenant {
        "a" | "x" => Some(Unit::MicroWon),
        "b" => Some(Unit::Tokens),
        _ => None,
    };
    let part = |unit| Part {
        purse: Purse::Allocation(format!("{tenant}-2020").parse().unwrap()),
        unit,
        max: i64::MAX,
        promised: i64::MAX,
        hard: true,
    };
    let parts: Vec<Part> = unit.map(part).into_iter().collect();
    let settled = settle_orphan(&parts, (&record.tokens, &RATES));
    record.cost = Some(settled.cost);
    let entry = entry_of(&record, own, Some((holder, &settled)));
    assert!(entry.is_some());
    Settlement { record, entry }
}

fn record(random: &mut Pcg64Mcg, id: RequestId, (tenant, site): (&str, &str)) -> UsageRecord {
    let models = [Some("m"), Some("LGAI/EXAONE-4.0:32b"), None];
    let model = models[random.random_range(0..models.len())];
    let project = random.random_bool(0.5).then(|| "web".parse().unwrap());
    UsageRecord {
        tenant: tenant.parse().unwrap(),
        project,
        model: model.map(|model| model.parse().unwrap()),
        site: Some(site.parse().unwrap()),
        tokens: TokenUse {
            uncached: Tokens(random.random_range(1..100_000)),
            cached: Tokens(random.random_range(1..1_000)),
            output: Tokens(random.random_range(1..5_000)),
            estimated: random.random_bool(0.1),
        },
        // Up to an hour: what arrived at the end of a month ends in the next.
        total_us: random.random_range(1..3_600_000_000),
        energy: random.random_bool(0.3).then_some(MilliJoules(1_500)),
        ..plain(id.0, Micros(0)).unwrap()
    }
}
