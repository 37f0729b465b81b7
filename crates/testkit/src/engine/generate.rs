//! One generation: a slot, an answer, its sending, and the line in the engine's own books.

use super::answer::{self, Pen, UsageTale};
use super::ask::{Ask, Door};
use super::behaviour::Behaviour;
use super::connection::{Connection, Framing, Gone};
use super::record::{Recorded, Served};
use super::script::{Script, Then, script};
use super::serve::{After, Plain, head, misbehave, send_plain};
use super::{Shared, lock};
use bytes::Bytes;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bytes of each answer kept in memory.
const ANSWER_KEPT_BYTES_MAX: usize = 1024 * 1024;

/// Counts one while it lives, also where the connection's task is aborted.
struct Counted<'a>(&'a AtomicU64);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) async fn generate(
    connection: &mut Connection,
    shared: &Shared,
    request: &Recorded,
    (door, behaviour): (Door, Behaviour),
) -> Result<After, Gone> {
    let mut served = begun(request, shared.generations.fetch_add(1, Ordering::SeqCst));
    let waiting = Counted::new(&shared.waiting);
    let slot = tokio::select! {
        slot = shared.slots.acquire() => slot.map_err(|_| Gone),
        gone = connection.until_gone() => Err(gone),
    };
    // counted until the record is kept: who sees nothing in flight finds all records
    let _running = Counted::new(&shared.running);
    drop(waiting);
    served.started_at = Instant::now();
    let result = match &slot {
        Ok(_) => {
            let mut work = Work {
                connection,
                shared,
                served: &mut served,
                answer: Vec::new(),
                kept: false,
            };
            let result = work.run(request, door, behaviour).await;
            work.served.answer = Bytes::from(std::mem::take(&mut work.answer));
            result
        }
        Err(gone) => Err(*gone),
    };
    drop(slot);
    served.freed_at = Instant::now();
    if result.is_err() {
        served.client_gone = true;
        served.complete = false;
    }
    shared
        .prompt_tokens
        .fetch_add(served.prompt_tokens, Ordering::SeqCst);
    shared
        .output_tokens
        .fetch_add(served.output_tokens, Ordering::SeqCst);
    keep(shared, served);
    result
}

/// Keeps the record, or brings it up to date where it was kept before the last piece left.
fn keep(shared: &Shared, served: Served) {
    let number = served.number;
    lock(&shared.served).put(served, |kept| kept.number == number);
}

fn begun(request: &Recorded, number: u64) -> Served {
    let id = ["x-madang-request-id", "x-request-id"]
        .iter()
        .find_map(|name| request.headers.get(*name));
    let now = Instant::now();
    Served {
        number,
        request_id: id.and_then(|v| v.to_str().ok()).map(str::to_owned),
        path: request.path.clone(),
        status: 0,
        stream: false,
        prompt_tokens: 0,
        cached_tokens: 0,
        output_tokens: 0,
        complete: false,
        client_gone: false,
        started_at: now,
        freed_at: now,
        answer: Bytes::new(),
    }
}

struct Work<'a> {
    connection: &'a mut Connection,
    shared: &'a Shared,
    served: &'a mut Served,
    answer: Vec<u8>,
    /// Whether the record is kept and, where due, in the log.
    kept: bool,
}

