//! `madang budget`, `allocation`, `price` and `exchange`.

use super::job::span_ms;
use super::server::{Table, cell, instant_cell, print, rows};
use crate::http_client::{ApiClient, escape, path_with};
use crate::money_args::{
    AllocationCommand, AllocationCreateArgs, AmountArgs, BudgetCommand, ExchangeCommand,
    PriceCommand, PriceSetArgs,
};
use anyhow::{Context, anyhow};
use madang_ledger::{decimal, decimal_text};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;

/// `madang budget`: exit code 0 where the server did it.
pub async fn budget(command: BudgetCommand) -> anyhow::Result<ExitCode> {
    match command {
        BudgetCommand::List(server) => {
            let answer = ApiClient::new(&server)?.get("/api/v1/budgets").await?;
            print(&answer, server.json, |list| budgets(rows(list)))
        }
        BudgetCommand::Set {
            programme,
            amount,
            model_class,
            accelerator,
            concentration_permille_max,
            server,
        } => {
            let (unit, amount) = in_unit(&amount)?;
            let body = json!({
                "programme": programme, "unit": unit, "model_class": model_class, "accelerator": accelerator,
                "amount": amount, "concentration_permille_max": concentration_permille_max,
            });
            let client = ApiClient::new(&server)?;
            let answer = client.post("/api/v1/budgets", &body).await?;
            print(&answer, server.json, |row| {
                let (programme, amount) = (cell(row, "programme"), shown(row, "amount"));
                format!("'{programme}' has {amount}{} to allocate\n", for_class(row))
            })
        }
    }
}

/// `madang allocation`: exit code 0 where the server did it.
pub async fn allocation(command: AllocationCommand) -> anyhow::Result<ExitCode> {
    match command {
        AllocationCommand::List { tenant, server } => {
            let path = path_with("/api/v1/allocations", &[("tenant", tenant.as_deref())]);
            let answer = ApiClient::new(&server)?.get(&path).await?;
            print(&answer, server.json, |list| allocations(rows(list)))
        }
        AllocationCommand::Create(args) => allocation_create(*args).await,
        AllocationCommand::Recall { id, notice, server } => {
            let notice_s = notice.as_deref().map(seconds).transpose()?;
            let path = format!("/api/v1/allocations/{}", escape(&id));
            let path = path_with(&path, &[("notice_s", notice_s.as_deref())]);
            let answer = ApiClient::new(&server)?.delete(&path).await?;
            print(&answer, server.json, |row| {
                let (id, at) = (cell(row, "id"), instant_cell(row, "recalled_at"));
                match notice_s.is_some() {
                    true => format!("recalled {id}: nothing more is spent of it from {at} on\n"),
                    false => format!("recalled {id}: nothing more is spent of it\n"),
                }
            })
        }
    }
}

/// A time such as `7d` in seconds.
fn seconds(text: &str) -> anyhow::Result<String> {
    let ms = span_ms(text)
        .with_context(|| format!("--notice '{text}' is no time: write it as 12h or 7d"))?;
    Ok(ms.div_ceil(1_000).to_string())
}

async fn allocation_create(args: AllocationCreateArgs) -> anyhow::Result<ExitCode> {
    let (unit, amount) = in_unit(&args.amount)?;
    let tranches = args.tranches.iter().map(|text| tranche(unit, text));
    let tranches: Vec<Value> = tranches.collect::<anyhow::Result<_>>()?;
    let body = json!({
        "id": args.id, "tenant": args.tenant, "unit": unit, "model_class": args.model_class,
        "accelerator": args.accelerator, "amount": amount, "hard": !args.soft, "tranches": tranches,
        "from": args.from, "until": args.until,
    });
    let client = ApiClient::new(&args.server)?;
    let answer = client.post("/api/v1/allocations", &body).await?;
    print(&answer, args.server.json, |row| {
        let (tenant, amount) = (cell(row, "tenant"), shown(row, "amount"));
        format!("granted {amount}{} to '{tenant}'\n", for_class(row))
    })
}

