//! Books that other gateways write too: what they change of keys, tenants, programmes, stops, budgets and prices is in force
//! here a moment later.

use crate::gateway::Gateway;
use madang_store::StoreError;
use madang_types::StopScope;
use std::collections::BTreeSet;

/// What was seen of the books when they were last looked at.
#[derive(Default)]
pub(crate) struct Seen {
    revision: Option<u64>,
    stops: BTreeSet<StopScope>,
}

impl Gateway {
    /// Puts in force what was changed in the books since the last look; `false` where nobody else writes to them.
    ///
    /// # Errors
    /// The books cannot be read; what was in force stays, and the next look sees the same changes.
    pub async fn books_follow(&self) -> Result<bool, StoreError> {
        let mut seen = self.seen.lock().await;
        let revision = self.books.store().people_revision().await?;
        if revision != seen.revision {
            self.stops_follow(&mut seen.stops).await?;
            // Before the keys of those who pay from them: a new tenant is never served as if it had no budget.
            self.purses.refresh().await?;
            self.people_refresh().await?;
            seen.revision = revision;
        }
        Ok(revision.is_some())
    }

    /// Puts the stops of the books in force: at the start, before anything is served.
    ///
    /// # Errors
    /// The books cannot be read.
    pub(crate) async fn stops_load(&self) -> Result<(), StoreError> {
        let mut seen = self.seen.lock().await;
        self.stops_follow(&mut seen.stops).await
    }

    /// A stop that was set here and could not be kept was never seen in the books, and so is not lifted by them.
    async fn stops_follow(&self, seen: &mut BTreeSet<StopScope>) -> Result<(), StoreError> {
        let kept = self.books.store().stop_list().await?;
        let kept: BTreeSet<StopScope> = kept.into_iter().map(|stop| stop.scope).collect();
        for scope in kept.difference(seen) {
            self.stop_apply(scope.clone(), true);
        }
        for scope in seen.difference(&kept) {
            self.stop_apply(scope.clone(), false);
        }
        *seen = kept;
        Ok(())
    }
}
