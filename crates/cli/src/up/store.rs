//! Where the books are: a file of the data folder, or a PostgreSQL that gateways share.

use crate::args::{StoreText, UpArgs};
use crate::up::BOOKS_FILE;
use crate::up::data_folder::DataFolder;
use anyhow::{Context, anyhow};
use madang_fleet::Limits;
use madang_store::{
    Bank, JobBook, Ledger, PostgresOptions, PostgresStore, PostgresUrl, PowerBook, SqliteStore,
    Store,
};
use madang_types::GatewayId;
use std::path::PathBuf;
use std::sync::Arc;

/// The name of a gateway that shares its books with no other.
const ONLY_GATEWAY: &str = "local";

/// Open books, and the bank that is in them.
pub struct Opened {
    /// The gateway's name among those that share them.
    pub gateway: GatewayId,
    pub store: Arc<dyn Store>,
    pub bank: Arc<dyn Bank>,
    pub jobs: Arc<dyn JobBook>,
    pub ledger: Arc<dyn Ledger>,
    pub power: Arc<dyn PowerBook>,
}

impl Opened {
    fn of<T: Store + Bank + JobBook + Ledger + PowerBook>(gateway: GatewayId, books: T) -> Self {
        let books = Arc::new(books);
        Self {
            gateway,
            store: Arc::<T>::clone(&books),
            bank: Arc::<T>::clone(&books),
            ledger: Arc::<T>::clone(&books),
            power: Arc::<T>::clone(&books),
            jobs: books,
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
        let postgres = url_of(args.store.as_ref())?;
        Ok(Self { postgres })
    }

    /// Whether several gateways may write to them.
    pub fn are_shared(&self) -> bool {
        self.postgres.is_some()
    }

    /// Opens them.
    ///
    /// # Errors
    /// They cannot be had; the text says which they are and what mends it.
    pub async fn open(self, folder: &DataFolder, limits: &Limits) -> anyhow::Result<Opened> {
        let data = folder.path();
        let Some(url) = self.postgres else {
            return sqlite(data.join(BOOKS_FILE)).await;
        };
        let gateway = folder.gateway()?;
        if data.join("madang.sqlite").exists() {
            tracing::warn!("the books in madang.sqlite are not read: --store names others");
        }
        let options = PostgresOptions {
            gateway: Some(gateway.clone()),
            journal: Some(data.join("madang.postgres-records")),
            spool_bytes_max: limits.books_spool_bytes_max,
            password_file: password_file(),
            ..PostgresOptions::default()
        };
        let store = postgres(url, options).await?;
        Ok(Opened::of(gateway, store))
    }
}

/// What `--store` names; the text of it, which may hold a password, is not repeated.
fn url_of(text: Option<&StoreText>) -> anyhow::Result<Option<PostgresUrl>> {
    let url = text.map(|text| text.0.parse()).transpose();
    url.context("--store (MADANG_STORE) is no store")
}

/// The books that `--store` names, to read them beside the gateways that write them.
///
/// # Errors
/// It names none, or they cannot be had.
pub async fn postgres_to_read(text: Option<&StoreText>) -> anyhow::Result<Option<PostgresStore>> {
    let Some(url) = url_of(text)? else {
        return Ok(None);
    };
    let options = PostgresOptions {
        migrates: false,
        password_file: password_file(),
        ..PostgresOptions::default()
    };
    postgres(url, options).await.map(Some)
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
    let gateway = ONLY_GATEWAY.parse().context("the gateway's name")?;
    Ok(Opened::of(gateway, store))
}

async fn postgres(url: PostgresUrl, options: PostgresOptions) -> anyhow::Result<PostgresStore> {
    let shown = url.to_string();
    let opened = tokio::task::spawn_blocking(move || PostgresStore::open(&url, &options)).await?;
    opened.with_context(|| format!("the books at {shown} cannot be opened"))
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
