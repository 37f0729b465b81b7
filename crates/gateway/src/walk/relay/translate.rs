//! The caller's bytes as the engine must see them: unchanged but for the model's name, a bound on the output, the wish
//! for a usage count, what keeps tenants apart in the engine's cache, and what an engine cannot do by itself (responses, tool calls, another wire format).

use super::Route;
use crate::headers;
use crate::refused::Refused;
use crate::snapshot::Target;
use crate::walk::classify::{Ask, answer_kind};
use crate::walk::restore::Restore;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use madang_fleet::{Dialect, ResponsesSupport, ToolSupport};
use madang_types::{Endpoint, ErrorCode, TenantId};
use madang_wire::anthropic::{door, upstream};
use madang_wire::responses::{self, Echo};
use madang_wire::tools::{self, Repair};
use madang_wire::{AnswerKind, MapCode, MapError, RequestBody};
use std::sync::Arc;

/// Under which a tenant's salt is derived.
const CACHE_SALT_CONTEXT: &str = "madang 2026 cache salt v1";
/// Hex digits of a salt.
const CACHE_SALT_DIGITS: usize = 32;

/// A request as the engine sees it, and how its answer is read.
pub(super) struct Call {
    pub path: &'static str,
    /// Headers that its wire format asks for.
    pub headers: HeaderMap,
    /// Its body, in pieces.
    pub body: Vec<Bytes>,
    pub plan: Plan,
}

/// How an answer is read and turned back into what the caller asked for.
pub(super) struct Plan {
    /// The wire format in which the engine answers.
    pub kind: AnswerKind,
    /// The usage chunk was our wish, not the caller's: it is read and left out.
    pub strip_usage: bool,
    /// Printed calls become tool calls.
    pub repair: Option<Repair>,
    /// What the caller gets.
    pub caller: CallerForm,
    /// Values go back where the answer has their placeholders.
    pub restore: Option<Arc<Restore>>,
}

/// What an answer becomes.
pub(super) enum CallerForm {
    /// What it is: engine and caller speak one wire format.
    AsAnswered,
    /// Messages become chat.
    Chat {
        /// Whether a stream ends with its counts.
        include_usage: bool,
    },
    /// Chat becomes a response that repeats these fields.
    Response(Echo),
    /// Chat becomes a message.
    Message {
        /// Whether it shows the thinking.
        thinking: bool,
    },
}

/// Writes the engine's request. `asked` is the caller's body as this engine may have it.
///
/// # Errors
/// Something that the mapping cannot carry, named.
pub(super) fn translate(
    ask: &Ask,
    (asked, restore): (&RequestBody, Option<Arc<Restore>>),
    route: &Route,
) -> Result<Call, Refused> {
    let target: &Target = &route.target;
    if ask.features.tools && route.entry.tools == ToolSupport::None {
        let message = format!("the model '{}' makes no tool calls", route.start.model);
        return Err(Refused::new(ErrorCode::FeatureUnsupported, message).at("tools"));
    }
    let speaks_messages = target.dialect == Dialect::Anthropic;
    let needs_repair =
        !speaks_messages && ask.features.tools && route.entry.tools == ToolSupport::Repair;

    let mut plan = Plan {
        kind: answer_kind(ask.endpoint),
        strip_usage: false,
        repair: None,
        caller: CallerForm::AsAnswered,
        restore,
    };
    let mut rewritten: Option<RequestBody> = None;
    if ask.endpoint == Endpoint::Responses
        && (speaks_messages || target.responses == ResponsesSupport::Mapped || needs_repair)
    {
        let chat = responses::to_chat(asked.bytes()).map_err(map_refused)?;
        plan.kind = AnswerKind::Chat;
        plan.caller = CallerForm::Response(chat.echo);
        rewritten = Some(reparsed(chat.body, ask)?);
    }
    if ask.endpoint == Endpoint::Messages && !speaks_messages {
        let chat = door::to_chat(asked.bytes()).map_err(map_refused)?;
        plan.kind = AnswerKind::Chat;
        plan.caller = CallerForm::Message {
            thinking: chat.thinking,
        };
        rewritten = Some(reparsed(chat.body, ask)?);
    }
    if needs_repair && plan.kind == AnswerKind::Chat {
        let body = rewritten.as_ref().unwrap_or(asked);
        let repair = tools::repair_request(body.bytes()).map_err(map_refused)?;
        rewritten = Some(reparsed(repair.body.clone(), ask)?);
        plan.repair = Some(repair);
    }
    if speaks_messages && plan.kind == AnswerKind::Chat {
        let body = rewritten.as_ref().unwrap_or(asked);
        let messages = upstream::to_messages(body.bytes(), ask.output_tokens_max);
        rewritten = Some(reparsed(messages.map_err(map_refused)?, ask)?);
        plan.kind = AnswerKind::Messages;
        if matches!(plan.caller, CallerForm::AsAnswered) {
            plan.caller = CallerForm::Chat {
                include_usage: ask.features.include_usage,
            };
        }
    }
    let body = rewritten.as_ref().unwrap_or(asked);
    let (body, strip_usage) = edited(body, plan.kind, (ask, route));
    plan.strip_usage = strip_usage;
    Ok(Call {
        path: path(plan.kind),
        headers: dialect_headers(plan.kind, ask),
        body,
        plan,
    })
}

