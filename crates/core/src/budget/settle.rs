//! Taking what a request cost, and giving back what was set aside beyond it.

use super::Budgets;
use super::reserve::{Part, amount, measured};
use madang_ledger::{Purse, TokenRates};
use madang_types::{MicroWon, Micros, RequestId, TokenUse, Unit};

/// How far the mean cost of a request moves with each.
const EACH_PART: f64 = 0.05;

/// What is taken from one purse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Which.
    pub purse: Purse,
    /// In what it is counted.
    pub unit: Unit,
    /// How much; at least 1.
    pub amount: i64,
}

/// What a request cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// What is charged for it.
    pub cost: MicroWon,
    /// What each purse gives.
    pub draws: Vec<Draw>,
    /// What of the cost no purse gives, and the tenant owes.
    pub owed: MicroWon,
    /// What nobody is charged for: an engine made more than it was asked for, and the purse is hard.
    pub forgiven: MicroWon,
}

impl Budgets {
    /// Whether a request has used more output tokens than were set aside for it: its answer must end.
    pub fn is_over(&self, request: RequestId, output_tokens: u64) -> bool {
        self.requests
            .get(&request)
            .is_some_and(|reservation| output_tokens > reservation.output_tokens_max)
    }

    /// A request has ended and used so much, at these rates. What was set aside for it is free again.
    pub fn settle(
        &mut self,
        now: Micros,
        request: RequestId,
        (tokens, rates): (&TokenUse, &TokenRates),
    ) -> Settled {
        let now = self.present(now);
        let cost = rates.cost(tokens);
        let Some(reservation) = self.requests.remove(&request) else {
            return Settled {
                cost,
                owed: cost,
                ..Settled::default()
            };
        };
        let all = tokens.uncached.0.saturating_add(tokens.cached.0);
        let all = all.saturating_add(tokens.output.0);
        let all = i64::try_from(all).unwrap_or(i64::MAX);
        // What a hard purse has not set aside is not charged: to nobody.
        let charged = reservation.parts.iter().filter(|part| part.hard);
        let charged = charged.filter(|part| self.unit(&part.purse) == Unit::MicroWon);
        let charged = charged.map(|part| part.max).fold(cost.0, i64::min);
        let mut settled = Settled {
            cost: MicroWon(charged),
            forgiven: MicroWon(cost.0 - charged),
            ..Settled::default()
        };
        let mut paid = 0;
        for part in &reservation.parts {
            let used = match self.unit(&part.purse) {
                Unit::MicroWon => charged,
                _ => all,
            };
            let given = self.draw(now, part, used, &mut settled.draws);
            if let (Purse::Allocation(_), Unit::MicroWon) = (&part.purse, self.unit(&part.purse)) {
                paid = given;
            }
        }
        let by_tokens = |part: &Part| {
            matches!(part.purse, Purse::Allocation(_)) && self.unit(&part.purse) != Unit::MicroWon
        };
        // Where the grant is one of tokens, nobody owes won.
        if !reservation.parts.iter().any(by_tokens) {
            settled.owed = MicroWon(charged - paid);
        }
        settled
    }

    /// A request ended before it cost anything.
    pub fn void(&mut self, request: RequestId) {
        let Some(reservation) = self.requests.remove(&request) else {
            return;
        };
        for part in &reservation.parts {
            self.release(part);
        }
    }

    fn unit(&self, purse: &Purse) -> Unit {
        self.purses
            .get(purse)
            .map_or(Unit::MicroWon, |held| held.unit)
    }

    /// Takes what was used, and no more than may be taken; says how much that is.
    fn draw(&mut self, now: Micros, part: &Part, used: i64, draws: &mut Vec<Draw>) -> i64 {
        self.release(part);
        let Some(held) = self.purses.get_mut(&part.purse) else {
            return 0;
        };
        held.each.add(measured(used), EACH_PART);
        // Of a purse that is not hard a request may take more than was set aside for it, but not what others were promised.
        let may = if part.hard { part.max } else { i64::MAX };
        let here = held.rights - held.spent - held.hard_exposure;
        let given = used.min(may).min(here).max(0);
        held.spent += given;
        held.pace.add(now.0, measured(given));
        if given > 0 {
            draws.push(Draw {
                purse: part.purse.clone(),
                unit: held.unit,
                amount: given,
            });
        }
        given
    }

    fn release(&mut self, part: &Part) {
        if let Some(held) = self.purses.get_mut(&part.purse) {
            held.exposure -= part.max;
            held.counted -= part.counted;
            held.hard_exposure -= if part.hard { part.max } else { 0 };
        }
    }

    /// What requests that pay from it cost of late, in its unit.
    pub fn likely_cost(&self, purse: &Purse) -> i64 {
        self.purses
            .get(purse)
            .map_or(0, |held| amount(held.each.value))
    }
}
