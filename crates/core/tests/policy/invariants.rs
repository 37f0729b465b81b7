//! What holds for every policy, over every combination: each test is named after the invariant that it holds.

use super::naive::{Case, decide, rules, zone};
use super::*;
use madang_core::policy::PolicyError;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const TENANTS: [&str; 3] = ["t", "u", "v"];
const PROGRAMMES: [&str; 2] = ["p", "q"];
const MODELS: [&str; 2] = ["gpt", "exaone"];
const PLACES: [&str; 6] = ["gov", "private", "assured", "public", "abroad", "unknown"];
const CLASSES: [DataClass; 3] = [DataClass::Open, DataClass::Sensitive, DataClass::Classified];
const ZONES: [Zone; 4] = [
    Zone::GovIsolated,
    Zone::DomesticPrivate,
    Zone::DomesticPublic,
    Zone::Foreign,
];
const KINDS: [BasisKind; 4] = [
    BasisKind::Statute,
    BasisKind::Consent,
    BasisKind::Treaty,
    BasisKind::PseudonymisedSandbox,
];

fn some_of<T: Ord + Clone + std::fmt::Debug + 'static>(
    all: Vec<T>,
) -> impl Strategy<Value = Option<BTreeSet<T>>> {
    let count = all.len();
    let some = subsequence(all, 0..=count).prop_map(|list| list.into_iter().collect());
    prop_oneof![2 => Just(None), 1 => some.prop_map(Some)]
}

fn some_flags() -> impl Strategy<Value = DataFlags> {
    prop_oneof![2 => Just(0u8), 1 => 0..DataFlags::SETS].prop_map(DataFlags::from_bits)
}

fn few_kinds() -> impl Strategy<Value = BTreeSet<BasisKind>> {
    prop_oneof![3 => Just(BTreeSet::new()), 1 => btree_set(select(KINDS.to_vec()), 1..3)]
}

fn few_assurances() -> impl Strategy<Value = BTreeSet<Assurance>> {
    let some = select(vec![Assurance::CsapMid, Assurance::CsapLow]);
    prop_oneof![3 => Just(BTreeSet::new()), 1 => btree_set(some, 1..2)]
}

prop_compose! {
    fn any_conditions()(
        class in some_of(CLASSES.to_vec()), flags_any in some_flags(), flags_all in some_flags(), flags_none in some_flags(),
        (programme, tenant, model) in (some_of(PROGRAMMES.map(programme).to_vec()), some_of(TENANTS.map(tenant).to_vec()), some_of(MODELS.map(model).to_vec())),
        location in some_of(PLACES.map(site).to_vec()), country in some_of(["KR", "US"].map(country).to_vec()),
        operator_country in some_of(["KR", "US"].map(country).to_vec()), zone in some_of(ZONES.to_vec()), own in option::weighted(0.2, any::<bool>()),
        (assurance_any, assurance_none, basis_any, basis_none) in (few_assurances(), few_assurances(), few_kinds(), few_kinds()),
    ) -> Conditions {
        Conditions {
            class, flags_any, flags_all, flags_none, programme, tenant, model, location, country, operator_country, zone, assurance_any,
            assurance_none, own, basis_any, basis_none,
        }
    }
}

prop_compose! {
    fn any_basis()(
        n in 0u8..9, kind in select(KINDS.to_vec()), programme in subsequence(PROGRAMMES.map(programme).to_vec(), 0..2),
        tenant in subsequence(TENANTS.map(tenant).to_vec(), 0..3), location in some_of(PLACES.map(site).to_vec()), expired in any::<bool>(),
    ) -> Basis {
        Basis {
            id: BasisId::new(&format!("b{n}")).unwrap(), kind, programme: programme.into_iter().collect(), tenant: tenant.into_iter().collect(),
            location, expires_at: if expired { NOW } else { LATER },
        }
    }
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let id = prop_oneof![
        4 => (0u8..99).prop_map(|n| format!("r{n}")),
        1 => select(vec!["open-anywhere".to_owned(), "health-abroad".to_owned(), "unique-id-masked".to_owned()]),
    ];
    let effect = select(vec![
        PolicyEffect::Allow,
        PolicyEffect::Mask,
        PolicyEffect::Deny,
    ]);
    (id, effect, any_conditions()).prop_map(|(id, effect, when)| rule(&id, effect, when))
}

prop_compose! {
    fn any_policy()(
        rules in vec(any_rule(), 0..6), bases in vec(any_basis(), 0..4), builtin in proptest::bool::weighted(0.8), home in proptest::bool::weighted(0.9),
        classified in subsequence(PROGRAMMES.map(programme).to_vec(), 0..2),
    ) -> Policy {
        Policy {
            home: home.then(|| country("KR")), builtin, classified_programmes: classified.into_iter().collect(), rules, bases, ..Policy::default()
        }
    }
}

/// Everybody by every name and none.
fn named<T: Clone>(all: &[T]) -> Vec<Option<T>> {
    std::iter::once(None)
        .chain(all.iter().cloned().map(Some))
        .collect()
}

