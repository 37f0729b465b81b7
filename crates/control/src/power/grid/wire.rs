//! What an OpenADR 3 server says, of which we take what limits a site's power. Versions 3.0 and 3.1 say it alike, but for targets.
//!
//! Fields and words: OpenADR 3.1.0, "Definition" and its OpenAPI document (OpenADR Alliance). A crate for them is there
//! (`openleadr-wire`), and cannot be built beside our SQLite: it asks for another one by `sqlx`.

use jiff::Span;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use madang_core::power::orders::{OrderSpan, Orders};
use madang_fleet::Vtn;
use madang_types::{Micros, PowerEventKind};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Characters of a name of an event or a program.
const NAME_CHARS_MAX: usize = 128;
/// Intervals of one event.
const INTERVALS_MAX: usize = 1_000;
/// What may be limited, in watts.
const WATTS_MAX: f64 = 1e10;
/// A beginning of this day is none: it means at once.
const AT_ONCE: &str = "0001-01-01";
/// A time of so many years has no end.
const ENDLESS_YEARS: i16 = 1_000;

/// One program.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Program {
    pub id: String,
    pub program_name: String,
}

/// One event.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "programID")]
    program: String,
    event_name: Option<String>,
    created_date_time: Option<String>,
    duration: Option<String>,
    priority: Option<u32>,
    #[serde(default)]
    targets: Option<Vec<Target>>,
    #[serde(default)]
    payload_descriptors: Option<Vec<Descriptor>>,
    interval_period: Option<Period>,
    #[serde(default)]
    intervals: Option<Vec<Interval>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Target {
    /// As 3.1 has it.
    Name(String),
    /// As 3.0 has it.
    Typed { values: Vec<String> },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    payload_type: String,
    units: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Period {
    start: Option<String>,
    duration: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Interval {
    interval_period: Option<Period>,
    payloads: Vec<Payload>,
}

#[derive(Debug, Deserialize)]
struct Payload {
    #[serde(rename = "type")]
    word: String,
    values: Vec<Value>,
}

/// What of a VTN's events is understood, and what is not, in words for the operator.
#[derive(Debug, Default)]
pub(super) struct Understood {
    pub orders: Orders,
    pub passed_over: Vec<String>,
}

/// What events say; of programs, where some are named, of these alone.
pub(super) fn understand(
    vtn: &Vtn,
    programs: Option<&BTreeMap<String, String>>,
    events: &[Value],
) -> Understood {
    let mut understood = Understood::default();
    for value in events {
        let id = value["id"].as_str().filter(|id| is_name(id));
        let Some(id) = id else {
            let what = "an event without a name of letters, digits, '_' and '-'";
            understood.passed_over.push(what.to_owned());
            continue;
        };
        match read(vtn, programs, (id, value)) {
            Ok(read) => {
                understood.orders.spans.extend(read.spans);
                let words = read.passed_over.into_iter();
                let said = words.map(|word| format!("event {id}: {word}"));
                understood.passed_over.extend(said);
            }
            Err(why) => {
                understood.orders.unread.insert(id.to_owned());
                understood.passed_over.push(format!("event {id}: {why}"));
            }
        }
    }
    understood
}

/// What one event says.
#[derive(Default)]
struct Read {
    spans: Vec<OrderSpan>,
    passed_over: Vec<String>,
}

fn read(
    vtn: &Vtn,
    programs: Option<&BTreeMap<String, String>>,
    (id, value): (&str, &Value),
) -> Result<Read, String> {
    let event = Event::deserialize(value).map_err(|error| brief(&error.to_string()))?;
    let is_ours = programs.is_none_or(|known| known.contains_key(&event.program));
    if !is_ours || !is_meant(vtn, event.targets.as_deref().unwrap_or_default()) {
        return Ok(Read::default());
    }
    if event.program.len() > NAME_CHARS_MAX {
        return Err("its program's name is too long".to_owned());
    }
    let intervals = event.intervals.as_deref().unwrap_or_default();
    if intervals.len() > INTERVALS_MAX {
        return Err(format!("it has more than {INTERVALS_MAX} intervals"));
    }
    let mut read = Read::default();
    let mut next = None;
    for (number, interval) in (0_u32..).zip(intervals) {
        let (from, until) = times(&event, interval, next)?;
        next = until;
        let (kinds, passed_over) = kinds_of(vtn, &event, &interval.payloads)?;
        for word in passed_over {
            let said = format!("'{}' limits no power", brief(word));
            if !read.passed_over.contains(&said) {
                read.passed_over.push(said);
            }
        }
        read.spans.extend(kinds.into_iter().map(|kind| OrderSpan {
            program: event.program.clone(),
            event: id.to_owned(),
            interval: number,
            from,
            until,
            priority: event.priority.unwrap_or(u32::MAX),
            kind,
            reason: reason(vtn, id, event.event_name.as_deref()),
        }));
    }
    // What is said for a part of the time alone is better kept than nothing; that there is more is told.
    if let (Some(duration), Some(end)) = (&event.duration, next)
        && let Some(first) = read.spans.first()
        && after(first.from, duration)?.is_none_or(|until| until > end)
    {
        let said = "its intervals are to be repeated, which is not done";
        read.passed_over.push(said.to_owned());
    }
    Ok(read)
}

/// When an interval begins and ends: as it says itself, else as its event does, one after the other.
fn times(
    event: &Event,
    interval: &Interval,
    next: Option<Micros>,
) -> Result<(Micros, Option<Micros>), String> {
    let whole = event.interval_period.as_ref();
    let own = interval.interval_period.as_ref();
    let start = |period: Option<&Period>| period.and_then(|period| period.start.clone());
    let lasts = |period: Option<&Period>| period.and_then(|period| period.duration.clone());
    let from = match (start(own), next, start(whole)) {
        (Some(own), _, _) => instant(&own, event)?,
        (None, Some(next), _) => next,
        (None, None, Some(whole)) => instant(&whole, event)?,
        (None, None, None) => return Err("nothing says when it begins".to_owned()),
    };
    let until = match lasts(own).or_else(|| lasts(whole)) {
        Some(duration) => after(from, &duration)?,
        None => None,
    };
    match until {
        Some(until) if until <= from => Err("it ends before it begins".to_owned()),
        _ => Ok((from, until)),
    }
}

fn instant(text: &str, event: &Event) -> Result<Micros, String> {
    let text = match text.starts_with(AT_ONCE) {
        false => text,
        true => match &event.created_date_time {
            Some(created) => created,
            None => return Err("it begins at once, and nothing says when that was".to_owned()),
        },
    };
    let at: Result<Timestamp, _> = text.parse();
    let at = at.map_err(|_| format!("'{}' is no instant with its offset", brief(text)))?;
    Ok(Micros(at.as_microsecond()))
}

/// So long after an instant; `None` where that is never.
fn after(from: Micros, duration: &str) -> Result<Option<Micros>, String> {
    let wrong = || format!("'{}' is no duration", brief(duration));
    let span: Span = duration.parse().map_err(|_| wrong())?;
    if span.get_years() >= ENDLESS_YEARS {
        return Ok(None);
    }
    let at = Timestamp::from_microsecond(from.0).map_err(|_| wrong())?;
    let until = at.to_zoned(TimeZone::UTC).checked_add(span);
    let until = until.map_err(|_| wrong())?.timestamp();
    Ok(Some(Micros(until.as_microsecond())))
}

/// What payloads leave, each for itself, of which the lowest will count (`None`: all), and the words that limit nothing.
type Kinds<'e> = (Vec<Option<PowerEventKind>>, Vec<&'e str>);

fn kinds_of<'e>(vtn: &Vtn, event: &Event, payloads: &'e [Payload]) -> Result<Kinds<'e>, String> {
    let (mut kinds, mut passed_over) = (Vec::new(), Vec::new());
    for payload in payloads {
        let word = payload.word.as_str();
        let kind = match word {
            "IMPORT_CAPACITY_LIMIT" | "DISPATCH_SETPOINT" => {
                let watts = watts(event, payload)?;
                Some(PowerEventKind::Cap { watts })
            }
            "SIMPLE" => level(vtn, payload)?.map(|milli| PowerEventKind::Cut {
                milli,
                baseline_watts: None,
            }),
            _ => {
                passed_over.push(word);
                continue;
            }
        };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok((kinds, passed_over))
}

