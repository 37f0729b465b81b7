//! One connection's requests, one after the other.

use super::ask::Door;
use super::behaviour::Behaviour;
use super::connection::{Connection, Framing, Gone};
use super::generate;
use super::metrics::{self, Counts};
use super::record::Recorded;
use super::{Shared, answer, lock};
use http::Method;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Keep,
    Close,
    Reset,
}

pub(crate) async fn serve(mut connection: Connection, shared: Arc<Shared>) {
    loop {
        let Ok(request) = connection.read_request().await else {
            return;
        };
        lock(&shared.requests).push(request.clone());
        let asks_close = request
            .headers
            .get("connection")
            .is_some_and(|v| v == "close");
        match Box::pin(respond(&mut connection, &shared, &request)).await {
            Ok(After::Keep) if !asks_close => {}
            Ok(After::Keep | After::Close) => return connection.close().await,
            Ok(After::Reset) => return connection.reset(),
            Err(Gone) => return,
        }
    }
}

async fn respond(
    connection: &mut Connection,
    shared: &Shared,
    request: &Recorded,
) -> Result<After, Gone> {
    let path = request.path.split('?').next().unwrap_or_default();
    let door = Door::of(path).filter(|_| request.method == Method::POST);
    let behaviour = match Behaviour::asked_for(&request.headers, &request.body) {
        Some(asked) => asked,
        None => lock(&shared.behaviour).clone(),
    };
    let options = &shared.options;
    let keyless = path.starts_with("/v1/")
        && options.key.is_some()
        && key_of(request, &options.engine) != options.key.as_deref();
    if keyless && !behaviour.is_of_the_process() {
        let body = answer::error(&options.engine, 401, "the key is wrong or missing");
        return send_plain(connection, &Plain::json(401, &body)).await;
    }
    if let Some(door) = door {
        return generate::generate(connection, shared, request, (door, behaviour)).await;
    }
    if behaviour.is_of_the_process() {
        return misbehave(connection, &behaviour).await;
    }
    send_plain(connection, &about(shared, &request.method, path)).await
}

fn key_of<'a>(request: &'a Recorded, engine: &str) -> Option<&'a str> {
    if engine == "anthropic" {
        return request.headers.get("x-api-key")?.to_str().ok();
    }
    request
        .headers
        .get("authorization")?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")
}

/// The behaviours that come before any answer.
pub(crate) async fn misbehave(
    connection: &mut Connection,
    behaviour: &Behaviour,
) -> Result<After, Gone> {
    match behaviour {
        Behaviour::Loading => {
            let body =
                r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#;
            send_plain(connection, &Plain::json(503, body)).await
        }
        Behaviour::StallBeforeHeaders => Err(connection.until_gone().await),
        Behaviour::Reset => Ok(After::Reset),
        _ => Ok(After::Close),
    }
}

/// An answer that makes no tokens.
pub(crate) struct Plain {
    pub(crate) status: u16,
    content_type: &'static str,
    pub(crate) body: String,
}

impl Plain {
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self {
            status,
            content_type: "application/json",
            body: body.to_owned(),
        }
    }
}

/// The pages about the engine itself.
fn about(shared: &Shared, method: &Method, path: &str) -> Plain {
    let options = &shared.options;
    let model = &options.model;
    match (method, path) {
        (&Method::GET, "/health") if options.engine == "llama.cpp" => {
            Plain::json(200, r#"{"status":"ok"}"#)
        }
        (&Method::GET, "/health" | "/health_generate") => Plain {
            status: 200,
            content_type: "text/plain",
            body: String::new(),
        },
        (&Method::GET, "/v1/models") => Plain::json(
            200,
            &format!(
                r#"{{"object":"list","data":[{{"id":"{model}","object":"model","created":1780000000,"owned_by":"{}","max_model_len":4096}}]}}"#,
                options.engine
            ),
        ),
        (&Method::GET, "/metrics") => match metrics::text(&options.engine, model, counts(shared)) {
            Some(body) => Plain {
                status: 200,
                content_type: "text/plain; version=0.0.4; charset=utf-8",
                body,
            },
            None => Plain::json(404, r#"{"detail":"Not Found"}"#),
        },
        _ => Plain::json(404, r#"{"detail":"Not Found"}"#),
    }
}

fn counts(shared: &Shared) -> Counts {
    Counts {
        running: shared.running.load(Ordering::SeqCst),
        waiting: shared.waiting.load(Ordering::SeqCst),
        prompt_tokens: shared.prompt_tokens.load(Ordering::SeqCst),
        output_tokens: shared.output_tokens.load(Ordering::SeqCst),
        slots: shared.options.slots as u64,
        started_s: shared.started_s.load(Ordering::SeqCst),
    }
}

pub(crate) async fn send_plain(connection: &mut Connection, plain: &Plain) -> Result<After, Gone> {
    let framing = Framing::Length(plain.body.len() as u64);
    let mut bytes = head(plain.status, plain.content_type, framing);
    bytes.push_str(&plain.body);
    connection.write(bytes.as_bytes()).await?;
    Ok(After::Keep)
}

/// Status line and headers.
pub(crate) fn head(status: u16, content_type: &str, framing: Framing) -> String {
    let reason = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|s| s.canonical_reason())
        .unwrap_or("Odd");
    let end = match framing {
        Framing::Length(length) => format!("content-length: {length}"),
        Framing::Chunked => "transfer-encoding: chunked".to_owned(),
    };
    format!(
        "HTTP/1.1 {status} {reason}\r\nserver: fake-engine\r\ncontent-type: {content_type}\r\nx-engine-note: kept as it is\r\n{end}\r\n\r\n"
    )
}
