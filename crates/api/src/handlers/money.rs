//! Budgets, allocations, prices and rates of exchange.

use super::{Result, tenant};
use crate::caller::{Ground, May, right};
use crate::extract::{JsonBody, PathId, Query};
use crate::near::hint;
use crate::params::{
    AcceleratorPriceCreate, AllocationCreate, AllocationQuery, BudgetPut, ExchangeCreate, Instant,
    PriceCreate, RecallQuery,
};
use crate::refusal::Refusal;
use crate::state::Api;
use crate::views::{
    AcceleratorPriceView, AllocationView, BudgetView, ExchangeView, List, PriceView,
};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use madang_gateway::audit::Recall;
use madang_gateway::clock;
use madang_ledger::{AcceleratorPrice, Exchange, Price, Purse, check_within, class_of};
use madang_store::GrantError;
use madang_types::{
    Action, Allocation, AllocationId, Class, ErrorCode, MicroWon, Micros, PROCESSORS, Period,
    ProgrammeBudget, ProgrammeId, Tranche,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What programmes have to allocate
#[utoipa::path(get, path = "/api/v1/budgets", tag = "money", responses((status = 200, body = List<BudgetView>)))]
pub(crate) async fn budget_list(
    may: May<right::BudgetRead>,
    State(api): State<Arc<Api>>,
) -> Result<Json<List<BudgetView>>> {
    let mut rows = api.bank().budget_list().await?;
    rows.retain(|row| may.ground.has_programme(Some(&row.programme)));
    Ok(Json(List::new(rows.into_iter().map(Into::into).collect())))
}

/// Set a programme's budget in a unit, or in tokens for one class of models, or in accelerator time of one kind
///
/// From then on tenants of the programme spend what they are granted, and nothing else. A budget can be lowered to what is allocated.
#[utoipa::path(post, path = "/api/v1/budgets", tag = "money", request_body = BudgetPut,
    responses((status = 201, body = BudgetView)))]
pub(crate) async fn budget_put(
    _: May<right::BudgetWrite>,
    State(api): State<Arc<Api>>,
    JsonBody(asked): JsonBody<BudgetPut>,
) -> Result<(StatusCode, Json<BudgetView>)> {
    let BudgetPut {
        programme,
        unit,
        model_class,
        accelerator,
        amount,
        concentration_permille_max,
    } = asked;
    must_exist(&api, &programme).await?;
    let kinds = (model_class.clone(), accelerator.clone());
    let class = class_of(unit, model_class, accelerator).map_err(GrantError::Refused);
    let is_same = |row: &ProgrammeBudget| {
        let class = class.as_ref().ok();
        (&row.programme, row.unit, Some(&row.class)) == (&programme, unit, class)
    };
    // One that is there can be lowered, whatever became of its models and machines.
    if !api.bank().budget_list().await?.iter().any(is_same) {
        must_be_there(&api, &kinds)?;
    }
    let budget = ProgrammeBudget {
        programme,
        unit,
        class: class?,
        amount,
        concentration_permille_max,
    };
    api.bank().budget_put(budget.clone(), clock::now()).await?;
    api.gateway().purses.refresh().await?;
    api.control.jobs().granted();
    Ok((StatusCode::CREATED, Json(budget.into())))
}

async fn must_exist(api: &Api, programme: &ProgrammeId) -> Result<()> {
    let found = api.store().programme_get(programme.clone()).await?;
    if found.is_some_and(|row| row.disabled_at.is_none()) {
        return Ok(());
    }
    let message = format!("there is no programme '{programme}'");
    Err(Refusal::new(ErrorCode::FieldInvalid, message).at("programme"))
}

