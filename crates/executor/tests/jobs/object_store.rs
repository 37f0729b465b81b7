//! A store that nobody here wrote, and that verifies each signature: s3s-fs.

use hyper_util::rt::TokioIo;
use madang_executor::jobs::SecretText;
use madang_executor::jobs::local::StageBucket;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use std::fs;
use std::path::{Path, PathBuf};
use tokio::net::TcpListener;

/// The SHA-256 of `half `.
pub const HALF: &str = "0ddca2f91b4dfa3aa00fe0be0b165bb29258157fa221b105e9ecd28458b7ea9a";

/// A store with the bucket `jobs`, whose objects are files.
pub struct ObjectStore {
    folder: tempfile::TempDir,
    port: u16,
}

impl ObjectStore {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("jobs")).unwrap();
        let mut store = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
        store.set_auth(SimpleAuth::from_single("who", "sesame-7f3a"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(serve(listener, store.build()));
        Self { folder, port }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn object(&self, key: &str) -> PathBuf {
        self.folder.path().join("jobs").join(key)
    }

    pub fn put(&self, key: &str, text: &str) {
        let path = self.object(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Its tenants' keys, with that secret.
    pub fn bucket(&self, secret: &str) -> StageBucket {
        StageBucket {
            name: "jobs".to_owned(),
            prefix: "{tenant}/".to_owned(),
            endpoint: format!("http://127.0.0.1:{}", self.port),
            region: "kr-1".to_owned(),
            virtual_host: false,
            access_key: "who".to_owned(),
            secret: SecretText(secret.to_owned()),
            writable: true,
        }
    }
}

async fn serve(listener: TcpListener, store: S3Service) {
    while let Ok((stream, _)) = listener.accept().await {
        let store = store.clone();
        let http = hyper::server::conn::http1::Builder::new();
        tokio::spawn(async move {
            let served = http.serve_connection(TokioIo::new(stream), store).await;
            // A client that breaks off is the client's affair.
            served.ok();
        });
    }
}
