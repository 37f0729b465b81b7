//! `madang ledger`: the books of account, read where they are kept and not by way of a gateway.

use super::server::Table;
use crate::ledger_args::{BalancesArgs, BooksArgs, EntriesArgs, LedgerCommand};
use crate::out;
use crate::up::BOOKS_FILE;
use crate::up::store::postgres_to_read;
use anyhow::Context;
use madang_ledger::{Account, Report, Subject};
use madang_store::{
    BalanceRow, EntryFilter, EntryRow, LEDGER_LIST_COUNT_MAX, Ledger, PostgresStore, SqliteLedger,
    StoreError,
};
use madang_types::{RequestId, Unit};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Exit code 0 where what was asked holds.
pub async fn run(command: LedgerCommand) -> anyhow::Result<ExitCode> {
    match command {
        LedgerCommand::Verify(books) => verify(&books).await,
        LedgerCommand::Balances(args) => balances(&args).await,
        LedgerCommand::Entries(args) => entries(&args).await,
    }
}

/// Books that are only read.
enum Books {
    File(SqliteLedger),
    Server(Box<PostgresStore>),
}

impl Books {
    async fn open(args: &BooksArgs) -> anyhow::Result<Self> {
        match postgres_to_read(args.store.as_ref()).await? {
            Some(server) => Ok(Self::Server(Box::new(server))),
            None => Ok(Self::File(SqliteLedger::open(&args.data.join(BOOKS_FILE))?)),
        }
    }

    async fn verify(&self) -> Result<Report, StoreError> {
        match self {
            Self::File(file) => file.verify(),
            Self::Server(server) => server.ledger_verify().await,
        }
    }

    async fn balances(
        &self,
        prefix: &str,
        after: Option<(Account, Unit)>,
    ) -> Result<Vec<BalanceRow>, StoreError> {
        let count_max = LEDGER_LIST_COUNT_MAX;
        match self {
            Self::File(file) => file.balances(prefix, after, count_max),
            Self::Server(server) => server.balances(prefix.to_owned(), after, count_max).await,
        }
    }

    async fn entries(
        &self,
        filter: EntryFilter,
        before: Option<u64>,
        count_max: u32,
    ) -> Result<Vec<EntryRow>, StoreError> {
        match self {
            Self::File(file) => file.entries(&filter, before, count_max),
            Self::Server(server) => server.entries(filter, before, count_max).await,
        }
    }
}

async fn verify(args: &BooksArgs) -> anyhow::Result<ExitCode> {
    let report = Books::open(args).await?.verify().await?;
    if args.json {
        out::line(&report_json(&report).to_string());
    } else {
        out::result(&report_text(&report));
    }
    Ok(ExitCode::from(u8::from(report.findings_count > 0)))
}

fn report_json(report: &Report) -> Value {
    let Report {
        entries,
        legs,
        accounts,
        open_reservations,
        findings,
        findings_count,
    } = report;
    let findings: Vec<Value> = findings
        .iter()
        .map(|finding| {
            json!({ "place": finding.place(), "what": finding.to_string(), "remedy": finding.remedy() })
        })
        .collect();
    json!({
        "entries": entries, "legs": legs, "accounts": accounts, "open_reservations": open_reservations,
        "findings": findings, "findings_count": findings_count,
    })
}

fn report_text(report: &Report) -> String {
    let Report {
        entries,
        legs,
        accounts,
        open_reservations,
        findings,
        findings_count,
    } = report;
    let read = format!(
        "{entries} entries with {legs} legs, {accounts} accounts, {open_reservations} open reservations"
    );
    if *findings_count == 0 {
        return format!("all of it follows the rules: {read}\n");
    }
    let mut text = format!("{findings_count} findings in {read}\n");
    for finding in findings {
        let (place, remedy) = (finding.place(), finding.remedy());
        text.push_str(&format!("{place}: {finding}\n  help: {remedy}\n"));
    }
    let more = findings_count.saturating_sub(u64::try_from(findings.len()).unwrap_or(0));
    if more > 0 {
        text.push_str(&format!("and {more} more, which may follow from these\n"));
    }
    text
}

