//! Bodies, query strings and ids of paths, read into typed parameters; what is wrong names the parameter at fault.

use crate::refusal::Refusal;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path};
use http::Request;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use madang_types::ErrorCode;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Bytes of a body that are read.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;
/// The same, where a whole request of the data plane may be in it.
const LARGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Seconds that a body may take to arrive.
const BODY_READ_S_MAX: u64 = 10;
/// Letters of what a parser says that are passed on: it repeats the caller's values.
const MESSAGE_CHARS_MAX: usize = 300;

/// A JSON object.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub T);

/// A JSON object that may hold a whole request of the data plane.
#[derive(Debug)]
pub(crate) struct LargeBody<T>(pub T);

/// A query string.
#[derive(Debug)]
pub(crate) struct Query<T>(pub T);

/// The last segment of a path, as it came: what is no name names nothing.
#[derive(Debug)]
pub(crate) struct PathId(pub String);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request<Body>, _state: &S) -> Result<Self, Refusal> {
        let bytes = collect(request, BODY_BYTES_MAX).await?;
        body_read(&bytes).map(Self)
    }
}

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for LargeBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request<Body>, _state: &S) -> Result<Self, Refusal> {
        let bytes = collect(request, LARGE_BYTES_MAX).await?;
        body_read(&bytes).map(Self)
    }
}

async fn collect(request: Request<Body>, bytes_max: usize) -> Result<Bytes, Refusal> {
    let limited = Limited::new(request.into_body(), bytes_max);
    let reading = tokio::time::timeout(Duration::from_secs(BODY_READ_S_MAX), limited.collect());
    let read = reading.await.map_err(|_| {
        let message = format!("the body did not arrive within {BODY_READ_S_MAX} s");
        Refusal::new(ErrorCode::BodyTimeout, message)
    })?;
    let collected = read.map_err(|error| {
        if error.downcast_ref::<LengthLimitError>().is_some() {
            let message = format!("the body has more than {bytes_max} bytes");
            Refusal::new(ErrorCode::BodyTooLarge, message)
        } else {
            Refusal::new(ErrorCode::BodyNotJson, "the body broke off")
        }
    })?;
    Ok(collected.to_bytes())
}

fn body_read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    // Without this an array would do: structs are read from arrays too.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refusal::new(
            ErrorCode::BodyNotJson,
            "the body is not a JSON object",
        ));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        if error.is_data() {
            field_refusal(&path, &error.to_string())
        } else {
            not_json(&error)
        }
    })?;
    reader.end().map_err(|error| not_json(&error))?;
    Ok(value)
}

fn not_json(error: &serde_json::Error) -> Refusal {
    Refusal::new(
        ErrorCode::BodyNotJson,
        format!("the body is not JSON: {error}"),
    )
}

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        query_read(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

fn query_read<T: DeserializeOwned>(query: &str) -> Result<T, Refusal> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let reader = serde_urlencoded::Deserializer::new(pairs);
    serde_path_to_error::deserialize(reader)
        .map_err(|error| field_refusal(&error.path().to_string(), &error.inner().to_string()))
}

/// The last two segments of a path, as they came.
#[derive(Debug)]
pub(crate) struct PathPair(pub String, pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathPair {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        path.map(|Path((first, second))| Self(first, second))
            .map_err(|_| not_utf8())
    }
}

fn not_utf8() -> Refusal {
    Refusal::new(ErrorCode::NotFound, "the id in the path is not UTF-8")
}

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(id)| Self(id)).map_err(|_| not_utf8())
    }
}

/// The refusal for a parser's complaint about the field at `path`.
fn field_refusal(path: &str, said: &str) -> Refusal {
    let quoted = |before: &str| {
        let rest = said.strip_prefix(before)?.strip_prefix(" field `")?;
        rest.split('`').next().map(str::to_owned)
    };
    let (code, param) = if let Some(name) = quoted("missing") {
        (ErrorCode::FieldMissing, name)
    } else if let Some(name) = quoted("duplicate") {
        (ErrorCode::FieldDuplicate, name)
    } else if let Some(name) = quoted("unknown") {
        (ErrorCode::FieldInvalid, name)
    } else {
        (ErrorCode::FieldInvalid, path.to_owned())
    };
    let said: String = said.chars().take(MESSAGE_CHARS_MAX).collect();
    let param: String = param.chars().take(100).collect();
    Refusal::new(code, format!("{param}: {said}")).at(&param)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only its reading is looked at")]
        id: madang_types::TenantId,
        #[serde(default)]
        #[expect(dead_code, reason = "only its reading is looked at")]
        weight: u32,
    }

    async fn refused(result: Result<Sample, Refusal>) -> (String, Option<String>) {
        let response = result.expect_err("it is refused").into_response();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let error = &value["error"];
        let param = error["param"].as_str().map(str::to_owned);
        (error["code"].as_str().unwrap().to_owned(), param)
    }

    #[tokio::test]
    async fn bodies_that_are_wrong_name_the_field() {
        let check = async |body: &str, code: &str, param: Option<&str>| {
            let (got, at) = refused(body_read(body.as_bytes())).await;
            assert_eq!((got.as_str(), at.as_deref()), (code, param), "{body}");
        };
        check("", "body_not_json", None).await;
        check("[\"a\", 1]", "body_not_json", None).await;
        check("{\"id\": ", "body_not_json", None).await;
        check("{\"id\": \"a\"} x", "body_not_json", None).await;
        check("{}", "field_missing", Some("id")).await;
        check("{\"id\": \"a b\"}", "field_invalid", Some("id")).await;
        check("{\"id\": 7}", "field_invalid", Some("id")).await;
        check(
            "{\"id\": \"a\", \"weight\": -1}",
            "field_invalid",
            Some("weight"),
        )
        .await;
        check(
            "{\"id\": \"a\", \"wieght\": 1}",
            "field_invalid",
            Some("wieght"),
        )
        .await;
        check(
            "{\"id\": \"a\", \"id\": \"b\"}",
            "field_duplicate",
            Some("id"),
        )
        .await;
    }

    #[tokio::test]
    async fn query_strings_that_are_wrong_name_the_parameter() {
        let check = async |query: &str, code: &str, param: &str| {
            let (got, at) = refused(query_read(query)).await;
            assert_eq!(
                (got.as_str(), at.as_deref()),
                (code, Some(param)),
                "{query}"
            );
        };
        check("", "field_missing", "id").await;
        check("id=a&weight=x", "field_invalid", "weight").await;
        check("id=%20", "field_invalid", "id").await;
        check("id=a&id=b", "field_duplicate", "id").await;
        check("id=a&colour=red", "field_invalid", "colour").await;
    }
}
