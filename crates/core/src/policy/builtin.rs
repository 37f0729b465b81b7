//! The built-in policy: the matrix of class and ground that Korean law and N2SF suggest. A policy file changes the rules by
//! their ids; what holds in every combination it cannot change.

use madang_types::{
    Assurance, BasisKind, Conditions, DataClass, DataFlag, DataFlags, Never, Policy, PolicyEffect,
    Rule, RuleId, Zone,
};
use std::collections::BTreeSet;

/// What makes shared ground at home good enough for sensitive data.
const ASSURED: [Assurance; 3] = [
    Assurance::CsapHigh,
    Assurance::CsapMid,
    Assurance::NisVerified,
];
/// Each permits a transfer of personal data abroad (PIPA art. 28-8).
const TRANSFER: [BasisKind; 5] = [
    BasisKind::Consent,
    BasisKind::Treaty,
    BasisKind::ContractDisclosed,
    BasisKind::Certified,
    BasisKind::Adequate,
];

fn class(class: DataClass) -> Conditions {
    Conditions {
        class: Some(BTreeSet::from([class])),
        ..Conditions::default()
    }
}

fn flags<const N: usize>(flags: [DataFlag; N]) -> Conditions {
    Conditions {
        flags_any: flags.into_iter().collect(),
        ..Conditions::default()
    }
}

fn on<const N: usize>(zones: [Zone; N], when: Conditions) -> Conditions {
    Conditions {
        zone: Some(BTreeSet::from(zones)),
        ..when
    }
}

fn without<const N: usize>(kinds: [BasisKind; N], when: Conditions) -> Conditions {
    Conditions {
        basis_none: BTreeSet::from(kinds),
        ..when
    }
}

fn rule(
    id: &str,
    effect: PolicyEffect,
    when: Conditions,
    (text, text_ko): (&str, &str),
) -> Option<Rule> {
    Some(Rule {
        id: RuleId::new(id).ok()?,
        when,
        effect,
        reroute: None,
        text: text.into(),
        text_ko: text_ko.into(),
    })
}

/// The built-in rules, those that permit first.
pub fn rules(policy: &Policy) -> Vec<Rule> {
    let permitting = permitting(policy).into_iter();
    let restricting = masking().into_iter().chain(denying());
    permitting.chain(restricting).flatten().collect()
}

fn permitting(policy: &Policy) -> [Option<Rule>; 4] {
    use DataClass::{Classified, Open, Sensitive};
    let isolated = Conditions {
        programme: Some(policy.classified_programmes.clone()),
        ..on([Zone::GovIsolated], class(Classified))
    };
    let assured = Conditions {
        assurance_any: BTreeSet::from(ASSURED),
        ..on([Zone::DomesticPublic], class(Sensitive))
    };
    let domestic = on([Zone::GovIsolated, Zone::DomesticPrivate], class(Sensitive));
    [
        rule(
            "open-anywhere",
            PolicyEffect::Allow,
            class(Open),
            (
                "Open data may go to every place of the fleet.",
                "공개 데이터는 등록된 모든 곳으로 보낼 수 있습니다.",
            ),
        ),
        rule(
            "sensitive-domestic",
            PolicyEffect::Allow,
            domestic,
            (
                "Sensitive data stays on isolated or private ground at home.",
                "민감 데이터는 국내의 격리망이나 전용 시설에서만 처리합니다.",
            ),
        ),
        rule(
            "sensitive-assured",
            PolicyEffect::Allow,
            assured,
            (
                "Sensitive data may go to shared ground at home that has CSAP high or mid, or is verified by the NIS.",
                "민감 데이터는 CSAP 상·중 등급이나 국정원 보안성 검증을 받은 국내 공용 시설로 보낼 수 있습니다.",
            ),
        ),
        rule(
            "classified-isolated",
            PolicyEffect::Allow,
            isolated,
            (
                "Classified data stays on isolated ground, for the programmes that `classified_programmes` names.",
                "기밀 데이터는 지정된 사업만, 격리망 안에서만 처리합니다.",
            ),
        ),
    ]
}

