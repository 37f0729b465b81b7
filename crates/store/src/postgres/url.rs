//! Where the database is, and what of it may be shown: never its password.

use crate::StoreError;
use std::fmt;
use std::path::{Path, PathBuf};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// PostgreSQL's own port.
const PORT: u16 = 5432;

/// `postgres://USER@HOST[:PORT]/DATABASE[?sslmode=…&sslrootcert=PATH&passfile=PATH]`. Its text form and its debug form
/// leave the password out.
#[derive(Clone)]
pub struct PostgresUrl {
    config: Config,
    root_certificate: Option<PathBuf>,
    password_file: Option<PathBuf>,
}

/// Why a text is no [`PostgresUrl`]. It never repeats the text, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0}; write postgres://USER@HOST[:PORT]/DATABASE, with ?sslmode=disable|require|verify-full, &sslrootcert=PATH or \
     &passfile=PATH where need be"
)]
pub struct PostgresUrlError(String);

impl std::str::FromStr for PostgresUrl {
    type Err = PostgresUrlError;

    fn from_str(text: &str) -> Result<Self, PostgresUrlError> {
        let refused = |why: &str| PostgresUrlError(why.to_owned());
        if !["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| text.starts_with(scheme))
        {
            return Err(refused("the URL does not begin with postgres://"));
        }
        let (address, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut mode, mut root_certificate, mut password_file) = (None, None, None);
        let mut others = String::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "sslmode" => mode = Some(ssl_mode(value)?),
                "sslrootcert" => root_certificate = Some(path(value)?),
                "passfile" => password_file = Some(path(value)?),
                _ => {
                    others.push(if others.is_empty() { '?' } else { '&' });
                    others.push_str(pair);
                }
            }
        }
        let mut config: Config = format!("{address}{others}").parse().map_err(|e| {
            PostgresUrlError(super::connect::told(&e).replace("connection string", "URL"))
        })?;
        if config.get_hosts().is_empty() {
            return Err(refused("the URL names no host"));
        }
        if config.get_dbname().is_none_or(str::is_empty) {
            return Err(refused("the URL names no database"));
        }
        if config.get_user().is_none_or(str::is_empty) {
            return Err(refused("the URL names no user"));
        }
        // Addresses, where they are given, are what the names would only stand for.
        let near = match config.get_hostaddrs() {
            [] => config.get_hosts().iter().all(is_near),
            addresses => addresses.iter().all(std::net::IpAddr::is_loopback),
        };
        // What leaves this machine is under TLS unless the URL says otherwise.
        config.ssl_mode(mode.unwrap_or(if near {
            SslMode::Disable
        } else {
            SslMode::Require
        }));
        Ok(Self {
            config,
            root_certificate,
            password_file,
        })
    }
}

/// `require` and `verify-full` are one: a server whose certificate is not looked at may be anybody.
fn ssl_mode(value: &str) -> Result<SslMode, PostgresUrlError> {
    match value {
        "disable" => Ok(SslMode::Disable),
        "require" | "verify-full" => Ok(SslMode::Require),
        _ => Err(PostgresUrlError(
            "sslmode is none of disable, require and verify-full".into(),
        )),
    }
}

fn path(value: &str) -> Result<PathBuf, PostgresUrlError> {
    percent_encoding::percent_decode_str(value)
        .decode_utf8()
        .map(|path| PathBuf::from(path.as_ref()))
        .map_err(|_| PostgresUrlError("a path in the URL is not UTF-8".into()))
}

/// Whether what is sent to the host stays on this machine.
fn is_near(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost"
                || name
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

impl PostgresUrl {
    /// The configuration with its password: the URL's own, else the one that a password file has for this place. Of
    /// the files the URL's own `passfile` comes first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the file cannot be read or others may read it.
    pub(super) fn config(&self, password_file: Option<&Path>) -> Result<Config, StoreError> {
        let mut config = self.config.clone();
        let file = self.password_file.as_deref().or(password_file);
        if let (None, Some(file)) = (config.get_password(), file)
            && let Some(password) = password_in(&read_private(file)?, &self.place())
        {
            config.password(password);
        }
        Ok(config)
    }

    /// PEM file of the authorities that may vouch for the server, if not the public ones.
    pub(super) fn root_certificate(&self) -> Option<&Path> {
        self.root_certificate.as_deref()
    }

    /// The database's name.
    pub(super) fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or_default()
    }

    /// The role's name.
    pub(super) fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }

    /// What a line of a password file is compared with: the first host, its port, the database and the user.
    fn place(&self) -> [String; 4] {
        let port = self.config.get_ports().first().copied().unwrap_or(PORT);
        let host = self.config.get_hosts().first().map(host_text);
        [
            host.unwrap_or_default(),
            port.to_string(),
            self.database().to_owned(),
            self.user().to_owned(),
        ]
    }
}

fn host_text(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    }
}

fn read_private(file: &Path) -> Result<String, StoreError> {
    let failed = |e: std::io::Error| {
        StoreError::Unavailable(format!(
            "cannot read the password file {}: {e}",
            file.display()
        ))
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(file)
            .map_err(failed)?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            let shown = file.display();
            return Err(StoreError::Unavailable(format!(
                "others may read the password file {shown}; run: chmod 600 {shown}"
            )));
        }
    }
    std::fs::read_to_string(file).map_err(failed)
}

