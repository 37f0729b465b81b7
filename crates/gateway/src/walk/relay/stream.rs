//! Streamed answers: each event leaves when it came; the last one leaves once the record is written.

use super::Route;
use super::attempt::request_timeout;
use super::meter::Meter;
use super::notice::error_event;
use super::recode::Recoder;
use super::translate::Plan;
use crate::client::EngineBody;
use crate::driver::Turn;
use crate::purses::Hold;
use crate::refused::Refused;
use crate::walk::classify::Ask;
use crate::walk::flight::Flight;
use crate::walk::restore::RestoreStream;
use crate::walk::route;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt;
use madang_types::{ErrorCode, Outcome};
use madang_wire::error::engine_error;
use madang_wire::{AnswerKind, SseEvent, SseSplitter, usage};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// Bytes of one event. An event holds a token or a tool call; engines stay far below.
const EVENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Events with output that an engine may send after the last token that it was asked for.
const LAST_CHUNKS: u64 = 16;

/// A stream whose first bytes have come.
pub(super) struct StreamAnswer {
    headers: HeaderMap,
    pipe: Pipe,
    incoming: EngineBody,
    first: Option<Bytes>,
    idle_ms_max: u64,
    request_ms_max: u64,
    bytes_max: u64,
    deadline: Instant,
}

/// From the engine's events to the caller's.
struct Pipe {
    kind: AnswerKind,
    /// What the caller speaks: its error events have another shape.
    caller_kind: AnswerKind,
    strip_usage: bool,
    splitter: SseSplitter,
    events: Vec<SseEvent>,
    recode: Recoder,
    meter: Meter,
    restore: Option<RestoreStream>,
    /// Events ready to leave.
    ready: VecDeque<Bytes>,
    /// How the engine ended it, and the event that must wait for the record.
    end: Option<(End, Option<Bytes>)>,
}

/// How a stream ended.
enum End {
    Finished,
    /// The engine itself said that it failed.
    EngineError,
    Broken(Refused),
}

impl StreamAnswer {
    pub fn new(
        (plan, meter): (Plan, Meter),
        (incoming, first): (EngineBody, Bytes),
        (ask, route): (&Ask, &Route),
        headers: HeaderMap,
    ) -> Self {
        let mut ready = VecDeque::new();
        let restore = plan.restore.as_ref();
        let restore = restore.map(|restore| restore.stream(plan.kind));
        let pipe = Pipe {
            kind: plan.kind,
            caller_kind: crate::walk::classify::answer_kind(ask.endpoint),
            strip_usage: plan.strip_usage,
            recode: Recoder::new(plan, route, &mut ready),
            splitter: SseSplitter::new(EVENT_BYTES_MAX),
            events: Vec::new(),
            restore,
            meter,
            ready,
            end: None,
        };
        let limits = &ask.snapshot.fleet.limits;
        Self {
            headers,
            pipe,
            incoming,
            first: Some(first),
            idle_ms_max: limits.stream_idle_ms_max,
            request_ms_max: limits.request_ms_max,
            bytes_max: limits.stream_bytes_max,
            deadline: route.deadline,
        }
    }

    /// The response whose body is pulled as the client reads; dropping it closes the engine's connection.
    pub fn send(mut self: Box<Self>, flight: Box<Flight>) -> Response {
        let headers = std::mem::take(&mut self.headers);
        let relay = self.relay(flight);
        let body = futures_util::stream::unfold(relay, |mut relay| async move {
            let event = relay.next().await?;
            Some((Ok::<Bytes, Infallible>(event), relay))
        });
        let mut response = Response::new(Body::from_stream(body));
        *response.headers_mut() = headers;
        response
    }

    /// Its events, for a caller whose head has been sent.
    pub fn relay(self: Box<Self>, flight: Box<Flight>) -> Relay {
        Relay {
            answer: self,
            cut: flight.gateway.cut_watch(),
            flight,
            over: false,
        }
    }

