//! Connections: how they are made, kept, given up and told about.

use super::{PostgresOptions, PostgresUrl};
use crate::StoreError;
use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, PoolError, RecyclingMethod, Runtime,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Connections of one gateway: the writer's, and enough for look-ups beside a few reports.
const CONNECTIONS_MAX: usize = 8;
/// What a statement may take beyond the server's own limit, before the connection is given up.
const GRACE: Duration = Duration::from_secs(2);
/// Silence after which the kernel asks whether the server is there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);

/// What is asked of a connection.
pub(super) type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The connections. Cheap to clone; to be used in the runtime that is the store's own.
#[derive(Clone)]
pub(super) struct Pool {
    inner: deadpool_postgres::Pool,
    place: Arc<str>,
    statement_wait_max: Duration,
}

impl Pool {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the password's or the certificates' file cannot be used.
    pub(super) fn new(url: &PostgresUrl, options: &PostgresOptions) -> Result<Self, StoreError> {
        let connect_wait_max = Duration::from_millis(options.connect_wait_ms_max);
        let statement_wait_max = Duration::from_millis(options.statement_wait_ms_max);
        let mut config = url.config(options.password_file.as_deref())?;
        config.application_name("madang");
        config.connect_timeout(connect_wait_max);
        config.keepalives_idle(KEEPALIVE_IDLE);
        config.tcp_user_timeout(statement_wait_max);
        let settings = settings(options.statement_wait_ms_max);
        let set_up = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
            let settings = settings.clone();
            Box::pin(async move {
                let set = client.batch_execute(&settings).await;
                set.map_err(HookError::Backend)
            })
        });
        let pool = deadpool_postgres::Pool::builder(manager(config, url.root_certificate())?)
            .max_size(CONNECTIONS_MAX)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(statement_wait_max))
            .create_timeout(Some(connect_wait_max))
            .recycle_timeout(Some(connect_wait_max))
            .post_create(set_up)
            .build()
            .map_err(|e| StoreError::Unavailable(format!("cannot set up the connections: {e}")))?;
        Ok(Self {
            inner: pool,
            place: url.to_string().into(),
            statement_wait_max,
        })
    }

    /// Asks one thing over one connection, within a statement's time.
    ///
    /// # Errors
    /// As [`Pool::within`].
    pub(super) async fn with<T>(
        &self,
        ask: impl for<'a> FnOnce(&'a mut Object) -> Asked<'a, T> + Send,
    ) -> Result<T, StoreError> {
        self.within(self.statement_wait_max, ask).await
    }

    /// Asks one thing over one connection. A connection that does not answer in time is given up, since what it would
    /// answer next is not known.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where no connection can be had or no answer came; else what `ask` says.
    pub(super) async fn within<T>(
        &self,
        wait_max: Duration,
        ask: impl for<'a> FnOnce(&'a mut Object) -> Asked<'a, T> + Send,
    ) -> Result<T, StoreError> {
        // The server gives a statement up by itself, and says why: that word comes first.
        let wait_max = wait_max + GRACE;
        let silent = || {
            let seconds = wait_max.as_secs_f64();
            StoreError::Unavailable(format!("{} did not answer within {seconds} s", self.place))
        };
        let connected = timeout(wait_max, self.inner.get()).await;
        let mut client = connected
            .map_err(|_| silent())?
            .map_err(|e| self.unreachable(e))?;
        let answer = timeout(wait_max, ask(&mut client)).await;
        answer.unwrap_or_else(|_| {
            drop(Object::take(client));
            Err(silent())
        })
    }

    fn unreachable(&self, error: PoolError) -> StoreError {
        let what = format!("reach {}", self.place);
        match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
                medium(&what, &error)
            }
            other => StoreError::Unavailable(format!("cannot {what}: {other}")),
        }
    }
}

