//! One gateway's budgets, and a bank that answers at once.

use madang_core::budget::{
    Bound, BudgetView, Budgets, PurseView, Reserved, Settled, Short, Spender,
};
use madang_ledger::{Order, Purse, TokenRates};
use madang_types::{MicroWon, Micros, RequestId, TokenUse, Tokens, Unit};
use std::collections::BTreeMap;

/// Prompt tokens are free and each token that is made costs 1 µ₩: amounts are counts of tokens.
pub const RATES: TokenRates = TokenRates {
    uncached: MicroWon(0),
    cached: MicroWon(0),
    output: MicroWon(1_000_000),
};

pub struct Desk {
    pub budgets: Budgets,
    pub bank: BTreeMap<Purse, i64>,
    pub now: Micros,
    requests: u128,
}

/// A purse of µ₩ that is open for good.
pub fn purse(text: &str, hard: bool) -> PurseView {
    PurseView {
        purse: text.parse().unwrap(),
        unit: Unit::MicroWon,
        model_class: None,
        hard,
        from: Micros(0),
        until: None,
        renews_at: Vec::new(),
    }
}

/// Asks for so many tokens and takes no fewer than `min`.
pub fn bound(max: u64, min: u64) -> Bound {
    Bound {
        model_class: None,
        prompt_tokens_max: 0,
        prompt_tokens: 0,
        output_tokens_max: max,
        output_tokens_min: min,
        rates: RATES,
    }
}

pub fn made(output: u64) -> TokenUse {
    TokenUse {
        output: Tokens(output),
        ..TokenUse::default()
    }
}

pub fn spender() -> Spender {
    Spender {
        tenant: "hanbit".parse().unwrap(),
        project: Some("web".parse().unwrap()),
        key: "k1".parse().unwrap(),
    }
}

impl Desk {
    /// `hanbit` is paid for by these purses, each with so much in the bank.
    pub fn new(purses: Vec<(PurseView, i64)>) -> Self {
        let names = purses.iter().map(|(view, _)| view.purse.clone());
        let tenants = vec![("hanbit".parse().unwrap(), names.collect())];
        let bank = purses.iter().map(|(view, sum)| (view.purse.clone(), *sum));
        let mut desk = Self {
            budgets: Budgets::new(),
            bank: bank.collect(),
            now: Micros(1_000_000),
            requests: 0,
        };
        desk.budgets.apply(BudgetView {
            purses: purses.into_iter().map(|(view, _)| view).collect(),
            tenants,
            ..BudgetView::default()
        });
        desk.budgets
            .contact(desk.now, desk.now.plus_ms(1_000_000_000));
        desk
    }

    /// Reserves, asking the bank as often as it is to be asked.
    pub fn reserve(&mut self, bound: &Bound) -> Result<(RequestId, Reserved), Short> {
        self.reserve_for((&spender(), bound))
    }

    /// The same, for whom one likes.
    pub fn reserve_for(
        &mut self,
        about: (&Spender, &Bound),
    ) -> Result<(RequestId, Reserved), Short> {
        self.requests += 1;
        let request = RequestId(self.requests);
        for _ in 0..8 {
            let mut orders = Vec::new();
            let tried = self.budgets.reserve(self.now, request, about, &mut orders);
            self.check();
            match tried {
                Err(Short::Asked(_)) => self.ask(orders),
                other => return other.map(|reserved| (request, reserved)),
            }
        }
        unreachable!("the bank was asked again and again")
    }

    pub fn settle(&mut self, request: RequestId, output: u64) -> Settled {
        let settled = self
            .budgets
            .settle(self.now, request, (&made(output), &RATES));
        self.check();
        settled
    }

    pub fn tick(&mut self) {
        self.now = self.now.plus_ms(1_000);
        let mut orders = Vec::new();
        self.budgets.tick(self.now, &mut orders);
        self.ask(orders);
    }

    pub fn ask(&mut self, orders: Vec<Order>) {
        for order in orders {
            let left = self.bank.get_mut(&order.purse).unwrap();
            let moved = order.kind.moves(*left, 1);
            *left -= moved;
            let left = *left;
            self.budgets.answer(self.now, &order, (moved.max(0), left));
            self.check();
        }
    }

    /// What the bank and this gateway have of a purse together.
    pub fn unspent(&self, purse: &str) -> i64 {
        let purse: Purse = purse.parse().unwrap();
        let here = self
            .budgets
            .status()
            .into_iter()
            .find(|status| status.purse == purse);
        self.bank[&purse] + here.map_or(0, |status| status.held)
    }

    fn check(&self) {
        self.budgets.check_invariants().unwrap();
    }
}