    /// The next bytes from the engine, or how it ended.
    async fn read(&mut self) -> Result<Bytes, Refused> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        let now = Instant::now();
        // A timeout asks its future first: bytes that are always there already would keep a stream alive for ever.
        if now >= self.deadline {
            return Err(request_timeout(self.request_ms_max));
        }
        let idle_until = now + Duration::from_millis(self.idle_ms_max);
        match timeout_at(idle_until.min(self.deadline), self.incoming.frame()).await {
            Ok(Some(Ok(frame))) => Ok(frame.into_data().unwrap_or_default()),
            Ok(Some(Err(_)) | None) => {
                let message = "the engine broke off in the middle of the stream";
                Err(Refused::new(ErrorCode::EngineCut, message))
            }
            Err(_) if Instant::now() >= self.deadline => Err(request_timeout(self.request_ms_max)),
            Err(_) => {
                let message = format!(
                    "no byte came within limits.stream_idle_ms_max = {} ms",
                    self.idle_ms_max
                );
                Err(Refused::new(ErrorCode::EngineIdleTimeout, message))
            }
        }
    }
}

impl Pipe {
    /// Takes bytes from the engine.
    fn push(&mut self, bytes: Bytes, elapsed_us: u64) {
        let mut events = std::mem::take(&mut self.events);
        let split = self.splitter.push(bytes, &mut events);
        for event in events.drain(..) {
            self.restored(event, elapsed_us);
        }
        self.events = events;
        if let Err(error) = split
            && self.end.is_none()
        {
            self.broken(&error.to_string());
        }
    }

    /// What the engine sent is not what its protocol promises.
    fn broken(&mut self, why: &str) {
        let message = format!("the engine's stream is not sound: {why}");
        let refused = Refused::new(ErrorCode::EngineAnswerInvalid, message);
        self.end = Some((End::Broken(refused), None));
    }

    /// Puts values back where a masked request's answer has placeholders.
    fn restored(&mut self, event: SseEvent, elapsed_us: u64) {
        let data = event.data().filter(|data| data.starts_with(b"{"));
        let (Some(restore), Some(data)) = (&mut self.restore, data) else {
            return self.event_unless_ended(event, elapsed_us);
        };
        let mut out = Vec::new();
        restore.event(&data, &mut out);
        for data in out {
            self.event_unless_ended(event.with_data(&data), elapsed_us);
        }
    }

    fn event_unless_ended(&mut self, event: SseEvent, elapsed_us: u64) {
        if self.end.is_none() {
            self.event(event, elapsed_us);
        }
    }

    fn event(&mut self, event: SseEvent, elapsed_us: u64) {
        if event.is_done() {
            return self.finish(event.raw);
        }
        let named_error = event.event_name() == Some("error");
        let Some(data) = event.data().filter(|data| !data.is_empty()) else {
            if named_error {
                self.end = Some(engine_failed(b""));
                return;
            }
            // A comment: engines send them to keep connections open. A mapped stream makes its own.
            if !self.recode.maps() {
                self.ready.push_back(event.raw);
            }
            return;
        };
        if named_error && !usage::from_event(self.kind, &data).error {
            // The SDKs see no error in it, and would take what came for the whole answer.
            self.end = Some(engine_failed(&data));
            return;
        }
        if !looks_like_an_object(&data) {
            return self.broken("an event is no JSON object");
        }
        let facts = usage::from_event(self.kind, &data);
        self.meter.event(&facts, elapsed_us);
        if facts.error {
            self.end = Some(self.engine_error(&data, &event));
            return;
        }
        if facts.finished && matches!(self.kind, AnswerKind::Responses | AnswerKind::Messages) {
            drop(data);
            return self.finish(event.raw);
        }
        // A mapped stream reads the usage chunk itself, for its own last event.
        if facts.only_usage && self.strip_usage && !self.recode.reads_usage() {
            return;
        }
        if self.recode.is_plain() {
            drop(data);
            self.ready.push_back(event.raw);
        } else if let Err(why) = self.recode.push(data.into_owned(), &mut self.ready) {
            self.broken(why);
        }
    }

