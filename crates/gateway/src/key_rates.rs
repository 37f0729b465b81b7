//! How fast each key goes: the live driver of the core's rates, and this gateway's way to the books that divide them among gateways.
//!
//! A request asks in memory. Only where this gateway holds no part of its key's rates, and one may come within [`PART_WAIT_US_MAX`],
//! does it wait for that.

#[cfg(test)]
mod tests;

use crate::purses::Purses;
use madang_core::rate::{RateBounds, RateRefusal, RateStanding, Rates};
use madang_store::{RateBooks, StoreError};
use madang_types::{KeyId, Micros};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, timeout_at};

/// How often parts are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long a request waits for a part at most, in microseconds: two looks, of the gateway that gives it up and of this one, and some
/// way.
const PART_WAIT_US_MAX: u64 = 3_000_000;
/// Keys that are asked for at one time.
const BATCH_KEYS_MAX: usize = 500;

/// The rates of all keys.
pub(crate) struct KeyRates {
    rates: Mutex<Rates>,
    /// From when its clock counts: one that nobody sets, so that no key goes faster and no lease longer when the system's is.
    began: Instant,
    purses: Arc<Purses>,
    /// Who asks the books: one at a time, from what is to be asked to what was answered.
    turn: tokio::sync::Mutex<()>,
    /// Something is to be asked before the next look.
    asked: Notify,
    /// The books have answered.
    answered: Notify,
}

impl KeyRates {
    /// Whose bank divides rates holds nothing yet; every other one holds all.
    pub(crate) fn new(purses: Arc<Purses>) -> Arc<Self> {
        let rates = match purses.bank().rate_books() {
            Some(_) => Rates::shared(),
            None => Rates::default(),
        };
        Arc::new(Self {
            rates: Mutex::new(rates),
            began: Instant::now(),
            purses,
            turn: tokio::sync::Mutex::default(),
            asked: Notify::new(),
            answered: Notify::new(),
        })
    }

    /// Takes one request and `tokens` from a key's rates.
    ///
    /// # Errors
    /// It comes too soon, or no part of the rates came here in time or will.
    pub(crate) async fn admit(
        &self,
        about: (&KeyId, RateBounds),
        tokens: u64,
    ) -> Result<RateStanding, RateRefusal> {
        let until = Instant::now() + Duration::from_micros(PART_WAIT_US_MAX);
        loop {
            // Before the try: an answer that comes between it and the wait is heard.
            let answered = self.answered.notified();
            tokio::pin!(answered);
            answered.as_mut().enable();
            let tried = self.lock().admit(self.now(), about, tokens);
            match tried {
                Err(RateRefusal {
                    part_comes_us: Some(comes_us),
                    ..
                }) if comes_us <= PART_WAIT_US_MAX => {
                    self.asked.notify_one();
                    if timeout_at(until, answered).await.is_err() {
                        return tried;
                    }
                }
                tried => return tried,
            }
        }
    }

    /// A request is over: tokens that were taken for it and not used go back, and the other way round.
    pub(crate) fn settle(&self, about: (&KeyId, RateBounds), tokens: (u64, u64)) {
        self.lock().settle(self.now(), about, tokens);
    }

    /// Looks after the parts here; it never ends, but where there are none.
    pub(crate) async fn attend(self: Arc<Self>) {
        let Some(books) = self.purses.bank().rate_books() else {
            return;
        };
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_look = tokio::select! {
                _ = looks.tick() => true,
                () = self.asked.notified() => false,
            };
            let _turn = self.turn.lock().await;
            let keys = match is_look {
                true => self.lock().look(),
                false => self.lock().urgent().into_iter().collect(),
            };
            if let Err(error) = self.ask(books, keys).await {
                tracing::warn!(%error, "the books cannot be asked for parts of keys' rates");
            }
        }
    }

    /// Gives all parts back, and waits until the books have them. Whoever attends must not be cut off before, in the middle of an ask:
    /// how full a part was would be lost.
    pub(crate) async fn close(&self) {
        let Some(books) = self.purses.bank().rate_books() else {
            return;
        };
        let _turn = self.turn.lock().await;
        let keys = self.lock().close();
        if let Err(error) = self.ask(books, keys).await {
            tracing::warn!(%error, "parts of keys' rates were not given back: they are free again in ten minutes");
        }
    }

    async fn ask(&self, books: &dyn RateBooks, keys: Vec<KeyId>) -> Result<(), StoreError> {
        for keys in keys.chunks(BATCH_KEYS_MAX) {
            // From when it was asked: the answer may be on its way for long.
            let sent_at = self.now();
            let holder = self.purses.holder();
            let asks = self.lock().asks(sent_at, keys);
            let Some(told) = books.rate_parts((*holder).clone(), asks).await? else {
                // This run was given up, and what it held: the next look asks for the new one.
                self.lock().lose_all();
                return self.purses.seen().await;
            };
            let mut rates = self.lock();
            let now = self.now();
            let mut is_urgent = false;
            for grant in &told {
                is_urgent |= rates.granted(now, sent_at, grant);
            }
            drop(rates);
            self.answered.notify_waiters();
            if is_urgent {
                self.asked.notify_one();
            }
        }
        Ok(())
    }

    fn now(&self) -> Micros {
        Micros(i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    fn lock(&self) -> MutexGuard<'_, Rates> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
