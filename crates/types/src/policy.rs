//! Sovereignty policy as data: what is known of a place, and the rules that say what may go there.
//! What it means is the core's word ([policy.md](../../../docs/policy.md)).

use crate::class::words;
use crate::{
    BasisId, Country, DataClass, DataFlags, Hex, Micros, ModelId, ProgrammeId, RuleId, SiteId,
    TenantId,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// What is known of a place where requests are served: a site of ours, or a service run by others. What nobody said is
/// `None`, or empty, and counts as the worst.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Place {
    /// True for a site of ours, false for a service run by others.
    pub own: bool,
    /// Country where inference happens.
    pub country: Option<Country>,
    /// Country of the operator's seat.
    pub operator_country: Option<Country>,
    /// Kind of ground, as the operator declares it.
    pub zone: Option<Zone>,
    /// What it is certified for.
    pub assurance: BTreeSet<Assurance>,
    /// Countries where prompts or answers are kept.
    pub stored_in: BTreeSet<Country>,
    /// Countries where prompts may be computed.
    pub inferred_in: BTreeSet<Country>,
    /// Countries where TLS may end.
    pub tls_ends_in: BTreeSet<Country>,
    /// Countries where logs against abuse are kept.
    pub abuse_logs_in: BTreeSet<Country>,
    /// Nothing of a request is kept once it is answered.
    pub zero_retention: bool,
}

impl Place {
    /// A site of ours of which only the country is known, ours to operate.
    pub fn own(country: Country) -> Self {
        Self {
            own: true,
            country: Some(country),
            operator_country: Some(country),
            ..Self::default()
        }
    }

    /// Every country that data sent there may come to, as far as anybody said.
    pub fn countries(&self) -> impl Iterator<Item = Country> {
        let lists = [
            &self.stored_in,
            &self.inferred_in,
            &self.tls_ends_in,
            &self.abuse_logs_in,
        ];
        self.country
            .into_iter()
            .chain(lists.into_iter().flatten().copied())
    }
}

/// Kind of ground, seen from the policy's home country.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Zone {
    /// Cut off from public networks, for public bodies.
    GovIsolated,
    /// At home, for one organisation.
    DomesticPrivate,
    /// At home, shared by many organisations.
    DomesticPublic,
    /// Anything else.
    Foreign,
}

impl Zone {
    /// Every kind, the best first.
    pub const ALL: [Self; 4] = [
        Self::GovIsolated,
        Self::DomesticPrivate,
        Self::DomesticPublic,
        Self::Foreign,
    ];
}

words!(Zone, ZoneError, "a zone is one of gov_isolated, domestic_private, domestic_public, foreign",
    "gov_isolated" => Zone::GovIsolated, "domestic_private" => Zone::DomesticPrivate,
    "domestic_public" => Zone::DomesticPublic, "foreign" => Zone::Foreign);

/// What a place is certified for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assurance {
    /// CSAP 상.
    CsapHigh,
    /// CSAP 중.
    CsapMid,
    /// CSAP 하.
    CsapLow,
    /// Security verification of the National Intelligence Service.
    NisVerified,
    /// ISMS-P.
    IsmsP,
    /// ISO/IEC 27001.
    #[serde(rename = "iso_27001")]
    Iso27001,
}

words!(Assurance, AssuranceError, "an assurance is one of csap_high, csap_mid, csap_low, nis_verified, isms_p, iso_27001",
    "csap_high" => Assurance::CsapHigh, "csap_mid" => Assurance::CsapMid, "csap_low" => Assurance::CsapLow,
    "nis_verified" => Assurance::NisVerified, "isms_p" => Assurance::IsmsP, "iso_27001" => Assurance::Iso27001);

/// Kind of ground in law on which data may be handled where it otherwise may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BasisKind {
    /// A law or decree demands or permits it (PIPA art. 23, 24, 24-2).
    Statute,
    /// Separate consent to the transfer abroad (PIPA art. 28-8 ①1).
    Consent,
    /// A law or treaty provides for the transfer (28-8 ①2).
    Treaty,
    /// Needed for a contract, and disclosed (28-8 ①3).
    ContractDisclosed,
    /// The recipient is certified (28-8 ①4).
    Certified,
    /// The country's protection is recognised as equal (28-8 ①5).
    Adequate,
    /// Pseudonymised credit data under the terms of a regulatory sandbox.
    PseudonymisedSandbox,
}

words!(BasisKind, BasisKindError,
    "a basis is one of statute, consent, treaty, contract_disclosed, certified, adequate, pseudonymised_sandbox",
    "statute" => BasisKind::Statute, "consent" => BasisKind::Consent, "treaty" => BasisKind::Treaty,
    "contract_disclosed" => BasisKind::ContractDisclosed, "certified" => BasisKind::Certified,
    "adequate" => BasisKind::Adequate, "pseudonymised_sandbox" => BasisKind::PseudonymisedSandbox);

/// A legal basis that programmes or tenants hold until a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// Its id, as in the operator's register.
    pub id: BasisId,
    /// Its kind.
    pub kind: BasisKind,
    /// Programmes whose tenants hold it.
    pub programme: BTreeSet<ProgrammeId>,
    /// Tenants that hold it.
    pub tenant: BTreeSet<TenantId>,
    /// Places that it covers; every place where not given.
    pub location: Option<BTreeSet<SiteId>>,
    /// It holds before this instant.
    pub expires_at: Micros,
}

