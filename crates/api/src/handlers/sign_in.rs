//! People sign in and out, in a browser.

use super::{Result, nothing_at};
use crate::caller::Caller;
use crate::extract::Query;
use crate::params::LoginQuery;
use crate::refusal::Refusal;
use crate::sign_in::cookie::Cookie;
use crate::sign_in::signed_in::{self, Person};
use crate::sign_in::{Answer, LOGIN_SECONDS_MAX, Login, ReturnTo, SignInError, mapped};
use crate::state::Api;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use madang_fleet::SignInRule;
use madang_gateway::snapshot::Provider;
use madang_types::ErrorCode;
use std::sync::Arc;

/// Of an answer with a cookie or a place for one person alone.
pub(super) const NOT_KEPT: (HeaderName, HeaderValue) =
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// Sends a person to the provider.
pub(crate) async fn login_begin(
    State(api): State<Arc<Api>>,
    uri: Uri,
    Query(LoginQuery { return_to }): Query<LoginQuery>,
) -> Result<Response> {
    let provider = provider(&api, &uri)?;
    let return_to = match &return_to {
        None => ReturnTo::default(),
        Some(text) => ReturnTo::new(text).ok_or_else(|| {
            let message = "return_to is a path of this Madang, such as /console";
            Refusal::new(ErrorCode::FieldInvalid, message).at("return_to")
        })?,
    };
    let login = Login::new(return_to);
    let client = &api.gateway().client;
    let url = api
        .providers
        .authorization_url(client, &provider, &login)
        .await?;
    let public = &provider.settings.public;
    let cookie = Cookie::Login.set(public, &login.cookie(), LOGIN_SECONDS_MAX);
    sent_to(&url, [cookie])
}

/// Takes a person back from the provider, with a sign-in or with the reason why there is none.
pub(crate) async fn login_finish(
    State(api): State<Arc<Api>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response> {
    let provider = provider(&api, &uri)?;
    let public = &provider.settings.public;
    let answer = answer(uri.query().unwrap_or_default())?;
    let login = Cookie::Login.read(public, &headers).ok().flatten();
    let login = login
        .and_then(Login::read)
        .ok_or_else(|| invalid("this browser has begun no sign-in here, or too long ago"))?;
    if !login.is_state(&provider.settings.issuer, &answer.state) {
        return Err(invalid(
            "the answer belongs to another sign-in than this browser's last",
        ));
    }
    // From here on the sign-in that was begun is over, one way or the other.
    let over = Cookie::Login.set(public, "", 0);
    match sign_in_of(&api, &provider, (&login, answer)).await {
        Ok((key, seconds)) => {
            let cookie = Cookie::SignedIn.set(public, &key, seconds);
            sent_to(login.return_to.as_str(), [cookie, over])
        }
        Err(refusal) => Ok(([(header::SET_COOKIE, over), NOT_KEPT], refusal).into_response()),
    }
}

/// Ends the sign-in that asks.
pub(crate) async fn logout(
    caller: Caller,
    State(api): State<Arc<Api>>,
    uri: Uri,
) -> Result<Response> {
    let provider = provider(&api, &uri)?;
    signed_in::end_one(&api, &caller.0.key).await?;
    let gone = Cookie::SignedIn.set(&provider.settings.public, "", 0);
    Ok((
        StatusCode::NO_CONTENT,
        [(header::SET_COOKIE, gone), NOT_KEPT],
    )
        .into_response())
}

/// The sign-in of the person that the provider's answer is about: its key, and its seconds.
async fn sign_in_of(
    api: &Api,
    provider: &Arc<Provider>,
    login: (&Login, Answer),
) -> Result<(String, u64)> {
    let client = &api.gateway().client;
    let claims = api.providers.claims(client, provider, login).await?;
    let settings = &provider.settings;
    let person = Person {
        issuer: &settings.issuer,
        subject: &claims.subject,
    };
    let why = match mapped(settings, &claims) {
        None => "no rule of the fleet file holds for you".to_owned(),
        Some(rule) => match missing(api, rule).await? {
            None => return signed_in::begin(api, (settings, person), rule).await,
            Some(missing) => missing,
        },
    };
    signed_in::end_all(api, person).await?;
    Err(Refusal::new(ErrorCode::SignInUnmapped, why))
}

/// What a rule names and is not there: rows that the API makes stand in no fleet file.
async fn missing(api: &Api, rule: &SignInRule) -> Result<Option<String>> {
    let store = api.store();
    let (what, disabled_at) = match (&rule.tenant, &rule.programme) {
        (Some(id), _) => {
            let row = store.tenant_get(id.clone()).await?;
            (format!("tenant '{id}'"), row.map(|row| row.disabled_at))
        }
        (None, Some(id)) => {
            let row = store.programme_get(id.clone()).await?;
            (format!("programme '{id}'"), row.map(|row| row.disabled_at))
        }
        (None, None) => return Ok(None),
    };
    let told = || format!("the rule that holds for you names the {what}, which is not there");
    Ok((disabled_at != Some(None)).then(told))
}

pub(super) fn provider(api: &Api, uri: &Uri) -> Result<Arc<Provider>> {
    let provider = api.gateway().snapshot().sign_in.clone();
    provider.ok_or_else(|| nothing_at(uri))
}

/// What the provider sends back: each of these once, and whatever else.
fn answer(query: &str) -> Result<Answer> {
    let (mut state, mut answer) = (None, Answer::default());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let place = match &*name {
            "state" => &mut state,
            "code" => &mut answer.code,
            "error" => &mut answer.error,
            "iss" => &mut answer.issuer,
            _ => continue,
        };
        if place.replace(value.into_owned()).is_some() {
            return Err(invalid(&format!("the answer has '{name}' twice")));
        }
    }
    answer.state = state.ok_or_else(|| invalid("the answer has no state"))?;
    Ok(answer)
}

pub(super) fn sent_to<const N: usize>(place: &str, cookies: [HeaderValue; N]) -> Result<Response> {
    let place = HeaderValue::from_str(place)
        .map_err(|_| SignInError::Unavailable("it is at no URL that a browser takes".into()))?;
    let mut response =
        (StatusCode::SEE_OTHER, [(header::LOCATION, place), NOT_KEPT]).into_response();
    for cookie in cookies {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

pub(super) fn invalid(message: &str) -> Refusal {
    Refusal::new(ErrorCode::SignInInvalid, message)
}

impl From<SignInError> for Refusal {
    fn from(error: SignInError) -> Self {
        let code = match &error {
            SignInError::Unavailable(_) => ErrorCode::SignInUnavailable,
            SignInError::Invalid(_) => ErrorCode::SignInInvalid,
        };
        Self::new(code, error.to_string())
    }
}
