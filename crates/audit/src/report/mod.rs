//! What the log says of one tenant in one month, and nothing but what it says: a report can be made again by anyone who has
//! the log, and comes out the same.

mod html;
#[cfg(test)]
mod tests;

use crate::leaf::{Decision, Event, Leaf, Location};
use crate::{AuditError, Checkpoint, Files, Month, Reader};
use jiff::tz::Offset;
use madang_types::{
    DataClass, DataFlag, Micros, ModelId, PiiKind, PolicyEffect, RequestId, TenantId,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

pub use html::html;

/// What a report is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Whose data.
    pub tenant: TenantId,
    /// The month.
    pub month: Month,
    /// Where the month begins, in seconds east of UTC.
    pub offset_s: i32,
    /// The home country, as ISO 3166-1 alpha-2: what is computed or operated elsewhere, or nobody knows where, is abroad.
    pub home: String,
}

/// A number of leaves, with the first and the last of them: whoever has the log can count again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Figure {
    /// How many.
    pub count: u64,
    /// Index of the first.
    pub first: u64,
    /// Index of the last.
    pub last: u64,
}

/// The report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whose data.
    pub tenant: TenantId,
    /// The month, as `2026-11`.
    pub month: String,
    /// Its offset from UTC.
    pub offset: String,
    /// The home country.
    pub home: String,
    /// The log on which it rests.
    pub log: LogState,
    /// Requests that policy decided about, with the decisions' leaves; none where there were none.
    pub requests: Option<Figure>,
    /// All leaves of this tenant and month; none where nothing happened.
    pub leaves: Option<Figure>,
    /// Where data went.
    pub sent: Vec<Sent>,
    /// What was refused.
    pub denials: Vec<Denial>,
    /// What went abroad, with the items of PIPA art. 28-8 para. 2.
    pub transfers: Vec<Transfer>,
    /// Policies that came into force, for everybody.
    pub policies: Vec<PolicyRow>,
    /// Stop switches that were set or lifted, for everybody.
    pub stops: Vec<StopRow>,
    /// Keys of this tenant that were destroyed.
    pub erasures: Vec<ErasureRow>,
    /// Leaves that this program cannot read: of a newer one. They are in no other figure.
    pub unread: Option<Figure>,
}

/// The signed state of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogState {
    /// Its name.
    pub origin: String,
    /// Its leaves; all were verified.
    pub size: u64,
    /// The root over them, in base64.
    pub root: String,
}

/// Attempts of one kind that went to one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// The place.
    pub location: Location,
    /// The model.
    pub model: Option<ModelId>,
    /// The origin, where not requests went there and URLs in them were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The class of the data.
    pub class: DataClass,
    /// Whether personal data was masked.
    pub masked: bool,
    /// The decisions.
    pub attempts: Figure,
    /// Bytes of bodies, or of URLs.
    pub bytes: u64,
    /// Tokens of prompts, estimated.
    pub prompt_tokens: u64,
}

/// Refusals for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Denial {
    /// The rules.
    pub rules: Vec<String>,
    /// The conditions that were not met, each with its place.
    pub unmet: Vec<String>,
    /// The class of the data.
    pub class: DataClass,
    /// The decisions.
    pub attempts: Figure,
}

/// Transfers to one recipient on one legal basis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Transfer {
    /// No. 1: kinds of personal data that were found, and flags that were claimed.
    pub items: Vec<String>,
    /// Whether personal data was masked before.
    pub masked: bool,
    /// Nos. 2 to 5: country, recipient, purpose and retention, refusal. What the fleet file did not say is absent.
    pub location: Location,
    /// No. 2: when, first and last.
    pub first_time: String,
    /// See `first_time`.
    pub last_time: String,
    /// No. 2: how.
    pub method: &'static str,
    /// The legal bases that counted.
    pub basis: Vec<String>,
    /// The decisions.
    pub attempts: Figure,
}

/// How requests leave: the one way that there is.
const METHOD: &str = "each request, over the network";

/// A policy came into force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyRow {
    /// When.
    pub time: String,
    /// The hash of the one before.
    pub before: Option<String>,
    /// Its hash.
    pub after: String,
    /// Combinations that are allowed now and were not.
    pub gained: u64,
    /// Combinations that are not allowed any more.
    pub lost: u64,
    /// The leaf.
    pub index: u64,
}

