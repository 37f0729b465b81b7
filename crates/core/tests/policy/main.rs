//! The policy as a whole: the built-in matrix as data, and what holds for every policy.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod change;
mod floors;
mod invariants;
mod matrix;
mod naive;

use madang_core::PolicyTable;
use madang_core::policy::Whom;
use madang_types::{
    Assurance, Basis, BasisId, BasisKind, Conditions, Country, DataClass, DataFlag, DataFlags,
    Micros, ModelId, Place, Policy, PolicyEffect, ProgrammeId, Rule, RuleId, SiteId, TenantId,
    Zone,
};
use std::collections::BTreeSet;

const NOW: Micros = Micros(1_000);
const LATER: Micros = Micros(2_000);

fn country(code: &str) -> Country {
    code.parse().unwrap()
}

fn site(id: &str) -> SiteId {
    SiteId::new(id).unwrap()
}

fn tenant(id: &str) -> TenantId {
    TenantId::new(id).unwrap()
}

fn programme(id: &str) -> ProgrammeId {
    ProgrammeId::new(id).unwrap()
}

fn model(id: &str) -> ModelId {
    ModelId::new(id).unwrap()
}

fn ground(zone: Zone, assurance: &[Assurance]) -> Place {
    Place {
        zone: Some(zone),
        assurance: assurance.iter().copied().collect(),
        ..Place::own(country("KR"))
    }
}

/// A service abroad that says nothing but where it is.
fn abroad() -> Place {
    Place {
        own: false,
        ..Place::own(country("US"))
    }
}

/// One place of each kind.
fn places() -> Vec<(SiteId, Place)> {
    let unknown = Place {
        operator_country: None,
        ..abroad()
    };
    let all = [
        ("gov", ground(Zone::GovIsolated, &[])),
        ("private", Place::own(country("KR"))),
        (
            "assured",
            ground(Zone::DomesticPublic, &[Assurance::CsapMid]),
        ),
        (
            "public",
            ground(Zone::DomesticPublic, &[Assurance::CsapLow]),
        ),
        ("abroad", abroad()),
        ("unknown", unknown),
    ];
    all.into_iter()
        .map(|(id, place)| (site(id), place))
        .collect()
}

fn rule(id: &str, effect: PolicyEffect, when: Conditions) -> Rule {
    Rule {
        id: RuleId::new(id).unwrap(),
        when,
        effect,
        reroute: None,
        text: format!("{id} says so"),
        text_ko: String::new(),
    }
}

fn basis(id: &str, kind: BasisKind, holder: &str) -> Basis {
    Basis {
        id: BasisId::new(id).unwrap(),
        kind,
        programme: BTreeSet::new(),
        tenant: BTreeSet::from([tenant(holder)]),
        location: None,
        expires_at: LATER,
    }
}

/// The built-in policy at home in Korea; programme `p` may use classified data, tenant `t` holds those bases.
fn policy(bases: &[BasisKind]) -> Policy {
    Policy {
        classified_programmes: BTreeSet::from([programme("p")]),
        bases: bases
            .iter()
            .map(|kind| basis(kind.as_str(), *kind, "t"))
            .collect(),
        ..Policy::of_home(country("KR"))
    }
}

fn flags(words: &str) -> DataFlags {
    words.parse().unwrap()
}

fn compiled(policy: &Policy) -> PolicyTable {
    PolicyTable::compile(policy, places(), NOW).unwrap()
}
