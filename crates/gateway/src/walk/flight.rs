//! A request under way: its record in the making and its hold on the core. Whatever way it ends, it ends in the books.

use crate::clock;
use crate::drafts::{Draft, Drafted};
use crate::driver::{QueuePlace, Ticket};
use crate::energy::Running;
use crate::gateway::Gateway;
use crate::headers;
use crate::key_slots::KeySlot;
use crate::purses::{Hold, caller_of, entry_of};
use crate::snapshot::Target;
use crate::walk::Facts;
use crate::walk::rate::{self, RateHold};
use crate::walk::relay::Start;
use madang_core::budget::Settled;
use madang_core::power::share::WorkPhase;
use madang_core::{AttemptEnd, Spent};
use madang_ledger::{Entry, Holder, TokenRates, decimal_text};
use madang_store::{Settlement, StoreError};
use madang_types::{
    DataClass, Endpoint, ErrorCode, KeyId, KeyTerms, Micros, Outcome, Priority, ProjectId,
    RequestId, TenantId, TokenUse, UsageRecord,
};
use std::sync::Arc;

/// What is known when a flight begins.
pub struct Opening {
    /// Made at the edge.
    pub id: RequestId,
    /// When the headers had been read.
    pub arrived_at: Micros,
    /// The door.
    pub endpoint: Endpoint,
    /// Who is billed.
    pub tenant: TenantId,
    /// The key's project.
    pub project: Option<ProjectId>,
    /// The key that was shown.
    pub key: KeyId,
    /// What the key may be used for, and how fast.
    pub terms: Arc<KeyTerms>,
}

/// A request under way. Dropping it unsettled means that the client left.
pub struct Flight {
    /// The data plane.
    pub gateway: Arc<Gateway>,
    /// The record as far as it is known.
    pub record: UsageRecord,
    /// The hold on the core, once it was submitted.
    pub ticket: Option<Ticket>,
    /// What is known of its data.
    pub facts: Facts,
    /// Hashes what is sent back, for the audit log. Two kilobytes: apart from the flight, which moves, and not there while
    /// nothing was sent, since many may wait.
    sent: Option<Box<blake3::Hasher>>,
    /// Its place among its key's requests.
    pub key_slot: Option<KeySlot>,
    /// What its key may be used for, and how fast.
    pub terms: Arc<KeyTerms>,
    /// What was taken from its key's rate, where that has one.
    pub rate: Option<RateHold>,
    /// Where it stood when it was queued, if it was.
    pub queued: Option<QueuePlace>,
    /// What is set aside for what it can cost.
    pub hold: Option<Hold>,
    /// What it costs where it is served.
    pub rates: TokenRates,
    /// It is served at a site of ours.
    own: bool,
    /// Something has a price or a budget: what it moves goes into the ledger.
    metered: bool,
    /// Its place among those whose use is written down.
    pub drafted: Option<Drafted>,
    /// What it claims of its engine's energy, where something is known of that.
    energy: Option<Arc<Running>>,
    /// Its first token was told.
    has_token: bool,
    /// Its answer is a stream, which says at its end what it cost.
    pub tells_cost: bool,
    /// What it moves between accounts, once it has ended.
    entry: Option<Entry>,
    /// The attempt that answers, or that ended the request.
    pub serving: Option<u32>,
    /// What the engine counted, where it did.
    pub spent: Option<Spent>,
    /// The record is final.
    closed: bool,
    /// The books have answered.
    settled: bool,
}

