//! The server: connections, paths, bounds; and the handle that stops it.

use crate::answer::{self, Writer};
use crate::ask::{self, Ask, BLOCK_TOKENS, Endpoint, Refusal};
use crate::driver::{Command, Driver, Submission};
use crate::fault::{FAULT_HEADER, Fault};
use crate::options::{Options, SPEED_MAX, SPEED_MIN};
use crate::relay::{Body, Cut, Relay, full};
use crate::ticket::{Progress, Ticket};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use madang_twin::engine::EngineRequest;
use madang_twin::random::Random;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};

/// Bytes of a request's body.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Headers of a request.
const HEADERS_MAX: usize = 100;
/// Silence between two requests of a connection, and the time of a head.
const HEAD_TIME_MAX: Duration = Duration::from_secs(75);
/// The time of a body.
const BODY_TIME_MAX: Duration = Duration::from_secs(60);
/// Room for words to the driver beside one of each request.
const COMMANDS_BESIDE: usize = 1_024;
/// After a refused accept, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Why it does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The time scale is out of range.
    #[error("the speed is {SPEED_MIN} to {SPEED_MAX}, not {0}")]
    Speed(f64),
}

/// A running engine. Dropping it stops it at once.
#[derive(Debug)]
pub struct Rehearsal {
    address: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

impl Rehearsal {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://HOST:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Closes all connections, and waits until they are closed.
    pub async fn stop(mut self) {
        for task in &mut self.tasks {
            task.abort();
            // it ends because it was told to
            task.await.unwrap_or_default();
        }
    }
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Begins to serve on the current runtime.
///
/// # Errors
/// The address is taken, or the speed is out of range.
pub async fn serve(options: Options) -> Result<Rehearsal, ServeError> {
    if !(SPEED_MIN..=SPEED_MAX).contains(&options.speed) {
        return Err(ServeError::Speed(options.speed));
    }
    let address = SocketAddr::new(options.host, options.port);
    let wrap = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(wrap)?;
    let address = listener.local_addr().map_err(wrap)?;
    let (sender, receiver) = mpsc::channel(options.requests_max + COMMANDS_BESIDE);
    let driver = Driver::new(
        (options.profile.clone(), options.power),
        options.model.as_str(),
        options.speed,
    );
    let shared = Arc::new(Shared {
        serves_at: Mutex::new(serves_at(&options)),
        requests: Arc::new(Semaphore::new(options.requests_max)),
        fault_random: Mutex::new(Random::new(options.seed, 1)),
        output_random: Mutex::new(Random::new(options.seed, 2)),
        tags: AtomicU64::new(1),
        commands: sender,
        options,
    });
    let tasks = [
        tokio::spawn(driver.run(receiver)),
        tokio::spawn(accept(listener, shared)),
    ];
    Ok(Rehearsal { address, tasks })
}

/// When an engine serves that is started now.
fn serves_at(options: &Options) -> Instant {
    Instant::now() + options.load.div_f64(options.speed)
}

struct Shared {
    options: Options,
    /// Until then its weights are read, and nobody is answered.
    serves_at: Mutex<Instant>,
    commands: mpsc::Sender<Command>,
    requests: Arc<Semaphore>,
    fault_random: Mutex<Random>,
    output_random: Mutex<Random>,
    tags: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(shared.options.connections_max));
    let mut connections = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        while connections.try_join_next().is_some() {}
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // More than the bound are closed.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            connection(stream, shared).await;
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Box::pin(route(request, shared)).await }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    // Cuts on request and clients that leave end here.
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn route(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Body>, Cut> {
    let path = request.uri().path();
    // An engine listens when its weights are read, and not before.
    if !path.starts_with("/rehearsal/") && Instant::now() < *lock(&shared.serves_at) {
        return Err(Cut);
    }
    let response = match (request.method(), path) {
        (&Method::POST, "/v1/chat/completions") => {
            answered(generate(request, &shared, Endpoint::Chat).await)?
        }
        (&Method::POST, "/v1/completions") => {
            answered(generate(request, &shared, Endpoint::Completions).await)?
        }
        (&Method::GET, "/v1/models") => json(StatusCode::OK, models(&shared.options)),
        (&Method::GET, "/health" | "/ping") => Response::new(full("")),
        (&Method::GET, "/metrics") if !shared.options.faults.no_metrics => {
            let page = ask_driver(&shared, Command::Metrics).await?;
            let mut response = Response::new(full(page));
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        (&Method::POST, "/rehearsal/restart") => {
            *lock(&shared.serves_at) = serves_at(&shared.options);
            ask_driver(&shared, Command::Restart).await?;
            json(StatusCode::OK, r#"{"restarted":true}"#.into())
        }
        (&Method::POST, "/rehearsal/power") => answered(limit(request, &shared).await)?,
        (
            _,
            "/v1/chat/completions"
            | "/v1/completions"
            | "/v1/models"
            | "/health"
            | "/rehearsal/power"
            | "/rehearsal/restart",
        ) => refused(&Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "Method Not Allowed",
        )),
        _ => refused(&Refusal::new(StatusCode::NOT_FOUND, "Not Found")),
    };
    Ok(response)
}

/// A refusal is an answer, too.
fn answered(result: Result<Response<Body>, Stop>) -> Result<Response<Body>, Cut> {
    match result {
        Ok(response) => Ok(response),
        Err(Stop::Refused(refusal)) => Ok(refused(&refusal)),
        Err(Stop::Cut) => Err(Cut),
    }
}

async fn ask_driver<T>(
    shared: &Shared,
    command: impl FnOnce(oneshot::Sender<T>) -> Command,
) -> Result<T, Cut> {
    let (reply, answer) = oneshot::channel();
    shared
        .commands
        .send(command(reply))
        .await
        .map_err(|_| Cut)?;
    answer.await.map_err(|_| Cut)
}

/// What the door of power takes.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    /// At most, in watts; `null` for no limit.
    limit_watts: Option<u64>,
}

/// Limits what the accelerators draw, as `nvidia-smi --power-limit` does.
async fn limit(request: Request<Incoming>, shared: &Shared) -> Result<Response<Body>, Stop> {
    let body = read_body(request.into_body()).await?;
    let wrong = |error| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            format!("a limit of power: {error}"),
        )
    };
    let Limit { limit_watts } = serde_json::from_slice(&body).map_err(wrong)?;
    ask_driver(shared, |reply| Command::Limit(limit_watts, reply)).await?;
    let told = serde_json::json!({ "limit_watts": limit_watts });
    Ok(json(StatusCode::OK, told.to_string()))
}

