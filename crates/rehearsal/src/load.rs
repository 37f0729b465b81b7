//! The noisy-neighbour experiment over real sockets: the same arrivals and sizes as on the virtual clock, sent to a running
//! gateway by streaming clients that do not wait for each other.

use crate::clock::ScaledClock;
use crate::report::{LoadReport, LoadSide};
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use madang_twin::experiment::crowd::Sizes;
use madang_twin::experiment::noisy::{Crowd, FLOOD_NS, Flood, TENANTS, WARM_NS};
use madang_twin::trace::TraceError;
use madang_twin::world::{Ask, Clients};
use madang_types::NameError;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

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
    /// Real seconds after the last arrival until the last first token of a steady tenant.
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
    let sizes = Sizes::azure()?;
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
    /// Its first token came.
    heard: bool,
    end: End,
}

/// A first token came.
struct First {
    label: u64,
    asked_ns: u64,
    at: Instant,
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
        sizes: &Sizes,
        floods: &[Flood],
    ) -> Result<LoadSide, LoadError> {
        let clock = ScaledClock::new(self.options.speed);
        let at = |ns: u64| clock.instant_of(ns.saturating_sub(self.options.from_ns));
        // One word of each request at most.
        let (sender, firsts) = mpsc::unbounded_channel();
        let window = Arc::new(Window {
            from: at(WARM_NS),
            until: at(self.options.until_ns),
            tokens: AtomicU64::new(0),
            firsts: sender,
        });
        let mut run = Side {
            crowd: Crowd::new(self.options.seed, sizes, floods)?,
            clock,
            from_ns: self.options.from_ns,
            tenants_waiting: 0,
            open: JoinSet::new(),
            firsts,
            result: LoadSide::default(),
        };
        let until_ns = self.options.until_ns;
        while let Some(ask) = run.crowd.next().filter(|ask| ask.at_ns < until_ns) {
            if ask.at_ns < self.options.from_ns {
                continue;
            }
            let due = at(ask.at_ns);
            sleep_until(due).await;
            run.take();
            if run.open.len() >= self.options.requests_max {
                run.result.not_sent += 1;
                continue;
            }
            run.result.lag_ms_max = run.result.lag_ms_max.max(due.elapsed().as_secs_f64() * 1e3);
            run.result.sent += 1;
            run.tenants_waiting += i64::from(ask.label < TENANTS);
            let request = self.request(name, run.result.sent, &ask);
            let asked = (ask, Arc::clone(&window));
            run.open.spawn(send(self.client.clone(), request, asked));
        }
        run.drain(Duration::from_secs(self.options.drain_s_max))
            .await;
        let window_s = (until_ns.saturating_sub(WARM_NS)) as f64 / 1e9;
        run.result.total_tokens = window.tokens.load(Ordering::Relaxed);
        run.result.tokens_per_second = run.result.total_tokens as f64 / window_s.max(1e-9);
        run.result.ttft = run.crowd.ttft();
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
    /// Requests of steady tenants without a first token and without an end.
    tenants_waiting: i64,
    open: JoinSet<Sent>,
    firsts: mpsc::UnboundedReceiver<First>,
    result: LoadSide,
}

impl Side {
    /// What has come by now.
    fn take(&mut self) {
        while let Ok(first) = self.firsts.try_recv() {
            self.heard(&first);
        }
        while let Some(Ok(sent)) = self.open.try_join_next() {
            self.ended(&sent);
        }
    }

    /// Waits for the first tokens of steady tenants, and gives up what is open then.
    async fn drain(&mut self, time_max: Duration) {
        let until = Instant::now() + time_max;
        while self.tenants_waiting > 0 {
            tokio::select! {
                Some(first) = self.firsts.recv() => self.heard(&first),
                Some(Ok(sent)) = self.open.join_next() => self.ended(&sent),
                () = sleep_until(until) => break,
                else => break,
            }
        }
        self.take();
        self.result.tenants_unserved += u64::try_from(self.tenants_waiting).unwrap_or(0);
        self.result.left_open = u64::try_from(self.open.len()).unwrap_or(u64::MAX);
        // Their connections close, and their sequences leave the engines.
        self.open.shutdown().await;
    }

    fn heard(&mut self, first: &First) {
        let at_ns = self.clock.ns_at(first.at) + self.from_ns;
        let asked_ns = first.asked_ns;
        self.crowd
            .first_token(first.label, at_ns.max(asked_ns), asked_ns);
        self.tenants_waiting -= i64::from(first.label < TENANTS);
    }

    fn ended(&mut self, sent: &Sent) {
        match sent.end {
            End::Finished => self.result.finished += 1,
            End::Refused => self.result.refused += 1,
            End::Failed => self.result.failed += 1,
        }
        if sent.label < TENANTS && !sent.heard {
            self.tenants_waiting -= 1;
            self.result.tenants_unserved += 1;
        }
    }
}

/// What all tenants get in the floods' time.
struct Window {
    from: Instant,
    until: Instant,
    tokens: AtomicU64,
    firsts: mpsc::UnboundedSender<First>,
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
        heard: false,
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
        if !sent.heard && contains(&data, b"data:") {
            let first = First {
                label: ask.label,
                asked_ns: ask.at_ns,
                at: Instant::now(),
            };
            // Nobody listens any more where the run is over.
            sent.heard = window.firsts.send(first).is_ok();
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
