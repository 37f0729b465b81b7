//! The noisy-neighbour experiment over real sockets: the same arrivals and sizes as on the virtual clock, sent to a running
//! gateway by streaming clients that do not wait for each other.

use crate::clock::ScaledClock;
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use madang_twin::experiment::noisy::{Crowd, FLOOD_NS, Flood, TENANTS, Ttft, WARM_NS};
use madang_twin::trace::{TraceError, TraceRow, azure_conversation};
use madang_twin::world::{Ask, Clients};
use madang_types::NameError;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

/// An idle connection is kept for so long.
const IDLE_TIME: Duration = Duration::from_secs(3);
/// Bytes of an answer's end that are looked at.
const TAIL_BYTES: usize = 64;

/// What is driven, and by whom.
#[derive(Clone, Debug)]
pub struct NoisyLiveOptions {
    /// The gateway's address without a path: `http://127.0.0.1:7080`.
    pub url: String,
    /// The model to ask for.
    pub model: String,
    /// One key for each steady tenant ([`TENANTS`]).
    pub tenant_keys: Vec<String>,
    /// One key for each flood.
    pub flood_keys: Vec<String>,
    /// The floods.
    pub floods: Vec<Flood>,
    /// Of the arrivals.
    pub seed: u64,
    /// How much faster than real the engines' time goes; arrivals follow.
    pub speed: f64,
    /// Arrivals from this model time on are sent, in nanoseconds; the floods begin at [`WARM_NS`].
    pub from_ns: u64,
    /// Arrivals before this model time are sent, in nanoseconds.
    pub until_ns: u64,
    /// Requests at once; what would be more is not sent, and counted.
    pub requests_max: usize,
    /// Real seconds after the last arrival until the last answer of a steady tenant.
    pub drain_s_max: u64,
}

impl NoisyLiveOptions {
    /// The whole experiment at that speed with the first seed; keys and floods are still to be filled in.
    pub fn new(url: &str, model: &str, speed: f64) -> Self {
        Self {
            url: url.to_owned(),
            model: model.to_owned(),
            tenant_keys: Vec::new(),
            flood_keys: Vec::new(),
            floods: Vec::new(),
            seed: 1,
            speed,
            from_ns: 0,
            until_ns: WARM_NS + FLOOD_NS,
            requests_max: 20_000,
            drain_s_max: 300,
        }
    }
}

/// What came of it. Times are the model's: measured ones multiplied by the speed.
#[derive(Clone, Debug, Serialize)]
pub struct LoadReport {
    /// The time scale.
    pub speed: f64,
    /// Of the arrivals.
    pub seed: u64,
    /// The floods.
    pub floods: Vec<Flood>,
    /// Nobody flooding.
    pub alone: LoadSide,
    /// The same arrivals beside the floods.
    pub flooded: LoadSide,
    /// p99 beside the floods ÷ p99 alone.
    pub inflation_p99: f64,
}

/// One of the two runs.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct LoadSide {
    /// Steady tenants' time from a request's due time to its first token.
    pub ttft: Ttft,
    /// Requests sent, floods included.
    pub sent: u64,
    /// Answered to the end.
    pub finished: u64,
    /// Answered with another status than 200.
    pub refused: u64,
    /// No answer, or one that broke off.
    pub failed: u64,
    /// Requests of steady tenants that were refused, failed, or had no end in time.
    pub tenants_unserved: u64,
    /// Not sent because too many were open.
    pub not_sent: u64,
    /// Still open when all steady tenants had their answers, or the time was over; given up.
    pub left_open: u64,
    /// Prompt tokens whose first token came in the floods' time, and output tokens that came in it, of all tenants.
    pub total_tokens: u64,
    /// The same a second of the model's time.
    pub tokens_per_second: f64,
    /// The longest time by which a request left late, in real milliseconds: what the load itself lacked.
    pub lag_ms_max: f64,
}

/// Why the experiment cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Keys are missing, or too many.
    #[error("{expected} keys are needed for the {whose}, {given} are given")]
    Keys {
        /// Tenants or floods.
        whose: &'static str,
        /// How many are needed.
        expected: usize,
        /// How many there are.
        given: usize,
    },
    /// The address is none.
    #[error("'{0}' is no address of a gateway: http://HOST:PORT")]
    Url(String),
    /// The time scale is none.
    #[error("the speed is above 0, not {0}")]
    Speed(f64),
    /// The built-in trace cannot be read.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// A name of ours is no name.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Runs both, alone and flooded, one after the other.
