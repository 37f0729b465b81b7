//! A request's hold on what was set aside for it. Dropping it gives that back.

use super::Purses;
use crate::clock;
use madang_core::budget::{Part, Reserved, Settled, settle_orphan};
use madang_ledger::{Holder, TokenRates};
use madang_types::{RequestId, TokenUse};
use std::sync::Arc;

/// What was set aside for one request.
pub struct Hold {
    purses: Arc<Purses>,
    request: RequestId,
    holder: Arc<Holder>,
    reserved: Reserved,
    over: bool,
}

impl Hold {
    pub(super) fn new(
        purses: Arc<Purses>,
        (request, holder): (RequestId, Arc<Holder>),
        reserved: Reserved,
    ) -> Self {
        Self {
            purses,
            request,
            holder,
            reserved,
            over: false,
        }
    }

    /// Tokens that may be made for it.
    pub fn output_tokens_max(&self) -> u64 {
        self.reserved.output_tokens_max
    }

    /// Whose rights pay, as they are written down beside what a request has used so far.
    pub fn backing(&self) -> (Arc<Holder>, Vec<Part>) {
        (Arc::clone(&self.holder), self.reserved.parts.to_vec())
    }

    /// The request has ended and used so much. The rest is free again.
    pub fn settle(mut self, used: (&TokenUse, &TokenRates)) -> (Arc<Holder>, Settled) {
        self.over = true;
        let mut run = self.purses.lock();
        // Of a run that is over nothing is left here; what it was promised is in suspense at the bank.
        let settled = if Arc::ptr_eq(&run.holder, &self.holder) {
            run.budgets.settle(clock::now(), self.request, used)
        } else {
            settle_orphan(&self.reserved.parts, used)
        };
        drop(run);
        (Arc::clone(&self.holder), settled)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut run = self.purses.lock();
        if !self.over && Arc::ptr_eq(&run.holder, &self.holder) {
            run.budgets.void(self.request);
        }
    }
}
