//! A terminal signs in, by a browser in which its person has.

use super::Result;
use super::sign_in::{NOT_KEPT, invalid, provider, sent_to};
use crate::caller::Caller;
use crate::extract::{JsonBody, Query};
use crate::params::{TerminalQuery, TerminalTrade};
use crate::refusal::Refusal;
use crate::sign_in::Asked;
use crate::sign_in::cookie::Cookie;
use crate::sign_in::signed_in::{self, is_sign_in};
use crate::state::Api;
use crate::views::KeyView;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use madang_gateway::keyring::Identity;
use madang_types::ErrorCode;
use std::sync::Arc;
use std::time::Instant;

/// The page on which a person allows a terminal, after a sign-in where there is none.
pub(crate) async fn terminal_ask(
    State(api): State<Arc<Api>>,
    uri: Uri,
    headers: HeaderMap,
    Query(query): Query<TerminalQuery>,
) -> Result<Response> {
    let provider = provider(&api, &uri)?;
    let (asked, public) = (read(query)?, &provider.settings.public);
    match signed_in::identify(api.gateway(), (&Method::GET, &headers)) {
        Ok(Some(identity)) => page(&asked, &identity),
        // Another sign-in would not mend that.
        Err(refusal) if Cookie::SignedIn.read(public, &headers).is_err() => Err(refusal),
        // The provider sends people back to where all can see us, which need not be where the terminal asks.
        Ok(None) | Err(_) => {
            let return_to = form_urlencoded::Serializer::new(String::new())
                .append_pair("return_to", &asked.page())
                .finish();
            sent_to(&format!("{public}/auth/login?{return_to}"), [])
        }
    }
}

/// Sends the browser to the terminal with a code. What comes with a cookie must come from our own page.
pub(crate) async fn terminal_allow(
    Caller(identity): Caller,
    State(api): State<Arc<Api>>,
    uri: Uri,
    Query(query): Query<TerminalQuery>,
) -> Result<Response> {
    provider(&api, &uri)?;
    let asked = read(query)?;
    if !is_sign_in(&identity.key) {
        let message = "a key allows no terminal: sign in at /auth/login";
        return Err(Refusal::conflict(message));
    }
    let code = api.terminals.issue(identity.key, &asked, Instant::now());
    let code = code.ok_or_else(|| {
        let message = "too many terminals wait for their keys: try again in a minute";
        Refusal::new(ErrorCode::SignInUnavailable, message)
    })?;
    sent_to(&asked.answered(&code), [])
}

/// Gives a key for a code, to who has its verifier.
pub(crate) async fn terminal_key(
    State(api): State<Arc<Api>>,
    uri: Uri,
    JsonBody(TerminalTrade { code, verifier }): JsonBody<TerminalTrade>,
) -> Result<Response> {
    provider(&api, &uri)?;
    let taken = api.terminals.take(&code, &verifier, Instant::now());
    let by = taken.ok_or_else(|| {
        invalid("the code is another terminal's, was used, is older than a minute, or was given by another gateway")
    })?;
    let (row, key) = signed_in::begin_beside(&api, &by).await?;
    let view = Json(KeyView::made(&row, key));
    Ok((StatusCode::CREATED, [NOT_KEPT], view).into_response())
}

fn read(query: TerminalQuery) -> Result<Asked> {
    Asked::read(query)
        .map_err(|(field, expected)| Refusal::new(ErrorCode::FieldInvalid, expected).at(field))
}

/// The page: no script, in nobody's frame, and its one button leads to the terminal.
fn page(asked: &Asked, identity: &Identity) -> Result<Response> {
    let policy = format!(
        "default-src 'none'; form-action 'self' {}; frame-ancestors 'none'; base-uri 'none'",
        asked.to().trim_end_matches('/')
    );
    let policy =
        HeaderValue::from_str(&policy).map_err(|_| invalid("redirect_uri is no address"))?;
    let of = [
        identity
            .tenant
            .as_ref()
            .map(|id| format!(" of the tenant {id}")),
        identity
            .programme
            .as_ref()
            .map(|id| format!(" of the programme {id}")),
    ];
    let of = of.into_iter().flatten().next().unwrap_or_default();
    // Every text here is a name or was checked letter by letter; of HTML's signs a query has `&` alone.
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Madang</title><h1>Sign in a terminal?</h1>\
         <p>A program on this machine, at {to}, asks for a key with which it may do what you may ({role}{of}), until this sign-in \
         ends.</p><p>Go on only if you began this yourself and your terminal shows <strong>{shown}</strong>.</p>\
         <form method=\"post\" action=\"{action}\"><button>Sign in the terminal</button></form></html>",
        to = asked.to(),
        role = identity.role,
        shown = asked.shown(),
        action = asked.page().replace('&', "&amp;"),
    );
    const TYPE: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
    let headers: [(HeaderName, HeaderValue); 4] = [
        (header::CONTENT_TYPE, TYPE),
        (header::CONTENT_SECURITY_POLICY, policy),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("same-origin"),
        ),
        NOT_KEPT,
    ];
    Ok((headers, html).into_response())
}