/// A stop switch was set or lifted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StopRow {
    /// When.
    pub time: String,
    /// What it stops.
    pub scope: String,
    /// Whether it was set; else it was lifted.
    pub set: bool,
    /// The leaf.
    pub index: u64,
}

/// A key was destroyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErasureRow {
    /// When.
    pub time: String,
    /// The month of the key.
    pub month: String,
    /// The leaf.
    pub index: u64,
}

/// Reads the whole log, verifies it, and reports.
///
/// # Errors
/// [`AuditError::Damaged`]: nothing is reported from a log that does not verify.
pub fn report(reader: &Reader<impl Files>, scope: Scope) -> Result<Report, AuditError> {
    let mut tally = Tally::new(scope)?;
    reader.verify(|index, leaf| tally.take(index, leaf))?;
    Ok(tally.into_report(reader.checkpoint()))
}

impl Figure {
    fn count(figure: &mut Option<Self>, index: u64) {
        match figure {
            Some(figure) => (figure.count, figure.last) = (figure.count + 1, index),
            None => {
                *figure = Some(Self {
                    count: 1,
                    first: index,
                    last: index,
                })
            }
        }
    }
}

/// Leaves of one kind.
#[derive(Default)]
struct Group {
    figure: Option<Figure>,
    bytes: u64,
    prompt_tokens: u64,
    /// When, first and last.
    times: Option<(Micros, Micros)>,
}

impl Group {
    fn take(&mut self, index: u64, time: Micros, decision: &Decision) {
        Figure::count(&mut self.figure, index);
        self.bytes += decision.bytes;
        self.prompt_tokens += decision.prompt_tokens;
        let first = self.times.map_or(time, |(first, _)| first);
        self.times = Some((first, time));
    }
}

/// What a row of [`Sent`] is about.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct SentKey {
    location: Location,
    model: Option<ModelId>,
    origin: Option<String>,
    class: DataClass,
    masked: bool,
}

type DenialKey = (Vec<String>, Vec<String>, DataClass);
type TransferKey = (Location, Vec<String>, Vec<String>, bool);

/// The report in the making. Rows are in the order of what they are about.
struct Tally {
    scope: Scope,
    offset: Offset,
    requests: BTreeSet<RequestId>,
    decisions: Option<Figure>,
    leaves: Option<Figure>,
    unread: Option<Figure>,
    sent: BTreeMap<SentKey, Group>,
    denials: BTreeMap<DenialKey, Group>,
    transfers: BTreeMap<TransferKey, Group>,
    policies: Vec<PolicyRow>,
    stops: Vec<StopRow>,
    erasures: Vec<ErasureRow>,
}

impl Tally {
    fn new(scope: Scope) -> Result<Self, AuditError> {
        let offset = Offset::from_seconds(scope.offset_s)
            .map_err(|e| AuditError::Invalid(format!("no offset from UTC: {e}")))?;
        Ok(Self {
            scope,
            offset,
            requests: BTreeSet::new(),
            decisions: None,
            leaves: None,
            unread: None,
            sent: BTreeMap::new(),
            denials: BTreeMap::new(),
            transfers: BTreeMap::new(),
            policies: Vec::new(),
            stops: Vec::new(),
            erasures: Vec::new(),
        })
    }

    fn time(&self, at: Micros) -> String {
        let at = jiff::Timestamp::from_microsecond(at.0).unwrap_or_default();
        format!(
            "{}{}",
            self.offset.to_datetime(at).strftime("%FT%T"),
            self.offset
        )
    }

