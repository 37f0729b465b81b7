//! Every store against the suite that all must pass: with records that are confirmed once they are synced, and with
//! records that are synced a moment later.

use async_trait::async_trait;
use madang_store::conformance::bank::Books;
use madang_store::conformance::{Fixture, bank, jobs, ledger, power};
use madang_store::{
    JobBook, Ledger, PostgresOptions, PostgresStore, PowerBook, SqliteStore, Store,
};
use madang_testkit::{Database, Postgres};
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

#[async_trait]
impl bank::Fixture for Folder {
    async fn open(&self) -> Arc<dyn Books> {
        let path = self.folder.path().join("books.sqlite");
        Arc::new(SqliteStore::open(&path).expect("a scratch folder can be written"))
    }
}

#[async_trait]
impl jobs::Fixture for Folder {
    async fn open(&self) -> Arc<dyn JobBook> {
        let path = self.folder.path().join("books.sqlite");
        Arc::new(SqliteStore::open(&path).expect("a scratch folder can be written"))
    }
}

#[async_trait]
impl power::Fixture for Folder {
    async fn open(&self) -> Arc<dyn PowerBook> {
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

mod bank_in_sqlite {
    fn folder() -> super::Folder {
        super::folder(0)
    }

    madang_store::conformance::bank::suite!(folder);
}

mod jobs_in_sqlite {
    fn folder() -> super::Folder {
        super::folder(0)
    }

    madang_store::conformance::jobs::suite!(folder);
}

mod power_in_sqlite {
    fn folder() -> super::Folder {
        super::folder(0)
    }

    madang_store::conformance::power::suite!(folder);
}

struct Server {
    // In order of dropping: the database goes before the hold of its server.
    database: Database,
    _server: Postgres,
    folder: tempfile::TempDir,
    journaled: bool,
}

impl Server {
    fn store(&self) -> Arc<PostgresStore> {
        let url = self.database.url().parse().expect("the URL is sound");
        let options = PostgresOptions {
            gateway: Some("gw-1".parse().expect("it is a name")),
            journal: self.journaled.then(|| self.folder.path().join("records")),
            ..PostgresOptions::default()
        };
        let store = PostgresStore::open(&url, &options).expect("the server is there");
        store.usage_sync_ms_max_set(10);
        Arc::new(store)
    }
}

#[async_trait]
impl Fixture for Server {
    async fn open(&self) -> Arc<dyn Store> {
        self.store()
    }
}

#[async_trait]
impl ledger::Fixture for Server {
    async fn open(&self) -> Arc<dyn Ledger> {
        self.store()
    }
}

#[async_trait]
impl bank::Fixture for Server {
    async fn open(&self) -> Arc<dyn Books> {
        self.store()
    }
}

#[async_trait]
impl jobs::Fixture for Server {
    async fn open(&self) -> Arc<dyn JobBook> {
        self.store()
    }
}

#[async_trait]
impl power::Fixture for Server {
    async fn open(&self) -> Arc<dyn PowerBook> {
        self.store()
    }
}

fn server(journaled: bool) -> Server {
    let server = Postgres::shared().expect("a server can be started");
    Server {
        database: server.database().expect("a database can be made"),
        _server: server,
        folder: tempfile::tempdir().expect("a scratch folder can be made"),
        journaled,
    }
}

mod postgres {
    fn server() -> super::Server {
        super::server(true)
    }

    madang_store::conformance::suite!(server);
}

mod postgres_without_a_journal {
    fn server() -> super::Server {
        super::server(false)
    }

    madang_store::conformance::suite!(server);
}

mod entries_in_postgres {
    fn server() -> super::Server {
        super::server(true)
    }

    madang_store::conformance::ledger::suite!(server);
}

mod bank_in_postgres {
    fn server() -> super::Server {
        super::server(true)
    }

    madang_store::conformance::bank::suite!(server);
}

mod bank_in_postgres_without_a_journal {
    fn server() -> super::Server {
        super::server(false)
    }

    madang_store::conformance::bank::suite!(server);
}

mod jobs_in_postgres {
    fn server() -> super::Server {
        super::server(true)
    }

    madang_store::conformance::jobs::suite!(server);
}

mod power_in_postgres {
    fn server() -> super::Server {
        super::server(true)
    }

    madang_store::conformance::power::suite!(server);
}
