//! How people sign in: nothing goes unencrypted, and every rule says whose the role is.

use super::url::{BaseUrl, UrlFault};
use super::{Check, rows};
use crate::at::At;
use crate::model::{OriginAddress, SignIn, SignInRule};
use crate::raw::{RawSignIn, RawSignInRule, Text, Texts};
use crate::shape::brief;
use madang_types::{ProgrammeId, Role, TenantId};
use std::collections::BTreeSet;

/// Hours, where the file names none; the schema shows the same.
const VALID_HOURS_DEFAULT: u32 = 8;
/// Rules that a sign-in is held against.
const RULES_MAX: usize = 1024;
/// Bytes of a client's name, a claim, a value or a scope.
const TEXT_BYTES_MAX: usize = 255;

impl Check<'_, '_> {
    /// `Some(None)` where people do not sign in, `None` where how they do is wrong.
    pub(super) fn sign_in(&mut self) -> Option<Option<SignIn>> {
        let Some(at) = &self.raw.sign_in else {
            return Some(None);
        };
        let raw = &at.value;
        let issuer = raw.issuer.as_ref().and_then(|at| self.provider_url(at));
        let public = raw.public_url.as_ref().and_then(|at| self.public_url(at));
        let client_id = self.claim_text(&raw.client_id);
        let keys = (&raw.key_file, &raw.key_env);
        let key = self.key_source(keys, "the client has its secret twice");
        let ca_file = match &raw.ca_file {
            Some(at) => self.path(at).map(Some),
            None => Some(None),
        };
        let scopes = self.scopes(&raw.scopes);
        let rules = self.sign_in_rules(at);
        let valid_hours = raw.valid_hours.as_ref();
        Some(Some(SignIn {
            issuer: issuer?,
            client_id: client_id?,
            key: key?,
            ca_file: ca_file?,
            public: public?,
            scopes: scopes?,
            valid_hours: valid_hours.map_or(VALID_HOURS_DEFAULT, |at| at.value),
            rules: rules?,
        }))
    }

    /// Scheme, host and port of a URL over which secrets and tokens go.
    fn sign_in_origin(&mut self, at: &At<String>) -> Option<OriginAddress> {
        let text = &at.value;
        if self.secret(text, &at.span, "take the secret out of the URL") {
            return None;
        }
        let end = text
            .match_indices('/')
            .nth(2)
            .map_or(text.len(), |(i, _)| i);
        let parsed = BaseUrl::parse(&text[..end]);
        let UrlFault { message, remedy } = match parsed {
            Ok(url @ BaseUrl::Http { .. }) if !url.keeps_secrets() => {
                self.report
                    .error(
                        "key_without_tls",
                        &at.span,
                        "people's sign-ins would go unencrypted",
                    )
                    .help("use https://; http:// does on this very machine alone");
                return None;
            }
            Ok(BaseUrl::Http {
                secure: tls,
                host,
                port,
                ..
            }) => return Some(OriginAddress { tls, host, port }),
            Ok(BaseUrl::Unix(_)) => UrlFault {
                message: "a browser reaches no Unix socket",
                remedy: "for example \"https://id.example.kr\"".into(),
            },
            Err(fault) => fault,
        };
        let message = format!("\"{}\": {message}", brief(text));
        self.report
            .error("url_invalid", &at.span, message)
            .help(remedy);
        None
    }

