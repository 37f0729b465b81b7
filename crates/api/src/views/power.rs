//! Power of sites, as callers see it.

use super::instant;
use madang_control::power::{LoadStatus, MeterStatus, PowerDeed, PowerLine, SitePower, VtnStatus};
use madang_types::{Micros, PowerEvent, PowerEventKind, SiteId};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A cap or an event of a site's power.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PowerEventView {
    /// Its number.
    id: u64,
    /// Where.
    site: String,
    /// What a cap leaves, in watts at the site's meter.
    cap_watts: Option<u64>,
    /// What a cut takes, in thousandths.
    cut_milli: Option<u32>,
    /// Of what: what the site drew at `counts_from`, in watts; null before that.
    baseline_watts: Option<u64>,
    /// What it leaves, in watts at the site's meter; null of a cut before `counts_from`, and of one that was over before.
    left_watts: Option<u64>,
    /// From when on it counts, so that it is met by its beginning: half a minute before that, or when it was set.
    #[schema(format = DateTime)]
    counts_from: String,
    /// From when on.
    #[schema(format = DateTime)]
    from: String,
    /// Until when; null until it is taken back.
    #[schema(format = DateTime)]
    until: Option<String>,
    /// It holds now.
    in_force: bool,
    /// `scheduled`, `running` or `over`.
    state: &'static str,
    /// Other events of the site that hold at the same time, by number: the lowest of all holds.
    overlaps: Vec<u64>,
    /// Why.
    reason: String,
    /// The key that set it; of a grid's order, the name of its VTN.
    set_by: String,
    /// When.
    #[schema(format = DateTime)]
    set_at: String,
    /// Which order of a grid it is, `VTN/EVENT/…`; null of one that people set.
    order: Option<String>,
}

impl PowerEventView {
    /// The view of an event beside the others that are not over.
    pub fn new(event: &PowerEvent, others: &[PowerEvent], now: Micros) -> Self {
        let (cap_watts, cut_milli, baseline_watts) = match event.kind {
            PowerEventKind::Cap { watts } => (Some(watts), None, None),
            PowerEventKind::Cut {
                milli,
                baseline_watts,
            } => (None, Some(milli), baseline_watts),
        };
        let ends = |event: &PowerEvent| event.until.unwrap_or(Micros(i64::MAX));
        let meets = |other: &&PowerEvent| {
            let apart = ends(event) <= other.from || ends(other) <= event.from;
            other.id != event.id && other.site == event.site && !apart
        };
        Self {
            id: event.id,
            site: event.site.to_string(),
            cap_watts,
            cut_milli,
            baseline_watts,
            left_watts: event.kind.left_watts(None),
            counts_from: instant(event.counts_from()),
            from: instant(event.from),
            until: event.until.map(instant),
            in_force: event.is_in_force(now),
            state: match event.is_in_force(now) {
                true => "running",
                false if event.is_over(now) => "over",
                false => "scheduled",
            },
            overlaps: others.iter().filter(meets).map(|other| other.id).collect(),
            reason: event.reason.clone(),
            set_by: event.set_by.to_string(),
            set_at: instant(event.set_at),
            order: event.order.clone(),
        }
    }
}

/// How power stands at a site.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SitePowerView {
    /// Where.
    site: String,
    /// What it may draw at its meter, or will have to within half a minute, in watts; null where nobody says.
    cap_watts: Option<u64>,
    /// The event that says so; null where the fleet file does.
    cap_event: Option<u64>,
    /// What it draws at its meter, in watts.
    watts: u64,
    /// That is measured; else a model says so, or what a meter said last and may have come on top since.
    measured: bool,
    /// What it draws where all does nothing: no lower cap can be kept.
    idle_watts: u64,
    /// What it may draw at most.
    full_watts: u64,
    /// What it may draw once all that was decided holds, with what may rise meanwhile.
    expected_watts: u64,
    /// What it draws over the cap that is in force now.
    over_watts: u64,
    /// By how much it may come over the cap, with what may rise meanwhile, though nothing is left that bends.
    lacks_watts: u64,
    /// What is done against it now, the first first.
    acts: Vec<PowerActView>,
    /// What draws power.
    loads: Vec<PowerLoadView>,
    /// What measures it.
    meters: Vec<PowerMeterView>,
    /// Servers of grids whose orders it follows.
    vtns: Vec<VtnView>,
    /// Things of which nobody says what they draw: they count as nothing, unless the site's own meter counts them.
    unknown: Vec<String>,
    /// What was done lately, the newest last.
    log: Vec<PowerLineView>,
}

/// An act in force.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PowerActView {
    /// `pause`, `slow`, `clock`, `batch`, `divert`, `slots` or `shed`.
    kind: &'static str,
    /// In words.
    what: String,
    /// Since when.
    #[schema(format = DateTime)]
    since: String,
    /// What it is thought to save, in watts at the meter.
    saves_watts: u64,
}

/// Something that draws power.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PowerLoadView {
    /// `replica:ID`, `run:ID`, or `rest` for machines that take jobs and have none.
    what: String,
    /// What its machines draw, in watts.
    watts: u64,
    /// Where it does nothing.
    idle_watts: u64,
    /// At most.
    full_watts: u64,
}