///
/// # Errors
/// The options cannot be used. What the gateway does is in the report.
pub async fn noisy_live(options: NoisyLiveOptions) -> Result<LoadReport, LoadError> {
    let tenants = usize::try_from(TENANTS).unwrap_or(usize::MAX);
    check_keys("steady tenants", tenants, &options.tenant_keys)?;
    check_keys("floods", options.floods.len(), &options.flood_keys)?;
    if !(options.speed > 0.0 && options.speed.is_finite()) {
        return Err(LoadError::Speed(options.speed));
    }
    let address: Uri = format!("{}/v1/chat/completions", options.url.trim_end_matches('/'))
        .parse()
        .ok()
        .filter(|address: &Uri| {
            address.scheme_str() == Some("http") && address.authority().is_some()
        })
        .ok_or_else(|| LoadError::Url(options.url.clone()))?;
    let sizes: Arc<[TraceRow]> = azure_conversation()?.into();
    let load = Load {
        client: client(),
        address,
        options,
    };
    let alone = load.side("alone", &sizes, &[]).await?;
    let flooded = load.side("flooded", &sizes, &load.options.floods).await?;
    Ok(LoadReport {
        speed: load.options.speed,
        seed: load.options.seed,
        inflation_p99: flooded.ttft.p99_ms / alone.ttft.p99_ms.max(1e-9),
        floods: load.options.floods,
        alone,
        flooded,
    })
}

fn check_keys(whose: &'static str, expected: usize, keys: &[String]) -> Result<(), LoadError> {
    let given = keys.len();
    if given == expected {
        Ok(())
    } else {
        Err(LoadError::Keys {
            whose,
            expected,
            given,
        })
    }
}

type HttpClient = Client<HttpConnector, Full<Bytes>>;

fn client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_idle_timeout(IDLE_TIME)
        .pool_timer(TokioTimer::new());
    builder.build(connector)
}

struct Load {
    client: HttpClient,
    address: Uri,
    options: NoisyLiveOptions,
}

/// How one request ended.
struct Sent {
    label: u64,
    asked_ns: u64,
    first_token_at: Option<Instant>,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Finished,
    Refused,
    Failed,
}

impl Load {
    async fn side(
        &self,
        name: &str,
        sizes: &Arc<[TraceRow]>,
        floods: &[Flood],
    ) -> Result<LoadSide, LoadError> {
        let mut run = Side {
            crowd: Crowd::new(self.options.seed, sizes, floods)?,
            clock: ScaledClock::new(self.options.speed),
            from_ns: self.options.from_ns,
            tenants_open: 0,
            result: LoadSide::default(),
        };
        let at = |ns: u64| {
            run.clock
                .instant_of(ns.saturating_sub(self.options.from_ns))
        };
        let window = Arc::new(Window {
            from: at(WARM_NS),
            until: at(self.options.until_ns),
            tokens: AtomicU64::new(0),
        });
        let mut open = JoinSet::new();
        while let Some(ask) = run
            .crowd
            .next()
            .filter(|ask| ask.at_ns < self.options.until_ns)
        {
            if ask.at_ns < self.options.from_ns {
                continue;
            }
            let due = run.clock.instant_of(ask.at_ns - self.options.from_ns);
            sleep_until(due).await;
            while let Some(Ok(sent)) = open.try_join_next() {
                run.ended(&sent);
            }
            if open.len() >= self.options.requests_max {
                run.result.not_sent += 1;
                continue;
            }
            run.result.lag_ms_max = run.result.lag_ms_max.max(due.elapsed().as_secs_f64() * 1e3);
            run.result.sent += 1;
            run.tenants_open += u64::from(ask.label < TENANTS);
            open.spawn(send(
                self.client.clone(),
                self.request(name, run.result.sent, &ask),
                (ask, Arc::clone(&window)),
            ));
        }
        let until = Instant::now() + Duration::from_secs(self.options.drain_s_max);
        while run.tenants_open > 0
            && let Ok(Some(joined)) = timeout_at(until, open.join_next()).await
        {
            if let Ok(sent) = joined {
                run.ended(&sent);
            }
        }
        run.result.tenants_unserved += run.tenants_open;
        run.result.left_open = u64::try_from(open.len()).unwrap_or(u64::MAX);
        // Their connections close, and their sequences leave the engines.
        open.shutdown().await;
        run.result.ttft = run.crowd.ttft();
        run.result.total_tokens = window.tokens.load(Ordering::Relaxed);
        let window_s = (self.options.until_ns.saturating_sub(WARM_NS)) as f64 / 1e9;
        run.result.tokens_per_second = run.result.total_tokens as f64 / window_s.max(1e-9);
        Ok(run.result)
    }