    fn provider_url(&mut self, at: &At<String>) -> Option<String> {
        self.sign_in_origin(at)?;
        let sound = |b: u8| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'\\' | b'"' | b'%');
        if at.value.len() <= TEXT_BYTES_MAX && at.value.bytes().all(sound) {
            return Some(at.value.clone());
        }
        let message = format!("\"{}\" is no issuer", brief(&at.value));
        self.report.error("url_invalid", &at.span, message).help(
            "write it as the provider's /.well-known/openid-configuration does, without ? and #",
        );
        None
    }

    fn public_url(&mut self, at: &At<String>) -> Option<OriginAddress> {
        let origin = self.sign_in_origin(at)?;
        if at.value.trim_end_matches('/').matches('/').count() == 2 {
            return Some(origin);
        }
        let message = format!("\"{}\" is no scheme, host and port alone", brief(&at.value));
        self.report
            .error("url_invalid", &at.span, message)
            .help(format!("write \"{origin}\""));
        None
    }

    /// A text that is compared, not read.
    fn claim_text(&mut self, text: &Text) -> Option<String> {
        let at = text.as_ref()?;
        let remedy = "secrets stand in files of their own: key_file";
        if self.secret(&at.value, &at.span, remedy) {
            return None;
        }
        let sound = (1..=TEXT_BYTES_MAX).contains(&at.value.len())
            && !at.value.chars().any(char::is_control);
        if !sound {
            let message = format!("this text has 1 to {TEXT_BYTES_MAX} bytes, on one line");
            self.report
                .error("name_invalid", &at.span, message)
                .help("write it exactly as the provider does");
        }
        sound.then(|| at.value.clone())
    }

    fn scopes(&mut self, texts: &Texts) -> Option<Vec<String>> {
        let mut scopes = vec!["openid".to_owned()];
        let mut whole = true;
        for at in texts.iter().flat_map(|at| &at.value) {
            let sound = (1..=TEXT_BYTES_MAX).contains(&at.value.len())
                && at
                    .value
                    .bytes()
                    .all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\'));
            if !sound {
                let message = format!("\"{}\" is no scope", brief(&at.value));
                self.report
                    .error("name_invalid", &at.span, message)
                    .help("one word each: scopes = [\"email\", \"groups\"]");
                whole = false;
            } else if !scopes.contains(&at.value) {
                scopes.push(at.value.clone());
            }
        }
        whole.then_some(scopes)
    }

    fn sign_in_rules(&mut self, at: &At<RawSignIn>) -> Option<Vec<SignInRule>> {
        let raw = &at.value.rule;
        if raw.as_ref().is_some_and(|at| at.is_empty()) && self.sure("sign_in") {
            self.report
                .error(
                    "missing_key",
                    &at.span,
                    "there is no rule: nobody could sign in",
                )
                .help("add [[sign_in.rule]] with a claim, its value and a role");
            return None;
        }
        if let Some(row) = rows(raw).nth(RULES_MAX) {
            let message = format!(
                "there are {} rules, at most {RULES_MAX} are held against a sign-in",
                rows(raw).count()
            );
            self.report
                .error("number_range", &row.span, message)
                .help("map groups of people rather than single ones");
            return None;
        }
        let mut seen = BTreeSet::new();
        let read: Vec<Option<SignInRule>> = rows(raw)
            .map(|row| {
                let rule = self.sign_in_rule(row)?;
                if !seen.insert((rule.claim.clone(), rule.value.clone())) {
                    let message = format!("an earlier rule is for the same {}", rule.claim);
                    self.report
                        .warning("key_without_effect", &row.span, message)
                        .help("take one of the two out: the first that holds counts");
                }
                Some(rule)
            })
            .collect();
        read.into_iter().collect()
    }

    fn sign_in_rule(&mut self, row: &At<RawSignInRule>) -> Option<SignInRule> {
        let raw = &row.value;
        let claim = self.claim_text(&raw.claim);
        let value = self.claim_text(&raw.value);
        // The words of the schema are those of the types; a test holds them together.
        let role: Role = raw.role.as_ref()?.value.parse().ok()?;
        let tenant = self.rule_owner(row, (role.is_of_tenant(), role), ("tenant", &raw.tenant));
        let manages = role == Role::ProgrammeManager;
        let programme = self.rule_owner(row, (manages, role), ("programme", &raw.programme));
        let (tenant, programme) = (tenant?, programme?);
        // Rows that the API makes stand in no file: whether they are there is asked at each sign-in.
        let tenant = tenant.map(|at| super::name(self.report, at, TenantId::new));
        let programme = programme.map(|at| super::name(self.report, at, ProgrammeId::new));
        Some(SignInRule {
            claim: claim?,
            value: value?,
            role,
            tenant: match tenant {
                Some(name) => Some(name?),
                None => None,
            },
            programme: match programme {
                Some(name) => Some(name?),
                None => None,
            },
        })
    }

    /// Whose the role is, where it is somebody's: given where it must be, and nowhere else.
    fn rule_owner<'r>(
        &mut self,
        row: &At<RawSignInRule>,
        (wanted, role): (bool, Role),
        (key, text): (&str, &'r Text),
    ) -> Option<Option<&'r At<String>>> {
        match text {
            None if wanted && self.report.is_whole() => {
                let message = format!("the rule has no `{key}`: whose {role} would it be?");
                self.report
                    .error("missing_key", &row.span, message)
                    .help(format!("add {key} = \"…\""));
                None
            }
            Some(at) if !wanted => {
                let message = format!("a person of the role {role} belongs to no {key}");
                self.report
                    .error("choose_one", &at.span, message)
                    .help(format!("take `{key}` out, or choose another role"));
                None
            }
            found => Some(found.as_ref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::KeySource;
    use std::path::Path;

    const GOOD: &str = r#"
[sign_in]
issuer = "https://tenant.id.example/"
client_id = "madang"
key_file = "secrets/oidc.key"
public_url = "https://Madang.example.kr:443/"
scopes = ["groups", "openid"]
rule = [
    { claim = "groups", value = "AI 운영", role = "operator" },
    { claim = "email", value = "kim@kma.go.kr", role = "member", tenant = "kma" },
]
"#;

    fn read(text: &str) -> Option<SignIn> {
        crate::parse(text, Path::new("/etc/madang"))
            .unwrap()
            .fleet
            .sign_in
    }

    #[test]
    fn a_sign_in_is_kept_as_it_is_compared() {
        let rule = |claim: &str, value: &str, role: Role, tenant: Option<&str>| SignInRule {
            claim: claim.into(),
            value: value.into(),
            role,
            tenant: tenant.map(|id| id.parse().unwrap()),
            programme: None,
        };
        let expected = SignIn {
            issuer: "https://tenant.id.example/".into(),
            client_id: "madang".into(),
            key: Some(KeySource::File("/etc/madang/secrets/oidc.key".into())),
            ca_file: None,
            public: OriginAddress {
                tls: true,
                host: "madang.example.kr".into(),
                port: 443,
            },
            scopes: vec!["openid".into(), "groups".into()],
            valid_hours: 8,
            rules: vec![
                rule("groups", "AI 운영", Role::Operator, None),
                rule("email", "kim@kma.go.kr", Role::Member, Some("kma")),
            ],
        };
        assert_eq!(read(GOOD), Some(expected));
        assert_eq!(read(""), None);
    }

    #[test]
    fn clear_text_stays_on_this_machine() {
        let check = |issuer: &str, public: &str, sound: bool| {
            let text = GOOD
                .replace("https://tenant.id.example/", issuer)
                .replace("https://Madang.example.kr:443/", public);
            let parsed = crate::parse(&text, Path::new(""));
            assert_eq!(parsed.is_ok(), sound, "{issuer} {public}: {parsed:?}");
        };
        check("http://127.0.0.1:9400", "http://localhost:7080", true);
        check("http://[::1]:9400/realms/ai", "http://[::1]:7080", true);
        check("http://10.0.0.7:9400", "http://localhost:7080", false);
        check("http://127.example.com", "http://localhost:7080", false);
        check("https://id.example.kr", "http://madang.internal", false);
        check(
            "https://user:pw@id.example.kr",
            "https://m.example.kr",
            false,
        );
        check("https://id.example.kr/a b", "https://m.example.kr", false);
        check("id.example.kr", "https://m.example.kr", false);
    }
}
