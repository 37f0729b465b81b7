use super::*;
use crate::leaf::{ClassSource, KeyErased, PolicyLoad, StopSwitch};
use crate::{AuditLog, Folder, Settings};
use madang_types::{DataFlags, Endpoint, KeyId};

/// 2026-11-10T03:00:00Z.
const NOON: i64 = 1_794_279_600_000_000;

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn place(id: &str, country: Option<&str>) -> Location {
    Location {
        id: id.into(),
        own: id == "pohang",
        country: country.map(Into::into),
        operator_country: country.map(Into::into),
        zone: None,
        recipient: None,
        purpose: None,
        retention: None,
        refusal: None,
    }
}

fn decision(request: u128, name: &str, location: Option<Location>, effect: PolicyEffect) -> Event {
    Event::Decision(Box::new(Decision {
        request: RequestId(request),
        tenant: tenant(name),
        programme: None,
        key: KeyId::new("k1").unwrap(),
        door: Endpoint::Chat,
        model_asked: Some(ModelId::new("auto").unwrap()),
        model: Some(ModelId::new("gpt-5").unwrap()),
        class_claimed: None,
        class: DataClass::Open,
        class_from: ClassSource::Default,
        flags: DataFlags::NONE.with(DataFlag::Pii),
        pii: [(PiiKind::Phone, 2)].into(),
        basis: vec!["consent-2026".into()],
        attempt: 1,
        location,
        origin: None,
        effect,
        error: None,
        rules: vec!["pii<abroad>".into()],
        unmet: vec!["openai: basis".into()],
        policy_hash: "ab".into(),
        bytes: 100,
        prompt_tokens: 25,
        prompt_hmac: None,
    }))
}

fn events() -> Vec<(i64, Event)> {
    let openai = Location {
        retention: Some("30 days".into()),
        ..place("openai", Some("US"))
    };
    let load = PolicyLoad {
        before: None,
        after: "ab".into(),
        combinations: 192_000,
        gained: 5,
        lost: 7,
        floors: Vec::new(),
    };
    let stop = StopSwitch {
        scope: "country:US".into(),
        set: true,
        key: KeyId::new("op").unwrap(),
    };
    vec![
        (NOON, Event::Policy(load)),
        (
            NOON,
            decision(
                1,
                "kma",
                Some(place("pohang", Some("KR"))),
                PolicyEffect::Allow,
            ),
        ),
        (
            NOON + 1_000_000,
            decision(1, "kma", Some(openai.clone()), PolicyEffect::Mask),
        ),
        (
            NOON,
            decision(2, "hanbit", Some(openai.clone()), PolicyEffect::Allow),
        ),
        (
            NOON + 5_000_000,
            decision(3, "kma", Some(openai), PolicyEffect::Mask),
        ),
        (
            NOON,
            decision(4, "kma", Some(place("ghost", None)), PolicyEffect::Allow),
        ),
        (NOON, decision(5, "kma", None, PolicyEffect::Deny)),
        // October in Korea.
        (
            NOON - 20 * 86_400_000_000,
            decision(6, "kma", None, PolicyEffect::Deny),
        ),
        (NOON, Event::Stop(stop)),
        (
            NOON,
            Event::KeyErased(KeyErased {
                tenant: tenant("kma"),
                month: "2026-09".into(),
            }),
        ),
    ]
}

fn made() -> Report {
    made_of(events())
}

fn made_of(events: Vec<(i64, Event)>) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let log = AuditLog::open(folder.path(), &Settings::new("madang.example/test")).unwrap();
    let key = log.verifier().clone();
    for (time, event) in events {
        log.append_blocking(Leaf::new(Micros(time), event).encode().unwrap())
            .unwrap();
    }
    log.append_blocking(b"{\"v\":9}".to_vec()).unwrap();
    drop(log);
    let scope = Scope {
        tenant: tenant("kma"),
        month: "2026-11".parse().unwrap(),
        offset_s: 32_400,
        home: "KR".into(),
    };
    report(
        &Reader::open(Folder::new(folder.path()), key).unwrap(),
        scope,
    )
    .unwrap()
}

fn figure(count: u64, first: u64, last: u64) -> Figure {
    Figure { count, first, last }
}

#[test]
fn urls_that_were_asked_for_stand_apart_from_requests() {
    let at = || Some(place("pohang", Some("KR")));
    let request = || decision(1, "kma", at(), PolicyEffect::Allow);
    let mut visit = request();
    if let Event::Decision(leaf) = &mut visit {
        (leaf.origin, leaf.bytes, leaf.prompt_tokens) = (Some("archive".into()), 30, 0);
    }
    let report = made_of(vec![(NOON, visit), (NOON, request())]);
    let rows: Vec<_> = report
        .sent
        .iter()
        .map(|row| (row.origin.as_deref(), row.bytes))
        .collect();
    assert_eq!(rows, [(None, 100), (Some("archive"), 30)]);
    assert!(html(&report).contains("URL: archive"));
}

#[test]
fn figures_are_of_one_tenant_and_month_and_name_their_leaves() {
    let report = made();
    assert_eq!(
        (report.requests, report.leaves),
        (Some(figure(4, 1, 6)), Some(figure(6, 1, 9)))
    );
    assert_eq!(
        (report.log.size, report.unread),
        (11, Some(figure(1, 10, 10)))
    );
    let sent: Vec<_> = report
        .sent
        .iter()
        .map(|row| {
            (
                row.location.id.as_str(),
                row.masked,
                row.attempts,
                row.bytes,
            )
        })
        .collect();
    assert_eq!(
        sent,
        [
            ("ghost", false, figure(1, 5, 5), 100),
            ("openai", true, figure(2, 2, 4), 200),
            ("pohang", false, figure(1, 1, 1), 100)
        ]
    );
    let denials: Vec<_> = report
        .denials
        .iter()
        .map(|row| (row.rules[0].as_str(), row.unmet[0].as_str(), row.attempts))
        .collect();
    assert_eq!(denials, [("pii<abroad>", "openai: basis", figure(1, 6, 6))]);
    assert_eq!(
        (
            report.policies.len(),
            report.stops.len(),
            report.erasures.len()
        ),
        (1, 1, 1)
    );
}

#[test]
fn what_nobody_knows_is_abroad_and_the_laws_items_are_there() {
    let report = made();
    let ids: Vec<_> = report
        .transfers
        .iter()
        .map(|row| row.location.id.as_str())
        .collect();
    assert_eq!(ids, ["ghost", "openai"]);
    let row = &report.transfers[1];
    assert_eq!(row.items, ["PHONE", "pii"]);
    assert_eq!(
        (row.first_time.as_str(), row.last_time.as_str()),
        ("2026-11-10T12:00:01+09", "2026-11-10T12:00:05+09")
    );
    assert_eq!(
        (row.basis.as_slice(), row.location.retention.as_deref()),
        (&["consent-2026".to_owned()][..], Some("30 days"))
    );
    assert_eq!(row.location.recipient, None);
}

#[test]
fn the_page_is_whole_and_holds_no_markup_of_others() {
    let page = html(&made());
    for part in [
        "kma · 2026-11",
        "pii&lt;abroad&gt;",
        "국외 이전",
        "Transfers abroad",
        "미상 · unknown",
        "country:US",
        "</html>",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("pii<abroad>") && !page.contains("http:") && !page.contains("<script"));
}