/// What a rule does, from the mildest to the strictest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyEffect {
    /// Permits; without a rule that permits, nothing goes anywhere.
    Allow,
    /// Where permitted, personal data is replaced by placeholders first. By itself it permits nothing.
    Mask,
    /// Refuses, whatever else permits.
    Deny,
}

words!(PolicyEffect, PolicyEffectError, "an effect is one of allow, mask, deny",
    "allow" => PolicyEffect::Allow, "mask" => PolicyEffect::Mask, "deny" => PolicyEffect::Deny);

/// A list of which one must fit. `None`: whatever it is; an empty list: nobody.
pub type OneOf<T> = Option<BTreeSet<T>>;

/// Conditions that must all hold. One that is not given holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conditions {
    /// The class is one of these.
    pub class: OneOf<DataClass>,
    /// The data has one of these flags.
    pub flags_any: DataFlags,
    /// The data has all of these flags.
    pub flags_all: DataFlags,
    /// The data has none of these flags.
    pub flags_none: DataFlags,
    /// The tenant is of one of these programmes.
    pub programme: OneOf<ProgrammeId>,
    /// The tenant is one of these.
    pub tenant: OneOf<TenantId>,
    /// The model asked for is one of these.
    pub model: OneOf<ModelId>,
    /// The site or upstream is one of these.
    pub location: OneOf<SiteId>,
    /// For `allow`: data comes to no other country than these; else: it may come to one of these.
    pub country: OneOf<Country>,
    /// The operator's seat is in one of these.
    pub operator_country: OneOf<Country>,
    /// The ground is one of these.
    pub zone: OneOf<Zone>,
    /// The place has one of these assurances.
    pub assurance_any: BTreeSet<Assurance>,
    /// The place has none of these assurances.
    pub assurance_none: BTreeSet<Assurance>,
    /// The place is a site of ours, or is not.
    pub own: Option<bool>,
    /// A basis of one of these kinds is held.
    pub basis_any: BTreeSet<BasisKind>,
    /// No basis of any of these kinds is held.
    pub basis_none: BTreeSet<BasisKind>,
}

/// A rule of the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its id, for records and refusals.
    pub id: RuleId,
    /// Where it holds.
    pub when: Conditions,
    /// What it does.
    pub effect: PolicyEffect,
    /// The model that a caller may be given instead where this rule refuses.
    pub reroute: Option<ModelId>,
    /// What a refused caller is told.
    pub text: String,
    /// The same in Korean; empty where not given.
    pub text_ko: String,
}

/// A statement about every combination. A policy that breaks one is not loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Never {
    /// Its id.
    pub id: RuleId,
    /// Where it holds.
    pub when: Conditions,
    /// Masked data may go there all the same.
    pub masked_may: bool,
    /// What it says.
    pub text: String,
}

/// A whole policy, as written. The built-in rules come on top ([`Policy::builtin`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The country that counts as home. Without one nothing is at home.
    pub home: Option<Country>,
    /// Whether the built-in rules hold too; one with the id of a rule here gives way to it.
    pub builtin: bool,
    /// Programmes that may use classified data on isolated ground.
    pub classified_programmes: BTreeSet<ProgrammeId>,
    /// Its own rules.
    pub rules: Vec<Rule>,
    /// Its own statements about every combination, besides the built-in ones.
    pub never: Vec<Never>,
    /// Who holds which legal basis.
    pub bases: Vec<Basis>,
    /// Names this policy over these places: two with the same hash decide alike at the same instant.
    pub hash: PolicyHash,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            home: None,
            builtin: true,
            classified_programmes: BTreeSet::new(),
            rules: Vec::new(),
            never: Vec::new(),
            bases: Vec::new(),
            hash: PolicyHash::default(),
        }
    }
}

impl Policy {
    /// The built-in policy with that home.
    pub fn of_home(home: Country) -> Self {
        Self {
            home: Some(home),
            ..Self::default()
        }
    }
}

/// A digest of a policy and the places that it speaks of: what stands in both, not which bases have expired. Made outside the
/// core, which carries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyHash(pub [u8; 32]);

/// The text is not 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a policy hash is 64 lower-case hexadecimal digits")]
pub struct PolicyHashError;

impl fmt::Display for PolicyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl FromStr for PolicyHash {
    type Err = PolicyHashError;

    fn from_str(text: &str) -> Result<Self, PolicyHashError> {
        let sound =
            text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !sound {
            return Err(PolicyHashError);
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            let digits = text.get(2 * at..2 * at + 2).ok_or(PolicyHashError)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| PolicyHashError)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for PolicyHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PolicyHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_reads_back() {
        let hash = PolicyHash(std::array::from_fn(|at| u8::try_from(at * 8).unwrap()));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        for bad in ["", "00", &"g".repeat(64), &"A".repeat(64), &"가".repeat(32)] {
            assert_eq!(bad.parse::<PolicyHash>(), Err(PolicyHashError), "{bad}");
        }
    }
}
