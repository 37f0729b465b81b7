//! Step 2: what does it ask for, how sensitive and how urgent is it? Everything that is wrong with a request is found here.

use crate::audit::Whose;
use crate::gateway::Gateway;
use crate::refused::Refused;
use crate::rights::permit_model;
use crate::snapshot::{ModelEntry, Snapshot};
pub(super) use crate::walk::claims::MessagesHeaders;
use crate::walk::claims::{claims, messages_headers, session_named};
use crate::walk::facts::Facts;
use crate::walk::flight::Flight;
use crate::walk::inspect::{Inspection, Masked, inspect};
use crate::walk::read::read_body;
use crate::walk::route;
use crate::walk::settle::unlogged;
use axum::body::Body;
use bytes::Bytes;
use madang_fleet::ToolSupport;
use madang_types::{Endpoint, ErrorCode, KeyTerms, ModelId, Priority};
use madang_wire::urls::ImageData;
use madang_wire::{AnswerKind, BodyError, Features, FieldError, RequestBody, prefix, sniff, text};
use std::sync::{Arc, OnceLock};
use tokio::sync::OnceCell;

/// Names suggested where a model is unknown.
const NEAREST_MODELS_MAX: usize = 3;
/// OpenAI's default for `max_tokens` of legacy completions.
const COMPLETION_TOKENS_DEFAULT: u64 = 16;

/// A request that was understood.
pub struct Ask {
    /// The fleet as it was when the request was read.
    pub snapshot: Arc<Snapshot>,
    /// The door.
    pub endpoint: Endpoint,
    /// What it asks for.
    pub model: ModelId,
    /// The model as served.
    pub entry: Arc<ModelEntry>,
    /// The caller's bytes.
    pub body: RequestBody,
    /// What the body uses.
    pub features: Features,
    /// What is known of its data.
    pub facts: Arc<Facts>,
    /// What was found in it.
    inspection: Inspection,
    /// Its body with placeholders, once an attempt wants it.
    masked: OnceLock<Option<Masked>>,
    /// The images that it names by URLs, in their order, once an attempt has fetched them.
    pub images: OnceCell<Vec<ImageData>>,
    /// Whose it is.
    pub whose: Whose,
    /// Urgency.
    pub priority: Priority,
    /// Estimated prompt tokens.
    pub prompt_tokens: u64,
    /// Greatest number of output tokens.
    pub output_tokens_max: u64,
    /// The engine is told how many tokens it may make, whether the caller named a bound or not …
    pub bounded: bool,
    /// … and they are fewer than the caller asked for.
    pub clamped: bool,
    /// The conversation that it belongs to, as a number.
    pub session: Option<u64>,
    /// What an upstream that speaks Messages is told in headers.
    pub messages: MessagesHeaders,
}

