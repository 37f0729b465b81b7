//! What a person may do: the first rule of the fleet file that holds.

use super::token::Claims;
use madang_fleet::{SignIn, SignInRule};
use serde_json::Value;

/// A claim that others could choose, unless the provider says that it has looked.
const EMAIL: &str = "email";
const EMAIL_VERIFIED: &str = "email_verified";

/// The rule that says what these claims give; `None` where none holds.
pub(crate) fn mapped<'s>(settings: &'s SignIn, claims: &Claims) -> Option<&'s SignInRule> {
    settings.rules.iter().find(|rule| holds(rule, claims))
}

fn holds(rule: &SignInRule, claims: &Claims) -> bool {
    if rule.claim == EMAIL && claims.all.get(EMAIL_VERIFIED) != Some(&Value::Bool(true)) {
        return false;
    }
    match claims.all.get(&rule.claim) {
        Some(Value::String(text)) => *text == rule.value,
        Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(&rule.value)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_types::{ProgrammeId, Role, TenantId};
    use serde_json::json;
    use std::path::Path;

    const RULES: &str = r#"
[sign_in]
issuer = "https://id.example"
client_id = "madang"
public_url = "https://madang.example"
rule = [
    { claim = "groups", value = "ops", role = "operator" },
    { claim = "email", value = "kim@kma.go.kr", role = "tenant_admin", tenant = "kma" },
    { claim = "groups", value = "kma", role = "member", tenant = "kma" },
    { claim = "sub", value = "7", role = "auditor" },
    { claim = "https://id.example/part", value = "start", role = "programme_manager", programme = "startups" },
]
"#;

    #[test]
    fn the_first_rule_that_holds_counts() {
        let fleet = madang_fleet::parse(RULES, Path::new("")).unwrap().fleet;
        let settings = fleet.sign_in.unwrap();
        let check = |claims: Value, expected: Option<(Role, Option<&str>, Option<&str>)>| {
            let all = claims.as_object().unwrap().clone();
            let subject = "1".into();
            let found = mapped(&settings, &Claims { subject, all });
            let found = found.map(|rule| {
                let tenant = rule.tenant.as_ref().map(TenantId::as_str);
                let programme = rule.programme.as_ref().map(ProgrammeId::as_str);
                (rule.role, tenant, programme)
            });
            assert_eq!(found, expected, "{claims}");
        };
        let member = Some((Role::Member, Some("kma"), None));
        check(json!({}), None);
        check(json!({"groups": ["kma"]}), member);
        check(json!({"groups": "kma"}), member);
        check(
            json!({"groups": ["kma", "ops"]}),
            Some((Role::Operator, None, None)),
        );
        check(json!({"groups": "ops kma"}), None);
        check(json!({"groups": ["OPS"]}), None);
        check(json!({"groups": {"ops": true}}), None);
        check(json!({"groups": [["ops"]]}), None);
        check(json!({"groups": null}), None);
        check(json!({"roles": ["ops"]}), None);
        let admin = Some((Role::TenantAdmin, Some("kma"), None));
        check(
            json!({"email": "kim@kma.go.kr", "email_verified": true}),
            admin,
        );
        check(
            json!({"email": "kim@kma.go.kr", "email_verified": false}),
            None,
        );
        check(
            json!({"email": "kim@kma.go.kr", "email_verified": "true"}),
            None,
        );
        check(json!({"email": "kim@kma.go.kr"}), None);
        check(json!({"email": "kim@kma.go.kr", "groups": ["kma"]}), member);
        check(json!({"sub": "7"}), Some((Role::Auditor, None, None)));
        check(json!({"sub": 7}), None);
        let manager = Some((Role::ProgrammeManager, None, Some("startups")));
        check(json!({"https://id.example/part": "start"}), manager);
    }
}
