//! Streamed answers: each event leaves when it came; the last one leaves once the record is in durable hands.

use super::Route;
use super::attempt::request_timeout;
use super::meter::Meter;
use super::translate::Plan;
use super::whole::response_ids;
use crate::refused::{Refused, doc_page};
use crate::walk::classify::Ask;
use crate::walk::flight::Flight;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use madang_types::{ErrorCode, Outcome, UsageRecord};
use madang_wire::error::stream_error_event;
use madang_wire::responses::{ResponsesStream, StreamEnd};
use madang_wire::tools::RepairStream;
use madang_wire::{AnswerKind, SseEvent, SseSplitter, usage};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Bytes of one event. An event holds a token or a tool call; engines stay far below.
const EVENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A stream whose first bytes have come.
pub(super) struct StreamAnswer {
    headers: HeaderMap,
    pipe: Pipe,
    incoming: Incoming,
    first: Option<Bytes>,
    idle_ms_max: u64,
    request_ms_max: u64,
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
    repair: Option<RepairStream>,
    responses: Option<ResponsesStream>,
    meter: Meter,
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
        (incoming, first): (Incoming, Bytes),
        (ask, route): (&Ask, &Route),
        (record, headers): (&UsageRecord, HeaderMap),
    ) -> Self {
        let Plan {
            kind,
            strip_usage,
            repair,
            responses,
        } = plan;
        let id = record.id.to_string();
        let ids = response_ids(record);
        let pipe = Pipe {
            kind,
            caller_kind: crate::walk::classify::answer_kind(ask.endpoint),
            strip_usage,
            splitter: SseSplitter::new(EVENT_BYTES_MAX),
            events: Vec::new(),
            repair: repair.as_ref().map(|repair| RepairStream::new(repair, &id)),
            responses: responses.map(|echo| ResponsesStream::new(ids, echo)),
            meter,
            ready: VecDeque::new(),
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
            deadline: route.deadline,
        }
    }

    /// The response whose body is pulled as the client reads; dropping it closes the engine's connection.
    pub fn send(mut self: Box<Self>, flight: Flight) -> Response {
        let headers = std::mem::take(&mut self.headers);
        let relay = Relay {
            answer: self,
            flight,
            over: false,
        };
        let body = futures_util::stream::unfold(relay, |mut relay| async move {
            let event = relay.next().await?;
            Some((Ok::<Bytes, Infallible>(event), relay))
        });
        let mut response = Response::new(Body::from_stream(body));
        *response.headers_mut() = headers;
        response
    }

    /// The next bytes from the engine, or how it ended.
    async fn read(&mut self) -> Result<Bytes, Refused> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        let idle_until = Instant::now() + Duration::from_millis(self.idle_ms_max);
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
        if let Err(error) = self.splitter.push(bytes, &mut events) {
            let refused = Refused::new(
                ErrorCode::EngineAnswerInvalid,
                format!("the engine's stream is not sound: {error}"),
            );
            self.end.get_or_insert((End::Broken(refused), None));
        }
        for event in events.drain(..) {
            if self.end.is_none() {
                self.event(event, elapsed_us);
            }
        }
        self.events = events;
    }

    fn event(&mut self, event: SseEvent, elapsed_us: u64) {
        if event.is_done() {
            return self.finish(event.raw);
        }
        let Some(data) = event.data() else {
            // A comment: engines send them to keep connections open. A mapped stream makes its own.
            if self.responses.is_none() {
                self.ready.push_back(event.raw);
            }
            return;
        };
        let facts = usage::from_event(self.kind, &data);
        self.meter.event(&facts, elapsed_us);
        if facts.error {
            drop(data);
            self.end = Some((End::EngineError, Some(event.raw)));
            return;
        }
        if facts.finished && self.kind == AnswerKind::Responses {
            drop(data);
            return self.finish(event.raw);
        }
        // A mapped stream reads the usage chunk itself, for its own last event.
        if facts.only_usage && self.strip_usage && self.responses.is_none() {
            return;
        }
        match (&mut self.repair, &mut self.responses) {
            (None, None) => {
                drop(data);
                self.ready.push_back(event.raw);
            }
            (None, Some(responses)) => {
                let mut out = Vec::new();
                responses.push(&data, &mut out);
                self.ready.extend(out.into_iter().map(Bytes::from));
            }
            (Some(repair), _) => {
                let mut out = Vec::new();
                repair.push(&data, &mut out);
                self.repaired(out);
            }
        }
    }

    /// What the repair lets go: events of the caller, or input of the mapping.
    fn repaired(&mut self, chunks: Vec<Vec<u8>>) {
        let mut out = Vec::new();
        for chunk in chunks {
            match &mut self.responses {
                Some(responses) => responses.push(&chunk, &mut out),
                None => out.push([b"data: ", chunk.as_slice(), b"\n\n"].concat()),
            }
        }
        self.ready.extend(out.into_iter().map(Bytes::from));
    }

    /// The engine's last event came; `raw` leaves after the record is written.
    fn finish(&mut self, raw: Bytes) {
        self.flush_repair();
        let last = match &mut self.responses {
            None => raw,
            Some(responses) => {
                let mut out = Vec::new();
                responses.finish(StreamEnd::Completed, &mut out);
                let last = out.pop().map(Bytes::from).unwrap_or_default();
                self.ready.extend(out.into_iter().map(Bytes::from));
                last
            }
        };
        self.end = Some((End::Finished, Some(last)));
    }

    fn flush_repair(&mut self) {
        if let Some(repair) = &mut self.repair {
            let mut out = Vec::new();
            repair.finish(&mut out);
            self.repaired(out);
        }
    }
}

