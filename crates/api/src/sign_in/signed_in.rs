//! Sign-ins: a signed-in person's keys. Each person has a few rows of keys, which are used again, so that signing in every day
//! leaves no more rows than people.

use super::cookie::{Ambiguous, Cookie};
use super::derived_hex;
use crate::params::LABEL_CHARS_MAX;
use crate::refusal::Refusal;
use crate::state::Api;
use http::{HeaderMap, Method, header};
use madang_fleet::{OriginAddress, SignIn, SignInRule};
use madang_gateway::clock;
use madang_gateway::doors::identify_key;
use madang_gateway::gateway::Gateway;
use madang_gateway::keyring::{Identity, KeySecret, hash_secret, key_text};
use madang_gateway::refused::Refused;
use madang_types::{DataClass, DataFlags, ErrorCode, KeyId, KeyRecord};
use std::sync::Arc;

/// Sign-ins of one person at once; a further one ends the oldest.
const SIGN_INS_MAX: usize = 4;
/// How ids of sign-ins begin. Keys that are made have ids without a `-`.
const ID_PREFIX: &str = "sid-";
/// Separates this use of BLAKE3 from every other.
const SUBJECT_CONTEXT: &str = "madang 2026 sign-in subject v1";
const HOUR_S: u64 = 3_600;
/// What to do where a sign-in is none any more.
const SIGN_IN_AGAIN: &str = "Sign in again: /auth/login.";
const FETCH_SITE: &str = "sec-fetch-site";

/// A person, as the provider names it.
#[derive(Clone, Copy)]
pub(crate) struct Person<'p> {
    pub issuer: &'p str,
    pub subject: &'p str,
}

impl Person<'_> {
    /// The ids of the person's sign-ins.
    fn ids(self) -> impl Iterator<Item = KeyId> + use<> {
        let Self { issuer, subject } = self;
        let hex = derived_hex(SUBJECT_CONTEXT, &format!("{issuer} {subject}"));
        ids_of(&hex[..32])
    }

    fn label(self) -> String {
        let subject = self.subject.chars().filter(|c| !c.is_control());
        "oidc:"
            .chars()
            .chain(subject)
            .take(LABEL_CHARS_MAX)
            .collect()
    }
}

/// The ids of the sign-ins of the person with this part of them.
fn ids_of(person: &str) -> impl Iterator<Item = KeyId> + use<> {
    let person = person.to_owned();
    (0..SIGN_INS_MAX).map(move |place| {
        let text = format!("{ID_PREFIX}{person}-{place}");
        KeyId::new(&text).expect("letters, digits and '-' are a name")
    })
}

/// The ids of all sign-ins of the person of this one.
fn places(key: &KeyId) -> Vec<KeyId> {
    let text = key.as_str();
    let text = text.strip_prefix(ID_PREFIX).unwrap_or(text);
    let person = text.rsplit_once('-').map_or(text, |(person, _)| person);
    ids_of(person).collect()
}

/// Whether a key is a sign-in's.
pub(crate) fn is_sign_in(key: &KeyId) -> bool {
    key.as_str().starts_with(ID_PREFIX)
}