fn path(kind: AnswerKind) -> &'static str {
    match kind {
        AnswerKind::Chat => "/v1/chat/completions",
        AnswerKind::Completions => "/v1/completions",
        AnswerKind::Embeddings => "/v1/embeddings",
        AnswerKind::Responses => "/v1/responses",
        AnswerKind::Messages => "/v1/messages",
    }
}

fn dialect_headers(kind: AnswerKind, ask: &Ask) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if kind == AnswerKind::Messages {
        headers.insert(
            headers::ANTHROPIC_VERSION,
            HeaderValue::from_static(ask.messages.version),
        );
        if let Some(betas) = &ask.messages.betas {
            headers.insert(headers::ANTHROPIC_BETA, betas.clone());
        }
    }
    headers
}

/// The last edits: the engine's name for the model, a bound on the output, the tenant's salt, the wish for a usage count.
fn edited(
    body: &RequestBody,
    kind: AnswerKind,
    (ask, route): (&Ask, &Route),
) -> (Vec<Bytes>, bool) {
    let mut edit = body.edit();
    let (target, model) = (&route.target, &route.start.model);
    // An adapter is asked for by its own name, which the engine knows.
    let engine_name = if *model == target.model {
        target.upstream_model.as_str()
    } else {
        model.as_str()
    };
    let named_so = body
        .string("model")
        .is_ok_and(|name| name.as_deref() == Some(engine_name));
    if !named_so {
        edit.set("model", &serde_json::Value::from(engine_name).to_string());
    }
    let chat_like = matches!(kind, AnswerKind::Chat | AnswerKind::Completions);
    // Without a bound some engines run to the end of their context. A frontier API has its own.
    let unbounded = ask.features.output_tokens_max().is_none();
    if ask.bounded || (chat_like && unbounded && target.own) {
        let each = ask.output_tokens_max / ask.features.n.unwrap_or(1).max(1);
        if let Some(field) = bound_field(kind, body) {
            edit.set(field, &each.to_string());
        }
    }
    if target.salted && kind != AnswerKind::Embeddings {
        let salt = cache_salt(&ask.whose.tenant, body);
        edit.set("cache_salt", &serde_json::Value::from(salt).to_string());
    }
    let strip_usage = chat_like && ask.features.stream && !ask.features.include_usage;
    if strip_usage {
        edit.set_nested("stream_options", "include_usage", "true");
    }
    (edit.pieces(), strip_usage)
}

/// What keeps the prompts of a tenant apart from all others in an engine's prefix cache, and those apart that the caller keeps apart.
/// It need not be secret: whatever a caller writes there, what the engine sees begins with the tenant.
fn cache_salt(tenant: &TenantId, body: &RequestBody) -> String {
    let mut hasher = blake3::Hasher::new_derive_key(CACHE_SALT_CONTEXT);
    hasher.update(tenant.as_str().as_bytes());
    if let Some(salt) = body.raw("cache_salt").filter(|salt| *salt != "null") {
        hasher.update(&[0]).update(salt.as_bytes());
    }
    let hash = hasher.finalize().to_hex();
    hash.chars().take(CACHE_SALT_DIGITS).collect()
}

/// The field by which a wire format bounds the tokens that are made.
fn bound_field(kind: AnswerKind, body: &RequestBody) -> Option<&'static str> {
    match kind {
        AnswerKind::Chat if body.has("max_completion_tokens") => Some("max_completion_tokens"),
        AnswerKind::Chat | AnswerKind::Completions | AnswerKind::Messages => Some("max_tokens"),
        AnswerKind::Responses => Some("max_output_tokens"),
        AnswerKind::Embeddings => None,
    }
}

pub(super) fn reparsed(body: Vec<u8>, ask: &Ask) -> Result<RequestBody, Refused> {
    // Some levels deeper than the caller's, since a mapping may wrap what it was given.
    let depth_max = ask.snapshot.fleet.limits.json_depth_max.saturating_add(8);
    RequestBody::parse(Bytes::from(body), depth_max).map_err(|error| {
        Refused::new(
            ErrorCode::Internal,
            format!("the mapped request is not sound: {error}"),
        )
    })
}

fn map_refused(error: MapError) -> Refused {
    let code = match error.code {
        MapCode::FeatureUnsupported => ErrorCode::FeatureUnsupported,
        MapCode::FieldInvalid => ErrorCode::FieldInvalid,
        MapCode::FieldMissing => ErrorCode::FieldMissing,
    };
    Refused::new(code, error.message).at(error.field)
}
