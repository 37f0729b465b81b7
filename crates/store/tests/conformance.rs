//! SQLite against the suite that every store passes: with records that are confirmed once they are synced, and with
//! records that are synced a moment later.

use async_trait::async_trait;
use madang_store::conformance::{Fixture, ledger};
use madang_store::{Ledger, SqliteStore, Store};
use std::sync::Arc;

struct Folder {
    folder: tempfile::TempDir,
    sync_ms_max: u64,
}

#[async_trait]
impl Fixture for Folder {
    async fn open(&self) -> Arc<dyn Store> {
        let path = self.folder.path().join("books.sqlite");
        let store = SqliteStore::open(&path).expect("a scratch folder can be written");
        store.usage_sync_ms_max_set(self.sync_ms_max);
        Arc::new(store)
    }
}

fn folder(sync_ms_max: u64) -> Folder {
    Folder {
        folder: tempfile::tempdir().expect("a scratch folder can be made"),
        sync_ms_max,
    }
}

mod synced {
    fn folder() -> super::Folder {
        super::folder(0)
    }

    madang_store::conformance::suite!(folder);
}

mod synced_later {
    fn folder() -> super::Folder {
        super::folder(10)
    }

    madang_store::conformance::suite!(folder);
}

#[async_trait]
impl ledger::Fixture for Folder {
    async fn open(&self) -> Arc<dyn Ledger> {
        let path = self.folder.path().join("books.sqlite");
        Arc::new(SqliteStore::open(&path).expect("a scratch folder can be written"))
    }
}

mod entries {
    fn folder() -> super::Folder {
        super::folder(0)
    }

    madang_store::conformance::ledger::suite!(folder);
}