/// Walks over every combination that the table knows.
fn every(table: &PolicyTable, mut visit: impl FnMut(&Case<'_>, &madang_core::PolicyDecision)) {
    let (tenants, programmes, models) = (
        named(&TENANTS.map(tenant)),
        named(&PROGRAMMES.map(programme)),
        named(&MODELS.map(model)),
    );
    for (tenant, programme) in tenants
        .iter()
        .flat_map(|t| programmes.iter().map(move |p| (t, p)))
    {
        for model in &models {
            let whom = Whom {
                tenant: tenant.as_ref(),
                programme: programme.as_ref(),
                model: model.as_ref(),
            };
            let subject = table.subject(whom);
            for (at, id, _, place) in table.places() {
                for (class, bits) in CLASSES
                    .iter()
                    .flat_map(|c| (0..DataFlags::SETS).map(move |b| (*c, b)))
                {
                    let flags = DataFlags::from_bits(bits);
                    let case = Case {
                        tenant: whom.tenant,
                        programme: whom.programme,
                        model: whom.model,
                        class,
                        flags,
                        id,
                        place,
                    };
                    visit(&case, table.decide(subject, (class, flags), at));
                }
            }
        }
    }
}

/// Whether a table must not be: the naive reading of what never may happen.
fn breaks(policy: &Policy, case: &Case<'_>, effect: PolicyEffect) -> bool {
    let zone = zone(case.place, policy.home);
    let outside = case.class == DataClass::Classified && zone != Zone::GovIsolated;
    let statute = policy.bases.iter().any(|basis| {
        let holder = case.tenant.is_some_and(|t| basis.tenant.contains(t))
            || case.programme.is_some_and(|p| basis.programme.contains(p));
        let covers = basis
            .location
            .as_ref()
            .is_none_or(|set| set.contains(case.id));
        basis.kind == BasisKind::Statute && holder && covers && basis.expires_at > NOW
    });
    let bare = case.flags.has(DataFlag::UniqueId) && !statute && effect == PolicyEffect::Allow;
    effect != PolicyEffect::Deny && (outside || bare)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Invariants 2, 3 and 5: a policy that loads keeps classified data on isolated ground and denies what is unknown, a table and
    /// a second reading of the rules agree everywhere, and one that does not load breaks a statement somewhere.
    #[test]
    fn invariants_2_3_and_5_over_every_combination(policy in any_policy()) {
        let all_rules = rules(&policy);
        match PolicyTable::compile(&policy, places(), NOW) {
            Ok(table) => {
                let mut wrong = None;
                every(&table, |case, decision| {
                    let expected = decide((&policy, &all_rules), case);
                    let unknown = case.id.as_str() == "unknown" && decision.effect != PolicyEffect::Deny;
                    if decision.effect != expected || breaks(&policy, case, expected) || unknown || decision.rules.is_empty() {
                        wrong.get_or_insert_with(|| format!("{:?} {} {} at {}: {decision:?}, not {expected}", case.tenant, case.class, case.flags, case.id));
                    }
                });
                prop_assert_eq!(wrong, None);
            }
            Err(PolicyError::Broken(breaches)) => {
                let breach = &breaches[0];
                let all = places();
                let (id, place) = all.iter().find(|(id, _)| *id == breach.location).unwrap();
                let case = Case {
                    tenant: breach.tenant.as_ref(), programme: breach.programme.as_ref(), model: breach.model.as_ref(),
                    class: breach.class, flags: breach.flags, id, place,
                };
                let effect = decide((&policy, &all_rules), &case);
                prop_assert!(breaks(&policy, &case, effect), "{}", breach);
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    /// Invariant 4, the core's part: a higher class or one more flag never goes where the lower did not, under the built-in rules.
    #[test]
    fn invariant_4_nothing_in_a_request_widens_it(kinds in subsequence(KINDS.to_vec(), 0..=KINDS.len()), bits in 0..DataFlags::SETS, flag in select(DataFlag::ALL.to_vec())) {
        // Being pseudonymised is no harm: it opens a way for credit data.
        prop_assume!(flag != DataFlag::Pseudonymised);
        let table = compiled(&policy(&kinds));
        let (tenant, programme) = (tenant("t"), programme("p"));
        let subject = table.subject(Whom { tenant: Some(&tenant), programme: Some(&programme), model: None });
        let flags = DataFlags::from_bits(bits);
        for (place, id, ..) in table.places() {
            let effect = |class, flags| table.decide(subject, (class, flags), place).effect;
            for class in CLASSES {
                prop_assert!(effect(class, flags.with(flag)) >= effect(class, flags), "{class} {flags} + {flag} at {id}");
            }
            if id.as_str() != "gov" {
                prop_assert!(effect(DataClass::Classified, flags) >= effect(DataClass::Sensitive, flags));
            }
            prop_assert!(effect(DataClass::Sensitive, flags) >= effect(DataClass::Open, flags), "{flags} at {id}");
        }
    }

    /// What loads can be compiled at every later instant, and what cannot does not load.
    #[test]
    fn what_loads_stands_when_its_bases_expire(policy in any_policy()) {
        let stands = [NOW, LATER].iter().all(|at| PolicyTable::compile(&policy, places(), *at).is_ok());
        prop_assert_eq!(PolicyTable::load(&policy, places(), NOW).is_ok(), stands);
    }

    /// Invariant 5: the same policy, places and instant give the same decisions and rule ids.
    #[test]
    fn invariant_5_decisions_are_deterministic(policy in any_policy()) {
        let tables = [(), ()].map(|()| PolicyTable::compile(&policy, places().into_iter().rev(), NOW));
        let [Ok(one), Ok(other)] = tables else { return Ok(()) };
        let mut said = Vec::new();
        every(&one, |_, decision| said.push(decision.clone()));
        let mut again = said.iter();
        every(&other, |_, decision| assert_eq!(Some(decision), again.next()));
    }
}

#[test]
fn a_policy_that_will_break_when_a_basis_expires_is_refused_with_the_day() {
    let ours = rule(
        "ours",
        PolicyEffect::Allow,
        Conditions {
            class: Some(BTreeSet::from([DataClass::Open])),
            tenant: Some(BTreeSet::from([tenant("t")])),
            ..Conditions::default()
        },
    );
    let law = Basis {
        expires_at: Micros(1_814_367_600_000_000),
        ..basis("law-1", BasisKind::Statute, "t")
    };
    let policy = Policy {
        builtin: false,
        rules: vec![ours],
        bases: vec![basis("consent-1", BasisKind::Consent, "t"), law],
        ..policy(&[])
    };
    assert!(PolicyTable::compile(&policy, places(), NOW).is_ok());
    assert!(PolicyTable::compile(&policy, places(), LATER).is_ok());
    let error = PolicyTable::load(&policy, places(), NOW).unwrap_err();
    let text = error.to_string();
    let begins = "from 2027-07-01 on, without law-1, never-unique-id-unmasked is broken";
    assert!(text.starts_with(begins), "{text}");
}

#[test]
fn a_day_on_which_a_basis_expires_is_worked_out_for_its_holders_and_no_further_than_a_bound() {
    let holder = |n: usize| format!("t{n}");
    let expiring = |n: usize, tenants: BTreeSet<TenantId>| Basis {
        expires_at: Micros(NOW.0 + 1 + i64::try_from(n).unwrap()),
        tenant: tenants,
        ..basis(&format!("b{n}"), BasisKind::Consent, "t")
    };
    let models = (0..15).map(|n| model(&format!("m{n}"))).collect();
    let by_model = rule(
        "a",
        PolicyEffect::Deny,
        Conditions {
            model: Some(models),
            ..Conditions::default()
        },
    );
    let of = |bases: Vec<Basis>| Policy {
        rules: vec![by_model.clone()],
        bases,
        ..policy(&[])
    };
    let everybody: BTreeSet<TenantId> = (0..200).map(|n| tenant(&holder(n))).collect();
    let own = (0..200).map(|n| expiring(n, [tenant(&holder(n))].into()));
    let shared = (0..200).map(|n| expiring(n, everybody.clone()));
    let load = |bases: Vec<Basis>| PolicyTable::load(&of(bases), places(), NOW);
    assert!(load(own.collect()).is_ok());
    let error = load(shared.collect()).unwrap_err().to_string();
    let ends = "most of them by its 200 days on which bases expire";
    assert!(error.contains(ends), "{error}");
}

#[test]
fn invariant_2_a_policy_that_lets_classified_data_out_is_refused() {
    let leak = rule(
        "leak",
        PolicyEffect::Allow,
        Conditions {
            programme: Some(BTreeSet::from([programme("q")])),
            ..Conditions::default()
        },
    );
    let policy = Policy {
        rules: vec![leak],
        ..policy(&[])
    };
    let error = PolicyTable::compile(&policy, places(), NOW).unwrap_err();
    let text = error.to_string();
    for part in [
        "never-classified-outside is broken",
        "leak would permit classified data",
        "programme q",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let PolicyError::Broken(breaches) = error else {
        panic!("{text}")
    };
    assert_eq!(breaches.len(), 1, "unique identifiers stay masked: {text}");
}

#[test]
fn a_policy_that_tells_too_much_apart_is_refused() {
    let many = (0..2_000).map(|n| tenant(&format!("t{n}"))).collect();
    let by_tenant = rule(
        "a",
        PolicyEffect::Deny,
        Conditions {
            tenant: Some(many),
            ..Conditions::default()
        },
    );
    let many = (0..600).map(|n| model(&format!("m{n}"))).collect();
    let by_model = rule(
        "b",
        PolicyEffect::Deny,
        Conditions {
            model: Some(many),
            ..Conditions::default()
        },
    );
    let policy = Policy {
        rules: vec![by_tenant, by_model],
        ..policy(&[])
    };
    let error = PolicyTable::compile(&policy, places(), NOW)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("most of them by its 2001 tenants"),
        "{error}"
    );
}
