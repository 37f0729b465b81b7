//! Orders of a grid as power events: which of them hold when, and what of that the books have to be told.
//!
//! A grid's server (an OpenADR 3 VTN) has events of several intervals and priorities. [`wanted`] says what they come to, in spans that
//! do not overlap where one is more urgent; [`changes`] compares that with what the books have.

use madang_types::{Micros, PowerEvent, PowerEventKind, SiteId};
use std::collections::BTreeSet;

/// Orders of one VTN that are kept at once: those that begin first. Later ones come once there is room.
pub const ORDERS_MAX: usize = 64;

/// One interval of an event as the VTN has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderSpan {
    /// The VTN's name of its program: urgency is compared within one.
    pub program: String,
    /// The VTN's name of its event.
    pub event: String,
    /// Which interval of it.
    pub interval: u32,
    /// From when on.
    pub from: Micros,
    /// Until when; `None` until the VTN takes it back.
    pub until: Option<Micros>,
    /// The less, the more urgent.
    pub priority: u32,
    /// What is left; `None` where nothing is asked for, which a less urgent event does not change.
    pub kind: Option<PowerEventKind>,
    /// What it is, for people.
    pub reason: String,
}

/// What a VTN wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// Its events' intervals.
    pub spans: Vec<OrderSpan>,
    /// Events of it that say nothing that is understood: what the books have of them stays.
    pub unread: BTreeSet<String>,
}

/// An order, as the books are to have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// `EVENT/INTERVAL/FROM-UNTIL/WHAT`, times in seconds: it names all that the order says, so that one that is changed is another one.
    pub name: String,
    /// From when on.
    pub from: Micros,
    /// Until when.
    pub until: Option<Micros>,
    /// What is left.
    pub kind: PowerEventKind,
    /// What it is, for people.
    pub reason: String,
}

/// Something that the books are to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderChange {
    /// A new order.
    Put(Order),
    /// That event is no order any more.
    End(u64),
}

/// What orders come to that are not over: of spans that overlap the more urgent one holds, and of equally urgent ones all, of which the
/// lowest will count. The first [`ORDERS_MAX`].
pub fn wanted(spans: &[OrderSpan], now: Micros) -> Vec<Order> {
    let mut orders = Vec::new();
    for span in spans {
        let Some(kind) = span.kind else {
            continue;
        };
        let above = spans
            .iter()
            .filter(|other| other.priority < span.priority && other.program == span.program);
        let mut left = vec![(span.from, span.until)];
        for other in above {
            let cut = (other.from, other.until);
            left = left
                .into_iter()
                .flat_map(|part| without(part, cut))
                .collect();
        }
        let parts = left.into_iter().filter(|(_, until)| is_after(*until, now));
        orders.extend(parts.map(|part| order(span, kind, part)));
    }
    orders.sort_by(|a, b| (a.from, &a.name).cmp(&(b.from, &b.name)));
    orders.dedup_by(|a, b| a.name == b.name);
    orders.truncate(ORDERS_MAX);
    orders
}

/// What of the books' events at a site changes, of which `kept` are those that are not over. Where an order takes the place of another one
/// of its event, what that was a part of stays what it is a part of.
pub fn changes(
    (vtn, site): (&str, &SiteId),
    orders: &Orders,
    kept: &[PowerEvent],
    now: Micros,
) -> Vec<OrderChange> {
    let own = |event: &PowerEvent| {
        let name = event.order.as_deref()?.strip_prefix(vtn)?;
        let name = name.strip_prefix('/').filter(|_| event.site == *site);
        Some((name?.to_owned(), event.id))
    };
    let there: Vec<(String, u64)> = kept.iter().filter_map(own).collect();
    let wanted = wanted(&orders.spans, now);
    // First what is new: while both are there the lower one holds.
    let new = wanted
        .iter()
        .filter(|order| there.iter().all(|(name, _)| *name != order.name));
    let based = |order: &Order| {
        let whole = format!("{vtn}/{}", event_of(&order.name));
        let noted = noted((site, &whole), order.from, kept);
        let kind = match order.kind {
            PowerEventKind::Cut { milli, .. } => PowerEventKind::Cut {
                milli,
                baseline_watts: noted,
            },
            cap @ PowerEventKind::Cap { .. } => cap,
        };
        OrderChange::Put(Order {
            kind,
            ..order.clone()
        })
    };
    let mut changes: Vec<OrderChange> = new.map(based).collect();
    for (place, (name, id)) in there.iter().enumerate() {
        let is_wanted = wanted.iter().any(|order| order.name == *name);
        let is_twice = there[..place].iter().any(|(known, _)| known == name);
        let is_unread = orders.unread.contains(event_of(name));
        if is_twice || !(is_wanted || is_unread) {
            changes.push(OrderChange::End(*id));
        }
    }
    changes
}