impl Flight {
    /// Opens a flight. It stands apart from the futures that hand it on, one within the other: each would have room for it,
    /// and all of that is moved when a request comes.
    pub fn new(gateway: Arc<Gateway>, opening: Opening, facts: Facts) -> Box<Self> {
        let Opening {
            id,
            arrived_at,
            endpoint,
            tenant,
            project,
            key,
            terms,
        } = opening;
        let record = UsageRecord {
            id,
            arrived_at,
            tenant,
            project,
            key,
            endpoint,
            model: None,
            site: None,
            replica: None,
            outcome: Outcome::ClientGone,
            // nginx's code for a client that closed the connection; nothing is sent with it.
            status: 499,
            error: None,
            streamed: false,
            attempts: 0,
            data_class: DataClass::default(),
            priority: Priority::default(),
            tokens: TokenUse::default(),
            bytes_in: 0,
            bytes_out: 0,
            queued_us: 0,
            first_token_us: None,
            per_token_us: None,
            total_us: 0,
            cost: None,
            energy: None,
            decision: None,
        };
        Box::new(Self {
            gateway,
            record,
            ticket: None,
            facts,
            sent: None,
            key_slot: None,
            terms,
            rate: None,
            queued: None,
            hold: None,
            rates: TokenRates::default(),
            own: false,
            metered: false,
            drafted: None,
            energy: None,
            has_token: false,
            tells_cost: false,
            entry: None,
            serving: None,
            spent: None,
            closed: false,
            settled: false,
        })
    }

    /// Bytes of the answer on their way to the client.
    pub fn sent(&mut self, bytes: &[u8]) {
        self.sent.get_or_insert_default().update(bytes);
        self.record.bytes_out += u64::try_from(bytes.len()).unwrap_or_default();
    }

    /// Microseconds since the request arrived.
    pub fn elapsed_us(&self) -> u64 {
        clock::now().since_us(self.record.arrived_at)
    }

    /// Frees the slot and writes the record; it outlives the process when this returns `Ok`.
    ///
    /// # Errors
    /// The books cannot be written: the caller must not let the last byte of an answer leave.
    pub async fn settle(
        &mut self,
        outcome: Outcome,
        status: u16,
        error: Option<ErrorCode>,
    ) -> Result<(), StoreError> {
        self.close(outcome, status, error);
        // A client that leaves during this wait drops it, and with it perhaps the write: `drop` hands it over again.
        let result = self.gateway.books.settle(self.settlement()).await;
        self.settled = true;
        if let Err(error) = &result {
            tracing::error!(request = %self.record.id, %error, "a record was not written");
        }
        result
    }

    /// What a stream says of its cost, once that is known.
    pub fn cost_comment(&self) -> Option<String> {
        let cost = self.record.cost.filter(|_| self.tells_cost)?;
        Some(format!(": {}: {}\n\n", headers::COST, decimal_text(cost.0)))
    }

    fn settlement(&self) -> Settlement {
        Settlement {
            record: self.record.clone(),
            entry: self.entry.clone(),
        }
    }

    /// Takes what the request cost from what was set aside for it; `None` where it used nothing.
    fn pay(&self, hold: Hold) -> Option<(Arc<Holder>, Settled)> {
        let tokens = &self.record.tokens;
        if *tokens == TokenUse::default() {
            return None;
        }
        Some(hold.settle((tokens, &self.rates)))
    }

    /// It is served there from now on, at the prices of there and of when it came. What it uses is written down, for the case that
    /// this process dies.
    pub(super) fn serve_at(&mut self, target: &Target, (start, prompt_tokens): (&Start, u64)) {
        self.own = target.own;
        self.metered = self.gateway.purses.is_metered();
        if self.hold.is_some() {
            let card = self.gateway.purses.card();
            // Where it has no price, as where policy sends it to a model that nobody foresaw, the dearest of those that were counts.
            if let Ok(rates) = card.rates(&start.model, &start.site, self.record.arrived_at) {
                self.rates = rates;
            }
        }
        let paid = self.hold.as_ref().map(|hold| {
            let (holder, parts) = hold.backing();
            (self.rates, holder, parts)
        });
        // An answer that comes as a whole does not tell when its prompt was computed: most of its time makes tokens.
        let phase = match self.record.streamed {
            true => WorkPhase::Prompt,
            false => WorkPhase::Tokens,
        };
        let payer = caller_of(&self.record);
        let begun = self.gateway.energy.begin(&start.replica, payer, phase);
        self.energy = begun.map(Arc::new);
        self.has_token = false;
        let draft = Draft {
            energy: self.energy.clone(),
            record: self.record.clone(),
            prompt_tokens,
            own: self.own,
            metered: self.metered,
            paid,
        };
        self.drafted = Some(self.gateway.drafts.open(draft));
    }

