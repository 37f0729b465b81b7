//! An answer on its way from the engine's wire format to the caller's: Messages become chat, printed calls become tool
//! calls, chat becomes a response or a message. Whatever needs none of it passes byte for byte.

use super::Route;
use super::translate::{CallerForm, Plan};
use bytes::Bytes;
use madang_wire::AnswerKind;
use madang_wire::anthropic::door::{self, MessagesStream};
use madang_wire::anthropic::upstream::{self, ChatStream};
use madang_wire::responses::{self, Ids, ResponsesStream, StreamEnd};
use madang_wire::tools::{self, RepairStream};
use std::collections::VecDeque;

const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// The id of a mapped answer, made from the request's own.
fn answer_id(prefix: &str, route: &Route) -> String {
    let id = route.request.to_string();
    format!("{prefix}_{}", id.trim_start_matches("req_"))
}

fn created_at_s(route: &Route) -> u64 {
    u64::try_from(route.arrived_at.0 / 1_000_000).unwrap_or_default()
}

fn response_ids(route: &Route) -> Ids {
    Ids {
        response_id: answer_id("resp", route),
        created_at_s: created_at_s(route),
    }
}

/// Turns a whole answer into what the caller asked for.
///
/// # Errors
/// Why it cannot be, as the end of a sentence about the answer.
pub(super) fn whole(plan: &Plan, mut body: Bytes, route: &Route) -> Result<Bytes, String> {
    let unmapped = |error: &dyn std::fmt::Display| format!("cannot be mapped: {error}");
    if plan.decodes() {
        let completion = upstream::to_completion(&body, created_at_s(route));
        body = completion.map_err(|error| unmapped(&error))?.into();
    }
    if let Some(repair) = &plan.repair {
        body = tools::repair_answer(repair, &body, &route.request.to_string()).into();
    }
    match &plan.caller {
        CallerForm::AsAnswered | CallerForm::Chat { .. } => Ok(body),
        CallerForm::Response(echo) => responses::to_response(&body, &response_ids(route), echo)
            .map(Into::into)
            .map_err(|error| unmapped(&error)),
        CallerForm::Message { thinking } => {
            door::to_message(&body, &answer_id("msg", route), *thinking)
                .map(Into::into)
                .map_err(|error| unmapped(&error))
        }
    }
}

/// The same for a stream.
pub(super) struct Recoder {
    decode: Option<ChatStream>,
    repair: Option<RepairStream>,
    encode: Option<Encode>,
}

/// From chat to what the caller speaks.
enum Encode {
    Response(ResponsesStream),
    Message(MessagesStream),
}

impl Recoder {
    /// Takes over how the plan reads an answer; events that leave before the engine's first are put into `ready`.
    pub fn new(plan: Plan, route: &Route, ready: &mut VecDeque<Bytes>) -> Self {
        let decode = plan.decodes().then(|| {
            let counts = match plan.caller {
                CallerForm::Chat { include_usage } => include_usage,
                CallerForm::AsAnswered | CallerForm::Response(_) | CallerForm::Message { .. } => {
                    true
                }
            };
            ChatStream::new(created_at_s(route), counts)
        });
        let repair = plan
            .repair
            .map(|repair| RepairStream::new(&repair, &route.request.to_string()));
        let encode = match plan.caller {
            CallerForm::AsAnswered | CallerForm::Chat { .. } => None,
            CallerForm::Response(echo) => {
                let mut stream = ResponsesStream::new(response_ids(route), echo);
                let mut started = Vec::new();
                stream.start(&mut started);
                ready.extend(started.into_iter().map(Bytes::from));
                Some(Encode::Response(stream))
            }
            CallerForm::Message { thinking } => Some(Encode::Message(MessagesStream::new(
                answer_id("msg", route),
                thinking,
            ))),
        };
        Self {
            decode,
            repair,
            encode,
        }
    }

    /// Whether events leave as they came.
    pub fn is_plain(&self) -> bool {
        self.decode.is_none() && self.repair.is_none() && self.encode.is_none()
    }

    /// Whether the engine and the caller speak two wire formats: comments and errors of the one are none of the other's.
    pub fn maps(&self) -> bool {
        self.decode.is_some() || self.encode.is_some()
    }

    /// Whether the usage chunk is read for an event of ours.
    pub fn reads_usage(&self) -> bool {
        self.encode.is_some()
    }

    /// Takes the data of one event of the engine; what may leave is put into `ready`.
    ///
    /// # Errors
    /// Why the stream cannot be followed.
    pub fn push(&mut self, data: Vec<u8>, ready: &mut VecDeque<Bytes>) -> Result<(), &'static str> {
        let mut chunks = vec![data];
        if let Some(decode) = &mut self.decode {
            let data = std::mem::take(&mut chunks);
            data.iter().for_each(|data| decode.push(data, &mut chunks));
            decode.failure().map_or(Ok(()), Err)?;
        }
        if let Some(repair) = &mut self.repair {
            let data = std::mem::take(&mut chunks);
            data.iter().for_each(|data| repair.push(data, &mut chunks));
        }
        self.encode(&chunks, ready)
    }

    /// The engine's last event, `raw`, came. What may leave is put into `ready`; the event that ends the caller's stream
    /// comes back, since it waits for the record.
    ///
    /// # Errors
    /// Why the stream is not complete.
    pub fn finish(
        &mut self,
        mut raw: Bytes,
        ready: &mut VecDeque<Bytes>,
    ) -> Result<Bytes, &'static str> {
        let mut chunks = Vec::new();
        if let Some(decode) = &mut self.decode {
            decode.finish(&mut chunks);
            decode.failure().map_or(Ok(()), Err)?;
            raw = DONE;
        }
        if let Some(repair) = &mut self.repair {
            repair.finish(&mut chunks);
        }
        self.encode(&chunks, ready)?;
        let mut out = Vec::new();
        match &mut self.encode {
            None => return Ok(raw),
            Some(Encode::Response(stream)) => {
                stream.finish(StreamEnd::Completed, &mut out);
                if stream.is_failed() {
                    return Err("it ended before its answer did");
                }
            }
            Some(Encode::Message(stream)) => {
                stream.finish(&mut out);
                stream.failure().map_or(Ok(()), Err)?;
            }
        }
        let last = out.pop().map(Bytes::from).unwrap_or_default();
        ready.extend(out.into_iter().map(Bytes::from));
        Ok(last)
    }

    fn encode(
        &mut self,
        chunks: &[Vec<u8>],
        ready: &mut VecDeque<Bytes>,
    ) -> Result<(), &'static str> {
        let mut out = Vec::new();
        for chunk in chunks {
            match &mut self.encode {
                None => out.push([b"data: ", chunk.as_slice(), b"\n\n"].concat()),
                Some(Encode::Response(stream)) => stream.push(chunk, &mut out),
                Some(Encode::Message(stream)) => stream.push(chunk, &mut out),
            }
        }
        ready.extend(out.into_iter().map(Bytes::from));
        match &self.encode {
            Some(Encode::Response(stream)) if stream.is_failed() => {
                Err("it cannot be mapped to a response")
            }
            Some(Encode::Message(stream)) => stream.failure().map_or(Ok(()), Err),
            Some(Encode::Response(_)) | None => Ok(()),
        }
    }
}

impl Plan {
    /// Whether the engine's answer becomes chat first.
    fn decodes(&self) -> bool {
        self.kind == AnswerKind::Messages && !matches!(self.caller, CallerForm::AsAnswered)
    }
}
