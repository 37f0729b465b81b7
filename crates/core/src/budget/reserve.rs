//! Setting aside what a request may cost, before it starts.

use super::Budgets;
use super::purse::Held;
use crate::learn::{rounded, whole};
use madang_ledger::{Order, Purse, TokenRates};
use madang_types::{KeyId, Micros, ModelClass, ProjectId, RequestId, TenantId, Unit};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// A purse is far from its end while it has this many times what all requests under way can cost.
const FAR: i64 = 5;
/// How long somebody who finds everything set aside for others should wait, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// Who pays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spender {
    /// The tenant.
    pub tenant: TenantId,
    /// Its project, where the key belongs to one.
    pub project: Option<ProjectId>,
    /// The key that was shown.
    pub key: KeyId,
}

/// What a request can cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The class of all models that may serve it; `None` where one has none, or another.
    pub model_class: Option<ModelClass>,
    /// The most that its prompt can count for.
    pub prompt_tokens_max: u64,
    /// What its prompt is likely to count for.
    pub prompt_tokens: u64,
    /// The most that it asks for.
    pub output_tokens_max: u64,
    /// The fewest that are of any use to it: as many as it asks for, where its client wants all or nothing.
    pub output_tokens_min: u64,
    /// The dearest rates of all models and places that may serve it.
    pub rates: TokenRates,
}

impl Bound {
    /// What so many tokens cost in a unit, at most.
    pub(super) fn cost(&self, unit: Unit, prompt_tokens: u64, output_tokens: u64) -> i64 {
        match unit {
            Unit::MicroWon => self.rates.cost_max(prompt_tokens, output_tokens).0,
            _ => i64::try_from(prompt_tokens.saturating_add(output_tokens)).unwrap_or(i64::MAX),
        }
    }

    fn cost_max(&self, unit: Unit, output_tokens: u64) -> i64 {
        self.cost(unit, self.prompt_tokens_max, output_tokens)
    }
}

/// What is set aside for one request.
#[derive(Clone, Debug)]
pub(super) struct Reservation {
    pub parts: SmallVec<[Part; 2]>,
    pub output_tokens_max: u64,
}

/// What is set aside of one purse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Which.
    pub purse: Purse,
    /// In what it is counted.
    pub unit: Unit,
    /// The most that the request can cost.
    pub max: i64,
    /// What it may take, whatever others take; all that it may take where the purse is hard.
    pub promised: i64,
    /// Whether it was hard then.
    pub hard: bool,
}

/// What was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// So many tokens may be made; fewer than were asked for where the purse is nearly empty.
    pub output_tokens_max: u64,
    /// What is set aside, of each purse.
    pub parts: SmallVec<[Part; 2]>,
}

/// Why nothing was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Short {
    /// The bank was asked for more of it: to be tried again when it has answered.
    Asked(Purse),
    /// Nothing was granted to the tenant, or nothing that may be spent today on models of this class.
    NoAllocation,
    /// It costs more than is left.
    Exhausted {
        /// Of what.
        purse: Purse,
        /// In what that is counted.
        unit: Unit,
        /// What is left, of what is known here.
        left: i64,
        /// When more comes.
        renews_at: Option<Micros>,
    },
    /// It fits, once others have ended for which everything is set aside.
    Busy {
        /// Of what.
        purse: Purse,
        /// When to try again.
        retry_after_ms: u64,
    },
    /// The bank has not been heard of for too long: the rights here have run out.
    LeaseOver,
}

impl Budgets {
    /// Sets aside what a request may cost at most: of one purse of the tenant's, of whatever ceilings stand over it. `orders` are for
    /// the bank.
    ///
    /// # Errors
    /// Why nothing is set aside.
    pub fn reserve(
        &mut self,
        now: Micros,
        request: RequestId,
        (spender, bound): (&Spender, &Bound),
        orders: &mut Vec<Order>,
    ) -> Result<Reserved, Short> {
        let now = self.present(now);
        let ceilings = self.ceilings(spender);
        let open = |purse: &&Purse| self.is_open(purse, now, bound.model_class.as_ref());
        let choices: Vec<Option<Purse>> = match self.allocations.get(&spender.tenant) {
            None => vec![None],
            Some(purses) => purses.iter().filter(open).cloned().map(Some).collect(),
        };
        let (mut short, mut fewer) = (Short::NoAllocation, None);
        for choice in &choices {
            let purses: SmallVec<[Purse; 2]> = choice.iter().chain(&ceilings).cloned().collect();
            if purses.is_empty() {
                return Ok(self.set_aside(request, &purses, bound, bound.output_tokens_max));
            }
            if self.lease_until.is_none_or(|until| until <= now) {
                return Err(Short::LeaseOver);
            }
            match self.fit(now, &purses, bound, orders) {
                Ok(tokens) if tokens >= bound.output_tokens_max => {
                    return Ok(self.set_aside(request, &purses, bound, bound.output_tokens_max));
                }
                Ok(tokens) if fewer.as_ref().is_none_or(|(most, _)| *most < tokens) => {
                    fewer = Some((tokens, purses));
                }
                Ok(_) => {}
                Err(asked @ Short::Asked(_)) => return Err(asked),
                // What is set aside for others may come free: whoever hears that tries again.
                Err(_) if matches!(short, Short::Busy { .. }) => {}
                Err(other) => short = other,
            }
        }
        // Fewer tokens than asked for only where no purse could give all of them.
        let (tokens, purses) = fewer.ok_or(short)?;
        Ok(self.set_aside(request, &purses, bound, tokens))
    }

