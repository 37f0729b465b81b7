//! One probe of one engine: `/health`, `/v1/models` and `/metrics`.

use super::metrics::{EngineLoad, parse_load};
use bytes::Bytes;
use serde::Deserialize;
use std::time::Duration;
use tokio::time::timeout;

/// Bytes of an answer that a probe takes; an implementation of [`ProbeHttp`] must read no more.
pub const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Names of served models that are kept.
const SERVED_MAX: usize = 64;

/// One GET of an engine. The implementation knows the address, the key, and reads at most
/// [`ANSWER_BYTES_MAX`] of the answer. Dropping the future ends the request.
pub trait ProbeHttp {
    /// The status and the body, or why there is none.
    fn get(&self, path: &str) -> impl Future<Output = Result<(u16, Bytes), String>> + Send;
}

/// What and how to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The path that answers 200 once the engine can serve.
    pub health_path: String,
    /// Longest time for each of the three questions, in milliseconds.
    pub timeout_ms: u64,
    /// Whether to ask what it serves; once after each start is enough.
    pub ask_models: bool,
    /// Whether to ask for metrics.
    pub ask_metrics: bool,
}

/// Whether an engine can serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It can.
    Ok,
    /// It is there and says that it cannot yet: it loads its weights.
    Loading,
    /// It cannot, for this reason.
    Failed(String),
}

/// Everything one probe found.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// Whether it can serve.
    pub answer: Answer,
    /// The names that it serves; `None` where it was not asked or does not say.
    pub models: Option<Vec<String>>,
    /// Its load; `None` where it was not asked or does not say.
    pub load: Option<EngineLoad>,
}

impl Served {
    /// Whether the probe counts as a success.
    pub fn is_ok(&self) -> bool {
        self.answer == Answer::Ok
    }

    /// What to tell people where the engine does not know the name that requests will carry. Some
    /// engines answer to any name, so this is a warning and no failure.
    pub fn name_warning(&self, upstream_model: &str) -> Option<String> {
        let models = self.models.as_ref()?;
        if models.is_empty() || models.iter().any(|name| name == upstream_model) {
            return None;
        }
        let names = models.join("', '");
        Some(format!(
            "the engine does not serve '{upstream_model}'; it serves '{names}': set upstream_model"
        ))
    }
}

/// Asks an engine once. An engine without the health path (404) is healthy if it lists its models.
pub async fn probe<H: ProbeHttp + Sync>(http: &H, what: &Probe) -> Served {
    let mut served = Served {
        answer: Answer::Ok,
        models: None,
        load: None,
    };
    let health = get(http, &what.health_path, what.timeout_ms).await;
    let no_health = matches!(health, Ok((404, _)));
    if !no_health {
        served.answer = answer_of(&what.health_path, health);
        if served.answer != Answer::Ok {
            return served;
        }
    }
    if no_health || what.ask_models {
        let models = get(http, "/v1/models", what.timeout_ms).await;
        if let Ok((200, body)) = &models {
            served.models = served_names(body);
        }
        if no_health {
            served.answer = answer_of("/v1/models", models);
        }
    }
    if what.ask_metrics && served.is_ok() {
        // Engines without metrics (404, or started without the flag) are no worse for it.
        if let Ok((200, body)) = get(http, "/metrics", what.timeout_ms).await {
            let load = parse_load(&body);
            served.load = (load != EngineLoad::default()).then_some(load);
        }
    }
    served
}

async fn get<H: ProbeHttp + Sync>(
    http: &H,
    path: &str,
    timeout_ms: u64,
) -> Result<(u16, Bytes), String> {
    match timeout(Duration::from_millis(timeout_ms), http.get(path)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {timeout_ms} ms")),
    }
}

