//! One condition at a time: which of them fail, kept apart by what they look at.

use super::decision::{ConditionKind, Failing};
use madang_types::{
    Basis, Conditions, Country, DataClass, DataFlags, ModelId, Place, ProgrammeId, SiteId,
    TenantId, Zone,
};
use std::collections::BTreeSet;

/// A place as conditions see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ground<'g> {
    pub id: &'g SiteId,
    pub place: &'g Place,
    pub zone: Zone,
}

/// Conditions, and whether they permit something: then what may be elsewhere fails them, else it fulfils them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clause<'c> {
    pub when: &'c Conditions,
    pub permits: bool,
}

fn fails<T: Ord>(one_of: Option<&BTreeSet<T>>, value: Option<&T>, kind: ConditionKind) -> Failing {
    let fits = one_of.is_none_or(|set| value.is_some_and(|value| set.contains(value)));
    Failing::unless(fits, kind)
}

impl Clause<'_> {
    /// `None` is whoever no rule names.
    pub fn programme(&self, programme: Option<&ProgrammeId>) -> Failing {
        fails(
            self.when.programme.as_ref(),
            programme,
            ConditionKind::Programme,
        )
    }

    pub fn tenant(&self, tenant: Option<&TenantId>) -> Failing {
        fails(self.when.tenant.as_ref(), tenant, ConditionKind::Tenant)
    }

    pub fn model(&self, model: Option<&ModelId>) -> Failing {
        fails(self.when.model.as_ref(), model, ConditionKind::Model)
    }

    pub fn content(&self, class: DataClass, flags: DataFlags) -> Failing {
        let Conditions {
            flags_any,
            flags_all,
            flags_none,
            ..
        } = *self.when;
        let has = |wanted: DataFlags| flags.bits() & wanted.bits();
        let fits = (flags_any.is_empty() || has(flags_any) != 0)
            && has(flags_all) == flags_all.bits()
            && has(flags_none) == 0;
        fails(self.when.class.as_ref(), Some(&class), ConditionKind::Class)
            .and(Failing::unless(fits, ConditionKind::Flags))
    }

    pub fn ground(&self, ground: &Ground<'_>) -> Failing {
        let Ground { id, place, zone } = ground;
        let when = self.when;
        let held = |set: &BTreeSet<_>| !set.is_disjoint(&place.assurance);
        let assured = (when.assurance_any.is_empty() || held(&when.assurance_any))
            && !held(&when.assurance_none);
        let operator = place.operator_country.as_ref();
        let own = when.own.is_none_or(|own| own == place.own);
        let countries = when.country.as_ref();
        let country = countries.is_none_or(|set| self.country_fits(set, place));
        fails(when.location.as_ref(), Some(id), ConditionKind::Location)
            .and(Failing::unless(country, ConditionKind::Country))
            .and(fails(
                when.operator_country.as_ref(),
                operator,
                ConditionKind::OperatorCountry,
            ))
            .and(fails(when.zone.as_ref(), Some(zone), ConditionKind::Zone))
            .and(Failing::unless(assured, ConditionKind::Assurance))
            .and(Failing::unless(own, ConditionKind::Own))
    }

    fn country_fits(&self, set: &BTreeSet<Country>, place: &Place) -> bool {
        let mut countries = place.countries();
        if self.permits {
            countries.all(|country| set.contains(&country))
        } else {
            countries.any(|country| set.contains(&country))
        }
    }

    /// `held` are the bases that the caller holds for the place.
    pub fn basis<'b>(&self, held: impl Iterator<Item = &'b Basis> + Clone) -> Failing {
        let Conditions {
            basis_any,
            basis_none,
            ..
        } = self.when;
        let has = |kinds: &BTreeSet<_>| held.clone().any(|basis| kinds.contains(&basis.kind));
        let fits = (basis_any.is_empty() || has(basis_any)) && !has(basis_none);
        Failing::unless(fits, ConditionKind::Basis)
    }
}
