//! What a policy says, and why.

use madang_types::{BasisId, ModelId, PolicyEffect, RuleId, SiteId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Places of a refusal whose reasons are told.
pub const DENIALS_MAX: usize = 8;
/// Rules that are named as having decided, and permitting rules that are named as nearly having.
pub(super) const RULES_SHOWN_MAX: usize = 8;
pub(super) const UNMET_SHOWN_MAX: usize = 3;

/// What one condition of a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionKind {
    /// The data's class.
    Class,
    /// The data's flags.
    Flags,
    /// The tenant's programme.
    Programme,
    /// The tenant.
    Tenant,
    /// The model asked for.
    Model,
    /// The site or upstream.
    Location,
    /// Where data may come to.
    Country,
    /// The operator's seat.
    OperatorCountry,
    /// The ground.
    Zone,
    /// What the place is certified for.
    Assurance,
    /// Whether the site is ours.
    Own,
    /// The legal basis held.
    Basis,
    /// Whether placeholders can stand for all personal data. No rule asks for it by a key: every rule that masks does.
    Maskable,
}

impl ConditionKind {
    /// Those that a rule's keys hold.
    const OF_RULES: [Self; 12] = [
        Self::Class,
        Self::Flags,
        Self::Programme,
        Self::Tenant,
        Self::Model,
        Self::Location,
        Self::Country,
        Self::OperatorCountry,
        Self::Zone,
        Self::Assurance,
        Self::Own,
        Self::Basis,
    ];

    /// Its name: the key of the policy file that holds such conditions (of flags, assurances and bases: its beginning).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Class => "class",
            Self::Flags => "flags",
            Self::Programme => "programme",
            Self::Tenant => "tenant",
            Self::Model => "model",
            Self::Location => "location",
            Self::Country => "country",
            Self::OperatorCountry => "operator_country",
            Self::Zone => "zone",
            Self::Assurance => "assurance",
            Self::Own => "own",
            Self::Basis => "basis",
            Self::Maskable => "maskable",
        }
    }
}

impl fmt::Display for ConditionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The conditions of a rule that fail; none: the rule applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Failing(u16);

impl Failing {
    /// Of a rule that cannot matter, whatever else holds.
    pub const HOPELESS: Self = Self(u16::MAX);

    pub fn unless(holds: bool, kind: ConditionKind) -> Self {
        Self(if holds { 0 } else { 1 << (kind as u8) })
    }

    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    pub fn is_only(self, kind: ConditionKind) -> bool {
        self == Self::unless(false, kind)
    }

    pub fn count(self) -> u32 {
        self.0.count_ones()
    }

    pub fn kinds(self) -> Vec<ConditionKind> {
        let fails = |kind: &ConditionKind| self.0 & (1 << (*kind as u8)) != 0;
        ConditionKind::OF_RULES.into_iter().filter(fails).collect()
    }
}

/// A rule that would have permitted, but for these conditions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unmet {
    /// The rule.
    pub rule: RuleId,
    /// What of it fails.
    pub conditions: Vec<ConditionKind>,
}

/// What the policy says of one combination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyDecision {
    /// What becomes of the request there.
    pub effect: PolicyEffect,
    /// The rules that decided, first of them the one to name.
    pub rules: Vec<RuleId>,
    /// Where no rule permits: the rules that came nearest. Where data cannot be masked: those that want it masked.
    pub unmet: Vec<Unmet>,
    /// The legal bases that made a difference.
    pub bases: Vec<BasisId>,
    /// Where it refuses: the model that the caller may be given instead.
    pub reroute: Option<ModelId>,
    /// Why, in a sentence.
    pub text: String,
    /// The same in Korean; may be empty.
    pub text_ko: String,
}

impl PolicyDecision {
    /// What is said of a place that the fleet does not have.
    pub fn unlisted() -> Self {
        Self::refusal(
            "unlisted-origin",
            "The fleet lists no such host ([[origin]]), so nobody says under which law it is.",
            "등록되지 않은 호스트여서 소재 국가를 알 수 없습니다.",
        )
    }

    /// A refusal by a rule that stands in no policy.
    pub(super) fn refusal(rule: &str, text: &str, text_ko: &str) -> Self {
        Self {
            effect: PolicyEffect::Deny,
            rules: RuleId::new(rule).into_iter().collect(),
            unmet: Vec::new(),
            bases: Vec::new(),
            reroute: None,
            text: text.into(),
            text_ko: text_ko.into(),
        }
    }

    /// The rule to name, where there is room for one.
    pub fn rule(&self) -> Option<&RuleId> {
        self.rules.first()
    }
}

/// Why a request may not go to one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// The site or upstream.
    pub location: SiteId,
    /// What the policy says of it.
    pub decision: PolicyDecision,
}
