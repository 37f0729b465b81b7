//! A fine-tuning job is asked for: all that is wrong with it is told before there is a job.

use super::FineTunings;
use super::check::{self, Checked};
use super::events::{Event, Kind, Mark};
use super::order::{Order, Tuning};
use super::progress::Level;
use super::template::{self, TRAINING_FILE, VALIDATION_FILE};
use super::view;
use crate::batches::batch_doors::{check_metadata, read_json};
use crate::batches::disk::blocking;
use crate::batches::file_doors::answered;
use crate::batches::id::{FileId, TuningId};
use crate::batches::shelf::Purpose;
use crate::batches::{TENANT_COUNT_MAX, unix_s};
use crate::keyring::Identity;
use crate::refused::Refused;
use crate::rights::permit_model;
use crate::walk::{claims, take_key_slot};
use axum::Json;
use axum::extract::{Request, State};
use axum::response::Response;
use madang_fleet::FineTuning;
use madang_types::{ErrorCode, ModelId, TenantId};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Characters of a suffix, as in OpenAI's API.
const SUFFIX_CHARS_MAX: usize = 64;
/// Models that a refusal names.
const NAMES_MAX: usize = 20;

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    model: String,
    training_file: String,
    #[serde(default)]
    validation_file: Option<String>,
    #[serde(default)]
    hyperparameters: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    method: Option<Method>,
    #[serde(default)]
    suffix: Option<String>,
    #[serde(default)]
    seed: Option<u32>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    integrations: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Method {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    supervised: Option<Supervised>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Supervised {
    #[serde(default)]
    hyperparameters: Option<BTreeMap<String, Value>>,
}

fn invalid(field: &str, message: impl Into<String>) -> Refused {
    Refused::new(ErrorCode::FieldInvalid, message).at(field)
}

pub(super) async fn create(State(tunings): State<FineTunings>, request: Request) -> Response {
    answered(created(&tunings, request).await)
}

async fn created(tunings: &FineTunings, request: Request) -> Result<Json<Value>, Refused> {
    let (parts, body) = request.into_parts();
    let (tenant, identity) = tunings.caller(&parts.headers)?;
    let _slot = take_key_slot(&tunings.gateway, &identity.key)?;
    let (data_class, data_flags, priority) = claims(&parts.headers)?;
    let asked: Asked = read_json(body, "a fine-tuning job").await?;
    let snapshot = tunings.gateway.snapshot();
    let template = find(&snapshot.fleet.fine_tuning, &asked.model)?;
    let order = order(tunings, template, (tenant, &identity), asked)?;
    let (training, validation) = bring(tunings, &order).await?;
    let examples = training.examples;
    let exchange = order.exchange();
    let spec = template::spec(
        template,
        &template::Asked {
            job: order.id.to_string(),
            model: order.model.as_str(),
            seed: order.seed,
            suffix: order.suffix.as_deref().unwrap_or_default(),
            hyperparameters: &order.hyperparameters,
            training: training.sha256,
            validation: validation.map(|checked| checked.sha256),
            exchange: &exchange,
            data: (data_class.unwrap_or_default(), data_flags),
            priority,
        },
    );
    let whose = (order.tenant.clone(), order.key.clone());
    let submitted = match spec {
        Ok(spec) => tunings.jobs.submit(whose, spec).await,
        Err(refused) => Err(refused),
    };
    let job = match submitted {
        Ok(job) => job,
        Err(refused) => {
            let (orders, order) = (tunings.orders.clone(), order);
            blocking(move || orders.remove(&order)).await?;
            return Err(refused);
        }
    };
    let (orders, kept, id) = (tunings.orders.clone(), order.clone(), job.id);
    blocking(move || orders.submitted(&kept, id)).await?;
    tunings.wake.notify_one();
    tracing::info!(tuning = %order.id, job = %job.id, tenant = %order.tenant, template = %template.id, examples, "a fine-tuning job was asked for");
    let tuning = Tuning {
        order,
        job: Some(job.id),
        end: None,
    };
    Ok(Json(view::job(&tuning, Some(&job))))
}

/// The template of a model.
fn find<'a>(templates: &'a [FineTuning], model: &str) -> Result<&'a FineTuning, Refused> {
    if templates.is_empty() {
        let message = "the operator has configured no fine-tuning here";
        return Err(Refused::new(ErrorCode::FineTuningUnconfigured, message));
    }
    let found = templates
        .iter()
        .find(|template| template.models.iter().any(|name| name == model));
    found.ok_or_else(|| {
        let names = templates.iter().flat_map(|template| &template.models);
        let names: Vec<&str> = names.take(NAMES_MAX).map(String::as_str).collect();
        let shown: String = model.chars().take(96).collect();
        let message = format!(
            "no model '{shown}' can be fine-tuned here; these can be: {}",
            names.join(", ")
        );
        let refused = Refused::new(ErrorCode::ModelNotFound, message).at("model");
        refused.remedied("Use a model that the message names.")
    })
}

