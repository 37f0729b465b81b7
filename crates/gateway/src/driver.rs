//! The live driver of the decision core: one short lock, a waiter per request, a recorder if asked for.
//!
//! A core step costs about a microsecond, so a lock costs less per request than a task and two channels would.

use crate::clock;
use crate::recorder::Recorder;
use madang_core::policy::{Content, Whom};
use madang_core::{
    AttemptEnd, Core, Decision, Denial, Effect, Explanation, Grant, Input, PolicyDecision,
    PoolStatus, Refusal, RequestSubmit, ShareStatus, Spent,
};
use madang_types::{ModelId, Place, PolicyHash, ReplicaId, RequestId, SiteId, StopScope, Zone};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::sync::mpsc;

/// Words of the core that may wait for one request. Each attempt brings a start, a place and a call-off at most, and
/// `limits.attempts_max` is at most 16.
const TURNS_MAX: usize = 64;

/// What the core tells one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Go.
    Start {
        /// Which attempt, from 1.
        attempt: u32,
        /// Where.
        replica: ReplicaId,
        /// At which site.
        site: SiteId,
        /// Which model serves it.
        model: ModelId,
        /// Why there.
        decision: Decision,
        /// What the policy says of it.
        grant: Grant,
    },
    /// The place of an answer under way was stopped: close it at once. The core has forgotten the request.
    Cut {
        /// What stopped it.
        denial: Denial,
    },
    /// Another attempt won, or this one is no longer wanted: close it, and tell the core nothing of it.
    CallOff {
        /// Which attempt.
        attempt: u32,
    },
    /// It waits.
    Queued(QueuePlace),
    /// It is not served.
    Refuse {
        /// Why.
        refusal: Refusal,
        /// When trying again makes sense.
        retry_after_ms: Option<u64>,
        /// Where policy denies: why, for each place that serves the model.
        denials: Vec<Denial>,
    },
}

/// Where a request stands among those that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePlace {
    /// Requests that are likely served before it.
    pub place: u32,
    /// Predicted wait from now, in milliseconds; `None` where nothing is known yet.
    pub wait_ms: Option<u64>,
}

/// Where the core's words for one request wait for it. A channel would set memory aside for dozens of them, and a request has
/// one as a rule.
#[derive(Default)]
struct Mailbox(Mutex<Mail>);

#[derive(Default)]
struct Mail {
    turns: SmallVec<[Turn; 1]>,
    reader: Option<Waker>,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there was room.
    fn put(&self, turn: Turn) -> bool {
        let mut mail = self.lock();
        if mail.turns.len() == TURNS_MAX {
            return false;
        }
        mail.turns.push(turn);
        let reader = mail.reader.take();
        drop(mail);
        if let Some(reader) = reader {
            reader.wake();
        }
        true
    }

