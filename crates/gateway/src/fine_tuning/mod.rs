//! Fine-tuning jobs, as in OpenAI's API: what the operator's template says is run as a batch job, and what its program prints becomes
//! events and checkpoints.
//!
//! A folder beside the tenant's files holds what was asked for, what was told of it and how it ended; how the job stands meanwhile the
//! books of jobs say. It runs nothing and decides nothing: it submits jobs through [`Jobs`], and reads their output.
//! docs/fine-tuning.md explains the whole.

mod check;
mod create;
mod doors;
mod events;
mod followed;
mod keeper;
mod order;
mod progress;
mod results;
mod template;
mod view;

use crate::batches::shelf::Shelf;
use crate::doors::method_not_allowed_by;
use crate::gateway::Gateway;
use crate::keyring::Identity;
use crate::refused::Refused;
use crate::walk::caller;
use async_trait::async_trait;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::routing::{get, post};
use http::HeaderMap;
use madang_store::{JobBook, JobWish, StoreError};
use madang_types::{Job, JobId, JobSpec, KeyId, RunRecord, TenantId};
use order::Orders;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::Notify;

/// Whoever drives batch jobs, as far as fine-tuning asks.
#[async_trait]
pub trait Jobs: Send + Sync + 'static {
    /// Takes a job in for a tenant's key.
    ///
    /// # Errors
    /// The refusal to send.
    async fn submit(&self, whose: (TenantId, KeyId), spec: JobSpec) -> Result<Job, Refused>;

    /// Says what somebody wants of a job, which is given as it stands then.
    ///
    /// # Errors
    /// As [`JobBook::job_wish`].
    async fn wish(&self, id: JobId, wish: JobWish) -> Result<Job, StoreError>;

    /// The books of jobs.
    fn book(&self) -> &dyn JobBook;

    /// What a run printed, from the byte `from` on, at most `bytes_max` of it: where it begins, and the bytes.
    ///
    /// # Errors
    /// It cannot be had now, or any more: why.
    async fn output(
        &self,
        run: &RunRecord,
        from: u64,
        bytes_max: usize,
    ) -> Result<(u64, Vec<u8>), String>;
}

/// Fine-tuning jobs of a gateway. Cheap to clone.
#[derive(Clone)]
pub struct FineTunings {
    gateway: Arc<Gateway>,
    jobs: Arc<dyn Jobs>,
    shelf: Shelf,
    orders: Orders,
    /// Where inputs and results lie whose template names no other folder.
    folder: Arc<Path>,
    /// A job was asked for.
    wake: Arc<Notify>,
}

impl FineTunings {
    /// Those whose records are in `files`, with the tenants' files; `folder` is where jobs find their inputs and leave their results.
    pub fn new(
        gateway: Arc<Gateway>,
        jobs: Arc<dyn Jobs>,
        (files, folder): (&Path, &Path),
    ) -> Self {
        Self {
            gateway,
            jobs,
            shelf: Shelf::new(files.to_path_buf()),
            orders: Orders::new(files.to_path_buf()),
            folder: folder.into(),
            wake: Arc::default(),
        }
    }

    /// The routes `/v1/fine_tuning/jobs`.
    pub fn router(&self) -> Router {
        let gateway = Arc::clone(&self.gateway);
        let one = "/v1/fine_tuning/jobs/{id}";
        Router::new()
            .route(
                "/v1/fine_tuning/jobs",
                get(doors::list).post(create::create),
            )
            .route(one, get(doors::get))
            .route(&format!("{one}/cancel"), post(doors::cancel))
            .route(&format!("{one}/pause"), post(doors::pause))
            .route(&format!("{one}/resume"), post(doors::resume))
            .route(&format!("{one}/events"), get(doors::events))
            .route(&format!("{one}/checkpoints"), get(doors::checkpoints))
            // The body has a bound of its own.
            .layer(DefaultBodyLimit::disable())
            .method_not_allowed_fallback(move |request: Request| {
                method_not_allowed_by(Arc::clone(&gateway), request)
            })
            .with_state(self.clone())
    }

    /// Who asks, and the tenant whose jobs are meant.
    fn caller(&self, headers: &HeaderMap) -> Result<(TenantId, Identity), Refused> {
        caller(&self.gateway, headers)
    }
}
