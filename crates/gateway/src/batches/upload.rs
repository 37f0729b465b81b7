//! A file as it comes: a form whose parts may stand in any order, written to the disk while it is read.

use super::disk::{blocking, unavailable};
use super::id::FileId;
use super::shelf::{Draft, FileMeta, Purpose};
use super::{Batches, TENANT_COUNT_MAX, unix_s};
use crate::refused::Refused;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use bytes::Bytes;
use madang_types::{ErrorCode, TenantId};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// Bytes of a part that is not the file.
const WORD_BYTES_MAX: usize = 256;
/// Characters of a file's name.
const NAME_CHARS_MAX: usize = 255;
/// Shortest time that a file is kept, as in OpenAI's API.
const KEEP_S_MIN: i64 = 3_600;

/// What may be written.
struct Room {
    file_bytes_max: u64,
    /// What is left of the tenant's.
    left: u64,
    tenant_bytes_max: u64,
    /// The longest silence.
    wait: Duration,
    keep_s_max: i64,
}

/// What was read so far.
#[derive(Default)]
struct Form {
    file: Option<(String, u64)>,
    purpose: Option<Purpose>,
    keep_s: Option<i64>,
}

/// Reads a form and keeps its file.
///
/// # Errors
/// The refusal to send; nothing is kept.
pub(super) async fn take(
    batches: &Batches,
    tenant: &TenantId,
    mut parts: Multipart,
) -> Result<FileMeta, Refused> {
    let room = room(batches, tenant).await?;
    let (shelf, whose, id) = (batches.shelf.clone(), tenant.clone(), FileId::new());
    let draft = blocking(move || shelf.draft(&whose, id)).await?;
    let mut form = Form::default();
    while let Some(field) = within(&room, parts.next_field()).await? {
        read_part(field, (&draft, &room), &mut form).await?;
    }
    let missing = |name: &str| {
        Refused::new(
            ErrorCode::FieldMissing,
            format!("the form has no part '{name}'"),
        )
        .at(name)
    };
    let (filename, bytes) = form.file.ok_or_else(|| missing("file"))?;
    let purpose = form.purpose.ok_or_else(|| missing("purpose"))?;
    let created_at = unix_s();
    let keep_s = form.keep_s.unwrap_or(room.keep_s_max);
    let meta = FileMeta {
        id,
        bytes,
        created_at,
        expires_at: created_at.saturating_add(keep_s),
        filename,
        purpose,
    };
    let kept = meta.clone();
    blocking(move || draft.keep(&kept)).await?;
    Ok(meta)
}

/// What the tenant may still keep.
async fn room(batches: &Batches, tenant: &TenantId) -> Result<Room, Refused> {
    let snapshot = batches.gateway.snapshot();
    let limits = &snapshot.fleet.limits;
    let (shelf, whose) = (batches.shelf.clone(), tenant.clone());
    let files = blocking(move || shelf.list(&whose, unix_s())).await?;
    if files.len() >= TENANT_COUNT_MAX {
        let message = format!("'{tenant}' has {TENANT_COUNT_MAX} files already");
        return Err(Refused::new(ErrorCode::FilesFull, message));
    }
    let used = files.iter().map(|file| file.bytes).sum();
    Ok(Room {
        file_bytes_max: limits.file_bytes_max,
        left: limits.files_tenant_bytes_max.saturating_sub(used),
        tenant_bytes_max: limits.files_tenant_bytes_max,
        wait: Duration::from_millis(limits.body_read_ms_max),
        keep_s_max: i64::try_from(limits.files_keep_s).unwrap_or(i64::MAX),
    })
}