    fn poll_take(&self, cx: &Context<'_>) -> Poll<Turn> {
        let mut mail = self.lock();
        if mail.turns.is_empty() {
            match &mut mail.reader {
                Some(reader) => reader.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        Poll::Ready(mail.turns.remove(0))
    }
}

struct Inner {
    core: Core,
    waiters: BTreeMap<RequestId, Arc<Mailbox>>,
    effects: Vec<Effect>,
    recorder: Option<Recorder>,
    /// What the core was told, for tests of what drivers do.
    #[cfg(test)]
    seen: Vec<Input>,
}

/// Owner of the live core. Cheap to clone.
#[derive(Clone)]
pub struct Driver {
    inner: Arc<Mutex<Inner>>,
    drained: mpsc::UnboundedSender<ReplicaId>,
}

impl Driver {
    /// A driver with an empty core. The receiver hears of each replica that left the fleet and is idle
    /// (at most one word per removed replica, so its queue is bounded by the fleet).
    pub fn new(recorder: Option<Recorder>) -> (Self, mpsc::UnboundedReceiver<ReplicaId>) {
        let (drained, receiver) = mpsc::unbounded_channel();
        let inner = Inner {
            core: Core::new(),
            waiters: BTreeMap::new(),
            effects: Vec::new(),
            recorder,
            #[cfg(test)]
            seen: Vec::new(),
        };
        (
            Self {
                inner: Arc::new(Mutex::new(inner)),
                drained,
            },
            receiver,
        )
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic inside the core is caught per connection; its state is checked by its own invariants.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the core one input and carries out its effects.
    pub fn apply(&self, input: Input) {
        let mut inner = self.lock();
        self.step(&mut inner, input);
    }

    fn step(&self, inner: &mut Inner, input: Input) {
        let now = clock::now();
        let mut effects = std::mem::take(&mut inner.effects);
        #[cfg(test)]
        inner.seen.push(input.clone());
        // A tick while nothing waits or runs changes nothing in the core and is not recorded.
        let idle = input == Input::Tick && inner.core.requests_count() == 0;
        let recorded = (inner.recorder.is_some() && !idle).then(|| input.clone());
        inner.core.apply(now, input, &mut effects);
        if let (Some(recorder), Some(input)) = (&mut inner.recorder, recorded) {
            recorder.step(now, input, &effects);
        }
        for effect in effects.drain(..) {
            self.carry_out(inner, effect);
        }
        inner.effects = effects;
    }

    fn carry_out(&self, inner: &mut Inner, effect: Effect) {
        match effect {
            Effect::Start {
                request,
                attempt,
                replica,
                site,
                model,
                masked: _,
                decision,
            } => {
                // Without it nothing could be logged; the core has just started it under one.
                let Some(grant) = inner.core.grant(request, &replica) else {
                    return tell(inner, request, lost());
                };
                tell(
                    inner,
                    request,
                    Turn::Start {
                        attempt,
                        replica,
                        site,
                        model,
                        decision,
                        grant,
                    },
                );
            }
            Effect::Refuse {
                request,
                refusal,
                retry_after_ms,
                denials,
            } => {
                tell(
                    inner,
                    request,
                    Turn::Refuse {
                        refusal,
                        retry_after_ms,
                        denials,
                    },
                );
                inner.waiters.remove(&request);
            }
            Effect::Cut {
                request, denial, ..
            } => {
                tell(inner, request, Turn::Cut { denial });
                inner.waiters.remove(&request);
            }
            Effect::CallOff { request, attempt } => {
                tell(inner, request, Turn::CallOff { attempt });
            }
            Effect::Queued {
                request,
                place,
                wait_ms,
            } => tell(inner, request, Turn::Queued(QueuePlace { place, wait_ms })),
            Effect::Drained { replica } => {
                if self.drained.send(replica).is_err() {
                    tracing::debug!("nobody listens for drained replicas");
                }
            }
        }
    }

    /// Submits a request. The ticket holds its place and its slot; dropping it gives both back.
    pub fn submit(&self, submit: RequestSubmit) -> Ticket {
        let request = submit.request;
        let turns = Arc::<Mailbox>::default();
        let mut inner = self.lock();
        inner.waiters.insert(request, Arc::clone(&turns));
        self.step(&mut inner, Input::RequestSubmit(submit));
        drop(inner);
        Ticket {
            request,
            turns,
            driver: self.clone(),
            over: false,
        }
    }

    /// Where a request stands in its queue now; `None` where it does not wait.
    pub fn place(&self, request: RequestId) -> Option<QueuePlace> {
        let (place, wait_ms) = self.lock().core.queue_place(request, clock::now())?;
        Some(QueuePlace { place, wait_ms })
    }

    /// What the policy says of a request at a place that a URL in it leads to; `None` where it is called off.
    ///
    /// # Errors
    /// It may not go there.
    pub fn grant_at(
        &self,
        request: RequestId,
        at: (&SiteId, &Place),
    ) -> Option<Result<Grant, Denial>> {
        self.lock().core.grant_at(request, at)
    }

    /// What the policy says of a request that is not sent, at a place that a URL in it leads to, and what that place's
    /// ground counts as.
    pub fn decide_at(
        &self,
        submit: &RequestSubmit,
        at: (&SiteId, &Place),
    ) -> (PolicyDecision, Option<Zone>) {
        self.lock().core.decide_at(submit, at)
    }

    /// What the policy says of such data of somebody at a place of the fleet.
    pub fn decide_of(&self, whom: Whom<'_>, content: Content, at: &SiteId) -> PolicyDecision {
        self.lock().core.decide_of(whom, content, at)
    }

    /// Stops in force.
    pub fn stops(&self) -> BTreeSet<StopScope> {
        self.lock().core.stops().clone()
    }

    /// Names the policy in force.
    pub fn policy_hash(&self) -> PolicyHash {
        self.lock().core.policy_hash()
    }

    /// The model that a request is at.
    pub fn model_of(&self, request: RequestId) -> Option<ModelId> {
        self.lock().core.model_of(request).cloned()
    }

    /// Carries out an effect that no core asked for, for tests of what drivers do.
    #[cfg(test)]
    pub(crate) fn inject(&self, effect: Effect) {
        let mut inner = self.lock();
        self.carry_out(&mut inner, effect);
    }

    /// What the core was told since the start.
    #[cfg(test)]
    pub(crate) fn seen(&self) -> Vec<Input> {
        self.lock().seen.clone()
    }

    /// Every pool and member as they stand.
    pub fn status(&self) -> Vec<PoolStatus> {
        self.lock().core.status(clock::now())
    }

    /// What every tenant has beside its share.
    pub fn shares(&self) -> Vec<ShareStatus> {
        self.lock().core.shares()
    }

    /// What would become of a request, without sending it.
    pub fn explain(&self, submit: RequestSubmit) -> Explanation {
        self.lock().core.explain(clock::now(), submit)
    }

    /// Requests that wait or run.
    pub fn requests_count(&self) -> usize {
        self.lock().core.requests_count()
    }

    /// Closes the recording, if there is one, and waits until it is on disk.
    pub fn recording_close(&self) {
        let recorder = self.lock().recorder.take();
        drop(recorder);
    }
}

fn tell(inner: &Inner, request: RequestId, turn: Turn) {
    if let Some(waiter) = inner.waiters.get(&request)
        && !waiter.put(turn)
    {
        tracing::debug!(%request, "the request reads none of its turns");
    }
}

/// The core knows nothing of the request any more.
pub(crate) fn lost() -> Turn {
    Turn::Refuse {
        refusal: Refusal::Draining,
        retry_after_ms: None,
        denials: Vec::new(),
    }
}

/// A request's hold on the core.
pub struct Ticket {
    request: RequestId,
    turns: Arc<Mailbox>,
    driver: Driver,
    over: bool,
}

impl Ticket {
    /// Waits for the core's next word.
    pub async fn turn(&mut self) -> Turn {
        let turn = poll_fn(|cx| self.turns.poll_take(cx)).await;
        self.over |= matches!(turn, Turn::Refuse { .. } | Turn::Cut { .. });
        turn
    }

    /// Whether the core has called this attempt off, and that was not read yet.
    pub fn is_called_off(&self, attempt: u32) -> bool {
        let called_off =
            |turn: &Turn| matches!(turn, Turn::CallOff { attempt: off } if *off == attempt);
        self.turns.lock().turns.iter().any(called_off)
    }

    /// An attempt's first byte came. Where two race, it has won.
    pub fn first_byte(&self, attempt: u32) {
        self.driver.apply(Input::FirstByte {
            request: self.request,
            attempt,
        });
    }

    /// A stream has so many output tokens by now.
    pub fn progress(&self, output_tokens: u64) {
        self.driver.apply(Input::Progress {
            request: self.request,
            output_tokens,
        });
    }

    /// An attempt failed before its first byte: the next turn is another start or a refusal, unless another attempt is
    /// under way.
    pub fn attempt_failed(&self, attempt: u32) {
        let end = AttemptEnd::FailedRetryable;
        self.driver.apply(Input::AttemptEnd {
            request: self.request,
            attempt,
            end,
            spent: None,
        });
    }

    /// The request ended with this attempt; whatever it holds is free.
    pub fn end(&mut self, attempt: u32, end: AttemptEnd, spent: Option<Spent>) {
        self.over = true;
        let mut inner = self.driver.lock();
        inner.waiters.remove(&self.request);
        self.driver.step(
            &mut inner,
            Input::AttemptEnd {
                request: self.request,
                attempt,
                end,
                spent,
            },
        );
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.over {
            let mut inner = self.driver.lock();
            inner.waiters.remove(&self.request);
            self.driver.step(
                &mut inner,
                Input::RequestCancel {
                    request: self.request,
                },
            );
        }
    }
}
