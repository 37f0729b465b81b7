//! The way to the bank: orders are sent and their answers heard, beside the requests.

use super::{LEASE_MS, Purses, Run};
use crate::clock;
use madang_ledger::{Holder, Order, Purse};
use madang_store::StoreError;
use madang_types::{CeilingId, MicroWon};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How often rights are looked at.
const TICK: Duration = Duration::from_secs(1);
/// After how many looks the bank is told that this gateway is there …
const SEEN_TICKS: u32 = 5;
/// … and what is left of allocations that are over goes back.
const SWEEP_TICKS: u32 = 60;

impl Purses {
    /// Looks after the rights here; it never ends.
    pub(crate) async fn attend(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for count in 0_u32.. {
            ticks.tick().await;
            if let Err(error) = self.look(count).await {
                tracing::warn!(%error, "the books cannot be asked what may be spent");
            }
        }
    }

    /// One look, the `count`th.
    async fn look(self: &Arc<Self>, count: u32) -> Result<(), StoreError> {
        // While it holds nothing, nobody need know that this gateway is there: it costs a sync of the books.
        let may_hold = self.is_metered() || self.bank.rate_books().is_some();
        if may_hold && count.is_multiple_of(SEEN_TICKS) {
            self.seen().await?;
        }
        if !self.is_metered() {
            return Ok(());
        }
        if count.is_multiple_of(SWEEP_TICKS) {
            self.bank.allocations_sweep(clock::now()).await?;
        }
        let mut orders = Vec::new();
        let mut run = self.lock();
        run.budgets.tick(clock::now(), &mut orders);
        let holder = Arc::clone(&run.holder);
        drop(run);
        self.send(&holder, orders);
        Ok(())
    }

    /// Tells the bank that this run is alive.
    ///
    /// # Errors
    /// The bank cannot be reached.
    pub(crate) async fn seen(&self) -> Result<(), StoreError> {
        let asked_at = clock::now();
        let holder = self.holder();
        if !self.bank.run_seen((*holder).clone(), asked_at).await? {
            return self.begin_again(&holder).await;
        }
        // From when it was asked: the answer may have been on its way for long.
        let until = asked_at.plus_ms(LEASE_MS);
        self.lock().budgets.contact(asked_at, until);
        Ok(())
    }

    /// Sends back what nobody needs, and waits until the bank has it.
    pub async fn close(self: &Arc<Self>) {
        let (holder, orders) = self.drain();
        for order in orders {
            self.carry(&holder, order).await;
        }
    }

    fn drain(&self) -> (Arc<Holder>, Vec<Order>) {
        let mut orders = Vec::new();
        let mut run = self.lock();
        run.budgets.drain(clock::now(), &mut orders);
        (Arc::clone(&run.holder), orders)
    }

    /// This run was given up: what it held is in suspense, and a new one begins with nothing.
    async fn begin_again(&self, old: &Holder) -> Result<(), StoreError> {
        tracing::warn!(gateway = %old.gateway, epoch = old.epoch, "the books gave this run up: a new one begins");
        let mut begun = Run::begin(&*self.bank, old.gateway.clone()).await?;
        let granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        begun.budgets.apply(granted.view());
        *self.lock() = begun;
        Ok(())
    }

    /// Sends orders; whoever waits hears of the answers.
    pub(super) fn send(self: &Arc<Self>, holder: &Arc<Holder>, orders: Vec<Order>) {
        for order in orders {
            let (purses, holder) = (Arc::clone(self), Arc::clone(holder));
            tokio::spawn(async move { purses.carry(&holder, order).await });
        }
    }

    /// A ceiling is filled when something is first spent under it, and when it was raised.
    async fn fill(&self, order: &Order) -> Result<(), StoreError> {
        let Purse::Ceiling(id) = &order.purse else {
            return Ok(());
        };
        let Some(limit) = self
            .limit(id)
            .filter(|limit| self.filled(id) < Some(*limit))
        else {
            return Ok(());
        };
        self.bank
            .ceiling_fill(id.clone(), limit, clock::now())
            .await?;
        let mut filled = self.filled.lock().unwrap_or_else(PoisonError::into_inner);
        let old = filled.entry(id.clone()).or_insert(limit);
        *old = limit.max(*old);
        Ok(())
    }

    fn filled(&self, ceiling: &CeilingId) -> Option<MicroWon> {
        let filled = self.filled.lock().unwrap_or_else(PoisonError::into_inner);
        filled.get(ceiling).copied()
    }

    async fn carry(&self, holder: &Arc<Holder>, order: Order) {
        if let Err(error) = self.fill(&order).await {
            return tracing::warn!(%error, purse = %order.purse, "the books did not fill a ceiling");
        }
        let asked = self
            .bank
            .order((**holder).clone(), order.clone(), clock::now());
        match asked.await {
            Ok(answer) => {
                let mut run = self.lock();
                if Arc::ptr_eq(&run.holder, holder) {
                    let about = (answer.moved, answer.left);
                    run.budgets.answer(clock::now(), &order, about);
                }
                drop(run);
                self.answered.notify_waiters();
            }
            // It is asked again with the next look.
            Err(error) => {
                tracing::warn!(%error, purse = %order.purse, "the books did not move rights")
            }
        }
    }
}
