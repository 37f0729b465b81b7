//! An answer on its way to the client, and what goes wrong with it.

use crate::answer::{DONE, Usage, Writer};
use crate::ask::Ask;
use crate::fault::Fault;
use crate::ticket::{Progress, Ticket};
use bytes::Bytes;
use futures_util::stream::unfold;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// Tokens in one write, where a client reads slowly.
const TOKENS_AT_ONCE: u64 = 64;
/// How much later a slow answer comes.
const SLOW_TIMES: u32 = 10;
/// Between two pieces of an answer without an end.
const ENDLESS_GAP: Duration = Duration::from_millis(20);

/// The connection is to be closed here and now.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the rehearsed engine closes the connection")]
pub(crate) struct Cut;

/// A body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, Cut>;

/// A body in one piece.
pub(crate) fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// What the answer to one request needs.
#[derive(Debug)]
pub(crate) struct Relay {
    pub ticket: Ticket,
    pub ask: Ask,
    pub writer: Writer,
    pub fault: Option<Fault>,
}

impl Relay {
    fn finish_reason(&self) -> &'static str {
        if self.ask.at_limit { "length" } else { "stop" }
    }

    /// What is told; `None` where nothing is.
    fn usage(&self, progress: &Progress) -> Option<Usage> {
        let mut usage = Usage {
            prompt_tokens: self.ask.prompt_tokens,
            output_tokens: self.ask.output_tokens,
            cached_tokens: progress.cached_tokens,
        };
        match self.fault {
            Some(Fault::NoUsage) => return None,
            Some(Fault::WrongUsage) => usage.output_tokens = 2 * usage.output_tokens + 1,
            _ => {}
        }
        Some(usage)
    }

    /// Tokens after which an answer breaks in its middle.
    fn middle(&self) -> u64 {
        (self.ask.output_tokens / 2).max(1)
    }

    /// When a slow answer's token at `index` is due: as much later after the request as [`SLOW_TIMES`] says.
    fn slow_due(&self, progress: &Progress, index: u64) -> Option<Instant> {
        let submitted = self.ticket.submitted_at;
        let (first, last) = (progress.first_at?, progress.last_at?);
        let steps = u32::try_from(progress.made.saturating_sub(1))
            .unwrap_or(u32::MAX)
            .max(1);
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let pace = (last - first) / steps;
        let after = (first - submitted).saturating_add(pace.saturating_mul(index));
        submitted.checked_add(after.saturating_mul(SLOW_TIMES))
    }

    /// The answer in one piece, when its last token is made. [`Cut`]: there is none.
    pub async fn whole(mut self) -> Result<Response<Body>, Cut> {
        let progress = self.ticket.finished().await.map_err(|_| Cut)?;
        if self.fault == Some(Fault::Slow)
            && let Some(due) = self.slow_due(&progress, self.ask.output_tokens)
        {
            sleep_until(due).await;
        }
        let text = self.writer.whole(
            self.ask.output_tokens,
            self.finish_reason(),
            self.usage(&progress),
        );
        let length = text.len();
        let half = |text: &str| Bytes::copy_from_slice(&text.as_bytes()[..length / 2]);
        let (body, claimed) = match self.fault {
            Some(Fault::CutBefore) => (then(Bytes::new(), Next::Cut), Some(length)),
            Some(Fault::CutMid) => (then(half(&text), Next::Cut), Some(length)),
            Some(Fault::StallMid) => (then(half(&text), Next::Stall), Some(length)),
            Some(Fault::WrongLength) => (then(text.into(), Next::End), Some(length + 100)),
            Some(Fault::Endless) => (then(text.into(), Next::More), None),
            Some(Fault::BadJson) => (full(half(&text)), None),
            _ => (full(text), None),
        };
        let mut response = head(body, "application/json");
        if let Some(claimed) = claimed {
            response
                .headers_mut()
                .insert(header::CONTENT_LENGTH, HeaderValue::from(claimed));
        }
        Ok(response)
    }

    /// The answer as a stream of events. Its head is sent at once, as vLLM does.
    pub fn events(self) -> Response<Body> {
        let claimed = (self.fault == Some(Fault::WrongLength)).then_some(1 << 20);
        let state = Events {
            relay: self,
            sent: 0,
            stage: Stage::Tokens,
        };
        let stream = unfold(Box::new(state), |mut state| async move {
            let item = state.next().await?;
            Some((item.map(Frame::data), state))
        });
        let mut response = head(
            StreamBody::new(stream).boxed_unsync(),
            "text/event-stream; charset=utf-8",
        );
        if let Some(claimed) = claimed {
            response
                .headers_mut()
                .insert(header::CONTENT_LENGTH, HeaderValue::from(claimed));
        }
        response
    }
}

