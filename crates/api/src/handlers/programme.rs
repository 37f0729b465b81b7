//! Programmes.

use super::Result;
use crate::caller::{Ground, May, right};
use crate::extract::{JsonBody, PathId};
use crate::near;
use crate::params::{Instant, ProgrammeCreate, ProgrammePatch, Weight};
use crate::refusal::Refusal;
use crate::state::Api;
use crate::views::{List, ProgrammeView};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use madang_gateway::audit::SaidBy;
use madang_gateway::clock;
use madang_types::people::TermsError;
use madang_types::{
    Action, ErrorCode, KeyId, Micros, Origin, Period, Programme, ProgrammeId, ProgrammeJobs,
    ProgrammeTerms, Zone,
};
use std::sync::Arc;

/// Every programme that the caller may see, removed ones included
#[utoipa::path(get, path = "/api/v1/programmes", tag = "people", responses((status = 200, body = List<ProgrammeView>)))]
pub(crate) async fn programme_list(
    may: May<right::ProgrammeRead>,
    State(api): State<Arc<Api>>,
) -> Result<Json<List<ProgrammeView>>> {
    let mut rows = api.store().programme_list().await?;
    rows.retain(|row| may.ground.has_programme(Some(&row.id)));
    Ok(Json(List::new(rows.into_iter().map(Into::into).collect())))
}

/// One programme
#[utoipa::path(get, path = "/api/v1/programmes/{id}", tag = "people",
    params(("id" = String, Path, description = "The programme")), responses((status = 200, body = ProgrammeView)))]
pub(crate) async fn programme_get(
    may: May<right::ProgrammeRead>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
) -> Result<Json<ProgrammeView>> {
    Ok(Json(find(&api, &may.ground, &id).await?.into()))
}

/// Make a programme
///
/// One that was removed is made again and keeps the time of its first making.
#[utoipa::path(post, path = "/api/v1/programmes", tag = "people", request_body = ProgrammeCreate,
    responses((status = 201, body = ProgrammeView)))]
pub(crate) async fn programme_create(
    may: May<right::ProgrammeWrite>,
    State(api): State<Arc<Api>>,
    JsonBody(asked): JsonBody<ProgrammeCreate>,
) -> Result<(StatusCode, Json<ProgrammeView>)> {
    let ProgrammeCreate {
        id,
        weight: Weight(weight),
        from,
        until,
        eligibility,
        residency_floor,
        jobs_when_ended,
        jobs_preempted,
    } = asked;
    let terms = ProgrammeTerms {
        period: Period {
            from: from.map(|Instant(at)| at),
            until: until.map(|Instant(at)| at),
        },
        eligibility,
        residency_floor,
        jobs: ProgrammeJobs {
            when_ended: jobs_when_ended,
            preempted: jobs_preempted,
        },
    };
    must_make_sense(&terms)?;
    let _changing = api.changing.lock().await;
    let before = api.store().programme_get(id.clone()).await?;
    if before.as_ref().is_some_and(|row| row.disabled_at.is_none()) {
        let message = format!("the programme '{id}' exists already");
        return Err(Refusal::conflict(message).at("id"));
    }
    let row = Programme {
        id,
        weight,
        terms,
        origin: Origin::Api,
        created_at: before
            .as_ref()
            .map_or_else(clock::now, |row| row.created_at),
        disabled_at: None,
    };
    write(&api, before.as_ref(), &row, &may.caller.0.key).await?;
    Ok((StatusCode::CREATED, Json(row.into())))
}

/// Change a programme's weight or terms
///
/// Allocations that a shorter period leaves outside are not spent there: the requests of its tenants are refused.
#[utoipa::path(patch, path = "/api/v1/programmes/{id}", tag = "people", request_body = ProgrammePatch,
    params(("id" = String, Path, description = "The programme")), responses((status = 200, body = ProgrammeView)))]
pub(crate) async fn programme_change(
    may: May<right::ProgrammeRead>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
    JsonBody(asked): JsonBody<ProgrammePatch>,
) -> Result<Json<ProgrammeView>> {
    let _changing = api.changing.lock().await;
    let before = find(&api, &may.ground, &id).await?;
    may.caller.ground(Action::ProgrammeWrite)?;
    must_be_ours(&before, "change")?;
    let mut row = before.clone();
    if row.disabled_at.is_some() {
        let message = format!("the programme '{id}' was removed: make it again first");
        return Err(Refusal::conflict(message));
    }
    let ProgrammePatch {
        weight,
        from,
        until,
        eligibility,
        residency_floor,
        jobs_when_ended,
        jobs_preempted,
    } = asked;
    let terms = &mut row.terms;
    let bound = |asked: Option<Option<Instant>>, before: Option<Micros>| {
        asked.map_or(before, |at| at.map(|Instant(at)| at))
    };
    terms.period.from = bound(from, terms.period.from);
    terms.period.until = bound(until, terms.period.until);
    terms.eligibility = eligibility.unwrap_or(std::mem::take(&mut terms.eligibility));
    terms.residency_floor = residency_floor.unwrap_or(terms.residency_floor);
    terms.jobs.when_ended = jobs_when_ended.unwrap_or(terms.jobs.when_ended);
    terms.jobs.preempted = jobs_preempted.unwrap_or(terms.jobs.preempted);
    must_make_sense(terms)?;
    row.weight = weight.map_or(row.weight, |Weight(weight)| weight);
    write(&api, Some(&before), &row, &may.caller.0.key).await?;
    Ok(Json(row.into()))
}