fn order(
    tunings: &FineTunings,
    template: &FineTuning,
    (tenant, identity): (TenantId, &Identity),
    asked: Asked,
) -> Result<Order, Refused> {
    let id = TuningId::new();
    let model = ModelId::new(&asked.model).map_err(|error| invalid("model", error.to_string()))?;
    permit_model(&identity.terms, &model)?;
    check_metadata(asked.metadata.as_ref())?;
    let hyperparameters = template::hyperparameters(template, &numbers(&asked)?)?;
    if asked.integrations.is_some_and(|all| !all.is_empty()) {
        return Err(invalid(
            "integrations",
            "there are no integrations here: leave it out",
        ));
    }
    let suffix = asked.suffix.filter(|suffix| !suffix.is_empty());
    let fine_tuned_model = called((&model, &tenant), suffix.as_deref(), id)?;
    let keep_s = tunings.gateway.snapshot().fleet.limits.files_keep_s;
    let file = |text: &str, field: &str| text.parse().map_err(|_| no_file(field));
    Ok(Order {
        id,
        key: identity.key.clone(),
        template: template.id.clone(),
        training_file: file(&asked.training_file, "training_file")?,
        validation_file: match &asked.validation_file {
            Some(text) => Some(file(text, "validation_file")?),
            None => None,
        },
        hyperparameters,
        suffix,
        // OpenAI's API draws one too; here it is drawn with the job's name.
        seed: asked.seed.map_or_else(|| id.drawn(), u64::from),
        metadata: asked.metadata,
        created_at: unix_s(),
        fine_tuned_model,
        folder: template
            .folder
            .clone()
            .unwrap_or_else(|| tunings.folder.to_path_buf()),
        results: template
            .results
            .iter()
            .map(|name| (name.clone(), FileId::new()))
            .collect(),
        keep_s: i64::try_from(keep_s).unwrap_or(i64::MAX),
        model,
        tenant,
    })
}

/// The hyperparameters that are asked for, wherever they stand.
fn numbers(asked: &Asked) -> Result<BTreeMap<String, Value>, Refused> {
    let of_method = match &asked.method {
        Some(method) if method.kind != "supervised" => {
            return Err(invalid(
                "method.type",
                "the method of fine-tuning is 'supervised' here",
            ));
        }
        Some(method) => method
            .supervised
            .as_ref()
            .and_then(|of| of.hyperparameters.as_ref()),
        None => None,
    };
    match (of_method, &asked.hyperparameters) {
        (Some(_), Some(_)) => {
            let message = "hyperparameters are given once: in `method`, or beside it as of old";
            Err(invalid("hyperparameters", message))
        }
        (Some(numbers), None) | (None, Some(numbers)) => Ok(numbers.clone()),
        (None, None) => Ok(BTreeMap::new()),
    }
}

