//! The routes and the OpenAPI document, from one list.

use crate::handlers;
use crate::state::Api;
use crate::views::ErrorBody;
use std::sync::Arc;
use utoipa::OpenApi as _;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Name of the one way to prove who is calling.
const SCHEME: &str = "key";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Madang control API",
        description = "Programmes, tenants, projects, keys, budgets, prices, usage, and how the fleet stands. Every route wants a key, and its role says what it may do (docs/roles.md): an operator's everything, a programme manager's its programme, a tenant's the tenant, an auditor's reads all. What belongs to somebody else reads as absent.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(ErrorBody))
)]
struct Base;

/// Every route with a row in the document.
pub(crate) fn routes() -> (axum::Router<Arc<Api>>, OpenApi) {
    let (router, mut document) = OpenApiRouter::with_openapi(Base::openapi())
        .routes(routes!(handlers::status_get))
        .routes(routes!(handlers::pool_list))
        .routes(routes!(handlers::share_list))
        .routes(routes!(handlers::replica_list))
        .routes(routes!(handlers::replica_get))
        .routes(routes!(handlers::replica_logs))
        .routes(routes!(handlers::site_list))
        .routes(routes!(handlers::model_list))
        .routes(routes!(handlers::fleet_reload))
        .routes(routes!(handlers::gateway_list))
        .routes(routes!(handlers::gateway_give_up))
        .routes(routes!(handlers::gateway_release))
        .routes(routes!(
            handlers::programme_list,
            handlers::programme_create
        ))
        .routes(routes!(
            handlers::programme_get,
            handlers::programme_change,
            handlers::programme_remove
        ))
        .routes(routes!(handlers::tenant_list, handlers::tenant_create))
        .routes(routes!(
            handlers::tenant_get,
            handlers::tenant_change,
            handlers::tenant_remove
        ))
        .routes(routes!(handlers::project_list, handlers::project_create))
        .routes(routes!(
            handlers::project_get,
            handlers::project_change,
            handlers::project_disable
        ))
        .routes(routes!(handlers::me_get))
        .routes(routes!(handlers::key_list, handlers::key_create))
        .routes(routes!(handlers::key_get, handlers::key_revoke))
        .routes(routes!(handlers::budget_list, handlers::budget_put))
        .routes(routes!(
            handlers::allocation_list,
            handlers::allocation_create
        ))
        .routes(routes!(
            handlers::allocation_get,
            handlers::allocation_recall
        ))
        .routes(routes!(handlers::price_list, handlers::price_create))
        .routes(routes!(
            handlers::accelerator_price_list,
            handlers::accelerator_price_create
        ))
        .routes(routes!(handlers::exchange_list, handlers::exchange_create))
        .routes(routes!(handlers::stop_list, handlers::stop_set))
        .routes(routes!(handlers::stop_lift))
        .routes(routes!(handlers::erasure_create))
        .routes(routes!(handlers::explain))
        .routes(routes!(handlers::usage_get))
        .routes(routes!(handlers::report_get))
        .routes(routes!(handlers::cost_list))
        .routes(routes!(handlers::energy_get))
        .routes(routes!(handlers::idle_get))
        .routes(routes!(handlers::request_list))
        .routes(routes!(handlers::request_get))
        .merge(job_routes())
        .merge(power_routes())
        .split_for_parts();
    complete(&mut document);
    (router, document)
}

fn power_routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(handlers::power_list))
        .routes(routes!(handlers::power_get))
        .routes(routes!(
            handlers::power_event_list,
            handlers::power_event_create
        ))
        .routes(routes!(handlers::power_event_end))
}

fn job_routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(handlers::job_list, handlers::job_submit))
        .routes(routes!(handlers::job_get))
        .routes(routes!(handlers::job_runs))
        .routes(routes!(handlers::job_log))
        .routes(routes!(handlers::job_shell))
        .routes(routes!(handlers::job_cancel))
        .routes(routes!(handlers::job_hold))
        .routes(routes!(handlers::job_release))
        .routes(routes!(handlers::job_requeue))
        .routes(routes!(handlers::secret_list, handlers::secret_put))
        .routes(routes!(handlers::secret_delete))
}

/// The OpenAPI 3.1 document of the control API.
pub fn document() -> OpenApi {
    routes().1
}

/// A document as sent and as kept: indented, with a last newline.
pub(crate) fn text(document: &OpenApi) -> String {
    let mut text = document
        .to_pretty_json()
        .expect("a document of plain values serialises");
    text.push('\n');
    text
}

/// Adds what is the same for every operation: the key, and errors in one shape.
fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.description = Some("`mdg_<id>_<secret>`; the header `x-api-key` does as well".into());
    components.add_security_scheme(SCHEME, SecurityScheme::Http(bearer));
    document.security = Some(vec![SecurityRequirement::new(SCHEME, Vec::<String>::new())]);
    for item in document.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.post,
            &mut item.patch,
            &mut item.delete,
        ];
        for operation in operations.into_iter().flatten() {
            for response in operation.responses.responses.values_mut() {
                if let RefOr::T(response) = response {
                    response.description = "As asked".into();
                }
            }
            let schema = Ref::from_schema_name("ErrorBody");
            let content = ContentBuilder::new().schema(Some(schema)).build();
            let response = ResponseBuilder::new()
                .description("An error: its code says which, docs/errors has a page for each")
                .content("application/json", content)
                .build();
            let responses = &mut operation.responses.responses;
            responses.insert("default".into(), RefOr::T(response));
        }
    }
}
