//! The policy: what the file says is what the fleet holds; a file of its own says the same as `[policy]`.
#![cfg(test)]

use madang_fleet::{FileProblems, LoadError, ParsedPolicy, load, parse, parse_policy};
use madang_types::policy::OneOf;
use madang_types::{
    Assurance, BasisKind, DataClass, DataFlag, Micros, Policy, PolicyEffect, ProgrammeId, Zone,
};
use std::collections::BTreeSet;
use std::path::Path;

const FLEET: &str = r#"
[[site]]
id = "pohang"
country = "KR"
zone = "domestic_public"
assurance = ["csap_mid", "isms_p"]
verified_on = "2026-11-01"

[[model]]
id = "exaone"
context_tokens = 8192

[[replica]]
id = "r"
site = "pohang"
model = "exaone"
url = "http://10.0.0.7:8000"
engine = "vllm"
slots = 8

[[upstream]]
id = "openai"
dialect = "openai"
url = "http://10.0.0.1"
country = "US"
operator_country = "US"
stored_in = ["KR", "US"]
abuse_logs_in = ["US"]
abuse_log_days = 30
zero_retention = false
verified_on = "2026-10-31"
recipient = "OpenAI, L.L.C., privacy@openai.com"
models = [{ id = "gpt" }]

[[programme]]
id = "hospitals"

[[tenant]]
id = "clinic"
programme = "hospitals"
"#;

const POLICY: &str = r#"
home = "KR"
classified_programmes = ["hospitals"]

[[rule]]
id = "research"
effect = "allow"
text = "Pseudonymised records for research."
when = { class = ["sensitive"], flags_all = ["pseudonymised"], programme = ["hospitals"], location = ["openai"], basis_any = ["consent"] }

[[rule]]
id = "gpt-sensitive"
effect = "deny"
reroute = "exaone"
text = "Not abroad."
text_ko = "국외 불가"
when = { class = ["sensitive", "classified"], model = ["gpt"], zone = ["foreign"] }

[[never]]
id = "no-health-abroad"
text = "Health never goes abroad."
when = { flags_any = ["health"], own = false }

[[basis]]
id = "consent-1"
kind = "consent"
tenant = ["clinic"]
location = ["openai"]
expires_on = "2027-06-30"
"#;

/// The same keys inside the fleet file.
fn inline() -> String {
    let tables = POLICY.replace("[[", "[[policy.");
    format!("{FLEET}\n[policy]\n{tables}")
}

fn set<T: Ord, const N: usize>(values: [T; N]) -> OneOf<T> {
    Some(BTreeSet::from(values))
}

fn check(policy: &Policy) {
    assert_eq!(
        policy.home.map(|home| home.to_string()).as_deref(),
        Some("KR")
    );
    let [research, reroute] = policy.rules.as_slice() else {
        panic!("{:?}", policy.rules);
    };
    assert_eq!(research.effect, PolicyEffect::Allow);
    assert_eq!(research.when.class, set([DataClass::Sensitive]));
    assert!(research.when.flags_all.has(DataFlag::Pseudonymised));
    let hospitals = ProgrammeId::new("hospitals").unwrap();
    assert_eq!(research.when.programme, set([hospitals.clone()]));
    assert_eq!(
        research.when.basis_any,
        BTreeSet::from([BasisKind::Consent])
    );
    assert_eq!(reroute.when.zone, set([Zone::Foreign]));
    assert_eq!(reroute.reroute.as_ref().unwrap().as_str(), "exaone");
    assert_eq!(reroute.text_ko, "국외 불가");
    assert_eq!(policy.never[0].when.own, Some(false));
    assert_eq!(policy.classified_programmes, BTreeSet::from([hospitals]));
    // Midnight in Korea after that day.
    assert_eq!(policy.bases[0].expires_at, Micros(1_814_367_600_000_000));
}

#[test]
fn a_policy_stands_in_the_fleet_file_or_beside_it() {
    let parsed = parse(&inline(), Path::new("")).unwrap();
    check(&parsed.fleet.policy);
    let fleet = parse(FLEET, Path::new("")).unwrap().fleet;
    let ParsedPolicy {
        policy,
        warnings,
        spans,
    } = parse_policy(POLICY, &fleet).unwrap();
    assert_eq!(&POLICY[spans["research"].clone()], "\"research\"");
    assert_eq!((policy, warnings), (parsed.fleet.policy, vec![]));
}

#[test]
fn a_fleet_is_loaded_with_the_policy_that_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fleet.toml");
    std::fs::write(
        &path,
        format!("{FLEET}\n[policy]\nfile = \"policy.toml\"\n"),
    )
    .unwrap();
    let missing = load(&path).unwrap_err().to_string();
    assert!(missing.ends_with("policy.toml"), "{missing}");
    std::fs::write(dir.path().join("policy.toml"), POLICY).unwrap();
    let loaded = load(&path).unwrap();
    check(&loaded.fleet.policy);
    assert_eq!(loaded.policy.source, POLICY);
    std::fs::write(dir.path().join("policy.toml"), "hom = \"KR\"").unwrap();
    let Err(LoadError::Invalid(FileProblems { path, problems, .. })) = load(&path) else {
        panic!("it has a problem");
    };
    assert!(path.ends_with("policy.toml"));
    assert_eq!(problems[0].code, "unknown_key");
}

#[test]
fn the_facts_of_places_are_read() {
    let fleet = parse(FLEET, Path::new("")).unwrap().fleet;
    let site = fleet.sites.values().next().unwrap();
    assert_eq!(site.place.zone, Some(Zone::DomesticPublic));
    assert!(site.place.own && site.place.assurance.contains(&Assurance::CsapMid));
    let upstream = fleet.upstreams.values().next().unwrap();
    let stored: Vec<String> = upstream
        .place
        .stored_in
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(stored, ["KR", "US"]);
    assert!(!upstream.place.own && !upstream.place.zero_retention);
    assert_eq!(upstream.facts.abuse_log_days, Some(30));
    assert_eq!(
        upstream.facts.verified_on.unwrap().to_string(),
        "2026-10-31"
    );
    assert_eq!(
        fleet.policy.home.unwrap().as_str(),
        "KR",
        "where all sites are"
    );
}
