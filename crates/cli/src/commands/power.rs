//! `madang power`: what sites draw and may; caps, and events in which a grid wants less.

use super::job::span_ms;
use super::server::{Table, cell, instant_cell, print, rows};
use crate::args::ServerArgs;
use crate::http_client::{ApiClient, escape};
use crate::power_args::{PowerCommand, PowerEventArgs};
use anyhow::{Context, anyhow};
use jiff::Timestamp;
use madang_types::POWER_EVENT_MS;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::process::ExitCode;

/// Characters of a reason; as the server has it.
const REASON_CHARS_MAX: usize = 100;
/// Lines of the log that are shown.
const LINES_SHOWN_MAX: usize = 12;

/// Exit code 0 where the server did it.
pub async fn run(command: PowerCommand) -> anyhow::Result<ExitCode> {
    match command {
        PowerCommand::Status { site, server } => status(site, server).await,
        PowerCommand::Cap {
            site,
            watts,
            reason,
            server,
        } => cap((&site, &watts), &reason, server).await,
        PowerCommand::Event(args) => event(args).await,
        PowerCommand::Events { site, server } => {
            let answer = ApiClient::new(&server)?.get(&events_path(&site)).await?;
            print(&answer, server.json, |list| events_table(rows(list)))
        }
        PowerCommand::Cancel {
            site,
            event,
            server,
        } => {
            let path = format!("{}/{event}", events_path(&site));
            let answer = ApiClient::new(&server)?.delete(&path).await?;
            print(&answer, server.json, |row| {
                format!(
                    "power event {} of {} is over\n",
                    cell(row, "id"),
                    cell(row, "site")
                )
            })
        }
    }
}

fn events_path(site: &str) -> String {
    format!("/api/v1/sites/{}/power-events", escape(site))
}

async fn status(site: Option<String>, server: ServerArgs) -> anyhow::Result<ExitCode> {
    let client = ApiClient::new(&server)?;
    match site {
        Some(site) => {
            let path = format!("/api/v1/sites/{}/power", escape(&site));
            let answer = client.get(&path).await?;
            print(&answer, server.json, one_site)
        }
        None => {
            let answer = client.get("/api/v1/power").await?;
            print(&answer, server.json, |list| sites_table(rows(list)))
        }
    }
}

fn sites_table(rows: &[Value]) -> String {
    let names = [
        "site",
        "draws",
        "measured",
        "cap",
        "idle",
        "most",
        "acts",
        "over the cap",
    ];
    let mut table = Table::new(&names, &[1, 3, 4, 5, 6, 7]);
    for row in rows {
        let acts = row["acts"].as_array().map_or(0, Vec::len);
        table.row(vec![
            cell(row, "site"),
            watts_cell(row, "watts"),
            yes_cell(row, "measured"),
            watts_cell(row, "cap_watts"),
            watts_cell(row, "idle_watts"),
            watts_cell(row, "full_watts"),
            acts.to_string(),
            watts_cell(row, "lacks_watts"),
        ]);
    }
    table.text()
}

fn one_site(row: &Value) -> String {
    let mut text = sites_table(std::slice::from_ref(row));
    let list = |field: &str| row[field].as_array().map_or(&[][..], Vec::as_slice);
    let mut section = |table: Table, rows: usize| {
        if rows > 0 {
            // Writing to a text does not fail.
            write!(text, "\n{}", table.text()).unwrap_or_default();
        }
    };
    let mut table = Table::new(&["done now", "since", "saves"], &[2]);
    for act in list("acts") {
        let cells = [
            cell(act, "what"),
            instant_cell(act, "since"),
            watts_cell(act, "saves_watts"),
        ];
        table.row(cells.into());
    }
    section(table, list("acts").len());
    let mut table = Table::new(&["what draws it", "draws", "idle", "most"], &[1, 2, 3]);
    for load in list("loads") {
        let watts = ["watts", "idle_watts", "full_watts"].map(|field| watts_cell(load, field));
        table.row([vec![cell(load, "what")], watts.into()].concat());
    }
    section(table, list("loads").len());
    let mut table = Table::new(
        &["meter", "said", "taken as", "believed", "why not"],
        &[1, 2],
    );
    for meter in list("meters") {
        let why = match cell(meter, "error").as_str() {
            "-" => cell(meter, "doubt"),
            error => error.to_owned(),
        };
        let watts = ["told_watts", "watts"].map(|field| watts_cell(meter, field));
        let cells = [
            vec![cell(meter, "id")],
            watts.into(),
            vec![yes_cell(meter, "measured"), why],
        ];
        table.row(cells.concat());
    }
    section(table, list("meters").len());
    let log = list("log");
    let mut table = Table::new(
        &["at", "what was done", "act", "watts", "drawn", "cap"],
        &[3, 4, 5],
    );
    for line in log.iter().skip(log.len().saturating_sub(LINES_SHOWN_MAX)) {
        let watts = ["watts", "drawn_watts", "cap_watts"].map(|field| watts_cell(line, field));
        let head = vec![
            instant_cell(line, "at"),
            cell(line, "deed"),
            cell(line, "act"),
        ];
        table.row([head, watts.into()].concat());
    }
    section(table, log.len());
    let unknown = list("unknown").iter().filter_map(Value::as_str);
    let unknown: Vec<&str> = unknown.collect();
    if !unknown.is_empty() {
        let unknown = unknown.join(", ");
        writeln!(text, "\nnobody says what these draw: {unknown}").unwrap_or_default();
    }
    text
}