/// Reads the body and finds out what it asks for.
///
/// # Errors
/// The refusal to send: what is wrong, in which field.
pub(super) async fn classify(
    flight: &mut Flight,
    (parts, body): (&http::request::Parts, Body),
) -> Result<Ask, Refused> {
    let snapshot = flight.gateway.snapshot();
    let (class, flags, priority) = claims(&parts.headers)?;
    flight.facts.claim(class, flags);
    let named = session_named(&parts.headers)?;
    let messages = messages_headers(&parts.headers, flight.record.endpoint)?;
    flight.record.data_class = flight.facts.mark.class;
    flight.record.priority = priority;

    let bytes = read_body(&snapshot, parts, body).await?;
    flight.record.bytes_in = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let body = parse_body(&flight.gateway, bytes, &snapshot).await?;
    let endpoint = flight.record.endpoint;
    let (model, entry) = find_model((&snapshot, &flight.terms), &body)?;
    flight.record.model = Some(model.clone());
    flight.facts.model_asked = Some(model.clone());
    permit_model(&flight.terms, &model)?;
    refuse_other_door(&model, &entry, endpoint)?;
    let kind = answer_kind(endpoint);
    sniff::require(&body, kind).map_err(field_refused)?;
    let features = sniff::features(&body).map_err(field_refused)?;
    refuse_unsupported(&features, &entry, endpoint)?;
    if endpoint == Endpoint::Embeddings {
        refuse_other_dimensions(&body, &entry)?;
    }
    flight.record.streamed = features.stream;

    let gateway = Arc::clone(&flight.gateway);
    let messages_max = u64::from(snapshot.fleet.limits.messages_max);
    let looked = gateway.apart.run(body.bytes().len(), move || {
        let size = text::prompt_size(&body, kind);
        let inspection = (size.messages <= messages_max).then(|| inspect(&body));
        (body, size, inspection.unwrap_or_default())
    });
    let (body, size, inspection) = looked.await?;
    refuse_many_messages(size.messages, &snapshot, kind)?;
    let default_tokens = match endpoint {
        Endpoint::Completions => COMPLETION_TOKENS_DEFAULT,
        Endpoint::Embeddings => 0,
        Endpoint::Chat | Endpoint::Responses | Endpoint::Messages => {
            snapshot.fleet.limits.output_tokens_default
        }
    };
    let each = features.output_tokens_max().unwrap_or(default_tokens);
    let session = session(named, &body, flight.record.tenant.as_str());
    note_found(flight, &body, (&inspection, size.tokens_estimated()))?;
    Ok(Ask {
        endpoint,
        session,
        messages,
        model,
        entry,
        facts: Arc::new(flight.facts.clone()),
        inspection,
        masked: OnceLock::new(),
        images: OnceCell::new(),
        whose: Whose::of(&flight.record),
        priority,
        bounded: false,
        clamped: false,
        prompt_tokens: size.tokens_estimated(),
        output_tokens_max: each.saturating_mul(features.n.unwrap_or(1).max(1)),
        body,
        features,
        snapshot,
    })
}

/// The tokens that the prompt of a Messages request is taken for.
///
/// # Errors
/// The refusal to send.
pub(crate) async fn count_prompt(
    gateway: &Gateway,
    (snapshot, terms): (&Snapshot, &KeyTerms),
    parts: &http::request::Parts,
    body: Body,
) -> Result<u64, Refused> {
    messages_headers(&parts.headers, Endpoint::Messages)?;
    let bytes = read_body(snapshot, parts, body).await?;
    let body = parse_body(gateway, bytes, snapshot).await?;
    let (model, entry) = find_model((snapshot, terms), &body)?;
    permit_model(terms, &model)?;
    refuse_other_door(&model, &entry, Endpoint::Messages)?;
    // Messages are all that it needs, as in chat: it bounds no answer.
    sniff::require(&body, AnswerKind::Chat).map_err(field_refused)?;
    sniff::features(&body).map_err(field_refused)?;
    let size = text::prompt_size(&body, AnswerKind::Messages);
    refuse_many_messages(size.messages, snapshot, AnswerKind::Messages)?;
    Ok(size.tokens_estimated())
}

async fn parse_body(
    gateway: &Gateway,
    bytes: Bytes,
    snapshot: &Snapshot,
) -> Result<RequestBody, Refused> {
    let depth_max = snapshot.fleet.limits.json_depth_max;
    let parsed = gateway
        .apart
        .run(bytes.len(), move || RequestBody::parse(bytes, depth_max));
    let body = parsed.await?.map_err(body_refused)?;
    if snapshot.generation == 0 {
        // Weights may still be on their way: not knowing a model yet is not the same as not serving it.
        let refused = Refused::new(
            ErrorCode::NoReplica,
            "Madang starts: its fleet is being loaded",
        );
        return Err(refused.retry_after_ms(Some(1_000)));
    }
    Ok(body)
}

fn refuse_other_door(
    model: &ModelId,
    entry: &ModelEntry,
    endpoint: Endpoint,
) -> Result<(), Refused> {
    if entry.endpoints.contains(&endpoint) {
        return Ok(());
    }
    let doors: Vec<&str> = entry.endpoints.iter().map(|e| e.as_str()).collect();
    let message = format!(
        "the model '{model}' does not serve {endpoint}; it serves {}",
        doors.join(", ")
    );
    Err(Refused::new(ErrorCode::ModelEndpointUnsupported, message).at("model"))
}

