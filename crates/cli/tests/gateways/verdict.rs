//! What clients saw, what the books say and what the engine wrote down, compared.

use crate::harness::books::records;
use crate::yard::End;
use madang_ledger::Account;
use madang_types::{Outcome, Unit, UsageRecord};
use std::collections::BTreeMap;
use std::fmt;

/// What was found. All but the last four must be 0.
#[derive(Default)]
pub struct Verdict {
    /// Answers that a client saw to their end and that are not in the books as finished.
    lost: u64,
    /// Records or entries that are there twice.
    doubled: u64,
    /// µ₩ spent beyond a grant, by what the books say.
    overspent: i64,
    /// The same by what the engine wrote down of what it finished.
    overserved: i64,
    /// Finished requests of which records, entries and the engine say different things.
    differing: u64,
    /// What is wrong with the ledger itself.
    findings: Vec<String>,
    /// Grants that do not add up: granted less spent is not what is left.
    unsound: Vec<String>,

    finished: u64,
    records: u64,
    /// Streams that a kill cut and that were settled by their draft; output tokens that the engine had sent of them, and that the
    /// books have.
    killed: (u64, u64, u64),
    /// Requests that the engine began and of which the books know nothing: killed before their first draft.
    young: (u64, u64),
    /// Of each grant, in permille.
    spent: Vec<(&'static str, i64)>,
    spent_s: f64,
    answers: BTreeMap<String, u64>,
}

impl Verdict {
    pub async fn new(end: &End) -> Self {
        let (seen, books) = (&end.seen, &*end.books);
        let records = records(books).await;
        let mut verdict = Self {
            finished: seen.finished.len() as u64,
            records: records.len() as u64,
            spent_s: end.spent_s,
            answers: seen.answers.clone(),
            ..Self::default()
        };
        let report = books.ledger_verify().await.unwrap();
        let told = report.findings.iter();
        verdict.findings = told.map(|f| format!("{}: {f}", f.place())).collect();
        let mut by_id: BTreeMap<String, &UsageRecord> = BTreeMap::new();
        for record in &records {
            let twice = by_id.insert(record.id.to_string(), record).is_some();
            verdict.doubled += u64::from(twice);
            verdict.compare(record, end).await;
        }
        for (_, id) in &seen.finished {
            let record = by_id.get(id);
            let kept = record.is_some_and(|record| record.outcome == Outcome::Finished);
            verdict.lost += u64::from(!kept);
        }
        for (id, line) in &end.served {
            let sent = line["output_tokens"].as_u64().unwrap();
            match by_id.get(id) {
                Some(record) if record.outcome == Outcome::Orphaned => {
                    let (count, served, booked) = verdict.killed;
                    verdict.killed = (count + 1, served + sent, booked + record.tokens.output.0);
                }
                Some(_) => {}
                None => verdict.young = (verdict.young.0 + 1, verdict.young.1 + sent),
            }
        }
        verdict.grants(&records, end).await;
        verdict
    }

    /// One record beside its entries and what the engine served.
    async fn compare(&mut self, record: &UsageRecord, end: &End) {
        let rows = end.books.entry(record.id.into()).await.unwrap();
        self.doubled += u64::from(rows.len() > 1);
        let legs = rows.iter().flat_map(|row| &row.entry.legs);
        let won: i64 = legs
            .filter(|leg| leg.unit == Unit::MicroWon)
            .map(|leg| leg.amount)
            .sum();
        let mut same = won == record.cost.unwrap_or_default().0;
        if record.outcome == Outcome::Finished {
            let line = end.served.get(&record.id.to_string());
            let tokens = record.tokens;
            let counts = [
                tokens.uncached.0 + tokens.cached.0,
                tokens.cached.0,
                tokens.output.0,
            ];
            let names = ["prompt_tokens", "cached_tokens", "output_tokens"];
            same &= line.is_some_and(|line| names.map(|n| line[n].as_u64()) == counts.map(Some));
            // Those of the first seconds came before there was a price.
            same &= won == 0 || line.is_some_and(|line| cost(line) == won);
        }
        self.differing += u64::from(!same);
    }

    async fn grants(&mut self, records: &[UsageRecord], end: &End) {
        let books = &*end.books;
        for tenant in &end.tenants {
            let own = records
                .iter()
                .filter(|record| record.tenant.as_str() == tenant.name);
            let charged: i64 = own.map(|record| record.cost.unwrap_or_default().0).sum();
            let purse = format!("allocation:{}", tenant.name).parse().unwrap();
            let left = books.purse_left(purse, Unit::MicroWon).await.unwrap();
            if tenant.granted - charged != left {
                let name = tenant.name;
                let text = format!("{name}: {} less {charged} is not {left}", tenant.granted);
                self.unsound.push(text);
            }
            self.overspent += (charged - tenant.granted).max(0);
            let finished = records.iter().filter(|record| {
                record.tenant.as_str() == tenant.name && record.outcome == Outcome::Finished
            });
            let served: i64 = finished
                .filter_map(|record| end.served.get(&record.id.to_string()))
                .map(cost)
                .sum();
            self.overserved += (served - tenant.granted).max(0);
            let permille = charged * 1_000 / tenant.granted;
            self.spent.push((tenant.name, permille));
        }
        let site = Account::Site("here".parse().unwrap());
        let balances = books.balance(site).await.unwrap();
        let won = balances.iter().find(|(unit, _)| *unit == Unit::MicroWon);
        let total = won.map_or(0, |(_, balance)| balance.total_in);
        let charged = records
            .iter()
            .map(|record| record.cost.unwrap_or_default().0);
        let charged: i64 = charged.sum();
        if total != charged {
            let text = format!("the site earned {total} and {charged} was charged");
            self.unsound.push(text);
        }
    }

    pub fn check(&self) {
        assert_eq!((self.lost, self.doubled, self.differing), (0, 0, 0));
        assert_eq!((self.overspent, self.overserved), (0, 0));
        assert_eq!((&self.findings[..], &self.unsound[..]), (&[][..], &[][..]));
        let late = self.spent[1].1;
        assert!(late >= 900, "only {late} thousandths were spendable");
        assert!(self.finished > 50, "hardly anything was served");
    }
}

/// What a line of the engine costs, in µ₩, at the yard's prices: 350, 90 and 1400 won for a million tokens.
fn cost(line: &serde_json::Value) -> i64 {
    let count = |name: &str| line[name].as_i64().unwrap();
    let cached = count("cached_tokens");
    (count("prompt_tokens") - cached) * 350 + cached * 90 + count("output_tokens") * 1400
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "lost {}, doubled {}, differing {}, overspent {} µ₩, overserved {} µ₩",
            self.lost, self.doubled, self.differing, self.overspent, self.overserved
        )?;
        writeln!(
            f,
            "{} answers seen whole, {} records; {:?}",
            self.finished, self.records, self.answers
        )?;
        let (killed, sent, booked) = self.killed;
        writeln!(
            f,
            "{killed} requests cut by a kill: {sent} output tokens sent, {booked} booked; {} younger than a draft: {} sent, none booked",
            self.young.0, self.young.1
        )?;
        for (tenant, permille) in &self.spent {
            writeln!(f, "{tenant}: {permille} thousandths of its grant spent")?;
        }
        write!(
            f,
            "nine tenths of the late one were spent {:.1} s after the heal; findings {:?} {:?}",
            self.spent_s, self.findings, self.unsound
        )
    }
}