fn events_table(rows: &[Value]) -> String {
    let names = [
        "event", "cap", "cut", "from", "until", "now", "by", "reason",
    ];
    let mut table = Table::new(&names, &[0, 1, 2]);
    for row in rows {
        let cut = row["cut_milli"].as_f64();
        table.row(vec![
            cell(row, "id"),
            watts_cell(row, "cap_watts"),
            cut.map_or("-".to_owned(), |milli| format!("{} %", milli / 10.0)),
            instant_cell(row, "from"),
            instant_cell(row, "until"),
            yes_cell(row, "in_force"),
            cell(row, "set_by"),
            cell(row, "reason"),
        ]);
    }
    table.text()
}

fn yes_cell(row: &Value, field: &str) -> String {
    if row[field] == true { "yes" } else { "no" }.to_owned()
}

/// Watts with their unit.
fn watts_cell(row: &Value, field: &str) -> String {
    row[field]
        .as_i64()
        .map_or("-".to_owned(), |watts| format!("{watts} W"))
}

async fn cap(
    (site, watts): (&str, &str),
    reason: &str,
    server: ServerArgs,
) -> anyhow::Result<ExitCode> {
    let path = events_path(site);
    if watts != "none" {
        let body = json!({ "cap_watts": watts_of(watts)?, "reason": a_reason(reason)? });
        let answer = ApiClient::new(&server)?.post(&path, &body).await?;
        return print(&answer, server.json, |row| {
            format!(
                "{} may draw {} from now on\n",
                cell(row, "site"),
                watts_cell(row, "cap_watts")
            )
        });
    }
    let client = ApiClient::new(&server)?;
    let listed = client.get(&path).await?;
    let events = listed.json()?;
    let stands = |row: &&Value| row["until"].is_null() && !row["cap_watts"].is_null();
    let caps: Vec<String> = rows(&events)
        .iter()
        .filter(stands)
        .map(|row| cell(row, "id"))
        .collect();
    for id in &caps {
        client.delete(&format!("{path}/{id}")).await?;
    }
    let left = client.get(&path).await?;
    print(&left, server.json, |_| match caps.is_empty() {
        true => format!("{site} had no cap but what its fleet file says\n"),
        false => format!("{site} has no cap any more but what its fleet file and events say\n"),
    })
}

async fn event(args: PowerEventArgs) -> anyhow::Result<ExitCode> {
    let PowerEventArgs {
        site,
        cut,
        to,
        time,
        at,
        reason,
        server,
    } = args;
    let mut body = json!({ "for_ms": for_ms(&time)?, "reason": a_reason(&reason)? });
    if let Some(cut) = cut {
        body["cut_milli"] = cut_milli(&cut)?.into();
    }
    if let Some(to) = to {
        body["cap_watts"] = watts_of(&to)?.into();
    }
    if let Some(at) = at {
        body["from"] = an_instant(&at)?.into();
    }
    let answer = ApiClient::new(&server)?
        .post(&events_path(&site), &body)
        .await?;
    print(&answer, server.json, |row| {
        let (id, from, until) = (
            cell(row, "id"),
            instant_cell(row, "from"),
            instant_cell(row, "until"),
        );
        let others = row["overlaps"].as_array().map_or(0, Vec::len);
        let beside = match others {
            0 => String::new(),
            _ => format!("; it meets {others} other(s), and the lowest of them holds"),
        };
        format!("power event {id} of {site}: from {from} until {until}{beside}\n")
    })
}

