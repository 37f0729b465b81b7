//! The policy a second time, as its page says it: rule by rule, for one combination. It shares no code with the table but
//! the built-in rules, which are data, and `Place::countries`.

use super::*;
use madang_core::policy::builtin_rules;

pub struct Case<'c> {
    pub tenant: Option<&'c TenantId>,
    pub programme: Option<&'c ProgrammeId>,
    pub model: Option<&'c ModelId>,
    pub class: DataClass,
    pub flags: DataFlags,
    pub id: &'c SiteId,
    pub place: &'c Place,
}

/// Every rule that holds under a policy.
pub fn rules(policy: &Policy) -> Vec<Rule> {
    let replaced = |rule: &Rule| policy.rules.iter().any(|own| own.id == rule.id);
    let builtin = builtin_rules(policy).into_iter();
    let builtin = builtin.filter(|rule| policy.builtin && !replaced(rule));
    builtin.chain(policy.rules.clone()).collect()
}

/// What a policy says of a case at [`NOW`]; `all` are its [`rules`].
pub fn decide((policy, all): (&Policy, &[Rule]), case: &Case<'_>) -> PolicyEffect {
    if case.place.country.is_none() || case.place.operator_country.is_none() {
        return PolicyEffect::Deny;
    }
    let some = |effect| {
        let mut of_effect = all.iter().filter(|rule| rule.effect == effect);
        of_effect.any(|rule| applies(policy, rule, case))
    };
    if some(PolicyEffect::Deny) || !some(PolicyEffect::Allow) {
        PolicyEffect::Deny
    } else if some(PolicyEffect::Mask) {
        PolicyEffect::Mask
    } else {
        PolicyEffect::Allow
    }
}

fn one_of<T: Ord>(set: &Option<BTreeSet<T>>, value: Option<&T>) -> bool {
    match set {
        None => true,
        Some(set) => value.is_some_and(|value| set.contains(value)),
    }
}

/// The ground of a place, row by row as the page has it; nothing is decided where it is unknown.
pub fn zone(place: &Place, home: Option<Country>) -> Zone {
    let told = !place.inferred_in.is_empty() && !place.tls_ends_in.is_empty();
    let kept = !place.stored_in.is_empty() && !place.abuse_logs_in.is_empty();
    let foreign = home.is_none()
        || place.country.is_none()
        || place.operator_country.is_none()
        || place.countries().any(|country| Some(country) != home)
        || (!place.own && !(told && (kept || place.zero_retention)));
    if foreign {
        Zone::Foreign
    } else if let Some(declared) = place.zone {
        declared
    } else if place.own && place.operator_country == home {
        Zone::DomesticPrivate
    } else {
        Zone::Foreign
    }
}

fn applies(policy: &Policy, rule: &Rule, case: &Case<'_>) -> bool {
    let when = &rule.when;
    let has = |flag: &DataFlag| case.flags.has(*flag);
    let flags = (when.flags_any.is_empty() || when.flags_any.iter().any(|f| has(&f)))
        && when.flags_all.iter().all(|f| has(&f))
        && !when.flags_none.iter().any(|f| has(&f));
    let place = case.place;
    let zone = zone(place, policy.home);
    let country = when.country.as_ref().is_none_or(|set| {
        let mut all = place.countries();
        if rule.effect == PolicyEffect::Allow {
            all.all(|c| set.contains(&c))
        } else {
            all.any(|c| set.contains(&c))
        }
    });
    let assured = |set: &BTreeSet<Assurance>| set.iter().any(|a| place.assurance.contains(a));
    let held = |kinds: &BTreeSet<BasisKind>| {
        policy.bases.iter().any(|basis| {
            let holder = case.tenant.is_some_and(|t| basis.tenant.contains(t))
                || case.programme.is_some_and(|p| basis.programme.contains(p));
            let covers = basis
                .location
                .as_ref()
                .is_none_or(|set| set.contains(case.id));
            holder && covers && basis.expires_at > NOW && kinds.contains(&basis.kind)
        })
    };
    one_of(&when.class, Some(&case.class))
        && flags
        && one_of(&when.programme, case.programme)
        && one_of(&when.tenant, case.tenant)
        && one_of(&when.model, case.model)
        && one_of(&when.location, Some(case.id))
        && country
        && one_of(&when.operator_country, place.operator_country.as_ref())
        && one_of(&when.zone, Some(&zone))
        && (when.assurance_any.is_empty() || assured(&when.assurance_any))
        && !assured(&when.assurance_none)
        && when.own.is_none_or(|own| own == place.own)
        && (when.basis_any.is_empty() || held(&when.basis_any))
        && !held(&when.basis_none)
}