/// What a cut by a grid's order is a part of, in watts, where another part of the same event was noted before and lasts until this one
/// begins: what was drawn before any of it. Else each part would be cut out of what the one before has left.
pub fn noted_before(event: &PowerEvent, others: &[PowerEvent]) -> Option<u64> {
    noted((&event.site, whole_of(event)?), event.from, others)
}

/// What was noted first of an event, by its name `VTN/EVENT`, among those parts of it that last until then.
fn noted((site, whole): (&SiteId, &str), from: Micros, others: &[PowerEvent]) -> Option<u64> {
    let same = others.iter().filter(|other| {
        let lasts = other.until.is_none_or(|until| until >= from);
        lasts && other.site == *site && whole_of(other) == Some(whole)
    });
    let noted = same.filter_map(|other| match other.kind {
        PowerEventKind::Cut { baseline_watts, .. } => Some((other.from, baseline_watts?)),
        PowerEventKind::Cap { .. } => None,
    });
    noted.min().map(|(_, watts)| watts)
}

/// `VTN/EVENT` of an order's name.
fn whole_of(event: &PowerEvent) -> Option<&str> {
    let name = event.order.as_deref()?;
    let (vtn, rest) = name.split_once('/')?;
    name.get(..vtn.len() + 1 + event_of(rest).len())
}

fn event_of(name: &str) -> &str {
    name.split_once('/').map_or(name, |(event, _)| event)
}

fn order(span: &OrderSpan, kind: PowerEventKind, (from, until): Part) -> Order {
    let until_s = until.map_or_else(String::new, |until| seconds(until).to_string());
    let what = match kind {
        PowerEventKind::Cap { watts } => format!("{watts}W"),
        PowerEventKind::Cut { milli, .. } => format!("-{milli}"),
    };
    let OrderSpan {
        event, interval, ..
    } = span;
    Order {
        name: format!("{event}/{interval}/{}-{until_s}/{what}", seconds(from)),
        from,
        until,
        kind,
        reason: span.reason.clone(),
    }
}

fn seconds(Micros(at): Micros) -> i64 {
    at.div_euclid(1_000_000)
}

/// From when until when; without an end where that is `None`.
type Part = (Micros, Option<Micros>);

/// Whether something that ends then is not over.
fn is_after(until: Option<Micros>, now: Micros) -> bool {
    until.is_none_or(|until| until > now)
}

/// What of a part lies before and behind another one.
fn without((from, until): Part, (cut_from, cut_until): Part) -> impl Iterator<Item = Part> {
    let apart = until.is_some_and(|until| until <= cut_from)
        || cut_until.is_some_and(|cut_until| cut_until <= from);
    let before = (!apart && from < cut_from).then_some((from, Some(cut_from)));
    let behind = cut_until.filter(|cut_until| !apart && is_after(until, *cut_until));
    let behind = behind.map(|cut_until| (cut_until, until));
    let whole = apart.then_some((from, until));
    [whole, before, behind].into_iter().flatten()
}

#[cfg(test)]
mod tests;