/// A stream on its way to the client. Dropping it early books what was streamed as a client that left.
struct Relay {
    answer: Box<StreamAnswer>,
    flight: Flight,
    over: bool,
}

impl Relay {
    /// The next event for the client; `None` after the last.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.answer.pipe.ready.pop_front() {
                self.flight.record.bytes_out += u64::try_from(event.len()).unwrap_or_default();
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
            match self.answer.read().await {
                Ok(bytes) => {
                    let elapsed_us = self.flight.elapsed_us();
                    self.answer.pipe.push(bytes, elapsed_us);
                }
                Err(refused) => self.answer.pipe.end = Some((End::Broken(refused), None)),
            }
        }
    }

    /// Books the stream; returns the event that may leave then.
    async fn close(&mut self, end: End, last: Option<Bytes>) -> Bytes {
        let last = last.unwrap_or_default();
        self.flight.record.bytes_out += u64::try_from(last.len()).unwrap_or_default();
        self.answer.pipe.meter.write(&mut self.flight.record);
        let (outcome, refused) = match end {
            End::Finished => (Outcome::Finished, None),
            End::EngineError => (Outcome::EngineCut, None),
            End::Broken(refused) => (broken_outcome(refused.code), Some(refused)),
        };
        let code = match outcome {
            Outcome::EngineCut => Some(refused.as_ref().map_or(ErrorCode::EngineCut, |r| r.code)),
            _ => refused.as_ref().map(|r| r.code),
        };
        let booked = self.flight.settle(outcome, 200, code).await;
        match (booked, refused) {
            (Ok(()), None) => last,
            (_, Some(refused)) => self.error_event(&refused),
            (Err(_), None) => {
                let message = "the answer cannot be recorded, so it is not completed";
                self.error_event(&Refused::new(ErrorCode::StoreUnavailable, message))
            }
        }
    }

    fn error_event(&mut self, refused: &Refused) -> Bytes {
        let id = self.flight.record.id.to_string();
        let doc = doc_page(refused.code);
        stream_error_event(self.answer.pipe.caller_kind, &refused.facts(&id, &doc))
    }
}

fn broken_outcome(code: ErrorCode) -> Outcome {
    match code {
        ErrorCode::EngineIdleTimeout | ErrorCode::RequestTimeout => Outcome::TimedOut,
        _ => Outcome::EngineCut,
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if !self.over {
            self.answer.pipe.meter.write(&mut self.flight.record);
        }
    }
}
