//! Power is short at a site, or is not any more: requests meet narrower terms there, or wider ones.

use crate::effect::Effect;
use crate::member::{Member, slots_milli};
use crate::power::governor::PowerTerms;
use crate::request::{MemberIndex, Request};
use crate::state::Core;
use madang_types::{Micros, SiteId};
use std::collections::BTreeMap;

/// How often it is looked who can serve, while power is short.
const FOLLOW_US: u64 = 1_000_000;
/// When trying again makes sense where nobody knows when power is back, and at the soonest.
const BACK_UNKNOWN_MS: u64 = 60_000;
const BACK_MS_MIN: u64 = 1_000;

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
            self.power_apply(now);
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

    /// Tells members what holds at their sites. Of those that serve the same at one of them some rest, where engines have fewer slots: first
    /// those that cannot serve now.
    pub(super) fn power_apply(&mut self, now: Micros) {
        self.power_at = now;
        let mut alike: BTreeMap<(SiteId, u32), Vec<(bool, MemberIndex)>> = BTreeMap::new();
        for index in self.member_ids.values().copied() {
            if let Some(member) = self.member(index) {
                let key = (member.view.site.clone(), member.pool);
                let cannot = !member.available(now);
                alike.entry(key).or_default().push((cannot, index));
            }
        }
        for ((site, _), mut members) in alike {
            let terms = self.power.get(&site).copied().unwrap_or_default();
            members.sort_by_key(|(cannot, _)| *cannot);
            let parts = slots_milli(members.len(), terms.slots_milli);
            for ((_, index), slots_milli) in members.into_iter().zip(parts) {
                let terms = PowerTerms {
                    slots_milli,
                    ..terms
                };
                self.power_tell(index, terms);
            }
        }
    }

    /// The same once a second where power is short: whoever rested serves once another cannot.
    pub(super) fn power_follow(&mut self, now: Micros) {
        if self.is_power_short() && now.since_us(self.power_at) >= FOLLOW_US {
            self.power_apply(now);
        }
    }

    /// Whether it is at any site.
    pub(super) fn is_power_short(&self) -> bool {
        !self.power.is_empty()
    }

    /// When power may be there again for a request that was refused for want of it, in milliseconds from now: at the first end of what
    /// makes it short where it may be served; where none is known, after a minute, as it comes back step by step.
    pub(super) fn power_back_ms(&self, now: Micros, request: &Request) -> u64 {
        let members = self.pool(request.pool).map(|pool| pool.members.iter());
        let sheds = members
            .into_iter()
            .flatten()
            .filter_map(|index| self.member(*index))
            .filter(|member| member.power.sheds(request.submit.priority));
        let backs_ms = sheds.map(|member| {
            let until = member.power.until().filter(|until| *until > now);
            until.map_or(BACK_UNKNOWN_MS, |until| until.since_us(now).div_ceil(1_000))
        });
        backs_ms.min().unwrap_or(BACK_UNKNOWN_MS).max(BACK_MS_MIN)
    }

    fn power_tell(&mut self, index: MemberIndex, terms: PowerTerms) {
        let Some(member) = self.member(index) else {
            return;
        };
        let running = (member.running_count(), self.rest_count(member));
        if let Some(member) = self.member_mut(index) {
            member.power.apply(terms, running);
        }
    }
}