fn head(body: Body, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// What follows a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Cut,
    Stall,
    /// The end, whatever the head said of the length.
    End,
    /// Spaces, as long as somebody reads them.
    More,
}

/// A body that sends a piece and then does what is told.
fn then(piece: Bytes, next: Next) -> Body {
    let stream = unfold(Some(piece), move |piece| async move {
        match (piece, next) {
            (Some(piece), _) => Some((Ok(Frame::data(piece)), None)),
            (None, Next::End) => {
                flushed().await;
                None
            }
            (None, Next::Stall) => std::future::pending().await,
            (None, Next::Cut) => {
                flushed().await;
                Some((Err(Cut), None))
            }
            (None, Next::More) => {
                sleep(ENDLESS_GAP).await;
                Some((Ok(Frame::data(Bytes::from_static(b" "))), None))
            }
        }
    });
    StreamBody::new(stream).boxed_unsync()
}

/// The server writes what it holds whenever the body has nothing: without this a cut would take the piece before it along.
async fn flushed() {
    tokio::task::yield_now().await;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Tokens,
    /// The next thing is a closed connection.
    Cut,
    Ended,
}

struct Events {
    relay: Relay,
    /// Tokens sent.
    sent: u64,
    stage: Stage,
}

impl Events {
    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Option<Result<Bytes, Cut>> {
        match self.stage {
            Stage::Ended => {
                if self.relay.fault == Some(Fault::WrongLength) {
                    flushed().await;
                }
                None
            }
            Stage::Cut => {
                flushed().await;
                self.stage = Stage::Ended;
                Some(Err(Cut))
            }
            Stage::Tokens => Some(self.tokens().await),
        }
    }

    /// The tokens that are made and not sent, and what ends the stream where they are the last.
    async fn tokens(&mut self) -> Result<Bytes, Cut> {
        let total = self.relay.ask.output_tokens;
        if self.sent >= total {
            return self.endless().await;
        }
        let progress = self.relay.ticket.beyond(self.sent).await.map_err(|_| Cut)?;
        let mut until = progress.made.min(self.sent + TOKENS_AT_ONCE).min(total);
        let middle = self.relay.middle();
        match self.relay.fault {
            Some(Fault::CutBefore) => return Err(Cut),
            Some(Fault::StallMid) if self.sent >= middle => return std::future::pending().await,
            Some(Fault::CutMid | Fault::StallMid) => until = until.min(middle),
            Some(Fault::Slow) => {
                if let Some(due) = self.relay.slow_due(&progress, self.sent) {
                    sleep_until(due).await;
                }
                until = self.sent + 1;
            }
            _ => {}
        }
        let mut out = String::new();
        let breaks =
            self.relay.fault == Some(Fault::BadJson) && (self.sent..until).contains(&(middle - 1));
        let endless = self.relay.fault == Some(Fault::Endless);
        for index in self.sent..until {
            let last = index + 1 == total && !endless;
            self.relay
                .writer
                .token(&mut out, index, last.then(|| self.relay.finish_reason()));
        }
        self.sent = until;
        if breaks {
            self.relay.writer.broken_event(&mut out);
        }
        if self.relay.fault == Some(Fault::CutMid) && until >= middle {
            self.stage = Stage::Cut;
        } else if until == total && !endless && self.relay.fault != Some(Fault::StallMid) {
            self.end(&mut out, &progress);
        }
        Ok(out.into())
    }

    fn end(&mut self, out: &mut String, progress: &Progress) {
        if self.relay.ask.include_usage
            && let Some(usage) = self.relay.usage(progress)
        {
            self.relay.writer.usage(out, usage);
        }
        out.push_str(DONE);
        self.stage = Stage::Ended;
    }

    /// Tokens that nobody asked for, on and on.
    async fn endless(&mut self) -> Result<Bytes, Cut> {
        if self.relay.fault != Some(Fault::Endless) {
            return std::future::pending().await;
        }
        sleep(ENDLESS_GAP).await;
        let mut out = String::new();
        self.relay.writer.token(&mut out, self.sent, None);
        self.sent += 1;
        Ok(out.into())
    }
}