/// How long an event lasts, in milliseconds.
fn for_ms(text: &str) -> anyhow::Result<u64> {
    let for_ms = span_ms(text).filter(|ms| POWER_EVENT_MS.contains(ms));
    for_ms.with_context(|| {
        format!("'{text}' is no time for an event: write 90s, 30m, 3h or 2d, from 1s to 30d")
    })
}

/// When an event begins, as it was written.
fn an_instant(text: &str) -> anyhow::Result<&str> {
    let is_one = text.parse::<Timestamp>().is_ok();
    is_one.then_some(text).with_context(|| {
        format!("'{text}' is no instant: write 2026-12-01T18:00:00+09:00 or 2026-12-01T09:00:00Z")
    })
}

/// Why, for people.
fn a_reason(text: &str) -> anyhow::Result<&str> {
    let is_one = text.chars().count() <= REASON_CHARS_MAX && !text.chars().any(char::is_control);
    is_one
        .then_some(text)
        .with_context(|| format!("a reason is one line of at most {REASON_CHARS_MAX} characters"))
}

/// `25%` in thousandths.
fn cut_milli(text: &str) -> anyhow::Result<u32> {
    let wrong = || anyhow!("'{text}' is no part: write 25%, from 0.1% to 99.9%");
    let percent: f64 = text
        .strip_suffix('%')
        .and_then(|text| text.parse().ok())
        .ok_or_else(wrong)?;
    let milli = (percent * 10.0).round();
    if (1.0..=999.0).contains(&milli) {
        return Ok(milli as u32);
    }
    Err(wrong())
}

/// `20MW`, `150kW`, `900W` or `900` in watts.
fn watts_of(text: &str) -> anyhow::Result<u64> {
    let units = [("MW", 1e6), ("kW", 1e3), ("W", 1.0), ("", 1.0)];
    let read = |(unit, watts): (&str, f64)| {
        let number: f64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
        Some(number * watts)
    };
    match units.into_iter().find_map(read) {
        Some(watts) if watts.is_finite() && (1.0..=1e10).contains(&watts) => {
            Ok(watts.round() as u64)
        }
        _ => Err(anyhow!(
            "'{text}' is no power: write 20MW, 150kW or 900, up to 10000MW"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_and_parts_are_read_as_people_write_them() {
        let watts = |text| watts_of(text).ok();
        assert_eq!(watts("20MW"), Some(20_000_000));
        assert_eq!(watts("1.5 kW"), Some(1_500));
        assert_eq!(watts("900W"), Some(900));
        assert_eq!(watts("900"), Some(900));
        for wrong in ["", "MW", "-3", "0", "1e12", "NaN", "20GW", "inf"] {
            assert_eq!(watts(wrong), None, "{wrong}");
        }
        for (text, expected) in [("1s", Some(1_000)), ("30d", Some(2_592_000_000))] {
            assert_eq!(for_ms(text).ok(), expected);
        }
        for wrong in ["0", "0s", "31d", "400d", "-3h", "3x", ""] {
            assert!(for_ms(wrong).is_err(), "{wrong}");
        }
        assert!(an_instant("2026-12-01T18:00:00+09:00").is_ok());
        for wrong in ["2026-12-01T18:00:00", "2026-12-01", "tomorrow"] {
            assert!(an_instant(wrong).is_err(), "{wrong}");
        }
        assert!(a_reason("변압기 2 정비").is_ok() && a_reason("").is_ok());
        for wrong in ["x".repeat(101), "a\nb".into()] {
            assert!(a_reason(&wrong).is_err(), "{wrong}");
        }
        let milli = |text| cut_milli(text).ok();
        assert_eq!(milli("25%"), Some(250));
        assert_eq!(milli("12.5%"), Some(125));
        for wrong in ["25", "0%", "100%", "-1%", "%", "x%"] {
            assert_eq!(milli(wrong), None, "{wrong}");
        }
    }
}
