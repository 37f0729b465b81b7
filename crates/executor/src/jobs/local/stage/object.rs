//! Objects of S3-compatible stores: HTTP with signed URLs. What is long is put in parts, and is there when all of them are.

use super::StageBucket;
use super::web::{IDLE, Web, bytes, nothing, parse, piece, taken, whole};
use http::header::ETAG;
use http::{Method, Response, Uri};
use hyper::body::Incoming;
use rusty_s3::actions::{
    AbortMultipartUpload, CompleteMultipartUpload, CreateMultipartUpload, GetObject, PutObject,
    UploadPart,
};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use std::io::SeekFrom;
use std::time::Duration;
use tokio::fs::File;
use tokio::io::AsyncSeekExt;

/// A signed URL is used at once, but its machine's clock may differ.
const SIGNED: Duration = Duration::from_secs(3_600);
/// What is put in one piece, and the least of a part.
const PART_BYTES: u64 = 64 << 20;
/// The most parts of an object, by S3's own word.
const PARTS_MAX: u64 = 10_000;
/// The longest answer about an upload that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The bucket in its store's words, and the keys to it.
fn opened(of: &StageBucket) -> Result<(Bucket, Credentials), String> {
    let style = if of.virtual_host {
        UrlStyle::VirtualHost
    } else {
        UrlStyle::Path
    };
    let endpoint = of.endpoint.parse();
    let endpoint = endpoint.map_err(|e| format!("the bucket's endpoint is no URL: {e}"))?;
    let bucket = Bucket::new(endpoint, style, of.name.clone(), of.region.clone());
    let bucket = bucket.map_err(|e| format!("the bucket's endpoint: {e}"))?;
    let credentials = Credentials::new(of.access_key.clone(), of.secret.0.clone());
    Ok((bucket, credentials))
}

/// The address of an object by which whoever has it may read that object, or put it, and nothing else, for so long.
///
/// # Errors
/// The bucket's endpoint is none.
pub(in crate::jobs) fn signed(
    of: &StageBucket,
    (key, put): (&str, bool),
    life: Duration,
) -> Result<String, String> {
    let (bucket, credentials) = opened(of)?;
    let credentials = Some(&credentials);
    let url = match put {
        true => PutObject::new(&bucket, credentials, key).sign(life),
        false => GetObject::new(&bucket, credentials, key).sign(life),
    };
    Ok(url.to_string())
}

/// One object.
pub(super) struct Object<'a> {
    web: &'a Web<'a>,
    bucket: Bucket,
    credentials: Credentials,
    key: &'a str,
}

impl<'a> Object<'a> {
    pub fn new(web: &'a Web<'a>, of: &StageBucket, key: &'a str) -> Result<Self, String> {
        let (bucket, credentials) = opened(of)?;
        Ok(Self {
            web,
            bucket,
            credentials,
            key,
        })
    }

    fn uri<'b>(&'b self, action: &impl S3Action<'b>) -> Result<Uri, String> {
        parse(action.sign(SIGNED).as_str())
    }

    pub async fn get(&self) -> Result<Incoming, String> {
        let uri = self.uri(&GetObject::new(
            &self.bucket,
            Some(&self.credentials),
            self.key,
        ))?;
        whole(self.web.ask(Method::GET, uri, nothing(), IDLE).await?)
    }

    /// Puts the file, of this length.
    pub async fn put(&self, file: File, length: u64) -> Result<(), String> {
        if length > PART_BYTES {
            return self.put_long(file, length).await;
        }
        let uri = self.uri(&PutObject::new(
            &self.bucket,
            Some(&self.credentials),
            self.key,
        ))?;
        self.web.send(uri, file, length).await.map(drop)
    }

    async fn put_long(&self, file: File, length: u64) -> Result<(), String> {
        let credentials = Some(&self.credentials);
        let begin = self.uri(&CreateMultipartUpload::new(
            &self.bucket,
            credentials,
            self.key,
        ))?;
        let begun = self.web.ask(Method::POST, begin, nothing(), IDLE).await?;
        let begun = text(taken(begun)?).await?;
        let begun = CreateMultipartUpload::parse_response(&begun);
        let begun = begun.map_err(|_| "its store does not name the upload".to_owned())?;
        let upload = begun.upload_id();
        let put = self.put_parts(file, length, upload).await;
        if put.is_err() {
            let action = AbortMultipartUpload::new(&self.bucket, credentials, self.key, upload);
            // Why it was not put is what counts; what is left of it its store drops in time.
            self.web
                .ask(Method::DELETE, self.uri(&action)?, nothing(), IDLE)
                .await
                .ok();
        }
        put
    }

    async fn put_parts(&self, file: File, length: u64, upload: &str) -> Result<(), String> {
        let credentials = Some(&self.credentials);
        let part_bytes = PART_BYTES.max(length.div_ceil(PARTS_MAX));
        let mut etags = Vec::new();
        let mut at = 0;
        for number in 1..=u16::MAX {
            if at >= length {
                break;
            }
            let mut part = file.try_clone().await.map_err(|e| e.to_string())?;
            part.seek(SeekFrom::Start(at))
                .await
                .map_err(|e| e.to_string())?;
            let bytes = part_bytes.min(length - at);
            let action = UploadPart::new(&self.bucket, credentials, self.key, number, upload);
            let put = self.web.send(self.uri(&action)?, part, bytes).await?;
            let etag = put.headers().get(ETAG).and_then(|etag| etag.to_str().ok());
            etags.push(etag.ok_or("its store does not name a part")?.to_owned());
            at += bytes;
        }
        let etags = etags.iter().map(String::as_str);
        let end = CompleteMultipartUpload::new(&self.bucket, credentials, self.key, upload, etags);
        let uri = self.uri(&end)?;
        let ended = self
            .web
            .ask(Method::POST, uri, bytes(end.body()), IDLE)
            .await?;
        // It may answer 200 before it knows, and then say that it failed.
        let said = text(taken(ended)?).await?;
        if said.contains("<Error") {
            return Err("its store could not put the parts together".to_owned());
        }
        Ok(())
    }
}

async fn text(answer: Response<Incoming>) -> Result<String, String> {
    let mut body = answer.into_body();
    let mut text = Vec::new();
    while let Some(more) = piece(&mut body).await? {
        text.extend(more);
        if text.len() > ANSWER_BYTES_MAX {
            return Err("its store answers without end".to_owned());
        }
    }
    String::from_utf8(text).map_err(|e| e.to_string())
}
