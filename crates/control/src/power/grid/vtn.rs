//! A grid's server as it is asked: a token, its programs, its events, page by page, within bounds of time and size.

use super::wire::Program;
use crate::power::meter::key_text;
use bytes::Bytes;
use form_urlencoded::Serializer;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use madang_fleet::Vtn;
use madang_gateway::client::{EngineAddress, EngineClient};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Bytes of one answer that are taken.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Time of one answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// Rows asked for at once: the most that the standard allows.
const PAGE_ROWS: usize = 50;
/// Pages of one list.
const PAGES_MAX: usize = 40;
/// A token is asked for anew so long before it ends.
const TOKEN_SPARE: Duration = Duration::from_secs(30);
/// What does not say how long it holds is believed so long, and no token longer than a day.
const TOKEN_USUAL_S: u64 = 600;
const TOKEN_MAX_S: u64 = 86_400;

/// Why a server's orders are not known, in words for the operator. Holds nothing secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct VtnError(pub String);

fn failed<T>(why: impl Into<String>) -> Result<T, VtnError> {
    Err(VtnError(why.into()))
}

/// One server.
pub(super) struct VtnClient {
    row: Vtn,
    client: EngineClient,
    token: Option<(HeaderValue, Instant)>,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct AuthServer {
    #[serde(rename = "tokenURL")]
    token_url: String,
}

impl VtnClient {
    pub(super) fn new(row: Vtn, client: EngineClient) -> Self {
        Self {
            row,
            client,
            token: None,
        }
    }

    /// Names of the programs that count, by the server's names of them; `None` where all do.
    pub(super) async fn programs(&mut self) -> Result<Option<BTreeMap<String, String>>, VtnError> {
        if self.row.programs.is_empty() {
            return Ok(None);
        }
        let mut known = BTreeMap::new();
        for value in self.list("/programs").await? {
            // One that cannot be read is none that is named.
            if let Ok(Program { id, program_name }) = Program::deserialize(value)
                && self.row.programs.contains(&program_name)
            {
                known.insert(id, program_name);
            }
        }
        let names = self.row.programs.iter();
        let absent: Vec<&str> = names
            .filter(|name| known.values().all(|known| known != *name))
            .map(String::as_str)
            .collect();
        match absent.is_empty() {
            true => Ok(Some(known)),
            false => failed(format!("it has no program {}", absent.join(", "))),
        }
    }

    /// All events that it shows.
    pub(super) async fn events(&mut self) -> Result<Vec<Value>, VtnError> {
        self.list("/events").await
    }

    async fn list(&mut self, path: &str) -> Result<Vec<Value>, VtnError> {
        let mut rows = Vec::new();
        for _ in 0..PAGES_MAX {
            let page = format!("{path}?skip={}&limit={PAGE_ROWS}", rows.len());
            let (status, body) = self.get(&page).await?;
            let is_refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            if is_refused {
                // The next try asks for a new one.
                self.token = None;
            }
            if status != StatusCode::OK {
                return failed(format!("{path} answers {}", status.as_u16()));
            }
            let Ok(Value::Array(more)) = serde_json::from_slice(&body) else {
                return failed(format!("{path} answers with no list in JSON"));
            };
            let count = more.len();
            rows.extend(more);
            if count < PAGE_ROWS {
                return Ok(rows);
            }
        }
        failed(format!(
            "{path} has more than {} rows",
            PAGES_MAX * PAGE_ROWS
        ))
    }

    async fn get(&mut self, path: &str) -> Result<(StatusCode, Bytes), VtnError> {
        let token = self.token().await?;
        let mut headers = HeaderMap::new();
        headers.extend(token.map(|token| (AUTHORIZATION, token)));
        let base = self.row.url.clone();
        self.ask((&base, path), (Method::GET, headers), None).await
    }