fn masking() -> [Option<Rule>; 2] {
    use DataFlag::{Minor, Pii, UniqueId};
    [
        rule(
            "pii-abroad-masked",
            PolicyEffect::Mask,
            without(TRANSFER, on([Zone::Foreign], flags([Pii, Minor]))),
            (
                "Personal data goes abroad masked, unless a basis for the transfer is held (PIPA art. 28-8).",
                "개인정보는 국외 이전 근거(개인정보 보호법 제28조의8)가 없으면 가려서 국외로 보냅니다.",
            ),
        ),
        rule(
            "unique-id-masked",
            PolicyEffect::Mask,
            without([BasisKind::Statute], flags([UniqueId])),
            (
                "Unique identifiers are masked, unless a statute permits their use (PIPA art. 24, 24-2).",
                "고유식별정보는 법령상 근거(개인정보 보호법 제24조, 제24조의2)가 없으면 가립니다.",
            ),
        ),
    ]
}

fn denying() -> [Option<Rule>; 5] {
    use DataFlag::{Credit, Health, Pseudonymised, UniqueId};
    let unassured = Conditions {
        assurance_none: BTreeSet::from(ASSURED),
        ..on([Zone::DomesticPublic], flags([UniqueId, Health, Credit]))
    };
    let raw_credit = Conditions {
        flags_none: DataFlags::NONE.with(Pseudonymised),
        ..on([Zone::Foreign], flags([Credit]))
    };
    let sandbox = [BasisKind::PseudonymisedSandbox];
    [
        rule(
            "unique-id-abroad",
            PolicyEffect::Deny,
            on([Zone::Foreign], flags([UniqueId])),
            (
                "Unique identifiers, such as resident registration numbers, do not go abroad.",
                "주민등록번호 등 고유식별정보는 국외로 보낼 수 없습니다.",
            ),
        ),
        rule(
            "health-abroad",
            PolicyEffect::Deny,
            on([Zone::Foreign], flags([Health])),
            (
                "Health records do not go abroad (Medical Service Act, rule 16).",
                "진료·건강 정보는 국외로 보낼 수 없습니다(의료법 시행규칙 제16조).",
            ),
        ),
        rule(
            "credit-abroad",
            PolicyEffect::Deny,
            raw_credit,
            (
                "Personal credit information does not go abroad unless it is pseudonymised.",
                "개인신용정보는 가명처리하지 않으면 국외로 보낼 수 없습니다.",
            ),
        ),
        rule(
            "credit-abroad-sandbox",
            PolicyEffect::Deny,
            without(sandbox, on([Zone::Foreign], flags([Credit]))),
            (
                "Credit information goes abroad only under the terms of a sandbox (basis `pseudonymised_sandbox`).",
                "신용정보는 혁신금융서비스(샌드박스) 지정 근거가 있어야 국외로 보낼 수 있습니다.",
            ),
        ),
        rule(
            "personal-unassured",
            PolicyEffect::Deny,
            unassured,
            (
                "Unique identifiers, health and credit data do not go to shared ground without assurance.",
                "고유식별·건강·신용 정보는 보안인증이 없는 공용 시설로 보낼 수 없습니다.",
            ),
        ),
    ]
}

/// What holds in every combination of every policy. That nothing goes to a place of unknown law needs no statement: the table
/// has no other entry for it.
pub(super) fn never() -> Vec<Never> {
    let elsewhere = [Zone::DomesticPrivate, Zone::DomesticPublic, Zone::Foreign];
    let statements = [
        (
            "never-classified-outside",
            false,
            on(elsewhere, class(DataClass::Classified)),
            "Classified data never leaves isolated ground.",
        ),
        (
            "never-unique-id-unmasked",
            true,
            without([BasisKind::Statute], flags([DataFlag::UniqueId])),
            "Unique identifiers never go anywhere unmasked without a statute.",
        ),
    ];
    let never = statements.into_iter().map(|(id, masked_may, when, text)| {
        Some(Never {
            id: RuleId::new(id).ok()?,
            when,
            masked_may,
            text: text.into(),
        })
    });
    never.flatten().collect()
}
