//! The control API: `/api/v1/*` and its OpenAPI document; the files of the audit log, `/audit/*`; and sign-in, `/auth/*`.
//!
//! Handlers are thin: they identify the caller, read parameters, ask the control plane or the books, and answer with
//! views. What a caller sends stands in `params.rs`, what it gets in `views/`; neither is a type of the inner rooms.
//! Every route wants a key, but for those by which people come to one: `/auth/login`, `/auth/callback` and `/auth/terminal`. Nothing
//! here reaches into tables or decides where requests go.

mod audit;
mod bounds;
mod caller;
mod extract;
mod handlers;
mod near;
mod openapi;
mod params;
mod refusal;
mod sign_in;
mod state;
mod views;

pub use audit::audit_router;
pub use openapi::document;

use axum::Router;
use axum::routing::{any, get, post};
use madang_control::Control;
use std::sync::Arc;

/// The control API's routes. Whoever serves them merges in the data plane's.
pub fn router(control: Arc<Control>) -> Router {
    let (routes, document) = openapi::routes();
    let state = Arc::new(state::Api::new(control, &document));
    routes
        .route("/auth/login", get(handlers::login_begin))
        .route("/auth/callback", get(handlers::login_finish))
        .route("/auth/logout", post(handlers::logout))
        .route(
            "/auth/terminal",
            get(handlers::terminal_ask).post(handlers::terminal_allow),
        )
        .route("/auth/terminal/key", post(handlers::terminal_key))
        .route("/openapi.json", get(handlers::openapi_get))
        .route("/api/v1", any(handlers::absent))
        .route("/api/v1/", any(handlers::absent))
        .route("/api/v1/{*path}", any(handlers::absent))
        .method_not_allowed_fallback(handlers::method_not_allowed)
        .with_state(state)
}