fn answer_of(path: &str, answer: Result<(u16, Bytes), String>) -> Answer {
    match answer {
        Ok((200..=299, _)) => Answer::Ok,
        Ok((503, _)) => Answer::Loading,
        Ok((401 | 403, _)) => Answer::Failed(format!(
            "{path} refused the key: set key_file to the engine's key"
        )),
        Ok((status, _)) => Answer::Failed(format!("{path} answered with status {status}")),
        Err(error) => Answer::Failed(format!("{path}: {error}")),
    }
}

/// The ids in OpenAI's list of models.
fn served_names(body: &[u8]) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct List {
        data: Vec<Model>,
    }
    #[derive(Deserialize)]
    struct Model {
        id: String,
    }
    if body.len() > ANSWER_BYTES_MAX {
        return None;
    }
    let list: List = serde_json::from_slice(body).ok()?;
    let ids = list.data.into_iter().map(|model| model.id);
    Some(ids.take(SERVED_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An engine that answers from a table; a path that is not in it never answers.
    struct Table(&'static [(&'static str, u16, &'static str)]);

    impl ProbeHttp for Table {
        async fn get(&self, path: &str) -> Result<(u16, Bytes), String> {
            let Some((_, status, body)) = self.0.iter().find(|(known, _, _)| *known == path) else {
                return std::future::pending().await;
            };
            if *status == 0 {
                return Err((*body).to_owned());
            }
            Ok((*status, Bytes::from_static(body.as_bytes())))
        }
    }

    async fn ask(table: &'static [(&'static str, u16, &'static str)]) -> Served {
        let what = Probe {
            health_path: "/health".to_owned(),
            timeout_ms: 3_000,
            ask_models: true,
            ask_metrics: true,
        };
        probe(&Table(table), &what).await
    }

    const MODELS: &str = r#"{"object":"list","data":[{"id":"qwen","x":1},{"id":"e5"}]}"#;

    #[tokio::test(start_paused = true)]
    async fn a_sound_engine_tells_its_names_and_its_load() {
        let served = ask(&[
            ("/health", 200, ""),
            ("/v1/models", 200, MODELS),
            ("/metrics", 200, "llamacpp:requests_processing 2\n"),
        ])
        .await;
        assert!(served.is_ok());
        assert_eq!(served.load.unwrap().running, Some(2));
        assert_eq!(served.name_warning("qwen"), None);
        let warning = served.name_warning("qwen-0.5b").unwrap();
        assert!(warning.contains("it serves 'qwen', 'e5'"), "{warning}");
    }

    #[tokio::test(start_paused = true)]
    async fn health_is_read_from_status_models_or_silence() {
        let check = |served: Served, expected: Result<(), &str>| match (served.answer, expected) {
            (Answer::Ok, Ok(())) => {}
            (Answer::Loading, Err("loading")) => {}
            (Answer::Failed(reason), Err(part)) => assert!(reason.contains(part), "{reason}"),
            (answer, expected) => panic!("{answer:?}, expected {expected:?}"),
        };
        check(ask(&[("/health", 503, "")]).await, Err("loading"));
        check(ask(&[("/health", 500, "")]).await, Err("status 500"));
        check(ask(&[("/health", 401, "")]).await, Err("key_file"));
        check(
            ask(&[("/health", 0, "refused")]).await,
            Err("/health: refused"),
        );
        check(ask(&[]).await, Err("no answer within 3000 ms"));
        const NONE: (&str, u16, &str) = ("/health", 404, "");
        check(ask(&[NONE, ("/v1/models", 200, MODELS)]).await, Ok(()));
        check(
            ask(&[NONE, ("/v1/models", 404, "")]).await,
            Err("status 404"),
        );
        check(ask(&[NONE]).await, Err("/v1/models: no answer"));
        // Healthy, but the other two never answer, or answer with nonsense.
        check(ask(&[("/health", 200, "")]).await, Ok(()));
        const ODD: &[(&str, u16, &str)] = &[
            ("/health", 200, ""),
            ("/v1/models", 200, "{"),
            ("/metrics", 200, "<html>"),
        ];
        let served = ask(ODD).await;
        assert_eq!((served.models, served.load), (None, None));
    }
}
