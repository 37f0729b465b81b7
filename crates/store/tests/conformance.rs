//! SQLite against the suite that every store passes.

use async_trait::async_trait;
use madang_store::conformance::Fixture;
use madang_store::{SqliteStore, Store};
use std::sync::Arc;

struct Folder(tempfile::TempDir);

#[async_trait]
impl Fixture for Folder {
    async fn open(&self) -> Arc<dyn Store> {
        let path = self.0.path().join("books.sqlite");
        Arc::new(SqliteStore::open(&path).expect("a scratch folder can be written"))
    }
}

fn folder() -> Folder {
    Folder(tempfile::tempdir().expect("a scratch folder can be made"))
}

madang_store::conformance::suite!(folder);