/// The password of the first line that fits: `host:port:database:user:password`, `*` for any, `\` before `:` and `\`
/// (PostgreSQL's manual, "The Password File").
fn password_in(text: &str, place: &[String; 4]) -> Option<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(fields).find_map(|mut line| {
        let fits = line.len() == 5 && line.iter().zip(place).all(|(a, b)| a == "*" || a == b);
        fits.then(|| line.pop()).flatten()
    })
}

/// At most five fields; a `:` in the last is its own.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        let last = fields.len() - 1;
        match letter {
            '\\' => fields[last].extend(letters.next()),
            ':' if last < 4 => fields.push(String::new()),
            _ => fields[last].push(letter),
        }
    }
    fields
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}@", self.user())?;
        let ports = self.config.get_ports();
        for (number, host) in self.config.get_hosts().iter().enumerate() {
            let port = ports.get(number).or(ports.first());
            let comma = if number > 0 { "," } else { "" };
            write!(f, "{comma}{}:{}", host_text(host), port.unwrap_or(&PORT))?;
        }
        write!(f, "/{}", self.database())
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, shown: &str, mode: SslMode) {
        let url: PostgresUrl = text.parse().unwrap();
        assert_eq!(url.to_string(), shown);
        assert_eq!(format!("{url:?}"), shown);
        assert_eq!(url.config.get_ssl_mode(), mode, "{text}");
    }

    #[test]
    fn what_leaves_the_machine_is_under_tls_and_no_password_is_shown() {
        let (plain, tls) = (SslMode::Disable, SslMode::Require);
        check(
            "postgres://a:s3cret@db.kr/m",
            "postgres://a@db.kr:5432/m",
            tls,
        );
        check(
            "postgresql://a@10.0.0.1:1/m",
            "postgres://a@10.0.0.1:1/m",
            tls,
        );
        check(
            "postgres://a@db/m?sslmode=disable",
            "postgres://a@db:5432/m",
            plain,
        );
        check(
            "postgres://a@db/m?sslmode=require",
            "postgres://a@db:5432/m",
            tls,
        );
        check(
            "postgres://a@localhost/m",
            "postgres://a@localhost:5432/m",
            plain,
        );
        check("postgres://a@[::1]:7/m", "postgres://a@::1:7/m", plain);
        check(
            "postgres://a@%2Frun%2Fpg/m",
            "postgres://a@/run/pg:5432/m",
            plain,
        );
        check(
            "postgres://a@localhost/m?connect_timeout=3&sslmode=verify-full",
            "postgres://a@localhost:5432/m",
            tls,
        );
        check(
            "postgres://a@localhost/m?hostaddr=10.0.0.1",
            "postgres://a@localhost:5432/m",
            tls,
        );
        check("postgres://a@h1,h2:6/m", "postgres://a@h1:5432,h2:6/m", tls);
    }

    fn check_refused(text: &str, told: &str) {
        let refused = text.parse::<PostgresUrl>().unwrap_err().to_string();
        assert!(refused.contains(told), "{refused}");
        assert!(!refused.contains("s3cret"), "{refused}");
    }

    #[test]
    fn a_wrong_url_is_told_without_its_text() {
        check_refused("sqlite:s3cret", "does not begin with postgres://");
        check_refused("postgres://a:s3cret@/m", "names no host");
        check_refused("postgres://a:s3cret@db", "names no database");
        check_refused("postgres://db/m", "names no user");
        check_refused(
            "postgres://a:s3cret@db:x/m",
            "invalid value for option `port`",
        );
        check_refused(
            "postgres://a:s3cret@db/m?sslmode=prefer",
            "sslmode is none of",
        );
        check_refused(
            "postgres://a:s3cret@db/m?sslmod=require",
            "unknown option `sslmod`",
        );
    }

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let url: PostgresUrl = "postgres://ada@db:6/m".parse().unwrap();
        for (text, password) in [
            ("db:6:m:ada:pw", Some("pw")),
            ("# db:6:m:ada:no\n*:*:*:ada:p\\:w:x\\\\", Some("p:w:x\\")),
            ("db:6:m:eve:no\ndb:5432:m:ada:no\ndb:6:m:ada", None),
            ("", None),
        ] {
            assert_eq!(
                password_in(text, &url.place()).as_deref(),
                password,
                "{text}"
            );
        }
    }

    #[test]
    fn a_password_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pass");
        std::fs::write(&file, "*:*:*:*:s3cret").unwrap();
        let url: PostgresUrl = "postgres://ada@db/m".parse().unwrap();
        let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode));
        mode(0o640).unwrap();
        let refused = url.config(Some(&file)).unwrap_err().to_string();
        assert!(refused.contains("chmod 600"), "{refused}");
        mode(0o600).unwrap();
        let config = url.config(Some(&file)).unwrap();
        assert_eq!(config.get_password(), Some("s3cret".as_bytes()));
    }
}
