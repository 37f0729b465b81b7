//! The one way in which something that a request names is fetched. The host is the fleet file's and policy has permitted it;
//! the URL says no more than what is asked for there.
//!
//! Nothing of the caller's goes along: no header, no credential. No redirect is followed.

mod link;
mod public;

pub use link::Link;
pub use public::{Reach, is_reachable};

use crate::client::{EngineAddress, EngineBody, EngineClient};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use madang_wire::urls::ImageData;
use std::net::SocketAddr;

/// Addresses of one host that are looked at; a name that stands for more is not believed.
const SOCKETS_MAX: usize = 32;
/// What models look at.
const MEDIA_TYPES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// Why an image was not had. Names no address: who asks learns nothing of the networks that Madang sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The host's name stands for no address, or for too many.
    #[error("its host cannot be resolved")]
    Name,
    /// One of its addresses is not one that may be asked.
    #[error("its host has an address that may not be asked")]
    Address,
    /// No connection, or none that answers.
    #[error("its host does not answer")]
    Unreachable,
    /// The answer says that it is elsewhere.
    #[error("its host redirects, which is not followed: name the place itself")]
    Redirect,
    /// The answer is not 200.
    #[error("its host answers with status {0}")]
    Status(u16),
    /// The answer is of another type, or encoded.
    #[error("it is no image (png, jpeg, gif or webp)")]
    NotImage,
    /// It is longer than what is left for the request.
    #[error("the images are larger than limits.fetch_bytes_max together")]
    TooLarge,
    /// The answer broke off.
    #[error("its host broke off")]
    Broken,
}

/// Fetches an image of `bytes_max` bytes at most. How long that may take is the caller's word.
///
/// # Errors
/// [`FetchError`].
pub async fn image(
    client: &EngineClient,
    (address, reach): (&EngineAddress, Reach),
    target: &PathAndQuery,
    bytes_max: u64,
) -> Result<ImageData, FetchError> {
    let sockets = resolved(address, reach).await?;
    let answer = client
        .request_at((address, &sockets), request(target))
        .await;
    let (head, body) = answer.map_err(|_| FetchError::Unreachable)?.into_parts();
    if head.status.is_redirection() {
        return Err(FetchError::Redirect);
    }
    if head.status != http::StatusCode::OK {
        return Err(FetchError::Status(head.status.as_u16()));
    }
    let media_type = media_type(&head.headers).ok_or(FetchError::NotImage)?;
    let bytes = read(body, bytes_max).await?;
    Ok(ImageData {
        media_type,
        base64: STANDARD.encode(bytes),
    })
}

/// What the host's name stands for, once: all of it may be asked, and nothing else is connected to.
async fn resolved(address: &EngineAddress, reach: Reach) -> Result<Vec<SocketAddr>, FetchError> {
    let found = tokio::net::lookup_host(address.host_and_port()).await;
    let sockets: Vec<SocketAddr> = found.map_err(|_| FetchError::Name)?.collect();
    if sockets.is_empty() || sockets.len() > SOCKETS_MAX {
        return Err(FetchError::Name);
    }
    if sockets
        .iter()
        .all(|socket| is_reachable(socket.ip(), reach))
    {
        Ok(sockets)
    } else {
        Err(FetchError::Address)
    }
}

fn request(target: &PathAndQuery) -> Request<Vec<Bytes>> {
    let mut request = Request::new(Vec::new());
    *request.uri_mut() = Uri::from(target.clone());
    for (name, value) in [
        (header::ACCEPT, "image/*"),
        (header::ACCEPT_ENCODING, "identity"),
        (header::CONNECTION, "close"),
        (header::USER_AGENT, "madang"),
    ] {
        request
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    request
}

fn media_type(headers: &HeaderMap) -> Option<&'static str> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return None;
    }
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let named = text.split(';').next().unwrap_or_default().trim();
    MEDIA_TYPES
        .into_iter()
        .find(|known| named.eq_ignore_ascii_case(known))
}

/// The whole body; one that is too long is not read to its end, and one that says so is not read at all.
async fn read(body: EngineBody, bytes_max: u64) -> Result<Bytes, FetchError> {
    if body.size_hint().lower() > bytes_max {
        return Err(FetchError::TooLarge);
    }
    let limit = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLarge),
        Err(_) => Err(FetchError::Broken),
    }
}
