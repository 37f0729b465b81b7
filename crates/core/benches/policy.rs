//! A decision of the policy, and the compilation of one: `cargo bench -p madang-core`.

use divan::{Bencher, black_box};
use madang_core::PolicyTable;
use madang_core::policy::Whom;
use madang_types::{
    Conditions, DataClass, DataFlags, Micros, ModelId, Place, Policy, PolicyEffect, ProgrammeId,
    Rule, RuleId, SiteId, TenantId,
};
use std::collections::BTreeSet;

fn main() {
    divan::main();
}

fn name<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("a name")
}

/// A national policy: 50 programmes, each named by a rule, at 20 places.
fn policy() -> (Policy, Vec<(SiteId, Place)>) {
    let rules = (0..50).map(|n| Rule {
        id: name::<RuleId>(&format!("r{n}")),
        when: Conditions {
            programme: Some(BTreeSet::from([name::<ProgrammeId>(&format!("p{n}"))])),
            location: Some(BTreeSet::from([name::<SiteId>(&format!("s{}", n % 20))])),
            ..Conditions::default()
        },
        effect: PolicyEffect::Deny,
        reroute: None,
        text: String::new(),
        text_ko: String::new(),
    });
    let places = (0..20).map(|n| {
        let country = name(if n % 2 == 0 { "KR" } else { "US" });
        (name(&format!("s{n}")), Place::own(country))
    });
    let policy = Policy {
        rules: rules.collect(),
        ..Policy::of_home(name("KR"))
    };
    (policy, places.collect())
}

fn table() -> PolicyTable {
    let (policy, places) = policy();
    PolicyTable::compile(&policy, places, Micros(0)).unwrap_or_default()
}

#[divan::bench]
fn decide(bencher: Bencher<'_, '_>) {
    let table = table();
    let programme = name::<ProgrammeId>("p7");
    let subject = table.subject(Whom {
        programme: Some(&programme),
        ..Whom::default()
    });
    let places: Vec<_> = table.places().map(|(at, ..)| at).collect();
    let mut count = 0_usize;
    bencher.bench_local(|| {
        count = count.wrapping_add(7);
        let flags = DataFlags::from_bits(u8::try_from(count % 64).unwrap_or(0));
        let place = places[count % places.len()];
        table
            .decide(black_box(subject), (DataClass::Sensitive, flags), place)
            .effect
    });
}

#[divan::bench]
fn look_up_a_subject(bencher: Bencher<'_, '_>) {
    let table = table();
    let (tenant, programme): (TenantId, ProgrammeId) = (name("t"), name("p7"));
    let model: ModelId = name("exaone-4.0-32b");
    bencher.bench_local(|| {
        table.subject(black_box(Whom {
            tenant: Some(&tenant),
            programme: Some(&programme),
            model: Some(&model),
        }))
    });
}

/// 51 subjects × 20 places × 192 sets of class and flags.
#[divan::bench(sample_count = 10)]
fn compile_196_000_combinations(bencher: Bencher<'_, '_>) {
    let (policy, places) = policy();
    bencher.bench_local(|| PolicyTable::compile(&policy, places.clone(), Micros(0)));
}
