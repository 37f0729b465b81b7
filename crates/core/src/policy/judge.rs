//! One combination under all rules.

use super::clause::Clause;
use super::decision::{
    ConditionKind, Failing, PolicyDecision, RULES_SHOWN_MAX, UNMET_SHOWN_MAX, Unmet,
};
use madang_types::{Basis, PolicyEffect, Rule};
use smallvec::SmallVec;

/// A decision by indices, so that equal ones are found before they are written out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Verdict {
    pub effect: PolicyEffect,
    rules: SmallVec<[u16; 4]>,
    unmet: SmallVec<[(u16, Failing); UNMET_SHOWN_MAX]>,
    bases: SmallVec<[u16; 2]>,
}

/// A rule's conditions.
pub(super) fn clause(rule: &Rule) -> Clause<'_> {
    Clause {
        when: &rule.when,
        permits: rule.effect == PolicyEffect::Allow,
    }
}

/// A rule by its index, and what of it fails.
pub(super) type Case<'c> = (u16, &'c Rule, Failing);

/// Judges by the rules that can matter; `held` are the caller's bases for the place.
pub(super) fn judge(cases: &[Case<'_>], (bases, held): (&[Basis], &[u16])) -> Verdict {
    let apply = |effect: PolicyEffect| {
        let applying = cases
            .iter()
            .filter(move |(_, rule, failing)| rule.effect == effect && failing.is_none());
        applying.map(|(index, ..)| *index).take(RULES_SHOWN_MAX)
    };
    let denying: SmallVec<[u16; 4]> = apply(PolicyEffect::Deny).collect();
    let allowing: SmallVec<[u16; 4]> = apply(PolicyEffect::Allow).collect();
    let (effect, rules_applied) = if !denying.is_empty() || allowing.is_empty() {
        (PolicyEffect::Deny, denying)
    } else {
        let mut applied: SmallVec<[u16; 4]> = apply(PolicyEffect::Mask).collect();
        let effect = if applied.is_empty() {
            PolicyEffect::Allow
        } else {
            PolicyEffect::Mask
        };
        applied.extend(allowing);
        (effect, applied)
    };
    let unmet = if effect == PolicyEffect::Deny && rules_applied.is_empty() {
        nearest(cases)
    } else {
        SmallVec::new()
    };
    Verdict {
        effect,
        rules: rules_applied,
        unmet,
        bases: used(cases, (bases, held)),
    }
}

/// The permitting rules that fail in the fewest conditions.
fn nearest(cases: &[Case<'_>]) -> SmallVec<[(u16, Failing); UNMET_SHOWN_MAX]> {
    let permitting = || {
        let all = cases
            .iter()
            .filter(|(_, rule, _)| rule.effect == PolicyEffect::Allow);
        all.map(|(index, _, failing)| (*index, *failing))
    };
    let fewest = permitting().map(|(_, failing)| failing.count()).min();
    permitting()
        .filter(|(_, failing)| Some(failing.count()) == fewest)
        .take(UNMET_SHOWN_MAX)
        .collect()
}

/// The bases that a rule asked for and found: it applies by them, or would apply but for them.
fn used(cases: &[Case<'_>], (bases, held): (&[Basis], &[u16])) -> SmallVec<[u16; 2]> {
    let matters = |kind| {
        cases.iter().any(|(_, rule, failing)| {
            (failing.is_none() && rule.when.basis_any.contains(&kind))
                || (failing.is_only(ConditionKind::Basis) && rule.when.basis_none.contains(&kind))
        })
    };
    let of = |index: &&u16| {
        bases
            .get(usize::from(**index))
            .is_some_and(|basis| matters(basis.kind))
    };
    held.iter().filter(of).copied().collect()
}

impl Verdict {
    /// The decision, written out.
    pub fn spell(&self, rules: &[Rule], bases: &[Basis]) -> PolicyDecision {
        let rule = |index: &u16| rules.get(usize::from(*index));
        let denied = self.effect == PolicyEffect::Deny;
        if denied && self.rules.is_empty() {
            let unmet = self.unmet.iter().filter_map(|(index, failing)| {
                Some(Unmet {
                    rule: rule(index)?.id.clone(),
                    conditions: failing.kinds(),
                })
            });
            return PolicyDecision {
                unmet: unmet.collect(),
                ..PolicyDecision::refusal(
                    "default-deny",
                    "No rule of the policy permits it.",
                    "이를 허용하는 정책 규칙이 없습니다.",
                )
            };
        }
        let applied = || self.rules.iter().filter_map(rule);
        let first = applied().next();
        PolicyDecision {
            effect: self.effect,
            rules: applied().map(|rule| rule.id.clone()).collect(),
            unmet: Vec::new(),
            bases: self
                .bases
                .iter()
                .filter_map(|index| Some(bases.get(usize::from(*index))?.id.clone()))
                .collect(),
            reroute: applied()
                .filter(|_| denied)
                .find_map(|rule| rule.reroute.clone()),
            text: first.map(|rule| rule.text.clone()).unwrap_or_default(),
            text_ko: first.map(|rule| rule.text_ko.clone()).unwrap_or_default(),
        }
    }

    /// The decision for data that cannot be masked, where it has some masked: the rules that mask deny.
    pub fn spell_unmaskable(&self, rules: &[Rule]) -> Option<PolicyDecision> {
        if self.effect != PolicyEffect::Mask {
            return None;
        }
        let applied = self.rules.iter();
        let applied = applied.filter_map(|index| rules.get(usize::from(*index)));
        let masking: SmallVec<[&Rule; 4]> = applied
            .filter(|rule| rule.effect == PolicyEffect::Mask)
            .collect();
        let unmet = masking.iter().map(|rule| Unmet {
            rule: rule.id.clone(),
            conditions: vec![ConditionKind::Maskable],
        });
        Some(PolicyDecision {
            rules: masking.iter().map(|rule| rule.id.clone()).collect(),
            unmet: unmet.take(UNMET_SHOWN_MAX).collect(),
            reroute: masking.iter().find_map(|rule| rule.reroute.clone()),
            ..PolicyDecision::refusal(
                "unmaskable",
                "Personal data may go there masked only, and some of it stands in a number or in encoded text, where no \
                 placeholder can.",
                "개인정보를 가려야 보낼 수 있는 곳인데, 숫자나 부호화된 글 안에 있어 가릴 수 없는 것이 있습니다.",
            )
        })
    }
}