    fn take(&mut self, index: u64, leaf: &[u8]) {
        let Ok(Leaf { time_us, event, .. }) = Leaf::decode(leaf) else {
            return Figure::count(&mut self.unread, index);
        };
        if Month::of(time_us, self.scope.offset_s).ok() != Some(self.scope.month) {
            return;
        }
        match event {
            Event::Decision(decision) if decision.tenant == self.scope.tenant => {
                Figure::count(&mut self.leaves, index);
                self.decision(index, time_us, *decision);
            }
            Event::Outcome(end) if end.tenant == self.scope.tenant => {
                Figure::count(&mut self.leaves, index)
            }
            Event::KeyErased(erased) if erased.tenant == self.scope.tenant => {
                Figure::count(&mut self.leaves, index);
                self.erasures.push(ErasureRow {
                    time: self.time(time_us),
                    month: erased.month,
                    index,
                });
            }
            Event::Policy(load) => self.policies.push(PolicyRow {
                time: self.time(time_us),
                before: load.before,
                after: load.after,
                gained: load.gained,
                lost: load.lost,
                index,
            }),
            Event::Stop(stop) => self.stops.push(StopRow {
                time: self.time(time_us),
                scope: stop.scope,
                set: stop.set,
                index,
            }),
            Event::Decision(_)
            | Event::Outcome(_)
            | Event::Job(_)
            | Event::Power(_)
            | Event::SignIn(_)
            | Event::Programme(_)
            | Event::Tenant(_)
            | Event::Key(_)
            | Event::Secret(_)
            | Event::Recall(_)
            | Event::Gateway(_)
            | Event::KeyErased(_)
            | Event::Note(_) => {}
        }
    }

    fn decision(&mut self, index: u64, time: Micros, decision: Decision) {
        self.requests.insert(decision.request);
        Figure::count(&mut self.decisions, index);
        if decision.effect == PolicyEffect::Deny {
            let key = (
                decision.rules.clone(),
                decision.unmet.clone(),
                decision.class,
            );
            return self
                .denials
                .entry(key)
                .or_default()
                .take(index, time, &decision);
        }
        let Some(location) = decision.location.clone() else {
            return;
        };
        let masked = decision.effect == PolicyEffect::Mask;
        if is_abroad(&location, &self.scope.home) {
            let key = (
                location.clone(),
                items(&decision),
                decision.basis.clone(),
                masked,
            );
            self.transfers
                .entry(key)
                .or_default()
                .take(index, time, &decision);
        }
        let key = SentKey {
            location,
            model: decision.model.clone(),
            origin: decision.origin.clone(),
            class: decision.class,
            masked,
        };
        self.sent
            .entry(key)
            .or_default()
            .take(index, time, &decision);
    }

    fn into_report(self, checkpoint: &Checkpoint) -> Report {
        let sent = self.sent.iter().filter_map(|(key, group)| {
            Some(Sent {
                location: key.location.clone(),
                model: key.model.clone(),
                origin: key.origin.clone(),
                class: key.class,
                masked: key.masked,
                attempts: group.figure?,
                bytes: group.bytes,
                prompt_tokens: group.prompt_tokens,
            })
        });
        let denials = self
            .denials
            .iter()
            .filter_map(|((rules, unmet, class), group)| {
                Some(Denial {
                    rules: rules.clone(),
                    unmet: unmet.clone(),
                    class: *class,
                    attempts: group.figure?,
                })
            });
        let transfers =
            self.transfers
                .iter()
                .filter_map(|((location, items, basis, masked), group)| {
                    let (first, last) = group.times?;
                    Some(Transfer {
                        items: items.clone(),
                        masked: *masked,
                        location: location.clone(),
                        first_time: self.time(first),
                        last_time: self.time(last),
                        method: METHOD,
                        basis: basis.clone(),
                        attempts: group.figure?,
                    })
                });
        Report {
            sent: sent.collect(),
            denials: denials.collect(),
            transfers: transfers.collect(),
            tenant: self.scope.tenant,
            month: self.scope.month.to_string(),
            offset: self.offset.to_string(),
            home: self.scope.home,
            log: LogState {
                origin: checkpoint.origin.clone(),
                size: checkpoint.size,
                root: checkpoint.root.to_string(),
            },
            requests: self.decisions.map(|decisions| Figure {
                count: self.requests.len() as u64,
                ..decisions
            }),
            leaves: self.leaves,
            policies: self.policies,
            stops: self.stops,
            erasures: self.erasures,
            unread: self.unread,
        }
    }
}

/// Computed or operated elsewhere, or nobody knows where.
fn is_abroad(location: &Location, home: &str) -> bool {
    let elsewhere = |country: &Option<String>| country.as_deref() != Some(home);
    elsewhere(&location.country) || elsewhere(&location.operator_country)
}

/// What personal data it was: kinds that were found, then flags.
fn items(decision: &Decision) -> Vec<String> {
    let kinds = decision.pii.keys().copied().map(PiiKind::as_str);
    let flags = decision.flags.iter().map(DataFlag::as_str);
    kinds.chain(flags).map(str::to_owned).collect()
}
