//! Power of sites: how it stands, caps, and events in which a grid wants less.

use super::Result;
use crate::caller::{May, right};
use crate::extract::{JsonBody, PathId, PathPair, Query};
use crate::near;
use crate::params::{CapWatts, CutMilli, ForMs, Instant, Label, PowerEventCreate, PowerEventQuery};
use crate::refusal::Refusal;
use crate::state::Api;
use crate::views::{List, PowerEventView, SitePowerView};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use madang_fleet::Vtn;
use madang_gateway::clock;
use madang_types::{ErrorCode, KeyId, Micros, PowerEvent, PowerEventKind, SiteId};
use std::sync::Arc;

/// An event that begins up to so long ago begins now: clocks differ.
const PAST_MS_MAX: u64 = 60_000;
/// The furthest ahead that an event can be set: a year.
const AHEAD_MS_MAX: u64 = 366 * 24 * 3_600_000;
/// The furthest back that events are shown: 31 days and a minute, as clocks differ; and how many, the newest.
const SINCE_MS_MAX: u64 = 31 * 24 * 3_600_000 + PAST_MS_MAX;
const EVENTS_SHOWN_MAX: usize = 1_000;

/// Power of all sites
#[utoipa::path(get, path = "/api/v1/power", tag = "power", responses((status = 200, body = List<SitePowerView>)))]
pub(crate) async fn power_list(
    _: May<right::FleetRead>,
    State(api): State<Arc<Api>>,
) -> Result<Json<List<SitePowerView>>> {
    let sites = api.control.power().sites();
    let views = sites
        .into_iter()
        .map(|(site, power)| SitePowerView::new(&site, power, api.control.power().vtns(&site)));
    Ok(Json(List::new(views.collect())))
}

/// Power of a site: what it draws and may, what is done about it, and what was
#[utoipa::path(get, path = "/api/v1/sites/{id}/power", tag = "power",
    params(("id" = String, Path, description = "The site")), responses((status = 200, body = SitePowerView)))]
pub(crate) async fn power_get(
    _: May<right::FleetRead>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
) -> Result<Json<SitePowerView>> {
    let site = site_of(&api, &id)?;
    let plane = api.control.power();
    let power = plane.site(&site).unwrap_or_default();
    Ok(Json(SitePowerView::new(&site, power, plane.vtns(&site))))
}

/// Caps and events of a site's power that are not over, and with `since` those that were since then
#[utoipa::path(get, path = "/api/v1/sites/{id}/power-events", tag = "power",
    params(("id" = String, Path, description = "The site"), PowerEventQuery), responses((status = 200, body = List<PowerEventView>)))]
pub(crate) async fn power_event_list(
    _: May<right::FleetRead>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
    Query(PowerEventQuery { since }): Query<PowerEventQuery>,
) -> Result<Json<List<PowerEventView>>> {
    let site = site_of(&api, &id)?;
    let now = clock::now();
    let since = since.map_or(now, |Instant(at)| at);
    if since.plus_ms(SINCE_MS_MAX) < now {
        return wrong("since", "it is more than 31 days ago");
    }
    let mut events = events(&api, &site, since.min(now)).await?;
    let older = events.len().saturating_sub(EVENTS_SHOWN_MAX);
    events.drain(..older);
    let views = events
        .iter()
        .map(|event| PowerEventView::new(event, &events, now));
    Ok(Json(List::new(views.collect())))
}

/// Set a cap of a site's power, or an event in which it draws less
///
/// It is met within half a minute, or by its beginning where that is later, and kept through restarts. Of events that hold at the same
/// time the lowest counts.
#[utoipa::path(post, path = "/api/v1/sites/{id}/power-events", tag = "power", request_body = PowerEventCreate,
    params(("id" = String, Path, description = "The site")), responses((status = 201, body = PowerEventView)))]
pub(crate) async fn power_event_create(
    may: May<right::FleetWrite>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
    JsonBody(asked): JsonBody<PowerEventCreate>,
) -> Result<(StatusCode, Json<PowerEventView>)> {
    let site = site_of(&api, &id)?;
    let now = clock::now();
    let key = may.caller.0.key;
    let event = event_of(&site, asked, &key, now)?;
    must_be_possible(&api, &event, now)?;
    let _changing = api.changing.lock().await;
    let before = events(&api, &site, now).await?;
    let power = api.control.power();
    let put = power.event_put(event).await?;
    for replaced in before.iter().filter(|other| replaces(&put, other)) {
        power.event_end(replaced, &key, now).await?;
    }
    let events = events(&api, &site, now).await?;
    Ok((
        StatusCode::CREATED,
        Json(PowerEventView::new(&put, &events, now)),
    ))
}

/// End a cap or an event of a site's power, or call it off before it begins
#[utoipa::path(delete, path = "/api/v1/sites/{id}/power-events/{event}", tag = "power",
    params(("id" = String, Path, description = "The site"), ("event" = u64, Path, description = "The event's number")),
    responses((status = 200, body = PowerEventView)))]
