//! Files and batches, as in OpenAI's API: JSONL in, JSONL out, one result for each line.
//!
//! A folder holds all of it, and is the only truth about it: gateways that share the folder share files and batches. It decides
//! nothing about requests: each line is one, walked like any other ([`run`]). docs/batches.md explains the whole.

mod answer;
mod batch;
pub(crate) mod batch_doors;
pub(crate) mod disk;
mod driver;
pub(crate) mod file_doors;
pub(crate) mod id;
mod line;
pub(crate) mod pages;
mod results;
mod run;
pub(crate) mod shelf;
mod upload;
mod window;

use crate::clock;
use crate::doors::method_not_allowed_by;
use crate::gateway::Gateway;
use crate::keyring::Identity;
use crate::refused::Refused;
use crate::walk::caller;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::routing::{get, post};
use batch::Orders;
use http::HeaderMap;
use madang_types::{ErrorCode, TenantId};
use shelf::Shelf;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::Notify;

/// Files of one tenant, and batches that are over and not yet forgotten.
pub(crate) const TENANT_COUNT_MAX: usize = 10_000;

/// Files and batches of a gateway. Cheap to clone.
#[derive(Clone)]
pub struct Batches {
    gateway: Arc<Gateway>,
    shelf: Shelf,
    orders: Orders,
    /// A batch was asked for.
    wake: Arc<Notify>,
}

impl Batches {
    /// Those in `folder`, which is made once there is anything to keep.
    pub fn new(gateway: Arc<Gateway>, folder: &Path) -> Self {
        Self {
            gateway,
            shelf: Shelf::new(folder.to_path_buf()),
            orders: Orders::new(folder.to_path_buf()),
            wake: Arc::default(),
        }
    }

    /// The routes `/v1/files` and `/v1/batches`.
    pub fn router(&self) -> Router {
        let gateway = Arc::clone(&self.gateway);
        Router::new()
            .route("/v1/files", get(file_doors::list).post(file_doors::create))
            .route(
                "/v1/files/{id}",
                get(file_doors::get).delete(file_doors::delete),
            )
            .route("/v1/files/{id}/content", get(file_doors::content))
            .route(
                "/v1/batches",
                get(batch_doors::list).post(batch_doors::create),
            )
            .route("/v1/batches/{id}", get(batch_doors::get))
            .route("/v1/batches/{id}/cancel", post(batch_doors::cancel))
            // Each body has a bound of its own.
            .layer(DefaultBodyLimit::disable())
            .method_not_allowed_fallback(move |request: Request| {
                method_not_allowed_by(Arc::clone(&gateway), request)
            })
            .with_state(self.clone())
    }

    /// Who asks, and the tenant whose files and batches are meant.
    fn caller(&self, headers: &HeaderMap) -> Result<(TenantId, Identity), Refused> {
        caller(&self.gateway, headers)
    }
}

/// Now, in seconds since 1970.
pub(crate) fn unix_s() -> i64 {
    clock::now().0 / 1_000_000
}

/// What is not there, or another tenant's.
pub(crate) fn not_found(what: &str) -> Refused {
    Refused::new(ErrorCode::NotFound, format!("there is no such {what}")).at("id")
}
