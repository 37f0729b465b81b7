//! Files that are brought into a run's folder before it begins, and taken out once it has ended well.
//!
//! Only what the operator opened is read or written. A file is there by its name when all of it is, and not before.

mod beneath;
mod object;
mod web;

use crate::jobs::SecretText;
use beneath::{Folder, NewFile};
use bytes::Bytes;
use hyper::body::Incoming;
use madang_types::text::hex;
use madang_types::{JobStage, TenantId};
use object::Object;
pub(in crate::jobs) use object::signed;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use web::Web;

/// Bytes that are read, hashed and written at once.
const PIECE_BYTES: usize = 256 * 1024;
/// Stands for the tenant's name in what the operator opens.
const TENANT: &str = "{tenant}";

/// What jobs may bring and keep. Nothing by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StageOptions {
    /// Folders of this machine.
    pub roots: Vec<StageRoot>,
    /// Hosts that `http://` and `https://` may name, such as `data.example.kr`, or `*` for any.
    pub hosts: Vec<String>,
    /// Buckets that `s3://` may name.
    pub buckets: Vec<StageBucket>,
    /// Certificates (PEM) of the authority that vouches for such hosts and stores, beside the public ones.
    pub authority: Option<PathBuf>,
    /// The most bytes of one file.
    pub file_bytes_max: u64,
    /// The longest that all inputs of a run may take, and the longest that all its outputs may, in milliseconds.
    pub ms_max: u64,
}

impl Default for StageOptions {
    fn default() -> Self {
        Self {
            roots: Vec::new(),
            hosts: Vec::new(),
            buckets: Vec::new(),
            authority: None,
            file_bytes_max: 1 << 40,
            ms_max: 6 * 3_600_000,
        }
    }
}

/// A folder that is open to jobs, with all that is below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRoot {
    /// Its path, absolute. `{tenant}` in it stands for the name of the job's tenant.
    pub path: String,
    /// Outputs may be put there too.
    pub writable: bool,
}

impl StageRoot {
    /// Where it is for this tenant.
    pub(super) fn of(&self, tenant: &TenantId) -> PathBuf {
        PathBuf::from(self.path.replace(TENANT, tenant.as_str()))
    }
}

/// A bucket of an S3-compatible store that is open to jobs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StageBucket {
    /// Its name, as in `s3://name/key`.
    pub name: String,
    /// What its keys have to begin with. `{tenant}` in it stands for the name of the job's tenant.
    pub prefix: String,
    /// Where it is: `https://s3.ap-northeast-2.amazonaws.com`.
    pub endpoint: String,
    /// Its region, which is signed.
    pub region: String,
    /// The bucket's name is a part of the host (`name.s3…`), not of the path.
    pub virtual_host: bool,
    /// Whose access it is.
    pub access_key: String,
    /// With which secret.
    #[serde(with = "bare")]
    pub secret: SecretText,
    /// Outputs may be put there too.
    pub writable: bool,
}

/// A secret on its way through a pipe between two of our processes.
mod bare {
    use crate::jobs::SecretText;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(secret: &SecretText, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&secret.0)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<SecretText, D::Error> {
        String::deserialize(d).map(SecretText)
    }
}

/// The other end of a stage.
enum Place<'a> {
    /// A folder that is open, and the way from there.
    Path(PathBuf, PathBuf),
    Url(String),
    Object(&'a StageBucket, String),
}

/// Where bytes come from.
enum Source {
    File(tokio::fs::File),
    Body(Incoming),
}

/// Brings and keeps the files of one run.
pub(super) struct Stager<'a> {
    options: &'a StageOptions,
    tenant: &'a TenantId,
    work: Folder,
    web: Web<'a>,
}

impl<'a> Stager<'a> {
    pub fn new(options: &'a StageOptions, tenant: &'a TenantId, work: &Path) -> io::Result<Self> {
        Ok(Self {
            options,
            tenant,
            work: Folder::open(work)?,
            web: Web::new(options).map_err(io::Error::other)?,
        })
    }

    /// Brings an input; the error says which, and why not.
    pub async fn bring(&self, stage: &JobStage) -> Result<(), String> {
        let brought = self.bring_it(stage).await;
        brought.map_err(|why| format!("the input {}: {why}", stage.from))
    }

    /// Keeps an output; the error says which, and why not.
    pub async fn keep(&self, stage: &JobStage) -> Result<(), String> {
        let kept = self.keep_it(stage).await;
        kept.map_err(|why| format!("the output {} to {}: {why}", stage.from, stage.to))
    }

    async fn bring_it(&self, stage: &JobStage) -> Result<(), String> {
        let source = match self.options.place(self.tenant, (&stage.from, false))? {
            Place::Path(root, path) => {
                let opened = Folder::open(&root).and_then(|root| root.file(&path));
                let (file, length) = opened.map_err(|e| e.to_string())?;
                self.fits(length)?;
                Source::File(file.into())
            }
            Place::Url(url) => Source::Body(self.web.get(&url).await?),
            Place::Object(bucket, key) => {
                Source::Body(Object::new(&self.web, bucket, &key)?.get().await?)
            }
        };
        let new = self.work.create(Path::new(&stage.to));
        let new = new.map_err(|e| format!("{} in its folder: {e}", stage.to))?;
        let found = self.copy(source, &new).await?;
        if let Some(wanted) = &stage.sha256
            && !wanted.eq_ignore_ascii_case(&found)
        {
            return Err(format!("its SHA-256 is {found}, where {wanted} is wanted"));
        }
        finish(new).await
    }

