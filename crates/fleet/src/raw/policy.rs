//! The policy as written: in the fleet file's `[policy]`, or a file of its own with the same keys.

use super::{ASSURANCES, Rows, Text, Texts, words};
use crate::at::At;
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) const CLASSES: &[&str] = &["open", "sensitive", "classified"];
pub(super) const ZONES: &[&str] = &[
    "gov_isolated",
    "domestic_private",
    "domestic_public",
    "foreign",
];
pub(super) const FLAGS: &[&str] = &[
    "pii",
    "unique_id",
    "health",
    "credit",
    "pseudonymised",
    "minor",
];
const BASES: &[&str] = &[
    "statute",
    "consent",
    "treaty",
    "contract_disclosed",
    "certified",
    "adequate",
    "pseudonymised_sandbox",
];

/// What may go where: the rules of sovereignty, here or in a file of their own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPolicy {
    /// A policy file with the other keys of this table; relative to the fleet file's folder. None of them stands here then.
    pub file: Text,
    /// The country that counts as home; where not given, the country of the sites, which must be one.
    #[schemars(extend("pattern" = "^[A-Z]{2}$"))]
    pub home: Text,
    /// Whether the built-in rules hold too. A rule here with the id of one of them takes its place.
    #[schemars(extend("default" = true))]
    pub builtin: Option<At<bool>>,
    /// Programmes that may use classified data on isolated ground.
    pub classified_programmes: Texts,
    /// Rules. All that apply count: the strictest effect wins, and without one that allows nothing is allowed.
    pub rule: Rows<RawRule>,
    /// Statements about every combination: a policy that breaks one is not loaded.
    pub never: Rows<RawNever>,
    /// Legal bases, and who holds them.
    pub basis: Rows<RawBasis>,
}

/// Rules. All that apply count: the strictest effect wins, and without one that allows nothing is allowed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRule {
    /// Its name, which records and refusals show.
    #[schemars(required)]
    pub id: Text,
    /// What it does: `allow` permits, `mask` has personal data replaced where another rule permits, `deny` refuses.
    #[schemars(required, extend("enum" = ["allow", "mask", "deny"]))]
    pub effect: Text,
    /// Where it applies: everywhere, where not given.
    pub when: Option<At<RawConditions>>,
    /// With `deny`: the model that callers are given instead; with `mask`: the same, where something cannot be masked.
    pub reroute: Text,
    /// What a refused caller is told.
    #[schemars(required)]
    pub text: Text,
    /// The same in Korean.
    pub text_ko: Text,
}

/// Statements about every combination: a policy that breaks one is not loaded.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawNever {
    /// Its name.
    #[schemars(required)]
    pub id: Text,
    /// Where nothing may be allowed.
    #[schemars(required)]
    pub when: Option<At<RawConditions>>,
    /// Masked data may go there all the same.
    #[schemars(extend("default" = false))]
    pub masked_may: Option<At<bool>>,
    /// What it says.
    #[schemars(required)]
    pub text: Text,
}

/// Conditions that must all hold; one that is not given holds. An empty list of names fits nobody.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawConditions {
    /// The class is one of these: `open`, `sensitive`, `classified`.
    #[schemars(extend("items" = words(CLASSES)))]
    pub class: Texts,
    /// The data has one of these flags: `pii`, `unique_id`, `health`, `credit`, `pseudonymised`, `minor`.
    #[schemars(extend("items" = words(FLAGS)))]
    pub flags_any: Texts,
    /// The data has all of these flags.
    #[schemars(extend("items" = words(FLAGS)))]
    pub flags_all: Texts,
    /// The data has none of these flags.
    #[schemars(extend("items" = words(FLAGS)))]
    pub flags_none: Texts,
    /// The tenant is of one of these programmes.
    pub programme: Texts,
    /// The tenant is one of these.
    pub tenant: Texts,
    /// The model asked for is one of these.
    pub model: Texts,
    /// The site or upstream is one of these.
    pub location: Texts,
    /// With `allow`: data comes to no other country than these; else: it may come to one of these.
    pub country: Texts,
    /// The operator's seat is in one of these.
    pub operator_country: Texts,
    /// The ground counts as one of these: `gov_isolated`, `domestic_private`, `domestic_public`, `foreign`.
    #[schemars(extend("items" = words(ZONES)))]
    pub zone: Texts,
    /// The place has one of these assurances.
    #[schemars(extend("items" = words(ASSURANCES)))]
    pub assurance_any: Texts,
    /// The place has none of these assurances.
    #[schemars(extend("items" = words(ASSURANCES)))]
    pub assurance_none: Texts,
    /// The place is a site of ours, or is not.
    pub own: Option<At<bool>>,
    /// A basis of one of these kinds is held, and covers the place.
    #[schemars(extend("items" = words(BASES)))]
    pub basis_any: Texts,
    /// No basis of any of these kinds is held that covers the place.
    #[schemars(extend("items" = words(BASES)))]
    pub basis_none: Texts,
}

/// Legal bases, and who holds them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawBasis {
    /// Its name, as in the operator's register.
    #[schemars(required)]
    pub id: Text,
    /// Its kind in law.
    #[schemars(required, extend("enum" = BASES))]
    pub kind: Text,
    /// Programmes whose tenants hold it.
    pub programme: Texts,
    /// Tenants that hold it.
    pub tenant: Texts,
    /// Sites and upstreams that it covers; all where not given.
    pub location: Texts,
    /// The last day on which it holds (in Korea), as `2027-06-30`.
    #[schemars(required)]
    pub expires_on: Text,
}