/// What the tuned model is called.
fn called(
    (model, tenant): (&ModelId, &TenantId),
    suffix: Option<&str>,
    id: TuningId,
) -> Result<ModelId, Refused> {
    let suffix = suffix.unwrap_or_default();
    let plain = suffix
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if !plain || suffix.starts_with('-') || suffix.len() > SUFFIX_CHARS_MAX {
        let message = format!(
            "a suffix has at most {SUFFIX_CHARS_MAX} letters, digits, '-' and '_', and does not begin with '-'"
        );
        return Err(invalid("suffix", message));
    }
    let short = id.drawn();
    let name = ModelId::new(&format!("ft:{model}:{tenant}:{suffix}:{short:08x}"));
    name.map_err(|error| {
        invalid(
            "suffix",
            format!("the tuned model's name cannot be: {error}"),
        )
    })
}

fn no_file(field: &str) -> Refused {
    let message = "there is no such file with the purpose 'fine-tune'";
    Refused::new(ErrorCode::NotFound, message).at(field)
}

/// Checks the files, puts them where machines find them, and keeps the order. What is refused leaves nothing.
async fn bring(
    tunings: &FineTunings,
    order: &Order,
) -> Result<(Checked, Option<Checked>), Refused> {
    let limits = &tunings.gateway.snapshot().fleet.limits;
    let line_bytes_max = limits.body_bytes_max;
    let (tunings, order) = (tunings.clone(), order.clone());
    let brought = blocking(move || {
        let found = brought(&tunings, &order, line_bytes_max);
        if !matches!(found, Ok(Ok(_))) {
            order.exchange_remove()?;
        }
        found
    });
    brought.await?
}

type Brought = io::Result<Result<(Checked, Option<Checked>), Refused>>;

fn brought(tunings: &FineTunings, order: &Order, line_bytes_max: u64) -> Brought {
    if tunings.orders.ids(&order.tenant)?.len() >= TENANT_COUNT_MAX {
        let message = format!(
            "the tenant has {TENANT_COUNT_MAX} fine-tuning jobs already; old ones are forgotten after limits.files_keep_s"
        );
        return Ok(Err(Refused::new(ErrorCode::FilesFull, message)));
    }
    let new = order.exchange_make()?;
    let copy = |id: FileId, (field, name): (&str, &str)| {
        let meta = tunings.shelf.get(&order.tenant, id, order.created_at)?;
        if meta.is_none_or(|file| file.purpose != Purpose::FineTune) {
            return Ok(Err(no_file(field)));
        }
        let content = tunings.shelf.content(&order.tenant, id);
        copied(&content, &new.join(name), (field, line_bytes_max))
    };
    let training = match copy(order.training_file, ("training_file", TRAINING_FILE))? {
        Ok(checked) => checked,
        Err(refused) => return Ok(Err(refused)),
    };
    let validation = order
        .validation_file
        .map(|id| copy(id, ("validation_file", VALIDATION_FILE)));
    let validation = match validation.transpose()?.transpose() {
        Ok(checked) => checked,
        Err(refused) => return Ok(Err(refused)),
    };
    let what = format!("Created fine-tuning job: {}", order.id);
    let at = (order.created_at, Mark::default());
    let first = Event::told(at, Kind::Came, (Level::Info, what));
    tunings.orders.insert(order, &first)?;
    order.exchange_keep(&new)?;
    Ok(Ok((training, validation)))
}

fn copied(
    from: &Path,
    to: &Path,
    (field, line_bytes_max): (&str, u64),
) -> io::Result<Result<Checked, Refused>> {
    let mut options = OpenOptions::new();
    let to = options.create_new(true).write(true).mode(0o600).open(to)?;
    let from = BufReader::new(File::open(from)?);
    let found = check::copy(from, BufWriter::new(to), line_bytes_max)?;
    Ok(found.map_err(|unsound| {
        let at = unsound
            .line
            .map(|line| format!("line {line} of "))
            .unwrap_or_default();
        let message = format!("{at}the {}: {}", field.replace('_', " "), unsound.what);
        Refused::new(ErrorCode::TrainingFileInvalid, message).at(field)
    }))
}