    async fn keep_it(&self, stage: &JobStage) -> Result<(), String> {
        let opened = self.work.file(Path::new(&stage.from));
        let (file, length) = opened.map_err(|e| e.to_string())?;
        self.fits(length)?;
        match self.options.place(self.tenant, (&stage.to, true))? {
            Place::Path(root, path) => {
                let created = Folder::open(&root).and_then(|root| root.create(&path));
                let new = created.map_err(|e| e.to_string())?;
                self.copy(Source::File(file.into()), &new).await?;
                finish(new).await
            }
            Place::Url(url) => self.web.put(&url, file.into(), length).await,
            Place::Object(bucket, key) => {
                let object = Object::new(&self.web, bucket, &key)?;
                object.put(file.into(), length).await
            }
        }
    }

    fn fits(&self, length: u64) -> Result<(), String> {
        let most = self.options.file_bytes_max;
        if length > most {
            return Err(format!(
                "it has more than {most} bytes, which is the most here"
            ));
        }
        Ok(())
    }

    /// The SHA-256 of what went through.
    async fn copy(&self, mut source: Source, new: &NewFile) -> Result<String, String> {
        let copy = new.file.try_clone().map_err(|e| e.to_string())?;
        let mut file = tokio::fs::File::from_std(copy);
        let mut hash = Sha256::new();
        let mut length = 0;
        while let Some(piece) = source.next().await? {
            length += piece.len() as u64;
            self.fits(length)?;
            hash.update(&piece);
            file.write_all(&piece).await.map_err(|e| e.to_string())?;
        }
        file.flush().await.map_err(|e| e.to_string())?;
        Ok(hex(&hash.finalize()))
    }
}

impl StageOptions {
    /// Whether a tenant's jobs may read there, or write there, as far as that is known without a look at what is there.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn opens(&self, tenant: &TenantId, at: (&str, bool)) -> Result<(), String> {
        match self.place(tenant, at)? {
            Place::Url(url) => web::listed(&self.hosts, &url).map(drop),
            Place::Path(..) | Place::Object(..) => Ok(()),
        }
    }

    fn place<'a>(
        &'a self,
        tenant: &TenantId,
        (text, write): (&str, bool),
    ) -> Result<Place<'a>, String> {
        let local = text.strip_prefix("file://").unwrap_or(text);
        if local.starts_with('/') {
            return self.local(tenant, (Path::new(local), write));
        }
        if let Some(object) = text.strip_prefix("s3://") {
            let (bucket, key) = open_object(&self.buckets, tenant, (object, write))?;
            return Ok(Place::Object(bucket, key.to_owned()));
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            return Ok(Place::Url(text.to_owned()));
        }
        Err("it is no absolute path and no URL with s3://, https:// or http://".to_owned())
    }

    fn local(
        &self,
        tenant: &TenantId,
        (path, write): (&Path, bool),
    ) -> Result<Place<'static>, String> {
        let roots = self.roots.iter();
        let roots = roots.filter(|root| root.writable || !write);
        let open = roots.filter_map(|root| {
            let root = root.of(tenant);
            let inner = path.strip_prefix(&root).ok()?.to_owned();
            Some((root, inner))
        });
        // The nearest one.
        let place = open.max_by_key(|(root, _)| root.as_os_str().len());
        let (root, inner) = place.ok_or_else(|| {
            let what = if write { "be put" } else { "be read" };
            format!("no folder that is open to jobs holds it: it cannot {what}")
        })?;
        Ok(Place::Path(root, inner))
    }
}

/// Which bucket's object a `bucket/key` is, of those that are open to a tenant's jobs: to be read, or to be put too.
///
/// # Errors
/// Why it is none.
pub(in crate::jobs) fn open_object<'a, 'b>(
    buckets: &'a [StageBucket],
    tenant: &TenantId,
    (text, write): (&'b str, bool),
) -> Result<(&'a StageBucket, &'b str), String> {
    let (name, key) = text.split_once('/').unwrap_or((text, ""));
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    if !key.split('/').all(plain) {
        return Err("it is no s3://bucket/key".to_owned());
    }
    let opened = |bucket: &&StageBucket| {
        let prefix = bucket.prefix.replace(TENANT, tenant.as_str());
        bucket.name == name && key.starts_with(&prefix) && (bucket.writable || !write)
    };
    let bucket = buckets.iter().find(opened);
    let bucket = bucket.ok_or("no bucket that is open to jobs holds it")?;
    Ok((bucket, key))
}

impl Source {
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        match self {
            Self::Body(body) => web::piece(body).await,
            Self::File(file) => {
                let mut piece = Vec::with_capacity(PIECE_BYTES);
                let length = file.read_buf(&mut piece).await.map_err(|e| e.to_string())?;
                Ok((length > 0).then(|| piece.into()))
            }
        }
    }
}

/// Bringing gigabytes to disk takes its time: not on the thread that watches.
async fn finish(new: NewFile) -> Result<(), String> {
    let done = tokio::task::spawn_blocking(move || new.finish()).await;
    done.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
}
