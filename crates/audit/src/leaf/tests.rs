//! Each kind of leaf is written in one way, and read back.

use super::*;
use madang_types::{DataFlag, GatewayId, Preempted, Role, WhenEnded, Zone};

fn check(event: Event, json: &str) {
    let leaf = Leaf::new(Micros(1_764_150_000_000_001), event);
    let bytes = leaf.encode().unwrap();
    let json = format!(r#"{{"v":1,"time_us":1764150000000001,"event":{json}}}"#);
    assert_eq!(String::from_utf8(bytes.clone()).unwrap(), json);
    assert_eq!(Leaf::decode(&bytes), Ok(leaf));
}

#[test]
fn a_decision_is_written_in_one_way() {
    let decision = Decision {
        request: RequestId(7),
        tenant: TenantId::new("kma").unwrap(),
        programme: Some(ProgrammeId::new("public").unwrap()),
        key: KeyId::new("k1").unwrap(),
        door: Endpoint::Chat,
        model_asked: Some(ModelId::new("auto").unwrap()),
        model: Some(ModelId::new("gpt-5").unwrap()),
        class_claimed: None,
        class: DataClass::Open,
        class_from: ClassSource::Scanner,
        flags: DataFlags::NONE.with(DataFlag::Pii),
        pii: [(PiiKind::Phone, 2), (PiiKind::Rrn, 1)].into(),
        basis: vec!["consent-2026".into()],
        attempt: 1,
        location: Some(Location {
            id: "openai".into(),
            own: false,
            country: Some("US".into()),
            operator_country: Some("US".into()),
            zone: Some("foreign".into()),
            recipient: None,
            purpose: None,
            retention: Some("30 days".into()),
            refusal: None,
        }),
        origin: None,
        effect: PolicyEffect::Mask,
        error: None,
        rules: vec!["pii-abroad".into()],
        unmet: Vec::new(),
        policy_hash: "ab".into(),
        bytes: 120,
        prompt_tokens: 30,
        prompt_hmac: Some(Hmac([0xab; 32])),
    };
    let hash = "ab".repeat(32);
    let json = [
        r#"{"decision":{"request":"req_00000000000000000000000000000007","tenant":"kma","programme":"public","key":"k1","#,
        r#""door":"chat","model_asked":"auto","model":"gpt-5","class":"open","class_from":"scanner","flags":["pii"],"#,
        r#""pii":{"RRN":1,"PHONE":2},"basis":["consent-2026"],"attempt":1,"location":{"id":"openai","own":false,"#,
        r#""country":"US","operator_country":"US","zone":"foreign","retention":"30 days"},"effect":"mask","#,
        r#""rules":["pii-abroad"],"policy_hash":"ab","bytes":120,"prompt_tokens":30,"prompt_hmac":""#,
        &hash,
        r#""}}"#,
    ];
    check(Event::Decision(Box::new(decision)), &json.concat());
}

#[test]
fn a_secret_is_written_without_its_value() {
    let put = SecretChange {
        tenant: TenantId::new("kma").unwrap(),
        project: None,
        name: "HF_TOKEN".parse().unwrap(),
        version: Some(2),
        key: KeyId::new("k1").unwrap(),
    };
    check(
        Event::Secret(put),
        r#"{"secret":{"tenant":"kma","name":"HF_TOKEN","version":2,"key":"k1"}}"#,
    );
    let recall = Recall {
        allocation: "kma-h200".parse().unwrap(),
        programme: "weather".parse().unwrap(),
        tenant: "kma".parse().unwrap(),
        ends_us: 7,
        by: "k1".parse().unwrap(),
    };
    check(
        Event::Recall(recall),
        r#"{"recall":{"allocation":"kma-h200","programme":"weather","tenant":"kma","ends_us":7,"by":"k1"}}"#,
    );
}

#[test]
fn an_act_is_written_in_one_way() {
    let (what, version) = ("start".into(), "0.1.0".into());
    check(
        Event::Note(Note { what, version }),
        r#"{"note":{"what":"start","version":"0.1.0"}}"#,
    );
    let sign_in = SignIn {
        key: KeyId::new("k1").unwrap(),
        begun: true,
        role: Role::Member,
        tenant: Some(TenantId::new("kma").unwrap()),
        programme: None,
    };
    check(
        Event::SignIn(sign_in),
        r#"{"sign_in":{"key":"k1","begun":true,"role":"member","tenant":"kma"}}"#,
    );
    let revoked = KeyChange {
        key: KeyId::new("k1").unwrap(),
        made: false,
        role: Role::ProgrammeManager,
        tenant: None,
        programme: Some(ProgrammeId::new("public").unwrap()),
        by: Some(KeyId::new("k2").unwrap()),
    };
    check(
        Event::Key(revoked),
        r#"{"key":{"key":"k1","made":false,"role":"programme_manager","programme":"public","by":"k2"}}"#,
    );
}

#[test]
fn a_change_of_a_tenant_says_who_or_which_file_did_it() {
    let removed = TenantChange {
        tenant: TenantId::new("kma").unwrap(),
        removed: true,
        programme: None,
        class_floor: DataClass::Sensitive,
        flags: DataFlags::NONE,
        by: Some(KeyId::new("k2").unwrap()),
        fleet_sha256: None,
    };
    let said = r#""tenant":"kma","removed":true,"class_floor":"sensitive","flags":[]"#;
    check(
        Event::Tenant(removed.clone()),
        &format!(r#"{{"tenant":{{{said},"by":"k2"}}}}"#),
    );
    let by_file = TenantChange {
        by: None,
        fleet_sha256: Some("ab12".to_owned()),
        ..removed
    };
    check(
        Event::Tenant(by_file),
        &format!(r#"{{"tenant":{{{said},"fleet_sha256":"ab12"}}}}"#),
    );
}

#[test]
fn what_holds_from_now_on_is_written_in_one_way() {
    let change = ProgrammeChange {
        programme: ProgrammeId::new("public").unwrap(),
        removed: false,
        residency_floor: Some(madang_types::Zone::GovIsolated),
        jobs_when_ended: WhenEnded::Stop,
        jobs_preempted: Preempted::Free,
        by: Some(KeyId::new("k2").unwrap()),
        fleet_sha256: None,
    };
    let said = r#""programme":"public","residency_floor":"gov_isolated","jobs_when_ended":"stop","jobs_preempted":"free""#;
    check(
        Event::Programme(change.clone()),
        &format!(r#"{{"programme":{{{said},"by":"k2"}}}}"#),
    );
    let by_file = ProgrammeChange {
        by: None,
        fleet_sha256: Some("ab12".to_owned()),
        ..change
    };
    check(
        Event::Programme(by_file),
        &format!(r#"{{"programme":{{{said},"fleet_sha256":"ab12"}}}}"#),
    );
    let load = PolicyLoad {
        before: Some("ab".into()),
        after: "ab".into(),
        combinations: 9,
        gained: 0,
        lost: 0,
        floors: vec![FloorChange {
            programme: ProgrammeId::new("public").unwrap(),
            before: None,
            after: Some(Zone::GovIsolated),
        }],
    };
    check(
        Event::Policy(load),
        r#"{"policy":{"before":"ab","after":"ab","combinations":9,"gained":0,"lost":0,"floors":[{"programme":"public","after":"gov_isolated"}]}}"#,
    );
    let released = GatewayEnd {
        gateway: GatewayId::new("gw-1").unwrap(),
        released: true,
        key: KeyId::new("k1").unwrap(),
    };
    check(
        Event::Gateway(released),
        r#"{"gateway":{"gateway":"gw-1","released":true,"key":"k1"}}"#,
    );
}

#[test]
fn what_this_program_does_not_write_is_refused() {
    for (json, why) in [
        (
            r#"{"v":2,"time_us":1,"event":{"note":{"what":"start","version":"1"}}}"#,
            "version 2",
        ),
        (r#"{"v":1,"time_us":1,"event":{"other":{}}}"#, "other"),
        (
            r#"{"v":1,"time_us":1,"event":{"note":{"what":"start","version":"1","x":1}}}"#,
            "x",
        ),
        ("", "EOF"),
    ] {
        let error = Leaf::decode(json.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}