fn json(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

fn refused(refusal: &Refusal) -> Response<Body> {
    json(refusal.status, answer::error(refusal))
}

fn models(options: &Options) -> String {
    let data = serde_json::json!({
        "id": options.model.as_str(), "object": "model", "created": 1_700_000_000, "owned_by": "madang-rehearsal",
        "max_model_len": options.profile.request_tokens_max(),
    });
    serde_json::json!({ "object": "list", "data": [data] }).to_string()
}

/// Why there is no answer with tokens.
enum Stop {
    Refused(Refusal),
    Cut,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Cut> for Stop {
    fn from(_: Cut) -> Self {
        Self::Cut
    }
}

/// One request for tokens, from its head to its answer.
async fn generate(
    request: Request<Incoming>,
    shared: &Arc<Shared>,
    endpoint: Endpoint,
) -> Result<Response<Body>, Stop> {
    let (head, body) = request.into_parts();
    let body = read_body(body).await?;
    let ask = ask::read(endpoint, &body, &shared.options, drawn_length(shared))?;
    let fault = fault(&head.headers, &ask, shared)?;
    match fault {
        Some(Fault::Error500) => return Ok(broken(StatusCode::INTERNAL_SERVER_ERROR)),
        Some(Fault::Error503) => return Ok(broken(StatusCode::SERVICE_UNAVAILABLE)),
        Some(Fault::Error429) => return Ok(broken(StatusCode::TOO_MANY_REQUESTS)),
        Some(Fault::RefuseConnection) => return Err(Stop::Cut),
        Some(Fault::Stall) => return std::future::pending().await,
        _ => {}
    }
    let relay = submit(ask, shared, fault).await?;
    if relay.ask.stream {
        Ok(relay.events())
    } else {
        Ok(Box::pin(relay.whole()).await?)
    }
}

/// The fault of a request: its own, or one that is drawn.
fn fault(headers: &HeaderMap, ask: &Ask, shared: &Shared) -> Result<Option<Fault>, Refusal> {
    if let Some(asked) = headers.get(FAULT_HEADER) {
        return ask::fault(asked.to_str().unwrap_or_default()).map(Some);
    }
    if ask.fault.is_some() {
        return Ok(ask.fault);
    }
    let mut random = lock(&shared.fault_random);
    Ok(shared.options.faults.draw(&mut random))
}

async fn read_body(body: Incoming) -> Result<Bytes, Refusal> {
    let collected = timeout(BODY_TIME_MAX, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    match collected {
        Err(_) => Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not come in time",
        )),
        Ok(Err(_)) => Err(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is cut off or longer than {BODY_BYTES_MAX} bytes"),
        )),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
    }
}

fn broken(status: StatusCode) -> Response<Body> {
    let mut response = refused(&Refusal::new(status, "a rehearsed fault"));
    if status == StatusCode::TOO_MANY_REQUESTS {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Puts a request into the model.
async fn submit(ask: Ask, shared: &Arc<Shared>, fault: Option<Fault>) -> Result<Relay, Stop> {
    let place = Arc::clone(&shared.requests).try_acquire_owned();
    let place = place
        .map_err(|_| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many requests at once"))?;
    let cancel = shared
        .commands
        .clone()
        .reserve_owned()
        .await
        .map_err(|_| Cut)?;
    let tag = shared.tags.fetch_add(1, Ordering::Relaxed);
    let (progress, receiver) = watch::channel(Progress::default());
    let request = EngineRequest {
        tag,
        prompt_tokens: ask.prompt_tokens,
        output_tokens: ask.output_tokens,
        blocks: Arc::clone(&ask.blocks),
        block_tokens: BLOCK_TOKENS,
    };
    let submission = Submission {
        request,
        at_limit: ask.at_limit,
        progress,
    };
    let created = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let writer = Writer::new(&ask, tag, created, shared.options.model.as_str());
    shared
        .commands
        .send(Command::Submit(submission))
        .await
        .map_err(|_| Cut)?;
    let ticket = Ticket::new(tag, receiver, cancel, place);
    Ok(Relay {
        ticket,
        ask,
        writer,
        fault,
    })
}

/// The length of an answer where the engine draws it (exponential), in tokens.
fn drawn_length(shared: &Shared) -> Option<u64> {
    let mean = shared.options.output_tokens_mean?.max(1) as f64;
    let mut random = lock(&shared.output_random);
    // Gaps of events that come once in `mean` seconds, counted in seconds.
    Some(random.gap_ns(1.0 / mean).div_ceil(1_000_000_000))
}