impl Ask {
    /// Whether placeholders can stand for all personal data that was found.
    pub(super) fn is_maskable(&self) -> bool {
        self.inspection.is_maskable()
    }

    /// Whether the caller's body names a URL that an engine would fetch or call.
    pub(super) fn names_urls(&self) -> bool {
        self.inspection.names_urls()
    }

    /// The body with placeholders for all personal data that was found.
    ///
    /// # Errors
    /// Something was found where no placeholder can stand.
    pub(crate) fn masked(&self) -> Result<&Masked, Refused> {
        let depth_max = self.snapshot.fleet.limits.json_depth_max;
        let masked = self.masked.get_or_init(|| {
            self.is_maskable()
                .then(|| self.inspection.mask(&self.body, depth_max))?
        });
        masked.as_ref().ok_or_else(route::unmasked)
    }
}

/// Notes what the scanner found, and what the audit log is told of the body.
fn note_found(
    flight: &mut Flight,
    body: &RequestBody,
    (inspection, prompt_tokens): (&Inspection, u64),
) -> Result<(), Refused> {
    let Flight {
        gateway,
        facts,
        record,
        ..
    } = flight;
    facts.find(inspection.counts());
    facts.prompt_tokens = prompt_tokens;
    let hmac = gateway
        .audit
        .hmac(&record.tenant, record.arrived_at, body.bytes());
    facts.prompt_hmac = Some(hmac.map_err(|error| unlogged(&error))?);
    record.data_class = facts.mark.class;
    Ok(())
}

/// The conversation by its header, or by the name that OpenAI's API has for the purpose. A tenant's names are its own.
fn session(named: Option<&[u8]>, body: &RequestBody, tenant: &str) -> Option<u64> {
    if let Some(name) = named {
        return Some(prefix::name_hash(tenant, name));
    }
    // What is no text there is the engine's to refuse.
    let key = body.string("prompt_cache_key").ok().flatten()?;
    (!key.is_empty()).then(|| prefix::name_hash(tenant, key.as_bytes()))
}

fn find_model(
    (snapshot, terms): (&Snapshot, &KeyTerms),
    body: &RequestBody,
) -> Result<(ModelId, Arc<ModelEntry>), Refused> {
    let name = body.string("model").map_err(field_refused)?;
    let Some(name) = name else {
        let message = format!(
            "the field 'model' is missing; served here: {}",
            some_models(snapshot, terms)
        );
        return Err(Refused::new(ErrorCode::FieldMissing, message).at("model"));
    };
    let found = ModelId::new(&name).ok().and_then(|id| {
        let entry = snapshot.models.get(&id)?.clone();
        Some((id, entry))
    });
    found.ok_or_else(|| {
        let near = nearest((snapshot, terms), &name);
        let hint = if near.is_empty() {
            some_models(snapshot, terms)
        } else {
            near.join(", ")
        };
        // The name is the caller's text: bounded before it is echoed.
        let shown: String = name.chars().take(80).collect();
        let message = format!("no model '{shown}' is served here; nearest: {hint}");
        Refused::new(ErrorCode::ModelNotFound, message).at("model")
    })
}

fn some_models(snapshot: &Snapshot, terms: &KeyTerms) -> String {
    let names: Vec<&str> = permitted(snapshot, terms)
        .take(NEAREST_MODELS_MAX)
        .map(ModelId::as_str)
        .collect();
    if names.is_empty() {
        "none yet".into()
    } else {
        names.join(", ")
    }
}

/// Served models that the key is for.
fn permitted<'s>(snapshot: &'s Snapshot, terms: &KeyTerms) -> impl Iterator<Item = &'s ModelId> {
    let models = snapshot.models.keys();
    models.filter(|id| terms.permit_model(id))
}