pub(crate) async fn power_event_end(
    may: May<right::FleetWrite>,
    State(api): State<Arc<Api>>,
    PathPair(id, number): PathPair,
) -> Result<Json<PowerEventView>> {
    let site = site_of(&api, &id)?;
    let now = clock::now();
    let _changing = api.changing.lock().await;
    let events = events(&api, &site, now).await?;
    let number_of = number.parse::<u64>().ok();
    let found = events.iter().find(|event| Some(event.id) == number_of);
    let event = found.ok_or_else(|| {
        let shown: String = number.chars().take(20).collect();
        Refusal::new(
            ErrorCode::NotFound,
            format!("of {site} there is no event {shown}, or it is over already"),
        )
    })?;
    must_be_ours(&api, event)?;
    let power = api.control.power();
    let ended = power.event_end(event, &may.caller.0.key, now).await?;
    Ok(Json(PowerEventView::new(&ended, &events, now)))
}

/// What a grid orders is taken back there, for as long as its server is followed.
fn must_be_ours(api: &Api, event: &PowerEvent) -> Result<()> {
    let snapshot = api.gateway().snapshot();
    let vtns = &snapshot.fleet.vtns;
    let is_its = |vtn: &Vtn| vtn.id == event.set_by.as_str() && vtn.site == event.site.as_str();
    let ordered = event.order.is_some() && vtns.iter().any(is_its);
    if !ordered {
        return Ok(());
    }
    Err(Refusal::conflict(format!(
        "event {} is an order of the VTN {}, which takes it back where it ends; to follow it no more take its [[vtn]] out of the fleet \
         file, and cancel the event then",
        event.id, event.set_by
    )))
}

/// A cap without an end takes the place of one that people set before.
fn replaces(new: &PowerEvent, other: &PowerEvent) -> bool {
    let stands = |event: &PowerEvent| {
        let is_cap = matches!(event.kind, PowerEventKind::Cap { .. });
        event.until.is_none() && event.order.is_none() && is_cap
    };
    stands(new) && stands(other)
}

async fn events(api: &Api, site: &SiteId, now: Micros) -> Result<Vec<PowerEvent>> {
    let mut events = api.control.power().book().power_list(now).await?;
    events.retain(|event| event.site == *site);
    Ok(events)
}

fn site_of(api: &Api, id: &str) -> Result<SiteId> {
    let snapshot = api.gateway().snapshot();
    let sites = &snapshot.fleet.sites;
    let known = sites.keys().find(|site| site.as_str() == id);
    known.cloned().ok_or_else(|| {
        let shown: String = id.chars().take(100).collect();
        let hint = near::hint(&shown, sites.keys().map(|site| site.as_str()));
        Refusal::new(
            ErrorCode::NotFound,
            format!("the fleet has no site '{shown}'{hint}"),
        )
    })
}

fn wrong<T>(param: &str, message: impl Into<String>) -> Result<T> {
    Err(Refusal::new(ErrorCode::FieldInvalid, message).at(param))
}

fn event_of(
    site: &SiteId,
    asked: PowerEventCreate,
    key: &KeyId,
    now: Micros,
) -> Result<PowerEvent> {
    let PowerEventCreate {
        cap_watts,
        cut_milli,
        from,
        for_ms,
        reason: Label(reason),
    } = asked;
    let kind = match (cap_watts, cut_milli) {
        (Some(CapWatts(watts)), None) => PowerEventKind::Cap { watts },
        (None, Some(CutMilli(milli))) if for_ms.is_some() => PowerEventKind::Cut {
            milli,
            baseline_watts: None,
        },
        (None, Some(_)) => return wrong("for_ms", "a cut has an end: say for how long it holds"),
        _ => return wrong("cap_watts", "name `cap_watts` or `cut_milli`, one of them"),
    };
    let from = from.map_or(now, |Instant(at)| at);
    if from.plus_ms(PAST_MS_MAX) < now {
        return wrong(
            "from",
            "it begins in the past: leave `from` out to begin now",
        );
    }
    if from > now.plus_ms(AHEAD_MS_MAX) {
        return wrong("from", "it begins in more than a year");
    }
    let from = from.max(now);
    Ok(PowerEvent {
        id: 0,
        site: site.clone(),
        kind,
        from,
        until: for_ms.map(|ForMs(ms)| from.plus_ms(ms)),
        reason,
        set_by: key.clone(),
        set_at: now,
        order: None,
    })
}

/// A cap below what machines draw that do nothing is kept by nothing that bends, and of what nobody knows there is no part.
fn must_be_possible(api: &Api, event: &PowerEvent, now: Micros) -> Result<()> {
    let Some(power) = api.control.power().site(&event.site) else {
        return Ok(());
    };
    let (site, idle) = (&event.site, power.idle_watts);
    let (param, is_cut) = match event.kind {
        PowerEventKind::Cap { .. } => ("cap_watts", false),
        PowerEventKind::Cut { .. } => ("cut_milli", true),
    };
    let Some(watts) = power.left_watts(event) else {
        return wrong(
            param,
            format!(
                "nothing says what {site} draws, so nobody knows what a part of it is: add to the fleet file a [[meter]] of {site} that \
                 answers, or `power` of its [[nodes]] and [[replica]]; or say what is left in watts (`cap_watts`, `--to`)"
            ),
        );
    };
    // What a cut that begins later will be a part of nobody knows now.
    if watts >= idle || (is_cut && event.from > now) {
        return Ok(());
    }
    wrong(
        param,
        format!(
            "that leaves {watts} W, and {site} draws {idle} W where all of it does nothing: only switching machines off would do"
        ),
    )
}
