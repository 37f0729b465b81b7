//! Tokens for a cluster's REST daemon. They are in a header and nowhere else: no message and no argument holds one.

use super::options::SlurmToken;
use super::transport::Fault;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a token is good for that we make, in seconds; half of that it is used.
const LIFE_S: u64 = 300;
/// The most bytes of a token or a key.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Gives the token of the moment.
pub(super) struct Tokens {
    user: String,
    source: SlurmToken,
    made: Mutex<Option<Made>>,
}

struct Made {
    text: String,
    renew_at: Duration,
}

/// What Slurm reads of a token (slurm.schedmd.com/jwt.html).
#[derive(serde::Serialize)]
struct Claims<'a> {
    iat: u64,
    exp: u64,
    sun: &'a str,
}

impl Tokens {
    pub(super) fn new(user: &str, source: SlurmToken) -> Self {
        Self {
            user: user.to_owned(),
            source,
            made: Mutex::new(None),
        }
    }

    pub(super) fn now(&self) -> Result<String, Fault> {
        match &self.source {
            SlurmToken::Given(secret) => Ok(secret.0.clone()),
            SlurmToken::File(path) => {
                let text = read(path)?;
                let text = String::from_utf8(text).map_err(|_| unusable(path, "it is no text"))?;
                // As `scontrol token` prints it.
                let token = text.trim();
                let token = token.strip_prefix("SLURM_JWT=").unwrap_or(token);
                // Slurm's own daemon of 22.05 says of such a one that nothing was received.
                if ended_at(token).is_some_and(|at| at <= now().as_secs()) {
                    return Err(unusable(
                        path,
                        "the token in it has ended: it has to be renewed",
                    ));
                }
                Ok(token.to_owned())
            }
            SlurmToken::Key(path) => self.minted(path),
        }
    }

    fn minted(&self, path: &Path) -> Result<String, Fault> {
        let now = now();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = made.as_ref().filter(|made| now < made.renew_at) {
            return Ok(made.text.clone());
        }
        let iat = now.as_secs();
        let claims = Claims {
            iat,
            exp: iat + LIFE_S,
            sun: &self.user,
        };
        let key = EncodingKey::from_secret(&read(path)?);
        let text = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key);
        let text = text.map_err(|_| unusable(path, "no token can be made with it"))?;
        *made = Some(Made {
            text: text.clone(),
            renew_at: now + Duration::from_secs(LIFE_S / 2),
        });
        Ok(text)
    }

    /// Makes another the next time: the last one was refused.
    pub(super) fn refused(&self) {
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn now() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}

/// When a token ends by its own words, in seconds since 1970; whether it is sound is the daemon's to say.
fn ended_at(token: &str) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Ends {
        exp: u64,
    }
    let mut rule = Validation::new(jsonwebtoken::decode_header(token).ok()?.alg);
    rule.insecure_disable_signature_validation();
    rule.validate_exp = false;
    rule.validate_aud = false;
    let key = DecodingKey::from_secret(&[]);
    let read = jsonwebtoken::decode::<Ends>(token, &key, &rule);
    Some(read.ok()?.claims.exp)
}

fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    let size = std::fs::metadata(path).map(|file| file.len());
    if size.is_ok_and(|size| size > FILE_BYTES_MAX) {
        return Err(unusable(path, "it is too long for a token or a key"));
    }
    std::fs::read(path).map_err(|error| unusable(path, &error.to_string()))
}

fn unusable(path: &Path, why: &str) -> Fault {
    Fault::NotSent(format!("{}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::decode;

    #[test]
    fn a_token_is_minted_and_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        std::fs::write(&key, [0, 159, 146, 150]).unwrap();
        let tokens = Tokens::new("madang", SlurmToken::Key(key));
        let token = tokens.now().unwrap();
        assert_eq!(tokens.now().unwrap(), token);
        let mut rule = Validation::new(Algorithm::HS256);
        rule.set_required_spec_claims(&["exp"]);
        let read = DecodingKey::from_secret(&[0, 159, 146, 150]);
        let claims = decode::<serde_json::Value>(&token, &read, &rule)
            .unwrap()
            .claims;
        assert_eq!(claims["sun"], "madang");
        let life = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
        assert_eq!(life, LIFE_S);
    }

    #[test]
    fn a_token_is_read_as_slurm_prints_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let tokens = Tokens::new("madang", SlurmToken::File(file.clone()));
        assert!(matches!(tokens.now(), Err(Fault::NotSent(_))));
        for (text, expected) in [("SLURM_JWT=a.b.c\n", "a.b.c"), ("d.e.f", "d.e.f")] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(tokens.now().unwrap(), expected);
        }
        // One that has ended is not sent: it says so itself.
        let token = |exp| {
            let claims = Claims {
                iat: 0,
                exp,
                sun: "madang",
            };
            let key = EncodingKey::from_secret(b"sesame");
            jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
        };
        std::fs::write(&file, token(u64::MAX >> 1)).unwrap();
        tokens.now().unwrap();
        std::fs::write(&file, token(1_600_000_300)).unwrap();
        let told = tokens.now();
        assert!(
            matches!(&told, Err(Fault::NotSent(why)) if why.contains("has ended") && !why.contains("eyJ")),
            "{told:?}"
        );
    }
}
