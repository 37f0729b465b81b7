//! What is known of a request's data, for policy and for the audit log: its marks, where they come from, what was found.

use crate::keyring::Identity;
use madang_audit::leaf::{ClassSource, Hmac};
use madang_types::{DataClass, DataFlag, DataFlags, DataMark, ModelId, PiiKind, ProgrammeId};
use std::collections::BTreeMap;

/// What is known of a request's data. Grows while it is read; never holds content.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The tenant's programme.
    pub programme: Option<ProgrammeId>,
    /// The model that was asked for, where one that is known was.
    pub model_asked: Option<ModelId>,
    /// The class that the request claimed.
    pub class_claimed: Option<DataClass>,
    /// Class and flags as they count.
    pub mark: DataMark,
    /// What raised the class to that; where several did, the first of them.
    pub class_from: ClassSource,
    /// How many of each kind of personal data were found.
    pub pii: BTreeMap<PiiKind, u32>,
    /// Estimated prompt tokens.
    pub prompt_tokens: u64,
    /// The keyed hash of the body.
    pub prompt_hmac: Option<Hmac>,
}

impl Facts {
    /// What is known before the request is read.
    pub fn of(identity: &Identity) -> Self {
        let programme = identity.programme.clone();
        Self::new(programme, identity.tenant_floor, identity.key_floor)
    }

    /// What its tenant and its key say of a request.
    pub fn new(
        programme: Option<ProgrammeId>,
        tenant_floor: DataMark,
        key_floor: DataMark,
    ) -> Self {
        let mut facts = Self {
            programme,
            model_asked: None,
            class_claimed: None,
            mark: DataMark::default(),
            class_from: ClassSource::Default,
            pii: BTreeMap::new(),
            prompt_tokens: 0,
            prompt_hmac: None,
        };
        facts.raise(tenant_floor, ClassSource::TenantFloor);
        facts.raise(key_floor, ClassSource::KeyFloor);
        facts
    }

    /// What the request says of itself.
    pub fn claim(&mut self, class: Option<DataClass>, flags: DataFlags) {
        self.class_claimed = class;
        let class = class.unwrap_or_default();
        self.raise(DataMark { class, flags }, ClassSource::Header);
    }

    /// What the scanner found. Unique identifiers make data sensitive.
    pub fn find(&mut self, pii: BTreeMap<PiiKind, u32>) {
        let flags = pii
            .keys()
            .fold(DataFlags::NONE, |flags, kind| flags.union(kind.flags()));
        let class = if flags.has(DataFlag::UniqueId) {
            DataClass::Sensitive
        } else {
            DataClass::Open
        };
        self.pii = pii;
        self.raise(DataMark { class, flags }, ClassSource::Scanner);
    }

    /// Marks add up: nothing lowers one.
    fn raise(&mut self, mark: DataMark, source: ClassSource) {
        if mark.class > self.mark.class {
            self.class_from = source;
        }
        self.mark = self.mark.union(mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DataClass::{Classified, Open, Sensitive};
    use madang_types::Role;

    fn identity(tenant: DataClass, key: DataClass) -> Identity {
        let floor = |class| DataMark {
            class,
            flags: DataFlags::NONE,
        };
        Identity {
            key: "k1".parse().unwrap(),
            tenant: Some("kma".parse().unwrap()),
            role: Role::Member,
            programme: None,
            period: Default::default(),
            project: None,
            terms: Default::default(),
            tenant_floor: floor(tenant),
            key_floor: floor(key),
            expires_at: None,
        }
    }

    fn check(
        (tenant, key): (DataClass, DataClass),
        claim: Option<DataClass>,
        found: &[PiiKind],
        expected: (DataClass, ClassSource),
    ) {
        let mut facts = Facts::of(&identity(tenant, key));
        facts.claim(claim, DataFlags::NONE);
        facts.find(found.iter().map(|kind| (*kind, 1)).collect());
        assert_eq!((facts.mark.class, facts.class_from), expected);
        let least = tenant.max(key).max(claim.unwrap_or_default());
        assert!(facts.mark.class >= least);
    }

    #[test]
    fn the_highest_class_counts_and_nothing_lowers_it() {
        use ClassSource::{Default, Header, KeyFloor, Scanner, TenantFloor};
        check((Open, Open), None, &[], (Open, Default));
        check((Sensitive, Open), Some(Open), &[], (Sensitive, TenantFloor));
        check(
            (Open, Sensitive),
            None,
            &[PiiKind::Rrn],
            (Sensitive, KeyFloor),
        );
        check(
            (Open, Sensitive),
            Some(Classified),
            &[],
            (Classified, Header),
        );
        check((Open, Open), None, &[PiiKind::Phone], (Open, Default));
        check(
            (Open, Open),
            Some(Open),
            &[PiiKind::Passport],
            (Sensitive, Scanner),
        );
    }
}
