//! The commands' way to a running server: its control API over plain HTTP on this machine or the one named.
//!
//! Where the server is and which key to use come from flags, else from the data folder: the key of a sign-in before the operator's. No redirect is followed and
//! every wait and every answer has a bound.

use crate::args::ServerArgs;
use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest wait for a connection.
const CONNECT_MS_MAX: u64 = 5_000;
/// Longest wait for an answer.
const ANSWER_MS_MAX: u64 = 60_000;
/// Longest wait for a reload: it may fetch weights first.
const RELOAD_MS_MAX: u64 = 3_600_000;
/// The greatest answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The greatest key file: a key has far fewer bytes.
const KEY_FILE_BYTES_MAX: u64 = 4096;

/// A client of one server's control API.
pub struct ApiClient {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
    /// The key, and the file that it is from.
    key: Option<(String, PathBuf)>,
}

/// An answer with a status of success.
#[derive(Debug)]
pub struct Answer {
    /// The body as it came.
    pub text: String,
    /// Its headers.
    pub headers: HeaderMap,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.text).context("the server's answer is not JSON: is it a Madang?")
    }
}

/// The server refused. Shown as its message, its code and what mends it.
#[derive(Debug)]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// The `error` object of the body; null where the body has none.
    pub error: Value,
    /// What this side knows about it.
    note: Option<String>,
}

impl ApiError {
    fn field(&self, name: &str) -> Option<&str> {
        self.error[name].as_str().filter(|text| !text.is_empty())
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field("message") {
            Some(message) => write!(f, "{message}")?,
            None => write!(
                f,
                "the server answered with status {} and no reason",
                self.status
            )?,
        }
        if let Some(code) = self.field("code") {
            write!(f, " ({code})")?;
        }
        if let Some(note) = &self.note {
            write!(f, "\n  {note}")?;
        }
        match self.field("remedy") {
            Some(remedy) => write!(f, "\n  help: {remedy}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ApiError {}

impl ApiClient {
    /// Finds the server and the key.
    ///
    /// # Errors
    /// No server runs on the data folder, or the key cannot be read.
    pub fn new(args: &ServerArgs) -> anyhow::Result<Self> {
        Self::with_key(args, key_file(args))
    }

    /// Finds the server, and asks it with the key of this file.
    ///
    /// # Errors
    /// As [`ApiClient::new`].
    pub fn with_key(args: &ServerArgs, file: PathBuf) -> anyhow::Result<Self> {
        let client = Self::without_key(args)?;
        let key = Some((read_key(&file)?, file));
        Ok(Self { key, ..client })
    }

    /// Finds the server, and asks it without a key.
    ///
    /// # Errors
    /// No server runs on the data folder.
    pub fn without_key(args: &ServerArgs) -> anyhow::Result<Self> {
        let base = match &args.url {
            Some(url) => base_url(url).with_context(|| format!("--url {url} cannot be used"))?,
            None => running_server(args)?,
        };
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(Duration::from_millis(CONNECT_MS_MAX)));
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let key = None;
        Ok(Self { client, base, key })
    }

    /// Where the server is, without a slash at its end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, None).await
    }

    /// Makes, or has something done.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Changes what is given.
    pub async fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(Method::PATCH, path, Some(body)).await
    }

    /// Removes.
    pub async fn delete(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::DELETE, path, None).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let wait_ms = if path == "/api/v1/reload" {
            RELOAD_MS_MAX
        } else {
            ANSWER_MS_MAX
        };
        let asking = self.ask(method, path, body);
        let answer = tokio::time::timeout(Duration::from_millis(wait_ms), asking).await;
        let (status, headers, text) = answer
            .map_err(|_| anyhow!("{} did not answer within {} s", self.base, wait_ms / 1000))??;
        if (200..300).contains(&status) {
            return Ok(Answer { text, headers });
        }
        let mut body: Value = serde_json::from_str(&text).unwrap_or_default();
        let error = body.get_mut("error").map(Value::take).unwrap_or_default();
        let file = self.key.as_ref().filter(|_| status == 401);
        let note = file.map(|(_, file)| format!("the key is the one in {}", file.display()));
        Err(ApiError {
            status,
            error,
            note,
        }
        .into())
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, HeaderMap, String)> {
        let bytes = body
            .map(|body| Bytes::from(body.to_string()))
            .unwrap_or_default();
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        if let Some((key, file)) = &self.key {
            let bearer = http::HeaderValue::from_str(&format!("Bearer {key}"));
            let mut bearer = bearer.map_err(|_| {
                anyhow!(
                    "the key in {} holds characters that no key has",
                    file.display()
                )
            })?;
            bearer.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, bearer);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(bytes))?;
        let response = self
            .client
            .request(request)
            .await
            .map_err(|error| self.unreachable(&error))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body =
            body.map_err(|error| anyhow!("the answer of {} broke off: {error}", self.base))?;
        Ok((
            parts.status.as_u16(),
            parts.headers,
            String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        ))
    }

    fn unreachable(&self, error: &hyper_util::client::legacy::Error) -> anyhow::Error {
        let base = &self.base;
        if error.is_connect() {
            anyhow!(
                "no server answers at {base}\n  help: start one with `madang up`, or name another with --url"
            )
        } else {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            anyhow!(
                "the server at {base} broke off: {}",
                cause.unwrap_or_else(|| error.to_string())
            )
        }
    }
}

