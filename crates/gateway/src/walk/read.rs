//! Reads a request's body, within size and time.

use crate::refused::Refused;
use crate::snapshot::Snapshot;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use madang_types::ErrorCode;
use std::time::Duration;

/// Most bytes that are set aside for a body because its length was announced; what is longer grows as it comes.
const BODY_RESERVE_BYTES_MAX: u64 = 1024 * 1024;
/// A body that came in one piece is copied out of the connection's buffer if it has at most so many bytes: it would keep all of
/// that buffer (8 kB at least) for as long as its request waits or runs.
const BODY_COPIED_BYTES_MAX: usize = 4 * 1024;

/// Reads the whole body.
///
/// # Errors
/// It is larger or slower than `[limits]` permits, or broke off.
pub(super) async fn read_body(
    snapshot: &Snapshot,
    parts: &http::request::Parts,
    body: Body,
) -> Result<Bytes, Refused> {
    let limits = &snapshot.fleet.limits;
    let too_large = || {
        let message = format!("the body has more than {} bytes", limits.body_bytes_max);
        Refused::new(ErrorCode::BodyTooLarge, message)
    };
    let announced = parts
        .headers
        .get(http::header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limits.body_bytes_max) {
        return Err(too_large());
    }
    let limit = usize::try_from(limits.body_bytes_max).unwrap_or(usize::MAX);
    let reserve = announced.unwrap_or(0).min(BODY_RESERVE_BYTES_MAX);
    let bounds = (usize::try_from(reserve).unwrap_or(0), limit);
    let wait = Duration::from_millis(limits.body_read_ms_max);
    match tokio::time::timeout(wait, collect(body, bounds)).await {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => Err(too_large()),
        Ok(Err(reason)) => Err(Refused::new(
            ErrorCode::BodyNotJson,
            format!("the body broke off: {reason}"),
        )),
        Err(_) => {
            let message = format!(
                "the body was not sent within limits.body_read_ms_max = {} ms",
                limits.body_read_ms_max
            );
            Err(Refused::new(ErrorCode::BodyTimeout, message))
        }
    }
}

/// The whole body, without a copy where it came in one frame that is not small; `None` where it is larger than `limit`.
async fn collect(
    mut body: Body,
    (reserve, limit): (usize, usize),
) -> Result<Option<Bytes>, axum::Error> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        if first.len() + all.len() + data.len() > limit {
            return Ok(None);
        }
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            all.reserve(reserve);
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&data);
    }
    Ok(Some(if !all.is_empty() {
        all.freeze()
    } else if first.len() <= BODY_COPIED_BYTES_MAX {
        Bytes::copy_from_slice(&first)
    } else {
        first
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_small_body_keeps_no_buffer_of_its_connection() {
        for (bytes, keeps) in [
            (0, false),
            (1_000, false),
            (BODY_COPIED_BYTES_MAX, false),
            (BODY_COPIED_BYTES_MAX + 1, true),
        ] {
            let buffer = Bytes::from(vec![b'x'; 8 * 1024]);
            let frame = Body::from(buffer.slice(100..100 + bytes));
            let body = collect(frame, (0, 8 * 1024)).await.unwrap().unwrap();
            assert_eq!(body.len(), bytes);
            assert_eq!(!buffer.is_unique(), keeps, "{bytes} bytes");
        }
    }
}
