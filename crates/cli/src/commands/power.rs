//! `madang power`: what sites draw and may; caps, and events in which a grid wants less.

mod show;

use super::job::span_ms;
use super::server::{cell, instant_cell, print, rows};
use crate::args::ServerArgs;
use crate::http_client::{ApiClient, escape};
use crate::power_args::{PowerCommand, PowerEventArgs};
use anyhow::{Context, anyhow};
use jiff::{SignedDuration, Timestamp};
use madang_types::POWER_EVENT_MS;
use serde_json::{Value, json};
use show::{events_table, leaves_cell, one_site, sites, watts_cell};
use std::process::ExitCode;

/// Characters of a reason; as the server has it.
const REASON_CHARS_MAX: usize = 100;
/// How far back events may be asked for, in milliseconds: 31 days.
const SINCE_MS_MAX: u64 = 31 * 86_400_000;

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
        PowerCommand::Events {
            site,
            since,
            server,
        } => {
            let mut path = events_path(&site);
            if let Some(since) = since {
                path = format!("{path}?since={}", before_now(&since)?);
            }
            let answer = ApiClient::new(&server)?.get(&path).await?;
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
            print(&answer, server.json, |list| sites(rows(list)))
        }
    }
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
    // What a grid orders is taken back there.
    let stands = |row: &&Value| {
        row["until"].is_null() && !row["cap_watts"].is_null() && row["order"].is_null()
    };
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
        let leaves = leaves_cell(row);
        format!(
            "power event {id} of {site}: from {from} until {until}, it leaves {leaves}{beside}\n"
        )
    })
}

/// How long an event lasts, in milliseconds.
fn for_ms(text: &str) -> anyhow::Result<u64> {
    let for_ms = span_ms(text).filter(|ms| POWER_EVENT_MS.contains(ms));
    for_ms.with_context(|| {
        format!("'{text}' is no time for an event: write 90s, 30m, 3h or 2d, from 1s to 30d")
    })
}

/// So long ago.
fn before_now(text: &str) -> anyhow::Result<Timestamp> {
    let ms = span_ms(text).filter(|ms| (1..=SINCE_MS_MAX).contains(ms));
    let ms = ms.and_then(|ms| i64::try_from(ms).ok());
    let ms = ms.with_context(|| {
        format!("'{text}' is no time to look back: write 90s, 30m, 3h or 7d, up to 31d")
    })?;
    let at = Timestamp::now().checked_sub(SignedDuration::from_millis(ms))?;
    Ok(at)
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
        assert!(before_now("31d").is_ok() && before_now("90s").is_ok());
        for wrong in ["32d", "0s", "-1d", "yesterday", ""] {
            assert!(before_now(wrong).is_err(), "{wrong}");
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