    /// The engine said that it failed: its own words, in the caller's protocol.
    fn engine_error(&self, data: &[u8], event: &SseEvent) -> (End, Option<Bytes>) {
        if !self.recode.maps() {
            return (End::EngineError, Some(event.raw.clone()));
        }
        engine_failed(data)
    }

    /// The engine's last event came; `raw`, or what ends the caller's stream, leaves after the record is written.
    fn finish(&mut self, raw: Bytes) {
        match self.recode.finish(raw, &mut self.ready) {
            Ok(last) => self.end = Some((End::Finished, Some(last))),
            Err(why) => self.broken(why),
        }
    }
}

/// The engine said that it failed, in a shape that its caller does not know: an error of ours, with what it said, which is the caller's
/// alone to read.
fn engine_failed(data: &[u8]) -> (End, Option<Bytes>) {
    let said = engine_error(data).map(|error| error.message);
    let message = match said.filter(|said| !said.is_empty()) {
        Some(said) => format!("the engine failed: {said}"),
        None => "the engine failed, and did not say why".into(),
    };
    let refused = Refused::new(ErrorCode::EngineCut, message).quoting();
    (End::Broken(refused), None)
}

/// Whether an event's data has the bounds of an object. Its inside is the caller's to read: some engines write numbers
/// there that JSON lacks.
fn looks_like_an_object(data: &[u8]) -> bool {
    let data = data.trim_ascii();
    data.starts_with(b"{") && data.ends_with(b"}")
}

/// A stream on its way to the client. Dropping it early books what was streamed as a client that left.
pub(super) struct Relay {
    answer: Box<StreamAnswer>,
    flight: Box<Flight>,
    cut: watch::Receiver<bool>,
    over: bool,
}