fn watts(event: &Event, payload: &Payload) -> Result<u64, String> {
    let Payload { word, values } = payload;
    let descriptors = event.payload_descriptors.as_deref().unwrap_or_default();
    let own = descriptors.iter().find(|row| row.payload_type == *word);
    let units = own.and_then(|row| row.units.as_deref()).unwrap_or("KW");
    let factor = match units {
        "KW" => 1e3,
        "W" => 1.0,
        "MW" => 1e6,
        other => return Err(format!("{word} in '{}' is not understood", brief(other))),
    };
    let watts = match values.as_slice() {
        [value] => value.as_f64().map(|number| number * factor),
        _ => None,
    };
    match watts {
        Some(watts) if (0.0..=WATTS_MAX).contains(&watts) => Ok(watts.round() as u64),
        _ => Err(format!("{word} has one value, a power from 0 up")),
    }
}

/// What a level of `SIMPLE` cuts; `None` of level 0.
fn level(vtn: &Vtn, payload: &Payload) -> Result<Option<u32>, String> {
    let level = match payload.values.as_slice() {
        [value] => value.as_u64(),
        _ => None,
    };
    match level {
        Some(0) => Ok(None),
        Some(level @ 1..=3) => {
            let place = usize::try_from(level - 1).ok();
            let milli = place.and_then(|place| vtn.simple_cut_milli.get(place));
            let none = || {
                format!("level {level} of SIMPLE means nothing here: name it in simple_cut_milli")
            };
            milli.copied().map(Some).ok_or_else(none)
        }
        _ => Err("SIMPLE has one value, a level from 0 to 3".to_owned()),
    }
}

/// Whether an event with such targets is for this site.
fn is_meant(vtn: &Vtn, targets: &[Target]) -> bool {
    let mut names = targets.iter().flat_map(|target| match target {
        Target::Name(name) => std::slice::from_ref(name),
        Target::Typed { values } => values,
    });
    vtn.targets.is_empty() || targets.is_empty() || names.any(|name| vtn.targets.contains(name))
}

fn reason(vtn: &Vtn, id: &str, name: Option<&str>) -> String {
    let name: String = name.unwrap_or(id).chars().take(60).collect();
    let name = name.replace(char::is_control, " ");
    format!("{}: {name}", vtn.id)
}

fn is_name(id: &str) -> bool {
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (1..=NAME_CHARS_MAX).contains(&id.len()) && id.chars().all(sound)
}

fn brief(text: &str) -> String {
    let text: String = text.chars().take(80).collect();
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests;