fn must_make_sense(terms: &ProgrammeTerms) -> Result<()> {
    terms.check().map_err(|error| {
        let field = match error {
            TermsError::Reversed => "until",
            TermsError::TooLong(_) | TermsError::Unprintable => "eligibility",
        };
        Refusal::new(ErrorCode::FieldInvalid, error.to_string()).at(field)
    })
}

/// Refuses to touch a row of the fleet file.
fn must_be_ours(row: &Programme, verb: &str) -> Result<()> {
    match row.origin {
        Origin::Api => Ok(()),
        Origin::Fleet => Err(Refusal::conflict(format!(
            "the programme '{}' stands in the fleet file: {verb} it there and reload",
            row.id
        ))),
    }
}

/// Remove a programme: the keys of its tenants are refused from then on, its records stay
#[utoipa::path(delete, path = "/api/v1/programmes/{id}", tag = "people",
    params(("id" = String, Path, description = "The programme")), responses((status = 200, body = ProgrammeView)))]
pub(crate) async fn programme_remove(
    may: May<right::ProgrammeRead>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
) -> Result<Json<ProgrammeView>> {
    let _changing = api.changing.lock().await;
    let before = find(&api, &may.ground, &id).await?;
    may.caller.ground(Action::ProgrammeWrite)?;
    let mut row = before.clone();
    if row.disabled_at.is_none() {
        must_be_ours(&row, "remove")?;
        row.disabled_at = Some(clock::now());
        write(&api, Some(&before), &row, &may.caller.0.key).await?;
    }
    Ok(Json(row.into()))
}

/// A programme that the caller may see; a removed one too, as its books stay.
pub(super) async fn find(api: &Api, ground: &Ground, id: &str) -> Result<Programme> {
    let absent = || Refusal::absent("programme", id);
    let name = ProgrammeId::new(id).map_err(|_| absent())?;
    if !ground.has_programme(Some(&name)) {
        return Err(absent());
    }
    api.store().programme_get(name).await?.ok_or_else(absent)
}

/// Which programme a report is asked of: one that the caller may see and that is there, else the caller's own.
pub(super) async fn asked(
    api: &Api,
    ground: &Ground,
    programme: Option<ProgrammeId>,
) -> Result<Option<ProgrammeId>> {
    let Some(id) = programme else {
        return Ok(ground.programme().cloned());
    };
    let found = find(api, ground, id.as_str()).await;
    Ok(Some(found.map_err(|refusal| refusal.at("programme"))?.id))
}

/// What of a programme decides where data may go, what stops work and who pays for it, and whether it is there.
fn weighty(row: &Programme) -> (Option<Zone>, ProgrammeJobs, bool) {
    let terms = &row.terms;
    (terms.residency_floor, terms.jobs, row.disabled_at.is_some())
}

/// Into the audit log where it is weighty, then into the books, then in force.
async fn write(api: &Api, before: Option<&Programme>, row: &Programme, by: &KeyId) -> Result<()> {
    let unset = (None, ProgrammeJobs::default(), false);
    if weighty(row) != before.map_or(unset, weighty) {
        api.gateway().audit.programme(row, SaidBy::Key(by)).await?;
    }
    api.store().programme_put(row.clone()).await?;
    api.gateway().programme_apply(row.clone());
    Ok(())
}

/// Refuses a programme that does not exist for the caller, naming the nearest that does.
pub(super) async fn must_exist(api: &Api, ground: &Ground, id: &ProgrammeId) -> Result<()> {
    let mut rows = api.store().programme_list().await?;
    rows.retain(|row| row.disabled_at.is_none() && ground.has_programme(Some(&row.id)));
    if rows.iter().any(|row| row.id == *id) {
        return Ok(());
    }
    let hint = near::hint(id.as_str(), rows.iter().map(|row| row.id.as_str()));
    let message = format!("there is no programme '{id}'{hint}");
    Err(Refusal::new(ErrorCode::FieldInvalid, message).at("programme"))
}