    fn ceilings(&self, spender: &Spender) -> Vec<Purse> {
        let project = spender.project.clone();
        let project =
            project.and_then(|project| self.projects.get(&(spender.tenant.clone(), project)));
        let lists = [project, self.keys.get(&spender.key)];
        lists.into_iter().flatten().flatten().cloned().collect()
    }

    /// Whether it may be spent now, on models of this class.
    fn is_open(&self, purse: &Purse, now: Micros, class: Option<&ModelClass>) -> bool {
        let view = self.purses.get(purse).and_then(|held| held.view.as_ref());
        view.is_some_and(|view| {
            let covers = view.model_class.is_none() || view.model_class.as_ref() == class;
            covers && view.from <= now && view.until.is_none_or(|until| now < until)
        })
    }

    /// How many output tokens fit in all of these purses; the bank is asked where it may help.
    fn fit(
        &mut self,
        now: Micros,
        purses: &[Purse],
        bound: &Bound,
        orders: &mut Vec<Order>,
    ) -> Result<u64, Short> {
        let mut fits = u64::MAX;
        for purse in purses {
            let Some(held) = self.purses.get_mut(purse) else {
                return Err(Short::NoAllocation);
            };
            held.used_at = now;
            let tokens = held.fit(bound);
            if tokens < bound.output_tokens_max {
                let lack = held.lack_of(bound);
                held.lack = held.lack.max(lack);
                if held.dry_until <= now {
                    self.take_more(now, purse, lack, orders);
                    return Err(Short::Asked(purse.clone()));
                }
            }
            let Some(held) = self.purses.get(purse) else {
                return Err(Short::NoAllocation);
            };
            if tokens < bound.output_tokens_min {
                return Err(held.short(now, purse, bound));
            }
            fits = fits.min(tokens);
        }
        Ok(fits)
    }

    fn set_aside(
        &mut self,
        request: RequestId,
        purses: &[Purse],
        bound: &Bound,
        output_tokens: u64,
    ) -> Reserved {
        let mut parts: SmallVec<[Part; 2]> = SmallVec::new();
        for purse in purses {
            let Some(held) = self.purses.get_mut(purse) else {
                continue;
            };
            let (max, promised) = held.amounts(bound, output_tokens);
            held.exposure = held.exposure.saturating_add(max);
            held.promised = held.promised.saturating_add(promised);
            parts.push(Part {
                purse: purse.clone(),
                unit: held.unit,
                max,
                promised,
                hard: held.is_hard(),
            });
        }
        let reserved = Reserved {
            output_tokens_max: output_tokens,
            parts: parts.clone(),
        };
        let reservation = Reservation {
            parts,
            output_tokens_max: output_tokens,
        };
        self.requests.insert(request, reservation);
        reserved
    }
}

impl Held {
    pub(super) fn is_hard(&self) -> bool {
        self.view.as_ref().is_none_or(|view| view.hard)
    }

    /// The most that a request can cost, and what it is promised when it is let in.
    fn amounts(&self, bound: &Bound, output_tokens: u64) -> (i64, i64) {
        let max = bound.cost_max(self.unit, output_tokens);
        if self.is_hard() || !self.is_far(max) {
            return (max, max);
        }
        let prompt = bound.cost(self.unit, bound.prompt_tokens, 0);
        let likely = prompt.saturating_add(amount(self.each.value));
        (max, likely.min(max))
    }

    fn is_far(&self, max: i64) -> bool {
        let all = self.exposure.saturating_add(max).saturating_mul(FAR);
        let unspent = self.rights.saturating_sub(self.spent);
        unspent.saturating_add(self.left) >= all
    }

    /// How many output tokens of a request could be paid for; none where not even its prompt can.
    fn fit(&self, bound: &Bound) -> u64 {
        let (_, promised) = self.amounts(bound, bound.output_tokens_max);
        let free = if self.is_hard() {
            self.free()
        } else {
            self.unpromised()
        };
        if promised <= free {
            return bound.output_tokens_max;
        }
        // The greatest count whose cost fits: cost grows with the count, so halving finds it.
        let (mut fits, mut over) = (0, bound.output_tokens_max);
        if bound.cost_max(self.unit, 0) > free {
            return 0;
        }
        while over - fits > 1 {
            let middle = fits + (over - fits) / 2;
            if bound.cost_max(self.unit, middle) <= free {
                fits = middle;
            } else {
                over = middle;
            }
        }
        fits
    }

    /// What is lacking for all that a request asks for.
    fn lack_of(&self, bound: &Bound) -> i64 {
        let max = bound.cost_max(self.unit, bound.output_tokens_max);
        max.saturating_sub(self.free()).max(1)
    }

    fn short(&self, now: Micros, purse: &Purse, bound: &Bound) -> Short {
        let least = bound.cost_max(self.unit, bound.output_tokens_min);
        let unspent = self.rights.saturating_sub(self.spent);
        if unspent.saturating_add(self.left) >= least {
            return Short::Busy {
                purse: purse.clone(),
                retry_after_ms: RETRY_MS,
            };
        }
        let renewals = self.view.as_ref().map(|view| &view.renews_at);
        Short::Exhausted {
            purse: purse.clone(),
            unit: self.unit,
            left: unspent.saturating_add(self.left),
            renews_at: renewals
                .into_iter()
                .flatten()
                .find(|at| now < **at)
                .copied(),
        }
    }
}

/// A measured amount as a whole number.
pub(super) fn amount(measured: f64) -> i64 {
    i64::try_from(rounded(measured)).unwrap_or(i64::MAX)
}

/// A whole amount for measuring.
pub(super) fn measured(amount: i64) -> f64 {
    whole(u64::try_from(amount).unwrap_or(0))
}
