//! Asks sites' own schedulers when they would have jobs begin that have a choice: when a job comes, and from time to time while it waits.
//! Never in a pass: what they said is kept by shape, for a while.

use super::{JobsPlane, spec};
use futures_util::future::join_all;
use madang_core::desk::Desk;
use madang_gateway::clock;
use madang_types::{Job, Micros, NodesId};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Between two looks at who waits.
const REST: Duration = Duration::from_secs(2);
/// What a job that comes waits at most for what sites say, and one answer about those that wait.
const COMES_TIME: Duration = Duration::from_secs(2);
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Asks about those that wait until the plane is gone.
pub(super) async fn keep(plane: Weak<JobsPlane>) {
    loop {
        sleep(REST).await;
        let Some(plane) = plane.upgrade() else {
            return;
        };
        plane.foresee(None, ANSWER_TIME).await;
    }
}

impl JobsPlane {
    /// Asks about a job that comes, before it is weighed where it begins; where nobody answers soon it is weighed without.
    pub(super) async fn foresee_coming(&self, job: &Job) {
        let mut nodes = self.nodes(Self::reaches);
        if !nodes.iter().any(|nodes| nodes.has_queue) {
            return;
        }
        nodes.retain(|nodes| self.never(job, nodes).is_none());
        let allowed: Vec<NodesId> = self.allowed(job, &nodes).into_iter().collect();
        self.foresee(Some((job, &allowed)), COMES_TIME).await;
    }

    async fn foresee(&self, coming: Option<(&Job, &[NodesId])>, time: Duration) {
        let wanted = |desk: &Desk| desk.to_foretell(clock::now(), coming);
        let asks = self.lock().as_ref().map(wanted).unwrap_or_default();
        if asks.is_empty() {
            return;
        }
        let said = asks.into_iter().map(async |(job, nodes)| {
            // Who does not answer is not asked at once again.
            let said = timeout(time, self.foretold(&job, &nodes)).await;
            (job, nodes, said.ok().flatten())
        });
        let said = join_all(said).await;
        let now = clock::now();
        if let Some(desk) = self.lock().as_mut() {
            for (job, nodes, starts_at) in said {
                desk.foretell(now, (&job, nodes), starts_at);
            }
        }
        self.wake.notify_one();
    }

    async fn foretold(&self, job: &Job, nodes: &NodesId) -> Option<Micros> {
        let fleet = Arc::clone(&self.gateway.snapshot().fleet);
        let spec = spec::asked_spec(job, nodes, &fleet)?;
        let told = self.executor(nodes)?.foretell(&spec).await;
        told.unwrap_or_else(|error| {
            tracing::debug!(%nodes, %error, "a site does not say when a job would begin there");
            None
        })
    }
}