/// That some model of the fleet has the class, and some machine of it accelerators of the kind.
fn must_be_there(
    api: &Api,
    (model_class, accelerator): &(Option<Class>, Option<Class>),
) -> Result<()> {
    let fleet = Arc::clone(&api.gateway().snapshot().fleet);
    let models = fleet.models.values();
    let models = models.filter_map(|model| Some(model.model_class.as_ref()?.as_str()));
    must_be_one_of(models, model_class.as_ref(), ("model", "model_class"))?;
    let nodes = fleet.nodes.values();
    let kinds = nodes.map(|nodes| nodes.accelerator.as_str());
    let kinds = kinds.filter(|kind| *kind != PROCESSORS);
    must_be_one_of(kinds, accelerator.as_ref(), ("nodes", "accelerator"))
}

fn must_be_one_of<'a>(
    known: impl Iterator<Item = &'a str>,
    asked: Option<&Class>,
    (table, key): (&str, &'static str),
) -> Result<()> {
    let known: BTreeSet<&str> = known.collect();
    let Some(unknown) = asked.filter(|class| !known.contains(class.as_str())) else {
        return Ok(());
    };
    let near = hint(unknown.as_str(), known);
    let message = format!("no [[{table}]] of the fleet file has {key} = \"{unknown}\"{near}");
    Err(Refusal::new(ErrorCode::FieldInvalid, message).at(key))
}

/// Allocations that the caller may see, past ones included
#[utoipa::path(get, path = "/api/v1/allocations", tag = "money", params(AllocationQuery),
    responses((status = 200, body = List<AllocationView>)))]
pub(crate) async fn allocation_list(
    may: May<right::AllocationRead>,
    State(api): State<Arc<Api>>,
    Query(AllocationQuery { tenant }): Query<AllocationQuery>,
) -> Result<Json<List<AllocationView>>> {
    let tenant = may.ground.tenant_asked(api.gateway(), tenant)?;
    let mut rows = api.bank().allocation_list((None, tenant)).await?;
    rows.retain(|row| stands_on(&may.ground, row));
    let mut views = Vec::with_capacity(rows.len());
    for row in rows {
        views.push(view(&api, row).await?);
    }
    Ok(Json(List::new(views)))
}

/// One allocation
#[utoipa::path(get, path = "/api/v1/allocations/{id}", tag = "money",
    params(("id" = String, Path, description = "The allocation")), responses((status = 200, body = AllocationView)))]
pub(crate) async fn allocation_get(
    may: May<right::AllocationRead>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
) -> Result<Json<AllocationView>> {
    let found = find(&api, &may.ground, &id).await?;
    view(&api, found).await.map(Json)
}

/// Grant a tenant a part of its programme's budget
#[utoipa::path(post, path = "/api/v1/allocations", tag = "money", request_body = AllocationCreate,
    responses((status = 201, body = AllocationView)))]
pub(crate) async fn allocation_create(
    may: May<right::AllocationWrite>,
    State(api): State<Arc<Api>>,
    JsonBody(asked): JsonBody<AllocationCreate>,
) -> Result<(StatusCode, Json<AllocationView>)> {
    let AllocationCreate {
        id,
        tenant,
        unit,
        model_class,
        accelerator,
        amount,
        tranches,
        hard,
        from,
        until: Instant(until),
    } = asked;
    let kinds = (model_class, accelerator);
    must_be_there(&api, &kinds)?;
    let class = class_of(unit, kinds.0, kinds.1).map_err(GrantError::Refused)?;
    let _changing = api.changing.lock().await;
    tenant::must_exist(&api, &may.ground, &tenant).await?;
    let Some(programme) = api.gateway().keyring.programme_of(&tenant) else {
        let message = format!("'{tenant}' is of no programme, and a programme grants");
        return Err(Refusal::new(ErrorCode::FieldInvalid, message).at("tenant"));
    };
    let now = clock::now();
    let from = from.or(tranches.first().map(|tranche| tranche.from));
    let tranches = tranches.into_iter().map(|tranche| Tranche {
        from: tranche.from.0,
        amount: tranche.amount,
    });
    let allocation = Allocation {
        id,
        programme,
        tenant,
        unit,
        class,
        amount,
        hard,
        from: instant_or(from, now),
        tranches: tranches.collect(),
        until,
        created_at: now,
        recalled_at: None,
    };
    let period = period_of(&api, &allocation.programme).await?;
    check_within(&allocation, period).map_err(GrantError::Refused)?;
    api.bank().allocation_insert(allocation.clone()).await?;
    api.gateway().purses.refresh().await?;
    api.control.jobs().granted();
    let view = AllocationView::of(allocation, amount, now);
    Ok((StatusCode::CREATED, Json(view)))
}

