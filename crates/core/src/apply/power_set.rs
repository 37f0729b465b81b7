//! Power is short at a site, or is not any more: requests meet narrower terms there, or wider ones.

use crate::effect::Effect;
use crate::member::Member;
use crate::power::governor::PowerTerms;
use crate::request::MemberIndex;
use crate::state::Core;
use madang_types::{Micros, SiteId};

impl Core {
    pub(super) fn on_power_set(
        &mut self,
        now: Micros,
        site: SiteId,
        terms: PowerTerms,
        effects: &mut Vec<Effect>,
    ) {
        let before = match terms == PowerTerms::default() {
            true => self.power.remove(&site),
            false => self.power.insert(site, terms),
        };
        if before.unwrap_or_default() != terms {
            self.power_apply();
            // Those who wait are refused, or find room again.
            self.serve_all(now, effects);
        }
    }

    /// Requests that run at a member and take what others leave.
    pub(crate) fn rest_count(&self, member: &Member) -> u32 {
        let requests = member.running.iter();
        let requests = requests.filter_map(|index| self.requests.get(*index));
        let rest = requests.filter(|request| request.takes_rest()).count();
        u32::try_from(rest).unwrap_or(u32::MAX)
    }

    /// Tells members what holds at their sites.
    pub(super) fn power_apply(&mut self) {
        for index in self
            .member_ids
            .values()
            .copied()
            .collect::<Vec<MemberIndex>>()
        {
            let Some(member) = self.member(index) else {
                continue;
            };
            let terms = self.power.get(&member.view.site).copied();
            let running = (member.running_count(), self.rest_count(member));
            if let Some(member) = self.member_mut(index) {
                member.power.apply(terms.unwrap_or_default(), running);
            }
        }
    }
}
