//! The one task that owns the model: it sleeps until an iteration ends, tells streams how far they are, and takes requests.

use crate::clock::ScaledClock;
use crate::metrics::Counters;
use crate::ticket::Progress;
use madang_twin::engine::{
    Cached, Engine, EngineEvent, EngineRequest, Meter, PowerProfile, Profile,
};
use std::collections::HashMap;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

/// Streams are told at most once in this time: iterations that fall into it are told together.
const TELL_GAP: Duration = Duration::from_millis(1);
/// Words taken from the channel at once.
const COMMANDS_AT_ONCE: usize = 1_024;

/// Words to the driver.
#[derive(Debug)]
pub(crate) enum Command {
    Submit(Submission),
    Cancel(u64),
    /// Asks for the metrics page.
    Metrics(oneshot::Sender<String>),
    /// So many watts at most, or without a limit.
    Limit(Option<u64>, oneshot::Sender<()>),
    /// Another process: all that it held is gone.
    Restart(oneshot::Sender<()>),
}

/// A request on its way into the model.
#[derive(Debug)]
pub(crate) struct Submission {
    pub request: EngineRequest,
    /// The answer ends because of the request's bound.
    pub at_limit: bool,
    pub progress: watch::Sender<Progress>,
}

struct Stream {
    progress: watch::Sender<Progress>,
    prompt_tokens: u64,
    output_tokens: u64,
    at_limit: bool,
    submitted_at: Instant,
    last: Progress,
}

impl Stream {
    /// So many tokens are made now.
    fn made(&mut self, now: Instant, made: u64, counters: &mut Counters) {
        let since = self.last.last_at.unwrap_or(now);
        counters.tokens(made.saturating_sub(self.last.made), now - since);
        self.last.made = made;
        self.last.last_at = Some(now);
    }
}

/// Owns the model.
pub(crate) struct Driver {
    engine: Engine,
    clock: ScaledClock,
    streams: HashMap<u64, Stream>,
    /// Those whose first token is made, in that order; some may have left.
    decoding: Vec<u64>,
    counters: Counters,
    meter: Meter,
    model: String,
    told_at: Instant,
    events: Vec<EngineEvent>,
}

impl Driver {
    pub fn new((profile, power): (Profile, PowerProfile), model: &str, speed: f64) -> Self {
        Self {
            // Each iteration by itself: its end is a wake, at which each stream has a token.
            engine: Engine::new(profile).stepwise(),
            clock: ScaledClock::new(speed),
            streams: HashMap::new(),
            decoding: Vec::new(),
            counters: Counters::new(SystemTime::now()),
            meter: Meter::new(power, speed),
            model: model.to_owned(),
            told_at: Instant::now(),
            events: Vec::new(),
        }
    }

    /// Runs until nobody can send it a word.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut taken = Vec::new();
        loop {
            let wake = self.wake_at();
            // Words come first: a model that cannot keep pace with its clock must still hear them.
            let closed = tokio::select! {
                biased;
                count = commands.recv_many(&mut taken, COMMANDS_AT_ONCE) => count == 0,
                () = sleep_until(wake.unwrap_or(self.told_at)), if wake.is_some() => false,
            };
            if closed {
                return;
            }
            let now = Instant::now();
            self.advance(now);
            for command in taken.drain(..) {
                self.take(now, command);
            }
        }
    }

    /// The end of the iteration, but not sooner after the last telling than [`TELL_GAP`].
    fn wake_at(&self) -> Option<Instant> {
        let end = self.clock.instant_of(self.engine.next_at_ns()?);
        Some(end.max(self.told_at + TELL_GAP))
    }

    fn advance(&mut self, now: Instant) {
        let now_ns = self.clock.ns_at(now);
        if self.engine.next_at_ns().is_none_or(|at| at > now_ns) {
            return;
        }
        let mut events = std::mem::take(&mut self.events);
        self.engine.advance(now_ns, &mut events);
        self.meter.look(now_ns, &self.engine);
        for event in events.drain(..) {
            match event {
                EngineEvent::FirstToken {
                    tag,
                    cached,
                    transfer_ns,
                } => {
                    self.first_token(now, tag, cached);
                    if let Some(transfer_ns) = transfer_ns {
                        let took = self.clock.on_wall(transfer_ns);
                        self.counters.transferred(took);
                    }
                }
                EngineEvent::Finished { tag } => self.finished(now, tag),
            }
        }
        self.events = events;
        if now >= self.told_at + TELL_GAP {
            self.tell(now, now_ns);
        }
    }

    fn first_token(&mut self, now: Instant, tag: u64, cached: Cached) {
        let Some(stream) = self.streams.get_mut(&tag) else {
            return;
        };
        stream.last = Progress {
            made: 1,
            cached_tokens: cached.tokens(),
            first_at: Some(now),
            last_at: Some(now),
            finished: false,
        };
        stream.progress.send_replace(stream.last);
        self.decoding.push(tag);
        self.counters
            .first_token(stream.prompt_tokens, cached, now - stream.submitted_at);
    }

    fn finished(&mut self, now: Instant, tag: u64) {
        let Some(mut stream) = self.streams.remove(&tag) else {
            return;
        };
        stream.made(now, stream.output_tokens, &mut self.counters);
        stream.last.finished = true;
        stream.progress.send_replace(stream.last);
        self.counters
            .finished(stream.at_limit, now - stream.submitted_at);
    }

    /// Tells each stream how far it is.
    fn tell(&mut self, now: Instant, now_ns: u64) {
        self.told_at = now;
        let Self {
            engine,
            streams,
            counters,
            decoding,
            ..
        } = self;
        decoding.retain(|tag| {
            let Some(stream) = streams.get_mut(tag) else {
                return false;
            };
            let made = engine.made(now_ns, *tag).unwrap_or(stream.last.made);
            if made > stream.last.made {
                stream.made(now, made, counters);
                stream.progress.send_replace(stream.last);
            }
            true
        });
    }

    fn take(&mut self, now: Instant, command: Command) {
        match command {
            Command::Submit(submission) => self.submit(now, submission),
            Command::Cancel(tag) => {
                if self.streams.remove(&tag).is_some() {
                    self.engine.cancel(self.clock.ns_at(now), tag);
                    self.counters.aborted();
                }
            }
            Command::Metrics(reply) => {
                let drawn = self.meter.read(self.clock.ns_at(now), &self.engine);
                let status = self.engine.status();
                let page = self.counters.page(&self.model, &status, drawn);
                // whoever asked may have left
                reply.send(page).unwrap_or_default();
            }
            Command::Limit(watts, reply) => {
                let stretch = self.meter.limit(watts);
                self.engine.stretch(self.clock.ns_at(now), stretch);
                reply.send(()).unwrap_or_default();
            }
            Command::Restart(reply) => {
                self.engine.restart(self.clock.ns_at(now));
                // Each answer sees its sender dropped, and closes its connection.
                self.streams.clear();
                self.decoding.clear();
                self.counters = Counters::new(SystemTime::now());
                reply.send(()).unwrap_or_default();
            }
        }
    }

    fn submit(&mut self, now: Instant, submission: Submission) {
        let Submission {
            request,
            at_limit,
            progress,
        } = submission;
        let stream = Stream {
            progress,
            prompt_tokens: request.prompt_tokens,
            output_tokens: request.output_tokens,
            at_limit,
            submitted_at: now,
            last: Progress::default(),
        };
        self.streams.insert(request.tag, stream);
        self.engine.submit(self.clock.ns_at(now), request);
    }
}