/// A base URL without a slash at its end.
fn base_url(text: &str) -> anyhow::Result<String> {
    let base = text.trim_end_matches('/');
    let uri: Uri = base.parse().context("it is not a URL")?;
    match uri.scheme_str() {
        Some("http") if uri.host().is_some() && uri.query().is_none() => Ok(base.to_owned()),
        Some("https") => bail!(
            "the commands speak plain HTTP: use them on the server's own machine, or through a tunnel"
        ),
        _ => bail!("it looks like http://127.0.0.1:7080"),
    }
}

/// The address that the server on this data folder wrote down.
fn running_server(args: &ServerArgs) -> anyhow::Result<String> {
    let shown = args.data.display();
    let text = match std::fs::read_to_string(args.data.join("server.json")) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!(
                "no server runs on the data folder {shown}\n  help: start one with `madang up`, or name its folder with --data or its address with --url"
            )
        }
        Err(error) => {
            return Err(anyhow!(error).context(format!("cannot read {shown}/server.json")));
        }
    };
    let server: Value =
        serde_json::from_str(&text).with_context(|| format!("{shown}/server.json is not JSON"))?;
    let url = server["url"]
        .as_str()
        .with_context(|| format!("{shown}/server.json names no url"))?;
    base_url(url).with_context(|| format!("{shown}/server.json names {url}"))
}

/// The file of the key to use: the one named, else that of a sign-in, else the operator's.
fn key_file(args: &ServerArgs) -> PathBuf {
    let signed_in = sign_in_file(args);
    if args.key_file.is_some() || signed_in.exists() {
        return signed_in;
    }
    args.data.join("operator.key")
}

/// The file of the key that is had by signing in: the one named, else one of the data folder.
pub fn sign_in_file(args: &ServerArgs) -> PathBuf {
    let named = args.key_file.clone();
    named.unwrap_or_else(|| args.data.join("sign-in.key"))
}

/// Reads a key from its file.
///
/// # Errors
/// The file cannot be read, or holds none.
pub fn read_key(path: &Path) -> anyhow::Result<String> {
    use std::io::Read;
    let shown = path.display();
    let help =
        "help: name the file of an operator key with --key-file, or sign in with `madang login`";
    let file = std::fs::File::open(path)
        .with_context(|| format!("cannot read the key file {shown}\n  {help}"))?;
    let mut text = String::new();
    let read = file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text);
    read.with_context(|| format!("cannot read the key file {shown}"))?;
    let key = text.trim();
    if !key.starts_with("mdg_") || key.contains(char::is_whitespace) {
        bail!("{shown} holds no key: one line that begins with mdg_ is looked for\n  {help}");
    }
    Ok(key.to_owned())
}

/// A path of the API with parameters, those that are given.
pub fn path_with(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let mut out = path.to_owned();
    let mut mark = '?';
    for (name, value) in parameters {
        if let Some(value) = value {
            out.push(mark);
            out.push_str(name);
            out.push('=');
            out.push_str(&escape(value));
            mark = '&';
        }
    }
    out
}

/// A value as it may stand in a path or a query.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_escaped() {
        assert_eq!(escape("a/b c?한"), "a%2Fb%20c%3F%ED%95%9C");
        let path = path_with("/x", &[("a", Some("1+2")), ("b", None), ("c", Some("&"))]);
        assert_eq!(path, "/x?a=1%2B2&c=%26");
    }

    #[test]
    fn base_urls_lose_their_last_slash_and_bad_ones_are_refused() {
        assert_eq!(base_url("http://h:1/").unwrap(), "http://h:1");
        for bad in ["https://h", "h:1", "ftp://h", "http://", ""] {
            assert!(base_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn refusals_show_message_code_and_remedy() {
        let error = json!({"message": "there is no tenant 'x'", "code": "not_found", "remedy": "Check the id."});
        let refused = ApiError {
            status: 404,
            error,
            note: None,
        };
        assert_eq!(
            refused.to_string(),
            "there is no tenant 'x' (not_found)\n  help: Check the id."
        );
        let bare = ApiError {
            status: 502,
            error: Value::Null,
            note: None,
        };
        assert_eq!(
            bare.to_string(),
            "the server answered with status 502 and no reason"
        );
    }
}