/// Begins a sign-in of a person: its key, whole. Sign-ins that were given something else than this one end.
///
/// # Errors
/// The books or the audit log cannot be written: nobody is signed in.
pub(crate) async fn begin(
    api: &Api,
    (settings, person): (&SignIn, Person<'_>),
    rule: &SignInRule,
) -> Result<(String, u64), Refusal> {
    let _changing = api.changing.lock().await;
    let now = clock::now();
    let seconds = u64::from(settings.valid_hours) * HOUR_S;
    let ids: Vec<KeyId> = person.ids().collect();
    let row = KeyRecord {
        id: ids[0].clone(),
        tenant: rule.tenant.clone(),
        programme: rule.programme.clone(),
        project: None,
        role: rule.role,
        terms: Arc::default(),
        class_floor: DataClass::default(),
        data_flags: DataFlags::NONE,
        label: person.label(),
        secret_hash: [0; 32],
        created_at: now,
        expires_at: Some(now.plus_ms(seconds * 1000)),
        revoked_at: None,
    };
    let (_, key) = put(api, ids, row).await?;
    Ok((key, seconds))
}

/// Begins another sign-in of the person of this one, for a terminal: with the same rights and the same end.
///
/// # Errors
/// That one is over; the books or the audit log cannot be written.
pub(crate) async fn begin_beside(api: &Api, key: &KeyId) -> Result<(KeyRecord, String), Refusal> {
    let _changing = api.changing.lock().await;
    let now = clock::now();
    let row = api.store().key_get(key.clone()).await?;
    let row = row.filter(|row| is_sign_in(&row.id) && row.is_in_force(now));
    let row = row.ok_or_else(|| {
        let message = "the browser's sign-in ended before its terminal's began";
        Refusal::new(ErrorCode::SignInInvalid, message)
    })?;
    let beside = KeyRecord {
        created_at: now,
        ..row
    };
    put(api, places(key), beside).await
}

/// Writes a sign-in at one of a person's ids, in place of the oldest: with its secret, whole. Those that were given something else end.
async fn put(api: &Api, ids: Vec<KeyId>, row: KeyRecord) -> Result<(KeyRecord, String), Refusal> {
    let mut places: Vec<(KeyId, Option<KeyRecord>)> = Vec::new();
    for id in ids {
        let live = api.store().key_get(id.clone()).await?;
        let live = live.filter(|live| live.is_in_force(row.created_at));
        let given = |row: &KeyRecord| (row.role, row.tenant.clone(), row.programme.clone());
        match live {
            Some(live) if given(&live) != given(&row) => {
                end(api, live).await?;
                places.push((id, None));
            }
            live => places.push((id, live)),
        }
    }
    // An empty place is older than every sign-in.
    places.sort_by_key(|(_, live)| live.as_ref().map(|row| row.created_at));
    let (id, replaced) = places.swap_remove(0);
    if let Some(row) = replaced {
        end(api, row).await?;
    }
    let (_, secret) = KeySecret::generate();
    let row = KeyRecord {
        id,
        secret_hash: hash_secret(&secret),
        ..row
    };
    // Logged first: nobody is signed in unlogged.
    api.gateway().audit.sign_in(&row, true).await?;
    api.store().key_put(row.clone()).await?;
    api.gateway().key_apply(row.clone());
    let key = key_text(&row.id, &secret);
    Ok((row, key))
}

/// Ends all sign-ins of a person who may do nothing any more.
///
/// # Errors
/// The books or the audit log cannot be written.
pub(crate) async fn end_all(api: &Api, person: Person<'_>) -> Result<(), Refusal> {
    let _changing = api.changing.lock().await;
    for id in person.ids() {
        let row = api.store().key_get(id).await?;
        if let Some(row) = row.filter(|row| row.is_in_force(clock::now())) {
            end(api, row).await?;
        }
    }
    Ok(())
}

/// Ends the sign-in of this key.
///
/// # Errors
/// It is no sign-in's; the books or the audit log cannot be written.
pub(crate) async fn end_one(api: &Api, key: &KeyId) -> Result<(), Refusal> {
    let _changing = api.changing.lock().await;
    let row = api.store().key_get(key.clone()).await?;
    match row.filter(|row| is_sign_in(&row.id)) {
        Some(row) => end(api, row).await,
        None => Err(Refusal::conflict(format!(
            "'{key}' is a key and no sign-in: DELETE /api/v1/keys/{key} revokes it"
        ))),
    }
}

/// In force first, then logged: an end that cannot be logged is one all the same.
async fn end(api: &Api, row: KeyRecord) -> Result<(), Refusal> {
    let row = api.store().key_revoke(row.id, clock::now()).await?;
    api.gateway().key_apply(row.clone());
    Ok(api.gateway().audit.sign_in(&row, false).await?)
}

/// Who sends these headers with a sign-in's cookie; `None` where there is none.
///
/// # Errors
/// The sign-in is none any more, or the request comes from another site than ours.
pub(crate) fn identify(
    gateway: &Gateway,
    (method, headers): (&Method, &HeaderMap),
) -> Result<Option<Identity>, Refusal> {
    // Without it nobody can sign in, and no cookie counts.
    let Some(provider) = gateway.snapshot().sign_in.clone() else {
        return Ok(None);
    };
    let public = &provider.settings.public;
    let cookie = Cookie::SignedIn
        .read(public, headers)
        .map_err(|Ambiguous| {
            let message = "the request has several cookies of a sign-in";
            Refused::new(ErrorCode::KeyInvalid, message).remedied(SIGN_IN_AGAIN)
        })?;
    let Some(key) = cookie else {
        return Ok(None);
    };
    let identity = identify_key(gateway, key).map_err(|refused| refused.remedied(SIGN_IN_AGAIN))?;
    if is_from_us(public, (method, headers)) {
        return Ok(Some(identity));
    }
    let message = format!("a {method} with the cookie of a sign-in comes from {public} alone");
    Err(Refusal::new(ErrorCode::OriginForbidden, message))
}

/// Whether a request that a browser has put a cookie on may do something: only our own pages may have it sent. Browsers say
/// where it comes from; where none does, it is no browser that asks, and that has no use for a cookie.
fn is_from_us(public: &OriginAddress, (method, headers): (&Method, &HeaderMap)) -> bool {
    if method.is_safe() {
        return true;
    }
    let ours = public.to_string();
    let sites = headers
        .get_all(FETCH_SITE)
        .iter()
        .map(|site| site == "same-origin");
    let origins = headers
        .get_all(header::ORIGIN)
        .iter()
        .map(|origin| origin == ours.as_str());
    let mut said = sites.chain(origins).peekable();
    said.peek().is_some() && said.all(|ours| ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_change_something_with_a_cookie() {
        let public = OriginAddress {
            tls: true,
            host: "madang.example.kr".into(),
            port: 443,
        };
        let check = |method: Method, said: &[(&str, &str)], expected: bool| {
            let mut headers = HeaderMap::new();
            for (name, value) in said {
                let name: http::HeaderName = name.parse().unwrap();
                headers.append(name, value.parse().unwrap());
            }
            let found = is_from_us(&public, (&method, &headers));
            assert_eq!(found, expected, "{method} {said:?}");
        };
        let (ours, theirs) = ("https://madang.example.kr", "https://evil.example");
        let (site, same) = ("sec-fetch-site", "same-origin");
        let rows: [(&[(&str, &str)], bool); 17] = [
            (&[(site, same), ("origin", ours)], true),
            (&[(site, same)], true),
            (&[("origin", ours)], true),
            (&[], false),
            (&[(site, "cross-site")], false),
            (
                &[(site, "same-site"), ("origin", "https://x.example.kr")],
                false,
            ),
            (&[(site, "none")], false),
            (&[(site, same), ("origin", theirs)], false),
            (&[(site, "cross-site"), ("origin", ours)], false),
            (&[("origin", theirs)], false),
            (&[("origin", "null")], false),
            (&[("origin", "http://madang.example.kr")], false),
            (&[("origin", "https://madang.example.kr:8443")], false),
            (
                &[("origin", "https://madang.example.kr.evil.example")],
                false,
            ),
            (&[("origin", ours), ("origin", theirs)], false),
            (&[(site, same), (site, "cross-site")], false),
            (&[("referer", "https://madang.example.kr/")], false),
        ];
        for (said, ours) in rows {
            check(Method::GET, said, true);
            for method in [Method::POST, Method::PATCH, Method::DELETE, Method::PUT] {
                check(method, said, ours);
            }
        }
    }

    #[test]
    fn a_person_has_a_few_ids_that_are_nobody_elses() {
        let ids = |issuer, subject| Person { issuer, subject }.ids().collect::<Vec<_>>();
        let kim = ids("https://id.example", "kim");
        assert_eq!(kim, ids("https://id.example", "kim"));
        assert_eq!(kim.len(), SIGN_INS_MAX);
        assert!(kim.iter().all(is_sign_in));
        assert!(kim.iter().all(|key| places(key) == kim));
        let (made, _) = KeySecret::generate();
        assert!(!is_sign_in(&made));
        for other in [
            ids("https://id.example", "lee"),
            ids("https://other.example", "kim"),
        ] {
            assert!(other.iter().all(|id| !kim.contains(id)));
        }
    }
}