async fn read_part(
    mut field: Field<'_>,
    (draft, room): (&Draft, &Room),
    form: &mut Form,
) -> Result<(), Refused> {
    let name: String = field.name().unwrap_or_default().chars().take(64).collect();
    let invalid =
        |message: String| Refused::new(ErrorCode::FieldInvalid, message).at(name.as_str());
    match name.as_str() {
        "file" if form.file.is_some() => Err(invalid("the form has two files".into())),
        "file" => {
            let filename = shown_name(field.file_name().unwrap_or("file"));
            form.file = Some((filename, write(&mut field, (draft, room)).await?));
            Ok(())
        }
        "purpose" => {
            let asked = word(&mut field, room).await?;
            let mut sent = Purpose::SENT.into_iter();
            form.purpose = sent.find(|purpose| purpose.as_str() == asked);
            let wrong = || invalid("the purpose of a file is 'batch' or 'fine-tune' here".into());
            form.purpose.map(drop).ok_or_else(wrong)
        }
        "expires_after[anchor]" if word(&mut field, room).await? == "created_at" => Ok(()),
        "expires_after[seconds]" => {
            let text = word(&mut field, room).await?;
            form.keep_s = Some(keep_s(text.parse().ok(), room.keep_s_max).map_err(invalid)?);
            Ok(())
        }
        _ => Err(invalid(format!(
            "a file's form has the parts file, purpose ('batch' or 'fine-tune'), expires_after[anchor] ('created_at') and \
             expires_after[seconds], and not '{name}' as it is"
        ))),
    }
}

/// How long a file is to be kept, in seconds.
///
/// # Errors
/// What it may be.
pub(super) fn keep_s(asked: Option<i64>, keep_s_max: i64) -> Result<i64, String> {
    let asked = asked.filter(|asked| (KEEP_S_MIN..=keep_s_max).contains(asked));
    asked.ok_or_else(|| {
        format!("a file is kept for {KEEP_S_MIN} to limits.files_keep_s = {keep_s_max} seconds")
    })
}

/// Writes the file's content; how many bytes it has.
async fn write(field: &mut Field<'_>, (draft, room): (&Draft, &Room)) -> Result<u64, Refused> {
    let failed = |error: std::io::Error| unavailable(&error);
    let mut options = tokio::fs::OpenOptions::new();
    options.create_new(true).write(true).mode(0o600);
    let mut content = options.open(draft.content()).await.map_err(failed)?;
    let mut bytes = 0_u64;
    while let Some(chunk) = within(room, field.chunk()).await? {
        bytes = bytes.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        if bytes > room.file_bytes_max {
            let message = format!(
                "the file has more than limits.file_bytes_max = {} bytes",
                room.file_bytes_max
            );
            let refused = Refused::new(ErrorCode::BodyTooLarge, message).at("file");
            return Err(refused.remedied("Send a smaller file, or raise `limits.file_bytes_max`."));
        }
        if bytes > room.left {
            let message = format!(
                "with this file the tenant's files would have more than limits.files_tenant_bytes_max = {} bytes",
                room.tenant_bytes_max
            );
            return Err(Refused::new(ErrorCode::FilesFull, message).at("file"));
        }
        content.write_all(&chunk).await.map_err(failed)?;
    }
    content.flush().await.map_err(failed)?;
    Ok(bytes)
}

/// A part that is a word.
async fn word(field: &mut Field<'_>, room: &Room) -> Result<String, Refused> {
    let mut word = Vec::new();
    while let Some(chunk) = within::<Option<Bytes>>(room, field.chunk()).await? {
        word.extend_from_slice(&chunk);
        if word.len() > WORD_BYTES_MAX {
            let message = format!("a part of the form has more than {WORD_BYTES_MAX} bytes");
            return Err(Refused::new(ErrorCode::FieldInvalid, message));
        }
    }
    Ok(String::from_utf8_lossy(&word).into_owned())
}

/// The next of a form, unless the client keeps silent for too long.
async fn within<T>(
    room: &Room,
    next: impl Future<Output = Result<T, MultipartError>>,
) -> Result<T, Refused> {
    match tokio::time::timeout(room.wait, next).await {
        Ok(Ok(next)) => Ok(next),
        Ok(Err(error)) => {
            let message = format!("the form cannot be read: {}", error.body_text());
            Err(Refused::new(ErrorCode::FieldInvalid, message))
        }
        Err(_) => {
            let message = format!(
                "nothing of the file came for limits.body_read_ms_max = {} ms",
                room.wait.as_millis()
            );
            Err(Refused::new(ErrorCode::BodyTimeout, message))
        }
    }
}

/// A name that is shown and never used as one.
fn shown_name(name: &str) -> String {
    let plain = name.chars().filter(|c| !c.is_control());
    plain.take(NAME_CHARS_MAX).collect()
}
