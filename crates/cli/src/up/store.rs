//! Where the books are: a file of the data folder, or a PostgreSQL that gateways share.

use crate::args::UpArgs;
use crate::up::BOOKS_FILE;
use anyhow::{Context, anyhow};
use madang_fleet::Limits;
use madang_store::{Bank, PostgresOptions, PostgresStore, PostgresUrl, SqliteStore, Store};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Open books, and the bank that is in them.
pub struct Opened {
    pub store: Arc<dyn Store>,
    pub bank: Arc<dyn Bank>,
}

impl Opened {
    fn of<T: Store + Bank>(books: T) -> Self {
        let books = Arc::new(books);
        Self {
            store: Arc::<T>::clone(&books),
            bank: books,
        }
    }
}

/// The books that were asked for.
pub struct Books {
    /// The database of several gateways; `None` for one SQLite file in the data folder.
    postgres: Option<PostgresUrl>,
}

impl Books {
    /// What the flags say.
    ///
    /// # Errors
    /// The URL is none. The text of it, which may hold a password, is not repeated.
    pub fn of(args: &UpArgs) -> anyhow::Result<Self> {
        let url = args.store.as_ref().map(|text| text.0.parse());
        let postgres = url
            .transpose()
            .context("--store (MADANG_STORE) is no store")?;
        Ok(Self { postgres })
    }

    /// Opens them.
    ///
    /// # Errors
    /// They cannot be had; the text says which they are and what mends it.
    pub async fn open(self, data: &Path, limits: &Limits) -> anyhow::Result<Opened> {
        let Some(url) = self.postgres else {
            return sqlite(data.join(BOOKS_FILE)).await;
        };
        if data.join("madang.sqlite").exists() {
            tracing::warn!("the books in madang.sqlite are not read: --store names others");
        }
        let options = PostgresOptions {
            journal: Some(data.join("madang.postgres-records")),
            spool_bytes_max: limits.books_spool_bytes_max,
            password_file: password_file(),
            ..PostgresOptions::default()
        };
        postgres(url, options).await
    }
}

async fn sqlite(path: PathBuf) -> anyhow::Result<Opened> {
    let opened =
        tokio::task::spawn_blocking(move || SqliteStore::open(&path).map_err(|e| (e, path)))
            .await?;
    let store = opened.map_err(|(error, path)| {
        let shown = path.display();
        let mend = "move the file away to begin new books, bring it back from a backup, or choose another folder with --data PATH";
        anyhow!(error).context(format!("the books {shown} cannot be opened; {mend}"))
    })?;
    Ok(Opened::of(store))
}

async fn postgres(url: PostgresUrl, options: PostgresOptions) -> anyhow::Result<Opened> {
    let shown = url.to_string();
    let opened = tokio::task::spawn_blocking(move || PostgresStore::open(&url, &options)).await?;
    let store = opened.with_context(|| format!("the books at {shown} cannot be opened"))?;
    Ok(Opened::of(store))
}

/// Where PostgreSQL's own programs look for passwords.
fn password_file() -> Option<PathBuf> {
    match std::env::var_os("PGPASSFILE") {
        Some(path) => Some(path.into()),
        None => std::env::home_dir()
            .map(|home| home.join(".pgpass"))
            .filter(|path| path.exists()),
    }
}