/// A grid's server.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VtnView {
    /// Its name.
    id: String,
    /// It answered when it was asked last; null before that, and where another gateway asks.
    answers: Option<bool>,
    /// When it was asked last.
    #[schema(format = DateTime)]
    asked_at: Option<String>,
    /// When it answered last, and its orders were kept.
    #[schema(format = DateTime)]
    answered_at: Option<String>,
    /// Why it is not followed: what it ordered before stands.
    error: Option<String>,
    /// What of its events limits nothing here, the first few.
    passed_over: Vec<String>,
}

/// A meter.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PowerMeterView {
    /// Its name.
    id: String,
    /// What it measures: `site`, `nodes:ID` or `replica:ID`.
    of: String,
    /// What it said last, in watts.
    told_watts: Option<u64>,
    /// When it said so.
    #[schema(format = DateTime)]
    told_at: Option<String>,
    /// What is taken as drawn, in watts.
    watts: u64,
    /// What it says is believed.
    measured: bool,
    /// Why not.
    doubt: Option<&'static str>,
    /// The same in a word: `silent`, `too_high`, `too_low`, `fell`, `stuck` or `below_parts`.
    doubt_kind: Option<&'static str>,
    /// Since when it is not believed.
    #[schema(format = DateTime)]
    doubted_since: Option<String>,
    /// What is taken instead.
    instead: Option<&'static str>,
    /// The same in a word: `last`, `likely` or `most`.
    instead_kind: Option<&'static str>,
    /// Why it cannot be read.
    error: Option<String>,
}

/// Something that was done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PowerLineView {
    /// When.
    #[schema(format = DateTime)]
    at: String,
    /// `took`, `seen`, `gave`, `short` or `met`.
    deed: &'static str,
    /// The act, in words.
    act: Option<String>,
    /// In watts: what it is thought to save (`took`), its part of how much less was drawn once it held (`seen`), or by how much the cap may be
    /// passed (`short`).
    watts: Option<i64>,
    /// What the site drew then, in watts.
    drawn_watts: u64,
    /// What it might draw, in watts.
    cap_watts: Option<u64>,
}

impl SitePowerView {
    /// The view of a site.
    pub fn new(site: &SiteId, power: SitePower, vtns: BTreeMap<String, VtnStatus>) -> Self {
        let acts = power
            .acts
            .iter()
            .map(|(act, since, saves_watts)| PowerActView {
                kind: act.kind(),
                what: act.to_string(),
                since: instant(*since),
                saves_watts: *saves_watts,
            });
        Self {
            site: site.to_string(),
            cap_watts: power.cap.as_ref().map(|cap| cap.watts),
            cap_event: power.cap.as_ref().and_then(|cap| cap.event),
            watts: power.drawn_watts,
            measured: power.measured,
            idle_watts: power.idle_watts,
            full_watts: power.full_watts,
            expected_watts: power.expected_watts,
            over_watts: power.over_watts,
            lacks_watts: power.lacks_watts,
            acts: acts.collect(),
            loads: power.loads.into_iter().map(Into::into).collect(),
            meters: power.meters.into_iter().map(Into::into).collect(),
            vtns: vtns.into_iter().map(Into::into).collect(),
            unknown: power.unknown,
            log: power.log.iter().map(Into::into).collect(),
        }
    }
}

impl From<LoadStatus> for PowerLoadView {
    fn from(load: LoadStatus) -> Self {
        let LoadStatus {
            what,
            watts,
            idle_watts,
            full_watts,
        } = load;
        Self {
            what,
            watts,
            idle_watts,
            full_watts,
        }
    }
}

impl From<(String, VtnStatus)> for VtnView {
    fn from((id, vtn): (String, VtnStatus)) -> Self {
        let answers = vtn.answers();
        let VtnStatus {
            asked_at,
            answered_at,
            error,
            passed_over,
        } = vtn;
        Self {
            id,
            answers,
            asked_at: asked_at.map(instant),
            answered_at: answered_at.map(instant),
            error,
            passed_over,
        }
    }
}

impl From<MeterStatus> for PowerMeterView {
    fn from(meter: MeterStatus) -> Self {
        let MeterStatus {
            id,
            of,
            told_watts,
            told_at,
            watts,
            measured,
            doubt,
            doubted_at,
            error,
        } = meter;
        Self {
            id,
            of,
            told_watts,
            told_at: told_at.map(instant),
            watts,
            measured,
            doubt: doubt.map(|doubt| doubt.why.as_str()),
            doubt_kind: doubt.map(|doubt| doubt.why.kind()),
            doubted_since: doubted_at.map(instant),
            instead: doubt.map(|doubt| doubt.instead.as_str()),
            instead_kind: doubt.map(|doubt| doubt.instead.kind()),
            error,
        }
    }
}

impl From<&PowerLine> for PowerLineView {
    fn from(line: &PowerLine) -> Self {
        let signed = |watts: u64| Some(i64::try_from(watts).unwrap_or(i64::MAX));
        let (deed, act, watts) = match &line.what {
            PowerDeed::Took { act, saves_watts } => ("took", Some(act), signed(*saves_watts)),
            PowerDeed::Seen { act, saved_watts } => ("seen", Some(act), Some(*saved_watts)),
            PowerDeed::Gave { act } => ("gave", Some(act), None),
            PowerDeed::Short { lacks_watts } => ("short", None, signed(*lacks_watts)),
            PowerDeed::Met => ("met", None, None),
        };
        Self {
            at: instant(line.at),
            deed,
            act: act.map(ToString::to_string),
            watts,
            drawn_watts: line.drawn_watts,
            cap_watts: line.cap_watts,
        }
    }
}