async fn period_of(api: &Api, programme: &ProgrammeId) -> Result<Period> {
    let found = api.store().programme_get(programme.clone()).await?;
    Ok(found.map(|row| row.terms.period).unwrap_or_default())
}

/// Recall an allocation: what is not spent goes back to the programme
///
/// With `notice_s` it is spent as before until so many seconds from now, and `recalled_at` says when that is over. Another recall may
/// bring that forward, not put it off. What gateways hold of it follows within seconds.
#[utoipa::path(delete, path = "/api/v1/allocations/{id}", tag = "money",
    params(("id" = String, Path, description = "The allocation"), RecallQuery), responses((status = 200, body = AllocationView)))]
pub(crate) async fn allocation_recall(
    may: May<right::AllocationRead>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
    Query(asked): Query<RecallQuery>,
) -> Result<Json<AllocationView>> {
    let found = find(&api, &may.ground, &id).await?;
    may.caller.ground(Action::AllocationWrite)?;
    let now = clock::now();
    let ends_at = now.plus_ms(u64::from(asked.notice_s) * 1_000);
    let recall = Recall {
        // One that ends sooner stays as it is.
        ends_us: found.ends_at().min(ends_at).0,
        allocation: found.id.clone(),
        programme: found.programme,
        tenant: found.tenant,
        by: may.caller.0.key.clone(),
    };
    api.gateway().audit.recall(recall).await?;
    let recalled = api.bank().allocation_recall(found.id, ends_at, now).await?;
    api.gateway().purses.refresh().await?;
    api.control.jobs().granted();
    view(&api, recalled).await.map(Json)
}

/// A programme's allocations are its own, also those of tenants that have left it.
fn stands_on(ground: &Ground, allocation: &Allocation) -> bool {
    match ground {
        Ground::All => true,
        Ground::Programme(own) => *own == allocation.programme,
        Ground::Tenant(own) => *own == allocation.tenant,
    }
}

async fn find(api: &Api, ground: &Ground, id: &str) -> Result<Allocation> {
    let absent = || Refusal::absent("allocation", id);
    let name = AllocationId::new(id).map_err(|_| absent())?;
    let rows = api.bank().allocation_list((None, None)).await?;
    let found = rows.into_iter().find(|row| row.id == name);
    found
        .filter(|row| stands_on(ground, row))
        .ok_or_else(absent)
}

async fn view(api: &Api, row: Allocation) -> Result<AllocationView> {
    let purse = Purse::Allocation(row.id.clone());
    let left = api.bank().purse_left(purse, row.unit).await?;
    Ok(AllocationView::of(row, left, clock::now()))
}

fn instant_or(at: Option<Instant>, now: Micros) -> Micros {
    at.map_or(now, |Instant(at)| at)
}

/// All prices, past and coming ones included
#[utoipa::path(get, path = "/api/v1/prices", tag = "money", responses((status = 200, body = List<PriceView>)))]
pub(crate) async fn price_list(
    _: May<right::PriceRead>,
    State(api): State<Arc<Api>>,
) -> Result<Json<List<PriceView>>> {
    let rows = api.bank().price_list().await?;
    Ok(Json(List::new(rows.into_iter().map(Into::into).collect())))
}

