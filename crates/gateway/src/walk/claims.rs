//! What a request's headers say of it. An unknown word is refused, never taken for a default.

use crate::headers;
use crate::refused::Refused;
use http::{HeaderMap, HeaderValue};
use madang_types::{DataClass, DataFlag, DataFlags, Endpoint, ErrorCode, Priority};
use madang_wire::anthropic;
use std::str::FromStr;

/// Longest name of a conversation, in bytes.
const SESSION_BYTES_MAX: usize = 256;

/// How Madang's own headers begin, and those of them that it reads.
const OWN_PREFIX: &str = "x-madang";
const OWN: [http::HeaderName; 5] = [
    headers::DATA_CLASS,
    headers::DATA_FLAGS,
    headers::PRIORITY,
    headers::SESSION,
    headers::CLAMP,
];

/// What headers say about a Messages request.
pub struct MessagesHeaders {
    /// The version of the API that the caller speaks.
    pub version: &'static str,
    /// The features in beta that are switched on.
    pub betas: Option<HeaderValue>,
}

/// What the request says of itself. An unknown word is refused.
pub(crate) fn claims(
    headers: &HeaderMap,
) -> Result<(Option<DataClass>, DataFlags, Priority), Refused> {
    own_are_known(headers)?;
    let class: Option<DataClass> = header_word(headers, &headers::DATA_CLASS)?;
    let flags: DataFlags = header_word(headers, &headers::DATA_FLAGS)?.unwrap_or_default();
    if flags.has(DataFlag::Pseudonymised) {
        // It is the one flag that permits what is refused without it.
        let message = "the flag 'pseudonymised' is set for a tenant or a key, by an operator";
        return Err(
            Refused::new(ErrorCode::HeaderInvalid, message).at(headers::DATA_FLAGS.as_str())
        );
    }
    let priority: Option<Priority> = header_word(headers, &headers::PRIORITY)?;
    Ok((class, flags, priority.unwrap_or_default()))
}

/// A misspelt name says nothing: what it should have said of the data would be lost without a word.
fn own_are_known(request_headers: &HeaderMap) -> Result<(), Refused> {
    // An id of the caller's own counts for nothing, and is passed along by proxies.
    let is_known = |name: &http::HeaderName| OWN.contains(name) || *name == headers::REQUEST_ID;
    let is_unknown =
        |name: &&http::HeaderName| name.as_str().starts_with(OWN_PREFIX) && !is_known(name);
    let Some(name) = request_headers.keys().find(is_unknown) else {
        return Ok(());
    };
    let known = OWN.each_ref().map(http::HeaderName::as_str).join(", ");
    let message = format!("there is no header '{name}' to send: there are {known}");
    Err(Refused::new(ErrorCode::HeaderInvalid, message).at(name.as_str()))
}

fn header_word<T>(headers: &HeaderMap, name: &http::HeaderName) -> Result<Option<T>, Refused>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let refuse =
        |message: String| Refused::new(ErrorCode::HeaderInvalid, message).at(name.as_str());
    if values.next().is_some() {
        return Err(refuse(format!("the header '{name}' is given twice")));
    }
    let text = value
        .to_str()
        .map_err(|_| refuse(format!("the header '{name}' is not plain text")))?;
    text.parse()
        .map(Some)
        .map_err(|error: T::Err| refuse(format!("the header '{name}': {error}")))
}

/// Reads Anthropic's headers at Anthropic's door. A version that is not spoken here is refused; names of betas that are not
/// on the list of harmless ones are left out, and what they would have switched on is then refused by its field.
pub(super) fn messages_headers(
    headers: &HeaderMap,
    endpoint: Endpoint,
) -> Result<MessagesHeaders, Refused> {
    let mut found = MessagesHeaders {
        version: anthropic::VERSIONS[0],
        betas: None,
    };
    if endpoint != Endpoint::Messages {
        return Ok(found);
    }
    for value in headers.get_all(headers::ANTHROPIC_VERSION) {
        let version = anthropic::VERSIONS
            .into_iter()
            .find(|version| version.as_bytes() == value.as_bytes());
        found.version = version.ok_or_else(|| {
            let name = headers::ANTHROPIC_VERSION;
            let message = format!(
                "the header '{name}' must be {}",
                anthropic::VERSIONS.join(" or ")
            );
            Refused::new(ErrorCode::HeaderInvalid, message).at(name.as_str())
        })?;
    }
    let values = headers.get_all(headers::ANTHROPIC_BETA).iter();
    let betas = anthropic::betas_sent(values.map(HeaderValue::as_bytes));
    found.betas = betas.and_then(|betas| HeaderValue::from_str(&betas).ok());
    Ok(found)
}

/// The conversation's name in the header.
pub(super) fn session_named(headers: &HeaderMap) -> Result<Option<&[u8]>, Refused> {
    let name = &headers::SESSION;
    let refuse =
        |message: String| Refused::new(ErrorCode::HeaderInvalid, message).at(name.as_str());
    let mut values = headers.get_all(name).iter();
    let value = values.next().map(http::HeaderValue::as_bytes);
    if values.next().is_some() {
        return Err(refuse(format!("the header '{name}' is given twice")));
    }
    if value.is_some_and(|value| value.len() > SESSION_BYTES_MAX) {
        let message = format!("the header '{name}' has more than {SESSION_BYTES_MAX} bytes");
        return Err(refuse(message));
    }
    Ok(value.filter(|value| !value.is_empty()))
}