/// Served names that the key is for and that look like `name`, best first.
pub(crate) fn nearest((snapshot, terms): (&Snapshot, &KeyTerms), name: &str) -> Vec<String> {
    let short: String = name
        .chars()
        .take(madang_types::id::NAME_BYTES_MAX)
        .collect();
    let likeness =
        |id: &ModelId| strsim::jaro_winkler(&short.to_lowercase(), &id.as_str().to_lowercase());
    let mut near: Vec<(f64, &ModelId)> = permitted(snapshot, terms)
        .map(|id| (likeness(id), id))
        .collect();
    near.retain(|(score, _)| *score > 0.6);
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    near.into_iter()
        .take(NEAREST_MODELS_MAX)
        .map(|(_, id)| id.to_string())
        .collect()
}

fn refuse_unsupported(
    features: &Features,
    entry: &ModelEntry,
    endpoint: Endpoint,
) -> Result<(), Refused> {
    let refuse = |field: &str, message: &str| {
        Err(Refused::new(ErrorCode::FeatureUnsupported, message).at(field))
    };
    if features.tools && entry.tools == ToolSupport::None {
        return refuse("tools", "this model makes no tool calls");
    }
    if features.stream && endpoint == Endpoint::Embeddings {
        return refuse("stream", "embeddings are not streamed");
    }
    if endpoint == Endpoint::Responses {
        if features.previous_response_id {
            return refuse(
                "previous_response_id",
                "answers are not kept here: send the whole conversation in 'input'",
            );
        }
        if features.background {
            return refuse(
                "background",
                "answers are not kept here: ask without 'background'",
            );
        }
    }
    Ok(())
}

/// A chat template is filled in message by message, which costs engines more than the words themselves.
fn refuse_many_messages(
    messages: u64,
    snapshot: &Snapshot,
    kind: AnswerKind,
) -> Result<(), Refused> {
    let max = snapshot.fleet.limits.messages_max;
    if messages <= u64::from(max) {
        return Ok(());
    }
    let field = if kind == AnswerKind::Responses {
        "input"
    } else {
        "messages"
    };
    let message = format!("`{field}` holds {messages} messages, limits.messages_max is {max}");
    Err(Refused::new(ErrorCode::FieldInvalid, message).at(field))
}

/// An engine that ignores `dimensions` would answer with vectors of another length than asked for.
fn refuse_other_dimensions(body: &RequestBody, entry: &ModelEntry) -> Result<(), Refused> {
    let asked = body.unsigned("dimensions").map_err(field_refused)?;
    match (asked, entry.dimensions) {
        (Some(asked), Some(has)) if asked != has => {
            let message = format!("this model's vectors have {has} dimensions, not {asked}");
            Err(Refused::new(ErrorCode::FeatureUnsupported, message).at("dimensions"))
        }
        _ => Ok(()),
    }
}

/// The wire's name for what a door answers.
pub(super) fn answer_kind(endpoint: Endpoint) -> AnswerKind {
    match endpoint {
        Endpoint::Chat => AnswerKind::Chat,
        Endpoint::Completions => AnswerKind::Completions,
        Endpoint::Embeddings => AnswerKind::Embeddings,
        Endpoint::Responses => AnswerKind::Responses,
        Endpoint::Messages => AnswerKind::Messages,
    }
}

pub(crate) fn body_refused(error: BodyError) -> Refused {
    let code = match &error {
        BodyError::TooDeep { .. } => ErrorCode::BodyTooDeep,
        BodyError::Duplicate { .. } => ErrorCode::FieldDuplicate,
        _ => ErrorCode::BodyNotJson,
    };
    let refused = Refused::new(code, error.to_string());
    match error {
        BodyError::Duplicate { field } => refused.at(field.chars().take(80).collect::<String>()),
        _ => refused,
    }
}

fn field_refused(error: FieldError) -> Refused {
    let code = if error.found == "nothing" {
        ErrorCode::FieldMissing
    } else {
        ErrorCode::FieldInvalid
    };
    Refused::new(code, error.to_string()).at(error.field)
}