/// Set a price from an instant on
///
/// It begins now or later (five seconds from now where gateways share the books): what was charged is not charged anew. Once anything has a price, what has none is not served.
#[utoipa::path(post, path = "/api/v1/prices", tag = "money", request_body = PriceCreate,
    responses((status = 201, body = PriceView)))]
pub(crate) async fn price_create(
    _: May<right::PriceWrite>,
    State(api): State<Arc<Api>>,
    JsonBody(asked): JsonBody<PriceCreate>,
) -> Result<(StatusCode, Json<PriceView>)> {
    let now = clock::now();
    let price = Price {
        model: asked.model,
        place: asked.place,
        from: instant_or(asked.from, now.plus_ms(api.bank().notice_ms())),
        currency: asked.currency,
        uncached: asked.uncached.0,
        cached: asked.cached.0,
        output: asked.output.0,
    };
    api.bank().price_insert(price.clone(), now).await?;
    api.gateway().purses.refresh().await?;
    Ok((StatusCode::CREATED, Json(price.into())))
}

/// All prices of accelerator time, past and coming ones included
#[utoipa::path(get, path = "/api/v1/accelerator-prices", tag = "money",
    responses((status = 200, body = List<AcceleratorPriceView>)))]
pub(crate) async fn accelerator_price_list(
    _: May<right::PriceRead>,
    State(api): State<Arc<Api>>,
) -> Result<Json<List<AcceleratorPriceView>>> {
    let rows = api.bank().accelerator_price_list().await?;
    Ok(Json(List::new(rows.into_iter().map(Into::into).collect())))
}

/// Set what an hour of one accelerator of a kind costs, from an instant on
///
/// As with models' prices: it begins now or later, and once any kind has a price, jobs are not started on a kind without one.
#[utoipa::path(post, path = "/api/v1/accelerator-prices", tag = "money", request_body = AcceleratorPriceCreate,
    responses((status = 201, body = AcceleratorPriceView)))]
pub(crate) async fn accelerator_price_create(
    _: May<right::PriceWrite>,
    State(api): State<Arc<Api>>,
    JsonBody(asked): JsonBody<AcceleratorPriceCreate>,
) -> Result<(StatusCode, Json<AcceleratorPriceView>)> {
    let now = clock::now();
    let price = AcceleratorPrice {
        accelerator: asked.accelerator,
        site: asked.site,
        from: instant_or(asked.from, now.plus_ms(api.bank().notice_ms())),
        hour: MicroWon(asked.won_per_hour.0),
    };
    let row = price.clone();
    api.bank().accelerator_price_insert(row, now).await?;
    api.control.jobs().granted();
    Ok((StatusCode::CREATED, Json(price.into())))
}

/// All rates of exchange, past and coming ones included
#[utoipa::path(get, path = "/api/v1/exchanges", tag = "money", responses((status = 200, body = List<ExchangeView>)))]
pub(crate) async fn exchange_list(
    _: May<right::PriceRead>,
    State(api): State<Arc<Api>>,
) -> Result<Json<List<ExchangeView>>> {
    let rows = api.bank().exchange_list().await?;
    Ok(Json(List::new(rows.into_iter().map(Into::into).collect())))
}

/// Set a rate of exchange from an instant on
#[utoipa::path(post, path = "/api/v1/exchanges", tag = "money", request_body = ExchangeCreate,
    responses((status = 201, body = ExchangeView)))]
pub(crate) async fn exchange_create(
    _: May<right::PriceWrite>,
    State(api): State<Arc<Api>>,
    JsonBody(asked): JsonBody<ExchangeCreate>,
) -> Result<(StatusCode, Json<ExchangeView>)> {
    let now = clock::now();
    let exchange = Exchange {
        currency: asked.currency,
        from: instant_or(asked.from, now.plus_ms(api.bank().notice_ms())),
        won: MicroWon(asked.won.0),
    };
    api.bank().exchange_insert(exchange, now).await?;
    api.gateway().purses.refresh().await?;
    Ok((StatusCode::CREATED, Json(exchange.into())))
}