    fn request(&self, run: &str, number: u64, ask: &Ask) -> Request<Full<Bytes>> {
        let tenants = usize::try_from(TENANTS).unwrap_or(usize::MAX);
        let label = usize::try_from(ask.label).unwrap_or(usize::MAX);
        let key = match label.checked_sub(tenants) {
            Some(flood) => self.options.flood_keys.get(flood),
            None => self.options.tenant_keys.get(label),
        };
        let key = key.map_or("", String::as_str);
        let body = serde_json::json!({
            "model": self.options.model,
            "messages": [{ "role": "user", "content": content(run, number, ask.prompt_tokens) }],
            "stream": true,
            "max_tokens": ask.output_tokens_max,
            "x_output_tokens": ask.output_tokens,
        });
        let mut request = Request::new(Full::new(Bytes::from(body.to_string())));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.address.clone();
        let headers = request.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            http::HeaderValue::from_static("application/json"),
        );
        if let Ok(bearer) = http::HeaderValue::from_str(&format!("Bearer {key}")) {
            headers.insert(header::AUTHORIZATION, bearer);
        }
        request
    }
}

/// Four bytes a token, with a beginning that no other prompt has: nothing comes from a prefix cache.
fn content(run: &str, number: u64, tokens: u64) -> String {
    let length = usize::try_from(tokens.saturating_mul(4)).unwrap_or(4);
    let mut text = format!("{number} {run} ");
    while text.len() < length {
        text.push_str("the wind over the yard at noon is warm and still ");
    }
    text.truncate(length);
    text
}

/// One run under way.
struct Side {
    crowd: Crowd,
    clock: ScaledClock,
    from_ns: u64,
    /// Requests of steady tenants without an end.
    tenants_open: u64,
    result: LoadSide,
}

impl Side {
    fn ended(&mut self, sent: &Sent) {
        match sent.end {
            End::Finished => self.result.finished += 1,
            End::Refused => self.result.refused += 1,
            End::Failed => self.result.failed += 1,
        }
        if let Some(at) = sent.first_token_at {
            let at_ns = self.clock.ns_at(at) + self.from_ns;
            self.crowd
                .first_token(sent.label, at_ns.max(sent.asked_ns), sent.asked_ns);
        }
        if sent.label < TENANTS {
            self.tenants_open -= 1;
            self.result.tenants_unserved += u64::from(sent.end != End::Finished);
        }
    }
}

/// What all tenants get in the floods' time.
struct Window {
    from: Instant,
    until: Instant,
    tokens: AtomicU64,
}

impl Window {
    fn count(&self, tokens: u64) {
        if (self.from..self.until).contains(&Instant::now()) {
            self.tokens.fetch_add(tokens, Ordering::Relaxed);
        }
    }
}

async fn send(
    client: HttpClient,
    request: Request<Full<Bytes>>,
    (ask, window): (Ask, Arc<Window>),
) -> Sent {
    let mut sent = Sent {
        label: ask.label,
        asked_ns: ask.at_ns,
        first_token_at: None,
        end: End::Failed,
    };
    let Ok(response) = client.request(request).await else {
        return sent;
    };
    if response.status() != StatusCode::OK {
        sent.end = End::Refused;
        return sent;
    }
    let mut body = response.into_body();
    let mut tail = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else {
            continue;
        };
        tail.extend_from_slice(&data[data.len().saturating_sub(TAIL_BYTES)..]);
        if sent.first_token_at.is_none() && contains(&data, b"data:") {
            sent.first_token_at = Some(Instant::now());
            window.count(ask.prompt_tokens);
        }
        window.count(count(&data, b"\"content\":"));
        if contains(&tail, b"data: [DONE]") {
            sent.end = End::Finished;
        }
        tail.drain(..tail.len().saturating_sub(TAIL_BYTES));
    }
    sent
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

fn count(bytes: &[u8], what: &[u8]) -> u64 {
    let found = bytes.windows(what.len()).filter(|window| *window == what);
    u64::try_from(found.count()).unwrap_or(u64::MAX)
}

/// Whether a page answers with 200.
pub(crate) async fn answers(url: &str) -> bool {
    let Ok(address) = url.parse() else {
        return false;
    };
    let answer = client().get(address).await;
    answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, side) in [("alone", &self.alone), ("flooded", &self.flooded)] {
            let Ttft {
                p50_ms,
                p99_ms,
                worst_tenant_p99_ms,
                requests,
            } = side.ttft;
            writeln!(
                f,
                "{name:8} TTFT p50 {p50_ms:.0} ms, p99 {p99_ms:.0} ms, worst tenant's p99 {worst_tenant_p99_ms:.0} ms ({requests} requests of steady tenants)"
            )?;
            writeln!(
                f,
                "         {:.1}k tokens a second; sent {}, finished {}, refused {}, failed {}, not sent {}, left open {}, steady tenants' requests unserved {}; longest lag of the load {:.1} ms",
                side.tokens_per_second / 1e3,
                side.sent,
                side.finished,
                side.refused,
                side.failed,
                side.not_sent,
                side.left_open,
                side.tenants_unserved,
                side.lag_ms_max
            )?;
        }
        write!(
            f,
            "p99 beside the floods is {:.2} times that alone (model time; speed {})",
            self.inflation_p99, self.speed
        )
    }
}
