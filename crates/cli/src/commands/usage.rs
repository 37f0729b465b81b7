//! `madang usage`: sums over the books.

use super::server::{Table, cell, print, rows};
use crate::args::{UsageArgs, UsageBy};
use crate::http_client::{ApiClient, path_with};
use crate::out;
use anyhow::bail;
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use serde_json::Value;
use std::process::ExitCode;

/// Asia/Seoul, which has had no other offset since 1988: no time zone data is needed on the machine.
const SEOUL_HOURS: i8 = 9;

/// Exit code 0 where the server answered.
pub async fn run(args: UsageArgs) -> anyhow::Result<ExitCode> {
    let UsageArgs {
        by,
        tenant,
        project,
        model,
        from,
        until,
        csv,
        server,
    } = args;
    let from = from.map(|text| instant("--from", &text)).transpose()?;
    let until = until.map(|text| instant("--until", &text)).transpose()?;
    let parameters = [
        ("by", by.map(word)),
        ("tenant", tenant.as_deref()),
        ("project", project.as_deref()),
        ("model", model.as_deref()),
        ("from", from.as_deref()),
        ("until", until.as_deref()),
        ("format", csv.then_some("csv")),
    ];
    let answer = ApiClient::new(&server)?
        .get(&path_with("/api/v1/usage", &parameters))
        .await?;
    if csv {
        out::result(&answer.text);
        return Ok(ExitCode::SUCCESS);
    }
    print(&answer, server.json, |list| table(by, rows(list)))
}

fn word(by: UsageBy) -> &'static str {
    match by {
        UsageBy::Model => "model",
        UsageBy::Tenant => "tenant",
        UsageBy::Project => "project",
        UsageBy::Day => "day",
    }
}

/// A day in Asia/Seoul as the instant at which it begins, or an RFC 3339 instant as it is.
fn instant(flag: &str, text: &str) -> anyhow::Result<String> {
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Ok(instant.to_string());
    }
    let is_day = text.len() == 10;
    match text.parse::<Date>() {
        Ok(day) if is_day => {
            let seoul = TimeZone::fixed(Offset::constant(SEOUL_HOURS));
            Ok(day.to_zoned(seoul)?.timestamp().to_string())
        }
        Ok(_) | Err(_) => bail!(
            "{flag} {text} is neither a day such as 2026-11-21 nor an RFC 3339 instant such as 2026-11-21T09:00:00+09:00"
        ),
    }
}

fn table(by: Option<UsageBy>, rows: &[Value]) -> String {
    let group = by.map_or("group", word);
    let names = [
        group,
        "requests",
        "finished",
        "uncached",
        "cached",
        "output",
        "estimated",
        "bytes in",
        "bytes out",
    ];
    let mut table = Table::new(&names, &[1, 2, 3, 4, 5, 6, 7, 8]);
    for row in rows {
        let name = if by.is_none() {
            "all".into()
        } else {
            cell(row, "group")
        };
        let counts = [
            "requests",
            "finished",
            "uncached_tokens",
            "cached_tokens",
            "output_tokens",
            "estimated",
            "bytes_in",
            "bytes_out",
        ];
        let counts = counts.iter().map(|field| cell(row, field));
        table.row(std::iter::once(name).chain(counts).collect());
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_in_seoul_and_instants_stay() {
        let check = |text: &str, at: &str| assert_eq!(instant("--from", text).unwrap(), at);
        check("2026-11-21", "2026-11-20T15:00:00Z");
        check("2026-11-21T09:00:00+09:00", "2026-11-21T00:00:00Z");
        check("2026-11-21T00:00:00Z", "2026-11-21T00:00:00Z");
        for bad in [
            "yesterday",
            "2026-13-01",
            "2026-11-21T09:00:00",
            "20261121",
            "",
        ] {
            let said = instant("--from", bad).unwrap_err().to_string();
            assert!(said.starts_with("--from"), "{bad}: {said}");
        }
    }
}