    /// So many tokens have been made.
    pub(super) fn made(&mut self, output_tokens: u64) {
        if output_tokens > 0
            && !std::mem::replace(&mut self.has_token, true)
            && let Some(running) = &self.energy
        {
            running.first_token();
        }
        if let Some(drafted) = &self.drafted {
            drafted.made(output_tokens);
        }
    }

    fn close(&mut self, outcome: Outcome, status: u16, error: Option<ErrorCode>) {
        self.closed = true;
        self.record.outcome = outcome;
        self.record.status = status;
        self.record.error = error;
        self.record.total_us = self.elapsed_us();
        self.key_slot = None;
        if let Some(hold) = self.rate.take() {
            rate::settle(&self.gateway, &hold, &self.record);
        }
        self.drafted = None;
        let running = self.energy.take();
        self.record.energy = running.and_then(|running| running.so_far());
        let paid = self.hold.take().and_then(|hold| self.pay(hold));
        self.record.cost = paid.as_ref().map(|(_, settled)| settled.cost);
        let paid = paid.as_ref().map(|(holder, settled)| (&**holder, settled));
        let entry = || entry_of(&self.record, self.own, paid);
        self.entry = self.metered.then(entry).flatten();
        if let Some(comment) = self.cost_comment() {
            self.sent(comment.as_bytes());
        }
        // Dropping a ticket cancels the request wherever it stands: waiting, or at several attempts.
        if let Some(mut ticket) = self.ticket.take()
            && let Some(attempt) = self.serving
            && outcome != Outcome::ClientGone
        {
            ticket.end(attempt, attempt_end(outcome, error), self.spent);
        }
        self.gateway.metrics.request_end(&self.record);
        if self.record.attempts > 0 {
            let digest = self.sent.get_or_insert_default().finalize();
            self.gateway.audit.end(&self.record, digest.as_bytes());
        }
        let UsageRecord {
            id,
            tenant,
            endpoint,
            model,
            replica,
            total_us,
            ..
        } = &self.record;
        tracing::info!(
            request = %id,
            %tenant,
            %endpoint,
            model = model.as_ref().map(tracing::field::display),
            replica = replica.as_ref().map(tracing::field::display),
            %outcome,
            status,
            error = error.map(tracing::field::display),
            total_ms = total_us / 1000,
            "request ended"
        );
    }
}

/// What the end of a request says about the replica that served it. What a caller can bring about by its own request
/// (an answer longer than its time or its size), and what Madang ends itself, says nothing: no caller may eject a replica
/// for the others.
fn attempt_end(outcome: Outcome, error: Option<ErrorCode>) -> AttemptEnd {
    match (outcome, error) {
        (
            _,
            Some(
                ErrorCode::RequestTimeout
                | ErrorCode::AnswerTooLarge
                | ErrorCode::EngineFirstByteTimeout
                | ErrorCode::Draining,
            ),
        )
        | (Outcome::Refused | Outcome::ClientGone, _) => AttemptEnd::Abandoned,
        (Outcome::EngineFailed | Outcome::EngineCut | Outcome::TimedOut, _) => {
            AttemptEnd::FailedFinal
        }
        (Outcome::Finished | Outcome::EngineRefused, _) => AttemptEnd::Done,
        // What a later process says of an earlier one's requests: nothing ends so while it runs.
        (Outcome::Orphaned, _) => AttemptEnd::Abandoned,
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.closed {
            self.close(Outcome::ClientGone, 499, None);
        }
        if !self.settled {
            // The same id twice is one record.
            self.gateway.books.settle_later(self.settlement());
        }
    }
}