    /// What it is shown, where it knows us by a name.
    async fn token(&mut self) -> Result<Option<HeaderValue>, VtnError> {
        let (Some(id), Some(file)) = (&self.row.client_id, &self.row.client_secret_file) else {
            return Ok(None);
        };
        if let Some((token, until)) = &self.token
            && Instant::now() < *until
        {
            return Ok(Some(token.clone()));
        }
        let Some(secret) = key_text(file).await else {
            // The path is told, what stands in it is not.
            return failed(format!("its secret file {} cannot be used", file.display()));
        };
        let form = self.form(id, &secret);
        let place = self.token_place().await?;
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, kind);
        let asked = (Method::POST, headers);
        let (status, body) = self.ask((&place.0, &place.1), asked, Some(form)).await?;
        if !status.is_success() {
            return failed(format!("it gives no token: {}", status.as_u16()));
        }
        let token: Token = match serde_json::from_slice(&body) {
            Ok(token) => token,
            Err(_) => return failed("what it gives as a token is none"),
        };
        let value = HeaderValue::try_from(format!("Bearer {}", token.access_token));
        let Ok(mut value) = value else {
            return failed("what it gives as a token is none");
        };
        value.set_sensitive(true);
        let lasts_s = token.expires_in.unwrap_or(TOKEN_USUAL_S).min(TOKEN_MAX_S);
        let lasts = Duration::from_secs(lasts_s).saturating_sub(TOKEN_SPARE);
        self.token = Some((value.clone(), Instant::now() + lasts));
        Ok(Some(value))
    }

    fn form(&self, id: &str, secret: &str) -> String {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials")
            .append_pair("client_id", id)
            .append_pair("client_secret", secret);
        if let Some(scope) = &self.row.scope {
            form.append_pair("scope", scope);
        }
        form.finish()
    }

    /// Where tokens are given: as the file says, as the server does (3.1), or where 3.0 has it.
    async fn token_place(&self) -> Result<(String, String), VtnError> {
        if let Some(url) = &self.row.token_url {
            return split(url);
        }
        let asked = (Method::GET, HeaderMap::new());
        let base = &self.row.url;
        let (status, body) = self.ask((base, "/auth/server"), asked, None).await?;
        if status != StatusCode::OK {
            return Ok((base.clone(), "/auth/token".to_owned()));
        }
        let Ok(AuthServer { token_url }) = serde_json::from_slice(&body) else {
            return failed("what /auth/server says is no address for tokens");
        };
        match keeps_secrets(&token_url) {
            true => split(&token_url),
            false => {
                failed("it would have the secret sent unencrypted: name `token_url` with https://")
            }
        }
    }

    async fn ask(
        &self,
        (base, path): (&str, &str),
        (method, headers): (Method, HeaderMap),
        form: Option<String>,
    ) -> Result<(StatusCode, Bytes), VtnError> {
        let address = EngineAddress::parse(base).map_err(|error| VtnError(error.to_string()))?;
        let mut request = Request::new(Vec::new());
        let target = path.parse();
        *request.uri_mut() = target.map_err(|_| VtnError("its address is none".to_owned()))?;
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(ACCEPT, json);
        request.body_mut().extend(form.map(Bytes::from));
        let asked = async {
            let answer = self.client.request(&address, request).await;
            let answer = answer.map_err(|error| VtnError(error.to_string()))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect();
            let cut = |_| VtnError("its answer broke off or is too large".to_owned());
            Ok((status, body.await.map_err(cut)?.to_bytes()))
        };
        let late = |_| VtnError(format!("no answer within {} s", ANSWER_TIME_MAX.as_secs()));
        timeout(ANSWER_TIME_MAX, asked).await.map_err(late)?
    }
}

/// What of a URL names the server, and what stands behind it.
fn split(url: &str) -> Result<(String, String), VtnError> {
    let none = || VtnError("its address for tokens is none".to_owned());
    let url: Uri = url.parse().map_err(|_| none())?;
    let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
        return Err(none());
    };
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    Ok((format!("{scheme}://{authority}"), path.to_owned()))
}

/// Whether what is sent there is encrypted, or never leaves this machine.
fn keeps_secrets(url: &str) -> bool {
    let Ok(url) = url.parse::<Uri>() else {
        return false;
    };
    let has_user = url.authority().is_none_or(|at| at.as_str().contains('@'));
    let host = url.host().unwrap_or_default();
    let ip = host.trim_start_matches('[').trim_end_matches(']');
    let is_here = host == "localhost" || ip.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    !has_user
        && match url.scheme_str() {
            Some("https") => true,
            Some("http") => is_here,
            _ => false,
        }
}

#[cfg(test)]
mod tests;