async fn balances(args: &BalancesArgs) -> anyhow::Result<ExitCode> {
    let books = Books::open(&args.books).await?;
    let mut found: Vec<BalanceRow> = Vec::new();
    loop {
        let after = found.last().map(|row| (row.account.clone(), row.unit));
        let page = books.balances(&args.prefix, after).await?;
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    if args.books.json {
        let rows: Vec<Value> = found.iter().map(balance_json).collect();
        out::line(&json!({ "data": rows }).to_string());
        return Ok(ExitCode::SUCCESS);
    }
    let names = ["account", "unit", "in", "out", "reserved", "available"];
    let mut table = Table::new(&names, &[2, 3, 4, 5]);
    for BalanceRow {
        account,
        unit,
        balance,
    } in &found
    {
        let amounts = [
            balance.total_in,
            balance.total_out,
            balance.reserved_out,
            balance.available(),
        ];
        let words = [account.to_string(), unit.to_string()];
        let amounts = amounts.map(|amount| amount.to_string());
        table.row(words.into_iter().chain(amounts).collect());
    }
    out::result(&table.text());
    Ok(ExitCode::SUCCESS)
}

fn balance_json(row: &BalanceRow) -> Value {
    let BalanceRow {
        account,
        unit,
        balance,
    } = row;
    json!({
        "account": account, "unit": unit, "total_in": balance.total_in, "total_out": balance.total_out,
        "reserved_out": balance.reserved_out, "available": balance.available(),
    })
}

async fn entries(args: &EntriesArgs) -> anyhow::Result<ExitCode> {
    let EntriesArgs {
        account,
        request,
        before,
        count,
        books,
    } = args;
    let account = account.as_deref().map(str::parse).transpose()?;
    let request: Option<RequestId> = request.as_deref().map(str::parse).transpose()?;
    let filter = EntryFilter {
        account,
        subject: request.map(Subject::Request),
        ..EntryFilter::default()
    };
    let found = Books::open(books).await?;
    let found = found.entries(filter, *before, *count).await?;
    if books.json {
        let rows: Vec<Value> = found.iter().map(entry_json).collect::<Result<_, _>>()?;
        out::line(&json!({ "data": rows }).to_string());
        return Ok(ExitCode::SUCCESS);
    }
    let names = [
        "seq", "at", "id", "phase", "about", "amount", "unit", "from", "to",
    ];
    let mut table = Table::new(&names, &[0, 5]);
    for row in &found {
        entry_rows(row, &mut table)?;
    }
    out::result(&table.text());
    if let Some(last) = found.last().filter(|_| found.len() == *count as usize) {
        out::note(&format!("older ones: --before {}", last.seq));
    }
    Ok(ExitCode::SUCCESS)
}

/// One line for each leg; what the entry says stands in the first.
fn entry_rows(row: &EntryRow, table: &mut Table) -> anyhow::Result<()> {
    let EntryRow { seq, entry } = row;
    let head = [
        seq.to_string(),
        instant(row)?,
        entry.id.to_string(),
        entry.phase.to_string(),
        about(&entry.subject),
    ];
    let mut legs = entry.legs.iter().map(|leg| {
        [
            leg.amount.to_string(),
            leg.unit.to_string(),
            leg.from.to_string(),
            leg.to.to_string(),
        ]
    });
    let none = || ["-"; 4].map(str::to_owned);
    let first = legs.next().unwrap_or_else(none);
    table.row(head.into_iter().chain(first).collect());
    for leg in legs {
        let head = std::iter::repeat_n(String::new(), 5);
        table.row(head.chain(leg).collect());
    }
    Ok(())
}

fn about(subject: &Subject) -> String {
    match subject {
        Subject::Budget(id) => format!("budget {id}"),
        Subject::Allocation(id) => format!("allocation {id}"),
        Subject::Lease => "lease".to_owned(),
        Subject::Request(id) => id.to_string(),
        Subject::Job(id) => format!("job {id}"),
        Subject::Energy(site) => format!("energy of {site}"),
    }
}

fn instant(row: &EntryRow) -> anyhow::Result<String> {
    let at = jiff::Timestamp::from_microsecond(row.entry.at.0)
        .with_context(|| format!("the instant of entry {}", row.seq))?;
    Ok(at.to_string())
}

fn entry_json(row: &EntryRow) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(&row.entry)?;
    value["seq"] = row.seq.into();
    value["at"] = instant(row)?.into();
    Ok(value)
}