impl Work<'_> {
    async fn run(
        &mut self,
        request: &Recorded,
        door: Door,
        behaviour: Behaviour,
    ) -> Result<After, Gone> {
        let options = &self.shared.options;
        if behaviour == Behaviour::Loading {
            self.served.status = 503;
        }
        if behaviour.is_of_the_process() {
            return misbehave(self.connection, &behaviour).await;
        }
        let engine = options.engine.as_str();
        if let Behaviour::Status { code, body } = &behaviour {
            let text = if body.is_empty() {
                answer::error(engine, *code, "as told")
            } else {
                body.clone()
            };
            return self.refuse(*code, &text).await;
        }
        let absent = match door {
            Door::Responses => !options.responses || engine == "anthropic",
            Door::Messages => engine != "anthropic",
            Door::Chat | Door::Completions | Door::Embeddings => engine == "anthropic",
        };
        if absent {
            return self.refuse(404, r#"{"detail":"Not Found"}"#).await;
        }
        if door == Door::Messages && !request.headers.contains_key("anthropic-version") {
            let body = answer::error(engine, 400, "anthropic-version: header is required");
            return self.refuse(400, &body).await;
        }
        let ask = match Ask::read(door, &request.body, options) {
            Ok(ask) => ask,
            Err(message) => {
                return self
                    .refuse(400, &answer::error(engine, 400, &message))
                    .await;
            }
        };
        if ask.model != options.model && engine != "llama.cpp" {
            let message = format!("The model `{}` does not exist.", ask.model);
            return self
                .refuse(404, &answer::error(engine, 404, &message))
                .await;
        }
        self.served.stream = ask.stream;
        self.served.prompt_tokens = ask.prompt_tokens;
        self.served.cached_tokens = ask.cached_tokens;
        let pen = Pen {
            ask: &ask,
            engine,
            model: &options.model,
            number: self.shared.answers.fetch_add(1, Ordering::SeqCst),
            tale: match behaviour {
                Behaviour::NoUsage => UsageTale::Silent,
                Behaviour::AbsurdUsage => UsageTale::Absurd,
                _ => UsageTale::True,
            },
        };
        let script = script(&pen, &behaviour, (options.first_token_ms, options.token_ms));
        let result = self.send(script).await;
        if !self.kept {
            self.served.client_gone = result.is_err();
            self.log();
        }
        result
    }

    async fn refuse(&mut self, status: u16, body: &str) -> Result<After, Gone> {
        self.served.status = status;
        self.answer.extend_from_slice(body.as_bytes());
        self.served.answer = Bytes::copy_from_slice(&self.answer);
        keep(self.shared, self.served.clone());
        send_plain(self.connection, &Plain::json(status, body)).await
    }

    /// Keeps the record and writes the line in the engine's books, once.
    fn log(&mut self) {
        self.kept = true;
        self.served.answer = Bytes::copy_from_slice(&self.answer);
        self.served.freed_at = Instant::now();
        keep(self.shared, self.served.clone());
        if let Some(file) = &self.shared.served_log {
            let line = self.served.line();
            lock(file)
                .write_all(line.as_bytes())
                .expect("the fake engine's log can be written");
        }
    }

    async fn send(&mut self, script: Script) -> Result<After, Gone> {
        let Script {
            content_type,
            framing,
            pieces,
            then,
            first_ms,
            token_ms,
            split,
            head_byte_ms,
        } = script;
        let mut pace = Pace {
            next_ms: first_ms,
            token_ms,
        };
        if !self.served.stream {
            for piece in &pieces {
                let all = pace.of(piece.tokens) + token_ms * piece.tokens.saturating_sub(1);
                self.connection.wait(Duration::from_millis(all)).await?;
            }
            pace = Pace {
                next_ms: 0,
                token_ms: 0,
            };
        }
        self.send_head(&head(200, content_type, framing), head_byte_ms)
            .await?;
        let last = pieces.len().saturating_sub(1);
        for (at, piece) in pieces.iter().enumerate() {
            self.connection
                .wait(Duration::from_millis(pace.of(piece.tokens)))
                .await?;
            self.served.output_tokens += piece.tokens;
            self.keep(&piece.bytes);
            if at == last && matches!(then, Then::End) {
                self.served.complete = true;
                self.log();
            }
            self.send_piece(framing, &piece.bytes, split).await?;
        }
        match then {
            Then::End | Then::Clean => self.end(framing).await,
            Then::Close => Ok(After::Close),
            Then::Reset => Ok(After::Reset),
            Then::Stall => Err(self.connection.until_gone().await),
            Then::Repeat(piece) => loop {
                self.connection
                    .wait(Duration::from_millis(pace.of(piece.tokens)))
                    .await?;
                self.served.output_tokens += piece.tokens;
                self.keep(&piece.bytes);
                self.send_piece(framing, &piece.bytes, split).await?;
            },
        }
    }

    async fn end(&mut self, framing: Framing) -> Result<After, Gone> {
        match framing {
            Framing::Chunked => {
                self.connection.write(b"0\r\n\r\n").await?;
                Ok(After::Keep)
            }
            Framing::Length(_) => Ok(After::Keep),
        }
    }

    async fn send_head(&mut self, head: &str, byte_ms: Option<u64>) -> Result<(), Gone> {
        if let Some(ms) = byte_ms {
            for byte in head.as_bytes() {
                self.connection.wait(Duration::from_millis(ms)).await?;
                self.connection.write(&[*byte]).await?;
            }
        } else {
            self.connection.write(head.as_bytes()).await?;
        }
        self.served.status = 200;
        Ok(())
    }

    async fn send_piece(
        &mut self,
        framing: Framing,
        bytes: &[u8],
        split: Option<usize>,
    ) -> Result<(), Gone> {
        for part in bytes.chunks(split.unwrap_or(usize::MAX)) {
            self.connection.write_part(framing, part).await?;
            if split.is_some() {
                self.connection.wait(Duration::ZERO).await?;
            }
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = ANSWER_KEPT_BYTES_MAX.saturating_sub(self.answer.len());
        self.answer
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// The waits before tokens.
struct Pace {
    next_ms: u64,
    token_ms: u64,
}

impl Pace {
    fn of(&mut self, tokens: u64) -> u64 {
        if tokens == 0 {
            return 0;
        }
        std::mem::replace(&mut self.next_ms, self.token_ms)
    }
}