impl Relay {
    /// The next event for the client; `None` after the last.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.answer.pipe.ready.pop_front() {
                if !self.over {
                    self.flight.sent(&event);
                }
                return Some(event);
            }
            if self.over {
                return None;
            }
            if let Some((end, last)) = self.answer.pipe.end.take() {
                self.over = true;
                let event = self.close(end, last).await;
                self.answer.pipe.ready.push_back(event);
                continue;
            }
            let read = tokio::select! {
                biased;
                refused = stopped(&mut self.flight) => Err(refused),
                () = cut(&mut self.cut) => Err(Refused::new(
                    ErrorCode::Draining,
                    "Madang stopped, and the stream was longer than limits.drain_ms_max",
                )),
                read = self.answer.read() => read,
            };
            match read {
                Ok(bytes) => {
                    let elapsed_us = self.flight.elapsed_us();
                    self.answer.pipe.push(bytes, elapsed_us);
                    self.tell_progress(elapsed_us);
                    self.bound_length();
                }
                Err(refused) => self.answer.pipe.end = Some((End::Broken(refused), None)),
            }
        }
    }

    fn tell_progress(&mut self, elapsed_us: u64) {
        if let Some(tokens) = self.answer.pipe.meter.progress(elapsed_us)
            && let Some(ticket) = &self.flight.ticket
        {
            ticket.progress(tokens);
        }
        let made = self.answer.pipe.meter.output_tokens();
        self.flight.made(made);
    }

    /// An engine that never ends is ended here, and one that makes more than was set aside.
    fn bound_length(&mut self) {
        let made = self.answer.pipe.meter.output_tokens_min();
        let max = self.flight.hold.as_ref().map(Hold::output_tokens_max);
        // Some engines send a last piece beyond the bound, in which is what they held back.
        let far_over = max.is_some_and(|max| made > max.saturating_add(LAST_CHUNKS));
        if far_over && self.answer.pipe.end.is_none() {
            let message = format!("the engine made {made} tokens, and was asked for fewer");
            let refused = Refused::new(ErrorCode::EngineAnswerInvalid, message);
            self.answer.pipe.end = Some((End::Broken(refused), None));
        }
        let bytes_max = self.answer.bytes_max;
        if self.flight.record.bytes_out > bytes_max && self.answer.pipe.end.is_none() {
            let message = format!("the stream passed limits.stream_bytes_max = {bytes_max} bytes");
            let refused = Refused::new(ErrorCode::AnswerTooLarge, message);
            self.answer.pipe.end = Some((End::Broken(refused), None));
        }
    }

    /// Books the stream; returns the event that may leave then.
    async fn close(&mut self, end: End, last: Option<Bytes>) -> Bytes {
        self.answer.pipe.meter.write(&mut self.flight);
        let (outcome, code, last) = match end {
            End::Finished => (Outcome::Finished, None, last.unwrap_or_default()),
            End::EngineError => {
                self.tell(ErrorCode::EngineCut, "the engine ended it with an error");
                let code = Some(ErrorCode::EngineCut);
                (Outcome::EngineCut, code, last.unwrap_or_default())
            }
            End::Broken(refused) => {
                self.tell(refused.code, refused.reason());
                let last = self.error_event(&refused);
                (broken_outcome(refused.code), Some(refused.code), last)
            }
        };
        self.flight.sent(&last);
        self.flight.tells_cost = true;
        let booked = self.flight.settle(outcome, 200, code).await;
        // An error says all there is to say, booked or not.
        if booked.is_ok() || outcome != Outcome::Finished {
            return self.with_cost(last);
        }
        let message = "the answer cannot be recorded, so it is not completed";
        let refused = Refused::new(ErrorCode::StoreUnavailable, message);
        self.error_event(&refused.retry_after_ms(Some(1_000)))
    }

    /// Why it did not come to its end: a stream that an engine breaks off is a failed attempt, one that Madang ends is none.
    fn tell(&self, code: ErrorCode, reason: &str) {
        let record = &self.flight.record;
        let what = match code {
            ErrorCode::Draining => "stream cut, as Madang stops",
            ErrorCode::PolicyDenied => "stream cut, as its place was stopped",
            ErrorCode::RequestTimeout | ErrorCode::AnswerTooLarge => "stream cut at a limit",
            _ => "attempt failed",
        };
        tracing::warn!(
            request = %record.id, replica = record.replica.as_ref().map(tracing::field::display),
            attempt = self.flight.serving, %code, reason, "{what}"
        );
    }

    /// The last event, and after it a comment with what the stream cost, where anything has a price. Clients skip comments.
    fn with_cost(&self, last: Bytes) -> Bytes {
        match self.flight.cost_comment() {
            Some(comment) => [&last, comment.as_bytes()].concat().into(),
            None => last,
        }
    }

    fn error_event(&self, refused: &Refused) -> Bytes {
        error_event(self.answer.pipe.caller_kind, refused, self.flight.record.id)
    }
}

fn broken_outcome(code: ErrorCode) -> Outcome {
    match code {
        ErrorCode::EngineIdleTimeout | ErrorCode::RequestTimeout | ErrorCode::Draining => {
            Outcome::TimedOut
        }
        ErrorCode::AnswerTooLarge => Outcome::EngineFailed,
        _ => Outcome::EngineCut,
    }
}

/// Returns once the place that answers is stopped.
async fn stopped(flight: &mut Flight) -> Refused {
    let Some(ticket) = &mut flight.ticket else {
        return std::future::pending().await;
    };
    loop {
        match ticket.turn().await {
            Turn::Cut { denial } => return route::stopped(&denial),
            Turn::Refuse { .. } => return std::future::pending().await,
            Turn::Start { .. } | Turn::CallOff { .. } | Turn::Queued(_) => {}
        }
    }
}

/// Returns once running streams must end.
async fn cut(asked: &mut watch::Receiver<bool>) {
    if asked.wait_for(|asked| *asked).await.is_err() {
        // The gateway is gone, and with it whoever could ask.
        std::future::pending().await
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if !self.over {
            self.answer.pipe.meter.write(&mut self.flight);
        }
    }
}
