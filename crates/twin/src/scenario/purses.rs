//! What tenants were granted, before a gateway: the core's budgets, and a bank that answers at once.
//!
//! Pools and gateways share nothing here, so each has its part of a grant, in the measure of the requests that are its. What one has left
//! over no other one spends: live, rights move to where they are needed.

use super::model::{Grant, Scenario};
use super::shard::ShardPlan;
use crate::world::{Ask, Ended, Outcome};
use madang_core::budget::{
    Bound, BudgetView, Budgets, OUTPUT_TOKENS_MIN, PurseView, Short, Spender, TEMPLATE_TOKENS,
};
use madang_ledger::{Order, Purse, TokenRates};
use madang_types::{AllocationId, Micros, NameError, RequestId, TokenUse, Tokens};
use std::collections::BTreeMap;

const SECOND_US: i64 = 1_000_000;

/// Budgets of one gateway's pool.
pub(super) struct Purses {
    budgets: Budgets,
    /// What of each purse is not at the gateway.
    bank: BTreeMap<Purse, i64>,
    /// Whose purse is whose.
    of: BTreeMap<Purse, usize>,
    rates: TokenRates,
    ticked: Micros,
    orders: Vec<Order>,
    /// By tenants' places.
    pub spent: BTreeMap<usize, Spending>,
}

/// What a tenant did with its grant.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spending {
    /// In the grant's unit.
    pub spent: i64,
    /// Answers that were cut short because it came to its end.
    pub clamped: u64,
}

impl Spending {
    pub fn add(&mut self, other: &Self) {
        self.spent += other.spent;
        self.clamped += other.clamped;
    }
}

impl Purses {
    /// `None` where nobody was granted anything.
    pub fn new(scenario: &Scenario, plan: &ShardPlan) -> Result<Option<Self>, NameError> {
        let mut view = BudgetView::default();
        let (mut bank, mut of) = (BTreeMap::new(), BTreeMap::new());
        for (place, tenant) in scenario.tenants.iter().enumerate() {
            let Some(grant) = &tenant.grant else { continue };
            let name = &tenant.payer.tenant;
            let purse = Purse::Allocation(AllocationId::new(name.as_str())?);
            bank.insert(purse.clone(), part_of(scenario, plan, (place, grant)));
            of.insert(purse.clone(), place);
            view.purses.push(view_of(purse.clone(), grant));
            view.tenants.push((name.clone(), vec![purse]));
        }
        if bank.is_empty() {
            return Ok(None);
        }
        let mut budgets = Budgets::new();
        budgets.apply(view);
        // The bank is never away.
        budgets.contact(Micros(0), Micros(i64::MAX));
        Ok(Some(Self {
            budgets,
            bank,
            of,
            rates: scenario.models[plan.model].rates,
            ticked: Micros(0),
            orders: Vec::new(),
            spent: BTreeMap::new(),
        }))
    }

    /// Sets aside what a request may cost; its answer is cut short where not all of it is left.
    ///
    /// # Errors
    /// The word for why it is refused.
    pub fn reserve(&mut self, ask: &mut Ask, tenant: usize) -> Result<(), &'static str> {
        let now = micros(ask.at_ns);
        self.tick(now);
        let spender = Spender {
            tenant: ask.payer.tenant.clone(),
            project: None,
            key: ask.payer.key.clone(),
        };
        // Nobody here says how long an answer may be: whoever pays for less gets less.
        let bound = Bound {
            model_class: None,
            prompt_tokens_max: ask
                .prompt_tokens
                .saturating_mul(2)
                .saturating_add(TEMPLATE_TOKENS),
            prompt_tokens: ask.prompt_tokens,
            output_tokens_max: ask.output_tokens_max,
            output_tokens_min: ask.output_tokens_max.min(OUTPUT_TOKENS_MIN),
            rates: self.rates,
        };
        let request = RequestId(u128::from(ask.label));
        let about = (&spender, &bound);
        let mut tried = self.budgets.reserve(now, request, about, &mut self.orders);
        if matches!(tried, Err(Short::Asked(_))) {
            // The bank answers at once: what it had is here now.
            self.answer(now);
            tried = self.budgets.reserve(now, request, about, &mut self.orders);
        }
        self.answer(now);
        let reserved = tried.map_err(|short| match short {
            Short::NoAllocation | Short::LeaseOver => "allocation_missing",
            Short::Exhausted { .. } => "budget_exhausted",
            Short::Busy { .. } | Short::Asked(_) => "budget_busy",
        })?;
        if reserved.output_tokens_max < ask.output_tokens {
            ask.output_tokens = reserved.output_tokens_max;
            self.spent.entry(tenant).or_default().clamped += 1;
        }
        ask.output_tokens_max = reserved.output_tokens_max;
        Ok(())
    }

    /// A request has ended: what it used is taken, and what was set aside beyond that is free.
    pub fn settle(&mut self, ended: &Ended) {
        let request = RequestId(u128::from(ended.label));
        // Of an answer that broke off nobody here knows how far it came: its prompt is taken.
        let output_tokens = match ended.outcome {
            Outcome::Finished => ended.output_tokens,
            Outcome::Broken => 0,
            Outcome::Refused(_) | Outcome::Left => return self.budgets.void(request),
        };
        let cached_tokens = ended.cached.tokens();
        let used = TokenUse {
            uncached: Tokens(ended.prompt_tokens.saturating_sub(cached_tokens)),
            cached: Tokens(cached_tokens),
            output: Tokens(output_tokens),
            estimated: false,
        };
        let rates = self.rates;
        let settled = self
            .budgets
            .settle(micros(ended.at_ns), request, (&used, &rates));
        for draw in settled.draws {
            if let Some(tenant) = self.of.get(&draw.purse) {
                self.spent.entry(*tenant).or_default().spent += draw.amount;
            }
        }
    }

    /// Once a second, as live.
    fn tick(&mut self, now: Micros) {
        if now.0 >= self.ticked.0.saturating_add(SECOND_US) {
            self.ticked = now;
            self.budgets.tick(now, &mut self.orders);
            self.answer(now);
        }
    }

    fn answer(&mut self, now: Micros) {
        for order in std::mem::take(&mut self.orders) {
            let available = self.bank.entry(order.purse.clone()).or_default();
            let moved = order.kind.moves(*available, 1);
            *available -= moved;
            let left = *available;
            self.budgets.answer(now, &order, (moved, left));
        }
    }
}

fn view_of(purse: Purse, grant: &Grant) -> PurseView {
    PurseView {
        purse,
        unit: grant.unit,
        model_class: None,
        hard: grant.hard,
        from: Micros(0),
        until: None,
        renews_at: Vec::new(),
    }
}

/// What of a grant is here: as much of it as of all that its tenant asks for. By requests: nobody knows before what each will cost.
fn part_of(scenario: &Scenario, plan: &ShardPlan, (tenant, grant): (usize, &Grant)) -> i64 {
    let (mut here, mut all) = (0.0, 0.0);
    for demand in &scenario.demands {
        let mut before = 0.0;
        for (place, up_to) in &demand.tenants {
            let asked = (up_to - before) * demand.requests(scenario.hours);
            before = *up_to;
            if *place != tenant {
                continue;
            }
            all += asked;
            if demand.model == plan.model {
                here += asked * (plan.part.to - plan.part.from);
            }
        }
    }
    match all > 0.0 {
        true => (grant.amount as f64 * here / all) as i64,
        false => 0,
    }
}

fn micros(ns: u64) -> Micros {
    Micros(i64::try_from(ns / 1_000).unwrap_or(i64::MAX))
}