/// `madang price`: exit code 0 where the server did it.
pub async fn price(command: PriceCommand) -> anyhow::Result<ExitCode> {
    match command {
        PriceCommand::List {
            accelerators: false,
            server,
        } => {
            let answer = ApiClient::new(&server)?.get("/api/v1/prices").await?;
            print(&answer, server.json, |list| prices(rows(list)))
        }
        PriceCommand::List {
            accelerators: true,
            server,
        } => {
            let client = ApiClient::new(&server)?;
            let answer = client.get("/api/v1/accelerator-prices").await?;
            print(&answer, server.json, |list| accelerator_prices(rows(list)))
        }
        PriceCommand::Set(args) => match &args.accelerator {
            Some(kind) => accelerator_price_set(kind, &args).await,
            None => model_price_set(&args).await,
        },
    }
}

async fn model_price_set(args: &PriceSetArgs) -> anyhow::Result<ExitCode> {
    let cached = args.cached.as_ref().or(args.uncached.as_ref());
    let body = json!({
        "model": args.model, "place": args.place, "from": args.from, "currency": args.currency,
        "uncached": args.uncached, "cached": cached, "output": args.output,
    });
    let client = ApiClient::new(&args.server)?;
    let answer = client.post("/api/v1/prices", &body).await?;
    print(&answer, args.server.json, |row| {
        let (model, from) = (cell(row, "model"), instant_cell(row, "from"));
        format!("the price of '{model}' is set from {from} on\n")
    })
}

async fn accelerator_price_set(kind: &str, args: &PriceSetArgs) -> anyhow::Result<ExitCode> {
    let body = json!({
        "accelerator": kind, "site": args.place, "from": args.from, "won_per_hour": args.won_per_hour,
    });
    let client = ApiClient::new(&args.server)?;
    let answer = client.post("/api/v1/accelerator-prices", &body).await?;
    print(&answer, args.server.json, |row| {
        let (kind, from) = (cell(row, "accelerator"), instant_cell(row, "from"));
        format!("the price of an hour of '{kind}' is set from {from} on\n")
    })
}

/// `madang exchange`: exit code 0 where the server did it.
pub async fn exchange(command: ExchangeCommand) -> anyhow::Result<ExitCode> {
    match command {
        ExchangeCommand::List(server) => {
            let answer = ApiClient::new(&server)?.get("/api/v1/exchanges").await?;
            print(&answer, server.json, |list| exchanges(rows(list)))
        }
        ExchangeCommand::Set {
            currency,
            won,
            from,
            server,
        } => {
            let body = json!({ "currency": currency, "won": won, "from": from });
            let client = ApiClient::new(&server)?;
            let answer = client.post("/api/v1/exchanges", &body).await?;
            print(&answer, server.json, |row| {
                let (currency, won) = (cell(row, "currency"), cell(row, "won"));
                format!(
                    "1 {currency} is {won} won from {} on\n",
                    instant_cell(row, "from")
                )
            })
        }
    }
}

/// An amount in the unit in which the server counts it.
fn in_unit(amount: &AmountArgs) -> anyhow::Result<(&'static str, i64)> {
    match (&amount.won, amount.tokens, amount.accelerator_hours) {
        (Some(won), ..) => decimal(won)
            .map(|amount| ("micro_won", amount))
            .with_context(|| format!("--won {won} is no decimal number of six places at most")),
        (None, Some(tokens), _) => Ok(("tokens", tokens)),
        (None, None, Some(hours)) => hours
            .checked_mul(HOUR_MS)
            .map(|amount| ("accelerator_ms", amount))
            .ok_or_else(|| anyhow!("--accelerator-hours {hours} is too large")),
        (None, None, None) => Err(anyhow!(
            "say how much: --won, --tokens or --accelerator-hours"
        )),
    }
}