/// Said to each new connection.
fn settings(statement_wait_ms_max: u64) -> String {
    let ms_max = statement_wait_ms_max.min(i32::MAX.unsigned_abs().into());
    // Our tables have a schema of their own, beside whatever else the database holds. Every statement ends, also where
    // another's lock is in its way. A commit that was answered is on the server's disk, whatever the server's default.
    format!(
        "SET search_path TO madang; SET statement_timeout TO {ms_max}; \
         SET idle_in_transaction_session_timeout TO {ms_max}; \
         SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )
}

fn manager(config: Config, root_certificate: Option<&Path>) -> Result<Manager, StoreError> {
    let kept = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    Ok(match config.get_ssl_mode() {
        SslMode::Disable => Manager::from_config(config, NoTls, kept),
        _ => {
            let tls = MakeRustlsConnect::new(tls(root_certificate)?);
            Manager::from_config(config, tls, kept)
        }
    })
}

/// The server must show a certificate for its name, by an authority of the file or, without one, by a public one.
fn tls(root_certificate: Option<&Path>) -> Result<ClientConfig, StoreError> {
    let mut roots = RootCertStore::empty();
    match root_certificate {
        Some(path) => {
            let failed = |e: &dyn Error| {
                StoreError::Unavailable(format!("cannot use sslrootcert {}: {e}", path.display()))
            };
            let certificates = CertificateDer::pem_file_iter(path).map_err(|e| failed(&e))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|e| failed(&e))?;
                roots.add(certificate).map_err(|e| failed(&e))?;
            }
            if roots.is_empty() {
                let shown = path.display();
                return Err(StoreError::Unavailable(format!(
                    "sslrootcert {shown} holds no certificate in PEM"
                )));
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let versions =
        versions.map_err(|e| StoreError::Unavailable(format!("cannot set up TLS: {e}")))?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}

/// An error and all its causes in one line.
pub(super) fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// A failure of PostgreSQL, in the store's words, with what mends it where that is known.
pub(super) fn medium(what: &str, error: &tokio_postgres::Error) -> StoreError {
    let text = match error.as_db_error() {
        Some(error) => format!("cannot {what}: {}", error.message()),
        None => format!("cannot {what}: {}", told(error)),
    };
    // The server asks for a password and there is none: a fault that only its text tells apart.
    let asked = text.ends_with("password missing");
    let Some(code) = error
        .code()
        .or(asked.then_some(&SqlState::INVALID_PASSWORD))
    else {
        return StoreError::Unavailable(text);
    };
    match code {
        &SqlState::DATA_CORRUPTED | &SqlState::INDEX_CORRUPTED => StoreError::Damaged(text),
        &SqlState::CHARACTER_NOT_IN_REPERTOIRE | &SqlState::PROGRAM_LIMIT_EXCEEDED => {
            StoreError::Invalid(text)
        }
        code => match remedy(code) {
            Some(remedy) => StoreError::Unavailable(format!("{text}; {remedy}")),
            None => StoreError::Unavailable(text),
        },
    }
}

fn remedy(code: &SqlState) -> Option<&'static str> {
    Some(match code {
        &SqlState::INVALID_CATALOG_NAME => "make it: CREATE DATABASE … OWNER …",
        &SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "look at the user's name, and give the password in a file: PGPASSFILE or ?passfile=PATH"
        }
        &SqlState::INSUFFICIENT_PRIVILEGE => {
            "the user must own the database, or the schema madang in it: CREATE SCHEMA madang AUTHORIZATION …"
        }
        &SqlState::READ_ONLY_SQL_TRANSACTION => {
            "this server takes no writes; name the primary, or add target_session_attrs=read-write to the URL"
        }
        &SqlState::TOO_MANY_CONNECTIONS => "raise max_connections: each gateway uses up to 8",
        &SqlState::QUERY_CANCELED => "the server was too slow, or another program holds a lock",
        &SqlState::DISK_FULL => "make room on the server's disk",
        _ => return None,
    })
}
