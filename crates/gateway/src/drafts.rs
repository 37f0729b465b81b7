//! What would be booked if Madang died now. Twice a second it is written down for each request under way, so that a kill loses of an
//! answer what came since; the next start books what the last one had written down and not ended.

use crate::books::Books;
use crate::clock;
use crate::energy::Running;
use crate::purses::entry_of;
use madang_core::budget::{Part, settle_orphan};
use madang_ledger::{Holder, TokenRates};
use madang_store::Settlement;
use madang_types::{Micros, Outcome, RequestId, Tokens, UsageRecord};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How often it is written down, and the age from which on a request is.
const EVERY: Duration = Duration::from_millis(500);
/// Nothing of a request has been written down yet.
const NEVER: u64 = u64::MAX;

/// A request under way, as its last attempt began.
pub struct Draft {
    /// Its record, without what it has used.
    pub record: UsageRecord,
    /// Estimated prompt tokens.
    pub prompt_tokens: u64,
    /// It runs at a site of ours.
    pub own: bool,
    /// Something has a price or a budget.
    pub metered: bool,
    /// What it costs, and whose rights pay.
    pub paid: Option<(TokenRates, Arc<Holder>, Vec<Part>)>,
    /// What it claims of its engine's energy, where something is known of that.
    pub energy: Option<Arc<Running>>,
}

struct Open {
    draft: Draft,
    began_at: Micros,
    output_tokens: AtomicU64,
    /// Output tokens as they were written down last, or [`NEVER`].
    written: AtomicU64,
}

/// The requests under way.
#[derive(Default)]
pub struct Drafts {
    open: Mutex<BTreeMap<RequestId, Arc<Open>>>,
}

/// A request's place among them. Dropping it gives the place up.
pub struct Drafted {
    drafts: Arc<Drafts>,
    request: RequestId,
    open: Arc<Open>,
}

impl Drafts {
    /// From now on it is written down what this request has used.
    pub fn open(self: &Arc<Self>, draft: Draft) -> Drafted {
        let request = draft.record.id;
        let open = Arc::new(Open {
            draft,
            began_at: clock::now(),
            output_tokens: AtomicU64::new(0),
            written: AtomicU64::new(NEVER),
        });
        self.lock().insert(request, Arc::clone(&open));
        Drafted {
            drafts: Arc::clone(self),
            request,
            open,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RequestId, Arc<Open>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has changed since it was written down last.
    fn due(&self, now: Micros) -> Vec<Settlement> {
        let old = |open: &Open| u128::from(now.since_us(open.began_at)) >= EVERY.as_micros();
        let is_due = |open: &&Arc<Open>| old(open) && open.is_changed();
        // Worked out without the lock, which every request takes twice.
        let due: Vec<Arc<Open>> = self.lock().values().filter(is_due).cloned().collect();
        due.iter().map(|open| open.settlement(now)).collect()
    }
}

/// Writes them down; it never ends.
pub async fn attend(drafts: Arc<Drafts>, books: Arc<Books>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let due = drafts.due(clock::now());
        if !due.is_empty() {
            books.draft(due).await;
        }
    }
}

impl Drafted {
    /// So many tokens have been made.
    pub fn made(&self, output_tokens: u64) {
        self.open
            .output_tokens
            .store(output_tokens, Ordering::Relaxed);
    }
}

impl Drop for Drafted {
    fn drop(&mut self) {
        let mut open = self.drafts.lock();
        // A later attempt may have opened it anew.
        if open
            .get(&self.request)
            .is_some_and(|held| Arc::ptr_eq(held, &self.open))
        {
            open.remove(&self.request);
        }
    }
}

impl Open {
    fn is_changed(&self) -> bool {
        self.output_tokens.load(Ordering::Relaxed) != self.written.load(Ordering::Relaxed)
    }

    /// What is booked if nothing more is heard of it.
    fn settlement(&self, now: Micros) -> Settlement {
        let made = self.output_tokens.load(Ordering::Relaxed);
        self.written.store(made, Ordering::Relaxed);
        let Draft {
            record,
            prompt_tokens,
            own,
            metered,
            paid,
            energy,
        } = &self.draft;
        let mut record = record.clone();
        record.outcome = Outcome::Orphaned;
        record.tokens.uncached = Tokens(*prompt_tokens);
        record.tokens.output = Tokens(made);
        record.tokens.estimated = true;
        record.total_us = now.since_us(record.arrived_at);
        record.energy = energy.as_ref().and_then(|running| running.so_far());
        let paid = paid
            .as_ref()
            .map(|(rates, holder, parts)| (holder, settle_orphan(parts, (&record.tokens, rates))));
        record.cost = paid.as_ref().map(|(_, settled)| settled.cost);
        let paid = paid.as_ref().map(|(holder, settled)| (&***holder, settled));
        let entry = || entry_of(&record, *own, paid);
        let entry = metered.then(entry).flatten();
        Settlement { record, entry }
    }
}