/// A tranche of an amount in that unit.
fn tranche(unit: &str, text: &str) -> anyhow::Result<Value> {
    let written = text.rsplit_once('=');
    let (from, amount) =
        written.with_context(|| format!("--tranche {text} is no INSTANT=AMOUNT"))?;
    let counted = match unit {
        "micro_won" => decimal(amount),
        "accelerator_ms" => amount
            .parse()
            .ok()
            .and_then(|hours: i64| hours.checked_mul(HOUR_MS)),
        _ => amount.parse().ok(),
    };
    let amount = counted
        .with_context(|| format!("--tranche {text}: {amount} is no amount of what is granted"))?;
    Ok(json!({ "from": from, "amount": amount }))
}

/// An amount as people read it.
pub fn shown(row: &Value, field: &str) -> String {
    let amount = row[field].as_i64().unwrap_or_default();
    match row["unit"].as_str() {
        Some("micro_won") => format!("{} won", decimal_text(amount)),
        Some("accelerator_ms") => format!("{} accelerator-hours", amount / HOUR_MS),
        unit => format!("{amount} {}", unit.unwrap_or_default()),
    }
}

/// What an amount is for, where it is for one class of models or one kind of accelerator.
fn for_class(row: &Value) -> String {
    match (row["model_class"].as_str(), row["accelerator"].as_str()) {
        (Some(class), _) => format!(" for models of the class '{class}'"),
        (None, Some(kind)) => format!(" of '{kind}'"),
        (None, None) => String::new(),
    }
}

fn budgets(rows: &[Value]) -> String {
    let columns = [
        "programme",
        "amount",
        "model class",
        "accelerator",
        "most for one tenant",
    ];
    let mut table = Table::new(&columns, &[1, 4]);
    for row in rows {
        let cap = row["concentration_permille_max"]
            .as_i64()
            .unwrap_or_default();
        table.row(vec![
            cell(row, "programme"),
            shown(row, "amount"),
            cell(row, "model_class"),
            cell(row, "accelerator"),
            format!("{}.{} %", cap / 10, cap % 10),
        ]);
    }
    table.text()
}

fn allocations(rows: &[Value]) -> String {
    let columns = [
        "id",
        "tenant",
        "granted",
        "model class",
        "accelerator",
        "left",
        "not yet come",
        "next comes",
        "hard",
        "from",
        "until",
        "recalled",
    ];
    let mut table = Table::new(&columns, &[2, 5, 6]);
    for row in rows {
        table.row(vec![
            cell(row, "id"),
            cell(row, "tenant"),
            shown(row, "amount"),
            cell(row, "model_class"),
            cell(row, "accelerator"),
            shown(row, "left"),
            shown(row, "unreleased"),
            instant_cell(row, "next_tranche_at"),
            cell(row, "hard"),
            instant_cell(row, "from"),
            instant_cell(row, "until"),
            instant_cell(row, "recalled_at"),
        ]);
    }
    table.text()
}

fn prices(rows: &[Value]) -> String {
    let columns = [
        "model", "place", "from", "currency", "uncached", "cached", "output",
    ];
    let mut table = Table::new(&columns, &[4, 5, 6]);
    for row in rows {
        table.row(vec![
            cell(row, "model"),
            cell(row, "place"),
            instant_cell(row, "from"),
            cell(row, "currency"),
            cell(row, "uncached"),
            cell(row, "cached"),
            cell(row, "output"),
        ]);
    }
    table.text()
}

fn accelerator_prices(rows: &[Value]) -> String {
    let mut table = Table::new(&["accelerator", "site", "from", "won per hour"], &[3]);
    for row in rows {
        table.row(vec![
            cell(row, "accelerator"),
            cell(row, "site"),
            instant_cell(row, "from"),
            cell(row, "won_per_hour"),
        ]);
    }
    table.text()
}

fn exchanges(rows: &[Value]) -> String {
    let mut table = Table::new(&["currency", "from", "won"], &[2]);
    for row in rows {
        table.row(vec![
            cell(row, "currency"),
            instant_cell(row, "from"),
            cell(row, "won"),
        ]);
    }
    table.text()
}
